//! Both blob stores against the conformance suite, and what is particular to the folder.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use tintype_api::storage::{BlobKey, BlobStore, FsStore, MemoryStore, StorageError, conformance, path_of};

/// Files below `folder` that are no locks.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().unwrap() != "lock" {
            found.push(path);
        }
    }
    found
}

async fn put(store: &dyn BlobStore, content: &'static [u8]) -> BlobKey {
    let mut writer = store.create().await.unwrap();
    writer.write(Bytes::from_static(content)).await.unwrap();
    writer.commit().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_conforms() {
    conformance::run(Arc::new(MemoryStore::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folder_store_conforms() {
    let root = tempfile::tempdir().unwrap();
    conformance::run(Arc::new(FsStore::open(root.path()).await.unwrap())).await;
    assert_eq!(files(root.path()), Vec::<PathBuf>::new(), "no file is left behind");
}

#[tokio::test]
async fn blobs_outlive_the_store_and_only_the_owner_reads_them() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("new/blobs");
    let key = put(&FsStore::open(&path).await.unwrap(), b"kept").await;
    let again = FsStore::open(&path).await.unwrap();
    assert_eq!(again.read(&key).await.unwrap(), "kept");
    let file = path.join(path_of(&key));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_start_removes_what_a_crash_left_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let living = FsStore::open(root.path()).await.unwrap();
    let mut writer = living.create().await.unwrap();
    writer.write(Bytes::from_static(b"half")).await.unwrap();

    let crashed = root.path().join("tmp").join(BlobKey::random().as_str());
    fs::create_dir(&crashed).unwrap();
    fs::write(crashed.join("lock"), "").unwrap();
    fs::write(crashed.join(BlobKey::random().as_str()), "left by a crash").unwrap();
    assert_eq!(files(root.path()).len(), 2);

    let second = FsStore::open(root.path()).await.unwrap();
    assert!(!crashed.exists());
    assert_eq!(files(root.path()).len(), 1, "the living writer's file is still there");
    let key = writer.commit().await.unwrap();
    assert_eq!(second.read(&key).await.unwrap(), "half");
    drop((living, second));
    assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 1, "only the lock is left of both sessions");
}

#[tokio::test]
async fn a_failure_names_the_operation_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = FsStore::open(root.path()).await.unwrap();
    let mut writer = store.create().await.unwrap();
    writer.write(Bytes::from_static(b"bytes")).await.unwrap();
    // Where the folder of every first byte should be there are files, so that the blob cannot be placed.
    for first in 0..=255_u8 {
        fs::write(root.path().join(format!("{first:02x}")), "").unwrap();
    }
    let error = writer.commit().await.unwrap_err();
    assert!(matches!(&error, StorageError::Io { operation, .. } if operation.contains("folder")), "{error}");
    assert_eq!(files(&root.path().join("tmp")), Vec::<PathBuf>::new());

    let file = root.path().join("00");
    let refused = FsStore::open(&file).await.err().unwrap();
    assert!(refused.to_string().contains(&file.display().to_string()), "{refused}");
}

#[tokio::test]
async fn a_truncated_file_is_an_error_in_the_stream() {
    let root = tempfile::tempdir().unwrap();
    let store = FsStore::open(root.path()).await.unwrap();
    let key = put(&store, b"0123456789").await;
    let reader = store.open(&key, Some(2..8)).await.unwrap();
    fs::OpenOptions::new().write(true).open(root.path().join(path_of(&key))).unwrap().set_len(4).unwrap();
    assert!(reader.collect().await.is_err());
}

const TRACED_FOLDER: &str = "TINTYPE_TEST_TRACED_FOLDER";

/// What the test below traces; alone it does nothing.
#[tokio::test]
async fn one_commit_to_be_traced() {
    let Some(folder) = std::env::var_os(TRACED_FOLDER) else { return };
    let store = FsStore::open(PathBuf::from(folder)).await.unwrap();
    let key = put(&store, b"bytes that must be durable").await;
    println!("committed {key}");
}

#[test]
fn a_commit_is_durable_in_the_right_order() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().canonicalize().unwrap().join("blobs");
    let trace = root.path().join("trace");
    let output = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=write,fsync,fdatasync,rename,renameat,renameat2,mkdir,mkdirat", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "storage::one_commit_to_be_traced", "--nocapture", "--test-threads=1"])
        .env(TRACED_FOLDER, &folder)
        .output()
        .expect("strace is installed (package strace)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let key = printed.lines().find_map(|line| line.split("committed ").nth(1)).unwrap();
    let key = BlobKey::new(key.trim()).unwrap();
    let trace = fs::read_to_string(&trace).unwrap();
    let problem = order_problem(&trace, &folder, &key);
    assert_eq!(problem, None, "{trace}");
    assert_planted_faults_are_seen(&trace, &folder, &key);
}

/// The first system call of a commit that is missing from its place in the trace.
fn order_problem(trace: &str, folder: &Path, key: &BlobKey) -> Option<String> {
    let target = folder.join(path_of(key));
    let inner = target.parent().unwrap();
    let outer = inner.parent().unwrap();
    let temporary = format!("/{key}>");
    let expected: [(&str, &[&str]); 7] = [
        ("write of the bytes", &["write(", &temporary, "bytes that must be durable"]),
        ("fsync of the file", &["fsync(", &temporary]),
        ("fsync of the root, which holds the outer folder", &["fsync(", &format!("<{}>", folder.display())]),
        ("fsync of the outer folder, which holds the inner", &["fsync(", &format!("<{}>", outer.display())]),
        ("rename", &["rename", &format!("\"{}\"", target.display())]),
        ("fsync of the inner folder, which holds the file", &["fsync(", &format!("<{}>", inner.display())]),
        ("word of the commit", &["write(1", "committed"]),
    ];
    let mut lines = trace.lines();
    for (name, parts) in expected {
        if !lines.any(|line| parts.iter().all(|part| line.contains(part))) {
            return Some(name.to_owned());
        }
    }
    None
}

/// The comparison must be able to fail: each system call left out, or moved to the end, is noticed.
fn assert_planted_faults_are_seen(trace: &str, folder: &Path, key: &BlobKey) {
    let lines: Vec<_> = trace.lines().collect();
    let target = folder.join(path_of(key)).display().to_string();
    let rename = lines.iter().position(|line| line.contains("rename") && line.contains(&target)).unwrap();
    let sync = lines.iter().position(|line| line.contains("fsync(") && line.contains(&format!("/{key}>"))).unwrap();
    for left_out in [rename, sync, rename + 1] {
        let mut faulty = lines.clone();
        let line = faulty.remove(left_out);
        assert!(order_problem(&faulty.join("\n"), folder, key).is_some(), "left out: {line}");
        faulty.push(line);
        assert!(order_problem(&faulty.join("\n"), folder, key).is_some(), "moved to the end: {line}");
    }
}
