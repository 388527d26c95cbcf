//! Files of every kind on their way in and out: presets, parts, raw files and videos, backups, rules of access.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::{CHELSEA, ROCKET, WholeApp, ok};
use axum::http::Method;
use serde_json::{Value, json};
use tintype_api::service::library::{CloudSettings, FolderMode};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

async fn signed(app: &WholeApp, path: &str, params: &[(&str, &str)], file: (&str, &[u8])) -> (u16, Value) {
    app.post(path, params, Some(file), &[("authorization", &app.credentials())]).await
}

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsigned_uploads_need_a_preset_that_lets_them() {
    let app = WholeApp::start_in_memory().await;
    let make = async |body: Value| ok(&app, POST, "/upload_presets", body).await;
    make(json!({ "name": "open", "unsigned": true, "folder": "in", "tags": "p,q", "context": "k=preset" })).await;
    make(json!({ "name": "closed", "tags": "c" })).await;
    make(json!({ "name": "strict", "unsigned": "1", "disallow_public_id": true })).await;
    let send = async |params: &[(&str, &str)]| app.post("/image/upload", params, Some(("a.jpg", ROCKET)), &[]).await;
    for (params, wanted) in [
        (vec![("timestamp", "1")], "Upload preset must be specified when using unsigned upload"),
        (vec![("upload_preset", "nope")], "Upload preset not found"),
        (vec![("upload_preset", "closed")], "Upload preset must be whitelisted for unsigned uploads"),
        (vec![("upload_preset", "strict"), ("public_id", "x")], "public_id is not allowed by this upload preset"),
    ] {
        let (status, answer) = send(&params).await;
        assert_eq!((status, message(&answer)), (400, wanted));
    }
    let (status, answer) = send(&[("upload_preset", "open"), ("eager", "w_1")]).await;
    assert!(
        status == 400 && message(&answer).starts_with("Eager parameter is not allowed when using unsigned upload.")
    );
    let params = [("upload_preset", "open"), ("tags", "own"), ("folder", "mine"), ("context", "k=own|l=2")];
    let (status, answer) = send(&params).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["public_id"].as_str().unwrap().starts_with("in/"), "the preset wins: {answer}");
    assert_eq!(
        (&answer["tags"], &answer["context"]["custom"]),
        (&json!(["own", "p", "q"]), &json!({ "k": "preset", "l": "2" }))
    );
    let again = [("upload_preset", "open"), ("public_id", "same")];
    assert_eq!(send(&again).await.0, 200);
    let (_, answer) = send(&again).await;
    assert_eq!(answer["existing"], true, "unsigned calls never overwrite");
    // A signed call may use any preset, and wins over it.
    let (status, answer) =
        signed(&app, "/image/upload", &[("upload_preset", "closed"), ("tags", "own")], ("a.jpg", ROCKET)).await;
    assert_eq!((status, &answer["tags"]), (200, &json!(["c", "own"])));
    let (status, answer) = signed(&app, "/image/upload", &[("upload_preset", "nope")], ("a.jpg", ROCKET)).await;
    assert_eq!((status, message(&answer)), (400, "Upload preset not found"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_files_and_videos_come_back_as_they_were() {
    let app = WholeApp::start().await;
    let text = b"plain text, not a picture".as_slice();
    let (status, raw) = signed(&app, "/raw/upload", &[("public_id", "notes.txt")], ("n.txt", text)).await;
    assert_eq!(status, 200, "{raw}");
    assert!(raw["resource_type"] == "raw" && raw.get("width").is_none() && raw.get("format").is_none());
    assert!(raw["url"].as_str().unwrap().ends_with("/notes.txt"), "{raw}");
    let answer = app.get("/demo/raw/upload/notes.txt").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..], answer.header("content-type")),
        (200, text, "text/plain; charset=utf-8")
    );
    assert_eq!(app.get("/demo/raw/upload/w_10/notes.txt").await.status, 400);
    let (_, page) =
        signed(&app, "/raw/upload", &[("public_id", "page.html")], ("p.html", b"<script>alert(1)</script>")).await;
    let answer = app.get(&format!("/demo/raw/upload/v{}/page.html", page["version"])).await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "no script runs in our name");
    let (_, named) = signed(&app, "/auto/upload", &[], ("data.CSV", b"a,b\n1,2\n")).await;
    assert!(named["public_id"].as_str().unwrap().ends_with(".csv") && named["resource_type"] == "raw", "{named}");
    let movie = [b"\0\0\0\x20ftypisom\0\0\0\0isomiso2".as_slice(), &[7; 3000]].concat();
    for (path, file) in [("/video/upload", "m.mp4"), ("/auto/upload", "m.bin")] {
        let (status, video) = signed(&app, path, &[("public_id", file)], (file, &movie)).await;
        assert_eq!(
            (status, &video["resource_type"], &video["format"]),
            (200, &json!("video"), &json!("mp4")),
            "{video}"
        );
        assert_eq!(video["is_audio"], false);
    }
    let answer = app.ask(GET, "/demo/video/upload/m.mp4.mp4", &[("range", "bytes=4-7")]).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..], answer.header("content-type")),
        (206, b"ftyp".as_slice(), "video/mp4")
    );
    assert_eq!(app.get("/demo/video/upload/m.mp4.webm").await.status, 400);
    let (status, wrong) = signed(&app, "/video/upload", &[], ("m.mp4", text)).await;
    assert_eq!((status, message(&wrong)), (400, "Unsupported video format or file"));
    let (status, wrong) = signed(&app, "/image/upload", &[], ("m.jpg", text)).await;
    assert_eq!((status, message(&wrong)), (400, "Invalid image file"));
    let (status, wrong) = signed(&app, "/raw/upload", &[("allowed_formats", "pdf")], ("n.txt", text)).await;
    assert_eq!((status, message(&wrong)), (400, "Raw file format txt not allowed"));
    let listed = ok(&app, GET, "/resources/raw/upload", Value::Null).await;
    assert_eq!(listed["resources"].as_array().unwrap().len(), 3);
    let gone = ok(&app, DELETE, "/resources/video/upload?all=true", Value::Null).await;
    assert_eq!(gone["deleted"].as_object().unwrap().len(), 2);
    assert_eq!(app.get("/demo/video/upload/m.mp4.mp4").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_may_come_in_parts_in_any_order() {
    let app = WholeApp::start().await;
    const PART: usize = 5 << 20;
    let file: Vec<u8> = (0..PART * 2 + 1000).map(|place| (place % 251) as u8).collect();
    let total = file.len();
    let credentials = app.credentials();
    let send = async |id: &str, range: std::ops::Range<usize>, total: &str, params: &[(&str, &str)]| {
        let content_range = format!("bytes {}-{}/{total}", range.start, range.end - 1);
        let headers = [
            ("authorization", credentials.as_str()),
            ("x-unique-upload-id", id),
            ("content-range", content_range.as_str()),
        ];
        app.post("/raw/upload", params, Some(("/home/me/big.bin", &file[range])), &headers).await
    };
    // The client does not know the size until the end, as one SDK does not.
    let (status, first) = send("u1", 0..PART, "-1", &[("folder", "f"), ("tags", "big")]).await;
    assert_eq!((status, &first["done"], &first["bytes"]), (200, &json!(false), &json!(PART)), "{first}");
    let id = first["public_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("f/") && id.ends_with(".bin"), "{id}");
    let given = [("folder", "f"), ("tags", "big"), ("public_id", id.as_str())];
    let last = total.to_string();
    let (_, third) = send("u1", PART * 2..total, &last, &given).await;
    assert_eq!((&third["done"], &third["public_id"]), (&json!(false), &json!(id)), "a part is missing: {third}");
    // A retry of the same range changes nothing.
    assert_eq!(send("u1", 0..PART, "-1", &given).await.1["bytes"], json!(PART + 1000));
    let (status, done) = send("u1", PART..PART * 2, &last, &given).await;
    assert_eq!((status, &done["done"], &done["public_id"]), (200, &json!(true), &json!(id)), "{done}");
    assert_eq!(
        (&done["bytes"], &done["tags"], &done["original_filename"]),
        (&json!(total), &json!(["big"]), &json!("big"))
    );
    let answer = app.get(&format!("/demo/raw/upload/{id}")).await;
    assert!(answer.body[..] == file[..], "the parts are joined in their order");
    let (status, small) = send("u2", 0..1000, "-1", &[]).await;
    assert_eq!((status, message(&small)), (400, "All parts except EOF-chunk must be larger than 5mb"));
    let (status, _) = send("u2", 0..PART, &last, &[]).await;
    assert_eq!(status, 200);
    let (status, across) = send("u2", 1000..1000 + PART, &last, &[]).await;
    assert!(status == 400 && message(&across).contains("overlaps"), "{across}");
    assert_eq!(
        app.records
            .library
            .expire_chunks(tintype_api::domain::Timestamp::from_unix_micros(i64::MAX), 9)
            .await
            .unwrap()
            .0,
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_may_be_transformed_first() {
    let app = WholeApp::start_in_memory().await;
    ok(&app, POST, "/transformations", json!({ "name": "small", "transformation": "c_fill,w_60,h_40" })).await;
    let (_, up) =
        signed(&app, "/image/upload", &[("transformation", "t_small/a_90"), ("format", "png")], ("r.jpg", ROCKET))
            .await;
    assert_eq!((&up["width"], &up["height"], &up["format"]), (&json!(40), &json!(60), &json!("png")), "{up}");
    let (status, wrong) = signed(&app, "/image/upload", &[("transformation", "t_nope")], ("r.jpg", ROCKET)).await;
    assert_eq!((status, message(&wrong)), (400, "Unknown transformation nope"));
    let (status, wrong) = signed(&app, "/raw/upload", &[("transformation", "w_5")], ("r.txt", b"text")).await;
    assert_eq!((status, message(&wrong)), (400, "transformation is not supported for files of this kind"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_takes_back_what_was_just_uploaded() {
    let app = WholeApp::start_in_memory().await;
    let (_, up) = signed(&app, "/image/upload", &[("return_delete_token", "1")], ("r.jpg", ROCKET)).await;
    let token = up["delete_token"].as_str().unwrap();
    let forged = format!("{}x", &token[..token.len() - 1]);
    for wrong in ["", "x", &forged] {
        assert_eq!(app.post("/delete_by_token", &[("token", wrong)], None, &[]).await.0, 400, "{wrong}");
    }
    let (status, answer) = app.post("/image/delete_by_token", &[("token", token)], None, &[]).await;
    assert_eq!((status, answer), (200, json!({ "result": "ok" })));
    let (status, answer) = app.post("/delete_by_token", &[("token", token)], None, &[]).await;
    assert_eq!((status, message(&answer)), (400, "Invalid token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_bring_deleted_assets_back() {
    let app = WholeApp::start().await;
    let (_, first) = signed(&app, "/image/upload", &[("public_id", "x"), ("backup", "1")], ("r.jpg", ROCKET)).await;
    signed(&app, "/image/upload", &[("public_id", "x"), ("backup", "1")], ("c.png", CHELSEA)).await;
    ok(&app, DELETE, "/resources/image/upload", json!({ "public_ids": ["x"] })).await;
    let placeholder = ok(&app, GET, "/resources/image/upload/x?versions=true", Value::Null).await;
    assert_eq!((&placeholder["placeholder"], &placeholder["bytes"]), (&json!(true), &json!(0)));
    let versions = placeholder["versions"].as_array().unwrap();
    assert_eq!((versions.len(), &versions[0]["version_id"]), (2, &first["version_id"]));
    assert_eq!(app.get("/demo/image/upload/x.jpg").await.status, 404);
    let restored = ok(&app, POST, "/resources/image/upload/restore", json!({ "public_ids": ["x", "nope"] })).await;
    assert_eq!((&restored["x"]["format"], &restored["nope"]["error"]), (&json!("png"), &json!("no_backup")));
    assert_eq!(app.get("/demo/image/upload/w_20/x.png").await.status, 200);
    let body = json!({ "public_ids": ["x"], "versions": [first["version_id"]] });
    let restored = ok(&app, POST, "/resources/image/upload/restore", body).await;
    assert_eq!((&restored["x"]["bytes"], &restored["x"]["etag"]), (&first["bytes"], &first["etag"]));
    assert_eq!(app.get("/demo/image/upload/w_20/x.jpg").await.status, 200);
    let path = format!("/resources/backup/{}", first["asset_id"].as_str().unwrap());
    let gone = ok(&app, DELETE, &path, json!({ "version_ids": [first["version_id"], "odd"] })).await;
    assert_eq!(
        (&gone["deleted_version_ids"], &gone["failures"][0]["error"]),
        (&json!([first["version_id"]]), &json!("not_found"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_access_and_strict_clouds_shut_doors() {
    let app = WholeApp::start_in_memory().await;
    let upload = async |id: &str, rules: &str| {
        let (status, up) =
            signed(&app, "/image/upload", &[("public_id", id), ("access_control", rules)], ("r.jpg", ROCKET)).await;
        assert_eq!(status, 200, "{up}");
        app.get(&format!("/demo/image/upload/w_9/{id}.jpg")).await
    };
    assert_eq!(upload("open", r#"[{"access_type":"anonymous","start":"2020-01-01T00:00:00Z"}]"#).await.status, 200);
    let shut = upload("shut", r#"{"access_type":"anonymous","end":"2020-01-01 00:00 +0000"}"#).await;
    assert_eq!((shut.status.as_u16(), shut.header("x-cld-error")), (401, "ACL deny"));
    assert_eq!(upload("token", r#"[{"access_type":"token"}]"#).await.status, 401);
    ok(&app, POST, "/transformations", json!({ "name": "thumb", "transformation": "w_11" })).await;
    ok(&app, POST, "/transformations", json!({ "name": "w_12", "transformation": "w_12", "allowed_for_strict": true }))
        .await;
    app.upload("r.jpg", ROCKET, &[("public_id", "s")]).await;
    let strict = CloudSettings { strict_transformations: true, ..CloudSettings::default() };
    let mut app = app;
    strict.save(&*app.catalog, &app.demo.cloud.id).await.unwrap();
    app.restart().await;
    for (text, status) in [("t_thumb", 200), ("w_12", 200), ("w_13", 401)] {
        let answer = app.get(&format!("/demo/image/upload/{text}/s.jpg")).await;
        assert_eq!(answer.status.as_u16(), status, "{text}: {}", answer.header("x-cld-error"));
    }
    assert_eq!(app.get("/demo/image/upload/s.jpg").await.status, 200, "originals are no transformations");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_follow_public_ids_where_they_are_fixed() {
    let mut app = WholeApp::start_in_memory().await;
    let fixed = CloudSettings { folder_mode: FolderMode::Fixed, ..CloudSettings::default() };
    fixed.save(&*app.catalog, &app.demo.cloud.id).await.unwrap();
    app.restart().await;
    let (_, up) =
        signed(&app, "/image/upload", &[("public_id", "a/b/c"), ("asset_folder", "z")], ("r.jpg", ROCKET)).await;
    assert!(up["folder"] == "a/b" && up.get("asset_folder").is_none(), "{up}");
    assert_eq!(ok(&app, GET, "/folders/a", Value::Null).await["folders"][0]["path"], "a/b");
    ok(&app, POST, "/image/rename", json!({ "from_public_id": "a/b/c", "to_public_id": "d/c" })).await;
    assert_eq!(ok(&app, GET, "/resources/image/upload/d/c", Value::Null).await["folder"], "d");
    assert_eq!(ok(&app, GET, "/folders", Value::Null).await["total_count"], 2);
    let (status, answer) = app.admin(Method::PUT, "/folders/d", json!({ "to_folder": "e" })).await;
    assert_eq!((status, message(&answer)), (401, "Folder Renaming is not allowed in this cloud"));
    assert_eq!(app.admin(DELETE, "/folders/d", Value::Null).await.0, 400);
}
