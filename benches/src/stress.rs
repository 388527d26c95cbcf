//! What happens when too much is asked: overload by misses, and eager work beside interactive requests.

use crate::arrivals::{Arrivals, arrive};
use crate::corpus::{self, Photos};
use crate::load::{Load, Outcome, Paths, run as closed};
use crate::measure::{memory_of, reset_peak};
use crate::served::{misses, public_id};
use crate::server::{Server, ServerOptions};
use crate::workloads::{Asked, CHROME_ACCEPT, Family, ORIGINALS, SERVER_WORKLOADS};
use crate::{BenchError, Options};
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Names of the workloads here.
pub const OVERLOAD: &str = "overload";
pub const EAGER: &str = "eager";
/// How many times more than the server can render is asked of it.
const OVERLOAD_FACTOR: f64 = 10.0;
/// One request of so many is for a picture that is cached.
const HIT_EVERY: usize = 10;
/// Share of the capacity that interactive requests take beside eager work.
const INTERACTIVE_SHARE: f64 = 0.3;
/// Uploads with eager work that are always under way.
const N_EAGER: usize = 4;
/// How long recovery is waited for.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);
/// Times between two requests that look whether the server has recovered, and how many in a row have to be answered well.
const PROBE_EVERY: Duration = Duration::from_millis(100);
const N_PROBES: usize = 5;
/// Times between two looks at `/live`.
const LIVE_EVERY: Duration = Duration::from_millis(50);

/// A server under ten times what it can render.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverloadRow {
    pub profile: &'static str,
    /// Misses a second of a closed loop with 8 connections.
    pub capacity_per_second: f64,
    pub offered_per_second: f64,
    pub duration_s: f64,
    pub misses: Outcome,
    pub hits: Outcome,
    pub live: Outcome,
    pub peak_bytes: u64,
    /// From the last request of the load until its last answer: how much had been queued.
    pub drained_s: f64,
    /// From the end of the load until a new miss is served at all.
    pub served_s: Option<f64>,
    /// From the end of the load until new misses are answered as fast as before it, five in a row. New misses stand behind
    /// what was queued.
    pub recovery_s: Option<f64>,
}

/// Interactive requests with and without eager work that takes all it can get.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EagerRow {
    pub profile: &'static str,
    pub offered_per_second: f64,
    pub alone: Outcome,
    pub beside_eager: Outcome,
    /// p99 beside eager work over p99 alone.
    pub p99_ratio: f64,
    /// Eager jobs of ten pictures that were finished meanwhile.
    pub n_eager_jobs: usize,
    pub peak_bytes: u64,
}

/// A server with the originals of W8.
fn start(options: &Options, program: &Path, profile: &'static str, photos: &Photos) -> Result<Server, BenchError> {
    let renderer = renderer(options);
    let server =
        Server::start(&ServerOptions { program, renderer, profile, core: None, url_cache_mb: None, stores: &[] })?;
    for (number, file) in photos.series(&corpus::PHOTO_2MP, n_originals(options))?.iter().enumerate() {
        server.upload(&public_id(number), file)?;
    }
    Ok(server)
}

fn n_originals(options: &Options) -> usize {
    ORIGINALS.min(options.n_originals.max(1))
}

/// The misses of W8.
fn family() -> Result<Family, BenchError> {
    let found = SERVER_WORKLOADS.iter().find(|workload| workload.name == "W8").map(|workload| workload.asked);
    match found {
        Some(Asked::Missing(family)) => Ok(family),
        _ => Err(BenchError::Input("W8 has no misses".into())),
    }
}

/// Misses a second, and the paths that are left.
fn capacity(server: &Server, options: &Options) -> Result<(Outcome, Vec<String>), BenchError> {
    let duration = options.load_duration;
    let mut paths = misses(server, &family()?, n_originals(options));
    let first: Vec<String> = paths.split_off(paths.len() - paths.len() / 4);
    let outcome = closed(&Load {
        server: server.address,
        paths: Paths::Once(Arc::new(first)),
        accept: CHROME_ACCEPT.into(),
        n_connections: 8,
        duration,
        max_requests: usize::MAX,
        core: None,
    })?;
    if outcome.n_good == 0 {
        return Err(BenchError::Server(outcome.first_failure.unwrap_or_else(|| "no picture was made".into())));
    }
    Ok((outcome, paths))
}

