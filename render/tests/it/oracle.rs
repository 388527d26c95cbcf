//! A naive version of every kernel in f64, written from the formulas: slow, obvious, and sharing no arithmetic with
//! the backends. Resampling sums in two dimensions with weights straight from the Lanczos formula; coverage is counted
//! from 16x16 samples a pixel.

use std::f64::consts::PI;
use tintype_render::frame::Frame;
use tintype_render::plan::bind::{BoundPlan, Kernel};
use tintype_render::plan::geometry::{Orientation, Size};
use tintype_render::plan::step::{Light, Outline, Rgba8};
use tintype_render::plan::weights::Axis;

/// Runs kernel `index` of a plan. `input(i)` is the picture of surface `i`; `axes` are those of a `Resample`.
pub fn kernel<'a>(
    plan: &BoundPlan,
    index: usize,
    axes: Option<(Axis, Axis)>,
    input: impl Fn(usize) -> &'a Frame,
    source: impl Fn(usize) -> &'a Frame,
) -> Frame {
    let size = plan.sizes[index];
    let at = |id: tintype_render::plan::step::SurfaceId| input(usize::from(id.0));
    match plan.kernels[index] {
        Kernel::Load { source: i } => source(i).clone(),
        Kernel::Resample { input, light, .. } => {
            let (horizontal, vertical) = axes.expect("a resampling has axes");
            resample(at(input), &horizontal, &vertical, light)
        }
        Kernel::Extract { input, x, y } => picture(size, |px, py| at(input).pixel(px + x, py + y)),
        Kernel::Orient { input, orientation } => orient(at(input), orientation),
        Kernel::Canvas { input, left, top, fill } => canvas(at(input), size, left, top, fill),
        Kernel::Composite { base, layer, left, top, opacity } => {
            composite(at(base), at(layer), left, top, f64::from(opacity))
        }
        Kernel::Mask { input, outline } => mask(at(input), outline),
        Kernel::Border { input, width, color, outline } => border(at(input), width, color, outline),
        Kernel::Opacity { input, opacity } => {
            let opaque = at(input);
            picture(size, |x, y| {
                let [r, g, b, a] = opaque.pixel(x, y);
                [r, g, b, byte(unit(a) * f64::from(opacity))]
            })
        }
    }
}

fn picture(size: Size, mut pixel: impl FnMut(u32, u32) -> Rgba8) -> Frame {
    let mut pixels = Vec::new();
    for y in 0..size.height {
        for x in 0..size.width {
            pixels.extend_from_slice(&pixel(x, y));
        }
    }
    Frame::new(size, true, pixels).expect("the length fits")
}

fn unit(byte: u8) -> f64 {
    f64::from(byte) / 255.0
}

fn byte(value: f64) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0 + 0.5).floor() as u8
}

/// IEC 61966-2-1, encoded to linear.
pub fn to_linear(v: f64) -> f64 {
    if v < 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
}

/// IEC 61966-2-1, linear to encoded.
pub fn to_encoded(v: f64) -> f64 {
    if v < 0.0031308 { v * 12.92 } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }
}

fn lanczos3(x: f64) -> f64 {
    match x.abs() {
        d if d < 1e-9 => 1.0,
        d if d >= 3.0 => 0.0,
        _ => 3.0 * (PI * x).sin() * (PI * x / 3.0).sin() / (PI * PI * x * x),
    }
}

/// Pixels of the surface and their normalised weights for wanted output pixel `i` of an axis.
fn taps(axis: &Axis, i: u32) -> Vec<(u32, f64)> {
    let ratio = axis.region_length / f64::from(axis.scaled_length);
    let center = axis.region_start + (f64::from(axis.window_start + i) + 0.5) * ratio;
    let region_end = axis.region_start + axis.region_length;
    let mut taps: Vec<(u32, f64)> = (axis.input_start..axis.input_end)
        // A pixel belongs to the region when they overlap by more than rounding noise.
        .filter(|&k| f64::from(k + 1) > axis.region_start + 1e-6 && f64::from(k) < region_end - 1e-6)
        .map(|k| (k - axis.input_start, lanczos3((f64::from(k) + 0.5 - center) / ratio.max(1.0))))
        .filter(|(_, weight)| *weight != 0.0)
        .collect();
    let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
    taps.iter_mut().for_each(|(_, weight)| *weight /= sum);
    taps
}

