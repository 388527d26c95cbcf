//! Joins decoding, planning, a backend and encoding.

mod coefficients;
mod effort;
mod share;
mod stream;

pub use coefficients::coefficient_bytes;
pub use effort::{Effort, effort, within};
pub use share::{BaseDemand, SharedBase, decode_base, prepare_from};
pub use stream::{Streamed, stream};

use crate::backend::{Job, Output, Source};
use crate::codec::{self, Encoded};
use crate::cpu;
use crate::error::{Error, Result};
use crate::face::FaceDetector;
use crate::frame::Frame;
use crate::language::{Format, Transformation};
use crate::limits::Limits;
use crate::plan::bind::Decoded;
use crate::plan::facts::{Facts, Measure, Purpose, SourceFacts, Stage};
use crate::plan::geometry::{Rect, RectF, Size};
use crate::plan::step::Demand;
use crate::plan::{self, Encoding};
use bytes::Bytes;
use std::sync::Arc;

/// One picture that is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub transformation: Arc<Transformation>,
    pub facts: Facts,
    pub purpose: Purpose,
}

/// Faces that were looked for on the way, to be kept with the asset.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundFaces {
    /// Public id of the layer, `None` for the base.
    pub layer: Option<String>,
    /// Pixels of the upright picture, largest first.
    pub faces: Vec<RectF>,
}

/// A decoded and bound picture, ready for a backend.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub job: Job,
    pub encoding: Encoding,
    pub found: Vec<FoundFaces>,
}

/// The finished picture.
#[derive(Debug, Clone)]
pub struct Picture {
    pub bytes: Bytes,
    pub format: Format,
    pub size: Size,
    /// The number that a lossy encoder was given.
    pub quality: Option<u8>,
}

/// Public ids of the pictures to read, in order of source: `None` is the base, then every layer.
pub fn source_ids(request: &Request) -> Vec<Option<String>> {
    let layers = request.transformation.layer_ids();
    std::iter::once(None).chain(layers.into_iter().map(|id| Some(id.to_owned()))).collect()
}

/// Upper bound of the bytes that rendering the request holds at once, beside the compressed sources: decoded pictures,
/// surfaces, scratch and the encoder's input. Known before a byte of the sources is read.
///
/// Errors are the client's: whatever the planner refuses.
pub fn cost_bytes(request: &Request, limits: &Limits) -> Result<u64> {
    // Where the faces are changes what is cut out, hardly how much; without any knowledge the whole picture is assumed.
    let mut facts = request.facts.clone();
    for source in std::iter::once(&mut facts.base).chain(facts.layers.values_mut()) {
        let upright = source.orientation.apply_size(source.size);
        source.faces.get_or_insert_with(|| vec![Rect::whole(upright).into()]);
    }
    let plan = match plan::resolve(&request.transformation, &facts, &request.purpose, limits)? {
        Stage::Done(plan) => plan,
        Stage::Measure(_) => return Err(Error::Device("planning asks for what it was told".into())),
    };
    let formats: Vec<Format> = source_facts(&request.transformation, &facts).map(|facts| facts.format).collect();
    // What the backend holds counts the decoded sources, too.
    let cost = |may_be_planar: bool| {
        let given = |(source, (demand, format)): (usize, (&Demand, &Format))| match format {
            Format::Jpeg if may_be_planar && plan.only_resamples(source) => codec::predict_planes(demand),
            _ => codec::predict(demand, *format),
        };
        let predicted: Vec<Decoded> = plan.sources.iter().zip(&formats).enumerate().map(given).collect();
        let bound = plan.bind(&predicted)?;
        // One source is decoded at a time, and nothing is written meanwhile.
        let scratch = plan.sources.iter().zip(&formats).map(|(demand, format)| codec::scratch_bytes(demand, *format));
        let scratch = scratch.max().unwrap_or(0);
        let encoder = encoder_bytes(plan.encoding.format, bound.size(bound.output));
        match cpu::peak_bytes(&bound) {
            0 => Err(Error::Device("a plan was bound that no backend can run".into())),
            peak => Ok(peak + encoder.max(scratch)),
        }
    };
    // Planes are smaller than pixels, but linear light takes more scratch from them. Only the file says which it is.
    Ok(cost(false)?.max(cost(true)?))
}

/// Bytes that an encoder holds at once for a picture, its input among them. libaom was measured from 300x400 to 12 MP: 14 a
/// pixel and up to 21 with whole chroma at high numbers, and about 10 MB whatever the size.
fn encoder_bytes(format: Format, size: Size) -> u64 {
    match format {
        Format::Avif => size.pixels() * 24 + (12 << 20),
        Format::Jpeg | Format::Png | Format::WebP => size.pixels() * 4,
        // A copy without alpha, and the file.
        Format::Bmp | Format::Ico | Format::Tiff => size.pixels() * 8 + (1 << 20),
        // A copy, a palette index a pixel, and the set of its colors.
        Format::Gif => size.pixels() * 10 + (1 << 20),
    }
}

/// Decodes, measures where the plan asks for it, and binds. `sources[i]` are the bytes of `source_ids()[i]`.
///
/// Errors: what the planner refuses, and sources that cannot be decoded.
pub fn prepare(request: &Request, sources: &[Bytes], faces: &FaceDetector, limits: &Limits) -> Result<Prepared> {
    prepare_with(None, request, sources, faces, limits)
}

