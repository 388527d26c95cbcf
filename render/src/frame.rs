//! The pixel container that every part of the renderer shares.

use crate::error::{Error, Result};
use crate::plan::geometry::Size;
use crate::pool;

/// Bytes of one pixel of a [`Frame`].
pub const BYTES_PER_PIXEL: usize = 4;

/// One picture in memory: 8-bit RGBA, sRGB-encoded, alpha straight (not premultiplied), rows top to bottom without padding.
///
/// `has_alpha == false` promises that every alpha byte is 255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    size: Size,
    has_alpha: bool,
    pixels: Vec<u8>,
}

impl Frame {
    /// Wraps pixels. Errors when their length is not `width * height * 4`.
    pub fn new(size: Size, has_alpha: bool, pixels: Vec<u8>) -> Result<Self> {
        if pixels.len() as u64 != size.pixels() * BYTES_PER_PIXEL as u64 {
            return Err(Error::Device(format!("{} bytes are no {size} RGBA picture", pixels.len())));
        }
        Ok(Frame { size, has_alpha, pixels })
    }

    /// A picture of one color.
    pub fn filled(size: Size, rgba: [u8; 4]) -> Self {
        let mut pixels = Vec::with_capacity(size.pixels() as usize * BYTES_PER_PIXEL);
        for _ in 0..size.pixels() {
            pixels.extend_from_slice(&rgba);
        }
        Frame { size, has_alpha: rgba[3] != 255, pixels }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Whether any pixel may be other than opaque.
    pub fn has_alpha(&self) -> bool {
        self.has_alpha
    }

    /// RGBA bytes, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// RGBA bytes for in-place kernels. The caller keeps the promise of `has_alpha`.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The bytes alone.
    pub fn into_pixels(mut self) -> Vec<u8> {
        std::mem::take(&mut self.pixels)
    }

    /// Bytes from one row to the next.
    pub fn row_stride_bytes(&self) -> usize {
        self.size.width as usize * BYTES_PER_PIXEL
    }

    /// One row of RGBA bytes.
    pub fn row(&self, y: u32) -> &[u8] {
        let stride = self.row_stride_bytes();
        &self.pixels[y as usize * stride..][..stride]
    }

    /// The RGBA value at a position inside the picture.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 4] {
        let at = (y as usize * self.size.width as usize + x as usize) * BYTES_PER_PIXEL;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2], self.pixels[at + 3]]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        pool::give(std::mem::take(&mut self.pixels));
    }
}
