//! Pictures as JPEG decoders hold them: luma and chroma planes, before upsampling and color conversion.

use crate::error::{Error, Result};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::plan::geometry::{Rect, Size};

/// Bits by which chroma is coarser than luma along each axis: 0 for one sample a pixel, 1 for one sample every two.
///
/// (0, 0) is 4:4:4, (1, 0) is 4:2:2, (1, 1) is 4:2:0, (0, 1) is 4:4:0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subsampling {
    pub shift_x: u32,
    pub shift_y: u32,
}

/// Samples of one component, rows top to bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plane {
    size: Size,
    stride_bytes: usize,
    samples: Vec<u8>,
}

impl Plane {
    /// Wraps samples. `stride_bytes` leads from one row to the next; the last row may end after its samples.
    ///
    /// Errors when rows overlap or samples are missing.
    pub fn new(size: Size, stride_bytes: usize, samples: Vec<u8>) -> Result<Self> {
        let (width, height) = (size.width as usize, size.height as usize);
        let needed = height.checked_sub(1).and_then(|rows| rows.checked_mul(stride_bytes)?.checked_add(width));
        if width == 0 || stride_bytes < width || needed.is_none_or(|needed| samples.len() < needed) {
            return Err(Error::Device(format!("{} bytes of stride {stride_bytes} are no plane {size}", samples.len())));
        }
        Ok(Plane { size, stride_bytes, samples })
    }

    /// Width and height in samples.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The samples of one row.
    pub fn row(&self, y: u32) -> &[u8] {
        &self.samples[y as usize * self.stride_bytes..][..self.size.width as usize]
    }

    fn at(&self, x: i64, y: i64) -> i32 {
        let x = x.clamp(0, i64::from(self.size.width) - 1) as u32;
        let y = y.clamp(0, i64::from(self.size.height) - 1) as u32;
        i32::from(self.row(y)[x as usize])
    }
}

/// An opaque picture in YCbCr planes: 8-bit full-range BT.601 of sRGB-encoded values, as JFIF defines it.
///
/// The planes may reach over the picture on every side, as far as the decoder's blocks do; `window` is the picture, in
/// luma samples. Sample (0, 0) of chroma covers the first luma samples, and lies in the middle of them. What lies around
/// the window is only read where upsampling looks at a neighbor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanarFrame {
    window: Rect,
    subsampling: Subsampling,
    luma: Plane,
    /// Cb and Cr; `None` for a gray picture.
    chroma: Option<[Plane; 2]>,
}

