//! Blobs on a real S3 server, each test in a bucket of its own, and what happens when the server or the way to it fails.
#![allow(clippy::unwrap_used, clippy::panic)]

mod faults;
mod import;
pub mod proxy;
mod whole;

use bytes::Bytes;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_api::domain::{CloudId, Secret};
use tintype_api::service::derive::md5_hex;
use tintype_api::storage::s3::{Checksums, S3Options, Timing};
use tintype_api::storage::{
    Backup, BlobKey, BlobStore, Expected, FsStore, Mirrored, S3Store, StorageError, conformance, path_of,
};

/// URL of an S3 server that takes any credentials.
const SERVER: &str = "TINTYPE_TEST_S3";
const LEAVE_OUT: &str = "TINTYPE_TEST_NO_S3";
pub const SECRET: &str = "a-secret-that-nobody-prints";

/// The server's URL, or `None` where the tests are to be left out.
pub fn server() -> Option<String> {
    if let Ok(url) = std::env::var(SERVER) {
        return Some(url);
    }
    if std::env::var(LEAVE_OUT).is_ok_and(|value| value == "1") {
        eprintln!("left out because {LEAVE_OUT}=1: a test of the S3 store");
        return None;
    }
    panic!(
        "{SERVER} is not set: `make test` sets it to an S3 server of its own \
         (deploy/test-s3.sh start DIR prints such a URL); {LEAVE_OUT}=1 leaves these tests out"
    );
}

