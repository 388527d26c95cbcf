//! What a small picture tells about the original: a perceptual hash, its colors, how sharp it is.
//!
//! Pure and deterministic. The input is a reduced decode (the longer side at most [`SIDE`] pixels), straight 8-bit sRGB
//! RGBA, so that the cost does not depend on the original.

mod colorblind;
mod motion;

pub use colorblind::ColorblindAccess;
pub use motion::cinemagraph_score;

use crate::frame::Frame;
use std::collections::BTreeMap;
use std::f64::consts::PI;

/// Longest side of the picture that is looked at, in pixels.
pub const SIDE: u32 = 512;
/// Most colors that are told.
const MAX_COLORS: usize = 32;
/// Colors nearer than this, in steps of 255 over the three channels (Euclidean), are taken for one.
const SAME_COLOR: f64 = 36.0;
/// Least share of a named color among the predominant ones, in percent.
const PREDOMINANT_PERCENT: f64 = 5.0;
/// Share of equal neighbors up to which a picture is a photograph, and from which it is drawn.
const FLAT_PHOTOGRAPH: f64 = 1.0 / 3.0;
const FLAT_DRAWING: f64 = 0.9;
/// Side of the picture whose transform is the hash.
const HASH_SIDE: usize = 32;
/// Frequencies of the hash along one side, without the constant one.
const HASH_BITS: usize = 8;

/// The named colors of Google's image search, with a typical sRGB value each.
const GOOGLE: &[(&str, [u8; 3])] = &[
    ("black", [0, 0, 0]),
    ("gray", [128, 128, 128]),
    ("white", [255, 255, 255]),
    ("red", [220, 30, 30]),
    ("orange", [255, 140, 0]),
    ("yellow", [245, 220, 50]),
    ("green", [40, 150, 50]),
    ("teal", [0, 160, 160]),
    ("blue", [40, 80, 200]),
    ("purple", [120, 40, 150]),
    ("pink", [250, 150, 190]),
    ("brown", [115, 70, 35]),
];

/// Finer names, as CSS defines their values (CSS Color Module Level 4, 6.1).
const FINE: &[(&str, [u8; 3])] = &[
    ("black", [0, 0, 0]),
    ("gray", [128, 128, 128]),
    ("lightgray", [211, 211, 211]),
    ("white", [255, 255, 255]),
    ("red", [255, 0, 0]),
    ("darkred", [139, 0, 0]),
    ("orange", [255, 165, 0]),
    ("brown", [165, 42, 42]),
    ("beige", [245, 245, 220]),
    ("yellow", [255, 255, 0]),
    ("olive", [128, 128, 0]),
    ("lime", [0, 255, 0]),
    ("green", [0, 128, 0]),
    ("darkgreen", [0, 100, 0]),
    ("cyan", [0, 255, 255]),
    ("teal", [0, 128, 128]),
    ("lightblue", [173, 216, 230]),
    ("blue", [0, 0, 255]),
    ("darkblue", [0, 0, 139]),
    ("purple", [128, 0, 128]),
    ("magenta", [255, 0, 255]),
    ("pink", [255, 192, 203]),
];

/// A color and its share of the visible pixels, in percent with one decimal.
#[derive(Debug, Clone, PartialEq)]
pub struct ColorShare {
    /// `#1B2C3D`
    pub color: String,
    /// The same in sRGB.
    pub rgb: [u8; 3],
    pub percent: f64,
}

/// A name and its share of the visible pixels, in percent with one decimal.
pub type NamedShare = (&'static str, f64);

/// Everything that is found.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// 64 bits: near pictures differ in few of them.
    pub phash: u64,
    /// At most 32, the largest share first.
    pub colors: Vec<ColorShare>,
    pub google: Vec<NamedShare>,
    pub cloudinary: Vec<NamedShare>,
    /// 0 for a blurred picture, towards 1 for a sharp one.
    pub focus: f64,
    /// No pixel has a visible hue.
    pub grayscale: bool,
    /// At least one in a thousand pixels is neither opaque nor invisible.
    pub semi_transparent: bool,
    /// 0 for a photograph, towards 1 for what was drawn.
    pub illustration: f64,
    /// What the color blind see of it.
    pub colorblind: ColorblindAccess,
}

