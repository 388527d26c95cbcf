//! Every ceiling of the renderer, checked before anything is allocated.

use crate::error::{Error, Result};
use crate::plan::geometry::Size;

/// Ceilings for one request. The defaults are those of the documentation; the server makes them configurable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of one source, as its header states them.
    pub source_pixels: u64,
    /// Compressed bytes of one source.
    pub source_bytes: u64,
    /// Frames of one animation.
    pub animation_frames: usize,
    /// Pixels of all frames of one animation together.
    pub animation_pixels: u64,
    /// Pixels of any intermediate or final surface.
    pub output_pixels: u64,
    /// Pixels along one side of any surface.
    pub output_side_px: u32,
    /// Bytes of the text of a transformation.
    pub transformation_bytes: usize,
    /// Components of one transformation.
    pub components: usize,
    /// Layers of one transformation.
    pub layers: usize,
    /// Bytes of one ICC, EXIF or XMP block that is read; larger ones are ignored.
    pub metadata_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            source_pixels: 100_000_000,
            source_bytes: 100_000_000,
            animation_frames: 400,
            animation_pixels: 200_000_000,
            output_pixels: 50_000_000,
            output_side_px: 65_000,
            transformation_bytes: 8 * 1024,
            components: 100,
            layers: 10,
            metadata_bytes: 4 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// Refuses a source whose header states too many pixels, or none.
    pub fn check_source(&self, size: Size) -> Result<()> {
        if size.width == 0 || size.height == 0 {
            return Err(Error::Decode("Invalid image file: it has no pixels".into()));
        }
        self.check_source_pixels(size.pixels())
    }

    /// Refuses a source, or a frame of one, of too many pixels.
    pub fn check_source_pixels(&self, pixels: u64) -> Result<()> {
        if pixels > self.source_pixels {
            return Err(Error::Limit(format!(
                "Maximum image size is {} Megapixels. Requested {} Megapixels",
                megapixels(self.source_pixels),
                megapixels(pixels)
            )));
        }
        Ok(())
    }

    /// Refuses a surface that would be too large to render.
    pub fn check_output(&self, width: u64, height: u64) -> Result<()> {
        let side = u64::from(self.output_side_px);
        if width > side || height > side {
            return Err(Error::Limit(format!(
                "Maximum side of an output image is {side} pixels. Requested {width}x{height}"
            )));
        }
        if width * height > self.output_pixels {
            return Err(Error::Limit(format!(
                "Maximum output image size is {} Megapixels. Requested {} Megapixels",
                megapixels(self.output_pixels),
                megapixels(width * height)
            )));
        }
        Ok(())
    }
}

fn megapixels(pixels: u64) -> String {
    let value = pixels as f64 / 1e6;
    if (value - value.round()).abs() < 0.05 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_below_passes_and_one_above_fails() {
        let limits = Limits { source_pixels: 100, output_pixels: 100, output_side_px: 50, ..Limits::default() };
        assert!(limits.check_source(Size::new(10, 10)).is_ok());
        assert!(matches!(limits.check_source(Size::new(101, 1)), Err(Error::Limit(_))));
        assert!(limits.check_output(2, 50).is_ok());
        assert!(matches!(limits.check_output(1, 51), Err(Error::Limit(_))));
        assert!(matches!(limits.check_output(10, 11), Err(Error::Limit(_))));
    }
}
