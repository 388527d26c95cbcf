//! W7: a cached picture of 20 KB, server on one core and load on another, beside files that nginx serves.

use crate::Setup;
use crate::rows::Row;
use crate::served::{Peer, Running, Subject, free_address, measure, row};
use std::process::Command;
use tintype_benches::measure::order;
use tintype_benches::server::{Server, ServerOptions};
use tintype_benches::workloads::{ServerWorkload, cached_candidates};

pub const LOAD_CORE: usize = 1;
const SERVER_CORE: usize = 0;
const FILE: &str = "cached.jpg";

pub fn run(setup: &Setup, workload: &ServerWorkload, notes: &mut Vec<String>) -> Result<Vec<Row>, String> {
    if std::thread::available_parallelism().map_or(1, usize::from) <= LOAD_CORE {
        notes.push(format!("{} is left out: it takes two cores.", workload.name));
        return Ok(Vec::new());
    }
    let (own, picture) = start_own(setup, workload)?;
    let mut subjects = vec![own];
    match start_nginx(setup, &picture) {
        Ok(peer) => subjects.push(subject("nginx static file", Running::Peer(peer), format!("/{FILE}"))),
        Err(error) => notes.push(format!("nginx is left out of {}: {error}.", workload.name)),
    }
    for round in 0..setup.rounds {
        eprintln!("{} round {} of {}", workload.name, round + 1, setup.rounds);
        for at in order(subjects.len(), round) {
            measure(setup, workload, &mut subjects[at], setup.rounds - round)?;
        }
    }
    Ok(subjects.iter().map(|subject| row(workload, subject, None)).collect())
}

fn subject(name: &str, running: Running, path: String) -> Subject {
    Subject { name: name.into(), running, paths: vec![path.clone()], next: 0, nominal: path, rounds: Vec::new() }
}

/// The server and the picture nearest to 20 KB, which asking for has put into the cache.
fn start_own(setup: &Setup, workload: &ServerWorkload) -> Result<(Subject, Vec<u8>), String> {
    let text = |error: tintype_benches::BenchError| error.to_string();
    let options = ServerOptions {
        program: &setup.program,
        renderer: "cpu",
        profile: "fast",
        core: Some(SERVER_CORE),
        url_cache_mb: None,
        stores: &[],
    };
    let server = Server::start(&options).map_err(text)?;
    let input = std::fs::read(setup.input(&workload.input)).map_err(|error| error.to_string())?;
    server.upload("bench", &input).map_err(text)?;
    let mut best: Option<(String, Vec<u8>)> = None;
    for candidate in cached_candidates() {
        let path = server.path(&candidate, "bench");
        let (status, body) = server.get(&path).map_err(text)?;
        if status != 200 {
            return Err(format!("{path} was answered with {status}"));
        }
        let distance = |body: &[u8]| body.len().abs_diff(20 << 10);
        if best.as_ref().is_none_or(|(_, least)| distance(&body) < distance(least)) {
            best = Some((path, body));
        }
    }
    let (path, body) = best.ok_or("there is no candidate for the cached picture")?;
    Ok((subject("tintype fast", Running::Own(server), path), body))
}

fn start_nginx(setup: &Setup, picture: &[u8]) -> Result<Peer, String> {
    let text = |error: std::io::Error| error.to_string();
    let files = setup.folder.join("files");
    std::fs::create_dir_all(&files).map_err(text)?;
    std::fs::write(files.join(FILE), picture).map_err(text)?;
    let address = free_address()?;
    let template = std::fs::read_to_string("benches/peers/nginx.conf").map_err(text)?;
    let configuration =
        template.replace("FOLDER", &setup.folder.to_string_lossy()).replace("PORT", &address.port().to_string());
    let path = setup.folder.join("nginx.conf");
    std::fs::write(&path, configuration).map_err(text)?;
    let mut command = Command::new("taskset");
    command.args(["-c", &SERVER_CORE.to_string(), "/usr/sbin/nginx", "-p"]).arg(&setup.folder).arg("-c").arg(path);
    Peer::start(&mut command, address, &setup.folder.join("nginx-static.log"))
}
