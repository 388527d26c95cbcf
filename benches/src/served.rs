//! Workloads over HTTP, on servers that take turns: a closed loop, an open loop at parts of what that reached, and the states
//! in which a picture can be when it is asked for.

use crate::answers::{AnswerRow, References};
use crate::arrivals::{Arrivals, arrive};
use crate::corpus::Photos;
use crate::load::{Load, Outcome, Paths, run as closed};
use crate::measure::{Summary, order};
use crate::server::{Server, ServerOptions};
use crate::workloads::{Asked, CHROME_ACCEPT, Family, ServerWorkload, cached_candidates};
use crate::{BenchError, Options, profile_name, progress};
use bytes::Bytes;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that the cached picture should have.
const CACHED_BYTES: usize = 20 << 10;
/// Cores of the server and of the load where both are bound.
const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;
/// Rates of the open loop, as parts of what the closed loop before it reached.
const SHARES: [f64; 2] = [0.5, 0.8];
/// Pictures that are asked for in each state, in every round: few enough that the URL cache keeps all of them.
const N_STATE: usize = 32;

/// Passes over pictures that were rendered before, until one renders nothing; that one is the one that counts.
const MAX_PASSES: usize = 10;

/// Latencies of the good answers over the rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latencies {
    pub p50_ms: Summary,
    pub p90_ms: Summary,
    pub p99_ms: Summary,
    pub max_ms: Summary,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerRow {
    pub workload: &'static str,
    pub profile: &'static str,
    pub renderer: String,
    pub n_originals: usize,
    /// Of the closed loop.
    pub per_second: Summary,
    pub latency: Latencies,
    /// CPU time of the server a good answer.
    pub cpu_ms: Summary,
    pub peak_bytes: u64,
    pub mean_bytes: f64,
    /// Part of the pictures of the closed loop whose decode was another's too.
    pub shared_decodes: f64,
    pub open: Vec<OpenRow>,
    pub states: Vec<StateRow>,
    pub answers: AnswerRow,
    /// Of all loads together.
    pub n_failed: usize,
    pub first_failure: Option<String>,
}

/// The open loop at one rate; latencies count from when a request was due.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OpenRow {
    /// Of what the closed loop reached in the same round.
    pub share: f64,
    pub offered_per_second: Summary,
    pub per_second: Summary,
    pub latency: Latencies,
    /// Part of the latencies that is the generator's own.
    pub late_p99_ms: Summary,
    pub n_failed: usize,
}

/// One request after the other, on one connection, for pictures that are all in one state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StateRow {
    /// One of [`STATES`].
    pub state: &'static str,
    /// Requests in every round.
    pub n_requests: usize,
    pub latency: Latencies,
    /// Pictures that were rendered although they had been before; 0 unless something is wrong.
    pub n_rendered_again: u64,
    pub n_failed: usize,
}

/// The states of a picture, with what they mean.
pub const STATES: [(&str, &str); 3] = [
    ("cold", "asked for the first time: in no cache and not stored, so that it is rendered"),
    ("stored", "rendered before and stored, but not in the URL cache, which this server has none of"),
    ("warm", "in the URL cache"),
];

/// A server under one workload.
struct Subject<'a> {
    workload: &'a ServerWorkload,
    profile: &'static str,
    renderer: &'a str,
    server: Server,
    /// Keeps nothing in memory, so that what it rendered before comes from its store; none for a cached workload.
    storing: Option<Server>,
    /// Paths in the order in which they are asked for; of misses, those before `next` are used up.
    paths: Vec<String>,
    next: usize,
    rounds: Vec<Round>,
    answers: Option<AnswerRow>,
}

struct Round {
    closed: Outcome,
    cpu_ms: f64,
    peak_bytes: u64,
    shared_decodes: f64,
    /// With the rate that was offered.
    open: Vec<(f64, Outcome)>,
    /// With how many were rendered, by the order of [`STATES`].
    states: Vec<(Outcome, u64)>,
}

