//! What libaom's settings cost and give: bytes, SSIMULACRA2 and CPU milliseconds on photographs.
//!
//! `cargo run --release -p tintype-render --example avif_frontier -- "7;8,tune=ssim" FILE [FILE ...]` reduces every picture to
//! a width of 1200, encodes its planes at a ladder of quantizers with every setting (a speed, then libaom's options), and
//! prints a line each: setting, quantizer, bytes, score, milliseconds, file. With `png:FOLDER` for settings it writes the
//! reduced pictures there, for other encoders; with `score` it scores pairs of such a picture and an AVIF file.

#[allow(dead_code)]
#[path = "../src/codec/aom.rs"]
mod aom;
#[allow(dead_code, clippy::unwrap_used, clippy::panic)]
#[path = "../tests/it/avif_reader.rs"]
mod avif_reader;

use aom::{Components, Samples, Settings, Still};
use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};
use std::error::Error;
use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;
use tintype_render::Limits;
use tintype_render::backend::{Backend, Job, Source};
use tintype_render::codec;
use tintype_render::cpu::CpuBackend;
use tintype_render::frame::Frame;
use tintype_render::language::{ChromaSampling, Format, parse};
use tintype_render::plan::facts::{Facts, Purpose, SourceFacts, Stage};
use tintype_render::plan::geometry::Rect;
use tintype_render::plan::step::Demand;
use tintype_render::plan::{self, Encoding, Quality};
use tintype_render::planes::{Plane, Planes};

const QUANTIZERS: [u8; 8] = [10, 14, 18, 22, 27, 32, 38, 45];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((what, files)) = arguments.split_first() else { return Err("settings and files are missing".into()) };
    if what == "score" {
        for pair in files.chunks_exact(2) {
            let frame = whole(&std::fs::read(&pair[0])?)?;
            let bytes = std::fs::read(&pair[1])?;
            println!("{} {} {:.2}", pair[1], bytes.len(), score(&frame, &avif_reader::read(&bytes))?);
        }
        return Ok(());
    }
    for path in files {
        let frame = reduced(&std::fs::read(path)?)?;
        if let Some(folder) = what.strip_prefix("png:") {
            let encoding =
                Encoding { format: Format::Png, quality: Quality::Fixed(100), chroma: None, progressive: false };
            let name = Path::new(path).file_stem().unwrap_or_default();
            let bytes = codec::encode(&frame, &encoding, &Limits::default())?.bytes;
            std::fs::write(Path::new(folder).join(name).with_extension("png"), bytes)?;
            continue;
        }
        let planes = in_planes(&frame)?;
        for setting in what.split(';') {
            measure(setting, path, &frame, &planes)?;
        }
    }
    Ok(())
}

fn measure(setting: &str, path: &str, frame: &Frame, planes: &Planes) -> Result<(), Box<dyn Error>> {
    let mut parts = setting.split(',');
    let speed = parts.next().unwrap_or_default().parse()?;
    let mut options = Vec::new();
    for option in parts {
        let (name, value) = option.split_once('=').ok_or("an option has no value")?;
        options.push((CString::new(name)?, CString::new(value)?));
    }
    let options: Vec<_> = options.iter().map(|(name, value)| (name.as_c_str(), value.as_c_str())).collect();
    let samples = |plane: &'_ Plane| -> Samples<'static> {
        // The example ends with the process.
        Samples { rows: plane.samples().to_vec().leak(), stride: plane.stride() }
    };
    let [blue, red] = planes.chroma().ok_or("a grey picture")?;
    let size = planes.size();
    let components = Components::Color { planes: [samples(planes.luma()), samples(blue), samples(red)], halved: true };
    let still = Still { width: size.width, height: size.height, components };
    for quantizer in QUANTIZERS {
        let settings = Settings { quantizer, speed, options: &options };
        const ROUNDS: u32 = 2;
        let mut stream = Vec::new();
        let before = cpu_ms();
        for _ in 0..ROUNDS {
            stream = aom::encode(&still, &settings)?;
        }
        let ms = (cpu_ms() - before) / f64::from(ROUNDS);
        let [luma, blue, red] = avif_reader::decode(&stream).planes.try_into().map_err(|_| "three planes")?;
        let back = Planes::new(luma, Some([blue, red]), planes.subsampling())?.to_frame();
        println!("{setting} {quantizer} {} {:.2} {ms:.1} {path}", stream.len(), score(frame, &back)?);
    }
    Ok(())
}

/// The picture in planes with halved chroma, through a JPEG that loses little else.
fn in_planes(frame: &Frame) -> Result<Planes, Box<dyn Error>> {
    let (chroma, progressive) = (Some(ChromaSampling::Half), false);
    let encoding = Encoding { format: Format::Jpeg, quality: Quality::Fixed(99), chroma, progressive };
    let bytes = codec::encode(frame, &encoding, &Limits::default())?.bytes;
    let demand = Demand { size: frame.size(), scale: 1.0, region: Rect::whole(frame.size()) };
    let planes = codec::decode_planes(&bytes, &demand, &Limits::default())?;
    Ok(planes.ok_or("a plain JPEG was not read in planes")?.0)
}

/// Processor time of this thread. Linux only.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

fn score(original: &Frame, other: &Frame) -> Result<f64, Box<dyn Error>> {
    let size = original.size();
    let (original, other) = (opaque(original), opaque(other));
    let slice = |pixels| {
        PixelSlice::new(pixels, size.width, size.height, size.width as usize * 3, PixelDescriptor::RGB8_SRGB)
            .map_err(|error| error.to_string())
    };
    Ok(compute_ssimulacra2(&slice(&original)?, &slice(&other)?).map_err(|error| error.to_string())?)
}

fn opaque(frame: &Frame) -> Vec<u8> {
    frame.pixels().chunks_exact(4).flat_map(|pixel| &pixel[..3]).copied().collect()
}

fn whole(bytes: &[u8]) -> Result<Frame, Box<dyn Error>> {
    let size = codec::probe(bytes, &Limits::default())?.size;
    let demand = Demand { size, scale: 1.0, region: Rect::whole(size) };
    Ok(codec::decode(bytes, &demand, &Limits::default())?.0)
}

fn reduced(bytes: &[u8]) -> Result<Frame, Box<dyn Error>> {
    let limits = Limits::default();
    let probe = codec::probe(bytes, &limits)?;
    let facts = SourceFacts {
        size: probe.size,
        orientation: probe.orientation,
        format: probe.format,
        has_alpha: probe.has_alpha,
        faces: None,
        custom: vec![],
    };
    let facts = Facts { base: facts, layers: Default::default() };
    let transformation = parse("b_white,c_limit,w_1200", &limits)?;
    let Stage::Done(plan) = plan::resolve(&transformation, &facts, &Purpose::default(), &limits)? else {
        return Err("planning asks for faces".into());
    };
    let (frame, given) = codec::decode(bytes, &plan.sources[0], &limits)?;
    let job = Job { plan: Arc::new(plan.bind(&[given])?), sources: vec![Source::Rgba(Arc::new(frame))] };
    let result = CpuBackend::new().execute(&[job]).remove(0);
    Ok(result.map_err(|reason| reason.to_string())?.into_frame())
}
