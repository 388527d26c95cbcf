//! What libwebp's settings cost and give, beside libjpeg: bytes, SSIMULACRA2 and CPU milliseconds on photographs.
//!
//! `cargo run --release -p tintype-render --example webp_frontier -- FILE [FILE ...]` fills 800x600 and 400x350 from every
//! picture, encodes each with every setting, and prints the means.

use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};
use libwebp_sys as ffi;
use std::collections::BTreeMap;
use std::sync::Arc;
use tintype_render::backend::{Backend, Job, Source};
use tintype_render::codec;
use tintype_render::cpu::CpuBackend;
use tintype_render::frame::Frame;
use tintype_render::language::{ChromaSampling, Format, parse};
use tintype_render::plan::facts::{Facts, Purpose, SourceFacts, Stage};
use tintype_render::plan::geometry::Rect;
use tintype_render::plan::step::Demand;
use tintype_render::plan::{self, Encoding, Quality};
use tintype_render::planes::Planes;
use tintype_render::{Error, Limits};

/// Method, segments, strength of spatial noise shaping, filter strength (-1: the default), passes.
const SETTINGS: [(i32, i32, i32, i32); 10] = [
    (4, 4, 50, -1),
    (3, 4, 50, -1),
    (2, 4, 50, -1),
    (1, 4, 50, -1),
    (0, 4, 50, -1),
    (2, 1, 0, -1),
    (1, 1, 0, -1),
    (0, 1, 0, -1),
    (0, 1, 50, -1),
    (0, 4, 50, 0),
];

#[derive(Default)]
struct Sum {
    n: f64,
    bytes: f64,
    score: f64,
    ms: f64,
}

fn main() {
    let mut sums: BTreeMap<(String, String), Sum> = BTreeMap::new();
    for path in std::env::args().skip(1) {
        for (name, text) in [("800x600", "c_fill,w_800,h_600"), ("400x350", "c_fill,w_400,h_350")] {
            if let Err(error) = measure(&path, name, text, &mut sums) {
                eprintln!("{path}: {error}");
            }
        }
    }
    for ((size, setting), Sum { n, bytes, score, ms }) in sums {
        println!("{size} {setting:<28} {:>8.0} bytes  {:>6.2}  {:>6.2} ms", bytes / n, score / n, ms / n);
    }
}

fn measure(path: &str, size: &str, text: &str, sums: &mut BTreeMap<(String, String), Sum>) -> Result<(), Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::Decode(error.to_string()))?;
    let frame = reduced(&bytes, text)?;
    let mut note = |setting: String, encode: &dyn Fn() -> Result<Vec<u8>, Error>| -> Result<(), Error> {
        const ROUNDS: u32 = 4;
        let mut encoded = Vec::new();
        let before = cpu_ms();
        for _ in 0..ROUNDS {
            encoded = encode()?;
        }
        let ms = (cpu_ms() - before) / f64::from(ROUNDS);
        let sum = sums.entry((size.to_owned(), setting)).or_default();
        sum.n += 1.0;
        sum.bytes += encoded.len() as f64;
        sum.score += score(&frame, &encoded)?;
        sum.ms += ms;
        Ok(())
    };
    for number in [76, 80, 84, 88] {
        for setting in SETTINGS {
            let (method, segments, shaping, filter) = setting;
            let name = format!("webp m{method} s{segments} sns{shaping} f{filter} q{number}");
            note(name, &|| webp(&frame, number, setting))?;
        }
    }
    let planes = in_planes(&frame)?;
    for (format, numbers) in [(Format::WebP, [76, 80, 84, 88]), (Format::Jpeg, [72, 76, 80, 84])] {
        for number in numbers {
            let encoding = Encoding { format, quality: Quality::Fixed(number), chroma: None, progressive: false };
            note(format!("planes to {} q{number}", format.extension()), &|| {
                Ok(codec::encode_planes(planes.clone(), &encoding)?.bytes)
            })?;
        }
    }
    for number in [72, 76, 80, 84] {
        for progressive in [false, true] {
            let encoding =
                Encoding { format: Format::Jpeg, quality: Quality::Fixed(number), chroma: None, progressive };
            note(format!("jpeg p{} q{number}", u8::from(progressive)), &|| {
                Ok(codec::encode(&frame, &encoding, &Limits::default())?.bytes)
            })?;
        }
    }
    Ok(())
}