/// Looks at a reduced picture.
pub fn analyze(frame: &Frame) -> Analysis {
    let clusters = clusters(frame);
    let total: u64 = clusters.iter().map(|cluster| cluster.count).sum();
    let percent = |count: u64| (count as f64 * 1000.0 / total.max(1) as f64).round() / 10.0;
    let colors: Vec<ColorShare> = clusters
        .iter()
        .map(|cluster| {
            let [r, g, b] = cluster.mean();
            ColorShare { color: format!("#{r:02X}{g:02X}{b:02X}"), rgb: [r, g, b], percent: percent(cluster.count) }
        })
        .filter(|share| share.percent > 0.0)
        .collect();
    let named = |names: &'static [(&'static str, [u8; 3])]| {
        let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
        for cluster in &clusters {
            *counts.entry(nearest_name(cluster.mean(), names)).or_default() += cluster.count;
        }
        let mut shares: Vec<NamedShare> =
            counts.into_iter().map(|(index, count)| (names[index].0, percent(count))).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        let first = shares.first().copied();
        shares.retain(|share| share.1 >= PREDOMINANT_PERCENT || Some(*share) == first);
        shares
    };
    Analysis {
        phash: phash(frame),
        google: named(GOOGLE),
        cloudinary: named(FINE),
        illustration: illustration(frame),
        colorblind: colorblind::access(frame, &colors),
        colors,
        focus: focus(frame),
        grayscale: pixels(frame).all(|[r, g, b, a]| a == 0 || r.max(g).max(b) - r.min(g).min(b) <= 4),
        semi_transparent: {
            let partial = pixels(frame).filter(|pixel| (1..255).contains(&pixel[3])).count() as u64;
            partial > 0 && partial * 1000 >= frame.size().pixels()
        },
    }
}

fn pixels(frame: &Frame) -> impl Iterator<Item = [u8; 4]> + '_ {
    frame.pixels().chunks_exact(4).map(|pixel| [pixel[0], pixel[1], pixel[2], pixel[3]])
}

/// Luma (Rec. 601, gamma-encoded, as picture formats use it) over white, 0 to 255.
fn luma([r, g, b, a]: [u8; 4]) -> f64 {
    let luma = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
    let alpha = f64::from(a) / 255.0;
    luma * alpha + 255.0 * (1.0 - alpha)
}

/// The hash of the low frequencies (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010,
/// 3.2.1): the picture as 32 by 32 means of luma, its discrete cosine transform (type II), of which the 8 by 8 lowest
/// frequencies without those that are constant along a side; a bit says whether a coefficient is above their median. The
/// highest bit is the lowest frequency.
pub fn phash(frame: &Frame) -> u64 {
    let small = means(frame);
    // Only the frequencies 1 to 8 of each side are needed.
    let basis: Vec<Vec<f64>> = (1..=HASH_BITS)
        .map(|k| {
            (0..HASH_SIDE).map(|n| (PI / HASH_SIDE as f64 * (n as f64 + 0.5) * k as f64).cos()).collect::<Vec<f64>>()
        })
        .collect();
    let mut rows = vec![[0.0; HASH_BITS]; HASH_SIDE];
    for (row, out) in small.chunks_exact(HASH_SIDE).zip(&mut rows) {
        for (k, basis) in basis.iter().enumerate() {
            out[k] = row.iter().zip(basis).map(|(value, weight)| value * weight).sum();
        }
    }
    let mut coefficients = Vec::with_capacity(HASH_BITS * HASH_BITS);
    for basis in &basis {
        for k in 0..HASH_BITS {
            coefficients.push(rows.iter().zip(basis).map(|(row, weight)| row[k] * weight).sum::<f64>());
        }
    }
    let mut sorted = coefficients.clone();
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[31] + sorted[32]) / 2.0;
    coefficients.iter().fold(0, |hash, value| hash << 1 | u64::from(*value > median))
}

