//! Uploads, good and bad, through the real router.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::{MAX_UPLOAD_BYTES, TestApp, file_part, multipart, multipart_body, png, text_part};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use serde_json::json;
use std::sync::atomic::Ordering;

const PATH: &str = "/v1_1/demo/image/upload";

#[tokio::test]
async fn the_answer_has_the_documented_fields_in_order() {
    let app = TestApp::start().await;
    let file = png(40, 30, 5000);
    let params = [
        ("public_id", "trips/lake"),
        ("tags", "alps, lake"),
        ("context", "alt=a lake"),
        ("face_coordinates", "1,2,3,400"),
        ("faces", "true"),
        ("eager", "c_fill,w_100|w_20/png|w_late|w_ours"),
        ("source", "uw"),
    ];
    let answer = app.upload(&params, &file).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let json = answer.json();
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "asset_id",
            "public_id",
            "version",
            "version_id",
            "signature",
            "width",
            "height",
            "format",
            "resource_type",
            "created_at",
            "tags",
            "pages",
            "bytes",
            "type",
            "etag",
            "placeholder",
            "url",
            "secure_url",
            "asset_folder",
            "display_name",
            "access_mode",
            "original_filename",
            "context",
            "faces",
            "eager",
            "api_key",
        ]
    );
    let version = json["version"].as_u64().unwrap();
    assert_eq!(json["asset_id"].as_str().unwrap().len(), 32);
    assert_eq!((&json["width"], &json["height"], &json["bytes"]), (&json!(40), &json!(30), &json!(5000)));
    assert_eq!(json["etag"], hex::encode(Md5::digest(&file)));
    assert_eq!(json["tags"], json!(["alps", "lake"]));
    assert_eq!(json["context"], json!({"custom": {"alt": "a lake"}}));
    assert_eq!(json["faces"], json!([[1, 2, 3, 30]]), "a face is no higher than the picture");
    assert_eq!(json["original_filename"], "cat");
    assert_eq!((&json["asset_folder"], &json["display_name"]), (&json!(""), &json!("lake")));
    assert_eq!(json["placeholder"], false);
    let base = "http://localhost:8080/demo/image/upload";
    assert_eq!(json["url"], format!("{base}/v{version}/trips/lake.png"));
    assert_eq!(json["url"], json["secure_url"]);
    let url = format!("{base}/c_fill,w_100/v{version}/trips/lake.png");
    assert_eq!(
        json["eager"][0],
        json!({"transformation": "c_fill,w_100", "width": 1, "height": 2, "bytes": 3, "format": "png", "url": url, "secure_url": url})
    );
    assert_eq!(json["eager"][1]["transformation"], "w_20/png");
    assert_eq!(json["eager"][1]["url"], format!("{base}/w_20/v{version}/trips/lake.png"));
    assert_eq!(json["eager"][2]["status"], "failed");
    assert!(json["eager"][2]["reason"].as_str().unwrap().contains("logo"));
    assert_eq!(json["eager"][3]["reason"], "Internal error");
    let time = json["created_at"].as_str().unwrap();
    assert!(time.len() == 20 && time.ends_with('Z') && &time[10..11] == "T", "{time}");
    app.assert_only(1, "one upload");
    assert_eq!(app.catalog.assets()[0].api_key, app.key.key);
}

#[tokio::test]
async fn overwriting_keeps_the_asset_and_frees_the_old_blob() {
    let app = TestApp::start().await;
    let first = app.upload(&[("public_id", "a")], &png(4, 3, 100)).await.json();
    let second = app.upload(&[("public_id", "a")], &png(5, 3, 100)).await.json();
    assert_eq!(second["asset_id"], first["asset_id"]);
    assert!(second["version"].as_u64() > first["version"].as_u64());
    assert_eq!((&second["overwritten"], &second["width"]), (&json!(true), &json!(5)));
    assert!(first.get("overwritten").is_none());
    app.assert_only(1, "overwritten");
    let third = app.upload(&[("public_id", "a"), ("overwrite", "0"), ("eager", "w_1")], &png(6, 3, 100)).await.json();
    assert_eq!((&third["existing"], &third["width"]), (&json!(true), &json!(5)));
    assert_eq!(third["version"], second["version"]);
    assert!(third.get("eager").is_none());
    app.assert_only(1, "existing");
}

