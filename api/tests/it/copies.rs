//! A second store: copies of every original, reading from them, bringing back, and what is kept of deleted ones.

use crate::program::{said, tintype};
use crate::s3;
use crate::s3::proxy::{Mode, Proxy};
use crate::whole_app::{CHELSEA, ICON, ROCKET, WholeApp, ok};
use axum::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tintype_api::domain::{BlobKey, JobState, Timestamp};
use tintype_api::storage::path_of;

/// A server with a second store in another folder.
struct Pair {
    folder: TempDir,
    app: WholeApp,
}

impl Pair {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_str().unwrap();
        let app = WholeApp::start_with(&[("backup", "folder"), ("backup_folder", path)]).await;
        Pair { folder, app }
    }

    fn copy_file(&self, blob: &BlobKey) -> PathBuf {
        self.folder.path().join(path_of(blob))
    }

    fn blob_file(&self, blob: &BlobKey) -> PathBuf {
        self.app.data_dir().join("blobs").join(path_of(blob))
    }

    async fn blob(&self, id: &str) -> BlobKey {
        self.app.asset(id).await.blob
    }

    /// Runs jobs: how many.
    async fn work(&self) -> usize {
        self.app.app.worker().run_due().await
    }

    /// The command, with the settings of the server.
    fn tintype(&self, arguments: &[&str]) -> Output {
        let path = self.folder.path().to_str().unwrap();
        tintype(self.app.data_dir(), &[arguments, &["--backup", "folder", "--backup-folder", path]].concat())
    }

    /// What `verify` says, and whether it was content.
    fn verify(&self, more: &[&str]) -> (bool, Vec<Value>, Value) {
        let output = self.tintype(&[&["verify", "--json"], more].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let totals = lines.pop().unwrap_or_else(|| panic!("{error}"))["totals"].clone();
        (output.status.success(), lines, totals)
    }

    /// Waits until a job is there that brings a lost original back.
    async fn bringing_back(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.jobs(JobState::Waiting).await == 0 {
            assert!(Instant::now() < until, "nobody wants the original back");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn jobs(&self, state: JobState) -> u64 {
        let counts = self.app.records.library.count_jobs().await.unwrap().counts;
        counts.iter().filter(|(of, kind, _)| *of == state && kind.as_str() == "copy").map(|(_, _, count)| count).sum()
    }

    async fn metric(&self, fault: &str, answered: &str) -> u64 {
        let name = format!("tintype_original_faults_total{{fault=\"{fault}\",answered=\"{answered}\"}}");
        self.app.metric(&name).await
    }
}

fn names(findings: &[Value]) -> Vec<(&str, &str, bool)> {
    let mut names: Vec<_> = findings
        .iter()
        .map(|line| {
            (line["name"].as_str().unwrap(), line["problem"].as_str().unwrap(), line["mended"].as_bool().unwrap())
        })
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_original_is_copied_and_derived_pictures_are_not() {
    let pair = Pair::start().await;
    let app = &pair.app;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket"), ("backup", "true")]).await;
    let first = pair.blob("rocket").await;
    // The row and the job are one transaction, so that whatever was acknowledged will be copied.
    assert_eq!((pair.jobs(JobState::Waiting).await, pair.copy_file(&first).exists()), (1, false));
    assert_eq!(pair.work().await, 1);
    assert_eq!(fs::read(pair.copy_file(&first)).unwrap(), ROCKET);
    assert_eq!(app.metric("tintype_copies_total{outcome=\"copied\"}").await, 1);

    // Overwritten: the kept version keeps its copy, the new content gets one. A rename changes no content.
    app.upload("rocket.jpg", CHELSEA, &[("public_id", "rocket"), ("backup", "true")]).await;
    assert_eq!(pair.work().await, 1);
    ok(app, Method::POST, "/image/rename", json!({ "from_public_id": "rocket", "to_public_id": "renamed" })).await;
    assert_eq!(pair.work().await, 0);
    let second = pair.blob("renamed").await;
    assert!(pair.copy_file(&first).exists() && fs::read(pair.copy_file(&second)).unwrap() == CHELSEA);
    // A version that is restored has its copy already.
    ok(app, Method::POST, "/resources/image/upload/restore", json!({ "public_ids": ["renamed"] })).await;
    assert_eq!(pair.work().await, 0);

    assert_eq!(app.get("/demo/image/upload/w_50/renamed.jpg").await.status, 200);
    let derived = app.derived("renamed", 1).await.remove(0);
    assert_eq!((pair.work().await, pair.copy_file(&derived.blob).exists()), (0, false));
    let (content, findings, totals) = pair.verify(&["--deep"]);
    assert!(content && findings.is_empty(), "{findings:?} {totals}");
    assert_eq!((&totals["copies"]["blobs"], &totals["copies"]["strays"]), (&json!(2), &json!(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_and_damaged_originals_are_read_from_their_copies_and_come_back() {
    let mut pair = Pair::start().await;
    pair.app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    let mut large = ROCKET.to_vec();
    large.resize((1 << 20) + 1, 0);
    pair.app.upload("large.jpg", &large, &[("public_id", "large")]).await;
    assert_eq!(pair.work().await, 2);
    let (rocket, streamed) = (pair.blob("rocket").await, pair.blob("large").await);
    let (file, streamed_file) = (pair.blob_file(&rocket), pair.blob_file(&streamed));

    // Lost: delivered, streamed and rendered from the copy.
    fs::remove_file(&file).unwrap();
    fs::remove_file(&streamed_file).unwrap();
    assert!(pair.app.get("/demo/image/upload/rocket.jpg").await.body == ROCKET);
    assert!(pair.app.get("/demo/image/upload/large.jpg").await.body == large);
    assert_eq!(pair.metric("missing", "copy").await, 2);
    pair.bringing_back().await;
    let until = Instant::now() + Duration::from_secs(60);
    while !(file.exists() && streamed_file.exists()) {
        assert!(Instant::now() < until);
        pair.work().await;
    }
    assert!(fs::read(&file).unwrap() == ROCKET && fs::read(&streamed_file).unwrap() == large);
    assert_eq!(pair.app.metric("tintype_copies_total{outcome=\"restored\"}").await, 2);

    // Cut off.
    fs::write(&file, &ROCKET[..500]).unwrap();
    pair.app.restart().await;
    assert_eq!(pair.app.get("/demo/image/upload/w_60/rocket.jpg").await.status, 200);
    assert_eq!((pair.metric("damaged", "copy").await, pair.metric("damaged", "error").await), (1, 0));
    pair.bringing_back().await;
    pair.work().await;
    assert!(fs::read(&file).unwrap() == ROCKET);

    // As long as before, and no picture at all any more.
    fs::write(&file, vec![7; ROCKET.len()]).unwrap();
    pair.app.restart().await;
    assert_eq!(pair.app.get("/demo/image/upload/w_61/rocket.jpg").await.status, 200);
    pair.bringing_back().await;
    pair.work().await;
    assert!(fs::read(&file).unwrap() == ROCKET);

    // One byte is another one; the picture can still be decoded.
    let mut wrong = ROCKET.to_vec();
    wrong[2000] ^= 1;
    fs::write(&file, &wrong).unwrap();
    pair.app.restart().await;
    assert!(pair.app.get("/demo/image/upload/rocket.jpg").await.body == ROCKET, "what is cached is compared in full");
    pair.bringing_back().await;
    pair.work().await;
    assert!(fs::read(&file).unwrap() == ROCKET);

    // Without a good copy the answer says what is wrong, and does not stay in caches.
    fs::remove_file(&file).unwrap();
    fs::write(pair.copy_file(&rocket), b"no copy").unwrap();
    pair.app.restart().await;
    for path in ["/demo/image/upload/rocket.jpg", "/demo/image/upload/w_62/rocket.jpg"] {
        let answer = pair.app.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-cld-error")),
            (500, "The stored file of this resource is missing")
        );
    }
    assert_eq!(pair.metric("missing", "error").await, 2);
    assert_eq!(pair.work().await, 0, "there is nothing to bring back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_second_store_damage_is_told_and_counted() {
    let mut app = WholeApp::start().await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    let mut large = ROCKET.to_vec();
    large.resize((1 << 20) + 1, 0);
    app.upload("large.jpg", &large, &[("public_id", "large")]).await;
    let files = [app.blob_file(&app.asset("rocket").await.blob), app.blob_file(&app.asset("large").await.blob)];
    let paths = ["/demo/image/upload/rocket.jpg", "/demo/image/upload/w_50/rocket.jpg", "/demo/image/upload/large.jpg"];
    for (content, fault) in [(Some(&b"cut off"[..]), "damaged"), (None, "missing")] {
        for file in &files {
            match content {
                Some(content) => fs::write(file, content).unwrap(),
                None => fs::remove_file(file).unwrap(),
            }
        }
        app.restart().await;
        for path in paths {
            let answer = app.get(path).await;
            let said = format!("The stored file of this resource is {fault}");
            assert_eq!((answer.status.as_u16(), answer.header("x-cld-error")), (500, &*said), "{path}");
            assert!(!answer.header("cache-control").contains("max-age=3"), "{}", answer.header("cache-control"));
        }
        let name = format!("tintype_original_faults_total{{fault=\"{fault}\",answered=\"error\"}}");
        assert_eq!(app.metric(&name).await, 3);
    }
    // The same bytes again mend it, without a restart.
    fs::write(&files[0], ROCKET).unwrap();
    assert!(app.get(paths[0]).await.body == ROCKET);
    assert_eq!(app.get(paths[1]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_deleted_originals_stay_for_the_time_of_grace() {
    let pair = Pair::start().await;
    let app = &pair.app;
    for (id, file) in [("rocket", ROCKET), ("chelsea", CHELSEA)] {
        app.upload(id, file, &[("public_id", id)]).await;
    }
    assert_eq!(pair.work().await, 2);
    let (rocket, chelsea) = (pair.blob("rocket").await, pair.blob("chelsea").await);
    ok(app, Method::POST, "/image/destroy", json!({ "public_id": "rocket" })).await;
    assert!(!pair.blob_file(&rocket).exists() && pair.copy_file(&rocket).exists());
    let (content, _, totals) = pair.verify(&[]);
    assert!(content);
    assert_eq!((&totals["copies"]["of_deleted"], &totals["copies"]["strays"]), (&json!(1), &json!(0)));

    let in_days = |days: i64| Timestamp::from_unix_seconds(Timestamp::now().unix_seconds() + days * 86_400);
    assert_eq!(app.app.remove_old_copies(in_days(29)).await.unwrap(), 0);
    assert!(pair.copy_file(&rocket).exists());
    assert_eq!(app.app.remove_old_copies(in_days(31)).await.unwrap(), 1);
    assert!(!pair.copy_file(&rocket).exists() && pair.copy_file(&chelsea).exists());
    assert_eq!(app.app.remove_old_copies(in_days(4000)).await.unwrap(), 0);

    // Deleted before it was copied: then it is not copied any more.
    app.upload("icon.png", ICON, &[("public_id", "icon")]).await;
    let icon = pair.blob("icon").await;
    ok(app, Method::POST, "/image/destroy", json!({ "public_id": "icon" })).await;
    assert_eq!((pair.work().await, pair.copy_file(&icon).exists()), (1, false));
    assert_eq!(pair.jobs(JobState::Dead).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_tells_and_repairs_both_ways() {
    let pair = Pair::start().await;
    for (id, file) in [("rocket", ROCKET), ("chelsea", CHELSEA), ("icon", ICON)] {
        pair.app.upload(id, file, &[("public_id", id), ("backup", "true")]).await;
    }
    // A library from before there was a second store: no job has run.
    let (content, findings, totals) = pair.verify(&[]);
    assert!(!content);
    // An asset and its kept version are two rows with one blob.
    assert_eq!(findings.len(), 6);
    assert!(findings.iter().all(|line| line["problem"] == "no_copy" && line["mended"] == false));
    assert_eq!(totals["copies"]["missing"], 6);
    let text = String::from_utf8(pair.tintype(&["verify"]).stderr).unwrap();
    assert!(text.contains("6 originals or kept versions have no good copy; --repair makes them"), "{text}");
    let (content, findings, totals) = pair.verify(&["--repair"]);
    assert!(content, "{findings:?} {totals}");
    assert_eq!((&totals["copies"]["copied"], &totals["copies"]["restored"]), (&json!(3), &json!(0)));
    assert_eq!(pair.verify(&["--deep"]).1, Vec::<Value>::new());
    assert_eq!(pair.work().await, 3, "the jobs find everything done");

    // Lost here, cut off there, and other bytes on either side.
    let (rocket, chelsea, icon) = (pair.blob("rocket").await, pair.blob("chelsea").await, pair.blob("icon").await);
    fs::remove_file(pair.blob_file(&rocket)).unwrap();
    fs::write(pair.copy_file(&chelsea), b"cut off").unwrap();
    let (content, findings, totals) = pair.verify(&[]);
    assert!(!content);
    let lost = ("image/upload/rocket", "missing", false);
    let cut = ("image/upload/chelsea", "bad_copy", false);
    assert_eq!(names(&findings), [cut, cut, lost, lost]);
    assert_eq!(totals["rows"]["original"]["has_copy"], 1);
    let (content, findings, totals) = pair.verify(&["--repair", "--drop-missing"]);
    assert!(content, "{findings:?} {totals}");
    assert_eq!((&totals["copies"]["copied"], &totals["copies"]["restored"]), (&json!(1), &json!(1)));
    assert!(fs::read(pair.blob_file(&rocket)).unwrap() == ROCKET);
    assert!(fs::read(pair.copy_file(&chelsea)).unwrap() == CHELSEA);

    let mut wrong = ICON.to_vec();
    wrong[60] ^= 1;
    fs::write(pair.blob_file(&icon), &wrong).unwrap();
    fs::write(pair.copy_file(&rocket), vec![0; ROCKET.len()]).unwrap();
    assert!(pair.verify(&[]).0, "only reading tells");
    let (content, findings, _) = pair.verify(&["--deep", "--repair"]);
    assert!(content, "{findings:?}");
    assert!(fs::read(pair.blob_file(&icon)).unwrap() == ICON && fs::read(pair.copy_file(&rocket)).unwrap() == ROCKET);

    // Lost on both sides: that is told, and nothing is dropped without --drop-missing.
    fs::remove_file(pair.blob_file(&icon)).unwrap();
    fs::remove_file(pair.copy_file(&icon)).unwrap();
    let (content, findings, totals) = pair.verify(&["--repair"]);
    assert!(!content);
    assert_eq!(findings.len(), 4, "{findings:?}");
    assert_eq!(
        (&totals["rows"]["original"]["missing"], &totals["rows"]["original"]["has_copy"]),
        (&json!(1), &json!(0))
    );
    // What nobody knows in the second store goes like a copy of what was deleted.
    fs::write(pair.copy_file(&icon), ICON).unwrap();
    let copies = pair.app.copies.as_ref().unwrap();
    let mut writer = copies.create().await.unwrap();
    writer.write(Bytes::from_static(b"from nowhere")).await.unwrap();
    let stray = writer.commit().await.unwrap();
    let (content, _, totals) = pair.verify(&["--repair"]);
    assert!(content);
    assert_eq!((&totals["copies"]["strays"], &totals["copies"]["strays_noted"]), (&json!(1), &json!(1)));
    assert!(pair.copy_file(&stray).exists());
    let later = Timestamp::from_unix_seconds(Timestamp::now().unix_seconds() + 31 * 86_400);
    assert_eq!(pair.app.app.remove_old_copies(later).await.unwrap(), 1);
    assert!(!pair.copy_file(&stray).exists() && pair.copy_file(&icon).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_store_that_was_lost_comes_back() {
    let pair = Pair::start().await;
    let credentials = pair.app.credentials();
    for number in 0..103 {
        let file = format!("file {number}");
        let (id, file) = (format!("r{number}"), Some(("r.txt", file.as_bytes())));
        let (status, answer) =
            pair.app.post("/raw/upload", &[("public_id", &id)], file, &[("authorization", &credentials)]).await;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(pair.work().await, 103);
    let keys = pair.app.blobs.list(None, 1000).await.unwrap();
    pair.app.blobs.delete_all(&keys).await.unwrap();
    // The guard against stores that are not mounted must not stand in the way.
    let (content, findings, totals) = pair.verify(&["--repair", "--drop-missing"]);
    assert!(content, "{totals}");
    assert_eq!(
        (findings.len(), &totals["copies"]["restored"], &totals["rows"]["original"]["rows"]),
        (103, &json!(103), &json!(103))
    );
    assert!(pair.app.get("/demo/raw/upload/r77").await.body == "file 77");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_refuses_a_second_store_that_is_the_first() {
    let app = WholeApp::start().await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    let elsewhere = TempDir::new().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(app.data_dir().join("blobs"), &link).unwrap();
    for (path, said) in [(app.data_dir().join("blobs"), "backup_folder"), (link, "is the store of the blobs itself")] {
        let output =
            tintype(app.data_dir(), &["verify", "--backup", "folder", "--backup-folder", path.to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(said), "{error}");
    }
    let copies = elsewhere.path().join("copies");
    let flags = ["--backup", "folder", "--backup-folder", copies.to_str().unwrap()];
    let text = said(app.data_dir(), &[&["verify", "--repair"], &flags[..]].concat());
    assert!(text.contains("1 copies are stored"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_delivered_while_the_first_store_does_not_answer() {
    let Some(server) = s3::server() else { return };
    let (bucket, proxy, folder) = (s3::bucket(&server), Proxy::before(&server).await, TempDir::new().unwrap());
    let url = proxy.url();
    let flags = [
        ("storage", "s3"),
        ("s3_endpoint", url.as_str()),
        ("s3_bucket", &bucket),
        ("s3_access_key_id", "test"),
        ("s3_secret_access_key", s3::SECRET),
        ("backup", "folder"),
        ("backup_folder", folder.path().to_str().unwrap()),
    ];
    let mut app = WholeApp::start_with(&flags).await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    assert_eq!(app.app.worker().run_due().await, 1);
    app.restart().await;
    proxy.set(Mode::Answer(503, "SlowDown"));
    assert!(app.get("/demo/image/upload/rocket.jpg").await.body == ROCKET);
    let name = "tintype_original_faults_total{fault=\"unavailable\",answered=\"copy\"}";
    assert_eq!(app.metric(name).await, 1);
    // What is only out of reach is not lost.
    assert_eq!(app.app.worker().run_due().await, 0);
    // And the other way: uploads do not wait for the second store, whose copies come when it can be written to.
    proxy.set(Mode::Pass);
    let blocked = folder.path().join("tmp");
    fs::remove_dir_all(&blocked).unwrap();
    app.upload("chelsea.png", CHELSEA, &[("public_id", "chelsea")]).await;
    assert_eq!(app.app.worker().run_due().await, 1, "it fails, and waits for its next attempt");
    let counts = app.records.library.count_jobs().await.unwrap().counts;
    assert!(counts.iter().any(|(state, kind, _)| *state == JobState::Waiting && kind.as_str() == "copy"));
    assert!(app.get("/demo/image/upload/chelsea.png").await.body == CHELSEA);
}
