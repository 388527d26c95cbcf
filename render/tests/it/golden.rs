//! Every parameter as small pictures that a person has looked at, on both backends.
//!
//! `render/tests/golden/<parameter>.toml` lists the cases, `render/tests/golden/<parameter>/<case>.png` what they look
//! like. With `TINTYPE_BLESS=1` the pictures are written anew, from the CPU; look at them before they are committed.

use crate::compare::{Tolerance, compare};
use crate::golden_sources::{faces, folder, read, reduce_samples, source, write};
use crate::gpu::{pictures, shared};
use crate::support::Case;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tintype_render::cpu::CpuBackend;
use tintype_render::frame::Frame;
use tintype_render::language::QualityLevel;
use tintype_render::language::params::PARAMS;
use tintype_render::plan::facts::Profile;
use tintype_render::plan::geometry::{RectF, Size};
use tintype_render::plan::{Encoding, Quality};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Golden>,
}

/// One case, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    name: String,
    source: String,
    transformation: String,
    tolerance: Steps,
    /// EXIF orientation of the source.
    #[serde(default = "upright")]
    orientation: u16,
    /// Instead of the faces that the source is known to have.
    faces: Option<Vec<[f64; 4]>>,
    #[serde(default)]
    custom: Vec<[f64; 4]>,
    /// Whether the client takes WebP.
    #[serde(default)]
    webp: bool,
    /// Extension of the format that must be encoded.
    format: Option<String>,
    /// Quality that must be encoded: a number, or `auto:` and the level.
    quality: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Steps {
    max_step: u8,
    max_outliers: usize,
}

fn upright() -> u16 {
    1
}

impl Golden {
    fn case(&self) -> Case {
        let boxes = |boxes: &[[f64; 4]]| boxes.iter().map(|[x, y, w, h]| RectF::new(*x, *y, *w, *h)).collect();
        let layers =
            [("icon", "icon"), ("marks/icon", "icon"), ("portrait", "portrait"), ("cat", "cat"), ("chart", "chart")];
        let picture = |name| source(name).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        Case {
            faces: self.faces.as_deref().map_or_else(|| faces(&self.source), boxes),
            custom: boxes(&self.custom),
            orientation: self.orientation,
            layers: layers.iter().map(|(id, name)| ((*id).to_owned(), picture(name))).collect(),
            webp: self.webp,
            ..Case::new(picture(&self.source), &self.transformation)
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance { max_step: self.tolerance.max_step, max_outliers: self.tolerance.max_outliers }
    }

    fn check_encoding(&self, encoding: &Encoding) -> Result<(), String> {
        let format = encoding.format.extension();
        let quality = match encoding.quality {
            Quality::Fixed(number) => number.to_string(),
            Quality::Auto(level) => format!("auto:{}", level_name(level)),
        };
        let differs = |expected: &Option<String>, actual: &str| expected.as_deref().is_some_and(|it| it != actual);
        if differs(&self.format, format) || differs(&self.quality, &quality) {
            return Err(format!("is encoded as {format}, {quality}"));
        }
        Ok(())
    }
}

fn level_name(level: QualityLevel) -> &'static str {
    match level {
        QualityLevel::Best => "best",
        QualityLevel::Good => "good",
        QualityLevel::Eco => "eco",
        QualityLevel::Low => "low",
    }
}

/// A case with the parameter it belongs to.
struct Entry {
    parameter: &'static str,
    golden: Golden,
}

impl Entry {
    fn expected_path(&self) -> PathBuf {
        folder().join(self.parameter).join(format!("{}.png", self.golden.name))
    }

    fn label(&self) -> String {
        format!("{}/{}: {}", self.parameter, self.golden.name, self.golden.transformation)
    }
}

fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    for row in PARAMS.iter().filter(|row| row.status.is_built()) {
        let path = folder().join(format!("{}.toml", row.key));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        entries.extend(file.case.into_iter().map(|golden| Entry { parameter: row.key, golden }));
    }
    entries
}

