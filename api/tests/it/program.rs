//! The program as a process, with nothing of the tests' own settings in its environment.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `tintype`, without input; the caller adds arguments and settings.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tintype"));
    clear_settings(&mut command);
    command.stdin(Stdio::null());
    command
}

/// Takes away what would set up the program, or another that starts it.
pub fn clear_settings(command: &mut Command) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TINTYPE_") || name.starts_with("AWS_")) {
        command.env_remove(name);
    }
}

/// Runs it on a data folder.
pub fn tintype(data: &Path, arguments: &[&str]) -> Output {
    command().args(arguments).env("TINTYPE_DATA_DIR", data).output().unwrap()
}

/// What it printed, of a success.
pub fn said(data: &Path, arguments: &[&str]) -> String {
    let output = tintype(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A request as the bytes of a connection that ends with it.
pub async fn wire(request: Request<Body>) -> Vec<u8> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let head = format!(
        "{} {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        parts.method,
        parts.uri,
        parts.headers["content-type"].to_str().unwrap(),
        body.len()
    );
    [head.as_bytes(), &body].concat()
}
