//! JPEG files as planes, where our own decoder reads them.

use super::huffman_jpeg::{Coefficients, Header, Scan};
use super::jpeg;
use crate::bands::{Band, Layout, PlaneBands, PlaneLayout};
use crate::error::Result;
use crate::lanes::Instructions;
use crate::limits::Limits;
use crate::plan::bind::Decoded;
use crate::plan::geometry::{Rect, Size};
use crate::plan::step::Demand;
use crate::planes::{Plane, Planes, Subsampling};
use crate::pool;
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
    Ok(open_planes(bytes, demand, limits)?.and_then(PlaneReader::collect))
}

/// The same, to be read from top to bottom. A file that is damaged further down shows it when that is read.
pub fn open_planes<'a>(bytes: &'a [u8], demand: &Demand, limits: &Limits) -> Result<Option<PlaneReader<'a>>> {
    if bytes.len() as u64 > limits.source_bytes {
        return Ok(None);
    }
    let eighths = jpeg::least_eighths(demand);
    let instructions = Instructions::detect();
    let (reader, has_profile) = if let Some(header) = Header::read(bytes) {
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
    Ok(PlaneReader::new(reader, demand, eighths))
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

/// A JPEG that our own decoder reads from top to bottom.
pub struct PlaneReader<'a> {
    reader: Reader<'a>,
    layout: Layout,
    columns: Range<u32>,
    decoded: Decoded,
}

impl<'a> PlaneReader<'a> {
    /// Skips what is above the demanded region.
    fn new(mut reader: Reader<'a>, demand: &Demand, eighths: u32) -> Option<Self> {
        let (across, down) = reader.unit_blocks();
        let subsampling = Subsampling { across, down };
        let full = scaled_size(demand.size, eighths);
        let (columns, rows) = reader.units();
        let units = |from: u32, to: u32, blocks: u32, most: u32| {
            let (reach, side) = (reach(demand), 8 * blocks);
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
        let small = subsampling.apply(window.size());
        let planes = (0..reader.n_components()).map(|component| {
            let (unit_width, unit_rows) = reader.unit_size(component);
            let size = if component == 0 { window.size() } else { small };
            PlaneLayout { size, unit_rows, stride: unit_width * (right - left) as usize }
        });
        let planes = planes.collect();
        for _ in 0..top {
            reader.read_row(0..0, &mut [])?;
        }
        let layout = Layout { size: window.size(), subsampling, planes, n_units: bottom - top };
        let decoded = Decoded { full, window, eighths, subsampling: Some(subsampling) };
        Some(PlaneReader { reader, layout, columns: left..right, decoded })
    }

    /// What of the picture comes.
    pub fn decoded(&self) -> Decoded {
        self.decoded
    }

    /// Reads all of it.
    fn collect(mut self) -> Option<(Planes, Decoded)> {
        let mut samples: Vec<Vec<u8>> = self
            .layout
            .planes
            .iter()
            .map(|plane| pool::take(plane.unit_bytes() * self.layout.n_units as usize))
            .collect();
        let layouts = self.layout.planes.clone();
        for row in 0..self.layout.n_units as usize {
            let parts = samples.iter_mut().zip(&layouts);
            let mut bands: Vec<Band<'_>> = parts
                .map(|(samples, plane)| {
                    let bytes = plane.unit_bytes();
                    Band { samples: &mut samples[row * bytes..(row + 1) * bytes], stride: plane.stride }
                })
                .collect();
            self.read(&mut bands)?;
        }
        let mut planes = samples
            .into_iter()
            .zip(&layouts)
            .map(|(samples, plane)| Plane::new(plane.size, plane.stride, samples).ok());
        let luma = planes.next()??;
        let chroma = match (planes.next(), planes.next()) {
            (Some(blue), Some(red)) => Some([blue?, red?]),
            _ => None,
        };
        Some((Planes::new(luma, chroma, self.layout.subsampling).ok()?, self.decoded))
    }
}

impl PlaneBands for PlaneReader<'_> {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn read(&mut self, bands: &mut [Band<'_>]) -> Option<()> {
        self.reader.read_row(self.columns.clone(), bands)
    }
}

fn scaled_size(size: Size, eighths: u32) -> Size {
    let scaled = |length: u32| (u64::from(length) * u64::from(eighths)).div_ceil(8) as u32;
    Size::new(scaled(size.width), scaled(size.height))
}

/// Source pixels around the region that are read, too.
fn reach(demand: &Demand) -> u32 {
    (REACH / demand.scale).ceil().min(65_536.0) as u32 + 1
}

/// What [`decode_planes`] gives for a demand at most, without looking at the file.
pub(crate) fn predict_planes(demand: &Demand) -> Decoded {
    let eighths = jpeg::least_eighths(demand);
    let full = scaled_size(demand.size, eighths);
    // Units of two blocks are the widest.
    let axis = |from: u32, to: u32, most: u32| {
        let first = (from.saturating_sub(reach(demand)) / 16 * 2 * eighths).min(most.saturating_sub(1));
        (first, to.saturating_add(reach(demand)).div_ceil(16).saturating_mul(2 * eighths).min(most))
    };
    let (left, right) = axis(demand.region.x, demand.region.right(), full.width);
    let (top, bottom) = axis(demand.region.y, demand.region.bottom(), full.height);
    let window = Rect::new(left, top, right - left, bottom - top);
    Decoded { full, window, eighths, subsampling: Some(Subsampling::NONE) }
}
