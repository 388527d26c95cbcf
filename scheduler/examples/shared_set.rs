//! Times an eager set of ten widths of one JPEG: each from a decode of its own, and as one set that shares a decode.
//!
//! `cargo run --release -p tintype-scheduler --example shared_set -- PHOTO.jpg [ROUNDS]`

use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_render::cpu::CpuBackend;
use tintype_render::face::FaceDetector;
use tintype_render::language::parse;
use tintype_render::pipeline::Request;
use tintype_render::plan::facts::{Facts, Profile, Purpose, SourceFacts};
use tintype_render::{Limits, codec};
use tintype_scheduler::{
    Config, Lane, Scheduler, SourceError, SourceKey, SourceReader, StartError, Work, WorkError, WorkKey,
};

struct File(Bytes);

#[async_trait]
impl SourceReader for File {
    async fn read(&self, _source: &Option<String>) -> Result<Bytes, SourceError> {
        Ok(self.0.clone())
    }
}

fn works(file: &Bytes, facts: &Facts, profile: Profile, is_shared: bool, round: u8) -> Result<Vec<Work>, WorkError> {
    let reader = Arc::new(File(file.clone()));
    let one = |n: u8| {
        let transformation = Arc::new(parse(&format!("c_scale,w_{}/q_80", u32::from(n) * 200), &Limits::default())?);
        let mut key = [round; 32];
        key[..2].copy_from_slice(&[n, u8::from(is_shared)]);
        Ok(Work {
            key: WorkKey::new(key),
            lane: Lane::Eager,
            request: Request {
                transformation,
                facts: facts.clone(),
                purpose: Purpose { profile, ..Purpose::default() },
            },
            sources: reader.clone(),
            base: is_shared.then_some(SourceKey::new([round; 32])),
            deadline: None,
        })
    };
    (1..=10).map(one).collect()
}

/// CPU time of all threads that still run, in seconds, to 10 ms.
fn cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("give a JPEG")?;
    let rounds: u8 = arguments.next().map_or(Ok(7), |text| text.parse())?;
    let file = Bytes::from(std::fs::read(path)?);
    let found = codec::probe(&file, &Limits::default())?;
    let base = SourceFacts {
        size: found.size,
        orientation: found.orientation,
        format: found.format,
        has_alpha: found.has_alpha,
        faces: None,
        custom: vec![],
    };
    let facts = Facts { base, layers: BTreeMap::new() };
    let cpu = Arc::new(CpuBackend::new());
    let detector = Arc::new(FaceDetector::new()?);
    let scheduler: Result<Scheduler, StartError> =
        Scheduler::start(Config::default(), cpu, None, detector, Limits::default());
    let scheduler = scheduler?;
    for profile in [Profile::Fast, Profile::Quality] {
        let mut sums = [(Duration::ZERO, 0.0, 0); 2];
        for round in 0..=rounds {
            for (at, sum) in sums.iter_mut().enumerate() {
                let works = works(&file, &facts, profile, at == 1, round)?;
                let (begun, before) = (Instant::now(), cpu_s());
                let rendered = futures::future::try_join_all(scheduler.submit_all(works)).await?;
                // The first round warms up.
                if round > 0 {
                    let bytes = rendered.iter().map(|one| one.picture.bytes.len()).sum();
                    *sum = (sum.0 + begun.elapsed(), sum.1 + cpu_s() - before, bytes);
                }
            }
        }
        for ((wall, cpu, bytes), name) in sums.iter().zip(["each by itself", "one set"]) {
            let (wall, cpu) = (wall.as_secs_f64() * 1e3 / f64::from(rounds), cpu * 1e3 / f64::from(rounds));
            println!("{profile:?}, {name}: {wall:.0} ms wall, {cpu:.0} ms CPU, {bytes} bytes");
        }
    }
    let metrics = scheduler.metrics();
    println!("{} decodes, {} works started from another's", metrics.decodes, metrics.decodes_shared);
    Ok(())
}