/// Runs both workloads that are wanted, in the `fast` profile.
pub fn overload(options: &Options, program: &Path, photos: &Photos) -> Result<OverloadRow, BenchError> {
    let profile = "fast";
    (options.progress)("overload: ten times as many misses as the server can render");
    let server = start(options, program, profile, photos)?;
    let (unloaded, paths) = capacity(&server, options)?;
    let hit = server.path("c_fit,w_300/q_80,f_jpg", &public_id(0));
    server.get(&hit)?;
    let offered = unloaded.per_second * OVERLOAD_FACTOR;
    let misses = Arrivals {
        server: server.address,
        accept: CHROME_ACCEPT.into(),
        paths: paths.clone(),
        per_second: offered,
        duration: options.load_duration,
        core: None,
    };
    let same = |path: &str, per_second: f64| Arrivals {
        paths: vec![path.to_owned(); (per_second * options.load_duration.as_secs_f64()) as usize + 1],
        per_second,
        ..misses.clone()
    };
    let hits = same(&hit, offered / HIT_EVERY as f64);
    let live = same("/live", 1.0 / LIVE_EVERY.as_secs_f64());
    // Where the peak cannot be reset, that since the start is told.
    let _ = reset_peak(server.pid());
    let panicked = || BenchError::Server("the load generator panicked".into());
    let ended_after = options.load_duration;
    let (server, limit_ms) = (&server, unloaded.p50_ms);
    let (misses, hits, live, probes) = std::thread::scope(|scope| {
        let hits = scope.spawn(|| arrive(&hits));
        let live = scope.spawn(|| arrive(&live));
        let probes = scope.spawn(move || {
            std::thread::sleep(ended_after);
            probe(server, limit_ms)
        });
        let misses = arrive(&misses);
        (misses, hits.join(), live.join(), probes.join())
    });
    let (misses, hits, live) = (misses?, hits.map_err(|_| panicked())??, live.map_err(|_| panicked())??);
    let probes = probes.map_err(|_| panicked())?;
    let drained_s = (misses.duration_s - options.load_duration.as_secs_f64()).max(0.0);
    let peak_bytes = memory_of(server.pid()).map_or(0, |memory| memory.peak_bytes);
    Ok(OverloadRow {
        profile,
        capacity_per_second: unloaded.per_second,
        offered_per_second: offered,
        duration_s: options.load_duration.as_secs_f64(),
        misses,
        hits,
        live,
        peak_bytes,
        drained_s,
        served_s: served(&probes),
        recovery_s: recovered(&probes, unloaded.p50_ms),
    })
}

/// A miss after the load: when it was asked for, counted from the end of the load, and how it was answered.
#[derive(Debug, Clone, Copy)]
struct Probe {
    asked_s: f64,
    good: bool,
    took_ms: f64,
}

/// Asks for a new picture again and again, each on a connection of its own and without waiting for those before, until the
/// server has recovered; what it did is in the order of the questions.
fn probe(server: &Server, unloaded_ms: f64) -> Vec<Probe> {
    let started = Instant::now();
    let answered: Mutex<Vec<Probe>> = Mutex::default();
    let sorted = || {
        let mut probes = answered.lock().map(|probes| probes.clone()).unwrap_or_default();
        probes.sort_by(|a, b| a.asked_s.total_cmp(&b.asked_s));
        probes
    };
    std::thread::scope(|scope| {
        for number in 0_u32.. {
            if started.elapsed() > RECOVERY_TIMEOUT || recovered(&sorted(), unloaded_ms).is_some() {
                break;
            }
            let answered = &answered;
            scope.spawn(move || {
                let asked = Instant::now();
                // Sizes that no family holds.
                let path = server.path(&format!("c_fill,w_{},h_300/q_80,f_jpg", 300 + number), &public_id(0));
                let good = server.get(&path).is_ok_and(|(status, _)| status == 200);
                let took_ms = asked.elapsed().as_secs_f64() * 1e3;
                let asked_s = asked.saturating_duration_since(started).as_secs_f64();
                if let Ok(mut answered) = answered.lock() {
                    answered.push(Probe { asked_s, good, took_ms });
                }
            });
            std::thread::sleep(PROBE_EVERY);
        }
    });
    sorted()
}

