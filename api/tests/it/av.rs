//! Videos and sound: what an upload tells of them, and what is kept of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::{WholeApp, ok};
use axum::http::Method;
use serde_json::{Value, json};

/// Files of the test patterns of ffmpeg 5.1, and what it tells of them: name, format, the expected fields of the answer.
fn files() -> Vec<(&'static str, &'static [u8], Value)> {
    vec![
        (
            "clip.mp4",
            include_bytes!("av/clip.mp4"),
            json!({
                "format": "mp4", "is_audio": false, "width": 96, "height": 64, "duration": 1.0, "bit_rate": 73_928,
                "frame_rate": 25.0, "nb_frames": 25, "rotation": 0, "pages": 0,
                "video": {
                    "codec": "h264", "profile": "High", "level": 10, "bit_rate": "24416", "dar": "3:2",
                    "time_base": "1/12800",
                },
                "audio": {
                    "codec": "aac", "bit_rate": "31472", "frequency": 48_000, "channels": 2, "channel_layout": "stereo",
                },
            }),
        ),
        (
            // What ffmpeg wrote for `-metadata:s:v rotate=90` is a matrix of a quarter turn to the left.
            "portrait.mov",
            include_bytes!("av/portrait.mov"),
            json!({
                "format": "mov", "is_audio": false, "width": 64, "height": 96, "duration": 1.0, "frame_rate": 25.0,
                "nb_frames": 25, "rotation": 270, "audio": {},
                "video": {"codec": "hevc", "bit_rate": "13424", "dar": "2:3", "time_base": "1/12800"},
            }),
        ),
        (
            "clip.webm",
            include_bytes!("av/clip.webm"),
            json!({
                "format": "webm", "is_audio": false, "width": 96, "height": 64, "rotation": 0, "frame_rate": 25.0,
                "video": {"codec": "vp9", "dar": "3:2", "time_base": "1/1000"},
                "audio": {"codec": "opus", "frequency": 48_000, "channels": 1, "channel_layout": "mono"},
            }),
        ),
        (
            "clip.mkv",
            include_bytes!("av/clip.mkv"),
            json!({
                "format": "mkv", "width": 96, "height": 64, "frame_rate": 25.0, "nb_frames": 25, "duration": 1.0,
                "audio": {},
            }),
        ),
        ("tone.mp3", include_bytes!("av/tone.mp3"), json!({"format": "mp3", "is_audio": true})),
        (
            "tone.wav",
            include_bytes!("av/tone.wav"),
            json!({
                "format": "wav", "is_audio": true, "duration": 0.5,
                "audio": {
                    "codec": "pcm_s16le", "bit_rate": "128000", "frequency": 8000, "channels": 1,
                    "channel_layout": "mono",
                },
            }),
        ),
        ("tone.flac", include_bytes!("av/tone.flac"), json!({"format": "flac", "is_audio": true, "duration": 0.5})),
        ("tone.ogg", include_bytes!("av/tone.ogg"), json!({"format": "ogg", "is_audio": true, "duration": 0.5})),
        ("tone.m4a", include_bytes!("av/tone.m4a"), json!({"format": "m4a", "is_audio": true})),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_tell_what_a_video_or_sound_holds() {
    let app = WholeApp::start().await;
    for (name, file, expected) in files() {
        let (status, answer) = app
            .post("/video/upload", &[("public_id", name)], Some((name, file)), &[("authorization", &app.credentials())])
            .await;
        assert_eq!(status, 200, "{answer}");
        let details = ok(&app, Method::GET, &format!("/resources/video/upload/{name}"), Value::Null).await;
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&answer[field], value, "{field} of {name}: {answer}");
            if field != "pages" {
                assert_eq!(&details[field], value, "{field} of {name}: {details}");
            }
        }
        assert!(answer["duration"].as_f64().unwrap() > 0.0, "{answer}");
        assert_eq!(answer["is_audio"] == true, answer.get("width").is_none(), "{answer}");
        let url = answer["url"].as_str().unwrap();
        let delivered = app.get(&url[url.find("/demo/").unwrap()..]).await;
        assert_eq!(delivered.body, file, "{name} comes back as it was");
    }
    // What was read can be looked for.
    let search = json!({"expression": "resource_type:video AND duration>0.9 AND width:96"});
    let found = ok(&app, Method::POST, "/resources/search", search).await;
    assert_eq!(found["total_count"], 3, "{found}");
}
