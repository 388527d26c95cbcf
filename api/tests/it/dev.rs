//! `tintype dev` as the program: a server in memory, and a command that runs against it.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::{multipart, sign_with};
use crate::program;
use crate::whole_app::ROCKET;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tintype_api::auth::signature::{Algorithm, Version};
use tintype_api::domain::{ApiKey, CloudId, Secret, Timestamp};
use tintype_render::{Limits, codec};

fn dev(folder: &Path) -> Command {
    let mut command = program::command();
    command.current_dir(folder).arg("dev");
    command
}

/// A child that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn exchange(address: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn it_serves_from_memory_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = dev(folder.path());
    command.args(["--cloud", "mine", "--api-key", "42", "--api-secret", "hush", "--samples"]).stdout(Stdio::piped());
    let mut child = Running(command.spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut printed = Vec::new();
    for line in lines.by_ref() {
        printed.push(line);
        if printed.last().is_some_and(|line| line.starts_with("ready: ")) {
            break;
        }
    }
    let base =
        printed.iter().find_map(|line| line.strip_prefix("TINTYPE_URL=")).expect("no address is printed").to_owned();
    let address = base.strip_prefix("http://").unwrap();
    let url = format!("CLOUDINARY_URL=cloudinary://42:hush@mine?upload_prefix={base}&cname={address}");
    assert!(printed.contains(&url), "{printed:?}");

    let key = ApiKey { key: "42".to_owned(), secret: Secret::new("hush"), ..ApiKey::random(CloudId::random()) };
    let now = Timestamp::now().unix_seconds();
    let params = sign_with(&key, &[("public_id", "mine")], now, Version::V2, Algorithm::Sha1);
    let request = multipart("/v1_1/mine/image/upload", &params, Some(("rocket.jpg", ROCKET)));
    let request = program::wire(request).await;
    let answer = String::from_utf8_lossy(&exchange(address, &request)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    for picture in ["mine.jpg", "chelsea.jpg"] {
        let head = format!(
            "GET /mine/image/upload/c_fill,w_40,h_30/{picture} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        );
        let answer = exchange(address, head.as_bytes());
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{picture}: {}", String::from_utf8_lossy(&answer));
        let start = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let probe = codec::probe(&answer[start..], &Limits::default()).unwrap();
        assert_eq!((probe.size.width, probe.size.height), (40, 30));
    }

    let ended = Command::new("kill").args(["-TERM", &child.0.id().to_string()]).status().unwrap();
    assert!(ended.success());
    assert!(child.0.wait().unwrap().success(), "an orderly end is no failure");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
}

#[test]
fn a_command_runs_against_it_and_its_status_counts() {
    let folder = tempfile::tempdir().unwrap();
    // The Python SDK takes no notice of CLOUDINARY_URL where it finds this one.
    let run = |script: &str| {
        let mut command = dev(folder.path());
        command.env("CLOUDINARY_CLOUD_NAME", "elsewhere").args(["--", "sh", "-c", script]).output().unwrap()
    };
    let done = run("echo $CLOUDINARY_URL; echo ${CLOUDINARY_CLOUD_NAME-none}; exit 7");
    assert_eq!(done.status.code(), Some(7), "{}", String::from_utf8_lossy(&done.stderr));
    let printed = String::from_utf8_lossy(&done.stdout);
    assert!(printed.starts_with("cloudinary://111111111111111:tintype-dev@demo?upload_prefix=http://127.0.0.1:"));
    assert!(printed.ends_with("\nnone\n"), "{printed}");
    assert!(run("exit 0").status.success());
    let missing = dev(folder.path()).args(["--", "no-such-program"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no-such-program does not start"));
}

#[test]
fn what_cannot_be_served_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, message) in [
        (["--cloud", "a/b"], "--cloud: "),
        (["--api-key", "a:b"], "--api-key must be"),
        (["--api-secret", "a@b"], "--api-secret must be"),
        (["--listen", "203.0.113.1:1"], "cannot listen on 203.0.113.1:1"),
    ] {
        let done = dev(folder.path()).args(arguments).args(["--", "true"]).output().unwrap();
        assert_eq!(done.status.code(), Some(1), "{arguments:?}");
        let text = String::from_utf8_lossy(&done.stderr);
        assert!(text.contains(message), "{arguments:?}: {text}");
    }
}
