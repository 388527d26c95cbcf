//! What a plan consists of: steps with all numbers fixed, in single-assignment order.

use super::geometry::{Orientation, Rect, RectF, Size};
use serde::Serialize;

/// Names the surface that a step writes: the index of that step in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SurfaceId(pub u16);

/// Straight 8-bit sRGB color with alpha.
pub type Rgba8 = [u8; 4];

/// The light in which resampling averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// Linear light, as photons add up. The `quality` profile.
    Linear,
    /// sRGB-encoded values as they are. The `fast` profile.
    Encoded,
}

/// The reconstruction filter of a resampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Windowed sinc with three lobes; support 3 source pixels, widened by the ratio when reducing.
    Lanczos3,
}

/// How a resampling maps its input to its output.
///
/// `region` of the input (in the *original's* pixels, clamped at its edges) is scaled onto a virtual picture of size
/// `scaled`; of that picture only `window` is computed, and is the output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Resample {
    pub region: RectF,
    pub scaled: Size,
    pub window: Rect,
    pub filter: Filter,
    pub light: Light,
}

/// Corner radii in pixels, or the inscribed ellipse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outline {
    /// Radii of the top left, top right, bottom right and bottom left corner; 0 is square.
    Corners([f32; 4]),
    /// Ellipse with semi-axes of half the width and half the height.
    Ellipse,
}

/// One operation. Every input is a surface of an earlier step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// The stored picture of source `source`, before its EXIF orientation is honoured.
    Load { source: usize },
    /// Windowed-sinc resampling on premultiplied alpha.
    Resample {
        input: SurfaceId,
        #[serde(flatten)]
        map: Resample,
    },
    /// A copy of the rectangle of the step's size at (`x`, `y`).
    Extract { input: SurfaceId, x: u32, y: u32 },
    /// Flips and quarter turns.
    Orient { input: SurfaceId, orientation: Orientation },
    /// A canvas of the step's size and one color with the input drawn over it at (`left`, `top`), which may be negative.
    ///
    /// Padding, and flattening onto a background (same size, offset 0, opaque fill).
    Canvas { input: SurfaceId, left: i32, top: i32, fill: Rgba8 },
    /// `layer` over `base` at (`left`, `top`), clipped to the base; source-over on sRGB-encoded values.
    /// The layer's alpha is first multiplied by `opacity`, 0 to 1.
    Composite { base: SurfaceId, layer: SurfaceId, left: i32, top: i32, opacity: f32 },
    /// Alpha multiplied by the antialiased coverage of an outline that fills the surface.
    Mask { input: SurfaceId, outline: Outline },
    /// A ring of `width` pixels around the input, which comes to lie at (`width`, `width`). The ring's outer edge is
    /// `outline` with every nonzero radius grown by `width` (an ellipse grows to the larger ellipse), its inner edge is
    /// `outline`. The input must not reach outside of `outline`: coverages are then disjoint, so that premultiplied
    /// values simply add: `input + color * (outer - inner)`, on sRGB-encoded values.
    Border { input: SurfaceId, width: u32, color: Rgba8, outline: Outline },
    /// Alpha multiplied by `opacity`, 0 to 1.
    Opacity { input: SurfaceId, opacity: f32 },
}

impl Op {
    /// Surfaces that the operation reads.
    pub fn inputs(&self) -> impl Iterator<Item = SurfaceId> {
        let (first, second) = match *self {
            Op::Load { .. } => (None, None),
            Op::Composite { base, layer, .. } => (Some(base), Some(layer)),
            Op::Resample { input, .. }
            | Op::Extract { input, .. }
            | Op::Orient { input, .. }
            | Op::Canvas { input, .. }
            | Op::Mask { input, .. }
            | Op::Border { input, .. }
            | Op::Opacity { input, .. } => (Some(input), None),
        };
        first.into_iter().chain(second)
    }
}

/// One operation and the surface it writes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    #[serde(flatten)]
    pub op: Op,
    /// Size of the surface that is written.
    pub size: Size,
    /// Whether that surface may hold transparent pixels.
    pub alpha: bool,
}

/// What a plan needs of one source, known before a byte of it is read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Demand {
    /// Size of the stored picture, before EXIF orientation.
    pub size: Size,
    /// Least scale at which the picture may be decoded, in (0, 1]; 1 means every pixel.
    pub scale: f64,
    /// The part of the stored picture that is read, in its own pixels, filter support included.
    pub region: Rect,
}
