//! `tintype import` from a folder and from an account, which is another server here.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::program;
use crate::whole_app::{CHELSEA, ICON, ROCKET, WholeApp, ok};
use axum::http::Method;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tintype_api::import::{Account, Importer, Items, Options, Progress, Report, copy_definitions, files};
use tintype_api::storage::MemoryStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn run(importer: &Importer, items: Items, options: Options) -> Report {
    importer.run(items, options, &Progress::default(), std::future::pending()).await
}

/// Imported, present, left alone, failed.
fn counts(report: &Report) -> [u64; 4] {
    [report.imported, report.present, report.kept, report.failed]
}

fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_folder_is_imported_once() {
    let app = WholeApp::start_in_memory().await;
    let importer = app.importer();
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(root, "a/rocket.jpg", ROCKET);
    write(root, "a/b/chelsea.PNG", CHELSEA);
    write(root, "notes.txt", b"plain");
    write(root, "broken.jpg", b"no picture");
    write(root, ".hidden/icon.png", ICON);
    write(root, ".DS_Store", b"x");
    std::os::unix::fs::symlink("/etc/passwd", root.join("link.txt")).unwrap();
    let options = Options::default();

    let look = run(&importer, files(root, "old", false), Options { dry_run: true, ..options }).await;
    assert_eq!(counts(&look), [4, 0, 0, 0]);
    let (_, listed) = app.admin(Method::GET, "/resources/image", Value::Null).await;
    assert_eq!(listed["resources"], json!([]), "a look changes nothing");

    let report = run(&importer, files(root, "old", false), options).await;
    assert_eq!(counts(&report), [3, 0, 0, 1]);
    assert_eq!(report.bytes, (ROCKET.len() + CHELSEA.len() + 5) as u64);
    assert_eq!(report.failures[0].what, "image/upload/old/broken");
    let rocket = app.asset("old/a/rocket").await;
    assert_eq!((rocket.bytes, rocket.original_filename.as_str()), (ROCKET.len() as u64, "rocket"));
    let picture = app.get("/demo/image/upload/c_fill,w_20,h_20/old/a/b/chelsea.png").await;
    assert_eq!(picture.status, 200, "{}", picture.text());
    assert_eq!(app.get("/demo/raw/upload/old/notes.txt").await.body, "plain");

    // Again: what is here is passed over, and what failed is tried.
    let again = run(&importer, files(root, "old", false), options).await;
    assert_eq!(counts(&again), [0, 3, 0, 1]);
    assert_eq!(app.asset("old/a/rocket").await.version, rocket.version, "it was not uploaded again");

    // Other bytes of the same length.
    write(root, "notes.txt", b"other");
    fs::remove_file(root.join("broken.jpg")).unwrap();
    let kept = run(&importer, files(root, "old", false), Options { keep_existing: true, ..options }).await;
    assert_eq!(counts(&kept), [0, 2, 1, 0]);
    assert_eq!(app.get("/demo/raw/upload/old/notes.txt").await.body, "plain");
    let changed = run(&importer, files(root, "old", false), options).await;
    assert_eq!(counts(&changed), [1, 2, 0, 0]);
    assert_eq!(app.get("/demo/raw/upload/old/notes.txt").await.body, "other");

    // Told to stop, it takes nothing more.
    let stopped = importer.run(files(root, "new", false), options, &Progress::default(), std::future::ready(())).await;
    assert_eq!(counts(&stopped), [0, 0, 0, 0]);
}

/// A server on a port of its own, with an account to import.
async fn source() -> (WholeApp, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = WholeApp::start_over(Arc::new(MemoryStore::new()), &[("public_base_url", &base)]).await;
    app.listen_on(listener);
    let (key, secret) = (&app.demo.key.key, app.demo.key.secret.expose());
    let address = format!("cloudinary://{key}:{secret}@demo?upload_prefix={base}");
    (app, address)
}

/// A server that may fetch from the source.
async fn target(address: &str) -> WholeApp {
    let host = address.rsplit_once("http://").unwrap().1;
    WholeApp::start_over(Arc::new(MemoryStore::new()), &[("remote_allow", host)]).await
}

fn account(importer: &Importer, address: &str) -> Account {
    Account::new(importer.remote.clone(), address, Duration::ZERO, Duration::from_millis(1)).unwrap()
}

