//! Archives and signed downloads over HTTP.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::{Answer, sign_with};
use crate::whole_app::{CHELSEA, ICON, ROCKET, WholeApp};
use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Method, Request};
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::BodyExt;
use md5::{Digest, Md5};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tintype_api::auth::signature::{Algorithm, Version};
use tintype_api::domain::{BlobKey, Timestamp};
use tintype_api::storage::{self, BlobReader, BlobStore, BlobWriter, MemoryStore};

/// The address of a call, signed over all its parameters.
fn signed(app: &WholeApp, path: &str, params: &[(&str, &str)], age_s: i64) -> String {
    let at = Timestamp::now().unix_seconds() - age_s;
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> = sign_with(&app.demo.key, params, at, Version::V2, Algorithm::Sha1)
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    format!("/v1_1/demo{path}?{}", pairs.join("&"))
}

async fn fetch(app: &WholeApp, path: &str, params: &[(&str, &str)]) -> Answer {
    app.get(&signed(app, path, params, 0)).await
}

async fn create(app: &WholeApp, kind: &str, params: &[(&str, &str)]) -> (u16, Value) {
    app.post(&format!("/{kind}/generate_archive"), params, None, &[("authorization", &app.credentials())]).await
}

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

/// The files of a ZIP, read by way of its directory.
fn unzipped(zip: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let u16_at = |at: usize| usize::from(u16::from_le_bytes(zip[at..at + 2].try_into().unwrap()));
    let u32_at = |at: usize| u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize;
    let end = zip.len() - 22;
    assert_eq!(&zip[end..end + 4], b"PK\x05\x06");
    let mut at = u32_at(end + 16);
    let mut files = BTreeMap::new();
    for _ in 0..u16_at(end + 10) {
        assert_eq!(&zip[at..at + 4], b"PK\x01\x02");
        let name = String::from_utf8(zip[at + 46..at + 46 + u16_at(at + 28)].to_vec()).unwrap();
        let (size, local) = (u32_at(at + 24), u32_at(at + 42));
        assert_eq!(&zip[local..local + 4], b"PK\x03\x04");
        let start = local + 30 + u16_at(local + 26) + u16_at(local + 28);
        let content = zip[start..start + size].to_vec();
        let mut sum = crc32fast::Hasher::new();
        sum.update(&content);
        assert_eq!(sum.finalize() as usize, u32_at(at + 16), "{name}");
        assert!(files.insert(name, content).is_none());
        at += 46 + u16_at(at + 28) + u16_at(at + 30);
    }
    assert_eq!(at, end);
    files
}

fn names(zip: &[u8]) -> Vec<String> {
    unzipped(zip).into_keys().collect()
}

