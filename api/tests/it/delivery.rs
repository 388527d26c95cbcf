//! From an upload to delivered pictures, through the server as it is really put together.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::Answer;
use crate::whole_app::{CHELSEA, ICON, ROCKET, WholeApp};
use axum::http::Method;
use bytes::Bytes;
use md5::Digest;
use std::time::{Duration, Instant};
use tintype_api::auth::signature::{UrlSignature, sign_url};
use tintype_render::frame::Frame;
use tintype_render::language::Format;
use tintype_render::plan::geometry::Size;
use tintype_render::plan::{Encoding, Quality};
use tintype_render::{Limits, codec};

fn md5_of(bytes: &[u8]) -> String {
    hex::encode(md5::Md5::digest(bytes))
}

/// Asserts a picture of that format and size, and gives what was sent.
fn picture(answer: &Answer, content_type: &str, size: (u32, u32)) -> Bytes {
    assert_eq!(answer.status, 200, "{}", answer.header("x-cld-error"));
    assert_eq!(answer.header("content-type"), content_type);
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    assert_eq!(answer.header("etag"), format!("\"{}\"", md5_of(&answer.body)));
    let probe = codec::probe(&answer.body, &Limits::default()).unwrap();
    assert_eq!((probe.format.content_type(), probe.size), (content_type, Size::new(size.0, size.1)));
    answer.body.clone()
}

/// Asserts an error that says why, and that nobody takes for a picture.
fn refused(answer: &Answer, status: u16, why: &str) {
    let said = answer.header("x-cld-error");
    assert_eq!(answer.status, status, "{said}");
    assert!(said.contains(why), "{said:?} does not say {why:?}");
    assert!(!answer.header("content-type").starts_with("image/"));
    assert_eq!(answer.header("etag"), "");
}

/// A PNG that hardly compresses.
fn noise(width: u32, height: u32) -> Vec<u8> {
    let size = Size::new(width, height);
    let mut state = 1_u32;
    let mut pixels = Vec::new();
    for _ in 0..size.pixels() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        pixels.extend_from_slice(&[(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8, 255]);
    }
    let frame = Frame::new(size, false, pixels).unwrap();
    let encoding = Encoding { format: Format::Png, quality: Quality::Fixed(100), chroma: None, progressive: false };
    codec::encode(&frame, &encoding, &Limits::default()).unwrap().bytes
}

#[tokio::test]
async fn an_original_is_delivered_byte_for_byte() {
    let app = WholeApp::start().await;
    let large = noise(700, 600);
    assert!(large.len() > 1 << 20, "large enough to be streamed");
    app.upload("large.png", &large, &[("public_id", "large")]).await;
    let uploaded = app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    assert_eq!(uploaded["etag"], md5_of(ROCKET));
    assert_eq!((&uploaded["width"], &uploaded["height"]), (&640.into(), &427.into()));
    let version = &uploaded["version"];

    let originals = [("rocket.jpg", ROCKET, "image/jpeg", (640, 427)), ("large.png", &large, "image/png", (700, 600))];
    for (name, bytes, content_type, size) in originals {
        let path = format!("/demo/image/upload/{name}");
        // The first comes from the store, the second may come from memory.
        for _ in 0..2 {
            let body = picture(&app.get(&path).await, content_type, size);
            assert!(body == bytes, "{name} is byte-identical");
        }
        let etag = format!("\"{}\"", md5_of(bytes));
        let head = app.ask(Method::HEAD, &path, &[]).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        assert_eq!((head.header("content-length"), head.header("etag")), (bytes.len().to_string().as_str(), &*etag));

        let modified = head.header("last-modified").to_owned();
        for condition in [("if-none-match", etag.as_str()), ("if-modified-since", modified.as_str())] {
            let unchanged = app.ask(Method::GET, &path, &[condition]).await;
            assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0), "{condition:?}");
            assert_eq!(unchanged.header("etag"), etag);
        }
        let changed = app.ask(Method::GET, &path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(changed.status, 200);

        let part = app.ask(Method::GET, &path, &[("range", "bytes=100-299")]).await;
        assert_eq!(part.status, 206);
        assert_eq!(part.header("content-range"), format!("bytes 100-299/{}", bytes.len()));
        assert!(part.body == bytes[100..300], "{name}: a range");
        let beyond = app.ask(Method::GET, &path, &[("range", "bytes=99999999-")]).await;
        assert_eq!((beyond.status.as_u16(), beyond.body.len()), (416, 0));
    }
    let unversioned = app.get("/demo/image/upload/rocket.jpg").await;
    assert!(unversioned.header("cache-control").contains("max-age=3600"));
    assert!(!unversioned.header("cache-control").contains("immutable"));
    assert_eq!(unversioned.header("vary"), "");
    let versioned = app.get(&format!("/demo/image/upload/v{version}/rocket.jpg")).await;
    assert!(versioned.header("cache-control").contains("immutable"));
    assert!(versioned.body == ROCKET);
    assert_eq!(app.renders().await, 0, "originals need no rendering");
}

