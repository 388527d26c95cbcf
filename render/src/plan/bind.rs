//! Binds a plan to the surfaces that the decoders really gave: from numbers to numbers a kernel can multiply.

use super::Plan;
use super::geometry::{Orientation, Rect, Size};
use super::step::{Light, Op, Outline, Resample, Rgba8, SurfaceId};
use super::weights::{Axis, Weights};
use super::{Encoding, Quality};
use crate::error::{Error, Result};
use crate::language::{ChromaSampling, Format, QualityLevel};
use crate::planes::Subsampling;
use std::sync::Arc;

/// What a decoder gave for one source: the picture at some scale, and the part of it that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Size of the whole picture at the scale that was decoded.
    pub full: Size,
    /// The part of `full` that the frame holds.
    pub window: Rect,
    /// Pixels of `full` for every eight of the original. The last pixel of a side may stand for less of the original
    /// than the others, so the quotient of the sizes would stretch the picture.
    pub eighths: u32,
    /// How chroma is stored when the picture was left in planes; `None` for pixels.
    pub subsampling: Option<Subsampling>,
}

impl Decoded {
    /// A picture that was decoded whole, at every pixel.
    pub const fn whole(size: Size) -> Self {
        Decoded { full: size, window: Rect::whole(size), eighths: 8, subsampling: None }
    }
}

/// One kernel call with all its numbers. Surfaces are numbered as in the plan; sizes are those of `BoundPlan::sizes`.
#[derive(Debug, Clone)]
pub enum Kernel {
    /// The surface is the decoded frame of a source, as it is.
    Load {
        source: usize,
    },
    /// Horizontal weights give the intermediate of output width and input height, vertical weights the output.
    Resample {
        input: SurfaceId,
        horizontal: Arc<Weights>,
        vertical: Arc<Weights>,
        light: Light,
        /// What chroma is multiplied by where the input is in planes.
        chroma: Option<Arc<Chroma>>,
    },
    /// A copy of the rectangle of the output's size at (`x`, `y`) of the input.
    Extract {
        input: SurfaceId,
        x: u32,
        y: u32,
    },
    Orient {
        input: SurfaceId,
        orientation: Orientation,
    },
    Canvas {
        input: SurfaceId,
        left: i32,
        top: i32,
        fill: Rgba8,
    },
    Composite {
        base: SurfaceId,
        layer: SurfaceId,
        left: i32,
        top: i32,
        opacity: f32,
    },
    Mask {
        input: SurfaceId,
        outline: Outline,
    },
    Border {
        input: SurfaceId,
        width: u32,
        color: Rgba8,
        outline: Outline,
    },
    Opacity {
        input: SurfaceId,
        opacity: f32,
    },
}

/// How chroma planes are resampled.
#[derive(Debug, Clone)]
pub struct Chroma {
    pub horizontal: Weights,
    pub vertical: Weights,
    /// `None`: chroma is wanted at every output pixel, as if it had been interpolated before the resampling.
    /// Else the output stays in planes, with chroma like this.
    pub output: Option<Subsampling>,
}

/// A plan whose weights fit the decoded sources.
#[derive(Debug, Clone)]
pub struct BoundPlan {
    /// One kernel for every step of the plan, in order.
    pub kernels: Vec<Kernel>,
    /// Size of the surface that each kernel writes; for `Load`, of the frame that was decoded.
    pub sizes: Vec<Size>,
    /// Whether the surface that each kernel writes may hold transparent pixels.
    pub alphas: Vec<bool>,
    /// The surface that is the result.
    pub output: SurfaceId,
}

impl BoundPlan {
    /// Size of a surface.
    pub fn size(&self, surface: SurfaceId) -> Size {
        self.sizes[usize::from(surface.0)]
    }

    /// Whether a surface may hold transparent pixels.
    pub fn alpha(&self, surface: SurfaceId) -> bool {
        self.alphas[usize::from(surface.0)]
    }
}

fn resample(input: SurfaceId, map: &Resample, given: Decoded, kept: Option<Subsampling>) -> Kernel {
    let scale = f64::from(given.eighths) / 8.0;
    let axis = |start: f64, length: f64, at: u32, end: u32, scaled, from, count| Axis {
        region_start: start * scale,
        region_length: length * scale,
        input_start: at,
        input_end: end,
        scaled_length: scaled,
        window_start: from,
        window_length: count,
    };
    let (region, window, there) = (map.region, map.window, given.window);
    let across = axis(region.x, region.width, there.x, there.right(), map.scaled.width, window.x, window.width);
    let down = axis(region.y, region.height, there.y, there.bottom(), map.scaled.height, window.y, window.height);
    let (horizontal, vertical) = (across.weights(map.filter), down.weights(map.filter));
    let chroma = given.subsampling.map(|inside| {
        let (horizontal, vertical) = match kept {
            Some(outside) => (
                across.chroma_weights(map.filter, inside.across, outside.across),
                down.chroma_weights(map.filter, inside.down, outside.down),
            ),
            None => {
                let size = inside.apply(there.size());
                (horizontal.over_chroma(inside.across, size.width), vertical.over_chroma(inside.down, size.height))
            }
        };
        Arc::new(Chroma { horizontal, vertical, output: kept })
    });
    Kernel::Resample { input, horizontal: Arc::new(horizontal), vertical: Arc::new(vertical), light: map.light, chroma }
}

