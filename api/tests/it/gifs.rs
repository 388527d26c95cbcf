//! GIFs as originals: uploaded, delivered as they are, one frame of them, and transformed as animations.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::{ROCKET, WholeApp};
use serde_json::json;
use std::sync::Arc;
use tintype_api::storage::MemoryStore;
use tintype_render::Limits;
use tintype_render::codec::{self, GifReader, GifWriter, Repeat, decode_gif};
use tintype_render::frame::Frame;
use tintype_render::plan::geometry::{Rect, Size};
use tintype_render::plan::step::Demand;

pub const RED: [u8; 4] = [200, 0, 0, 255];
pub const GREEN: [u8; 4] = [0, 200, 0, 255];
pub const BLUE: [u8; 4] = [0, 0, 200, 255];

/// 40x20 pixels, every frame of one color but for a white square of 8 pixels above left.
pub fn film(colors: &[[u8; 4]]) -> Vec<u8> {
    let mut writer = GifWriter::new(Size::new(40, 20), Repeat::Times(4), true).unwrap();
    for (n, color) in colors.iter().enumerate() {
        let mut frame = Frame::filled(Size::new(40, 20), *color);
        for y in 0..8 {
            let row = &mut frame.pixels_mut()[y * 160..y * 160 + 32];
            row.fill(255);
        }
        writer.push(&frame, 10 + n as u16).unwrap();
    }
    writer.finish().unwrap()
}

pub fn frame(bytes: &[u8]) -> Frame {
    let limits = Limits::default();
    let size = codec::probe(bytes, &limits).unwrap().size;
    codec::decode(bytes, &Demand { size, scale: 1.0, region: Rect::whole(size) }, &limits).unwrap().0
}