/// One request to the server, which believes everybody who names himself. Gives status and body.
fn ask(server: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
    let address = server.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    let who = "Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    head += &format!("authorization: AWS4-HMAC-SHA256 {who}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A new, empty bucket.
pub fn bucket(server: &str) -> String {
    let bucket = format!("test-{}", BlobKey::random());
    let (status, text) = ask(server, "PUT", &format!("/{bucket}"), &[], b"");
    assert_eq!(status, 200, "{text}");
    bucket
}

fn options(endpoint: &str, bucket: &str) -> S3Options {
    S3Options {
        endpoint: Some(endpoint.to_owned()),
        region: "us-east-1".into(),
        bucket: bucket.to_owned(),
        prefix: "some/where".into(),
        access_key_id: "test".into(),
        secret_access_key: Secret::new(SECRET),
        path_style: true,
        checksums: Checksums::WhenRequired,
        // Long enough for a machine that is busy with all other tests.
        timing: Timing {
            attempt: Duration::from_secs(60),
            first_pause: Duration::from_millis(20),
            ..Timing::default()
        },
    }
}

async fn open(options: S3Options) -> S3Store {
    S3Store::open(options).await.unwrap()
}

/// Bytes of which no two megabytes are alike.
fn content(length: usize) -> Bytes {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect::<Vec<_>>().into()
}

async fn put(store: &dyn BlobStore, content: &Bytes) -> BlobKey {
    let mut writer = store.create().await.unwrap();
    for start in (0..content.len()).step_by(700_000) {
        writer.write(content.slice(start..content.len().min(start + 700_000))).await.unwrap();
    }
    writer.commit().await.unwrap()
}

/// Multipart uploads that the server knows of in a bucket.
fn unfinished(server: &str, bucket: &str) -> usize {
    let (status, text) = ask(server, "GET", &format!("/{bucket}?uploads"), &[], b"");
    assert_eq!(status, 200, "{text}");
    text.matches("<UploadId>").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_s3_store_conforms() {
    let Some(server) = server() else { return };
    let bucket = bucket(&server);
    conformance::run(Arc::new(open(options(&server, &bucket)).await)).await;
    assert_eq!(unfinished(&server, &bucket), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_s3_store_conforms_with_more_checksums_and_without_a_prefix() {
    let Some(server) = server() else { return };
    let bucket = bucket(&server);
    let options = S3Options { checksums: Checksums::WhenSupported, prefix: String::new(), ..options(&server, &bucket) };
    conformance::run(Arc::new(open(options).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_blobs_are_uploaded_and_copied_in_parts() {
    let Some(server) = server() else { return };
    let store = open(options(&server, &bucket(&server))).await;
    // The edge of one part, and several parts with a rest.
    for length in [5 << 20, (5 << 20) + 1, 23_456_789] {
        let content = content(length);
        let key = put(&store, &content).await;
        assert_eq!(store.size(&key).await.unwrap(), Some(length as u64));
        assert!(store.read(&key).await.unwrap() == content, "{length}");
        let middle = store.open(&key, Some(5_242_000..5_242_880)).await.unwrap().collect().await.unwrap();
        assert!(middle == content.slice(5_242_000..5_242_880), "{length}");
        let copy = BlobKey::random();
        store.copy_in_parts(5 << 20, &key, &copy).await.unwrap();
        assert!(store.read(&copy).await.unwrap() == content, "{length} copied");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cloud_can_have_a_bucket() {
    let Some(server) = server() else { return };
    let start = &BlobKey::random().to_string()[..20];
    let store = open(options(&server, &format!("{start}-{{cloud}}"))).await;
    let mut keys = BTreeSet::new();
    let clouds = [CloudId::random(), CloudId::random()];
    for cloud in clouds.iter().chain(&clouds) {
        for length in [10, 6 << 20] {
            let mut writer = store.create_for(cloud).await.unwrap();
            writer.write(content(length)).await.unwrap();
            let key = writer.commit().await.unwrap();
            assert!(store.read(&key).await.unwrap() == content(length));
            let path = format!("/{start}-{}/some/where/{}", &cloud.as_str()[..12], path_of(&key));
            assert_eq!(ask(&server, "HEAD", &path, &[], b"").0, 200, "{path}");
            keys.insert(key);
        }
    }
    let listed = store.list(None, 5).await.unwrap();
    assert!(listed.iter().eq(keys.iter().take(5)));
    assert!(store.list(listed.last(), 5).await.unwrap().iter().eq(keys.iter().skip(5)));

    let elsewhere = BlobKey::random_of(&CloudId::random());
    assert_eq!(store.size(&elsewhere).await.unwrap(), None);
    assert!(matches!(store.read(&elsewhere).await, Err(StorageError::NotFound(_))));
    store.delete(&elsewhere).await.unwrap();
    let first = keys.first().unwrap();
    store.copy(first, &elsewhere).await.unwrap();
    assert!(store.read(&elsewhere).await.unwrap() == store.read(first).await.unwrap(), "copied to another cloud");
    keys.insert(elsewhere);

    let refused = store.create().await.err().unwrap().to_string();
    assert!(refused.contains("cloud"), "{refused}");
    store.delete_all(&keys.into_iter().collect::<Vec<_>>()).await.unwrap();
    assert!(store.list(None, 5).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_writer_takes_its_parts_back() {
    let Some(server) = server() else { return };
    let bucket = bucket(&server);
    let store = open(options(&server, &bucket)).await;
    let mut writer = store.create().await.unwrap();
    writer.write(content(12_000_000)).await.unwrap();
    assert_eq!(unfinished(&server, &bucket), 1);
    assert!(store.list(None, 1).await.unwrap().is_empty());
    drop(writer);
    let until = Instant::now() + Duration::from_secs(60);
    while unfinished(&server, &bucket) > 0 {
        assert!(Instant::now() < until, "the upload was not aborted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(store.list(None, 1).await.unwrap().is_empty());
}

const KILLED_BUCKET: &str = "TINTYPE_TEST_KILLED_BUCKET";

/// What the test below kills; alone it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_to_be_killed() {
    let Ok(bucket) = std::env::var(KILLED_BUCKET) else { return };
    let store = open(options(&server().unwrap(), &bucket)).await;
    let mut writer = store.create().await.unwrap();
    writer.write(content(12_000_000)).await.unwrap();
    println!("\nhalf written");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_no_blob_and_its_parts_are_swept() {
    let Some(server) = server() else { return };
    let bucket = bucket(&server);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "s3::a_writer_to_be_killed", "--nocapture", "--test-threads=1"])
        .env(KILLED_BUCKET, &bucket)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let half = lines.any(|line| line == "half written");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(half, "the child did not write");

    let store = open(options(&server, &bucket)).await;
    assert!(store.list(None, 1).await.unwrap().is_empty(), "nothing was committed");
    assert_eq!(unfinished(&server, &bucket), 1);
    assert_eq!(store.remove_unfinished().await.unwrap(), 1);
    assert_eq!(unfinished(&server, &bucket), 0);
    assert_eq!(store.remove_unfinished().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_bytes_are_noticed() {
    let Some(server) = server() else { return };
    let bucket = bucket(&server);
    let store = open(options(&server, &bucket)).await;
    let key = put(&store, &content(100_000)).await;
    let path = format!("/{bucket}/some/where/{}", path_of(&key));
    let mut other = content(100_000).to_vec();
    other[77_777] ^= 1;
    let sum = "00000000000000000000000000000000";
    assert_eq!(ask(&server, "PUT", &path, &[("x-amz-meta-tintype-md5", sum)], &other).0, 200);
    let read = store.read(&key).await;
    assert!(matches!(&read, Err(StorageError::Corrupted { key: named, .. }) if *named == key), "{read:?}");
    let streamed = store.open(&key, None).await.unwrap().collect().await;
    assert!(matches!(streamed, Err(StorageError::Corrupted { .. })), "{streamed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_brings_blobs_back_either_way() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let on_s3: Arc<dyn BlobStore> = Arc::new(open(options(&server, &bucket(&server))).await);
    let in_folder: Arc<dyn BlobStore> = Arc::new(FsStore::open(folder.path()).await.unwrap());
    for (primary, copies) in [(&on_s3, &in_folder), (&in_folder, &on_s3)] {
        let backup = Backup::new(Arc::clone(primary), Arc::clone(copies));
        for length in [0, 1000, 6 << 20] {
            let content = content(length);
            let key = put(&**primary, &content).await;
            let expected = Expected { bytes: length as u64, md5: Some(md5_hex(&content)) };
            assert_eq!(backup.mirror(&key, &expected, false).await.unwrap(), Mirrored::Copied);
            assert_eq!(backup.mirror(&key, &expected, true).await.unwrap(), Mirrored::Nothing);
            assert!(copies.read(&key).await.unwrap() == content);

            // A damaged original is replaced, a lost one comes back.
            let mut writer = primary.create_as(key.clone()).await.unwrap();
            writer.write(Bytes::from_static(b"damage")).await.unwrap();
            writer.commit().await.unwrap();
            assert_eq!(backup.mirror(&key, &expected, false).await.unwrap(), Mirrored::Restored);
            assert!(primary.read(&key).await.unwrap() == content);
            primary.delete(&key).await.unwrap();
            assert_eq!(backup.mirror(&key, &expected, false).await.unwrap(), Mirrored::Restored);
            assert!(primary.read(&key).await.unwrap() == content);

            // Other bytes of the same length are not copied, and found by reading.
            if length > 0 {
                let mut other = content.to_vec();
                other[length / 2] ^= 1;
                let mut writer = copies.create_as(key.clone()).await.unwrap();
                writer.write(Bytes::from(other)).await.unwrap();
                writer.commit().await.unwrap();
                assert_eq!(backup.mirror(&key, &expected, false).await.unwrap(), Mirrored::Nothing);
                primary.delete(&key).await.unwrap();
                let refused = backup.mirror(&key, &expected, false).await;
                assert!(matches!(refused, Err(StorageError::Corrupted { .. })), "{refused:?}");
                assert_eq!(primary.size(&key).await.unwrap(), None);
            }
            primary.delete(&key).await.unwrap();
            copies.delete(&key).await.unwrap();
            assert!(matches!(backup.mirror(&key, &expected, true).await, Err(StorageError::NotFound(_))));
        }
    }
}
