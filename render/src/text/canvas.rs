//! Where the ink of a text lies, and the pixels that it is drawn to.

use crate::error::Result;
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::language::Color;
use crate::plan::geometry::Size;
use cosmic_text::{PhysicalGlyph, SwashContent, SwashImage};

/// A rectangle that may lie left of or above the origin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    left: i64,
    top: i64,
    pub width: u32,
    pub height: u32,
}

/// Bounds of everything that is drawn.
#[derive(Debug, Default)]
pub(super) struct Ink(Option<[i64; 4]>);

impl Ink {
    /// Grows by the pixels of a glyph that are not empty.
    pub fn add_glyph(&mut self, glyph: &PhysicalGlyph, image: &SwashImage) {
        let (left, top) = origin(glyph, image);
        let width = image.placement.width as usize;
        let pixel_bytes = if image.content == SwashContent::Mask { 1 } else { 4 };
        if width == 0 {
            return;
        }
        for (y, row) in image.data.chunks_exact(width * pixel_bytes).enumerate() {
            let covered = |pixel: &[u8]| pixel[pixel_bytes - 1] > 0;
            let mut columns = row.chunks_exact(pixel_bytes);
            let Some(first) = columns.position(covered) else { continue };
            let last = row.chunks_exact(pixel_bytes).rposition(covered).unwrap_or(first);
            let y = top + y as i64;
            self.add([left + first as i64, y, left + last as i64 + 1, y + 1]);
        }
    }

    pub fn add_bar(&mut self, [x, y, width, height]: [i32; 4]) {
        let (x, y) = (i64::from(x), i64::from(y));
        self.add([x, y, x + i64::from(width), y + i64::from(height)]);
    }

    fn add(&mut self, [left, top, right, bottom]: [i64; 4]) {
        let [l, t, r, b] = self.0.unwrap_or([left, top, right, bottom]);
        self.0 = Some([l.min(left), t.min(top), r.max(right), b.max(bottom)]);
    }

    /// `None` when there is no ink.
    pub fn area(&self) -> Option<Area> {
        let [left, top, right, bottom] = self.0?;
        let side = |length: i64| u32::try_from(length).ok().filter(|length| *length > 0);
        Some(Area { left, top, width: side(right - left)?, height: side(bottom - top)? })
    }
}

/// Position of a glyph's first pixel.
fn origin(glyph: &PhysicalGlyph, image: &SwashImage) -> (i64, i64) {
    let (x, y) = (i64::from(glyph.x), i64::from(glyph.y));
    (x + i64::from(image.placement.left), y - i64::from(image.placement.top))
}

/// Pixels that are drawn to: straight sRGB RGBA.
pub(super) struct Canvas {
    area: Area,
    pixels: Vec<u8>,
}

impl Canvas {
    /// All of it in the color of the background. The caller has checked the size.
    pub fn new(area: Area, background: Color) -> Self {
        let pixels = background.rgba.repeat(area.width as usize * area.height as usize);
        Canvas { area, pixels }
    }

    /// Lays `color`, covered in part, over a pixel; positions outside are ignored.
    fn blend(&mut self, x: i64, y: i64, color: [u8; 4], coverage: u8) {
        let (x, y) = (x - self.area.left, y - self.area.top);
        if x < 0 || y < 0 || x >= i64::from(self.area.width) || y >= i64::from(self.area.height) {
            return;
        }
        let at = (y as usize * self.area.width as usize + x as usize) * BYTES_PER_PIXEL;
        let pixel = &mut self.pixels[at..at + BYTES_PER_PIXEL];
        let over = f32::from(color[3]) * f32::from(coverage) / (255.0 * 255.0);
        let under = f32::from(pixel[3]) / 255.0 * (1.0 - over);
        let alpha = over + under;
        if alpha <= 0.0 {
            return;
        }
        for (below, above) in pixel.iter_mut().zip(&color[..3]) {
            *below = ((f32::from(*above) * over + f32::from(*below) * under) / alpha).round() as u8;
        }
        pixel[3] = (alpha * 255.0).round() as u8;
    }

    pub fn draw_glyph(&mut self, glyph: &PhysicalGlyph, image: &SwashImage, color: Color, antialias: bool) {
        let (left, top) = origin(glyph, image);
        let width = image.placement.width as usize;
        let sharp = |coverage: u8| if antialias { coverage } else { u8::from(coverage > 127) * 255 };
        match image.content {
            SwashContent::Mask => {
                for (at, coverage) in image.data.iter().enumerate() {
                    let coverage = sharp(*coverage);
                    if coverage > 0 {
                        self.blend(left + (at % width) as i64, top + (at / width) as i64, color.rgba, coverage);
                    }
                }
            }
            // Glyphs with colors of their own, such as emoji; the text's opacity holds for them too.
            SwashContent::Color | SwashContent::SubpixelMask => {
                for (at, pixel) in image.data.chunks_exact(4).enumerate() {
                    let own = [pixel[0], pixel[1], pixel[2], color.rgba[3]];
                    self.blend(left + (at % width) as i64, top + (at / width) as i64, own, sharp(pixel[3]));
                }
            }
        }
    }

    pub fn fill_bar(&mut self, [x, y, width, height]: [i32; 4], color: Color) {
        for row in 0..height {
            for column in 0..width {
                self.blend(i64::from(x) + i64::from(column), i64::from(y) + i64::from(row), color.rgba, 255);
            }
        }
    }

    pub fn into_frame(self) -> Result<Frame> {
        let has_alpha = self.pixels.chunks_exact(4).any(|pixel| pixel[3] != 255);
        Frame::new(Size::new(self.area.width, self.area.height), has_alpha, self.pixels)
    }
}