impl PlanarFrame {
    /// Joins planes. Errors when the window is empty or leaves the luma plane, or a chroma plane does not have the size
    /// of luma divided by the subsampling, rounded up.
    pub fn new(window: Rect, subsampling: Subsampling, luma: Plane, chroma: Option<[Plane; 2]>) -> Result<Self> {
        let end = |start: u32, length: u32, whole: u32| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= whole)
        };
        let inside = end(window.x, window.width, luma.size.width) && end(window.y, window.height, luma.size.height);
        let Subsampling { shift_x, shift_y } = subsampling;
        let coarse = |length: u32, shift: u32| length.div_ceil(1 << shift.min(1));
        let expected = Size::new(coarse(luma.size.width, shift_x), coarse(luma.size.height, shift_y));
        let fits = chroma.iter().flatten().all(|plane| plane.size == expected);
        if !inside || shift_x > 1 || shift_y > 1 || !fits {
            return Err(Error::Device(format!("planes of {} do not hold a picture at {window:?}", luma.size)));
        }
        Ok(PlanarFrame { window, subsampling, luma, chroma })
    }

    /// Width and height of the picture in pixels.
    pub fn size(&self) -> Size {
        self.window.size()
    }

    /// The picture, in luma samples.
    pub fn window(&self) -> Rect {
        self.window
    }

    pub fn subsampling(&self) -> Subsampling {
        self.subsampling
    }

    pub fn luma(&self) -> &Plane {
        &self.luma
    }

    /// Cb and Cr; `None` for a gray picture.
    pub fn chroma(&self) -> Option<&[Plane; 2]> {
        self.chroma.as_ref()
    }

    /// The part of the chroma planes that the window's pixels read, neighbors included.
    pub fn chroma_window(&self) -> Rect {
        let (left, width) = chroma_range(self.window.x, self.window.width, self.subsampling.shift_x);
        let (top, height) = chroma_range(self.window.y, self.window.height, self.subsampling.shift_y);
        let cut = |start: u32, length: u32, whole: u32| length.min(whole.saturating_sub(start));
        let whole = self.chroma.as_ref().map_or(Size::new(0, 0), |[cb, _]| cb.size);
        Rect::new(left, top, cut(left, width, whole.width), cut(top, height, whole.height))
    }

    /// The picture as RGBA: the same integers as libjpeg's smooth upsampling and color conversion, and as the kernel
    /// `wire`, so that both backends and the decoder agree in every bit.
    pub fn to_frame(&self) -> Frame {
        let size = self.size();
        let mut frame = Frame::filled(size, [0, 0, 0, 255]);
        let stride = size.width as usize * BYTES_PER_PIXEL;
        for (y, row) in (self.window.y..).zip(frame.pixels_mut().chunks_exact_mut(stride)) {
            let luma = &self.luma.row(y)[self.window.x as usize..][..size.width as usize];
            for ((x, luma), pixel) in (self.window.x..).zip(luma).zip(row.chunks_exact_mut(BYTES_PER_PIXEL)) {
                let [cb, cr] = match &self.chroma {
                    Some([cb, cr]) => [self.upsampled(cb, x, y), self.upsampled(cr, x, y)],
                    None => [128, 128],
                };
                pixel[..3].copy_from_slice(&rgb(i32::from(*luma), cb, cr));
            }
        }
        frame
    }

    /// Chroma at a luma sample: three parts of the nearer sample and one of the further along each coarse axis.
    /// Roundings alternate, as libjpeg's do, so that they do not add up. Source: libjpeg's `jdsample.c`, its comments.
    fn upsampled(&self, plane: &Plane, x: u32, y: u32) -> i32 {
        let Subsampling { shift_x, shift_y } = self.subsampling;
        let near = |at: u32, shift: u32| i64::from(at >> shift);
        let far = |at: u32, shift: u32| near(at, shift) + if at % 2 == 1 { 1 } else { -1 };
        let (near_x, near_y) = (near(x, shift_x), near(y, shift_y));
        let odd = |at: u32| (at % 2) as i32;
        match (shift_x, shift_y) {
            (0, 0) => plane.at(near_x, near_y),
            (1, 0) => (3 * plane.at(near_x, near_y) + plane.at(far(x, 1), near_y) + 1 + odd(x)) >> 2,
            (0, _) => (3 * plane.at(near_x, near_y) + plane.at(near_x, far(y, 1)) + 1 + odd(y)) >> 2,
            _ => {
                let column = |x: i64| 3 * plane.at(x, near_y) + plane.at(x, far(y, 1));
                (3 * column(near_x) + column(far(x, 1)) + 8 - odd(x)) >> 4
            }
        }
    }
}

/// First chroma sample, and number of samples, that luma samples `start..start + length` read; may pass the plane's end.
fn chroma_range(start: u32, length: u32, shift: u32) -> (u32, u32) {
    if shift == 0 || length == 0 {
        return (start, length);
    }
    let last = start + (length - 1);
    let first = if start % 2 == 0 { (start / 2).saturating_sub(1) } else { start / 2 };
    (first, last / 2 + last % 2 + 1 - first)
}

