//! A disk without room. The system's limit on the length of files stands in for it, for every write beyond it fails, and it
//! needs no rights of its own.

use super::{Load, Server};
use crate::whole_app::{CHELSEA, ROCKET};
use std::process::Command;

/// From now on no file of the server may grow beyond so many bytes.
fn limit(server: &Server, bytes: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &server.id().to_string(), &format!("--fsize={bytes}:unlimited")])
        .status()
        .expect("prlimit is installed (package util-linux)");
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_costs_nothing_that_was_acknowledged() {
    let server = Server::start(&[]).await;
    let load = Load::start(&server, |n| 1 + n * 997 % 50_000);
    load.go_on(20).await;
    load.finish(&server).await;
    assert_eq!(server.upload("image", "rocket", ROCKET).await.unwrap().status, 200);
    assert!(server.get("/demo/image/upload/rocket.jpg").await.unwrap().body == ROCKET);

    limit(&server, "4096");
    for round in 0..3 {
        // The file itself has no room.
        let reply = server.upload("image", &format!("large-{round}"), ROCKET).await.unwrap();
        assert_eq!(reply.status, 507, "{}", reply.text());
        assert!(reply.text().contains("no room left for files"), "{}", reply.text());
        // The file has, its row has not.
        let reply = server.upload("raw", &format!("small-{round}"), b"a few bytes").await.unwrap();
        assert!(reply.is_for_later(), "{} {}", reply.status, reply.text());
        // Overwriting fails too, and leaves what is there.
        assert_eq!(server.upload("image", "rocket", CHELSEA).await.unwrap().status, 507);
        assert!(server.get("/demo/image/upload/rocket.jpg").await.unwrap().body == ROCKET);
        // A picture that cannot be kept is delivered all the same.
        let reply = server.get(&format!("/demo/image/upload/w_{}/rocket.jpg", 50 + round)).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert!(server.is_running());

    limit(&server, "unlimited");
    let load = Load::start(&server, |n| 1 + n * 991 % 50_000);
    load.go_on(20).await;
    load.finish(&server).await;
    assert_eq!(server.upload("image", "rocket", CHELSEA).await.unwrap().status, 200);
    assert!(server.get("/demo/image/upload/rocket.png").await.unwrap().body == CHELSEA);
    assert_eq!(server.get("/demo/image/upload/w_60/rocket.jpg").await.unwrap().status, 200);
    for id in ["large-0", "small-0"] {
        let kind = if id.starts_with("large") { "image" } else { "raw" };
        assert_eq!(server.get(&format!("/demo/{kind}/upload/{id}")).await.unwrap().status, 404, "{id}");
    }
    let verified = server.command(&["verify", "--deep", "--repair", "--grace", "0"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    // Nothing of what failed is left in the way of being written.
    let unfinished = std::fs::read_dir(server.blob_folder().join("tmp")).unwrap();
    let files = unfinished.flatten().filter(|entry| entry.path().is_dir()).map(|entry| {
        std::fs::read_dir(entry.path()).unwrap().flatten().filter(|file| file.file_name() != "lock").count()
    });
    assert_eq!(files.sum::<usize>(), 0);
}
