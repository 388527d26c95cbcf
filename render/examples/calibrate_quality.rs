//! Calibrates `q_auto`: prints what SSIMULACRA2 and how many bytes each number of each encoder gives on a corpus.
//!
//! `cargo run --release -p tintype-render --example calibrate_quality -- FOLDER [FOLDER ...]` reads every JPEG, PNG and
//! WebP file in the folders, reduces it to at most 800x800 (what people deliver), encodes it at a ladder of numbers, and
//! prints one line a picture and number: format, number, score, bytes, and the busyness and fineness that the predictor sees.

#[allow(dead_code, clippy::unwrap_used, clippy::panic)]
#[path = "../tests/it/avif_reader.rs"]
mod avif_reader;

use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};
use std::path::Path;
use std::sync::Arc;
use tintype_render::backend::{Backend, Job, Source};
use tintype_render::codec::{self, quality};
use tintype_render::cpu::CpuBackend;
use tintype_render::frame::Frame;
use tintype_render::language::{Format, parse};
use tintype_render::plan::facts::{Facts, Purpose, SourceFacts, Stage};
use tintype_render::plan::geometry::{Rect, Size};
use tintype_render::plan::step::Demand;
use tintype_render::plan::{self, Encoding, Quality};
use tintype_render::{Error, Limits};

const NUMBERS: [u8; 11] = [20, 30, 40, 50, 60, 70, 76, 82, 88, 93, 97];

fn main() {
    for folder in std::env::args().skip(1) {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            eprintln!("{folder} is no folder that can be read");
            continue;
        };
        for entry in entries.flatten() {
            if let Err(error) = calibrate(&entry.path()) {
                eprintln!("{}: {error}", entry.path().display());
            }
        }
    }
}

fn calibrate(path: &Path) -> Result<(), Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::Decode(error.to_string()))?;
    let frame = reduced(&bytes)?;
    let original = opaque(&frame);
    let activity = quality::Activity::of(&frame);
    for format in [Format::Jpeg, Format::WebP, Format::Avif] {
        for number in NUMBERS {
            let encoding = Encoding { format, quality: Quality::Fixed(number), chroma: None, progressive: false };
            let encoded = codec::encode(&frame, &encoding, &Limits::default())?.bytes;
            let demand = Demand { size: frame.size(), scale: 1.0, region: Rect::whole(frame.size()) };
            let decoded = match format {
                Format::Avif => avif_reader::read(&encoded),
                _ => codec::decode(&encoded, &demand, &Limits::default())?.0,
            };
            let size = frame.size();
            let other = opaque(&decoded);
            let slice = |pixels| {
                PixelSlice::new(pixels, size.width, size.height, size.width as usize * 3, PixelDescriptor::RGB8_SRGB)
                    .map_err(|error| Error::Encode(error.to_string()))
            };
            let score = compute_ssimulacra2(&slice(&original)?, &slice(&other)?)
                .map_err(|error| Error::Encode(error.to_string()))?;
            println!(
                "{} {number} {score:.2} {} {:.4} {:.4} {}",
                format.extension(),
                encoded.len(),
                activity.busyness,
                activity.fineness(),
                path.display()
            );
        }
    }
    Ok(())
}

fn opaque(frame: &Frame) -> Vec<u8> {
    frame.pixels().chunks_exact(4).flat_map(|pixel| &pixel[..3]).copied().collect()
}

fn reduced(bytes: &[u8]) -> Result<Frame, Error> {
    let limits = Limits::default();
    let found = codec::probe(bytes, &limits)?;
    let base = SourceFacts {
        size: found.size,
        orientation: found.orientation,
        format: found.format,
        has_alpha: found.has_alpha,
        faces: None,
        custom: vec![],
    };
    let transformation = parse("b_white,c_limit,w_800,h_800", &limits)?;
    let facts = Facts { base, layers: Default::default() };
    let Stage::Done(plan) = plan::resolve(&transformation, &facts, &Purpose::default(), &limits)? else {
        return Err(Error::Semantic("nothing to measure here".into()));
    };
    let (frame, decoded) = codec::decode(bytes, &plan.sources[0], &limits)?;
    let job = Job { plan: Arc::new(plan.bind(&[decoded])?), sources: vec![Source::Rgba(Arc::new(frame))] };
    let result = CpuBackend::new().execute(&[job]).remove(0);
    let frame = result.map_err(|reason| Error::Device(reason.to_string()))?.into_frame();
    assert!(frame.size().pixels() <= Size::new(800, 800).pixels());
    Ok(frame)
}
