//! Measures the renderer and the server on this machine: what `tintype bench` prints.
//!
//! Subjects take turns in interleaved rounds, so that all of them meet the same moods of the machine; medians are told
//! with their extremes. Inputs are made from a few photographs ([`corpus`]), so that nothing large is kept anywhere.

mod answers;
pub mod arrivals;
pub mod assets;
pub mod call;
pub mod corpus;
pub mod devices;
pub mod html;
pub mod kernels;
pub mod library;
pub mod load;
pub mod measure;
pub mod outcome;
pub mod quality;
pub mod report;
pub mod served;
pub mod server;
pub mod stress;
pub mod table;
mod tables;
pub mod workloads;

pub use report::{Host, Report};

use bytes::Bytes;
use corpus::Photos;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_render::backend::Backend;
use tintype_render::choice::ProvenGpu;
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
    /// The adapters behind it, which are calibrated and run batches of their own; none for the CPU.
    pub devices: Vec<Arc<ProvenGpu>>,
}

impl BenchBackend {
    /// A backend without adapters.
    pub fn cpu(name: &str, backend: Arc<dyn Backend>) -> BenchBackend {
        BenchBackend { name: name.into(), renderer: "cpu".into(), backend, devices: Vec::new() }
    }
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
    /// Originals of workloads over HTTP at most; [`workloads::ORIGINALS`] for a figure that is quoted.
    pub n_originals: usize,
    /// Small uploads of the workload `assets`; [`assets::N_UPLOADS`] for a figure that is quoted.
    pub n_uploads: usize,
    /// Stores that `assets` runs on beside SQLite and a folder.
    pub stores: Vec<assets::Stores>,
    /// Photographs that the inputs are made from: files of any format that is read.
    pub photos: Vec<Bytes>,
    /// The picture that W2 draws.
    pub logo: Bytes,
    /// Names of workloads to run; empty runs all.
    pub only: Vec<String>,
    /// `None` runs both profiles.
    pub profile: Option<Profile>,
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

impl Options {
    fn profiles(&self) -> impl Iterator<Item = Profile> {
        let wanted = self.profile;
        [Profile::Quality, Profile::Fast]
            .into_iter()
            .filter(move |profile| wanted.is_none_or(|wanted| wanted == *profile))
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
    if let Some(unknown) = options.only.iter().find(|wanted| !names().any(|(name, _)| name == **wanted)) {
        let mut known: Vec<&str> = names().map(|(name, _)| name).collect();
        known.dedup();
        return Err(BenchError::Input(format!("no workload is called {unknown}; there are {}", known.join(", "))));
    }
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let photos: Vec<&[u8]> = options.photos.iter().map(Bytes::as_ref).collect();
    let photos = Photos::decode(&photos)?;
    let library: Vec<_> = WORKLOADS.iter().filter(|workload| wanted(workload.name)).collect();
    let served: Vec<_> = SERVER_WORKLOADS.iter().filter(|workload| wanted(workload.name)).collect();
    let (wants_overload, wants_eager) = (wanted(stress::OVERLOAD), wanted(stress::EAGER));
    let wants_assets = wanted(assets::ASSETS);
    if options.program.is_some() && (!served.is_empty() || wants_overload || wants_eager || wants_assets) {
        server::check_data_folder(server::DATA_BYTES)?;
    }
    let mut notes = Vec::new();
    let memory = kernels::MemoryBandwidth::measure();
    let adapters = devices::adapters(options, &mut notes);
    let mut kernels = Vec::new();
    if wanted(kernels::KERNELS) {
        kernels = kernels::run(options, &photos, memory.copy_bytes_per_second)?;
    }
    let batches = devices::run(options, &photos, &library, &mut notes)?;
    let library = library::run(options, &photos, &library, &mut notes)?;
    let (mut servers, mut overload, mut eager, mut uploads) = (Vec::new(), None, None, Vec::new());
    if let Some(program) = &options.program {
        servers = served::run(options, program, &photos, &served)?;
        overload = wants_overload.then(|| stress::overload(options, program, &photos)).transpose()?;
        eager = wants_eager.then(|| stress::eager(options, program, &photos)).transpose()?;
        if wants_assets {
            uploads = assets::run(options, program)?;
        }
    }
    let backends = options.backends.iter().map(|backend| format!("{}: {}", backend.name, backend.backend.name()));
    Ok(Report {
        schema: report::SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("TINTYPE_COMMIT").unwrap_or("unknown"),
        host: Host::detect(backends.collect()),
        rounds: options.rounds,
        load_s: options.load_duration.as_secs_f64(),
        memory,
        no_expectation: devices::no_expectation(&adapters),
        adapters,
        kernels,
        batches,
        library,
        servers,
        overload,
        eager,
        assets: uploads,
        notes,
    })
}

/// Every name that `only` takes, with what it is; a workload that is both a library call and a load comes twice.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    let library = WORKLOADS.iter().map(|workload| (workload.name, workload.title));
    let served = SERVER_WORKLOADS.iter().map(|workload| (workload.name, workload.title));
    let first = std::iter::once((kernels::KERNELS, "each kernel on each backend at three sizes, and a plain copy"));
    let last = [
        (stress::OVERLOAD, "ten times as many misses as the server can render"),
        (stress::EAGER, "interactive misses beside eager work that takes all it can get"),
        (assets::ASSETS, "10,000 small uploads at concurrency 16, then lists and searches"),
    ];
    first.chain(library).chain(served).chain(last)
}

/// Which round begins, and how long the rest takes at the pace so far.
fn progress(what: &str, round: usize, rounds: usize, started: Instant) -> String {
    let line = format!("{what}: round {} of {rounds}", round + 1);
    if round == 0 {
        return line;
    }
    let left_s = started.elapsed().as_secs_f64() / round as f64 * (rounds - round) as f64;
    format!("{line}, about {left_s:.0} s left")
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
        let cpu = |name: &str| BenchBackend::cpu(name, Arc::new(CpuBackend::new()));
        Options {
            rounds: 2,
            backends: vec![cpu("one"), cpu("two")],
            program: None,
            load_duration: Duration::from_millis(100),
            n_originals: 2,
            n_uploads: 20,
            stores: Vec::new(),
            photos: vec![Bytes::from_static(include_bytes!("../../api/assets/samples/coffee.png"))],
            logo: Bytes::from_static(include_bytes!("../../api/assets/samples/cloudinary_icon.png")),
            only: only.iter().map(|&name| name.to_owned()).collect(),
            profile: None,
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
    fn the_page_loads_nothing() {
        let report = run(&Options { profile: Some(Profile::Fast), rounds: 1, ..options(&["W8"]) }).unwrap();
        assert!(report.library.iter().all(|row| row.profile == "fast"));
        let page = html::page(&report);
        for word in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "NaN"] {
            assert!(!page.contains(word), "the page has {word}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(page.contains("<svg") && page.contains("prefers-color-scheme:dark") && page.contains("W8 fast one"));
        let json = serde_json::to_value(&report).unwrap();
        for key in [
            "schema",
            "version",
            "commit",
            "host",
            "rounds",
            "memory",
            "library",
            "servers",
            "kernels",
            "no_expectation",
        ] {
            assert!(json.get(key).is_some(), "no {key} in {json}");
        }
        assert_eq!(json["schema"], report::SCHEMA);
    }

    #[test]
    fn what_cannot_be_measured_is_said() {
        assert!(run(&options(&["W99"])).unwrap_err().to_string().contains("W99"));
        assert!(run(&Options { rounds: 0, ..options(&[]) }).is_err());
        assert!(run(&Options { backends: vec![], ..options(&[]) }).is_err());
        assert!(run(&Options { photos: vec![], ..options(&["W8"]) }).is_err());
    }
}