/// Means of luma over a grid of 32 by 32 cells; cells of a picture with fewer pixels share them.
fn means(frame: &Frame) -> Vec<f64> {
    let (width, height) = (frame.size().width as usize, frame.size().height as usize);
    let range = |cell: usize, length: usize| {
        let start = (cell * length / HASH_SIDE).min(length.saturating_sub(1));
        start..((cell + 1) * length / HASH_SIDE).clamp(start + 1, length.max(start + 1))
    };
    let mut means = Vec::with_capacity(HASH_SIDE * HASH_SIDE);
    for cell_y in 0..HASH_SIDE {
        for cell_x in 0..HASH_SIDE {
            let (mut sum, mut count) = (0.0, 0.0);
            for y in range(cell_y, height) {
                for x in range(cell_x, width) {
                    sum += luma(frame.pixel(x as u32, y as u32));
                    count += 1.0;
                }
            }
            means.push(sum / count);
        }
    }
    means
}

/// Sharpness as the variance of the Laplacian of the luma (Pech-Pacheco et al., "Diatom autofocusing in brightfield
/// microscopy", 2000), brought into 0 to 1 as v / (v + 100): at 100 a picture looks neither sharp nor blurred.
fn focus(frame: &Frame) -> f64 {
    let (width, height) = (frame.size().width, frame.size().height);
    if width < 3 || height < 3 {
        return 0.0;
    }
    let luma: Vec<f64> = pixels(frame).map(luma).collect();
    let at = |x: u32, y: u32| luma[y as usize * width as usize + x as usize];
    let (mut sum, mut squares) = (0.0, 0.0);
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            let value = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y);
            sum += value;
            squares += value * value;
        }
    }
    let count = f64::from(width - 2) * f64::from(height - 2);
    let mean = sum / count;
    let variance = (squares / count - mean * mean).max(0.0);
    (variance / (variance + 100.0) * 1e4).round() / 1e4
}

/// How much of a picture is drawn, as the share of its visible neighbors that are equal: areas of one color are drawn, and
/// what a lens sees has noise. From the share of a smooth photograph (a third) to that of a drawing (nine tenths).
fn illustration(frame: &Frame) -> f64 {
    let (width, height) = (frame.size().width, frame.size().height);
    let (mut count, mut equal) = (0_u64, 0_u64);
    for y in 0..height.saturating_sub(1) {
        for x in 0..width.saturating_sub(1) {
            let here = frame.pixel(x, y);
            for there in [frame.pixel(x + 1, y), frame.pixel(x, y + 1)] {
                if here[3] > 0 && there[3] > 0 {
                    count += 1;
                    equal += u64::from(here == there);
                }
            }
        }
    }
    let share = if count == 0 { 0.0 } else { equal as f64 / count as f64 };
    let score = ((share - FLAT_PHOTOGRAPH) / (FLAT_DRAWING - FLAT_PHOTOGRAPH)).clamp(0.0, 1.0);
    (score * 1e4).round() / 1e4
}

/// Pixels of about one color.
#[derive(Debug, Clone, Copy, Default)]
struct Cluster {
    sums: [u64; 3],
    count: u64,
}

impl Cluster {
    fn mean(&self) -> [u8; 3] {
        let count = self.count.max(1);
        self.sums.map(|sum| u8::try_from((sum + count / 2) / count).unwrap_or(u8::MAX))
    }

    fn add(&mut self, other: &Cluster) {
        self.count += other.count;
        self.sums = [0, 1, 2].map(|channel| self.sums[channel] + other.sums[channel]);
    }
}

/// The popularity algorithm (Heckbert, "Color Image Quantization for Frame Buffer Display", 1982) over bins of 5 bits a
/// channel: the fullest bins that are not too near to a fuller one are the colors, and every bin goes to the nearest.
fn clusters(frame: &Frame) -> Vec<Cluster> {
    let mut bins = vec![Cluster::default(); 1 << 15];
    for [r, g, b, a] in pixels(frame) {
        if a >= 128 {
            // Widened before they are shifted: with bytes shifted first, rustc 1.95 writes bitcode for thin LTO that it cannot
            // read again.
            let bin = (usize::from(r) >> 3) << 10 | (usize::from(g) >> 3) << 5 | usize::from(b) >> 3;
            bins[bin].add(&Cluster { sums: [r, g, b].map(u64::from), count: 1 });
        }
    }
    bins.retain(|bin| bin.count > 0);
    // The sort is stable, so that bins of equal size stay in the order of their colors.
    bins.sort_by_key(|bin| std::cmp::Reverse(bin.count));
    let mut seeds: Vec<[u8; 3]> = Vec::new();
    for bin in &bins {
        let mean = bin.mean();
        if seeds.iter().all(|seed| distance(*seed, mean) >= SAME_COLOR) {
            seeds.push(mean);
            if seeds.len() == MAX_COLORS {
                break;
            }
        }
    }
    let mut clusters = vec![Cluster::default(); seeds.len()];
    for bin in &bins {
        let mean = bin.mean();
        let nearest = (0..seeds.len()).min_by(|a, b| distance(seeds[*a], mean).total_cmp(&distance(seeds[*b], mean)));
        if let Some(nearest) = nearest {
            clusters[nearest].add(bin);
        }
    }
    clusters.sort_by_key(|cluster| std::cmp::Reverse(cluster.count));
    clusters
}

