//! What stays of a picture for those who see two primary colors in place of three.

use super::{ColorShare, to_lab, to_linear};
use crate::frame::Frame;

/// How two colors of linear light look without one kind of cones: Machado, Oliveira and Fernandes, "A Physiologically-based
/// Model for Simulation of Color Vision Deficiency", 2009, table of severity 1.0; protanopia, deuteranopia, tritanopia.
const SIGHTS: [[[f64; 3]; 3]; 3] = [
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
];
/// Neighbors that differ by this much in CIELAB (CIE 1976) are an edge.
const EDGE: f64 = 20.0;
/// What differs by less is not told apart.
const DISTINCT: f64 = 10.0;
/// Every how many pixels a pair of neighbors is looked at.
const STRIDE: usize = 2;
/// Least share of a color that is compared with others, in percent.
const LEAST_PERCENT: f64 = 1.0;

/// What stays, each from 0 for nothing to 1 for all, in the worst of the three kinds.
#[derive(Debug, Clone, PartialEq)]
pub struct ColorblindAccess {
    /// Share of the edges that are still seen.
    pub distinct_edges: f64,
    /// Share of the pairs of colors that are still told apart.
    pub distinct_colors: f64,
    /// The two colors that come nearest to each other, as `#1B2C3D`; `None` in pictures with fewer than two.
    pub most_indistinct_pair: Option<[String; 2]>,
    /// The mean of the two shares.
    pub score: f64,
}

pub(super) fn access(frame: &Frame, colors: &[ColorShare]) -> ColorblindAccess {
    let distinct_edges = edges(frame);
    let (distinct_colors, most_indistinct_pair) = pairs(colors);
    let round = |share: f64| (share * 1e4).round() / 1e4;
    ColorblindAccess {
        distinct_edges: round(distinct_edges),
        distinct_colors: round(distinct_colors),
        most_indistinct_pair,
        score: round((distinct_edges + distinct_colors) / 2.0),
    }
}

/// CIELAB of a color as it is, and as each kind of sight makes of it.
fn looks(color: [u8; 3]) -> [[f64; 3]; 4] {
    let linear = to_linear(color);
    let seen = |matrix: &[[f64; 3]; 3]| {
        to_lab(
            matrix.map(|row| row.iter().zip(linear).map(|(weight, value)| weight * value).sum::<f64>().clamp(0.0, 1.0)),
        )
    };
    [to_lab(linear), seen(&SIGHTS[0]), seen(&SIGHTS[1]), seen(&SIGHTS[2])]
}

fn apart(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

fn edges(frame: &Frame) -> f64 {
    let (width, height) = (frame.size().width, frame.size().height);
    let (mut count, mut kept) = (0_u64, [0_u64; 3]);
    for y in (0..height.saturating_sub(1)).step_by(STRIDE) {
        for x in (0..width.saturating_sub(1)).step_by(STRIDE) {
            let here = frame.pixel(x, y);
            for there in [frame.pixel(x + 1, y), frame.pixel(x, y + 1)] {
                // Most neighbors are alike, which is told without a power or a root.
                let alike = here.iter().zip(&there).all(|(a, b)| a.abs_diff(*b) < 8);
                if alike || here[3] < 128 || there[3] < 128 {
                    continue;
                }
                let (a, b) = (looks([here[0], here[1], here[2]]), looks([there[0], there[1], there[2]]));
                if apart(&a[0], &b[0]) >= EDGE {
                    count += 1;
                    for (kind, kept) in kept.iter_mut().enumerate() {
                        *kept += u64::from(apart(&a[kind + 1], &b[kind + 1]) >= DISTINCT);
                    }
                }
            }
        }
    }
    let worst = kept.into_iter().min().unwrap_or(0);
    if count == 0 { 1.0 } else { worst as f64 / count as f64 }
}

fn pairs(colors: &[ColorShare]) -> (f64, Option<[String; 2]>) {
    let main: Vec<(&str, [[f64; 3]; 4])> = colors
        .iter()
        .filter(|share| share.percent >= LEAST_PERCENT)
        .map(|share| (share.color.as_str(), looks(share.rgb)))
        .collect();
    let (mut count, mut kept) = (0_u64, [0_u64; 3]);
    let mut nearest: Option<(f64, [String; 2])> = None;
    for (index, (name, a)) in main.iter().enumerate() {
        for (other, b) in &main[index + 1..] {
            if apart(&a[0], &b[0]) < DISTINCT {
                continue;
            }
            count += 1;
            for (kind, kept) in kept.iter_mut().enumerate() {
                let left = apart(&a[kind + 1], &b[kind + 1]);
                *kept += u64::from(left >= DISTINCT);
                if nearest.as_ref().is_none_or(|(least, _)| left < *least) {
                    nearest = Some((left, [(*name).to_owned(), (*other).to_owned()]));
                }
            }
        }
    }
    let worst = kept.into_iter().min().unwrap_or(0);
    let share = if count == 0 { 1.0 } else { worst as f64 / count as f64 };
    (share, nearest.map(|(_, pair)| pair))
}