/// Left to right: what came out, what was expected, where they differ, made eight times brighter.
fn triptych(actual: &Frame, expected: &Frame) -> Frame {
    let (a, e) = (actual.size(), expected.size());
    let panel = Size::new(a.width.max(e.width), a.height.max(e.height));
    let at = |frame: &Frame, x: u32, y: u32| {
        let inside = x < frame.size().width && y < frame.size().height;
        if inside { frame.pixel(x, y) } else { [255, 0, 255, 255] }
    };
    let mut pixels = Vec::new();
    for y in 0..panel.height {
        for x in 0..panel.width * 3 {
            let (column, x) = (x / panel.width, x % panel.width);
            let (left, right) = (at(actual, x, y), at(expected, x, y));
            pixels.extend_from_slice(&match column {
                0 => left,
                1 => right,
                _ => {
                    let bright = |channel: usize| left[channel].abs_diff(right[channel]).saturating_mul(8);
                    let alpha = bright(3);
                    [bright(0).max(alpha), bright(1).max(alpha), bright(2).max(alpha), 255]
                }
            });
        }
    }
    Frame::new(Size::new(panel.width * 3, panel.height), true, pixels).expect("three panels were drawn")
}

/// All pictures of a parameter side by side, twice as large, on a checkerboard, for looking at after blessing.
fn write_contact_sheets(entries: &[Entry], pictures: &[Frame]) {
    for key in entries.iter().map(|entry| entry.parameter).collect::<BTreeSet<_>>() {
        let of_key = |(entry, picture): (&Entry, &Frame)| (entry.parameter == key).then(|| picture.clone());
        let shown: Vec<Frame> = entries.iter().zip(pictures).filter_map(of_key).collect();
        let cell = 140;
        let columns = 6.min(shown.len() as u32);
        let size = Size::new(columns * cell * 2, (shown.len() as u32).div_ceil(columns) * cell * 2);
        let mut pixels = Vec::new();
        for y in 0..size.height {
            for x in 0..size.width {
                let (x, y) = (x / 2, y / 2);
                let checker = if (x / 5 + y / 5) % 2 == 0 { 150 } else { 200 };
                let index = (y / cell * columns + x / cell) as usize;
                let (x, y) = (x % cell, y % cell);
                let pixel = match shown.get(index) {
                    Some(frame) if x < frame.size().width && y < frame.size().height => frame.pixel(x, y),
                    _ => [30, 30, 30, 255],
                };
                let over = |channel: usize| {
                    let alpha = u32::from(pixel[3]);
                    ((u32::from(pixel[channel]) * alpha + checker * (255 - alpha) + 127) / 255) as u8
                };
                pixels.extend_from_slice(&[over(0), over(1), over(2), 255]);
            }
        }
        let sheet = Frame::new(size, false, pixels).expect("every pixel was drawn");
        write(&failures_folder().with_file_name("golden-contact").join(format!("{key}.png")), &sheet);
    }
}

fn failures_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/golden-failures")
}

/// Compares one picture; on failure leaves the triptych for a person.
fn check(entry: &Entry, backend: &str, actual: &Frame) -> Result<(), String> {
    let expected = read(&entry.expected_path())?;
    compare(actual, &expected, entry.golden.tolerance()).map_err(|error| {
        let path = failures_folder().join(format!("{}-{}-{backend}.png", entry.parameter, entry.golden.name));
        write(&path, &triptych(actual, &expected));
        format!("{} on {backend}: {error}; see {}", entry.label(), path.display())
    })
}

