//! What the headers of video and sound files tell, as answers show it.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::multipart;
use crate::whole_app::{WholeApp, ok};
use axum::http::Method;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::ops::Range;
use tintype_api::media::{Media, probe};

/// One second of a test picture with a tone, all of it made by ffmpeg: format, file.
const FILES: &[(&str, &[u8])] = &[
    ("mp4", include_bytes!("media/moov_last.mp4")),
    ("mp4", include_bytes!("media/turned.mp4")),
    ("mov", include_bytes!("media/moov_first.mov")),
    ("webm", include_bytes!("media/small.webm")),
    ("wav", include_bytes!("media/small.wav")),
    ("mp3", include_bytes!("media/small.mp3")),
    ("ogg", include_bytes!("media/small.ogg")),
];

async fn look(format: &str, file: &[u8]) -> Media {
    let read = async |range: Range<u64>| {
        let range = range.start as usize..range.end as usize;
        Ok::<_, Infallible>(Bytes::copy_from_slice(&file[range]))
    };
    probe(format, file.len() as u64, read).await.unwrap()
}

async fn upload(app: &WholeApp, name: &str, file: &[u8]) -> Value {
    let params = [("public_id".to_owned(), name.to_owned())];
    let mut request = multipart("/v1_1/demo/video/upload", &params, Some(("clip", file)));
    request.headers_mut().insert("authorization", app.credentials().parse().unwrap());
    let answer = app.send(request).await;
    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_tell_what_a_video_is() {
    let app = WholeApp::start_in_memory().await;
    let answer = upload(&app, "clip", FILES[0].1).await;
    let near = |value: &Value, wanted: f64| (value.as_f64().unwrap() - wanted).abs() < wanted * 0.02;
    assert_eq!((&answer["width"], &answer["height"], &answer["format"]), (&json!(64), &json!(36), &json!("mp4")));
    assert_eq!((&answer["is_audio"], &answer["rotation"], &answer["pages"]), (&json!(false), &json!(0), &json!(0)));
    assert!(near(&answer["duration"], 1.0) && near(&answer["bit_rate"], 41_328.0), "{answer}");
    assert_eq!((&answer["frame_rate"], &answer["nb_frames"]), (&json!(10.0), &json!(10)));
    let video = &answer["video"];
    assert_eq!((&video["codec"], &video["profile"], &video["level"]), (&json!("h264"), &json!("High"), &json!(10)));
    assert_eq!((&video["pix_format"], &video["dar"]), (&json!("yuv420p"), &json!("16:9")));
    assert!(video["bit_rate"].is_string() && video["time_base"].as_str().unwrap().starts_with("1/"), "{video}");
    let audio = &answer["audio"];
    assert_eq!((&audio["codec"], &audio["frequency"], &audio["channels"]), (&json!("aac"), &json!(22_050), &json!(1)));
    assert_eq!((&audio["channel_layout"], audio["bit_rate"].is_string()), (&json!("mono"), true));
    let details = ok(&app, Method::GET, "/resources/video/upload/clip", Value::Null).await;
    for name in ["duration", "bit_rate", "frame_rate", "video", "audio", "width"] {
        assert_eq!(details[name], answer[name], "{name}");
    }
    let moved = upload(&app, "first", FILES[2].1).await;
    assert_eq!((&moved["format"], &moved["video"]), (&json!("mov"), &answer["video"]));
    let turned = upload(&app, "turned", FILES[1].1).await;
    assert!(turned["rotation"] == 0 || turned["width"] == 36 || turned["rotation"] == 180, "{turned}");
    let webm = upload(&app, "webm", FILES[3].1).await;
    assert_eq!((&webm["video"]["codec"], &webm["audio"]["codec"]), (&json!("vp9"), &json!("opus")));
    assert!(near(&webm["duration"], 1.029) && webm["height"] == 36, "{webm}");
    let file = app.get("/demo/video/upload/clip.mp4").await;
    assert_eq!(file.body.as_ref(), FILES[0].1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_tell_what_a_sound_is() {
    let app = WholeApp::start_in_memory().await;
    for (n, codec, frequency, duration) in
        [(4, "pcm_u8", 8000, 0.1), (5, "mp3", 22_050, 1.0), (6, "vorbis", 22_050, 1.0217)]
    {
        let answer = upload(&app, &format!("sound{n}"), FILES[n].1).await;
        let audio = &answer["audio"];
        assert_eq!((&audio["codec"], &audio["frequency"]), (&json!(codec), &json!(frequency)), "{answer}");
        assert_eq!((&audio["channels"], &answer["is_audio"]), (&json!(1), &json!(true)));
        let told = answer["duration"].as_f64().unwrap();
        assert!((told - duration).abs() < 0.11, "{codec}: {told}");
        assert!(answer.get("width").is_none() && answer.get("video").is_none(), "{answer}");
    }
    // What cannot be read is stored all the same, with what is known.
    let broken = upload(&app, "broken", &FILES[0].1[..40]).await;
    assert_eq!((&broken["format"], broken.get("duration")), (&json!("mp4"), None));
}

#[tokio::test]
async fn an_index_behind_the_media_costs_little() {
    // A gigabyte of media that nobody reads.
    let file = FILES[0].1;
    let at = file.windows(4).position(|four| four == b"moov").unwrap() - 4;
    let end = at as u64 + (1 << 30);
    let seen = Mutex::new(0_u64);
    let read = async |range: Range<u64>| {
        *seen.lock() += range.end - range.start;
        let mut bytes = Vec::new();
        for position in range {
            bytes.push(match position {
                0..4 => (u32::try_from(end).unwrap()).to_be_bytes()[position as usize],
                4..8 => b"free"[position as usize - 4],
                position if position >= end => file[(position - end) as usize + at],
                _ => 0,
            });
        }
        Ok::<_, Infallible>(Bytes::from(bytes))
    };
    let media = probe("mp4", end + (file.len() - at) as u64, read).await.unwrap();
    assert_eq!((media.size, media.n_frames), (Some((64, 36)), Some(10)));
    assert!(*seen.lock() < 10_000, "{}", seen.lock());
}

#[tokio::test]
async fn damaged_files_do_no_harm() {
    // A fixed generator, so that a failure can be repeated.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for (format, file) in FILES {
        for end in (0..file.len()).step_by(17) {
            look(format, &file[..end]).await;
        }
        for _ in 0..3000 {
            let mut bytes = file.to_vec();
            for _ in 0..1 + random() % 12 {
                let at = random() % bytes.len();
                bytes[at] = [0, 0xFF, random() as u8][random() % 3];
            }
            let fields = look(format, &bytes).await.fields(false, bytes.len() as u64);
            let told = fields.get("duration").and_then(Value::as_f64).unwrap_or(0.0);
            assert!(told >= 0.0 && told.is_finite());
        }
    }
}