async fn library() -> WholeApp {
    let app = WholeApp::start_in_memory().await;
    app.upload("Rocket.jpg", ROCKET, &[("public_id", "trip/rocket"), ("tags", "fly")]).await;
    app.upload("Chelsea é.png", CHELSEA, &[("public_id", "trip/Chelsea"), ("tags", "cat")]).await;
    app.upload("icon.png", ICON, &[("public_id", "chelsea"), ("tags", "cat,icon")]).await;
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_holds_what_was_named_once_each() {
    let app = library().await;
    let selection = [("mode", "download"), ("public_ids[]", "trip/rocket"), ("tags[]", "cat"), ("prefixes[]", "trip/")];
    let answer = fetch(&app, "/image/generate_archive", &selection).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/zip");
    assert!(answer.header("content-disposition").starts_with("attachment; filename=\""));
    let files = unzipped(&answer.body);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["chelsea.png", "trip/Chelsea.png", "trip/rocket.jpg"]);
    assert!(files["trip/rocket.jpg"] == ROCKET && files["trip/Chelsea.png"] == CHELSEA && files["chelsea.png"] == ICON);

    let flat = [("tags[]", "cat"), ("flatten_folders", "1"), ("target_public_id", "both"), ("mode", "download")];
    let answer = fetch(&app, "/image/generate_archive", &flat).await;
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"both.zip\"");
    assert_eq!(names(&answer.body), ["Chelsea.png", "chelsea_1.png"], "no system may take two names for one");
    let original = [("tags[]", "cat"), ("use_original_filename", "true"), ("mode", "download")];
    let answer = fetch(&app, "/image/generate_archive", &original).await;
    assert_eq!(names(&answer.body), ["icon.png", "trip/Chelsea é.png"]);
    let tagged = fetch(&app, "/image/download_tag.zip", &[("tag", "icon"), ("transformation", "w_20")]).await;
    assert_eq!(names(&tagged.body), ["chelsea/w_20.png"]);
    let any = [("fully_qualified_public_ids[]", "image/upload/chelsea"), ("mode", "download")];
    assert_eq!(names(&fetch(&app, "/auto/generate_archive", &any).await.body), ["chelsea.png"]);

    let tgz = [("tags[]", "cat"), ("target_format", "tgz"), ("mode", "download")];
    let answer = fetch(&app, "/image/generate_archive", &tgz).await;
    let mut tar = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&answer.body[..]), &mut tar).unwrap();
    assert_eq!(&tar[..17], b"trip/Chelsea.png\0");
    assert_eq!(&tar[512..512 + CHELSEA.len()], CHELSEA);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_transformation_makes_a_file_of_its_own() {
    let app = library().await;
    let base = [("tags[]", "fly"), ("tags[]", "icon"), ("transformations", "w_40,c_fill,h_30|a_90/w_20/png")];
    let ask = async |more: &[(&str, &str)]| {
        let params = [&base[..], &[("mode", "download")], more].concat();
        fetch(&app, "/image/generate_archive", &params).await
    };
    let files = unzipped(&ask(&[]).await.body);
    let expected = [
        "chelsea/a_90_w_20.png",
        "chelsea/w_40,c_fill,h_30.png",
        "trip/rocket/a_90_w_20.png",
        "trip/rocket/w_40,c_fill,h_30.jpg",
    ];
    assert_eq!(files.keys().collect::<Vec<_>>(), expected);
    let (small, delivered) = (
        &files["trip/rocket/w_40,c_fill,h_30.jpg"],
        app.get("/demo/image/upload/w_40,c_fill,h_30/trip/rocket.jpg").await.body,
    );
    assert_eq!(small, &delivered, "the same picture as delivery gives");
    let flat = names(&ask(&[("flatten_transformations", "1"), ("flatten_folders", "1")]).await.body);
    assert_eq!(flat[3], "rocket_w_40,c_fill,h_30.jpg");
    let bare = names(&ask(&[("skip_transformation_name", "1")]).await.body);
    assert_eq!(bare, ["chelsea.png", "chelsea_1.png", "trip/rocket.jpg", "trip/rocket.png"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_created_archive_is_a_raw_file() {
    let app = library().await;
    let params = [
        ("tags[]", "cat"),
        ("target_public_id", "out/cats"),
        ("target_tags[]", "z,y"),
        ("target_asset_folder", "zips"),
    ];
    let (status, answer) = create(&app, "image", &params).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["resource_type"], &answer["public_id"], &answer["type"], &answer["asset_folder"]),
        (&json!("raw"), &json!("out/cats.zip"), &json!("upload"), &json!("zips"))
    );
    assert_eq!((&answer["resource_count"], &answer["file_count"]), (&json!(2), &json!(2)));
    assert!(answer.get("missing_public_ids").is_none() && answer.get("width").is_none());
    let delivered = app.get("/demo/raw/upload/out/cats.zip").await;
    assert_eq!(names(&delivered.body), ["chelsea.png", "trip/Chelsea.png"]);
    assert_eq!(answer["etag"], hex::encode(Md5::digest(&delivered.body)));
    assert_eq!(answer["bytes"], delivered.body.len());

    let some = [("public_ids[]", "chelsea"), ("public_ids[]", "gone"), ("tags[]", "none"), ("prefixes[]", "no/")];
    let (status, answer) = create(&app, "image", &some).await;
    assert_eq!((status, message(&answer)), (404, "Resources not found - gone"));
    let (status, answer) = create(&app, "image", &[&some[..], &[("allow_missing", "1")]].concat()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["missing_public_ids"], &answer["empty_tags"], &answer["empty_prefixes"]),
        (&json!(["gone"]), &json!(["none"]), &json!(["no/"]))
    );
    app.upload("p.jpg", ROCKET, &[("public_id", "secret"), ("type", "private")]).await;
    let (_, answer) = create(&app, "image", &[("public_ids[]", "secret"), ("type", "private")]).await;
    assert_eq!(answer["type"], "private", "an archive is no way around the guard of what it holds");
    let url = format!("/demo/raw/upload/{}", answer["public_id"].as_str().unwrap());
    assert_eq!(app.get(&url).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_are_refused_clearly() {
    let app = library().await;
    app.post("/raw/upload", &[("public_id", "n.txt")], Some(("n", b"text")), &[("authorization", &app.credentials())])
        .await;
    let before = app.blobs.list(None, 100).await.unwrap().len();
    let tags: Vec<String> = (0..21).map(|number| format!("t{number}")).collect();
    let ids: Vec<String> = (0..1001).map(|number| format!("i{number}")).collect();
    let many_tags: Vec<(&str, &str)> = tags.iter().map(|tag| ("tags[]", tag.as_str())).collect();
    let many_ids: Vec<(&str, &str)> = ids.iter().map(|id| ("public_ids[]", id.as_str())).collect();
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, u16, &'a str);
    let cases: Vec<Case<'_>> = vec![
        ("image", vec![], 400, "Missing required parameter - public_ids, fully_qualified_public_ids, tags or prefixes"),
        ("image", vec![("tags[]", "nothing")], 404, "No resources found"),
        ("image", many_tags, 400, "Too many tags. Maximum is 20."),
        ("image", many_ids, 400, "Too many public_ids. Maximum is 1000."),
        (
            "image",
            vec![("tags[]", "cat"), ("target_format", "rar")],
            400,
            "Invalid value rar for parameter target_format",
        ),
        ("image", vec![("tags[]", "cat"), ("mode", "burn")], 400, "Invalid value burn for parameter mode"),
        (
            "image",
            vec![("tags[]", "cat"), ("async", "1")],
            400,
            "async is not supported for archives by this server yet",
        ),
        ("image", vec![("tags[]", "cat"), ("target_public_id", "../x")], 400, "target_public_id (../x.zip) is invalid"),
        (
            "raw",
            vec![("public_ids[]", "n.txt"), ("transformations", "w_9")],
            400,
            "n.txt cannot be transformed: it is no image",
        ),
        ("films", vec![("tags[]", "cat")], 400, "Invalid resource type films"),
    ];
    for (kind, params, status, text) in cases {
        let (got, answer) = create(&app, kind, &params).await;
        assert_eq!((got, message(&answer)), (status, text));
    }
    let (status, _) = create(&app, "image", &[("tags[]", "cat"), ("transformations", "w_-3")]).await;
    assert_eq!(status, 400);
    // Rendering fails only once the archive is being written: nothing of it is kept.
    let (status, answer) = create(&app, "image", &[("tags[]", "cat"), ("transformations", "l_gone,w_9")]).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(app.blobs.list(None, 100).await.unwrap().len(), before);
    assert_eq!(app.get("/v1_1/demo/image/generate_archive?tags[]=cat&mode=download").await.status, 400);
    let forged = signed(&app, "/image/generate_archive", &[("tags[]", "cat")], 0).replace("cat", "icon");
    assert_eq!(app.get(&forged).await.status, 401);
    let old = signed(&app, "/image/generate_archive", &[("tags[]", "cat")], 4000);
    assert!(app.get(&old).await.error().starts_with("Stale request"));
    let until = |seconds: i64| (Timestamp::now().unix_seconds() + seconds).to_string();
    let (later, past) = (until(500), until(-5));
    let valid = signed(&app, "/image/generate_archive", &[("tags[]", "cat"), ("expires_at", &later)], 4000);
    assert_eq!(app.get(&valid).await.status, 200);
    let over = signed(&app, "/image/generate_archive", &[("tags[]", "cat"), ("expires_at", &past)], 100);
    assert!(app.get(&over).await.error().starts_with("Stale request"));
    let by_link = signed(&app, "/image/generate_archive", &[("tags[]", "cat"), ("mode", "create")], 0);
    assert_eq!(app.get(&by_link).await.status, 405, "an address alone changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_files_have_signed_addresses() {
    let app = WholeApp::start_in_memory().await;
    let first = app.upload("a.jpg", ROCKET, &[("public_id", "x/secret"), ("type", "private"), ("backup", "1")]).await;
    let base = [("public_id", "x/secret"), ("format", "jpg"), ("type", "private")];
    let answer = fetch(&app, "/image/download", &base).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, ROCKET));
    assert_eq!((answer.header("content-type"), answer.header("content-disposition")), ("image/jpeg", ""));
    assert!(answer.header("cache-control").starts_with("private"));
    let named = fetch(&app, "/image/download", &[&base[..], &[("attachment", "true")]].concat()).await;
    assert_eq!(named.header("content-disposition"), "attachment; filename=\"secret.jpg\"");
    let named = fetch(&app, "/image/download", &[&base[..], &[("target_filename", "mine")]].concat()).await;
    assert_eq!(named.header("content-disposition"), "attachment; filename=\"mine.jpg\"");
    let other = [("public_id", "x/secret"), ("format", "png"), ("type", "private"), ("transformation", "w_30")];
    let answer = fetch(&app, "/image/download", &other).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/png"));
    assert_eq!(&answer.body[1..4], b"PNG");
    let part = app.ask(Method::GET, &signed(&app, "/image/download", &base, 0), &[("range", "bytes=0-9")]).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &ROCKET[..10]));
    assert_eq!(fetch(&app, "/image/download", &base[..2]).await.error(), "Resource not found - x/secret");
    let odd = [("public_id", "x/secret"), ("format", "xyz"), ("type", "private")];
    assert_eq!(fetch(&app, "/image/download", &odd).await.error(), "Invalid value xyz for parameter format");

    let second = app.upload("b.png", CHELSEA, &[("public_id", "x/secret"), ("type", "private")]).await;
    assert_ne!(first["version_id"], second["version_id"]);
    let (id, version) = (first["asset_id"].as_str().unwrap(), first["version_id"].as_str().unwrap());
    let kept = fetch(&app, "/download_backup", &[("asset_id", id), ("version_id", version)]).await;
    assert_eq!((kept.status.as_u16(), &kept.body[..], kept.header("content-type")), (200, ROCKET, "image/jpeg"));
    for (id, version) in [(id, &"0".repeat(32)), (&"0".repeat(32), &version.to_owned()), (id, &"x".to_owned())] {
        let answer = fetch(&app, "/download_backup", &[("asset_id", id), ("version_id", version)]).await;
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (404, "Specified version does not exist"));
    }
}