/// Direct two-dimensional sum.
pub fn resample(input: &Frame, horizontal: &Axis, vertical: &Axis, light: Light) -> Frame {
    let linear = light == Light::Linear;
    let decode = |v: f64| if linear { to_linear(v) } else { v };
    let encode = |v: f64| if linear { to_encoded(v) } else { v };
    let decoded: Vec<f64> = (0..=255).map(|b| decode(unit(b))).collect();
    let columns: Vec<_> = (0..horizontal.window_length).map(|x| taps(horizontal, x)).collect();
    let rows: Vec<_> = (0..vertical.window_length).map(|y| taps(vertical, y)).collect();
    picture(Size::new(horizontal.window_length, vertical.window_length), |x, y| {
        let mut sum = [0.0; 4];
        for &(v, wv) in &rows[y as usize] {
            for &(u, wu) in &columns[x as usize] {
                let [r, g, b, a] = input.pixel(u, v);
                let weight = wv * wu * unit(a);
                for (sum, color) in sum.iter_mut().zip([r, g, b]) {
                    *sum += weight * decoded[usize::from(color)];
                }
                sum[3] += weight;
            }
        }
        let a = sum[3].clamp(0.0, 1.0);
        if byte(a) == 0 {
            return [0; 4];
        }
        let [r, g, b] = [sum[0], sum[1], sum[2]].map(|c| byte(encode(c.clamp(0.0, a) / a)));
        [r, g, b, byte(a)]
    })
}

fn orient(input: &Frame, orientation: Orientation) -> Frame {
    let (mut size, mut rows) = (input.size(), Vec::new());
    for y in 0..size.height {
        let mut row: Vec<Rgba8> = (0..size.width).map(|x| input.pixel(x, y)).collect();
        if orientation.mirror {
            row.reverse();
        }
        rows.push(row);
    }
    for _ in 0..orientation.quarter_turns {
        // Clockwise: the left column, read upwards, becomes the top row.
        rows = (0..size.width as usize).map(|x| rows.iter().rev().map(|row| row[x]).collect()).collect();
        size = size.transposed();
    }
    picture(size, |x, y| rows[y as usize][x as usize])
}

/// Source-over of straight colors on encoded values.
fn over(layer: Rgba8, base: Rgba8, opacity: f64) -> Rgba8 {
    let s = unit(layer[3]) * opacity;
    let below = unit(base[3]) * (1.0 - s);
    let o = s + below;
    if o == 0.0 {
        return [0; 4];
    }
    let color = |i: usize| byte((unit(layer[i]) * s + unit(base[i]) * below) / o);
    [color(0), color(1), color(2), byte(o)]
}

fn composite(base: &Frame, layer: &Frame, left: i32, top: i32, opacity: f64) -> Frame {
    picture(base.size(), |x, y| {
        let (u, v) = (i64::from(x) - i64::from(left), i64::from(y) - i64::from(top));
        let below = base.pixel(x, y);
        let (width, height) = (i64::from(layer.size().width), i64::from(layer.size().height));
        if u < 0 || v < 0 || u >= width || v >= height {
            return below;
        }
        over(layer.pixel(u as u32, v as u32), below, opacity)
    })
}

fn canvas(input: &Frame, size: Size, left: i32, top: i32, fill: Rgba8) -> Frame {
    composite(&Frame::filled(size, fill), input, left, top, 1.0)
}

