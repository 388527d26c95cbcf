//! Puts a load on any server and prints what came of it as JSON:
//! `cargo run --release --example load -- ADDRESS PATH CONNECTIONS SECONDS [CORE]`

use std::process::ExitCode;
use std::time::Duration;
use tintype_benches::load::{Load, Outcome, Paths, run};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match measure(&words) {
        Ok(outcome) => {
            println!("{}", serde_json::json!(outcome));
            if outcome.n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("load: {error}");
            eprintln!("usage: load ADDRESS PATH CONNECTIONS SECONDS [CORE]");
            ExitCode::from(2)
        }
    }
}

fn measure(words: &[String]) -> Result<Outcome, Box<dyn std::error::Error>> {
    let [address, path, connections, seconds, rest @ ..] = words else {
        return Err("four words are needed".into());
    };
    let load = Load {
        server: address.parse()?,
        paths: Paths::Same(path.clone()),
        accept: "image/webp,*/*".into(),
        n_connections: connections.parse()?,
        duration: Duration::try_from_secs_f64(seconds.parse()?)?,
        max_requests: usize::MAX,
        core: rest.first().map(|core| core.parse()).transpose()?,
    };
    Ok(run(&load)?)
}