fn distance(a: [u8; 3], b: [u8; 3]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(b)).powi(2));
    squares.sum::<f64>().sqrt()
}

/// The name whose color looks nearest: the least Euclidean distance in CIELAB (CIE 1976).
fn nearest_name(color: [u8; 3], names: &[(&str, [u8; 3])]) -> usize {
    let lab = to_lab(to_linear(color));
    let distance = |index: &usize| {
        let other = to_lab(to_linear(names[*index].1));
        lab.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>()
    };
    (0..names.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
}

/// Linear light of an sRGB color (IEC 61966-2-1), 0 to 1.
fn to_linear(color: [u8; 3]) -> [f64; 3] {
    color.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    })
}

/// CIELAB of a color of linear light with sRGB's primaries (D65).
fn to_lab([r, g, b]: [f64; 3]) -> [f64; 3] {
    let x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047;
    let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    let z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883;
    let f = |t: f64| if t > 216.0 / 24389.0 { t.cbrt() } else { (24389.0 / 27.0 * t + 16.0) / 116.0 };
    [116.0 * f(y) - 16.0, 500.0 * (f(x) - f(y)), 200.0 * (f(y) - f(z))]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::geometry::Size;

    fn frame(width: u32, height: u32, color: impl Fn(u32, u32) -> [u8; 4]) -> Frame {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| color(x, y));
        Frame::new(Size::new(width, height), true, pixels.collect()).unwrap()
    }

    /// A smooth picture without symmetry.
    fn waves(width: u32, height: u32, phase: f64) -> Frame {
        frame(width, height, |x, y| {
            let (x, y) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
            let value =
                128.0 + 60.0 * (7.0 * x + 3.0 * y * y + phase).sin() + 50.0 * (11.0 * x * y - 2.0 * phase).cos();
            let value = value as u8;
            [value, value / 2, 255 - value, 255]
        })
    }

    #[test]
    fn hashes_of_one_picture_are_near_and_of_others_far() {
        let hash = phash(&waves(400, 300, 0.0));
        let resized = (hash ^ phash(&waves(123, 77, 0.0))).count_ones();
        assert!(resized <= 4, "{resized} bits for another size");
        let noisy = frame(400, 300, |x, y| {
            let value =
                (128.0 + 60.0 * (7.0 * f64::from(x) / 400.0 + 3.0 * (f64::from(y) / 300.0).powi(2)).sin()) as u8;
            let noise = (x * 31 + y * 17) % 13;
            [value.saturating_add(noise as u8), value, value, 255]
        });
        let smooth = frame(400, 300, |x, y| {
            let value =
                (128.0 + 60.0 * (7.0 * f64::from(x) / 400.0 + 3.0 * (f64::from(y) / 300.0).powi(2)).sin()) as u8;
            [value, value, value, 255]
        });
        let apart = (phash(&smooth) ^ phash(&noisy)).count_ones();
        assert!(apart <= 8, "{apart} bits for noise");
        let other = (hash ^ phash(&waves(400, 300, 2.0))).count_ones();
        assert!(other > 16, "{other} bits for another picture");
        // Pictures smaller than the grid have a hash as well.
        phash(&waves(1, 1, 0.0));
        phash(&waves(3, 40, 0.0));
    }

    #[test]
    fn colors_have_their_shares() {
        let picture = frame(100, 50, |x, _| match x {
            0..60 => [10, 20, 200, 255],
            60..90 => [250, 250, 250, 255],
            _ => [9, 9, 9, 0],
        });
        let found = analyze(&picture);
        let colors: Vec<(&str, f64)> = found.colors.iter().map(|share| (share.color.as_str(), share.percent)).collect();
        assert_eq!(colors, [("#0A14C8", 66.7), ("#FAFAFA", 33.3)], "what is invisible has no color");
        assert_eq!(found.google, [("blue", 66.7), ("white", 33.3)]);
        assert!(!found.grayscale && !found.semi_transparent);
        let gray = analyze(&frame(10, 10, |x, _| [x as u8, x as u8, x as u8, 100]));
        assert!(gray.grayscale && gray.semi_transparent);
        assert!(analyze(&frame(64, 64, |x, y| [x as u8 * 4, y as u8 * 4, 128, 255])).colors.len() <= MAX_COLORS);
    }

    #[test]
    fn the_names_are_those_that_people_use() {
        let google = |color| GOOGLE[nearest_name(color, GOOGLE)].0;
        assert_eq!([google([255, 0, 0]), google([0, 0, 255]), google([90, 60, 30])], ["red", "blue", "brown"]);
        assert_eq!(FINE[nearest_name([170, 210, 235], FINE)].0, "lightblue");
    }

    #[test]
    fn drawings_have_areas_of_one_color() {
        let drawing =
            frame(90, 90, |x, y| if (x / 30 + y / 30) % 2 == 0 { [200, 30, 30, 255] } else { [250, 240, 200, 255] });
        assert_eq!(analyze(&drawing).illustration, 1.0);
        let noisy = frame(90, 90, |x, y| [(x * 31 + y * 17) as u8 % 40, 90, 120, 255]);
        assert_eq!(analyze(&noisy).illustration, 0.0);
        assert_eq!(analyze(&frame(20, 20, |_, _| [0; 4])).illustration, 0.0, "nothing is visible");
    }

    #[test]
    fn red_and_green_are_alike_for_some_and_light_and_dark_for_nobody() {
        // About equally bright without the green cones.
        let (red, green) = ([194, 60, 40, 255], [110, 117, 20, 255]);
        let stripes =
            |a: [u8; 4], b: [u8; 4]| analyze(&frame(64, 64, |x, _| if x / 9 % 2 == 0 { a } else { b })).colorblind;
        let lost = stripes(red, green);
        let pair = lost.most_indistinct_pair.clone().unwrap();
        assert!(pair.contains(&"#C23C28".to_owned()) && pair.contains(&"#6E7514".to_owned()), "{pair:?}");
        assert_eq!((lost.distinct_colors, lost.distinct_edges, lost.score), (0.0, 0.0, 0.0));
        let kept = stripes([20, 20, 20, 255], [240, 240, 240, 255]);
        assert_eq!((kept.distinct_colors, kept.distinct_edges, kept.score), (1.0, 1.0, 1.0));
        let plain = stripes(red, red);
        assert_eq!((plain.most_indistinct_pair, plain.score), (None, 1.0));
    }

    #[test]
    fn cinemagraphs_move_a_little() {
        let moving = |share: u32| -> Vec<Frame> {
            (0..4)
                .map(|n| frame(100, 10, |x, _| if x < share { [n * 60, 0, 0, 255] } else { [90, 90, 90, 255] }))
                .collect()
        };
        assert_eq!(cinemagraph_score(&moving(0)), 0.0);
        assert_eq!(cinemagraph_score(&moving(10)), 0.9);
        assert_eq!(cinemagraph_score(&moving(100)), 0.0);
        assert_eq!(cinemagraph_score(&moving(10)[..1]), 0.0);
        assert_eq!(cinemagraph_score(&[]), 0.0);
    }

    #[test]
    fn sharp_pictures_have_focus() {
        let stripes = |period: u32| {
            let picture = frame(90, 90, |x, _| if x % period < period / 2 { [0, 0, 0, 255] } else { [255; 4] });
            analyze(&picture).focus
        };
        assert!(stripes(4) > 0.95);
        assert!(analyze(&waves(300, 300, 0.0)).focus < 0.2);
        assert_eq!(analyze(&waves(2, 2, 0.0)).focus, 0.0);
    }
}