/// Public id of the original with a number.
pub(crate) fn public_id(number: usize) -> String {
    format!("bench-{number:02}")
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
        let n_originals = workload.n_originals.min(options.n_originals.max(1));
        let originals = photos.series(&workload.input, n_originals)?;
        let originals: Vec<Bytes> = originals.into_iter().map(Bytes::from).collect();
        let mut subjects = Vec::new();
        for backend in &options.backends {
            // A cached picture is the same bytes under either profile.
            let profiles: &[&'static str] =
                if workload.asked == Asked::Cached { &["quality"] } else { &["quality", "fast"] };
            let wanted = options.profile.map(profile_name);
            for profile in
                profiles.iter().filter(|name| profiles.len() == 1 || wanted.is_none_or(|wanted| wanted == **name))
            {
                subjects.push(start(program, workload, profile, &backend.renderer, &originals)?);
            }
        }
        let started = Instant::now();
        for round in 0..options.rounds {
            (options.progress)(&progress(workload.name, round, options.rounds, started));
            for at in order(subjects.len(), round) {
                measure(&mut subjects[at], options.load_duration, options.rounds - round)?;
            }
        }
        (options.progress)(&format!("{}: scoring one answer of each original", workload.name));
        score(&mut subjects, &originals)?;
        for subject in &subjects {
            rows.push(row(subject, n_originals)?);
        }
    }
    Ok(rows)
}

fn start<'a>(
    program: &Path,
    workload: &'a ServerWorkload,
    profile: &'static str,
    renderer: &'a str,
    originals: &[Bytes],
) -> Result<Subject<'a>, BenchError> {
    let core = workload.one_core.then_some(SERVER_CORE);
    let open = |url_cache_mb| {
        let server = Server::start(&ServerOptions { program, renderer, profile, core, url_cache_mb, stores: &[] })?;
        for (number, original) in originals.iter().enumerate() {
            server.upload(&public_id(number), original)?;
        }
        // The first pictures compile kernels and fill pools; they are none of those that are measured.
        for width in 1..=4 {
            server.get(&server.path(&format!("c_fill,w_80{width},h_500/q_80,f_jpg"), &public_id(0)))?;
        }
        Ok::<_, BenchError>(server)
    };
    let server = open(None)?;
    let (paths, storing) = match workload.asked {
        Asked::Missing(family) => (misses(&server, &family, originals.len()), Some(open(Some(0))?)),
        Asked::Cached => (vec![server.path(&cached(&server)?, &public_id(0))], None),
    };
    Ok(Subject { workload, profile, renderer, server, storing, paths, next: 0, rounds: Vec::new(), answers: None })
}

/// Paths of different pictures, of the originals in turn. The nominal size is left out: it is scored at the end.
pub(crate) fn misses(server: &Server, family: &Family, n_originals: usize) -> Vec<String> {
    let nominal = family.nominal();
    let requests = family.requests(n_originals).into_iter().filter(|(_, size)| *size != nominal);
    requests.map(|(number, size)| server.path(&family.transformation(size), &public_id(number))).collect()
}

/// The transformation whose picture is nearest to 20 KB; asking for it puts it into the cache.
fn cached(server: &Server) -> Result<String, BenchError> {
    let mut best: Option<(usize, String)> = None;
    for candidate in cached_candidates() {
        let path = server.path(&candidate, &public_id(0));
        let (status, body) = server.get_as(&path, CHROME_ACCEPT)?;
        if status != 200 {
            return Err(BenchError::Server(format!("{path} was answered with {status}")));
        }
        let distance = body.len().abs_diff(CACHED_BYTES);
        if best.as_ref().is_none_or(|(least, _)| distance < *least) {
            best = Some((distance, candidate));
        }
    }
    let best = best.map(|(_, candidate)| candidate);
    best.ok_or_else(|| BenchError::Input("there is no candidate for the cached picture".into()))
}