/// A store that counts what is read, in pieces of 64 KiB.
struct Counting {
    inner: MemoryStore,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    open: AtomicUsize,
    most_open: AtomicUsize,
    opened: AtomicUsize,
    read: AtomicU64,
}

const PIECE: usize = 64 * 1024;

/// Counts one open reader down when it is dropped.
struct Held(Arc<Counts>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl BlobStore for Counting {
    async fn create_as(&self, key: BlobKey) -> storage::Result<Box<dyn BlobWriter>> {
        self.inner.create_as(key).await
    }
    async fn read(&self, key: &BlobKey) -> storage::Result<Bytes> {
        self.inner.read(key).await
    }
    async fn open(&self, key: &BlobKey, range: Option<Range<u64>>) -> storage::Result<BlobReader> {
        let whole = self.inner.open(key, range).await?.collect().await?;
        let counts = self.counts.clone();
        counts.opened.fetch_add(1, Ordering::SeqCst);
        counts.most_open.fetch_max(counts.open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let held = Held(counts);
        let length = whole.len();
        let pieces = futures::stream::iter((0..length).step_by(PIECE)).map(move |at| {
            let piece = whole.slice(at..length.min(at + PIECE));
            held.0.read.fetch_add(piece.len() as u64, Ordering::SeqCst);
            Ok(piece)
        });
        Ok(BlobReader::new(length as u64, pieces.boxed()))
    }
    async fn size(&self, key: &BlobKey) -> storage::Result<Option<u64>> {
        self.inner.size(key).await
    }
    async fn delete(&self, key: &BlobKey) -> storage::Result<()> {
        self.inner.delete(key).await
    }
    async fn list(&self, after: Option<&BlobKey>, limit: usize) -> storage::Result<Vec<BlobKey>> {
        self.inner.list(after, limit).await
    }
    fn kind(&self) -> &'static str {
        "counting"
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_is_read_as_it_is_sent() {
    let counts = Arc::new(Counts::default());
    let store = Counting { inner: MemoryStore::new(), counts: counts.clone() };
    let app = WholeApp::start_over(Arc::new(store), &[]).await;
    let file: Vec<u8> = (0..20 * PIECE).map(|at| (at * 7 % 251) as u8).collect();
    for number in 0..6 {
        let id = format!("part{number}.bin");
        let auth = app.credentials();
        let (status, answer) =
            app.post("/raw/upload", &[("public_id", &id)], Some((&id, &file)), &[("authorization", &auth)]).await;
        assert_eq!(status, 200, "{answer}");
    }
    for count in [&counts.opened, &counts.most_open] {
        count.store(0, Ordering::SeqCst);
    }
    counts.read.store(0, Ordering::SeqCst);
    let ask = || {
        let url = signed(&app, "/raw/generate_archive", &[("prefixes[]", "part"), ("mode", "download")], 0);
        app.begin(Request::get(url).body(Body::empty()).unwrap())
    };
    let mut body = ask().await.into_body();
    let mut taken = 0;
    while let Some(frame) = body.frame().await {
        taken += frame.unwrap().into_data().unwrap().len() as u64;
        let ahead = counts.read.load(Ordering::SeqCst).saturating_sub(taken);
        assert!(ahead <= 4 * PIECE as u64, "{ahead} bytes were read that nobody took");
    }
    assert!(taken > 6 * file.len() as u64);
    assert_eq!((counts.opened.load(Ordering::SeqCst), counts.most_open.load(Ordering::SeqCst)), (6, 1));

    // Somebody who leaves takes the open file along.
    counts.opened.store(0, Ordering::SeqCst);
    let mut body = ask().await.into_body();
    for _ in 0..3 {
        body.frame().await.unwrap().unwrap();
    }
    assert_eq!(counts.open.load(Ordering::SeqCst), 1);
    drop(body);
    assert_eq!(counts.open.load(Ordering::SeqCst), 0);
    assert_eq!(counts.opened.load(Ordering::SeqCst), 1, "the other files were never opened");
}
