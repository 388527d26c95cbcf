//! The small pictures that golden cases start from: reductions of the sample photos, and two that are drawn.

use crate::support::Case;
use std::path::{Path, PathBuf};
use tintype_render::Limits;
use tintype_render::codec;
use tintype_render::frame::Frame;
use tintype_render::language::Format;
use tintype_render::plan::geometry::{Rect, RectF, Size};
use tintype_render::plan::step::Demand;
use tintype_render::plan::{Encoding, Quality};

/// Where the cases and their pictures are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Reads any picture that the codecs read, whole.
pub fn read(path: &Path) -> Result<Frame, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let failed = |error| format!("{}: {error}", path.display());
    let size = codec::probe(&bytes, &Limits::default()).map_err(failed)?.size;
    let demand = Demand { size, scale: 1.0, region: Rect::whole(size) };
    Ok(codec::decode(&bytes, &demand, &Limits::default()).map_err(failed)?.0)
}

/// Writes a PNG, and the folders above it.
pub fn write(path: &Path, frame: &Frame) {
    let encoding = Encoding { format: Format::Png, quality: Quality::Fixed(100), chroma: None, progressive: false };
    let encoded = codec::encode(frame, &encoding, &Limits::default()).expect("a small PNG can be written");
    std::fs::create_dir_all(path.parent().expect("below the folder")).expect("the folder can be made");
    std::fs::write(path, encoded.bytes).expect("the picture can be written");
}

/// Samples that are kept reduced beside the cases: name, sample, how it is reduced.
const REDUCED: &[(&str, &str, &str)] = &[
    ("portrait", "astronaut.png", "c_crop,g_north,h_380,w_380,x_-20/c_scale,w_90/f_png"),
    ("cat", "chelsea.png", "c_scale,w_100/f_png"),
    ("icon", "cloudinary_icon.png", "c_scale,w_60/f_png"),
];

/// Makes the reduced samples. They change only when somebody wants them to, since all expected pictures rest on them.
pub fn reduce_samples() {
    for (name, sample, transformation) in REDUCED {
        let path = folder().join(format!("sources/{name}.png"));
        if !path.exists() {
            let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/assets/samples");
            let frame = read(&samples.join(sample)).expect("the sample is there");
            write(&path, &crate::support::render_with_facts(&Case::new(frame, transformation)));
        }
    }
}

/// A source by its name.
pub fn source(name: &str) -> Result<Frame, String> {
    match name {
        "chart" => Ok(chart()),
        "disc" => Ok(disc()),
        _ if REDUCED.iter().any(|(known, _, _)| *known == name) => read(&folder().join(format!("sources/{name}.png"))),
        _ => Err(format!("there is no source {name}")),
    }
}

/// Faces that a source is known to have, in its pixels.
pub fn faces(name: &str) -> Vec<RectF> {
    if name == "portrait" { vec![RectF::new(34.0, 13.0, 24.0, 32.0)] } else { vec![] }
}

/// 120x80: a grid of 10 pixels over a ramp of red to the right and green downwards, and corners that differ: white
/// square above left, blue square above right, black below left, magenta below right.
fn chart() -> Frame {
    let size = Size::new(120, 80);
    let mut pixels = Vec::new();
    for y in 0..size.height {
        for x in 0..size.width {
            let (left, right) = (x < 15, x >= size.width - 15);
            let (top, bottom) = (y < 15, y >= size.height - 15);
            let color = match () {
                () if left && top => [255, 255, 255],
                () if right && top => [0, 0, 255],
                () if left && bottom => [0, 0, 0],
                () if right && bottom => [255, 0, 255],
                () if x % 10 == 0 || y % 10 == 0 => [40, 40, 90],
                () => [(x * 255 / size.width) as u8, (y * 255 / size.height) as u8, 60],
            };
            pixels.extend_from_slice(&[color[0], color[1], color[2], 255]);
        }
    }
    Frame::new(size, false, pixels).expect("every pixel was drawn")
}

/// 90x60, transparent: an orange disc whose edge fades over 12 pixels, and bright blue that must never be seen where
/// alpha is 0.
fn disc() -> Frame {
    let size = Size::new(90, 60);
    let mut pixels = Vec::new();
    for y in 0..size.height {
        for x in 0..size.width {
            let (across, down) = (f64::from(x) + 0.5 - 45.0, f64::from(y) + 0.5 - 30.0);
            let alpha = ((28.0 - across.hypot(down)) / 12.0).clamp(0.0, 1.0);
            let alpha = (alpha * 255.0).round() as u8;
            let color = if alpha == 0 { [0, 0, 255] } else { [240, 140, (x * 2) as u8] };
            pixels.extend_from_slice(&[color[0], color[1], color[2], alpha]);
        }
    }
    Frame::new(size, true, pixels).expect("every pixel was drawn")
}
