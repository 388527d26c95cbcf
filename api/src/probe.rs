//! Lists graphics adapters in a short-lived child process, because loading a software driver alone keeps about 50 MB
//! resident in the process that did it.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tintype_render::gpu::{self, AdapterKind};

/// Name of the hidden command that the child runs.
pub const COMMAND: &str = "list-adapters";
/// How long a driver may take to say what it has.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What the child prints: one adapter a line.
pub fn print() {
    for adapter in gpu::adapters() {
        let kind = if adapter.kind == AdapterKind::Software { "software" } else { "hardware" };
        println!("{kind}\t{}", adapter.name);
    }
}

/// Names of the adapters that are real hardware.
pub fn hardware_adapters() -> Result<Vec<String>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .arg(COMMAND)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(Some(status)) => return Err(format!("the driver ended the probe: {status}")),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("the driver did not answer within {} s", TIMEOUT.as_secs()));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    let mut text = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut text).map_err(|error| error.to_string())?;
    }
    Ok(text.lines().filter_map(|line| line.strip_prefix("hardware\t")).map(str::to_owned).collect())
}
