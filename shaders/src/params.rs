//! What the host writes for the kernels: one structure for each, equal to its twin in WGSL.
//!
//! Sizes, offsets and types are asserted against reflection when this crate is compiled; see `build.rs`. Places of
//! surfaces are in words of the arena, sizes in pixels; `alpha` is 1 when the output may hold transparent pixels and
//! 0 when every alpha byte of it is to be 255. `width` and `height` are those of the output.

use bytemuck::{Pod, Zeroable};

/// The workgroups of one job: the number of its first, and how many tiles lie across its output. One entry more than
/// there are jobs ends the table.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Tile {
    pub first: u32,
    pub across: u32,
}

/// Corner radii in pixels, or the inscribed ellipse when `ellipse` is 1.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Outline {
    pub ellipse: u32,
    pub top_left: f32,
    pub top_right: f32,
    pub bottom_right: f32,
    pub bottom_left: f32,
}

/// A ring of `ring` pixels around the input.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct BorderJob {
    pub input: u32,
    pub output: u32,
    pub width: u32,
    pub height: u32,
    pub input_width: u32,
    pub input_height: u32,
    pub ring: u32,
    pub color: u32,
    pub inner: Outline,
    pub outer: Outline,
    pub alpha: u32,
}

/// A canvas of the color `fill` with the input over it.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct CanvasJob {
    pub input: u32,
    pub output: u32,
    pub width: u32,
    pub height: u32,
    pub input_width: u32,
    pub input_height: u32,
    pub left: i32,
    pub top: i32,
    pub fill: u32,
    pub alpha: u32,
}

/// `layer` over `base`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct CompositeJob {
    pub base: u32,
    pub layer: u32,
    pub output: u32,
    pub width: u32,
    pub height: u32,
    pub layer_width: u32,
    pub layer_height: u32,
    pub left: i32,
    pub top: i32,
    pub opacity: f32,
    pub alpha: u32,
}

/// A copy of a rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct ExtractJob {
    pub input: u32,
    pub output: u32,
    pub width: u32,
    pub height: u32,
    pub input_width: u32,
    pub left: u32,
    pub top: u32,
    pub alpha: u32,
}

/// Alpha multiplied by the coverage of an outline.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct MaskJob {
    pub input: u32,
    pub output: u32,
    pub width: u32,
    pub height: u32,
    pub outline: Outline,
    pub alpha: u32,
}

/// Alpha multiplied by a number.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct OpacityJob {
    pub input: u32,
    pub output: u32,
    pub width: u32,
    pub height: u32,
    pub opacity: f32,
    pub alpha: u32,
}

/// Mirrors and turns, as the input pixel of the first output pixel and its change along both axes.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct OrientJob {
    pub input: u32,
    pub output: u32,
    pub width: u32,
    pub height: u32,
    pub input_width: u32,
    pub origin_x: i32,
    pub origin_y: i32,
    pub right_x: i32,
    pub right_y: i32,
    pub down_x: i32,
    pub down_y: i32,
    pub alpha: u32,
}

/// Both passes of a resampling. `intermediate` holds four f32 words a pixel, `output_width` by `input_height`; taps and
/// weights are places in words of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct ResampleJob {
    pub input: u32,
    pub intermediate: u32,
    pub output: u32,
    pub input_width: u32,
    pub input_height: u32,
    pub output_width: u32,
    pub output_height: u32,
    pub horizontal_taps: u32,
    pub horizontal_weights: u32,
    pub vertical_taps: u32,
    pub vertical_weights: u32,
    pub linear: u32,
    pub input_alpha: u32,
    pub output_alpha: u32,
}

/// A picture in the form in which it travels. Of `spread`, `rgb`, `row` and `light`, `input`, `cb` and `cr` are bytes of
/// the arena, of all others words; of `pack` and `column`, `width` by `height` groups of four pixels or samples cover
/// `pixels` of them in order. `taps` and `weights` are words of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct WireJob {
    pub input: u32,
    pub cb: u32,
    pub cr: u32,
    pub output: u32,
    pub width: u32,
    pub height: u32,
    pub chroma_width: u32,
    pub chroma_height: u32,
    pub shift_x: u32,
    pub shift_y: u32,
    pub pixels: u32,
    pub stride: u32,
    pub taps: u32,
    pub weights: u32,
    pub chroma_taps: u32,
    pub chroma_weights: u32,
}

/// Names of all structures, sorted, so that a test can see that none was left out of the reflection.
#[cfg(test)]
pub(crate) const NAMES: &[&str] = &[
    "BorderJob",
    "CanvasJob",
    "CompositeJob",
    "ExtractJob",
    "MaskJob",
    "OpacityJob",
    "OrientJob",
    "Outline",
    "ResampleJob",
    "Tile",
    "WireJob",
];
