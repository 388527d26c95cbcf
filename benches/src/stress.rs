//! What happens when too much is asked: overload by misses, and eager work beside interactive requests.

use crate::corpus::{self, Photos};
use crate::load::{Arrivals, Load, Outcome, Paths, arrive, run as closed};
use crate::measure::{memory_of, reset_peak};
use crate::server::{Server, ServerOptions};
use crate::workloads::{Asked, CHROME_ACCEPT, Family, SERVER_WORKLOADS};
use crate::{BenchError, Options};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Names of the workloads here.
pub const OVERLOAD: &str = "overload";
pub const EAGER: &str = "eager";
const PUBLIC_ID: &str = "bench";
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
    /// From the end of the load until a miss is answered as fast as without load.
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

fn start(program: &Path, renderer: &str, profile: &'static str, photos: &Photos) -> Result<Server, BenchError> {
    let server = Server::start(&ServerOptions { program, renderer, profile, core: None })?;
    server.upload(PUBLIC_ID, &photos.make(&corpus::PHOTO_2MP)?)?;
    Ok(server)
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
fn capacity(server: &Server, duration: Duration) -> Result<(Outcome, Vec<String>), BenchError> {
    let family = family()?;
    let mut paths: Vec<String> =
        family.sizes().into_iter().map(|size| server.path(&family.transformation(size), PUBLIC_ID)).collect();
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
    let server = start(program, renderer(options), profile, photos)?;
    let (unloaded, paths) = capacity(&server, options.load_duration)?;
    let hit = server.path("c_fit,w_300/q_80,f_jpg", PUBLIC_ID);
    server.get(&hit)?;
    let offered = unloaded.per_second * OVERLOAD_FACTOR;
    let misses = Arrivals {
        server: server.address,
        accept: CHROME_ACCEPT.into(),
        paths: paths.clone(),
        per_second: offered,
        duration: options.load_duration,
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
    let (misses, hits, live) = std::thread::scope(|scope| {
        let hits = scope.spawn(|| arrive(&hits));
        let live = scope.spawn(|| arrive(&live));
        let misses = arrive(&misses);
        (misses, hits.join(), live.join())
    });
    let (misses, hits, live) = (misses?, hits.map_err(|_| panicked())??, live.map_err(|_| panicked())??);
    // The last answer has come, which may be long after the last request: what was queued was worked off.
    let waited = (misses.duration_s - options.load_duration.as_secs_f64()).max(0.0);
    let recovery_s = recovery(&server, unloaded.p50_ms)?.map(|more| waited + more);
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
        recovery_s,
    })
}

/// Seconds until a miss is answered within the time that it takes under a load that fits.
fn recovery(server: &Server, unloaded_ms: f64) -> Result<Option<f64>, BenchError> {
    let started = Instant::now();
    // Sizes that no family holds.
    for width in 300..700 {
        let asked = Instant::now();
        let (status, _) = server.get(&server.path(&format!("c_fill,w_{width},h_300/q_80,f_jpg"), PUBLIC_ID))?;
        if status == 200 && asked.elapsed().as_secs_f64() * 1e3 <= unloaded_ms {
            return Ok(Some(started.elapsed().as_secs_f64()));
        }
        if started.elapsed() > RECOVERY_TIMEOUT {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(None)
}

/// Interactive p99 with and without eager work that saturates the machine.
pub fn eager(options: &Options, program: &Path, photos: &Photos) -> Result<EagerRow, BenchError> {
    let profile = "fast";
    (options.progress)("eager: interactive misses beside uploads with ten eager pictures each");
    let server = start(program, renderer(options), profile, photos)?;
    let (unloaded, mut paths) = capacity(&server, options.load_duration)?;
    let offered = unloaded.per_second * INTERACTIVE_SHARE;
    let second = paths.split_off(paths.len() / 2);
    let arrivals = |paths| Arrivals {
        server: server.address,
        accept: CHROME_ACCEPT.into(),
        paths,
        per_second: offered,
        duration: options.load_duration * 2,
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
