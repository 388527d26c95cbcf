//! Measures the renderer and the server on this machine: what `tintype bench` prints.
//!
//! Subjects take turns in interleaved rounds, so that all of them meet the same moods of the machine; medians are told
//! with their extremes. Inputs are made from a few photographs ([`corpus`]), so that nothing large is kept anywhere.

pub mod call;
pub mod corpus;
pub mod library;
pub mod load;
pub mod measure;
pub mod quality;
pub mod report;
pub mod served;
pub mod server;
pub mod table;
pub mod workloads;

pub use report::{Host, Report};

use bytes::Bytes;
use corpus::Photos;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tintype_render::backend::Backend;
use tintype_render::plan::facts::Profile;
use workloads::{SERVER_WORKLOADS, WORKLOADS};

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// What was given, or what was made of it, cannot be used.
    #[error("{0}")]
    Input(String),
    #[error(transparent)]
    Renderer(#[from] tintype_render::Error),
    /// A backend refused a job.
    #[error("a picture could not be rendered: {0}")]
    Render(String),
    #[error("{0}")]
    Server(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A backend that takes part.
#[derive(Clone)]
pub struct BenchBackend {
    /// Short name for tables, such as `cpu` or `gpu`.
    pub name: String,
    /// What `TINTYPE_RENDERER` has to be for a server to render on it.
    pub renderer: String,
    pub backend: Arc<dyn Backend>,
}

impl fmt::Debug for BenchBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BenchBackend")
            .field("name", &self.name)
            .field("renderer", &self.renderer)
            .finish_non_exhaustive()
    }
}

/// What is measured, and on what.
pub struct Options {
    /// Interleaved rounds; at least 7 for a figure that is quoted.
    pub rounds: usize,
    /// The first one is what others are compared with.
    pub backends: Vec<BenchBackend>,
    /// The program that is started for workloads over HTTP; `None` leaves those out.
    pub program: Option<PathBuf>,
    /// How long a load lasts, in every round.
    pub load_duration: Duration,
    /// Photographs that the inputs are made from: files of any format that is read.
    pub photos: Vec<Bytes>,
    /// The picture that W2 draws.
    pub logo: Bytes,
    /// Names of workloads to run; empty runs all.
    pub only: Vec<String>,
    /// Is told what is being done.
    pub progress: Box<dyn Fn(&str)>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("rounds", &self.rounds)
            .field("backends", &self.backends)
            .field("program", &self.program)
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}

/// Measures every workload that is wanted.
///
/// Errors: unknown names in `only`, no rounds, no backend, photographs that cannot be read, a backend that refuses a job,
/// a server that does not start. Failed requests are no error: they are counted in the report.
pub fn run(options: &Options) -> Result<Report, BenchError> {
    if options.rounds == 0 || options.backends.is_empty() {
        return Err(BenchError::Input("there has to be a round and a backend".into()));
    }
    let names =
        || WORKLOADS.iter().map(|workload| workload.name).chain(SERVER_WORKLOADS.iter().map(|workload| workload.name));
    if let Some(unknown) = options.only.iter().find(|wanted| !names().any(|name| name == *wanted)) {
        let known: Vec<&str> = names().collect();
        return Err(BenchError::Input(format!("no workload is called {unknown}; there are {}", known.join(", "))));
    }
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let photos: Vec<&[u8]> = options.photos.iter().map(Bytes::as_ref).collect();
    let photos = Photos::decode(&photos)?;
    let library: Vec<_> = WORKLOADS.iter().filter(|workload| wanted(workload.name)).collect();
    let library = library::run(options, &photos, &library)?;
    let served: Vec<_> = SERVER_WORKLOADS.iter().filter(|workload| wanted(workload.name)).collect();
    let servers = match &options.program {
        Some(program) => served::run(options, program, &photos, &served)?,
        None => Vec::new(),
    };
    let backends = options.backends.iter().map(|backend| format!("{}: {}", backend.name, backend.backend.name()));
    Ok(Report { host: Host::detect(backends.collect()), rounds: options.rounds, library, servers })
}

fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Quality => "quality",
        Profile::Fast => "fast",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tintype_render::cpu::CpuBackend;

    fn options(only: &[&str]) -> Options {
        let cpu = |name: &str| BenchBackend {
            name: name.into(),
            renderer: "cpu".into(),
            backend: Arc::new(CpuBackend::new()),
        };
        Options {
            rounds: 2,
            backends: vec![cpu("one"), cpu("two")],
            program: None,
            load_duration: Duration::from_millis(100),
            photos: vec![Bytes::from_static(include_bytes!("../../api/assets/samples/coffee.png"))],
            logo: Bytes::from_static(include_bytes!("../../api/assets/samples/cloudinary_icon.png")),
            only: only.iter().map(|&name| name.to_owned()).collect(),
            progress: Box::new(|_| {}),
        }
    }

    #[test]
    fn a_run_measures_every_profile_on_every_backend() {
        let report = run(&options(&["W8"])).unwrap();
        let found: Vec<_> =
            report.library.iter().map(|row| (row.workload, row.profile, row.backend.as_str())).collect();
        let expected =
            [("W8", "quality", "one"), ("W8", "quality", "two"), ("W8", "fast", "one"), ("W8", "fast", "two")];
        assert_eq!(found, expected);
        for row in &report.library {
            assert!(row.cpu_ms.median > 0.0 && row.wall_ms.low <= row.wall_ms.high, "{row:?}");
            assert!(row.ssimulacra2.is_some_and(|score| score > 50.0 && score < 100.0), "{row:?}");
            assert!(row.bytes > 10_000, "{row:?}");
            let stages = row.decode_ms.low + row.render_ms.low + row.encode_ms.low;
            assert!(stages <= row.wall_ms.high * 1.01, "{row:?}");
        }
        assert_eq!(report.library[0].bytes, report.library[1].bytes, "the same backend made different files");
        let score = |row: usize| report.library[row].ssimulacra2.unwrap();
        assert!(score(0) >= score(2) - 0.5, "fast looks better than quality");
        let text = report.to_text();
        assert_eq!(text.lines().filter(|line| line.starts_with("| W8 ")).count(), 4, "{text}");
        let json: serde_json::Value = serde_json::to_value(&report).unwrap();
        assert_eq!(json["library"][0]["workload"], "W8");
    }

    #[test]
    fn what_cannot_be_measured_is_said() {
        assert!(run(&options(&["W99"])).unwrap_err().to_string().contains("W99"));
        assert!(run(&Options { rounds: 0, ..options(&[]) }).is_err());
        assert!(run(&Options { backends: vec![], ..options(&[]) }).is_err());
        assert!(run(&Options { photos: vec![], ..options(&["W8"]) }).is_err());
    }
}