/// Part of pixel (x, y) that lies inside an outline, from its formula.
///
/// Coverage is defined by distances, not areas; [`sampled_coverage`] is the area that it stands for.
pub fn coverage(outline: Outline, size: Size, x: u32, y: u32) -> f64 {
    let (w, h) = (f64::from(size.width), f64::from(size.height));
    let (px, py) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
    match outline {
        Outline::Corners(radii) => {
            // Distances of the pixel center from the two edges that meet at each corner.
            let corners = [(px, py), (w - px, py), (w - px, h - py), (px, h - py)];
            corners.iter().zip(radii).fold(1.0, |product, (&(u, v), r)| {
                let r = f64::from(r);
                if r <= 0.0 || u > r || v > r {
                    return product;
                }
                let d = ((r - u).powi(2) + (r - v).powi(2)).sqrt() - r;
                product * (0.5 - d).clamp(0.0, 1.0)
            })
        }
        Outline::Ellipse => {
            let (a, b, x, y) = (w / 2.0, h / 2.0, px - w / 2.0, py - h / 2.0);
            let gradient = 2.0 * (x * x / a.powi(4) + y * y / b.powi(4)).sqrt();
            if gradient == 0.0 {
                return 1.0;
            }
            let d = (x * x / (a * a) + y * y / (b * b) - 1.0) / gradient;
            (0.5 - d).clamp(0.0, 1.0)
        }
    }
}

/// Part of pixel (x, y) that lies inside an outline, counted over 16x16 samples.
pub fn sampled_coverage(outline: Outline, size: Size, x: u32, y: u32) -> f64 {
    let (w, h) = (f64::from(size.width), f64::from(size.height));
    let inside = |px: f64, py: f64| match outline {
        Outline::Corners(radii) => {
            let corners = [(px, py), (w - px, py), (w - px, h - py), (px, h - py)];
            corners.iter().zip(radii).all(|(&(u, v), r)| {
                let r = f64::from(r);
                u >= r || v >= r || (r - u).powi(2) + (r - v).powi(2) <= r * r
            })
        }
        Outline::Ellipse => ((px - w / 2.0) / (w / 2.0)).powi(2) + ((py - h / 2.0) / (h / 2.0)).powi(2) <= 1.0,
    };
    let at = |start: u32, i: u32| f64::from(start) + (f64::from(i) + 0.5) / 16.0;
    let hits = (0..256).filter(|i| inside(at(x, i % 16), at(y, i / 16))).count();
    hits as f64 / 256.0
}

fn mask(input: &Frame, outline: Outline) -> Frame {
    picture(input.size(), |x, y| {
        let [r, g, b, a] = input.pixel(x, y);
        [r, g, b, byte(unit(a) * coverage(outline, input.size(), x, y))]
    })
}

fn border(input: &Frame, width: u32, color: Rgba8, outline: Outline) -> Frame {
    let inside = input.size();
    let size = Size::new(inside.width + 2 * width, inside.height + 2 * width);
    let grown = match outline {
        Outline::Corners(radii) => Outline::Corners(radii.map(|r| if r == 0.0 { 0.0 } else { r + width as f32 })),
        Outline::Ellipse => Outline::Ellipse,
    };
    picture(size, |x, y| {
        let within = x >= width && y >= width && x - width < inside.width && y - width < inside.height;
        let (below, inner) = if within {
            (input.pixel(x - width, y - width), coverage(outline, inside, x - width, y - width))
        } else {
            ([0; 4], 0.0)
        };
        let ring = unit(color[3]) * (coverage(grown, size, x, y) - inner).max(0.0);
        let a = unit(below[3]);
        let o = (a + ring).min(1.0);
        if o == 0.0 {
            return [0; 4];
        }
        let mix = |i: usize| byte((unit(below[i]) * a + unit(color[i]) * ring) / o);
        [mix(0), mix(1), mix(2), byte(o)]
    })
}
