//! SIGHUP does not end a server, with a certificate or without one.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::program;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Whether the process handles a signal, by its number: what the kernel says of it.
    fn handles(&self, signal: u32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        u64::from_str_radix(caught, 16).unwrap() & (1 << (signal - 1)) != 0
    }
}

async fn wait(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !holds().await {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_outlives_hangups_and_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut command = program::command();
    command.arg("serve").env("TINTYPE_DATA_DIR", folder.path()).env("TINTYPE_LISTEN", address.to_string());
    command.env("TINTYPE_RENDERER", "cpu").stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Server(command.spawn().unwrap());
    wait("it listens", async || TcpStream::connect(address).await.is_ok()).await;
    // It listens before it waits for its end.
    wait("signals are caught", async || server.handles(1) && server.handles(15)).await;
    for _ in 0..3 {
        server.signal("-HUP");
        assert!(TcpStream::connect(address).await.is_ok());
    }
    // Signals of other kinds are taken one after the other: had a hangup ended it, this would not be an orderly end.
    server.signal("-TERM");
    wait("it ends", async || server.0.try_wait().unwrap().is_some()).await;
    assert!(server.0.wait().unwrap().success());
}
