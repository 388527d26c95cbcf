//! JPEG files as planes, where our own decoder reads them.

use super::huffman_jpeg::{Band, Coefficients, Header, Scan};
use super::jpeg;
use crate::error::Result;
use crate::lanes::Instructions;
use crate::limits::Limits;
use crate::plan::bind::Decoded;
use crate::plan::geometry::{Rect, Size};
use crate::plan::step::Demand;
use crate::planes::{Plane, Planes, Subsampling};
use std::ops::Range;

/// Source pixels that a filter reaches beyond the region for every output pixel's width, with chroma at half: three lobes,
/// twice as wide, and a decode at up to twice the output's scale.
pub(crate) const REACH: f64 = 12.0;

/// Reads what is demanded as planes. `None` when the file is no JPEG, or one that is better read as pixels: arithmetic
/// coding, several sequential scans, other colors than grey, YCbCr and sRGB, or damaged. Reading it as pixels then says
/// what is wrong.
///
/// Errors: limits.
pub fn decode_planes(bytes: &[u8], demand: &Demand, limits: &Limits) -> Result<Option<(Planes, Decoded)>> {
    if bytes.len() as u64 > limits.source_bytes {
        return Ok(None);
    }
    let eighths = jpeg::least_eighths(demand);
    let instructions = Instructions::detect();
    let (mut reader, has_profile) = if let Some(header) = Header::read(bytes) {
        let stored = Size::new(header.width, header.height);
        limits.check_source(stored)?;
        if stored != demand.size {
            return Ok(None);
        }
        let has_profile = header.has_profile;
        (Reader::Sequential(Box::new(Scan::new(header, eighths, eighths, instructions))), has_profile)
    } else {
        let mut checked = Ok(());
        let choose = |width, height| {
            let stored = Size::new(width, height);
            checked = limits.check_source(stored);
            (checked.is_ok() && stored == demand.size).then_some(eighths)
        };
        let coefficients = Coefficients::read(bytes, instructions, choose);
        checked?;
        let Some(coefficients) = coefficients else { return Ok(None) };
        let has_profile = coefficients.has_profile;
        (Reader::Progressive(Box::new(coefficients)), has_profile)
    };
    if has_profile && jpeg::has_other_colors(bytes, limits)? {
        return Ok(None);
    }
    Ok(read(&mut reader, demand, eighths))
}

/// Whether our own decoder reads the file to its end.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let instructions = Instructions::detect();
    if let Some(header) = Header::read(bytes) {
        let mut scan = Scan::new(header, 1, 1, instructions);
        return (0..scan.units().1).all(|_| scan.read_row(0..0, &mut []).is_some());
    }
    // At two eighths every scan is read.
    Coefficients::read(bytes, instructions, |_, _| Some(2)).is_some()
}

/// Both kinds of files.
enum Reader<'a> {
    Sequential(Box<Scan<'a>>),
    Progressive(Box<Coefficients>),
}

impl Reader<'_> {
    fn unit_blocks(&self) -> (u32, u32) {
        match self {
            Reader::Sequential(scan) => scan.header().unit_blocks(),
            Reader::Progressive(coefficients) => coefficients.unit_blocks(),
        }
    }

    fn n_components(&self) -> usize {
        match self {
            Reader::Sequential(scan) => scan.header().n_components(),
            Reader::Progressive(coefficients) => coefficients.n_components(),
        }
    }

    fn units(&self) -> (u32, u32) {
        match self {
            Reader::Sequential(scan) => scan.units(),
            Reader::Progressive(coefficients) => coefficients.units(),
        }
    }

    fn unit_size(&self, component: usize) -> (usize, usize) {
        match self {
            Reader::Sequential(scan) => scan.unit_size(component),
            Reader::Progressive(coefficients) => coefficients.unit_size(component),
        }
    }

    fn read_row(&mut self, columns: Range<u32>, bands: &mut [Band<'_>]) -> Option<()> {
        match self {
            Reader::Sequential(scan) => scan.read_row(columns, bands),
            Reader::Progressive(coefficients) => coefficients.read_row(columns, bands),
        }
    }
}

fn read(scan: &mut Reader<'_>, demand: &Demand, eighths: u32) -> Option<(Planes, Decoded)> {
    let (across, down) = scan.unit_blocks();
    let n_components = scan.n_components();
    let subsampling = Subsampling { across, down };
    let scaled = |length: u32| (u64::from(length) * u64::from(eighths)).div_ceil(8) as u32;
    let full = Size::new(scaled(demand.size.width), scaled(demand.size.height));
    let (columns, rows) = (scan.units().0, scan.units().1);
    let reach = (REACH / demand.scale).ceil().min(65_536.0) as u32 + 1;
    let units = |from: u32, to: u32, blocks: u32, most: u32| {
        let side = 8 * blocks;
        (from.saturating_sub(reach) / side, to.saturating_add(reach).div_ceil(side).min(most))
    };
    let region = demand.region;
    let (left, right) = units(region.x, region.right(), across, columns);
    let (top, bottom) = units(region.y, region.bottom(), down, rows);
    // Luma samples in a unit.
    let (unit_width, unit_height) = (across * eighths, down * eighths);
    let end = Size::new((right * unit_width).min(full.width), (bottom * unit_height).min(full.height));
    let window = Rect::new(
        left * unit_width,
        top * unit_height,
        end.width.checked_sub(left * unit_width)?,
        end.height.checked_sub(top * unit_height)?,
    );
    let sizes: Vec<(usize, usize)> = (0..n_components).map(|component| scan.unit_size(component)).collect();
    let strides: Vec<usize> = sizes.iter().map(|(width, _)| width * (right - left) as usize).collect();
    let mut samples: Vec<Vec<u8>> = sizes
        .iter()
        .zip(&strides)
        .map(|((_, height), stride)| vec![0; height * stride * (bottom - top) as usize])
        .collect();
    for _ in 0..top {
        scan.read_row(0..0, &mut [])?;
    }
    for row in 0..(bottom - top) as usize {
        let mut bands: Vec<Band<'_>> = samples
            .iter_mut()
            .zip(sizes.iter().zip(&strides))
            .map(|(samples, ((_, height), stride))| Band {
                samples: &mut samples[row * height * stride..(row + 1) * height * stride],
                stride: *stride,
            })
            .collect();
        scan.read_row(left..right, &mut bands)?;
    }
    let small = subsampling.apply(window.size());
    let mut planes = samples.into_iter().zip(&strides).enumerate().map(|(component, (samples, stride))| {
        Plane::new(if component == 0 { window.size() } else { small }, *stride, samples).ok()
    });
    let luma = planes.next()??;
    let chroma = match (planes.next(), planes.next()) {
        (Some(blue), Some(red)) => Some([blue?, red?]),
        _ => None,
    };
    let planes = Planes::new(luma, chroma, subsampling).ok()?;
    Some((planes, Decoded { full, window, eighths, subsampling: Some(subsampling) }))
}
