//! AVIF, written by rav1e. Reading AVIF is not built.

use crate::error::{Error, Result};
use crate::frame::Frame;
use ravif::{Encoder, Img};
use rgb::FromSlice;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Pixels above which the fastest setting is used: a thumbnail can afford one step more.
const LARGE_PIXELS: u64 = 500_000;

/// 8-bit 4:4:4, one thread; the scheduler owns the cores.
pub(super) fn encode(frame: &Frame, quality: u8) -> Result<Vec<u8>> {
    let size = frame.size();
    let (width, height) = (size.width as usize, size.height as usize);
    let encoder = Encoder::new()
        .with_quality(f32::from(quality))
        .with_alpha_quality(f32::from(quality))
        .with_speed(if size.pixels() > LARGE_PIXELS { 10 } else { 9 })
        .with_num_threads(Some(1));
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        if frame.has_alpha() {
            return encoder.encode_rgba(Img::new(frame.pixels().as_rgba(), width, height));
        }
        let opaque: Vec<u8> = frame.pixels().chunks_exact(4).flat_map(|pixel| &pixel[..3]).copied().collect();
        encoder.encode_rgb(Img::new(opaque.as_rgb(), width, height))
    }));
    match encoded {
        Ok(Ok(image)) => Ok(image.avif_file),
        Ok(Err(error)) => Err(Error::Encode(error.to_string())),
        Err(_) => Err(Error::Encode("the AVIF encoder gave up".into())),
    }
}