#[tokio::test]
async fn a_derived_picture_has_the_format_that_the_client_takes() {
    let app = WholeApp::start_in_memory().await;
    let uploaded = app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    app.upload("icon.png", ICON, &[("public_id", "icon")]).await;
    let version = &uploaded["version"];
    let path = format!("/demo/image/upload/c_fill,w_100,h_80/f_auto/v{version}/rocket");
    let takes = |accept| [("accept", accept)];
    for (accept, content_type) in [("image/webp,*/*", "image/webp"), ("*/*", "image/jpeg"), ("image/png", "image/jpeg")]
    {
        // Rendered, then from memory: both say the same.
        for round in ["rendered", "cached"] {
            let answer = app.ask(Method::GET, &path, &takes(accept)).await;
            picture(&answer, content_type, (100, 80));
            assert_eq!(answer.header("vary"), "Accept", "{round}");
            assert!(answer.header("cache-control").contains("immutable"), "{round}");
            assert!(!answer.header("server-timing").is_empty(), "{round}");
        }
    }
    assert_eq!(app.renders().await, 2, "one for each format");
    for accept in ["image/avif,image/webp,*/*", "image/avif"] {
        let answer = app.ask(Method::GET, &path, &takes(accept)).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/avif"), "{accept}");
        assert_eq!(answer.header("vary"), "Accept");
        assert_eq!(answer.body[4..12], *b"ftypavif");
    }
    assert_eq!(app.renders().await, 3, "one more");

    let unversioned = app.get("/demo/image/upload/c_scale,w_50/rocket.png").await;
    picture(&unversioned, "image/png", (50, 33));
    assert_eq!(unversioned.header("vary"), "");
    assert!(unversioned.header("cache-control").contains("max-age=3600"));
    assert!(!unversioned.header("cache-control").contains("immutable"));
    let etag = unversioned.header("etag").to_owned();
    let path = "/demo/image/upload/c_scale,w_50/rocket.png";
    let unchanged = app.ask(Method::GET, path, &[("if-none-match", &etag)]).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    let head = app.ask(Method::HEAD, path, &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len(), head.header("etag")), (200, 0, etag.as_str()));

    let headline = "w_400,h_350,c_crop/r_20,bo_5px_solid_black/l_icon,o_50,w_0.25,fl_relative,g_north_east,y_10,x_10";
    let answer = app.get(&format!("/demo/image/upload/{headline}/q_auto,f_png/rocket")).await;
    picture(&answer, "image/png", (410, 360));
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_by_name_and_quickly() {
    let app = WholeApp::start_in_memory().await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    app.get("/demo/image/upload/c_scale,w_50/rocket.jpg").await;
    let many = |n: usize| "a_90/".repeat(n) + "rocket.jpg";
    let cases = [
        ("holidays/rocket.jpg".to_owned(), 404, "holidays/rocket"),
        ("c_scale,w_50/holidays/rocket.jpg".to_owned(), 404, "holidays/rocket"),
        ("nothing.jpg".to_owned(), 404, "nothing"),
        ("c_scale,w_abc/rocket.jpg".to_owned(), 400, "(at position 10)"),
        ("c_scale,w_50/c_wrong,w_50/rocket.jpg".to_owned(), 400, "(at position 15)"),
        ("e_blur:300/rocket.jpg".to_owned(), 400, "e_blur"),
        ("l_nothing/rocket.jpg".to_owned(), 400, "nothing"),
        ("c_scale,w_99999/rocket.jpg".to_owned(), 400, "65000"),
        ("c_scale,h_60000,w_60000/rocket.jpg".to_owned(), 400, "Megapixels"),
        ("c_scale,dpr_99999,w_100/rocket.jpg".to_owned(), 400, "99999"),
        (many(500), 400, ""),
        (many(5000), 400, ""),
        ("c_scale,w_50/rocket.heic".to_owned(), 400, "heic"),
    ];
    for (path, status, why) in cases {
        let started = Instant::now();
        refused(&app.get(&format!("/demo/image/upload/{path}")).await, status, why);
        assert!(started.elapsed() < Duration::from_secs(2), "{:.60}: {:?}", path, started.elapsed());
    }
    refused(&app.get("/nobody/image/upload/rocket.jpg").await, 401, "nobody");
    assert_eq!(app.renders().await, 1, "nothing of this was rendered");
    app.upload("rocket.jpg", ROCKET, &[("public_id", "holidays/rocket")]).await;
    picture(&app.get("/demo/image/upload/holidays/rocket.jpg").await, "image/jpeg", (640, 427));
    picture(&app.get("/demo/image/upload/c_scale,w_50/holidays/rocket.jpg").await, "image/jpeg", (50, 33));
}

