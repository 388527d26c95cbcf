//! BMP, ICO and TIFF as originals and as results; the files are those of Pillow, and one of 16 bits.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::gifs::{frame, shows};
use crate::whole_app::WholeApp;

const GREEN: [u8; 4] = [0, 128, 0, 255];

/// Name, file and size: green, with a white square above left.
const FILES: &[(&str, &[u8], [u32; 2])] = &[
    ("plain.bmp", include_bytes!("formats/plain.bmp"), [40, 20]),
    ("palette.bmp", include_bytes!("formats/palette.bmp"), [40, 20]),
    ("favicon.ico", include_bytes!("formats/favicon.ico"), [32, 32]),
    ("lzw.tiff", include_bytes!("formats/lzw.tiff"), [40, 20]),
    ("deep.tiff", include_bytes!("formats/deep.tiff"), [40, 20]),
    ("cmyk.tiff", include_bytes!("formats/cmyk.tiff"), [40, 20]),
    ("alpha.tiff", include_bytes!("formats/alpha.tiff"), [40, 20]),
    // Stored on its side: 20 wide and 40 high.
    ("turned.tiff", include_bytes!("formats/turned.tiff"), [40, 20]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_programs_files_are_pictures() {
    let app = WholeApp::start_in_memory().await;
    for (name, file, [width, height]) in FILES {
        let (id, format) = name.split_once('.').unwrap();
        let answer = app.upload(name, file, &[("public_id", id)]).await;
        assert_eq!(answer["format"], *format, "{name}");
        assert_eq!((&answer["width"], &answer["height"]), (&(*width).into(), &(*height).into()), "{name}");
        let kept = app.get(&format!("/demo/image/upload/{name}")).await;
        assert_eq!((kept.status.as_u16(), &kept.body[..]), (200, *file), "{name}");
        for extension in ["png", "jpg", "webp"] {
            let answer = app.get(&format!("/demo/image/upload/c_scale,w_20/{id}.{extension}")).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.header("x-cld-error"));
            let picture = frame(&answer.body);
            assert_eq!((picture.size().width, picture.size().height), (20, 20 * height / width), "{name}");
            assert!(shows(&picture, GREEN), "{name} as {extension}: {:?}", picture.pixel(15, 7));
            let corner = picture.pixel(1, 1);
            assert!(corner.iter().all(|sample| *sample > 240), "{name} as {extension}: {corner:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_results_too() {
    let app = WholeApp::start_in_memory().await;
    let (name, file, ..) = FILES[0];
    app.upload(name, file, &[("public_id", "plain")]).await;
    for (extension, content_type) in
        [("bmp", "image/bmp"), ("ico", "image/x-icon"), ("tiff", "image/tiff"), ("tif", "image/tiff")]
    {
        let answer = app.get(&format!("/demo/image/upload/c_fill,w_16,h_16,g_east/plain.{extension}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, content_type));
        let picture = frame(&answer.body);
        assert!(picture.size().width == 16 && shows(&picture, GREEN), "{extension}");
    }
    let answer = app.get("/demo/image/upload/c_scale,w_300/plain.ico").await;
    assert_eq!(answer.status, 400);
    assert!(answer.header("x-cld-error").contains("256"), "{}", answer.header("x-cld-error"));
}

#[tokio::test]
async fn text_that_begins_with_two_letters_is_no_picture() {
    let app = WholeApp::start_in_memory().await;
    let text = b"BMW makes cars in Munich, and this is a text about them.";
    let mut request = crate::app::multipart("/v1_1/demo/auto/upload", &[], Some(("note", text)));
    request.headers_mut().insert("authorization", app.credentials().parse().unwrap());
    let answer = app.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.json()["resource_type"].clone()), (200, "raw".into()));
}