impl Subject<'_> {
    fn load(&self, server: &Server, paths: Paths, n_connections: usize, duration: Duration) -> Load {
        let core = self.workload.one_core.then_some(LOAD_CORE);
        server.round(paths, n_connections, duration, core)
    }

    /// At most so many paths that are not used up; `rounds_left` phases are to come.
    fn share(&self, phases_left: usize) -> Vec<String> {
        let left = &self.paths[self.next.min(self.paths.len())..];
        left[..left.len() / phases_left.max(1)].to_vec()
    }

    /// One phase of a round in the open loop.
    fn open(&mut self, per_second: f64, duration: Duration, phases_left: usize) -> Result<Outcome, BenchError> {
        let paths = match self.workload.asked {
            Asked::Missing(_) => self.share(phases_left),
            Asked::Cached => vec![self.paths[0].clone(); (per_second * duration.as_secs_f64()).ceil() as usize],
        };
        let outcome = arrive(&Arrivals {
            server: self.server.address,
            accept: CHROME_ACCEPT.into(),
            paths,
            per_second,
            duration,
            core: self.workload.one_core.then_some(LOAD_CORE),
        })?;
        self.next += outcome.n_begun();
        Ok(outcome)
    }

    /// Pictures in all of their states, each asked for alone.
    fn states(&mut self) -> Result<Vec<(Outcome, u64)>, BenchError> {
        let Some(storing) = &self.storing else { return Ok(Vec::new()) };
        let left = &self.paths[self.next.min(self.paths.len())..];
        let paths = Arc::new(left[..left.len().min(N_STATE)].to_vec());
        let once = |server: &Server| {
            let paths = Arc::new(paths.iter().map(|path| server.moved(path)).collect::<Vec<_>>());
            let before = server.renders()?;
            // No picture takes nearly as long; a server that is stuck ends the load all the same.
            let outcome = closed(&self.load(server, Paths::Once(paths), 1, Duration::from_secs(60)))?;
            Ok::<_, BenchError>((outcome, server.renders()?.saturating_sub(before)))
        };
        // Pictures are stored behind the answers, so that those of a pass may not be there yet.
        let kept = |server: &Server| {
            let mut last = once(server)?;
            for _ in 1..MAX_PASSES {
                if last.1 == 0 {
                    break;
                }
                last = once(server)?;
            }
            Ok::<_, BenchError>(last)
        };
        let cold = once(&self.server)?;
        let warm = kept(&self.server)?;
        once(storing)?;
        let stored = kept(storing)?;
        self.next += paths.len();
        Ok(vec![cold, stored, warm])
    }
}

/// One round: closed loop, open loops, states. Misses are dealt out so that enough are left for the rounds to come.
fn measure(subject: &mut Subject<'_>, duration: Duration, rounds_left: usize) -> Result<(), BenchError> {
    let phases = 1 + SHARES.len();
    let mut phases_left = rounds_left * phases;
    let paths = match subject.workload.asked {
        Asked::Cached => Paths::Same(subject.paths[0].clone()),
        Asked::Missing(_) => Paths::Once(Arc::new(subject.share(phases_left))),
    };
    let decodes = subject.server.decodes()?;
    let load = subject.load(&subject.server, paths, subject.workload.n_connections, duration);
    let (closed, cpu_ms, peak_bytes) = subject.server.load(&load)?;
    let (own, shared) = subject.server.decodes()?;
    let (own, shared) = (own.saturating_sub(decodes.0), shared.saturating_sub(decodes.1));
    let shared_decodes = if own + shared == 0 { 0.0 } else { shared as f64 / (own + shared) as f64 };
    subject.next += closed.n_begun();
    let mut open = Vec::new();
    for share in SHARES {
        phases_left -= 1;
        let offered = closed.per_second * share;
        if offered > 0.0 {
            open.push((offered, subject.open(offered, duration, phases_left)?));
        }
    }
    let states = subject.states()?;
    subject.rounds.push(Round { closed, cpu_ms, peak_bytes, shared_decodes, open, states });
    Ok(())
}