/// Whether a pixel in the middle of a picture is of a color.
pub fn shows(picture: &Frame, color: [u8; 4]) -> bool {
    let size = picture.size();
    let pixel = picture.pixel(size.width * 3 / 4, size.height * 3 / 4);
    pixel.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 12)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gif_is_an_original_like_others() {
    let app = WholeApp::start_in_memory().await;
    let file = film(&[RED, GREEN, BLUE]);
    let answer = app.upload("film.gif", &file, &[("public_id", "film")]).await;
    for (name, value) in [("format", json!("gif")), ("width", json!(40)), ("height", json!(20)), ("pages", json!(3))] {
        assert_eq!(answer[name], value, "{name} of {answer}");
    }
    let as_it_is = app.get("/demo/image/upload/film.gif").await;
    assert_eq!((as_it_is.header("content-type"), as_it_is.body.as_ref()), ("image/gif", &file[..]));
    for (path, color) in [
        ("film.jpg", RED),
        ("w_20/film.png", RED),
        ("pg_1/film.png", RED),
        ("pg_2/film.png", GREEN),
        ("c_fill,w_10,h_10,pg_3/film.webp", BLUE),
        ("pg_2,w_20/film.gif", GREEN),
        ("f_png/film", RED),
    ] {
        let answer = app.get(&format!("/demo/image/upload/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(shows(&frame(&answer.body), color), "{path}");
    }
    assert_eq!(decode_gif(&app.get("/demo/image/upload/pg_2,w_20/film.gif").await.body, 9, 9_999).unwrap().len(), 1);
    for (path, part) in [
        ("pg_4/film.png", "4 is out of range, the file has 3 pages"),
        ("pg_0/film.png", "Invalid page in transformation: 0"),
        ("pg_2-3/film.png", "pg_2-3 is not supported"),
    ] {
        let answer = app.get(&format!("/demo/image/upload/{path}")).await;
        let message = answer.header("x-cld-error").to_owned();
        assert!(answer.status == 400 && message.contains(part), "{path}: {} {message}", answer.status);
    }
    app.upload("p", ROCKET, &[("public_id", "still")]).await;
    assert_eq!(app.get("/demo/image/upload/pg_1,w_20/still.jpg").await.status, 200);
    assert_eq!(app.get("/demo/image/upload/pg_2,w_20/still.jpg").await.status, 400);
    let written = app.get("/demo/image/upload/w_20/still.gif").await;
    assert_eq!((written.header("content-type"), frame(&written.body).size().width), ("image/gif", 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transformed_animation_keeps_its_frames_and_timing() {
    let app = WholeApp::start_in_memory().await;
    // More than one window of frames.
    let colors: Vec<[u8; 4]> = (0..37).map(|n| [RED, GREEN, BLUE][n % 3]).collect();
    let answer = app.upload("film.gif", &film(&colors), &[("public_id", "film"), ("eager", "w_30")]).await;
    assert_eq!((&answer["eager"][0]["format"], &answer["eager"][0]["width"]), (&json!("gif"), &json!(30)));
    app.upload("p", ROCKET, &[("public_id", "logo")]).await;
    for (path, size) in [
        ("w_20/film.gif", Size::new(20, 10)),
        ("w_20/film", Size::new(20, 10)),
        ("c_thumb,g_face,w_10,h_10/film.gif", Size::new(10, 10)),
        ("w_20,q_auto,f_auto/film.jpg", Size::new(20, 10)),
        ("l_logo,w_5,g_north_west/film.gif", Size::new(40, 20)),
        ("r_max/film.gif", Size::new(40, 20)),
    ] {
        let answer = app.get(&format!("/demo/image/upload/{path}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/gif"), "{path}");
        let mut reader = GifReader::open(&answer.body[..], &Limits::default()).unwrap();
        assert_eq!(reader.size(), size, "{path}");
        for (n, color) in colors.iter().enumerate() {
            assert_eq!(reader.advance().unwrap(), Some(10 + n as u16), "{path} {n}");
            let shown = reader.frame().unwrap();
            let at = shown.pixel(size.width * 3 / 4, size.height / 2);
            assert!(at.iter().zip(color).all(|(a, b)| a.abs_diff(*b) < 12), "{path} {n}: {at:?}");
            assert_eq!(path.starts_with("r_max"), shown.pixel(size.width - 1, size.height - 1)[3] == 0, "{path} {n}");
        }
        assert_eq!((reader.advance().unwrap(), reader.repeat()), (None, Repeat::Times(4)), "{path}");
    }
    // The second time it is kept.
    let renders = app.renders().await;
    assert_eq!(app.get("/demo/image/upload/w_20/v1/film.gif").await.status, 200);
    assert_eq!(app.renders().await, renders);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn animations_have_limits() {
    let flags = [("max_animation_frames", "3"), ("max_animation_megapixels", "1")];
    let app = WholeApp::start_over(Arc::new(MemoryStore::new()), &flags).await;
    app.upload("film.gif", &film(&[RED, GREEN, BLUE]), &[("public_id", "film")]).await;
    let large = app.get("/demo/image/upload/w_1000/film.gif").await;
    let message = large.header("x-cld-error").to_owned();
    assert!(large.status == 400 && message.contains("pixels of all frames"), "{message}");
    let credentials = app.credentials();
    let headers = [("authorization", credentials.as_str())];
    let long = film(&[RED, GREEN, BLUE, RED]);
    let (status, answer) = app.post("/image/upload", &[], Some(("a.gif", &long)), &headers).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(status == 400 && message.contains("Maximum number of frames is 3"), "{message}");
    let short = film(&[RED, GREEN]);
    let (status, _) = app.post("/image/upload", &[], Some(("a.gif", &short[..short.len() / 2])), &headers).await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incoming_transformations_keep_animations_moving() {
    let app = WholeApp::start_in_memory().await;
    let file = film(&[RED, GREEN]);
    let small = app.upload("a.gif", &file, &[("transformation", "w_20")]).await;
    assert_eq!((&small["pages"], &small["width"], &small["format"]), (&json!(2), &json!(20), &json!("gif")));
    let still = app.upload("a.gif", &file, &[("format", "png")]).await;
    assert_eq!((&still["pages"], &still["format"]), (&json!(1), &json!("png")));
}