#[tokio::test]
async fn an_authenticated_picture_needs_the_signature_of_its_address() {
    let app = WholeApp::start_in_memory().await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "secret"), ("type", "authenticated")]).await;
    let signed = |text: &str, form| sign_url(text, app.demo.key.secret.expose(), form);
    for (text, size) in [("secret.jpg", (640, 427)), ("c_scale,w_50/secret.jpg", (50, 33))] {
        refused(&app.get(&format!("/demo/image/authenticated/{text}")).await, 401, "");
        for form in [UrlSignature::Sha1, UrlSignature::Sha256, UrlSignature::Long] {
            let path = format!("/demo/image/authenticated/s--{}--/{text}", signed(text, form));
            picture(&app.get(&path).await, "image/jpeg", size);
        }
    }
    // The signature is of one address only, also after its picture is in memory.
    let signature = signed("c_scale,w_50/secret.jpg", UrlSignature::Sha1);
    let path = |transformation: &str| format!("/demo/image/authenticated/s--{signature}--/{transformation}/secret.jpg");
    picture(&app.get(&path("c_scale,w_50")).await, "image/jpeg", (50, 33));
    refused(&app.get(&path("c_scale,w_60")).await, 401, "Invalid Signature");
    refused(&app.get(&format!("/demo/image/authenticated/s--{signature}--/secret.jpg")).await, 401, "");
    refused(&app.get("/demo/image/authenticated/c_scale,w_50/secret.jpg").await, 401, "");
    refused(&app.get("/demo/image/upload/secret.jpg").await, 404, "secret");
}

#[tokio::test]
async fn a_new_upload_shows_at_once_everywhere() {
    let app = WholeApp::start().await;
    let first = app.upload("rocket.jpg", ROCKET, &[("public_id", "picture")]).await;
    let original = "/demo/image/upload/picture";
    let derived = "/demo/image/upload/c_scale,w_60/picture.png";
    let layered = "/demo/image/upload/c_scale,w_90/l_picture,w_30/other.png";
    app.upload("icon.png", ICON, &[("public_id", "other")]).await;
    let mut before = Vec::new();
    for path in [original, derived, layered] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(app.get(path).await.header("etag"), answer.header("etag"), "{path} is cached");
        before.push(answer.header("etag").to_owned());
    }
    app.derived("picture", 1).await;
    let second = app.upload("chelsea.png", CHELSEA, &[("public_id", "picture")]).await;
    assert!(second["version"].as_u64() > first["version"].as_u64());
    assert_eq!(second["overwritten"], true);
    assert!(app.get(original).await.body == CHELSEA);
    picture(&app.get(derived).await, "image/png", (60, 40));
    for (path, before) in [original, derived, layered].iter().zip(&before) {
        assert_ne!(app.get(path).await.header("etag"), before, "{path}");
        let stale = app.ask(Method::GET, path, &[("if-none-match", before)]).await;
        assert_eq!(stale.status, 200, "{path}: the old picture is no longer good");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_misses_at_once_render_once() {
    let app = std::sync::Arc::new(WholeApp::start().await);
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let app = app.clone();
            tokio::spawn(async move { app.get("/demo/image/upload/c_fill,w_300,h_300/r_max/rocket.png").await })
        })
        .collect();
    let mut bodies = Vec::new();
    for answer in asked {
        bodies.push(picture(&answer.await.unwrap(), "image/png", (300, 300)));
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(app.renders().await, 1);
    app.derived("rocket", 1).await;
    let usage = app.usage().await;
    assert_eq!((usage.requests, usage.transformations, usage.derived), (50, 1, 1));
}

