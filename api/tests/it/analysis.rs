//! What answers tell about pictures beside their records.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::gifs::{BLUE, GREEN, RED, film};
use crate::whole_app::{CHELSEA, ICON, ROCKET, WholeApp};
use axum::http::Method;
use serde_json::{Value, json};

const PORTRAIT: &[u8] = include_bytes!("../../assets/samples/astronaut.png");

const ALL: &[(&str, &str)] =
    &[("colors", "1"), ("phash", "1"), ("image_metadata", "1"), ("exif", "1"), ("quality_analysis", "1")];

fn bits(answer: &Value) -> u64 {
    let text = answer["phash"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(text.len(), 16);
    u64::from_str_radix(text, 16).unwrap()
}

async fn resource(app: &WholeApp, path: &str) -> Value {
    let (status, answer) = app.admin(Method::GET, &format!("/resources/image/upload/{path}"), Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_analyzed_when_asked() {
    let app = WholeApp::start_in_memory().await;
    let up = app.upload("r.jpg", ROCKET, &[&[("public_id", "r")], ALL].concat()).await;
    let colors = up["colors"].as_array().unwrap();
    assert!((1..=32).contains(&colors.len()), "{up}");
    let sum: f64 = colors.iter().map(|entry| entry[1].as_f64().unwrap()).sum();
    assert!((97.0..=103.0).contains(&sum), "{sum}");
    assert!(colors[0][0].as_str().unwrap().starts_with('#') && colors[0][0].as_str().unwrap().len() == 7);
    assert!(!up["predominant"]["google"].as_array().unwrap().is_empty());
    assert!(!up["predominant"]["cloudinary"].as_array().unwrap().is_empty());
    assert!(up["quality_analysis"]["focus"].is_f64() && up["image_metadata"].is_object() && up["exif"].is_object());
    assert_eq!((&up["grayscale"], &up["semi_transparent"]), (&json!(false), &json!(false)));

    // The same picture, smaller and in another format, is near; others are far.
    let small =
        app.upload("r.jpg", ROCKET, &[("transformation", "w_300,q_60"), ("format", "webp"), ("phash", "true")]).await;
    let other = app.upload("c.png", CHELSEA, &[("public_id", "c"), ("phash", "1")]).await;
    assert!((bits(&up) ^ bits(&small)).count_ones() <= 4);
    assert!((bits(&up) ^ bits(&other)).count_ones() > 16);
    assert!(other.get("colors").is_none() && other.get("quality_analysis").is_none());
    let icon = app.upload("i.png", ICON, &[("colors", "1")]).await;
    assert_eq!(icon["semi_transparent"].as_bool().map(|_| ()), Some(()));

    // Rendered once: afterwards they lie with the asset.
    let renders = app.renders().await;
    let shown = resource(&app, "r?colors=1&phash=1&quality_analysis=true&faces=0").await;
    for name in ["colors", "predominant", "phash", "quality_analysis"] {
        assert_eq!(shown[name], up[name], "{name}");
    }
    assert_eq!(resource(&app, "c?colors=1").await["phash"], Value::Null);
    assert_eq!(app.renders().await, renders);
    assert!(app.derived("r", 0).await.is_empty(), "nothing of it is kept as a derived picture");
    // Another picture under the same id is looked at anew.
    app.upload("c.png", CHELSEA, &[("public_id", "r")]).await;
    assert_eq!(resource(&app, "r?phash=1").await["phash"], other["phash"]);
    let auth = app.credentials();
    let explicit = [("public_id", "r"), ("type", "upload"), ("quality_analysis", "1")];
    let (status, answer) = app.post("/image/explicit", &explicit, None, &[("authorization", &auth)]).await;
    assert!(status == 200 && answer["quality_analysis"]["focus"].is_f64(), "{answer}");
    let raw = [("public_id", "t.txt"), ("colors", "1")];
    let (status, answer) = app.post("/raw/upload", &raw, Some(("t.txt", b"text")), &[("authorization", &auth)]).await;
    assert!(status == 200 && answer.get("colors").is_none(), "{answer}");
    let asked = [("public_id", "r"), ("accessibility_analysis", "1"), ("cinemagraph_analysis", "1"), ("colors", "1")];
    let photo = app.upload("r.jpg", ROCKET, &asked).await;
    let access = &photo["accessibility_analysis"];
    let share = |value: &Value| (0.0..=1.0).contains(&value.as_f64().unwrap());
    assert!(share(&access["colorblind_accessibility_score"]), "{photo}");
    let details = &access["colorblind_accessibility_analysis"];
    assert!(share(&details["distinct_edges"]) && share(&details["distinct_colors"]), "{photo}");
    assert_eq!(details["most_indistinct_pair"].as_array().map(Vec::len), Some(2), "{photo}");
    assert_eq!(photo["cinemagraph_analysis"], json!({ "cinemagraph_score": 0.0 }));
    // A white square stands still before a field that changes.
    let film = film(&[RED, GREEN, BLUE]);
    let moving = app.upload("f.gif", &film, &[("public_id", "f"), ("cinemagraph_analysis", "1")]).await;
    let score = moving["cinemagraph_analysis"]["cinemagraph_score"].as_f64().unwrap();
    assert!((score - 64.0 / 800.0).abs() < 0.03, "{moving}");
    let drawing = app.upload("i.png", ICON, &[("image_metadata", "1")]).await;
    let score = |answer: &Value| answer["illustration_score"].as_f64().unwrap();
    assert!(score(&drawing) > 0.8 && score(&photo) < 0.4, "{drawing} {photo}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faces_are_found_when_asked() {
    let app = WholeApp::start_in_memory().await;
    let up = app.upload("a.png", PORTRAIT, &[("public_id", "a"), ("faces", "1")]).await;
    let faces = up["faces"].as_array().unwrap();
    assert_eq!(faces.len(), 1, "{up}");
    let (x, y) = (faces[0][0].as_f64().unwrap(), faces[0][1].as_f64().unwrap());
    assert!((150.0..230.0).contains(&x) && (40.0..130.0).contains(&y), "{faces:?}");
    assert_eq!(app.asset("a").await.faces.unwrap().len(), 1);
    assert_eq!(resource(&app, "a?faces=1").await["faces"], up["faces"]);
    let none = app.upload("r.jpg", ROCKET, &[("public_id", "r"), ("faces", "1")]).await;
    assert_eq!(none["faces"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breakpoints_follow_the_sizes_of_files() {
    let app = WholeApp::start_in_memory().await;
    let asked = r#"[{"create_derived":false,"bytes_step":8000,"min_width":100,"max_width":500,"max_images":4},
                    {"create_derived":"true","transformation":"a_90","max_width":90,"format":"png"}]"#;
    let up = app.upload("r.jpg", ROCKET, &[("public_id", "r"), ("responsive_breakpoints", asked)]).await;
    let lists = up["responsive_breakpoints"].as_array().unwrap();
    assert_eq!(
        (lists.len(), &lists[0]["transformation"], &lists[1]["transformation"]),
        (2, &Value::Null, &json!("a_90"))
    );
    let points = lists[0]["breakpoints"].as_array().unwrap();
    let widths: Vec<u64> = points.iter().map(|point| point["width"].as_u64().unwrap()).collect();
    assert!((2..=4).contains(&widths.len()) && widths[0] == 500 && widths.last() == Some(&100), "{widths:?}");
    assert!(
        widths.is_sorted_by(|a, b| a > b)
            && points.is_sorted_by_key(|point| std::cmp::Reverse(point["bytes"].as_u64()))
    );
    for point in lists.iter().flat_map(|list| list["breakpoints"].as_array().unwrap()) {
        let url = point["url"].as_str().unwrap();
        let path = &url[url.find("/demo/").unwrap()..];
        let delivered = app.get(path).await;
        assert_eq!(delivered.status, 200, "{path}: {}", delivered.header("x-cld-error"));
        assert_eq!(delivered.body.len() as u64, point["bytes"].as_u64().unwrap(), "{path}");
    }
    assert!(lists[1]["breakpoints"][0]["url"].as_str().unwrap().contains("/a_90/c_scale,w_90/"));
    let auth = app.credentials();
    for bad in [r#"[{"format":"heic"}]"#, "[7]", r#"[{"max_width":-1}]"#] {
        let params = [("responsive_breakpoints", bad)];
        let (status, answer) =
            app.post("/image/upload", &params, Some(("r.jpg", ROCKET)), &[("authorization", &auth)]).await;
        assert_eq!(status, 400, "{answer}");
    }
}
