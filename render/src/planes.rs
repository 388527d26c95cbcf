//! Pictures as a JPEG stores them: a plane of luma and two, mostly smaller, of color difference.

use crate::error::{Error, Result};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::plan::geometry::Size;
use crate::pool;

/// One 8-bit component, rows top to bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plane {
    size: Size,
    stride: usize,
    samples: Vec<u8>,
}

impl Plane {
    /// Wraps rows that begin every `stride` samples. Errors when they are shorter or fewer than `size` says.
    pub fn new(size: Size, stride: usize, samples: Vec<u8>) -> Result<Self> {
        let least = (size.height as usize).saturating_sub(1).saturating_mul(stride).saturating_add(size.width as usize);
        if size.pixels() == 0 || stride < size.width as usize || samples.len() < least {
            return Err(Error::Device(format!("{} samples are no plane of {size}", samples.len())));
        }
        Ok(Plane { size, stride, samples })
    }

    pub fn size(&self) -> Size {
        self.size
    }

    /// Samples from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    pub fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// The samples with every row, and the plane, lengthened to a multiple of `block` by repeating what is last.
    pub fn into_blocks(mut self, block: usize) -> Vec<u8> {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let stride = width.next_multiple_of(block);
        let mut samples = std::mem::take(&mut self.samples);
        if self.stride != stride {
            let rows = samples.chunks(self.stride).take(height);
            samples = rows
                .flat_map(|row| row[..width].iter().copied().chain(std::iter::repeat_n(row[width - 1], stride - width)))
                .collect();
        }
        samples.resize(height.next_multiple_of(block) * stride, 0);
        for row in samples.chunks_exact_mut(stride).take(height) {
            let last = row[width - 1];
            row[width..].fill(last);
        }
        for row in height..height.next_multiple_of(block) {
            samples.copy_within((height - 1) * stride..height * stride, row * stride);
        }
        samples
    }

    /// One row.
    pub fn row(&self, y: u32) -> &[u8] {
        &self.samples[y as usize * self.stride..][..self.size.width as usize]
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        pool::give(std::mem::take(&mut self.samples));
    }
}

/// How many luma samples a chroma sample stands for, across and down, each 1 or 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subsampling {
    pub across: u32,
    pub down: u32,
}

impl Subsampling {
    pub const NONE: Subsampling = Subsampling { across: 1, down: 1 };
    pub const HALF: Subsampling = Subsampling { across: 2, down: 2 };

    /// Size of the chroma planes of a picture.
    pub fn apply(self, luma: Size) -> Size {
        Size::new(luma.width.div_ceil(self.across), luma.height.div_ceil(self.down))
    }
}

/// An opaque picture in full-range YCbCr as JFIF has it (BT.601 of sRGB-encoded values), chroma centered in its luma samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planes {
    luma: Plane,
    /// `None`: a grey picture.
    chroma: Option<[Plane; 2]>,
    subsampling: Subsampling,
}

impl Planes {
    /// Errors when the chroma planes are not as large as the subsampling makes them.
    pub fn new(luma: Plane, chroma: Option<[Plane; 2]>, subsampling: Subsampling) -> Result<Self> {
        let size = subsampling.apply(luma.size());
        if chroma.iter().flatten().any(|plane| plane.size() != size) {
            return Err(Error::Device(format!("chroma planes of a {} picture are not {size}", luma.size())));
        }
        Ok(Planes { luma, chroma, subsampling })
    }

    /// Size of the picture.
    pub fn size(&self) -> Size {
        self.luma.size()
    }

    pub fn luma(&self) -> &Plane {
        &self.luma
    }

    /// Blue and red difference.
    pub fn chroma(&self) -> Option<&[Plane; 2]> {
        self.chroma.as_ref()
    }

    pub fn subsampling(&self) -> Subsampling {
        self.subsampling
    }

    /// Luma, then blue and red difference.
    pub fn into_planes(self) -> Vec<Plane> {
        std::iter::once(self.luma).chain(self.chroma.into_iter().flatten()).collect()
    }

    /// Bytes of all samples.
    pub fn n_bytes(&self) -> u64 {
        let chroma = self.chroma.iter().flatten().map(|plane| plane.samples.len()).sum::<usize>();
        (self.luma.samples.len() + chroma) as u64
    }

    /// The picture as pixels: chroma is interpolated linearly between its centers.
    pub fn to_frame(&self) -> Frame {
        let size = self.size();
        let width = size.width as usize;
        let mut frame = Frame::filled(size, [0, 0, 0, 255]);
        let mut differences = [vec![128.0_f32; width], vec![128.0_f32; width]];
        for (y, out) in (0_u32..).zip(frame.pixels_mut().chunks_exact_mut(width * BYTES_PER_PIXEL)) {
            for (plane, row) in self.chroma.iter().flatten().zip(&mut differences) {
                upsampled_row(plane, self.subsampling, y, row);
            }
            let [blue, red] = &differences;
            for (((luma, blue), red), pixel) in self.luma.row(y).iter().zip(blue).zip(red).zip(out.as_chunks_mut().0) {
                let [r, g, b] = to_rgb(f32::from(*luma), *blue, *red);
                *pixel = [(r + 0.5) as u8, (g + 0.5) as u8, (b + 0.5) as u8, 255];
            }
        }
        frame
    }
}

/// Red, green and blue of full-range BT.601 (JFIF 1.02), not clamped.
#[inline(always)]
pub(crate) fn to_rgb(luma: f32, blue: f32, red: f32) -> [f32; 3] {
    let (blue, red) = (blue - 128.0, red - 128.0);
    [luma + RED * red, luma + GREEN_OF_BLUE * blue + GREEN_OF_RED * red, luma + BLUE * blue]
}

/// Weights of the color differences.
pub(crate) const RED: f32 = 1.402;
pub(crate) const GREEN_OF_BLUE: f32 = -0.344_136_3;
pub(crate) const GREEN_OF_RED: f32 = -0.714_136_3;
pub(crate) const BLUE: f32 = 1.772;

/// The two samples that lie around a luma position, nearer first; the nearer one counts three quarters.
#[inline(always)]
pub(crate) fn neighbors(position: u32, subsampling: u32, length: u32) -> (u32, u32) {
    if subsampling == 1 {
        return (position, position);
    }
    let near = position / 2;
    let far = if position.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(length - 1) };
    (near, far)
}

/// Weight of the nearer sample.
pub(crate) const NEAR: f32 = 0.75;

/// One row of a chroma plane at luma's positions.
pub(crate) fn upsampled_row(plane: &Plane, subsampling: Subsampling, y: u32, out: &mut [f32]) {
    let size = plane.size();
    let (near, far) = neighbors(y, subsampling.down, size.height);
    let (near, far) = (plane.row(near), plane.row(far));
    let down = |x: usize| f32::from(near[x]) * NEAR + f32::from(far[x]) * (1.0 - NEAR);
    if subsampling.across == 1 {
        for (x, out) in out.iter_mut().enumerate() {
            *out = down(x);
        }
        return;
    }
    let last = size.width as usize - 1;
    let mut left = down(0);
    let mut here = left;
    for (x, pair) in out.chunks_mut(2).enumerate() {
        let right = if x < last { down(x + 1) } else { here };
        pair[0] = here * NEAR + left * (1.0 - NEAR);
        if let Some(second) = pair.get_mut(1) {
            *second = here * NEAR + right * (1.0 - NEAR);
        }
        (left, here) = (here, right);
    }
}