/// How the planes of a JPEG, WebP or AVIF are subsampled when nothing but resampling is done to a picture on its way into it.
fn kept_in_planes(encoding: &Encoding) -> Option<Subsampling> {
    let chroma = match (encoding.chroma, encoding.quality) {
        // Lossy WebP has no other.
        _ if encoding.format == Format::WebP => ChromaSampling::Half,
        _ if !matches!(encoding.format, Format::Jpeg | Format::Avif) => return None,
        (Some(chroma), _) => chroma,
        // The number decides, and is not known yet.
        (None, Quality::Auto(QualityLevel::Best)) => return None,
        (None, Quality::Auto(_)) => ChromaSampling::Half,
        (None, Quality::Fixed(number)) => ChromaSampling::for_quality(number),
    };
    Some(match chroma {
        ChromaSampling::Half => Subsampling::HALF,
        ChromaSampling::Full => Subsampling::NONE,
    })
}

impl Plan {
    /// Fixes weights and offsets for the pictures that were decoded; `decoded[i]` belongs to source `i`.
    ///
    /// Errors when a decoder gave less than the plan demanded, which is a fault of the server.
    pub fn bind(&self, decoded: &[Decoded]) -> Result<BoundPlan> {
        let mut kernels = Vec::with_capacity(self.steps.len());
        let mut sizes = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let mut size = step.size;
            kernels.push(match step.op {
                Op::Load { source } => {
                    let given =
                        decoded.get(source).ok_or_else(|| Error::Device(format!("source {source} was not decoded")))?;
                    size = given.window.size();
                    Kernel::Load { source }
                }
                Op::Resample { input, map } => {
                    let (_, given) = self.surface_geometry(input, decoded);
                    let output = SurfaceId(kernels.len() as u16);
                    let kept = self.output == output && map.light == Light::Encoded;
                    resample(input, &map, given, if kept { kept_in_planes(&self.encoding) } else { None })
                }
                Op::Extract { input, x, y } => {
                    let (full, given) = self.surface_geometry(input, decoded);
                    let inside = x >= given.window.x
                        && y >= given.window.y
                        && x + step.size.width <= given.window.right()
                        && y + step.size.height <= given.window.bottom();
                    if full != given.full || given.eighths != 8 || !inside {
                        return Err(Error::Device("a crop was bound to less than it demanded".into()));
                    }
                    Kernel::Extract { input, x: x - given.window.x, y: y - given.window.y }
                }
                Op::Orient { input, orientation } => Kernel::Orient { input: self.exact(input, decoded)?, orientation },
                Op::Canvas { input, left, top, fill } => {
                    Kernel::Canvas { input: self.exact(input, decoded)?, left, top, fill }
                }
                Op::Composite { base, layer, left, top, opacity } => Kernel::Composite {
                    base: self.exact(base, decoded)?,
                    layer: self.exact(layer, decoded)?,
                    left,
                    top,
                    opacity,
                },
                Op::Mask { input, outline } => Kernel::Mask { input: self.exact(input, decoded)?, outline },
                Op::Border { input, width, color, outline } => {
                    Kernel::Border { input: self.exact(input, decoded)?, width, color, outline }
                }
                Op::Opacity { input, opacity } => Kernel::Opacity { input: self.exact(input, decoded)?, opacity },
            });
            sizes.push(size);
        }
        let alphas = self.steps.iter().map(|step| step.alpha).collect();
        Ok(BoundPlan { kernels, sizes, alphas, output: self.output })
    }

    /// The size a surface has in the plan, and what is really there.
    fn surface_geometry(&self, surface: SurfaceId, decoded: &[Decoded]) -> (Size, Decoded) {
        let step = &self.steps[usize::from(surface.0)];
        match step.op {
            Op::Load { source } if source < decoded.len() => (step.size, decoded[source]),
            _ => (step.size, Decoded::whole(step.size)),
        }
    }

    /// An input that must be there at every pixel, because no resampling can make up for a reduced decode.
    fn exact(&self, surface: SurfaceId, decoded: &[Decoded]) -> Result<SurfaceId> {
        let (size, given) = self.surface_geometry(surface, decoded);
        if given == Decoded::whole(size) {
            Ok(surface)
        } else {
            Err(Error::Device(format!("surface {} was decoded reduced but is used as it is", surface.0)))
        }
    }
}