#[tokio::test]
async fn an_eager_picture_is_there_before_it_is_asked_for() {
    let mut app = WholeApp::start().await;
    let eager = "c_fill,w_120,h_90|c_scale,w_80/r_10/png";
    let uploaded = app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket"), ("eager", eager)]).await;
    let pictures = uploaded["eager"].as_array().unwrap().clone();
    assert_eq!(pictures.len(), 2);
    assert_eq!(app.renders().await, 2);
    for round in ["same process", "after a restart"] {
        let rendered = app.renders().await;
        for (answer, (content_type, size)) in pictures.iter().zip([("image/jpeg", (120, 90)), ("image/png", (80, 53))])
        {
            let url = answer["url"].as_str().unwrap();
            let path = &url[url.find("/demo/").unwrap()..];
            let body = picture(&app.get(path).await, content_type, size);
            assert_eq!(answer["bytes"], body.len(), "{path}");
            assert_eq!((&answer["width"], &answer["height"]), (&size.0.into(), &size.1.into()), "{path}");
        }
        assert_eq!(app.renders().await, rendered, "{round}: nothing had to be rendered");
        app.restart().await;
    }
}

#[tokio::test]
async fn usage_adds_up() {
    let app = WholeApp::start_in_memory().await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    let mut bytes = 0;
    let paths = ["rocket.jpg", "c_scale,w_50/rocket.jpg", "c_scale,w_50/rocket.jpg", "c_scale,w_60/rocket.jpg"];
    for path in paths {
        bytes += app.get(&format!("/demo/image/upload/{path}")).await.body.len() as u64;
    }
    let head = app.ask(Method::HEAD, "/demo/image/upload/rocket.jpg", &[]).await;
    assert_eq!(head.status, 200);
    refused(&app.get("/demo/image/upload/nothing.jpg").await, 404, "nothing");
    let kept: u64 = app.derived("rocket", 2).await.iter().map(|derived| derived.bytes).sum();
    let usage = app.usage().await;
    assert_eq!((usage.requests, usage.bandwidth_bytes, usage.transformations), (5, bytes, 2));
    assert_eq!((usage.objects, usage.derived, usage.storage_bytes), (1, 2, ROCKET.len() as u64 + kept));
    assert_eq!(app.usage().await, usage, "nothing is counted twice");
    app.get("/demo/image/upload/rocket.jpg").await;
    assert_eq!(app.usage().await.requests, 6);
}

#[tokio::test]
async fn a_kept_picture_that_is_missing_or_damaged_is_rendered_again() {
    let mut app = WholeApp::start().await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    let path = "/demo/image/upload/c_scale,w_100/rocket.png";
    let good = picture(&app.get(path).await, "image/png", (100, 67));
    for damage in ["missing", "cut short", "other bytes"] {
        let derived = app.derived("rocket", 1).await.remove(0);
        let file = app.blob_file(&derived.blob);
        match damage {
            "missing" => std::fs::remove_file(&file).unwrap(),
            "cut short" => std::fs::write(&file, &good[..good.len() / 2]).unwrap(),
            _ => {
                let mut bytes = good.to_vec();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0xff;
                std::fs::write(&file, bytes).unwrap();
            }
        }
        app.restart().await;
        assert!(picture(&app.get(path).await, "image/png", (100, 67)) == good, "{damage}");
        assert_eq!(app.renders().await, 1, "{damage}");
        app.wait_for_blob_other_than("rocket", &derived.blob).await;
        app.restart().await;
        assert!(picture(&app.get(path).await, "image/png", (100, 67)) == good, "after {damage}");
        assert_eq!(app.renders().await, 0, "{damage}: the new one was kept");
    }
}

#[tokio::test]
async fn an_original_that_is_gone_is_an_error_and_no_panic() {
    let mut app = WholeApp::start().await;
    let large = noise(700, 600);
    for (name, bytes) in [("rocket", ROCKET), ("large", &large[..])] {
        app.upload("picture", bytes, &[("public_id", name)]).await;
        std::fs::remove_file(app.blob_file(&app.asset(name).await.blob)).unwrap();
    }
    app.restart().await;
    for path in ["rocket", "large", "c_scale,w_50/rocket.jpg", "c_scale,w_50/large.jpg", "l_rocket,w_20/rocket.png"] {
        for _ in 0..2 {
            let answer = app.get(&format!("/demo/image/upload/{path}")).await;
            refused(&answer, 500, "");
            assert!(!answer.text().contains("blobs/"), "{path}: {}", answer.text());
        }
    }
    // The server goes on.
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    assert!(app.get("/demo/image/upload/rocket.jpg").await.body == ROCKET);
    picture(&app.get("/demo/image/upload/c_scale,w_50/rocket.jpg").await, "image/jpeg", (50, 33));
}
