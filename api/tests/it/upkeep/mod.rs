//! Works on a whole server: comparing its rows with its blobs, backing it up and bringing it back.
#![allow(clippy::unwrap_used, clippy::panic)]

mod backup;
mod verify;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the program on a data folder.
fn tintype(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tintype"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TINTYPE_")) {
        command.env_remove(name);
    }
    command.args(arguments).env("TINTYPE_DATA_DIR", data).stdin(Stdio::null()).output().unwrap()
}

/// What it printed, of a success.
fn said(data: &Path, arguments: &[&str]) -> String {
    let output = tintype(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
