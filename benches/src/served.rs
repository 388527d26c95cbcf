//! Workloads over HTTP, on servers that take turns.

use crate::corpus::Photos;
use crate::load::{Outcome, Paths};
use crate::measure::{Summary, order};
use crate::server::{Server, ServerOptions};
use crate::workloads::{Asked, ServerWorkload, cached_candidates};
use crate::{BenchError, Options, profile_name, progress};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Public id of the picture that everything is made from.
const PUBLIC_ID: &str = "bench";
/// Bytes that the cached picture should have.
const CACHED_BYTES: usize = 20 << 10;
/// Cores of the server and of the load where both are bound.
const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerRow {
    pub workload: &'static str,
    pub profile: &'static str,
    pub renderer: String,
    pub per_second: Summary,
    pub p50_ms: Summary,
    pub p99_ms: Summary,
    /// CPU time of the server a good answer.
    pub cpu_ms: Summary,
    pub peak_bytes: u64,
    pub mean_bytes: f64,
    pub n_failed: usize,
    pub first_failure: Option<String>,
}

/// A server under one workload.
struct Subject<'a> {
    workload: &'a ServerWorkload,
    profile: &'static str,
    renderer: &'a str,
    server: Server,
    /// Paths that have not been asked for, for misses; the cached path else.
    paths: Vec<String>,
    rounds: Vec<(Outcome, f64, u64)>,
}

/// Runs every workload on a server of its own for each renderer and profile, interleaved.
pub fn run(
    options: &Options,
    program: &Path,
    photos: &Photos,
    workloads: &[&ServerWorkload],
) -> Result<Vec<ServerRow>, BenchError> {
    let mut rows = Vec::new();
    for &workload in workloads {
        (options.progress)(&format!("{}: {}", workload.name, workload.title));
        let input = photos.make(&workload.input)?;
        let mut subjects = Vec::new();
        for backend in &options.backends {
            // A cached picture is the same bytes under either profile.
            let profiles: &[&'static str] =
                if workload.asked == Asked::Cached { &["quality"] } else { &["quality", "fast"] };
            let wanted = options.profile.map(profile_name);
            for profile in
                profiles.iter().filter(|name| profiles.len() == 1 || wanted.is_none_or(|wanted| wanted == **name))
            {
                subjects.push(start(program, workload, profile, &backend.renderer, &input)?);
            }
        }
        let started = Instant::now();
        for round in 0..options.rounds {
            (options.progress)(&progress(workload.name, round, options.rounds, started));
            for at in order(subjects.len(), round) {
                measure(&mut subjects[at], options.load_duration, options.rounds - round)?;
            }
        }
        for subject in &subjects {
            rows.push(row(subject)?);
        }
    }
    Ok(rows)
}

fn start<'a>(
    program: &Path,
    workload: &'a ServerWorkload,
    profile: &'static str,
    renderer: &'a str,
    input: &[u8],
) -> Result<Subject<'a>, BenchError> {
    let core = workload.one_core.then_some(SERVER_CORE);
    let server = Server::start(&ServerOptions { program, renderer, profile, core })?;
    server.upload(PUBLIC_ID, input)?;
    let paths = match workload.asked {
        Asked::Missing(family) => {
            let sizes = family.sizes();
            sizes.into_iter().rev().map(|size| server.path(&family.transformation(size), PUBLIC_ID)).collect()
        }
        Asked::Cached => vec![cached(&server)?],
    };
    // The first pictures compile kernels and fill pools; they are none of those that are measured.
    for width in 1..=4 {
        server.get(&server.path(&format!("c_fill,w_80{width},h_500/q_80,f_jpg"), PUBLIC_ID))?;
    }
    Ok(Subject { workload, profile, renderer, server, paths, rounds: Vec::new() })
}

/// The path whose picture is nearest to 20 KB; asking for it puts it into the cache.
fn cached(server: &Server) -> Result<String, BenchError> {
    let mut best: Option<(usize, String)> = None;
    for candidate in cached_candidates() {
        let path = server.path(&candidate, PUBLIC_ID);
        let (status, body) = server.get(&path)?;
        if status != 200 {
            return Err(BenchError::Server(format!("{path} was answered with {status}")));
        }
        let distance = body.len().abs_diff(CACHED_BYTES);
        if best.as_ref().is_none_or(|(least, _)| distance < *least) {
            best = Some((distance, path));
        }
    }
    best.map(|(_, path)| path).ok_or_else(|| BenchError::Input("there is no candidate for the cached picture".into()))
}

/// One round. Misses are dealt out so that enough are left for the rounds to come.
fn measure(subject: &mut Subject<'_>, duration: Duration, rounds_left: usize) -> Result<(), BenchError> {
    let paths = match subject.workload.asked {
        Asked::Cached => Paths::Same(subject.paths[0].clone()),
        Asked::Missing(_) => {
            let share = subject.paths.len() / rounds_left.max(1);
            Paths::Once(Arc::new(subject.paths.split_off(subject.paths.len() - share)))
        }
    };
    let core = subject.workload.one_core.then_some(LOAD_CORE);
    let load = subject.server.round(paths, subject.workload.n_connections, duration, core);
    subject.rounds.push(subject.server.load(&load)?);
    Ok(())
}

fn row(subject: &Subject<'_>) -> Result<ServerRow, BenchError> {
    let summary = |read: fn(&(Outcome, f64, u64)) -> f64| {
        let values: Vec<f64> = subject.rounds.iter().map(read).collect();
        Summary::of(&values).ok_or_else(|| BenchError::Input("no round was run".into()))
    };
    Ok(ServerRow {
        workload: subject.workload.name,
        profile: subject.profile,
        renderer: subject.renderer.to_owned(),
        per_second: summary(|(outcome, ..)| outcome.per_second)?,
        p50_ms: summary(|(outcome, ..)| outcome.p50_ms)?,
        p99_ms: summary(|(outcome, ..)| outcome.p99_ms)?,
        cpu_ms: summary(|(_, cpu_ms, _)| *cpu_ms)?,
        peak_bytes: subject.rounds.iter().map(|(.., peak)| *peak).max().unwrap_or(0),
        mean_bytes: summary(|(outcome, ..)| outcome.mean_bytes)?.median,
        n_failed: subject.rounds.iter().map(|(outcome, ..)| outcome.n_failed).sum(),
        first_failure: subject.rounds.iter().find_map(|(outcome, ..)| outcome.first_failure.clone()),
    })
}
