//! What the whole server has made durable, and in which order, before it acknowledges an upload.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::{multipart, sign_with};
use crate::program;
use crate::whole_app::ROCKET;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tintype_api::auth::signature::{Algorithm, Version};
use tintype_api::domain::{ApiKey, CloudId, Secret, Timestamp};

const CALLS: &str = "trace=openat,write,writev,pwrite64,send,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2";

/// A traced server; dropping it ends the server, and with it the tracer.
struct Traced {
    tracer: Child,
    trace: PathBuf,
}

impl Drop for Traced {
    fn drop(&mut self) {
        // A tracer that is killed leaves its server behind. The first line is of the server's first thread.
        let trace = fs::read_to_string(&self.trace).unwrap_or_default();
        let server = trace.split_whitespace().next().filter(|word| word.parse::<u32>().is_ok());
        let killed = server.is_some_and(|server| {
            Command::new("kill").args(["-KILL", server]).status().is_ok_and(|status| status.success())
        });
        if !killed {
            let _ = self.tracer.kill();
        }
        let _ = self.tracer.wait();
    }
}

#[tokio::test]
async fn an_upload_is_durable_before_it_is_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let (trace, data) = (root.join("trace"), root.join("data"));
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "4096", "-e", CALLS, "-o"]).arg(&trace);
    command.arg(env!("CARGO_BIN_EXE_tintype")).arg("serve");
    program::clear_settings(&mut command);
    let spawned = command
        .env("TINTYPE_DATA_DIR", &data)
        .env("TINTYPE_LISTEN", address.to_string())
        .env("TINTYPE_RENDERER", "cpu")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let tracer = spawned.expect("strace is installed (package strace)");
    let mut traced = Traced { tracer, trace: trace.clone() };
    let key = credentials(&mut traced);

    // The samples are uploaded before the server listens; only what comes after this point is looked at.
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(started.elapsed() < Duration::from_secs(60), "the server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let params = sign_with(
        &key,
        &[("public_id", "kept-for-good")],
        Timestamp::now().unix_seconds(),
        Version::V2,
        Algorithm::Sha1,
    );
    let request = multipart("/v1_1/demo/image/upload", &params, Some(("rocket.jpg", ROCKET)));
    let request = program::wire(request).await;
    let begin = fs::read(&trace).unwrap().len();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(&request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("kept-for-good"), "{answer}");
    drop(traced);

    let text = fs::read(&trace).unwrap();
    let calls = completed_calls(&String::from_utf8_lossy(&text[begin..]));
    assert_eq!(order_problem(&calls, &data), Ok(()), "\n{}", calls.join("\n"));
    assert_planted_faults_are_seen(&calls, &data);
}

/// The key from the greeting, which comes once the server can be used; what the tracer says where there is none.
fn credentials(traced: &mut Traced) -> ApiKey {
    let stdout = traced.tracer.stdout.take().unwrap();
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    while let Some(line) = lines.next() {
        if let Some((_, rest)) = line.split_once("cloudinary://") {
            let (name, rest) = rest.split_once(':').unwrap();
            let (secret, _) = rest.split_once('@').unwrap();
            let key = ApiKey::random(CloudId::random());
            // The server goes on printing, and must find a reader.
            std::thread::spawn(move || lines.for_each(drop));
            return ApiKey { key: name.to_owned(), secret: Secret::new(secret), ..key };
        }
    }
    let mut said = String::new();
    traced.tracer.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    panic!("the server cannot be traced (strace and the right to use ptrace are needed): {said}");
}

/// One line for each system call, at the place where it returned: a call that other threads interrupted is put together
/// from its two halves. So a line that stands before another had returned before the other did.
fn completed_calls(trace: &str) -> Vec<String> {
    let mut open = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(char::is_whitespace) else { continue };
        let call = call.trim_start();
        if let Some(begun) = call.strip_suffix("<unfinished ...>") {
            open.insert(thread, begun.trim_end());
        } else if let Some((_, rest)) = call.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            if let Some(begun) = open.remove(thread) {
                calls.push(format!("{begun}{rest}"));
            }
        } else {
            calls.push(call.to_owned());
        }
    }
    // A call that had no result when the tracer ended never stands before another one.
    calls
}

