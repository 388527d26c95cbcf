//! Library workloads: every contender makes every workload once a round, in turn.

use crate::Setup;
use crate::contender::{Round, Worker, own_round};
use crate::rows::Row;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tintype_benches::BenchBackend;
use tintype_benches::call::Call;
use tintype_benches::measure::order;
use tintype_benches::quality;
use tintype_benches::workloads::{WORKLOADS, Workload};
use tintype_render::cpu::CpuBackend;
use tintype_render::face::FaceDetector;
use tintype_render::language::Format;
use tintype_render::plan::facts::Profile;

/// A round repeats short work until it took this long.
const MIN_MS: f64 = 150.0;
/// The qualities between which that of equal bytes is looked for.
const QUALITIES: std::ops::RangeInclusive<u32> = 20..=90;

enum Contender {
    Own(Call),
    /// Number of the worker, its name for the workload, quality for lossy AVIF.
    Worker(usize, &'static str, u32),
}

struct Entry {
    workload: &'static Workload,
    name: String,
    contender: Contender,
    rounds: Vec<Round>,
    ssimulacra2: Option<f64>,
}

/// The names that workers know a workload by: the usual way, and one that is more like ours.
fn variants(workload: &str) -> Vec<(&'static str, &'static str)> {
    match workload {
        "W3" => vec![("W3", ""), ("W3once", " decoded once")],
        "W4" => vec![("W4", " speed 6"), ("W4fast", " speed 8")],
        other => WORKLOADS.iter().filter(|known| known.name == other).map(|known| (known.name, "")).collect(),
    }
}

pub fn run(setup: &Setup, workers: &mut [Worker], notes: &mut Vec<String>) -> Result<Vec<Row>, String> {
    let text = |error: tintype_benches::BenchError| error.to_string();
    let backend = BenchBackend::cpu("cpu", Arc::new(CpuBackend::new()));
    let detector = Arc::new(FaceDetector::new().map_err(|error| error.to_string())?);
    let mut entries: Vec<Entry> = Vec::new();
    for workload in WORKLOADS.iter().filter(|workload| setup.wants(workload.name)) {
        eprintln!("{}: first pictures of {}", workload.name, workload.title);
        let input = Bytes::from(std::fs::read(setup.input(&workload.input)).map_err(|error| error.to_string())?);
        let keep = setup.folder.join("kept");
        let mut reference = None;
        let mut bytes = 0.0;
        for (name, profile) in [("tintype fast", Profile::Fast), ("tintype quality", Profile::Quality)] {
            let call = Call::new(workload, &input, &setup.logo, profile, &backend, detector.clone()).map_err(text)?;
            let round = own_round(&call, 0.0, Some(&keep))?;
            if bytes == 0.0 {
                bytes = round.bytes;
            }
            if reference.is_none() {
                let shown = call.requests.len() / 2;
                reference = Some(quality::reference(&call.requests[shown], &call.sources).map_err(text)?);
            }
            let ssimulacra2 = score(reference.as_ref(), workers, &keep, workload);
            let contender = Contender::Own(call);
            entries.push(Entry { workload, name: name.into(), contender, rounds: Vec::new(), ssimulacra2 });
        }
        for (variant, suffix) in variants(workload.name) {
            for number in 0..workers.len() {
                let name = format!("{}{suffix}", workers[number].name);
                let quality = if workload.output == Some(Format::Avif) {
                    equal_quality(&mut workers[number], variant, bytes)
                } else {
                    Ok(80)
                };
                let first = quality
                    .and_then(|quality| Ok(workers[number].run(variant, 0.0, quality, Some(&keep))?.map(|_| quality)));
                match first {
                    Ok(Some(quality)) => {
                        let ssimulacra2 = score(reference.as_ref(), workers, &keep, workload);
                        let contender = Contender::Worker(number, variant, quality);
                        entries.push(Entry { workload, name, contender, rounds: Vec::new(), ssimulacra2 });
                    }
                    Ok(None) => {}
                    Err(error) => notes.push(format!("{name} cannot make {}: {error}.", workload.name)),
                }
            }
        }
    }
    for round in 0..setup.rounds {
        eprintln!("library round {} of {}", round + 1, setup.rounds);
        for at in order(entries.len(), round) {
            let entry = &mut entries[at];
            let found = match &entry.contender {
                Contender::Own(call) => Some(own_round(call, MIN_MS, None)?),
                Contender::Worker(number, variant, quality) => workers[*number].run(variant, MIN_MS, *quality, None)?,
            };
            entry.rounds.extend(found);
        }
    }
    Ok(entries.iter().map(row).collect())
}

/// The quality whose file is nearest to `bytes`.
fn equal_quality(worker: &mut Worker, variant: &str, bytes: f64) -> Result<u32, String> {
    let (mut low, mut high) = (*QUALITIES.start(), *QUALITIES.end());
    while low < high {
        let middle = (low + high).div_ceil(2);
        match worker.run(variant, 0.0, middle, None)? {
            Some(round) if round.bytes <= bytes => low = middle,
            Some(_) => high = middle - 1,
            None => return Ok(low),
        }
    }
    Ok(low)
}

/// `None` where sizes differ or the file cannot be read.
fn score(
    reference: Option<&tintype_render::frame::Frame>,
    workers: &mut [Worker],
    file: &Path,
    workload: &Workload,
) -> Option<f64> {
    if workload.output == Some(Format::Avif) || workload.output.is_none() {
        let png = file.with_extension("png");
        let vips = workers.iter_mut().find(|worker| worker.name == "pyvips")?;
        vips.convert(file, &png).ok()?;
        return quality::score(reference?, &std::fs::read(png).ok()?).ok();
    }
    quality::score(reference?, &std::fs::read(file).ok()?).ok()
}

fn row(entry: &Entry) -> Row {
    let values = |read: fn(&Round) -> f64| entry.rounds.iter().map(read).collect::<Vec<f64>>();
    let samples = BTreeMap::from([
        ("cpu_ms", values(|round| round.cpu_ms)),
        ("wall_ms", values(|round| round.wall_ms)),
        ("bytes", values(|round| round.bytes)),
    ]);
    Row { workload: entry.workload.name, contender: entry.name.clone(), samples, ssimulacra2: entry.ssimulacra2 }
}