#[tokio::test]
async fn an_account_is_imported_with_what_it_defines() {
    let (from, address) = source().await;
    let field = json!({
        "external_id": "color", "type": "enum", "label": "Color",
        "datasource": { "values": [{ "external_id": "red", "value": "Red" }, { "external_id": "blue", "value": "Blue" }] },
    });
    ok(&from, Method::POST, "/metadata_fields", field).await;
    let small = json!({ "name": "small", "transformation": "c_fit,w_30/a_90" });
    ok(&from, Method::POST, "/transformations", small).await;
    let framed = json!({ "name": "framed", "transformation": "bo_2px_solid_red,c_fit,w_30/q_auto" });
    ok(&from, Method::POST, "/transformations", framed).await;
    ok(&from, Method::PUT, "/transformations", json!({ "transformation": "framed", "allowed_for_strict": true })).await;
    let preset =
        json!({ "name": "web", "unsigned": true, "tags": "in,web", "folder": "incoming", "eager": "c_fit,w_5|w_6" });
    ok(&from, Method::POST, "/upload_presets", preset).await;
    let mapping = json!({ "folder": "wiki", "template": "https://example.com/pics/" });
    ok(&from, Method::POST, "/upload_mappings", mapping).await;
    ok(&from, Method::POST, "/folders/empty/inner", Value::Null).await;
    let context = "alt=a\\=b|caption=Größe";
    from.upload(
        "rocket.jpg",
        ROCKET,
        &[("public_id", "people/me"), ("tags", "one,two"), ("context", context), ("metadata", "color=red")],
    )
    .await;
    from.upload("chelsea.png", CHELSEA, &[("public_id", "hidden"), ("type", "private")]).await;
    from.upload("icon.png", ICON, &[("public_id", "secret"), ("type", "authenticated")]).await;
    let (status, _) = from
        .post(
            "/raw/upload",
            &[("public_id", "doc.txt")],
            Some(("doc.txt", b"text")),
            &[("authorization", &from.credentials())],
        )
        .await;
    assert_eq!(status, 200);

    let app = target(&address).await;
    let importer = app.importer();
    let account = account(&importer, &address);
    let look = copy_definitions(&importer, &account, true).await.unwrap();
    assert_eq!(look.counts["transformation"].made, 2);
    assert_eq!(ok(&app, Method::GET, "/upload_presets", Value::Null).await["presets"], json!([]));

    let copied = copy_definitions(&importer, &account, false).await.unwrap();
    assert_eq!(copied.failures, []);
    for (kind, made) in
        [("metadata_field", 1), ("transformation", 2), ("upload_preset", 1), ("upload_mapping", 1), ("folder", 2)]
    {
        assert_eq!((copied.counts[kind].made, copied.counts[kind].failed), (made, 0), "{kind}");
    }
    for path in [
        "/metadata_fields/color",
        "/transformations?transformation=framed",
        "/transformations?transformation=small",
        "/upload_mappings",
        "/folders/empty",
    ] {
        let (mut was, mut is) =
            (ok(&from, Method::GET, path, Value::Null).await, ok(&app, Method::GET, path, Value::Null).await);
        for answer in [&mut was, &mut is] {
            for name in ["mappings", "folders"] {
                for entry in answer[name].as_array_mut().into_iter().flatten() {
                    entry.as_object_mut().unwrap().remove("external_id");
                }
            }
        }
        assert_eq!(was, is, "{path}");
    }
    let settings = |answer: Value| (answer["unsigned"].clone(), answer["settings"].clone());
    let path = "/upload_presets/web";
    let (was, is) = (ok(&from, Method::GET, path, Value::Null).await, ok(&app, Method::GET, path, Value::Null).await);
    assert_eq!(settings(was), settings(is));

    let report = run(&importer, account.assets(false), Options::default()).await;
    assert_eq!((counts(&report), &report.failures[..]), ([4, 0, 0, 0], &[][..]));
    for path in [
        "/resources/image/upload/people/me",
        "/resources/image/private/hidden",
        "/resources/image/authenticated/secret",
    ] {
        let (was, is) =
            (ok(&from, Method::GET, path, Value::Null).await, ok(&app, Method::GET, path, Value::Null).await);
        for name in ["public_id", "format", "type", "bytes", "width", "height", "tags", "context", "metadata", "etag"] {
            assert_eq!(was[name], is[name], "{path}: {name}");
        }
    }
    assert_eq!(app.get("/demo/raw/upload/doc.txt").await.body, "text");

    // Once more: everything is here.
    let report = run(&importer, account.assets(false), Options::default()).await;
    assert_eq!(counts(&report), [0, 4, 0, 0]);
    let again = copy_definitions(&importer, &account, false).await.unwrap();
    assert_eq!(again.failures, []);
    assert_eq!((again.counts["transformation"].made, again.counts["transformation"].present), (0, 2));
    assert_eq!(again.counts["metadata_field"].present, 1);
}