/// Scores one answer of each original, on every server against the same references.
fn score(subjects: &mut [Subject<'_>], originals: &[Bytes]) -> Result<(), BenchError> {
    let mut references: Option<(String, References)> = None;
    for subject in subjects {
        let transformation = match subject.workload.asked {
            Asked::Missing(family) => family.transformation(family.nominal()),
            Asked::Cached => cached(&subject.server)?,
        };
        if references.as_ref().is_none_or(|(of, _)| *of != transformation) {
            references = Some((transformation.clone(), References::make(&transformation, originals)?));
        }
        if let Some((_, references)) = &references {
            subject.answers = Some(references.score(&subject.server, public_id)?);
        }
    }
    Ok(())
}

fn row(subject: &Subject<'_>, n_originals: usize) -> Result<ServerRow, BenchError> {
    let none = || BenchError::Input("no round was run".into());
    let rounds = &subject.rounds;
    let over = |values: Vec<f64>| Summary::of(&values).ok_or_else(none);
    let of_closed = |read: fn(&Round) -> f64| over(rounds.iter().map(read).collect());
    let all = |round: &Round| {
        let (open, states) = (round.open.iter().map(|(_, outcome)| outcome), round.states.iter().map(|(one, _)| one));
        std::iter::once(&round.closed).chain(open).chain(states).cloned().collect::<Vec<Outcome>>()
    };
    let everything: Vec<Outcome> = rounds.iter().flat_map(all).collect();
    let open = SHARES.iter().enumerate().map(|(at, &share)| {
        let found: Vec<&(f64, Outcome)> = rounds.iter().filter_map(|round| round.open.get(at)).collect();
        let of = |read: fn(&(f64, Outcome)) -> f64| over(found.iter().map(|found| read(found)).collect());
        Ok::<_, BenchError>(OpenRow {
            share,
            offered_per_second: of(|(offered, _)| *offered)?,
            per_second: of(|(_, outcome)| outcome.per_second)?,
            latency: Latencies::of(found.iter().map(|(_, outcome)| outcome)).ok_or_else(none)?,
            late_p99_ms: of(|(_, outcome)| outcome.late_p99_ms)?,
            n_failed: found.iter().map(|(_, outcome)| outcome.n_failed).sum(),
        })
    });
    // Where nothing was answered there was no rate to offer.
    let open =
        if rounds.iter().all(|round| round.open.is_empty()) { Vec::new() } else { open.collect::<Result<_, _>>()? };
    let states = STATES.iter().enumerate().filter_map(|(at, (state, _))| {
        let found: Vec<&(Outcome, u64)> = rounds.iter().filter_map(|round| round.states.get(at)).collect();
        let latency = Latencies::of(found.iter().map(|(outcome, _)| outcome))?;
        let again = if *state == "cold" { 0 } else { found.iter().map(|(_, rendered)| rendered).sum() };
        Some(StateRow {
            state,
            n_requests: found.first().map_or(0, |(outcome, _)| outcome.n_begun()),
            latency,
            n_rendered_again: again,
            n_failed: found.iter().map(|(outcome, _)| outcome.n_failed).sum(),
        })
    });
    Ok(ServerRow {
        workload: subject.workload.name,
        profile: subject.profile,
        renderer: subject.renderer.to_owned(),
        n_originals,
        per_second: of_closed(|round| round.closed.per_second)?,
        latency: Latencies::of(rounds.iter().map(|round| &round.closed)).ok_or_else(none)?,
        cpu_ms: of_closed(|round| round.cpu_ms)?,
        peak_bytes: rounds.iter().map(|round| round.peak_bytes).max().unwrap_or(0),
        mean_bytes: of_closed(|round| round.closed.mean_bytes)?.median,
        shared_decodes: of_closed(|round| round.shared_decodes)?.median,
        open,
        states: states.collect(),
        answers: subject.answers.clone().ok_or_else(none)?,
        n_failed: everything.iter().map(|outcome| outcome.n_failed).sum(),
        first_failure: everything.iter().find_map(|outcome| outcome.first_failure.clone()),
    })
}

impl Latencies {
    /// `None` of no rounds.
    fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Option<Latencies> {
        let outcomes: Vec<&Outcome> = outcomes.collect();
        let over = |read: fn(&Outcome) -> f64| {
            Summary::of(&outcomes.iter().map(|outcome| read(outcome)).collect::<Vec<f64>>())
        };
        Some(Latencies {
            p50_ms: over(|outcome| outcome.p50_ms)?,
            p90_ms: over(|outcome| outcome.p90_ms)?,
            p99_ms: over(|outcome| outcome.p99_ms)?,
            max_ms: over(|outcome| outcome.max_ms)?,
        })
    }
}
