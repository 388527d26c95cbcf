//! Random valid jobs, the same for the same seed, for tests that hold two implementations against each other.

use std::sync::Arc;
use tintype_render::backend::{Job, Source};
use tintype_render::frame::Frame;
use tintype_render::plan::bind::{BoundPlan, Kernel};
use tintype_render::plan::geometry::{Orientation, Size};
use tintype_render::plan::step::{Filter, Light, Outline, SurfaceId};
use tintype_render::plan::weights::Axis;

/// Longest side of a random surface, in pixels; a border may pass it.
const MAX_SIDE: u32 = 200;

/// A job, and what its bound weights no longer tell.
#[derive(Debug, Clone)]
pub struct RandomCase {
    pub job: Job,
    /// Horizontal and vertical axis of every `Kernel::Resample`, by index of the kernel.
    pub axes: Vec<Option<(Axis, Axis)>>,
}

/// A valid job of 1 to 6 kernels of random kinds with surfaces of 1 to 200 pixels a side and random frames.
pub fn random_job(seed: u64) -> Job {
    random_case(seed).job
}

/// As [`random_job`], with the axes from which the weights were made.
pub fn random_case(seed: u64) -> RandomCase {
    let mut builder = Builder {
        random: Random(seed),
        kernels: Vec::new(),
        sizes: Vec::new(),
        alphas: Vec::new(),
        axes: Vec::new(),
        sources: Vec::new(),
    };
    let n_kernels = builder.random.range(1, 6) as usize;
    let mut current = builder.load();
    while builder.kernels.len() < n_kernels {
        current = builder.step(current, n_kernels);
    }
    let plan = BoundPlan { kernels: builder.kernels, sizes: builder.sizes, alphas: builder.alphas, output: current };
    RandomCase { job: Job { plan: Arc::new(plan), sources: builder.sources }, axes: builder.axes }
}

/// A frame of noise, gradients or flat patches; with alpha, also fully transparent bright pixels next to opaque ones.
pub fn random_frame(random: &mut Random, size: Size, alpha: bool) -> Frame {
    let kind = random.range(0, 2);
    let mut pixels = Vec::with_capacity(size.pixels() as usize * 4);
    let flat = random.next() as u32;
    for y in 0..size.height {
        for x in 0..size.width {
            let noise = random.next() as u32;
            let color = match kind {
                0 => noise.to_le_bytes(),
                1 => [(x * 255 / size.width) as u8, (y * 255 / size.height) as u8, (x ^ y) as u8, (x + y) as u8],
                _ if (x / 7 + y / 5) % 2 == 0 => flat.to_le_bytes(),
                _ => (!flat).to_le_bytes(),
            };
            let a = match (alpha, (noise >> 24) % 4) {
                (false, _) | (true, 0) => 255,
                (true, 1) => 0,
                (true, _) => color[3],
            };
            pixels.extend_from_slice(&[color[0], color[1], color[2], a]);
        }
    }
    Frame::new(size, alpha, pixels).expect("the length fits")
}

/// SplitMix64, by S. Vigna: small, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: u32, high: u32) -> u32 {
        low + (self.next() % u64::from(high - low + 1)) as u32
    }

    /// As [`Random::range`], for offsets.
    pub fn offset(&mut self, low: i32, high: i32) -> i32 {
        low + (self.next() % (high - low + 1) as u64) as i32
    }

    pub fn chance(&mut self, one_in: u32) -> bool {
        self.range(1, one_in) == 1
    }

    /// 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A side: often tiny, since that is where mistakes live.
    pub fn side(&mut self) -> u32 {
        if self.chance(4) { self.range(1, 4) } else { self.range(1, MAX_SIDE) }
    }

    pub fn size(&mut self) -> Size {
        Size::new(self.side(), self.side())
    }

    pub fn color(&mut self) -> [u8; 4] {
        let mut color = (self.next() as u32).to_le_bytes();
        if self.chance(2) {
            color[3] = 255;
        } else if self.chance(4) {
            color = [0; 4];
        }
        color
    }

    pub fn outline(&mut self, size: Size) -> Outline {
        if self.chance(3) {
            return Outline::Ellipse;
        }
        let longest = size.width.min(size.height) / 2;
        let mut radii = [0.0; 4];
        for radius in &mut radii {
            *radius = if self.chance(4) { 0.0 } else { self.range(0, longest) as f32 };
        }
        Outline::Corners(radii)
    }

    /// An axis over `input` pixels: a fractional region, a scaled length and a window of it.
    pub fn axis(&mut self, input: u32) -> Axis {
        let (mut region_start, mut region_length) = (0.0, f64::from(input));
        if self.chance(3) {
            region_start = self.unit() * f64::from(input) * 0.5;
            region_length = (f64::from(input) - region_start) * (0.2 + 0.8 * self.unit());
        }
        let scaled_length = if self.chance(6) { input } else { self.side() };
        let (mut window_start, mut window_length) = (0, scaled_length);
        if self.chance(3) {
            window_start = self.range(0, scaled_length - 1);
            window_length = self.range(1, scaled_length - window_start);
        }
        Axis {
            region_start,
            region_length,
            input_start: 0,
            input_end: input,
            scaled_length,
            window_start,
            window_length,
        }
    }

    fn opacity(&mut self) -> f32 {
        if self.chance(2) { 1.0 } else { self.range(0, 100) as f32 / 100.0 }
    }
}