/// When the first miss was served.
fn served(probes: &[Probe]) -> Option<f64> {
    let served = probes.iter().filter(|probe| probe.good).map(|probe| probe.asked_s + probe.took_ms / 1e3);
    served.min_by(f64::total_cmp)
}

/// When the first of so many misses was asked for that were all answered within the time that they took before the load.
/// `probes` in the order in which they were asked.
fn recovered(probes: &[Probe], unloaded_ms: f64) -> Option<f64> {
    let fast = |probe: &Probe| probe.good && probe.took_ms <= unloaded_ms;
    let found = probes.windows(N_PROBES).find(|window| window.iter().all(fast))?;
    Some(found[0].asked_s)
}

/// Interactive p99 with and without eager work that saturates the machine.
pub fn eager(options: &Options, program: &Path, photos: &Photos) -> Result<EagerRow, BenchError> {
    let profile = "fast";
    (options.progress)("eager: interactive misses beside uploads with ten eager pictures each");
    let server = start(options, program, profile, photos)?;
    let (unloaded, mut paths) = capacity(&server, options)?;
    let offered = unloaded.per_second * INTERACTIVE_SHARE;
    let second = paths.split_off(paths.len() / 2);
    let arrivals = |paths| Arrivals {
        server: server.address,
        accept: CHROME_ACCEPT.into(),
        paths,
        per_second: offered,
        duration: options.load_duration * 2,
        core: None,
    };
    let alone = arrive(&arrivals(paths))?;
    let source = photos.make(&corpus::PHOTO_12MP)?;
    let widths: Vec<String> = (1..=10).map(|at| format!("c_scale,w_{}/q_80,f_jpg", at * 200)).collect();
    let widths = widths.join("|");
    let (ended, n_jobs) = (AtomicBool::new(false), AtomicUsize::new(0));
    let _ = reset_peak(server.pid());
    let beside = std::thread::scope(|scope| {
        let uploads: Vec<_> = (0..N_EAGER)
            .map(|number| {
                let (server, source, widths, ended, n_jobs) = (&server, &source, &widths, &ended, &n_jobs);
                scope.spawn(move || {
                    let mut turn = 0;
                    while !ended.load(Ordering::Relaxed) {
                        let id = format!("eager-{number}-{turn}");
                        server.upload_with(&id, source, &[("eager", widths)])?;
                        n_jobs.fetch_add(1, Ordering::Relaxed);
                        turn += 1;
                    }
                    Ok::<(), BenchError>(())
                })
            })
            .collect();
        // The first uploads have to be rendering.
        std::thread::sleep(Duration::from_millis(500));
        let outcome = arrive(&arrivals(second));
        ended.store(true, Ordering::Relaxed);
        for upload in uploads {
            upload.join().map_err(|_| BenchError::Server("an upload panicked".into()))??;
        }
        outcome
    })?;
    let peak_bytes = memory_of(server.pid()).map_or(0, |memory| memory.peak_bytes);
    let p99_ratio = if alone.p99_ms > 0.0 { beside.p99_ms / alone.p99_ms } else { 0.0 };
    Ok(EagerRow {
        profile,
        offered_per_second: offered,
        alone,
        beside_eager: beside,
        p99_ratio,
        n_eager_jobs: n_jobs.into_inner(),
        peak_bytes,
    })
}

fn renderer(options: &Options) -> &str {
    options.backends.first().map_or("cpu", |backend| backend.renderer.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes(took_ms: &[Option<f64>]) -> Vec<Probe> {
        let probe = |(at, took): (usize, &Option<f64>)| Probe {
            asked_s: at as f64,
            good: took.is_some(),
            took_ms: took.unwrap_or(1.0),
        };
        took_ms.iter().enumerate().map(probe).collect()
    }

    #[test]
    fn recovery_is_the_first_of_five_quick_answers() {
        let (busy, slow, quick) = (None, Some(900.0), Some(5.0));
        let after = probes(&[busy, slow, quick, busy, quick, quick, quick, quick, quick]);
        assert_eq!(recovered(&after, 10.0), Some(4.0));
        // The second was served after 900 ms, the third after 5.
        assert_eq!(served(&after), Some(1.9));
        assert_eq!(recovered(&after[..8], 10.0), None);
        assert_eq!((recovered(&[], 10.0), served(&[]), served(&after[..1])), (None, None, None));
        assert_eq!(recovered(&after, 1000.0), Some(4.0));
    }
}