fn is_sync(call: &str, path: &str) -> bool {
    (call.starts_with("fsync(") || call.starts_with("fdatasync("))
        && call.contains(&format!("<{path}>"))
        && call.ends_with("= 0")
}

/// The places of the six calls of an upload, or which of them is not where it must be. A call that must come after another
/// is looked for only after the place of the other.
fn places(calls: &[String], data: &Path) -> Result<[usize; 6], &'static str> {
    let answer = calls
        .iter()
        .position(|call| {
            ["write", "send"].iter().any(|name| call.starts_with(name))
                && call.contains("HTTP/1.1 200 OK")
                && call.contains("kept-for-good")
        })
        .ok_or("the answer is not written")?;
    let before = |from: usize, what: &dyn Fn(&str) -> bool| (from..answer).find(|at| what(&calls[*at]));
    let before_last = |until: usize, what: &dyn Fn(&str) -> bool| (0..until).rev().find(|at| what(&calls[*at]));

    // The last rename into the blobs before the answer is that of the upload.
    let blobs = format!("{}/blobs/", data.display());
    let rename =
        before_last(answer, &|call| call.starts_with("rename") && call.contains(&blobs) && call.ends_with("= 0"))
            .ok_or("the blob is not renamed before the answer")?;
    let names: Vec<&str> = calls[rename].split('"').skip(1).step_by(2).collect();
    let (temporary, target) = (names[0], *names.last().unwrap());
    let folder = Path::new(target).parent().unwrap().display().to_string();
    let wal = format!("{}/catalog.sqlite-wal", data.display());

    let blob_sync =
        before_last(rename, &|call| is_sync(call, temporary)).ok_or("the blob is not synced before its rename")?;
    let folder_sync =
        before(rename, &|call| is_sync(call, &folder)).ok_or("the folder is not synced between rename and answer")?;
    // Rows of other uploads went the same way: this one's page holds its public id.
    let is_row = |call: &str| {
        call.starts_with("pwrite64(") && call.contains(&format!("<{wal}>")) && call.contains("kept-for-good")
    };
    let row = before(folder_sync, &is_row).ok_or("no row is written between the folder's sync and the answer")?;
    if (0..folder_sync).any(|at| is_row(&calls[at])) {
        return Err("the row is written before the folder is durable");
    }
    let row_sync = before(row, &|call| is_sync(call, &wal)).ok_or("the row is not synced before the answer")?;
    Ok([blob_sync, rename, folder_sync, row, row_sync, answer])
}

fn order_problem(calls: &[String], data: &Path) -> Result<(), &'static str> {
    places(calls, data).map(drop)
}

/// The comparison must be able to fail: without one of the calls, and with the answer before it, it does.
fn assert_planted_faults_are_seen(calls: &[String], data: &Path) {
    let places = places(calls, data).unwrap();
    let [.., answer] = places;
    for at in places {
        let what = calls[at].chars().take(200).collect::<String>();
        // Everything of the same kind on the same file goes, for a later one would stand in for it.
        let same: String = calls[at].chars().take_while(|character| *character != '>').collect();
        let left_out: Vec<_> = calls.iter().filter(|call| !call.starts_with(&same)).cloned().collect();
        assert!(order_problem(&left_out, data).is_err(), "left out: {what}");
        if at != answer {
            let mut late = calls.to_vec();
            let moved = late.remove(answer);
            late.insert(at, moved);
            assert!(order_problem(&late, data).is_err(), "answered before: {what}");
        }
    }
}

#[test]
fn halves_of_a_call_are_put_together_where_it_returned() {
    let trace = "7 fsync(3</a> <unfinished ...>\n8 rename(\"/b\", \"/c\") = 0\n7 <... fsync resumed>) = 0\n9 write(1</d>, \"x\", 1 <unfinished ...>\n";
    assert_eq!(completed_calls(trace), ["rename(\"/b\", \"/c\") = 0", "fsync(3</a>) = 0"]);
}