struct Builder {
    random: Random,
    kernels: Vec<Kernel>,
    sizes: Vec<Size>,
    alphas: Vec<bool>,
    axes: Vec<Option<(Axis, Axis)>>,
    sources: Vec<Source>,
}

impl Builder {
    fn push(&mut self, kernel: Kernel, size: Size, alpha: bool) -> SurfaceId {
        self.kernels.push(kernel);
        self.sizes.push(size);
        self.alphas.push(alpha);
        self.axes.push(None);
        SurfaceId((self.kernels.len() - 1) as u16)
    }

    fn load(&mut self) -> SurfaceId {
        let (size, alpha) = (self.random.size(), self.random.chance(2));
        let frame = random_frame(&mut self.random, size, alpha);
        self.sources.push(Source::Rgba(Arc::new(frame)));
        self.push(Kernel::Load { source: self.sources.len() - 1 }, size, alpha)
    }

    /// Adds one kernel that reads `input`, or two when the second is a layer over it.
    fn step(&mut self, input: SurfaceId, n_kernels: usize) -> SurfaceId {
        let (size, alpha) = (self.sizes[usize::from(input.0)], self.alphas[usize::from(input.0)]);
        let random = &mut self.random;
        match random.range(0, 9) {
            0 | 1 => {
                let axes = (random.axis(size.width), random.axis(size.height));
                let light = if random.chance(2) { Light::Linear } else { Light::Encoded };
                let horizontal = Arc::new(axes.0.weights(Filter::Lanczos3));
                let vertical = Arc::new(axes.1.weights(Filter::Lanczos3));
                let output = Size::new(axes.0.window_length, axes.1.window_length);
                let id =
                    self.push(Kernel::Resample { input, horizontal, vertical, light, chroma: None }, output, alpha);
                self.axes[usize::from(id.0)] = Some(axes);
                id
            }
            2 => {
                let (x, y) = (random.range(0, size.width - 1), random.range(0, size.height - 1));
                let part = Size::new(random.range(1, size.width - x), random.range(1, size.height - y));
                self.push(Kernel::Extract { input, x, y }, part, alpha)
            }
            3 => {
                let orientation = Orientation::from_exif(random.range(1, 8) as u16);
                self.push(Kernel::Orient { input, orientation }, orientation.apply_size(size), alpha)
            }
            4 => {
                let (canvas, fill) = (random.size(), random.color());
                let (left, top) = (random.offset(-150, 150), random.offset(-150, 150));
                self.push(Kernel::Canvas { input, left, top, fill }, canvas, fill[3] != 255)
            }
            5 | 6 => {
                let (left, top) = (random.offset(-150, 150), random.offset(-150, 150));
                let opacity = random.opacity();
                let layer = if self.kernels.len() + 2 <= n_kernels {
                    self.load()
                } else {
                    SurfaceId(self.random.range(0, u32::from(input.0)) as u16)
                };
                self.push(Kernel::Composite { base: input, layer, left, top, opacity }, size, alpha)
            }
            7 => {
                let outline = random.outline(size);
                self.push(Kernel::Mask { input, outline }, size, true)
            }
            8 => {
                let (width, color, outline) = (random.range(1, 20), random.color(), random.outline(size));
                let grown = Size::new(size.width + 2 * width, size.height + 2 * width);
                self.push(Kernel::Border { input, width, color, outline }, grown, true)
            }
            _ => {
                let opacity = random.opacity();
                self.push(Kernel::Opacity { input, opacity }, size, true)
            }
        }
    }
}