/// The picture in planes with halved chroma, through a JPEG that loses little else.
fn in_planes(frame: &Frame) -> Result<Planes, Error> {
    let (chroma, progressive) = (Some(ChromaSampling::Half), false);
    let encoding = Encoding { format: Format::Jpeg, quality: Quality::Fixed(99), chroma, progressive };
    let bytes = codec::encode(frame, &encoding, &Limits::default())?.bytes;
    let demand = Demand { size: frame.size(), scale: 1.0, region: Rect::whole(frame.size()) };
    let planes = codec::decode_planes(&bytes, &demand, &Limits::default())?;
    planes.map(|(planes, _)| planes).ok_or_else(|| Error::Device("a plain JPEG was not read in planes".into()))
}

fn webp(frame: &Frame, number: u8, setting: (i32, i32, i32, i32)) -> Result<Vec<u8>, Error> {
    let refused = || Error::Encode("webp".into());
    let mut config = ffi::WebPConfig::new().map_err(|()| refused())?;
    let (method, segments, shaping, filter) = setting;
    config.quality = f32::from(number);
    config.method = method;
    config.segments = segments;
    config.sns_strength = shaping;
    if filter >= 0 {
        config.filter_strength = filter;
    }
    let mut picture = ffi::WebPPicture::new().map_err(|()| refused())?;
    picture.width = frame.size().width as i32;
    picture.height = frame.size().height as i32;
    // Safe: the frame's rows are as wide as stated; all that libwebp took is freed.
    unsafe {
        let mut writer: ffi::WebPMemoryWriter = std::mem::zeroed();
        ffi::WebPMemoryWriterInit(&mut writer);
        ffi::WebPPictureImportRGBX(&mut picture, frame.pixels().as_ptr(), frame.row_stride_bytes() as i32);
        picture.writer = Some(ffi::WebPMemoryWrite);
        picture.custom_ptr = std::ptr::from_mut(&mut writer).cast();
        let done = ffi::WebPEncode(&config, &mut picture) != 0;
        let bytes = if done { std::slice::from_raw_parts(writer.mem, writer.size).to_vec() } else { Vec::new() };
        ffi::WebPPictureFree(&mut picture);
        ffi::WebPMemoryWriterClear(&mut writer);
        if done { Ok(bytes) } else { Err(refused()) }
    }
}

/// Processor time of this thread, to a tick of the kernel: only means over many pictures are to be trusted. Linux only.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

fn score(frame: &Frame, encoded: &[u8]) -> Result<f64, Error> {
    let size = frame.size();
    let demand = Demand { size, scale: 1.0, region: Rect::whole(size) };
    let (decoded, _) = codec::decode(encoded, &demand, &Limits::default())?;
    let (original, other) = (opaque(frame), opaque(&decoded));
    let slice = |pixels| {
        PixelSlice::new(pixels, size.width, size.height, size.width as usize * 3, PixelDescriptor::RGB8_SRGB)
            .map_err(|error| Error::Encode(error.to_string()))
    };
    compute_ssimulacra2(&slice(&original)?, &slice(&other)?).map_err(|error| Error::Encode(error.to_string()))
}

fn opaque(frame: &Frame) -> Vec<u8> {
    frame.pixels().chunks_exact(4).flat_map(|pixel| &pixel[..3]).copied().collect()
}

fn reduced(bytes: &[u8], text: &str) -> Result<Frame, Error> {
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
    let transformation = parse(text, &limits)?;
    let Stage::Done(plan) = plan::resolve(&transformation, &facts, &Purpose::default(), &limits)? else {
        return Err(Error::Device("planning asks for faces".into()));
    };
    let (frame, given) = codec::decode(bytes, &plan.sources[0], &limits)?;
    let job = Job { plan: Arc::new(plan.bind(&[given])?), sources: vec![Source::Rgba(Arc::new(frame))] };
    let result = CpuBackend::new().execute(&[job]).remove(0);
    Ok(result.map_err(|reason| Error::Device(reason.to_string()))?.into_frame())
}
