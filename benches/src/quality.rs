//! How near a picture comes to what it should be.
//!
//! The reference is made from every pixel of the original by Lanczos resampling in linear light, on the CPU, and is never
//! encoded. Scores are SSIMULACRA2: 100 is equal, 90 cannot be told apart, 70 is good.

use crate::BenchError;
use crate::corpus::whole;
use bytes::Bytes;
use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};
use std::sync::Arc;
use tintype_render::backend::{Job, Source};
use tintype_render::cpu::CpuBackend;
use tintype_render::frame::{BYTES_PER_PIXEL, Frame};
use tintype_render::pipeline::Request;
use tintype_render::plan::bind::Decoded;
use tintype_render::plan::facts::{Profile, Stage};
use tintype_render::plan::geometry::Rect;
use tintype_render::{Limits, codec, plan};

/// What the request should look like. `sources` as for `pipeline::prepare`; requests that have to measure something first
/// are refused.
pub fn reference(request: &Request, sources: &[Bytes]) -> Result<Frame, BenchError> {
    let limits = Limits::default();
    let purpose = plan::facts::Purpose { profile: Profile::Quality, ..request.purpose };
    let mut plan = match plan::resolve(&request.transformation, &request.facts, &purpose, &limits)? {
        Stage::Done(plan) => plan,
        Stage::Measure(what) => return Err(BenchError::Input(format!("the reference would have to measure {what:?}"))),
    };
    let (mut frames, mut decoded) = (Vec::new(), Vec::new());
    for (demand, bytes) in plan.sources.iter_mut().zip(sources) {
        demand.scale = 1.0;
        demand.region = Rect::whole(demand.size);
        let (frame, given) = codec::decode(bytes, demand, &limits)?;
        if given != Decoded::whole(demand.size) {
            return Err(BenchError::Input("the decoder did not give every pixel".into()));
        }
        frames.push(Source::Rgba(Arc::new(frame)));
        decoded.push(given);
    }
    let job = Job { plan: Arc::new(plan.bind(&decoded)?), sources: frames };
    let output = CpuBackend::new().run(&job).map_err(|reason| BenchError::Render(reason.to_string()))?;
    Ok(output.into_frame())
}

/// SSIMULACRA2 of a finished file against its reference, both on white. Errors when their sizes differ.
pub fn score(reference: &Frame, file: &[u8]) -> Result<f64, BenchError> {
    let picture = whole(file, &Limits::default())?;
    let size = reference.size();
    if picture.size() != size {
        return Err(BenchError::Input(format!("a picture of {} is compared with one of {size}", picture.size())));
    }
    let (wanted, found) = (on_white(reference), on_white(&picture));
    let slice = |pixels| {
        let stride = size.width as usize * 3;
        PixelSlice::new(pixels, size.width, size.height, stride, PixelDescriptor::RGB8_SRGB)
            .map_err(|error| BenchError::Input(error.to_string()))
    };
    compute_ssimulacra2(&slice(&wanted)?, &slice(&found)?).map_err(|error| BenchError::Input(error.to_string()))
}

/// RGB without alpha, on white, as a page shows it.
fn on_white(frame: &Frame) -> Vec<u8> {
    let pixels = frame.pixels().chunks_exact(BYTES_PER_PIXEL);
    pixels
        .flat_map(|pixel| {
            let alpha = u32::from(pixel[3]);
            [pixel[0], pixel[1], pixel[2]]
                .map(|value| ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tintype_render::language::{ChromaSampling, Format};
    use tintype_render::plan::geometry::Size;
    use tintype_render::plan::{Encoding, Quality};

    fn encoded(frame: &Frame, format: Format, quality: u8) -> Vec<u8> {
        let encoding = Encoding {
            format,
            quality: Quality::Fixed(quality),
            chroma: Some(ChromaSampling::Full),
            progressive: false,
        };
        codec::encode(frame, &encoding, &Limits::default()).unwrap().bytes
    }

    fn coffee() -> Frame {
        whole(include_bytes!("../../api/assets/samples/coffee.png"), &Limits::default()).unwrap()
    }

    #[test]
    fn equal_pictures_score_100_and_coarser_ones_less() {
        let frame = coffee();
        assert!(score(&frame, &encoded(&frame, Format::Png, 100)).unwrap() > 99.9);
        let fine = score(&frame, &encoded(&frame, Format::Jpeg, 90)).unwrap();
        let coarse = score(&frame, &encoded(&frame, Format::Jpeg, 30)).unwrap();
        assert!(fine < 99.0 && fine > coarse + 10.0, "{fine} {coarse}");
    }

    #[test]
    fn other_sizes_are_refused() {
        let other = Frame::filled(Size::new(10, 10), [0, 0, 0, 255]);
        assert!(score(&coffee(), &encoded(&other, Format::Png, 100)).is_err());
    }

    #[test]
    fn clear_pixels_are_white() {
        assert_eq!(on_white(&Frame::filled(Size::new(1, 1), [10, 20, 30, 0])), [255, 255, 255]);
        assert_eq!(on_white(&Frame::filled(Size::new(1, 1), [10, 20, 30, 255])), [10, 20, 30]);
        assert_eq!(on_white(&Frame::filled(Size::new(1, 1), [0, 0, 0, 51])), [204, 204, 204]);
    }
}