/// Full-range BT.601 in 16.16 fixed point. Source: JFIF 1.02.
fn rgb(luma: i32, cb: i32, cr: i32) -> [u8; 3] {
    let (cb, cr) = (cb - 128, cr - 128);
    let red = luma + ((91_881 * cr + 32_768) >> 16);
    let green = luma + ((-22_554 * cb - 46_802 * cr + 32_768) >> 16);
    let blue = luma + ((116_130 * cb + 32_768) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plane(width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> Plane {
        let samples = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect();
        Plane::new(Size::new(width, height), width as usize, samples).unwrap()
    }

    #[test]
    fn the_corners_of_the_color_cube_come_back() {
        for (ycc, expected) in [
            ([76, 85, 255], [254, 0, 0]),
            ([150, 44, 21], [0, 255, 1]),
            ([29, 255, 107], [0, 0, 254]),
            ([255, 128, 128], [255; 3]),
            ([0, 128, 128], [0; 3]),
        ] {
            assert_eq!(rgb(ycc[0], ycc[1], ycc[2]), expected, "{ycc:?}");
        }
    }

    #[test]
    fn a_window_shows_the_same_pixels_as_the_whole() {
        for (shift_x, shift_y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let subsampling = Subsampling { shift_x, shift_y };
            let make = |window| {
                let luma = plane(23, 17, |x, y| (x * 9 + y * 5) as u8);
                let (width, height) = (23_u32.div_ceil(1 << shift_x), 17_u32.div_ceil(1 << shift_y));
                let chroma = [3, 7].map(|step| plane(width, height, |x, y| (x * 11 * step + y * 29) as u8));
                PlanarFrame::new(window, subsampling, luma, Some(chroma)).unwrap()
            };
            let whole = make(Rect::new(0, 0, 23, 17)).to_frame();
            for window in
                [Rect::new(0, 0, 1, 1), Rect::new(5, 4, 9, 7), Rect::new(22, 16, 1, 1), Rect::new(2, 3, 20, 1)]
            {
                let part = make(window);
                let frame = part.to_frame();
                for (x, y) in (0..window.height).flat_map(|y| (0..window.width).map(move |x| (x, y))) {
                    assert_eq!(frame.pixel(x, y), whole.pixel(x + window.x, y + window.y), "{window:?} {x} {y}");
                }
                let read = part.chroma_window();
                assert!(read.width >= 1 && read.right() <= 23_u32.div_ceil(1 << shift_x));
                assert!(read.height >= 1 && read.bottom() <= 17_u32.div_ceil(1 << shift_y));
            }
        }
    }

    #[test]
    fn planes_that_do_not_fit_together_are_refused() {
        let window = Rect::new(0, 0, 5, 5);
        let half = Subsampling { shift_x: 1, shift_y: 1 };
        let luma = || plane(5, 5, |_, _| 0);
        let chroma = |width| Some([0, 1].map(|_| plane(width, 3, |_, _| 0)));
        assert!(PlanarFrame::new(window, half, luma(), chroma(3)).is_ok());
        assert!(PlanarFrame::new(window, half, luma(), chroma(2)).is_err());
        assert!(PlanarFrame::new(Rect::new(1, 0, 5, 5), half, luma(), chroma(3)).is_err());
        assert!(PlanarFrame::new(Rect::new(u32::MAX, 0, 5, 5), half, luma(), chroma(3)).is_err());
        assert!(PlanarFrame::new(Rect::new(0, 0, 0, 5), half, luma(), chroma(3)).is_err());
        let quarter = Subsampling { shift_x: 2, shift_y: 0 };
        assert!(PlanarFrame::new(window, quarter, luma(), chroma(3)).is_err());
        assert!(Plane::new(Size::new(4, 2), 4, vec![0; 7]).is_err());
        assert!(Plane::new(Size::new(4, 2), 3, vec![0; 8]).is_err());
        assert!(Plane::new(Size::new(4, 2), usize::MAX, vec![0; 8]).is_err());
        assert!(Plane::new(Size::new(4, 2), 6, vec![0; 10]).is_ok());
    }
}
