//! Texts, sprites and animations over the whole app: what the calls answer, and what their addresses deliver.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::{CHELSEA, ICON, ROCKET, WholeApp};
use serde_json::{Value, json};
use tintype_render::Limits;
use tintype_render::codec::{self, decode_gif};
use tintype_render::frame::Frame;
use tintype_render::plan::geometry::Rect;
use tintype_render::plan::step::Demand;

async fn call(app: &WholeApp, action: &str, params: &[(&str, &str)]) -> (u16, Value) {
    let credentials = app.credentials();
    app.post(&format!("/image/{action}"), params, None, &[("authorization", &credentials)]).await
}

async fn made(app: &WholeApp, action: &str, params: &[(&str, &str)]) -> Value {
    let (status, answer) = call(app, action, params).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn refusal(app: &WholeApp, action: &str, params: &[(&str, &str)]) -> (u16, String) {
    let (status, answer) = call(app, action, params).await;
    (status, answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned())
}

/// The path of an address in an answer.
fn path(url: &Value) -> &str {
    let url = url.as_str().unwrap();
    &url[url.find("/demo/").unwrap()..]
}

fn frame(bytes: &[u8]) -> Frame {
    let limits = Limits::default();
    let size = codec::probe(bytes, &limits).unwrap().size;
    codec::decode(bytes, &Demand { size, scale: 1.0, region: Rect::whole(size) }, &limits).unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_becomes_an_asset() {
    let app = WholeApp::start_in_memory().await;
    let answer = made(&app, "text", &[("text", "hello world")]).await;
    let (width, height) = (answer["width"].as_u64().unwrap(), answer["height"].as_u64().unwrap());
    assert!((50..=70).contains(&width) && (5..=15).contains(&height), "{answer}");
    assert_eq!((&answer["type"], &answer["format"]), (&json!("text"), &json!("png")));
    let again = made(&app, "text", &[("text", "hello world")]).await;
    assert_eq!((&again["public_id"], &again["asset_id"]), (&answer["public_id"], &answer["asset_id"]));
    let larger = made(&app, "text", &[("text", "hello world"), ("font_size", "40")]).await;
    assert_ne!(larger["public_id"], answer["public_id"]);
    let delivered = app.get(path(&larger["url"])).await;
    assert_eq!((delivered.status.as_u16(), delivered.header("content-type")), (200, "image/png"));
    assert_eq!(u64::from(frame(&delivered.body).size().width), larger["width"].as_u64().unwrap());
    let named = [("text", "Ünïcødé"), ("public_id", "banner/one"), ("font_color", "#ff0000"), ("background", "white")];
    let named = made(&app, "text", &named).await;
    assert_eq!(named["public_id"], "banner/one");
    let small = app.get("/demo/image/text/w_20/banner/one.png").await;
    assert_eq!(frame(&small.body).size().width, 20);
    for (params, part) in [
        (&[("font_family", "Arial")][..], "text"),
        (&[("text", "a"), ("font_family", "Nonesuch")], "Available are: Arimo"),
        (&[("text", "a"), ("font_size", "0")], "font_size"),
        (&[("text", "a"), ("font_color", "rainbowish")], "font_color"),
        (&[("text", "a"), ("text_align", "up")], "text_align"),
        (&[("text", " "), ("font_size", "10")], "nothing to draw"),
        (&[("text", "a"), ("public_id", "../x")], "invalid"),
    ] {
        let (status, message) = refusal(&app, "text", params).await;
        assert!(status == 400 && message.contains(part), "{params:?}: {status} {message}");
    }
    let (status, answer) = app.post("/image/text", &[("text", "a")], None, &[]).await;
    assert!(status == 400 || status == 401, "nobody signed: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sprite_holds_its_pictures_where_it_says() {
    let app = WholeApp::start_in_memory().await;
    for (id, file) in [("dir/b", ROCKET), ("a", CHELSEA), ("c", ICON)] {
        app.upload("p", file, &[("public_id", id), ("tags", "logos")]).await;
    }
    app.upload("p", ROCKET, &[("public_id", "hidden"), ("tags", "logos"), ("type", "authenticated")]).await;
    let params = [("tag", "logos"), ("transformation", "c_fit,p_icon-,w_100")];
    let answer = made(&app, "sprite", &params).await;
    assert_eq!(answer["public_id"], "logos");
    assert!(answer["version"].is_u64() && answer["css_url"].as_str().unwrap().contains("w_100"), "{answer}");
    let infos = answer["image_infos"].as_object().unwrap();
    assert_eq!(infos.keys().collect::<Vec<_>>(), ["a", "c", "dir/b"]);
    let sprite = frame(&app.get(path(&answer["image_url"])).await.body);
    assert_eq!(sprite.size().width, 100);
    let mut y = 0;
    for (id, info) in infos {
        assert_eq!((&info["x"], &info["y"]), (&json!(0), &json!(y)), "{id}");
        let alone = frame(&app.get(&format!("/demo/image/upload/c_fit,w_100/{id}.png")).await.body);
        assert_eq!(json!(alone.size().height), info["height"]);
        for row in 0..alone.size().height {
            assert_eq!(sprite.row(y + row), alone.row(row), "{id} {row}");
        }
        y += alone.size().height;
    }
    assert_eq!(sprite.size().height, y);
    let css = app.get(path(&answer["css_url"])).await;
    assert!(css.header("content-type").starts_with("text/css"));
    let second = infos["c"]["y"].as_u64().unwrap();
    assert!(css.text().contains(".icon-a {") && css.text().contains(".icon-dir_b {"), "{}", css.text());
    assert!(css.text().contains(&format!("no-repeat 0 -{second}px;")), "{}", css.text());
    assert!(css.text().contains(path(&answer["image_url"])), "{}", css.text());
    let list = app.get(path(&answer["json_url"])).await;
    assert_eq!(list.json(), answer["image_infos"]);
    assert_eq!(app.get("/demo/image/sprite/w_50/logos.png").await.status, 400);
    let jpeg = made(&app, "sprite", &[("tag", "logos"), ("transformation", "f_jpg,w_40"), ("public_id", "j")]).await;
    assert!(jpeg["image_url"].as_str().unwrap().ends_with("/j.jpg"), "{jpeg}");
    assert!(jpeg["css_url"].as_str().unwrap().contains("f_jpg,w_40"));
    assert!(app.get(path(&jpeg["image_url"])).await.body.starts_with(b"\xFF\xD8"));
    assert_eq!(made(&app, "destroy", &[("public_id", "logos"), ("type", "sprite")]).await["result"], "ok");
    assert_eq!(app.get(path(&answer["css_url"])).await.status, 404);
    assert_eq!(refusal(&app, "sprite", &[("tag", "none")]).await.0, 404);
    assert_eq!(refusal(&app, "sprite", &[]).await.0, 400);
    assert_eq!(refusal(&app, "sprite", &[("tag", "logos"), ("urls[]", "https://a.test/b.png")]).await.0, 400);
    let (status, message) = refusal(&app, "sprite", &[("tag", "logos"), ("transformation", "f_avif")]).await;
    assert!(status == 400 && message.contains("f_avif"), "{message}");
    let (status, message) = refusal(&app, "sprite", &[("urls[]", "http://127.0.0.1/x.png")]).await;
    assert!(status == 400, "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_animation_shows_its_pictures_in_order() {
    let app = WholeApp::start_in_memory().await;
    for (id, file) in [("f2", ROCKET), ("f1", CHELSEA), ("f3", ICON)] {
        app.upload("p", file, &[("public_id", id), ("tags", "film")]).await;
    }
    let answer = made(&app, "multi", &[("tag", "film"), ("transformation", "dl_200,w_80/f_gif")]).await;
    let url = answer["url"].as_str().unwrap();
    assert!(url.ends_with("/film.gif") && url.contains("dl_200,w_80/v"), "{url}");
    let gif = app.get(path(&answer["url"])).await;
    assert_eq!((gif.status.as_u16(), gif.header("content-type")), (200, "image/gif"));
    let frames = decode_gif(&gif.body, 10, 1_000_000).unwrap();
    assert_eq!(frames.len(), 3);
    let first = frame(&app.get("/demo/image/upload/w_80/f1.png").await.body);
    assert!(frames.iter().all(|shown| shown.size() == first.size()));
    let off: u64 = frames[0].pixels().iter().zip(first.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(off < first.pixels().len() as u64 * 6, "{off}");
    let apng = made(&app, "multi", &[("tag", "film"), ("transformation", "f_png,w_40"), ("public_id", "film2")]).await;
    assert!(apng["url"].as_str().unwrap().ends_with("film2.png"));
    assert!(app.get(path(&apng["url"])).await.body.windows(4).any(|four| four == b"acTL"));
    for format in ["pdf", "mp4", "webm", "zip"] {
        let asked = format!("f_{format}");
        let (status, message) = refusal(&app, "multi", &[("tag", "film"), ("transformation", &asked)]).await;
        assert!(status == 400 && message.contains(&asked), "{message}");
    }
    // The file alone, and nothing is kept.
    for (action, start) in [("multi", &b"GIF89a"[..]), ("sprite", b"\x89PNG")] {
        let params = [("tag", "film"), ("mode", "download"), ("public_id", "taken"), ("transformation", "w_20")];
        let params = params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let mut request = crate::app::multipart(&format!("/v1_1/demo/image/{action}"), &params, None);
        request.headers_mut().insert("authorization", app.credentials().parse().unwrap());
        let file = app.send(request).await;
        assert!(file.status == 200 && file.body.starts_with(start), "{action}: {}", file.status);
        assert!(file.header("content-disposition").contains("taken."), "{action}");
        assert_eq!(app.get(&format!("/demo/image/{action}/taken.gif")).await.status, 404);
        let (status, message) = refusal(&app, action, &[("tag", "film"), ("mode", "sideways")]).await;
        assert!(status == 400 && message.contains("mode"), "{message}");
    }
    assert_eq!(refusal(&app, "explode", &[("public_id", "f1")]).await.0, 400);
    let (status, message) = refusal(&app, "explode", &[("public_id", "f1"), ("transformation", "pg_all")]).await;
    assert!(status == 400 && message.contains("explode of png files"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compositions_have_limits() {
    let blobs = std::sync::Arc::new(tintype_api::storage::MemoryStore::new());
    let flags = [("max_composed_images", "2"), ("max_composed_megapixels", "1")];
    let app = WholeApp::start_over(blobs, &flags).await;
    for id in ["a", "b", "c"] {
        app.upload("p", ROCKET, &[("public_id", id), ("tags", if id == "c" { "three" } else { "three,two" })]).await;
    }
    let (status, message) = refusal(&app, "sprite", &[("tag", "three")]).await;
    assert_eq!((status, message.as_str()), (400, "Too many images. Maximum is 2"));
    made(&app, "sprite", &[("tag", "two")]).await;
    let (status, message) = refusal(&app, "multi", &[("tag", "two"), ("transformation", "w_1200")]).await;
    assert!(status == 400 && message.contains("Too many pixels"), "{message}");
}