#[tokio::test]
async fn names_are_given_derived_or_random() {
    let app = TestApp::start().await;
    let send = |params: Vec<(&'static str, &'static str)>, filename: &'static str| {
        let request = multipart(PATH, &app.sign(&params), Some((filename, &png(4, 3, 100))));
        async { app.send(request).await.json() }
    };
    let named = send(vec![("use_filename", "1"), ("unique_filename", "0")], "/home/x/üni näme.png").await;
    assert_eq!(
        (named["public_id"].as_str(), named["original_filename"].as_str()),
        (Some("üni_näme"), Some("üni näme"))
    );
    assert!(named["url"].as_str().unwrap().ends_with("/%C3%BCni_n%C3%A4me.png"));
    let random = send(vec![("folder", "f")], "stream").await;
    let id = random["public_id"].as_str().unwrap();
    assert!(id.starts_with("f/") && id.len() == 22, "{id}");
    let discarded = send(vec![("discard_original_filename", "1")], "x.png").await;
    assert!(discarded.get("original_filename").is_none());
}

#[tokio::test]
async fn a_restricted_type_gets_signed_addresses() {
    let app = TestApp::start().await;
    let json =
        app.upload(&[("public_id", "a"), ("type", "authenticated"), ("eager", "w_1")], &png(4, 3, 9)).await.json();
    let secret = app.key.secret.expose();
    let sign = |text: &str| {
        tintype_api::auth::signature::sign_url(text, secret, tintype_api::auth::signature::UrlSignature::Sha1)
    };
    let version = &json["version"];
    let base = "http://localhost:8080/demo/image/authenticated";
    assert_eq!(json["url"], format!("{base}/s--{}--/v{version}/a.png", sign("a.png")));
    assert_eq!(json["eager"][0]["url"], format!("{base}/s--{}--/w_1/v{version}/a.png", sign("w_1/a.png")));
}