/// The same with a base that is decoded already, when there is one.
fn prepare_with(
    base: Option<&SharedBase>,
    request: &Request,
    sources: &[Bytes],
    faces: &FaceDetector,
    limits: &Limits,
) -> Result<Prepared> {
    let ids = source_ids(request);
    if ids.len() != sources.len() {
        return Err(Error::Device(format!("{} sources were read, {} are needed", sources.len(), ids.len())));
    }
    let mut facts = request.facts.clone();
    let mut found = Vec::new();
    let plan = loop {
        match plan::resolve(&request.transformation, &facts, &request.purpose, limits)? {
            Stage::Done(plan) => break plan,
            Stage::Measure(Measure::Faces { source }) => {
                let layer = ids.get(source).cloned().flatten();
                let bytes = sources.get(source).ok_or_else(|| Error::Device("no such source to measure".into()))?;
                let known = match &layer {
                    Some(id) => facts.layers.get_mut(id).ok_or_else(|| Error::MissingLayer(id.clone()))?,
                    None => &mut facts.base,
                };
                let page = if source == 0 { plan::page(&request.transformation)? } else { 0 };
                let boxes = find_faces(known, page, bytes, faces, limits)?;
                known.faces = Some(boxes.clone());
                // What is kept with an asset is that of its first page.
                if page == 0 {
                    found.push(FoundFaces { layer, faces: boxes });
                }
            }
        }
    };
    let mut frames = Vec::with_capacity(sources.len());
    let mut decoded = Vec::with_capacity(sources.len());
    for (source, bytes) in sources.iter().enumerate() {
        let (frame, given) = match base {
            Some(base) if source == 0 => base.lend(),
            _ => decode(&plan, source, bytes, limits)?,
        };
        frames.push(frame);
        decoded.push(given);
    }
    let bound = plan.bind(&decoded)?;
    let job = Job { plan: Arc::new(bound), sources: frames };
    Ok(Prepared { job, encoding: plan.encoding, found })
}

/// What the plan needs of one source: in planes where only resampling reads it, else as pixels.
fn decode(plan: &plan::Plan, source: usize, bytes: &[u8], limits: &Limits) -> Result<(Source, Decoded)> {
    if !plan.reads(source) {
        let nothing = Size::new(1, 1);
        return Ok((Source::Rgba(Arc::new(Frame::filled(nothing, [0; 4]))), Decoded::whole(nothing)));
    }
    let page = if source == 0 { plan.page } else { 0 };
    decode_demand(&plan.sources[source], page, plan.only_resamples(source), bytes, limits)
}

/// What is demanded, in planes where possible when it is only resampled.
fn decode_demand(
    demand: &Demand,
    page: u32,
    resampled: bool,
    bytes: &[u8],
    limits: &Limits,
) -> Result<(Source, Decoded)> {
    if resampled
        && page == 0
        && let Some((planes, given)) = codec::decode_planes(bytes, demand, limits)?
    {
        return Ok((Source::Planar(Arc::new(planes)), given));
    }
    let (frame, given) = codec::decode_page(bytes, page, demand, limits)?;
    Ok((Source::Rgba(Arc::new(frame)), given))
}

/// Longest side, in pixels, of the picture in which faces are looked for.
const FACE_SEARCH_SIDE: f64 = 1024.0;

/// Faces of a page of a source, counted from 0, in pixels of the upright picture, largest first.
pub fn find_faces(
    facts: &SourceFacts,
    page: u32,
    bytes: &[u8],
    detector: &FaceDetector,
    limits: &Limits,
) -> Result<Vec<RectF>> {
    let side = f64::from(facts.size.width.max(facts.size.height));
    let scale = (FACE_SEARCH_SIDE / side).min(1.0);
    let demand = Demand { size: facts.size, scale, region: Rect::whole(facts.size) };
    let planes = if page == 0 { codec::decode_planes(bytes, &demand, limits)? } else { None };
    let (frame, given) = match planes {
        Some((planes, given)) => (planes.to_frame(), given),
        None => codec::decode_page(bytes, page, &demand, limits)?,
    };
    let upright = cpu::turn(&frame, facts.orientation)?;
    let factor = 8.0 / f64::from(given.eighths);
    let scaled = |rect: RectF| RectF::new(rect.x * factor, rect.y * factor, rect.width * factor, rect.height * factor);
    Ok(detector.detect(&upright).into_iter().map(scaled).collect())
}

/// Encodes what a backend made.
pub fn finish(output: Output, encoding: &Encoding, limits: &Limits) -> Result<Picture> {
    let (encoded, size) = match output {
        Output::Rgba(frame) => (codec::encode(&frame, encoding, limits)?, frame.size()),
        Output::Planar(planes) => {
            let size = planes.size();
            (codec::encode_planes(planes, encoding)?, size)
        }
    };
    let Encoded { mut bytes, format, quality } = encoded;
    // Answers are kept for long, and encoders ask for more room than they need.
    bytes.shrink_to_fit();
    Ok(Picture { bytes: Bytes::from(bytes), format, size, quality })
}

/// Facts of every source in order: the base, then every layer; unknown layers are left out.
fn source_facts<'a>(transformation: &Transformation, facts: &'a Facts) -> impl Iterator<Item = &'a SourceFacts> {
    let layers: Vec<_> = transformation.layer_ids().iter().filter_map(|id| facts.layers.get(*id)).collect();
    std::iter::once(&facts.base).chain(layers)
}
