//! The command behind `cargo run -p tintype-xtask -- tidy`.

use std::process::ExitCode;
use tintype_xtask::tidy;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() != Some("tidy") {
        eprintln!("usage: cargo run -p tintype-xtask -- tidy");
        return ExitCode::FAILURE;
    }
    match tidy::check(&tintype_xtask::repository()) {
        Ok(findings) => report(&findings),
        Err(error) => {
            eprintln!("tidy: the repository could not be read: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(findings: &[tidy::Finding]) -> ExitCode {
    for finding in findings {
        println!("{finding}");
    }
    let faults = findings.iter().filter(|finding| finding.is_fault()).count();
    println!("tidy: {faults} faults, {} warnings", findings.len() - faults);
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
