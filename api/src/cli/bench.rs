//! `tintype bench`: joins the bench library to what this machine renders with.

use super::local::renderer;
use super::print;
use crate::app::choose_renderer;
use crate::demo::SAMPLES;
use bytes::Bytes;
use clap::ArgMatches;
use std::sync::Arc;
use std::time::Duration;
use tintype_benches::assets::{N_UPLOADS, Stores};
use tintype_benches::workloads::ORIGINALS;
use tintype_benches::{BenchBackend, Options};
use tintype_render::backend::Backend;
use tintype_render::cpu::CpuBackend;
use tintype_render::plan::facts::Profile;

/// Bytes of the GPU's arena.
const GPU_BUDGET_BYTES: u64 = 1 << 30;
/// The sample that is the layer of W2.
const LOGO: &str = "cloudinary_icon";

pub(super) fn bench(arguments: &ArgMatches) -> Result<(), String> {
    if arguments.get_flag("list") {
        let lines: Vec<String> = tintype_benches::names().map(|(name, title)| format!("{name:<10} {title}")).collect();
        print(&lines.join("\n"));
        return Ok(());
    }
    // A file that cannot be written has to be known before an hour of work, not after it.
    for name in ["json", "html"] {
        if let Some(path) = arguments.get_one::<String>(name) {
            std::fs::write(path, "").map_err(|error| format!("cannot write {path}: {error}"))?;
        }
    }
    let rounds = arguments.get_one::<u32>("rounds").copied().unwrap_or(7);
    let word = arguments.get_one::<String>("renderer").map_or("auto", String::as_str);
    let seconds = arguments.get_one::<u32>("seconds").copied().unwrap_or(3);
    let mut backends = vec![BenchBackend::cpu("cpu", Arc::new(CpuBackend::new()))];
    let chosen = choose_renderer(renderer(word), GPU_BUDGET_BYTES).map_err(|error| error.to_string())?;
    for adapter in &chosen.adapters {
        let (name, megabytes) = (&adapter.name, adapter.max_binding_bytes >> 20);
        eprintln!(
            "adapter: {:?} {name} ({}, {:?}), binds {megabytes} MB",
            adapter.kind, adapter.driver, adapter.backend
        );
    }
    eprintln!("{}", chosen.reason);
    for (adapter, why) in &chosen.refused {
        eprintln!("{} is not used: {why}", adapter.name);
    }
    // The device itself, and not what leaves to the CPU what that does quicker: here is where it shows what is.
    if let Some(gpu) = chosen.gpu {
        let served = if word == "software" { "software" } else { "gpu" };
        let (name, devices) = (gpu.name(), chosen.devices);
        backends.push(BenchBackend { name, renderer: served.into(), backend: gpu, devices });
    }
    let only = arguments.get_many::<String>("only").unwrap_or_default().cloned().collect();
    let sample = |wanted: bool| SAMPLES.iter().filter(move |(id, ..)| (*id == LOGO) == wanted);
    let logo = sample(true).map(|(.., bytes)| Bytes::from_static(bytes)).next().unwrap_or_default();
    let options = Options {
        rounds: rounds as usize,
        backends,
        program: std::env::current_exe().ok(),
        load_duration: Duration::from_secs(seconds.into()),
        n_originals: ORIGINALS,
        n_uploads: arguments.get_one::<u32>("uploads").map_or(N_UPLOADS, |n| *n as usize),
        stores: stores(arguments)?,
        photos: sample(false).map(|(.., bytes)| Bytes::from_static(bytes)).collect(),
        logo,
        only,
        profile: match arguments.get_one::<String>("profile").map(String::as_str) {
            Some("fast") => Some(Profile::Fast),
            Some("quality") => Some(Profile::Quality),
            _ => None,
        },
        progress: Box::new(|line| eprintln!("{line}")),
    };
    let report = tintype_benches::run(&options).map_err(|error| error.to_string())?;
    print(&report.to_text());
    if let Some(path) = arguments.get_one::<String>("json") {
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        std::fs::write(path, text).map_err(|error| format!("cannot write {path}: {error}"))?;
    }
    if let Some(path) = arguments.get_one::<String>("html") {
        let page = tintype_benches::html::page(&report);
        std::fs::write(path, page).map_err(|error| format!("cannot write {path}: {error}"))?;
    }
    Ok(())
}

/// The other pair of stores for the workload `assets`, where both of its halves are named.
fn stores(arguments: &ArgMatches) -> Result<Vec<Stores>, String> {
    let word = |name: &str| arguments.get_one::<String>(name).cloned();
    let (Some(postgres), Some(s3)) = (word("postgres"), word("s3")) else { return Ok(Vec::new()) };
    let (endpoint, bucket) = s3
        .rsplit_once('/')
        .filter(|(endpoint, bucket)| endpoint.contains("://") && !bucket.is_empty())
        .ok_or("--s3 must be the address of an S3 server with a bucket, such as http://127.0.0.1:9000/bench")?;
    let variables = [
        ("TINTYPE_CATALOG", postgres.as_str()),
        ("TINTYPE_STORAGE", "s3"),
        ("TINTYPE_S3_ENDPOINT", endpoint),
        ("TINTYPE_S3_BUCKET", bucket),
        ("TINTYPE_S3_ACCESS_KEY_ID", "bench"),
        ("TINTYPE_S3_SECRET_ACCESS_KEY", "bench"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Ok(vec![Stores { name: "PostgreSQL + S3".to_owned(), variables }])
}