#[tokio::test]
async fn a_format_is_converted_before_storing() {
    let app = TestApp::start().await;
    let json = app.upload(&[("format", "webp"), ("public_id", "a")], &png(4, 3, 100)).await.json();
    let stored = b"converted to webp from png";
    assert_eq!((&json["format"], &json["bytes"]), (&json!("webp"), &json!(stored.len())));
    assert_eq!(json["etag"], hex::encode(Md5::digest(stored)));
    app.assert_only(1, "converted");
    let same = app.upload(&[("format", "png"), ("public_id", "b")], &png(4, 3, 100)).await.json();
    assert_eq!(same["bytes"], 100);
    let failed = app.upload(&[("format", "avif"), ("public_id", "c")], &png(4, 3, 100)).await;
    assert_eq!((failed.status.as_u16(), failed.error().as_str()), (500, "Internal server error"));
    app.assert_only(2, "a failed conversion leaves nothing");
    let refused = app.upload(&[("allowed_formats", "jpg,webp")], &png(4, 3, 100)).await;
    assert_eq!(refused.error(), "Image file format png not allowed");
    app.assert_only(2, "a refused format leaves nothing");
    assert_eq!(app.upload(&[("allowed_formats", "PNG")], &png(4, 3, 100)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_file_may_come_first_and_the_end_may_be_short() {
    let app = TestApp::start().await;
    let file = png(4, 3, 300_000);
    let mut body = file_part("x.png", &file);
    for (name, value) in app.sign(&[("public_id", "first")]) {
        body.extend_from_slice(text_part(&name, &value).as_bytes());
    }
    body.extend_from_slice(b"--edge--");
    let answer = app.send(multipart_body(PATH, "edge", body.clone())).await;
    assert_eq!(answer.json()["etag"], hex::encode(Md5::digest(&file)));
    assert!(app.blobs.largest_piece.load(Ordering::SeqCst) <= 20_000, "the file was not streamed");

    // Node's boundaries are as short as five characters.
    let short = text_part("public_id", "x").replace("--edge", "--ab1cd");
    let short = format!("{short}--ab1cd--");
    let answer = app.send(multipart_body(PATH, "ab1cd", short.into_bytes())).await;
    assert_eq!(answer.error(), "Upload preset must be specified when using unsigned upload");

    // Refused after the file was received: nothing of it is kept.
    let wrong = String::from_utf8_lossy(&body).replace("name=\"signature\"\r\n\r\n", "name=\"signature\"\r\n\r\n0");
    let answer = app.send(multipart_body(PATH, "edge", wrong.into_bytes())).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    app.assert_only(1, "file first");
}

#[tokio::test]
async fn data_uris_are_taken_from_every_kind_of_body() {
    let app = TestApp::start().await;
    let file = png(7, 5, 2000);
    let mut encoded = STANDARD.encode(&file);
    encoded.insert(76, '\n');
    let uri = format!("data:image/png;base64,{encoded}");
    let params = app.sign(&[("public_id", "d")]);

    let mut with_file = params.clone();
    with_file.push(("file".to_owned(), uri.clone()));
    let part = app.send(multipart(PATH, &with_file, None)).await;

    let pairs: Vec<String> = with_file
        .iter()
        .map(|(name, value)| {
            let escape = |text: &str| {
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
            };
            format!("{}={}", escape(name), escape(value))
        })
        .collect();
    let urlencoded = Request::post(PATH)
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body(Body::from(pairs.join("&")))
        .unwrap();
    let urlencoded = app.send(urlencoded).await;

    let mut object: serde_json::Map<String, serde_json::Value> =
        with_file.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    object.insert("folder".to_owned(), serde_json::Value::Null);
    let timestamp: i64 = object["timestamp"].as_str().unwrap().parse().unwrap();
    object.insert("timestamp".to_owned(), json!(timestamp));
    let in_json = Request::post(PATH)
        .header("content-type", "application/json")
        .body(Body::from(serde_json::Value::Object(object).to_string()))
        .unwrap();
    let in_json = app.send(in_json).await;

    for answer in [part, urlencoded, in_json] {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let json = answer.json();
        assert_eq!(json["etag"], hex::encode(Md5::digest(&file)));
        assert_eq!((&json["width"], &json["original_filename"]), (&json!(7), &json!("file")));
    }
    app.assert_only(1, "data URIs");
}

#[tokio::test]
async fn bad_files_are_refused_and_nothing_is_stored() {
    let app = TestApp::start().await;
    let text_file = |value: &str| {
        let mut params = app.sign(&[]);
        params.push(("file".to_owned(), value.to_owned()));
        multipart(PATH, &params, None)
    };
    let signed = app.sign(&[]);
    let file = |content: &[u8]| multipart(PATH, &signed, Some(("x.png", content)));
    let size = MAX_UPLOAD_BYTES as usize + 1;
    for (request, message) in [
        (multipart(PATH, &signed, None), "Missing required parameter - file"),
        (text_file(""), "Missing required parameter - file"),
        (file(b""), "Empty file"),
        (file(b"hello"), "Invalid image file"),
        (file(&png(4, 3, 100)[1..]), "Invalid image file"),
        (file(&png(4, 3, size)), "File size too large. Got 1000001. Maximum is 1000000."),
        (text_file("data:image/png;base64,AA*A"), "Invalid data URI: malformed base64"),
        (text_file("data:image/png,AAAA"), "Invalid data URI: only base64 is supported"),
        (text_file("data:;base64,"), "Empty file"),
        (
            text_file("https://example.com/cat.jpg"),
            "Fetching a file from an address is not supported by this server yet: https://example.com/cat.jpg",
        ),
        (text_file("/etc/passwd"), "Unsupported source URL: /etc/passwd"),
    ] {
        let answer = app.send(request).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, message));
        app.assert_nothing_stored(message);
    }
    let answer = app.send(multipart("/v1_1/demo/video/upload", &signed, Some(("x.txt", b"hello")))).await;
    assert_eq!(answer.error(), "Unsupported video format or file");
    app.assert_nothing_stored("a text as a video");
    let exact = app.send(file(&png(4, 3, MAX_UPLOAD_BYTES as usize))).await;
    assert_eq!(exact.status, StatusCode::OK, "{}", exact.text());
}

#[tokio::test]
async fn bad_parameters_are_refused_and_nothing_is_stored() {
    let app = TestApp::start().await;
    for (name, value, message) in [
        ("public_id", "../../etc/passwd", "public_id (../../etc/passwd) is invalid"),
        ("public_id", "a?b", "public_id (a?b) is invalid"),
        ("public_id", "/a", "public_id (/a) is invalid"),
        ("folder", "../x", ""),
        ("type", "fetch", "Invalid value fetch for parameter type"),
        ("overwrite", "maybe", "Invalid value maybe for parameter overwrite"),
        ("eager", "w_bad", "Invalid width in transformation: bad (at position 2)"),
        ("eager", "w_1/xyz", "Invalid extension in transformation: xyz"),
        ("moderation", "odd", "Moderation odd moderation is not valid"),
        ("transformation", "w_bad", "Invalid width in transformation: bad (at position 2)"),
        ("metadata", "x=1", "Metadata External IDs do not exist: [\"x\"]"),
        ("access_control", "[{\"access_type\":\"all\"}]", "Invalid access_control {\"access_type\":\"all\"}"),
        ("display_name", "a/b", "Invalid display_name a/b"),
        ("asset_folder", "a/../b", "Invalid folder path a/../b"),
        ("format", "heic", "format heic is not supported by this server yet"),
        ("face_coordinates", "1,2,3", "Invalid value 1,2,3 for parameter face_coordinates"),
        ("context", "novalue", "Invalid value novalue for parameter context"),
    ] {
        let answer = app.upload(&[(name, value)], &png(4, 3, 100)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}={value}");
        assert!(answer.error() == message || message.is_empty(), "{name}: {}", answer.error());
        app.assert_nothing_stored(name);
    }
    let tolerated = [("async", "false"), ("novelty", "1"), ("backup", "0"), ("callback", "/x"), ("invalidate", "1")];
    assert_eq!(app.upload(&tolerated, &png(4, 3, 100)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn malformed_bodies_are_refused_and_nothing_is_stored() {
    let app = TestApp::start().await;
    let part = |head: &str| [text_part("public_id", "x").as_bytes(), head.as_bytes()].concat();
    let truncated = [text_part("a", "b").into_bytes(), file_part("x.png", &png(4, 3, 5000))].concat();
    let long_value = text_part("tags", &"x".repeat(300_000));
    let many: String = (0..501).map(|number| text_part(&format!("p{number}"), "v")).collect();
    let endless_header = format!("--edge\r\nContent-Disposition: form-data; name=\"a\"\r\nX: {}", "y".repeat(900_000));
    let twice = [file_part("a.png", &png(1, 1, 50)), file_part("b.png", &png(1, 1, 50)), b"--edge--".to_vec()].concat();
    for (case, body) in [
        ("empty", Vec::new()),
        ("no boundary", b"hello".to_vec()),
        ("cut in the file", truncated),
        ("cut in a header", part("--edge\r\nContent-Disp")),
        ("no blank line", part("--edge\r\nContent-Disposition: form-data\r\n--edge--")),
        (
            "not UTF-8",
            [b"--edge\r\nContent-Disposition: form-data; name=\"tags\"\r\n\r\n\xff\xfe\r\n--edge--".to_vec()].concat(),
        ),
        ("long value", format!("{long_value}--edge--").into_bytes()),
        ("many parts", format!("{many}--edge--").into_bytes()),
        ("endless header", endless_header.into_bytes()),
        ("two files", twice),
    ] {
        let answer = app.send(multipart_body(PATH, "edge", body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{case}: {}", answer.text());
        assert!(!answer.error().is_empty());
        app.assert_nothing_stored(case);
    }
    for (content_type, body) in [
        ("multipart/form-data", "x"),
        ("application/json", "{"),
        ("application/json", "[1]"),
        ("text/plain", "x"),
        ("application/x-www-form-urlencoded", "a=%FF"),
    ] {
        let request = Request::post(PATH).header("content-type", content_type).body(Body::from(body)).unwrap();
        let answer = app.send(request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{content_type} {body}: {}", answer.text());
        app.assert_nothing_stored(content_type);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let app = TestApp::start().await;
    let start = [text_part("a", "b").into_bytes(), file_part("x.png", &png(4, 3, 5000))].concat();
    let pieces = vec![Ok(Bytes::from(start)), Err(std::io::Error::other("the client left"))];
    let request = Request::post(PATH)
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(Body::from_stream(futures::stream::iter(pieces)))
        .unwrap();
    let answer = app.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, "the request body broke off"));
    app.assert_nothing_stored("broken");
}

#[tokio::test]
async fn a_failing_catalog_leaves_no_blob() {
    let app = TestApp::start().await;
    app.catalog.broken.store(true, Ordering::SeqCst);
    let answer = app.upload(&[("public_id", "a")], &png(4, 3, 100)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.error().as_str()),
        (503, "The server is temporarily unavailable. Try again later.")
    );
    app.assert_nothing_stored("catalog");
    assert_eq!(app.upload(&[("public_id", "a")], &png(4, 3, 100)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn uploads_in_progress_are_bounded() {
    let app = TestApp::start_with(Default::default(), 1).await;
    let body = futures::StreamExt::chain(
        futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(file_part("x.png", &png(4, 3, 100))))]),
        futures::stream::pending(),
    );
    let request = Request::post(PATH)
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(Body::from_stream(body))
        .unwrap();
    let router = app.router.clone();
    let held = tokio::spawn(tower::ServiceExt::oneshot(router, request));
    while app.blobs.open_writers.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let answer = app.upload(&[], &png(4, 3, 100)).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(!answer.header("retry-after").is_empty() && !answer.error().is_empty());
    held.abort();
    assert!(held.await.is_err());
    app.assert_nothing_stored("aborted");
    assert_eq!(app.upload(&[], &png(4, 3, 100)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_part_says_where_it_belongs() {
    let app = TestApp::start().await;
    for (range, status) in [
        ("bytes 0-98/200", 400),
        ("bytes 0-99/99", 400),
        ("bytes 0-99/-1", 400),
        ("bytes 100-199/2000001", 400),
        ("odd", 400),
        ("bytes 0-99/100", 200),
    ] {
        let mut request = multipart(PATH, &app.sign(&[]), Some(("x.png", &png(4, 3, 100))));
        request.headers_mut().insert("content-range", range.parse().unwrap());
        request.headers_mut().insert("x-unique-upload-id", "u".parse().unwrap());
        let answer = app.send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{range}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_body_cut_anywhere_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let mut body = Vec::new();
    for (name, value) in app.sign(&[("public_id", "x")]) {
        body.extend_from_slice(text_part(&name, &value).as_bytes());
    }
    body.extend_from_slice(&file_part("x.png", &png(4, 3, 60)));
    body.extend_from_slice(b"--edge--");
    for length in 0..body.len() {
        let answer = app.send(multipart_body(PATH, "edge", body[..length].to_vec())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "cut at {length}: {}", answer.text());
    }
    app.assert_nothing_stored("cut");
    assert_eq!(app.send(multipart_body(PATH, "edge", body)).await.status, StatusCode::OK);
}