/// A server that gives one answer after the other, whatever it is asked.
async fn scripted(answers: Vec<(u16, &'static str)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("cloudinary://1:x@demo?upload_prefix=http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                let mut chunk = [0; 4096];
                let n = stream.read(&mut chunk).await.unwrap();
                request.extend_from_slice(&chunk[..n]);
            }
            let head =
                format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            stream.write_all(head.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn limits_are_waited_for_and_other_answers_are_told() {
    let empty = "{\"resources\": []}";
    let found = "{\"resources\": [{\"public_id\": \"x\", \"bytes\": 1, \"url\": \"http://127.0.0.1:1/x\"}, {}]}";
    let mut answers = vec![(420, ""), (429, ""), (503, ""), (200, found), (404, ""), (200, "no json")];
    answers.extend([(200, empty); 6]);
    let address = scripted(answers).await;
    let app = target(&address).await;
    let importer = app.importer();
    let options = Options { dry_run: true, ..Options::default() };
    let report = run(&importer, account(&importer, &address).assets(false), options).await;
    assert_eq!(counts(&report), [1, 0, 0, 3]);
    let reasons: Vec<&str> = report.failures.iter().map(|failure| failure.what.as_str()).collect();
    for what in ["image/upload", "the list of image/private", "the list of image/authenticated"] {
        assert!(reasons.contains(&what), "{reasons:?}");
    }
    assert!(!format!("{report:?}").contains("1:x@"), "an address with its secret is told");
    for wrong in ["https://1:x@demo", "cloudinary://demo", "cloudinary://1:x@demo?upload_prefix=ftp://x", "x"] {
        let made = Account::new(importer.remote.clone(), wrong, Duration::ZERO, Duration::ZERO);
        let error = made.err().expect("it is no account").to_string();
        assert!(error.starts_with("the account must be given as cloudinary://"), "{error}");
    }
}

#[test]
fn the_command_reports() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(files.path(), "pics/rocket.jpg", ROCKET);
    write(files.path(), "pics/broken.png", b"no picture");
    let tintype = |arguments: &[&str]| program::tintype(data.path(), arguments);
    let made = tintype(&["cloud", "create", "mine"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let path = files.path().to_str().unwrap();
    let report = data.path().join("report.json");
    let done = tintype(&["import", "folder", path, "--cloud", "mine", "--report", report.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1), "one file is no picture");
    let printed = String::from_utf8_lossy(&done.stdout);
    let line = format!("assets: 1 imported ({} bytes), 0 here already, 0 left alone, 1 failed", ROCKET.len());
    assert!(printed.contains(&line), "{printed}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("image/upload/pics/broken: "));
    let written: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(
        (&written["assets"]["imported"], &written["assets"]["failures"][0]["what"]),
        (&json!(1), &json!("image/upload/pics/broken"))
    );
    fs::remove_file(files.path().join("pics/broken.png")).unwrap();
    let again = tintype(&["import", "folder", path, "--cloud", "mine"]);
    assert!(again.status.success());
    assert!(String::from_utf8_lossy(&again.stdout).contains("assets: 0 imported (0 bytes), 1 here already"));
    for (arguments, message) in [
        (&["import", "folder", "/no/such/folder", "--cloud", "mine"][..], "/no/such/folder is no folder"),
        (&["import", "folder", path, "--cloud", "yours"], "there is no cloud yours"),
        (&["import", "bucket", "s3://pics/a", "--cloud", "mine"], "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (&["import", "bucket", "pics", "--cloud", "mine"], "s3://BUCKET/PREFIX"),
    ] {
        let done = tintype(arguments);
        assert_eq!(done.status.code(), Some(1), "{arguments:?}");
        let text = String::from_utf8_lossy(&done.stderr);
        assert!(text.contains(message), "{arguments:?}: {text}");
    }
}