#[test]
fn every_case_looks_as_expected_on_both_backends() {
    let bless = std::env::var("TINTYPE_BLESS").is_ok_and(|value| value == "1");
    if bless {
        // Pictures of cases that are gone must not stay.
        for entry in entries() {
            let _ = std::fs::remove_dir_all(folder().join(entry.parameter));
        }
        reduce_samples();
    }
    let entries = entries();
    let cases: Vec<Case> = entries.iter().map(|entry| entry.golden.case()).collect();
    let jobs: Vec<_> = cases.iter().map(|case| case.job(Profile::Quality)).collect();
    let on_cpu = pictures(&CpuBackend::new(), &jobs);
    if bless {
        for (entry, picture) in entries.iter().zip(&on_cpu) {
            write(&entry.expected_path(), picture);
        }
        write_contact_sheets(&entries, &on_cpu);
    }
    let mut failures = Vec::new();
    for ((entry, case), picture) in entries.iter().zip(&cases).zip(&on_cpu) {
        let encoding = case.plan(Profile::Quality).encoding;
        failures
            .extend(entry.golden.check_encoding(&encoding).err().map(|error| format!("{}: {error}", entry.label())));
        failures.extend(check(entry, "cpu", picture).err());
    }
    if let Some(gpu) = shared("golden pictures") {
        for (entry, picture) in entries.iter().zip(&pictures(gpu, &jobs)) {
            failures.extend(check(entry, "gpu", picture).err());
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_built_parameter_has_cases_that_use_it() {
    for entry in entries() {
        let prefix = format!("{}_", entry.parameter);
        let parts = entry.golden.transformation.split(['/', ',']);
        let written = parts.clone().any(|part| part.starts_with(&prefix));
        // Some cases show what happens without the parameter, or do with EXIF what `a` does.
        let without = ["without", "not_written", "exif"].iter().any(|start| entry.golden.name.starts_with(start));
        assert!(written || without, "{}", entry.label());
    }
    let seen: BTreeSet<&str> = entries().iter().map(|entry| entry.parameter).collect();
    for row in PARAMS {
        assert_eq!(seen.contains(row.key), row.status.is_built(), "cases of {}", row.key);
    }
}

#[test]
fn no_picture_and_no_file_is_left_over() {
    let mut expected: BTreeSet<PathBuf> = entries().iter().map(Entry::expected_path).collect();
    assert_eq!(expected.len(), entries().len(), "names are unique");
    for row in PARAMS.iter().filter(|row| row.status.is_built()) {
        expected.insert(folder().join(format!("{}.toml", row.key)));
    }
    let mut bytes = 0;
    for folder in std::fs::read_dir(folder()).expect("the folder is there").map(|entry| entry.unwrap().path()) {
        let below = if folder.is_dir() {
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect()
        } else {
            vec![folder.clone()]
        };
        for path in below {
            bytes += path.metadata().unwrap().len();
            assert!(folder.ends_with("sources") || expected.contains(&path), "{} belongs to no case", path.display());
        }
    }
    assert!(bytes < 1_500_000, "{bytes} bytes of golden pictures");
}

#[test]
fn a_wrong_pixel_is_caught_and_shown() {
    let entry = entries().into_iter().find(|entry| entry.golden.name == "follows_radius").expect("the case is there");
    let expected = read(&entry.expected_path()).unwrap();
    let tolerance = entry.golden.tolerance();
    compare(&expected, &expected, tolerance).expect("nothing is planted yet");
    // One more than the tolerance lets through, in the middle, where alpha is full.
    let mut planted = expected.clone();
    let middle = (expected.size().height / 2 * expected.size().width + expected.size().width / 2) as usize;
    for pixel in middle..=middle + tolerance.max_outliers {
        let value = planted.pixels()[pixel * 4];
        planted.pixels_mut()[pixel * 4] = if value < 128 { value + 2 } else { value - 2 };
    }
    assert!(compare(&planted, &expected, tolerance).is_err());
    let shown = triptych(&planted, &expected);
    let x = expected.size().width * 2 + expected.size().width / 2;
    assert_eq!(shown.pixel(x, expected.size().height / 2), [16, 0, 0, 255]);
    assert_eq!(shown.pixel(expected.size().width * 2, 0), [0, 0, 0, 255]);
}

#[test]
fn a_wrong_encoding_is_caught() {
    let entry = entries()
        .into_iter()
        .find(|entry| entry.golden.quality.as_deref() == Some("80"))
        .expect("the case of q is there");
    let encoding = entry.golden.case().plan(Profile::Quality).encoding;
    entry.golden.check_encoding(&encoding).expect("nothing is planted yet");
    assert!(entry.golden.check_encoding(&Encoding { quality: Quality::Fixed(81), ..encoding }).is_err());
    assert!(
        entry.golden.check_encoding(&Encoding { format: tintype_render::language::Format::Png, ..encoding }).is_err()
    );
}
