//! Progressive files: the coefficients come in several scans, first roughly, then bit by bit (T.81, annex G).
//!
//! Only coefficients that the demanded scale has a use for are kept. Of the others it is only noted which are not zero,
//! a bit each, because later scans are written relative to that. A decode at one eighth needs the first coefficients only,
//! whose scans are told from the others' by their headers: the others are not read at all.

use super::bits::Bits;
use super::header::{Frame, ZIGZAG, be16, read_steps, segment};
use super::tables::{Coefficient, DcTable, END_OF_BLOCK, ScanTable};
use super::{Band, Basis, EXTENTS, basis, last_position, transform};
use crate::lanes::{Instructions, Lanes, Portable};
use std::ops::Range;
use std::sync::Arc;

/// Each costs a pass over the whole picture.
const MOST_SCANS: usize = 200;

/// One component of a picture.
struct Component {
    id: u8,
    /// Blocks in a unit.
    across: u32,
    down: u32,
    table: usize,
    /// Blocks that the component itself has, and in a row including those that only fill the units up.
    blocks: (u32, u32),
    stride: usize,
    steps: [f32; 64],
    /// `n_kept` coefficients a block, in stored order.
    coefficients: Vec<i16>,
    /// Which of a block's coefficients are not zero, by stored position.
    nonzero: Vec<u64>,
    /// Whether any scan brought the first coefficients.
    is_there: bool,
}

/// All coefficients of a picture that its scale has a use for.
pub struct Coefficients {
    pub width: u32,
    pub height: u32,
    /// Whether there are blocks of an ICC profile.
    pub has_profile: bool,
    components: Vec<Component>,
    eighths: u32,
    n_kept: usize,
    basis: Basis,
    instructions: Instructions,
    row: u32,
}

/// Which coefficients a scan brings, and which of their bits.
struct Selection {
    first: u32,
    last: u32,
    /// Bit that was the lowest before; 0 where this is the first scan of these coefficients.
    before: u32,
    low: u32,
}

impl Coefficients {
    /// Reads all scans. `eighths` chooses the scale, 1 to 8, once width and height are known, or refuses them.
    ///
    /// `None` for everything that is left to the other decoder.
    pub fn read(
        bytes: &[u8],
        instructions: Instructions,
        eighths: impl FnOnce(u32, u32) -> Option<u32>,
    ) -> Option<Coefficients> {
        let mut rest = bytes.strip_prefix(&[0xFF, 0xD8])?;
        let mut steps: [Option<[f32; 64]>; 4] = [None; 4];
        let mut dc: [Option<Arc<DcTable>>; 4] = Default::default();
        let mut ac: [Option<ScanTable>; 4] = Default::default();
        let mut picture: Option<Coefficients> = None;
        let mut eighths = Some(eighths);
        let (mut interval, mut has_profile, mut n_scans) = (0, false, 0);
        loop {
            if rest.starts_with(&[0xFF, 0xD9]) {
                let picture = picture?;
                return picture.components.iter().all(|component| component.is_there).then_some(picture);
            }
            let (marker, segment, after) = segment(rest)?;
            rest = after;
            match marker {
                // What comes in between scans would change what was read.
                0xDB if n_scans == 0 => read_steps(segment, &mut steps)?,
                0xC4 => read_tables(segment, &mut dc, &mut ac)?,
                0xC2 if picture.is_none() => {
                    let frame = Frame::read(segment)?;
                    let eighths = eighths.take()?(frame.width, frame.height)?;
                    picture = Some(Coefficients::new(&frame, eighths, instructions));
                }
                0xC0..=0xCF => return None,
                0xDD => interval = u32::from(be16(segment)?),
                0xEE if segment.starts_with(b"Adobe") && segment.get(11) == Some(&0) => return None,
                0xE2 => has_profile |= segment.starts_with(b"ICC_PROFILE\0"),
                0xDA => {
                    let picture = picture.as_mut()?;
                    n_scans += 1;
                    if n_scans > MOST_SCANS {
                        return None;
                    }
                    if n_scans == 1 {
                        picture.has_profile = has_profile;
                        for component in &mut picture.components {
                            component.steps = (*steps.get(component.table)?)?;
                        }
                    }
                    let length = coded_length(rest);
                    let (coded, behind) = rest.split_at_checked(length)?;
                    picture.scan(segment, coded, interval, &dc, &ac)?;
                    rest = behind;
                }
                0xE0..=0xEF | 0xFE => {}
                _ => return None,
            }
        }
    }

    fn new(frame: &Frame, eighths: u32, instructions: Instructions) -> Coefficients {
        let (most_across, most_down) =
            frame.components.first().map_or((1, 1), |component| (u32::from(component[1]), u32::from(component[2])));
        let units = (frame.width.div_ceil(8 * most_across), frame.height.div_ceil(8 * most_down));
        let n_kept = last_position(eighths) as usize + 1;
        let component = |&[id, across, down, table]: &[u8; 4]| {
            let (across, down) = (u32::from(across), u32::from(down));
            let samples = |length: u32, own: u32, most: u32| (length * own).div_ceil(most);
            let blocks = (
                samples(frame.width, across, most_across).div_ceil(8),
                samples(frame.height, down, most_down).div_ceil(8),
            );
            let stride = (units.0 * across) as usize;
            let n_blocks = stride * (units.1 * down) as usize;
            Component {
                id,
                across,
                down,
                table: table.into(),
                blocks,
                stride,
                steps: [0.0; 64],
                coefficients: vec![0; n_blocks * n_kept],
                nonzero: if n_kept > 1 { vec![0; n_blocks] } else { Vec::new() },
                is_there: false,
            }
        };
        Coefficients {
            width: frame.width,
            height: frame.height,
            has_profile: false,
            components: frame.components.iter().map(component).collect(),
            eighths,
            n_kept,
            basis: basis(eighths as usize),
            instructions,
            row: 0,
        }
    }

    /// One scan.
    fn scan(
        &mut self,
        segment: &[u8],
        coded: &[u8],
        interval: u32,
        dc: &[Option<Arc<DcTable>>; 4],
        ac: &[Option<ScanTable>; 4],
    ) -> Option<()> {
        let (count, rest) = segment.split_first()?;
        let (pairs, &[first, last, bits]) = rest.split_at_checked(2 * usize::from(*count))? else { return None };
        let pairs = pairs.as_chunks::<2>().0;
        let selection = Selection {
            first: first.into(),
            last: last.into(),
            before: u32::from(bits >> 4),
            low: u32::from(bits & 15),
        };
        let known = selection.low <= 13 && (selection.before == 0 || selection.before == selection.low + 1);
        if !known || selection.first > selection.last || selection.last > 63 {
            return None;
        }
        let chosen: Vec<(usize, u8)> = pairs
            .iter()
            .map(|&[id, tables]| Some((self.components.iter().position(|component| component.id == id)?, tables)))
            .collect::<Option<_>>()?;
        if selection.first == 0 {
            return if selection.last == 0 { self.first_scan(&chosen, coded, interval, &selection, dc) } else { None };
        }
        let &[(index, tables)] = chosen.as_slice() else { return None };
        if self.n_kept == 1 {
            return Some(());
        }
        let table = ac.get(usize::from(tables & 15))?.as_ref()?;
        let n_kept = self.n_kept;
        let component = self.components.get_mut(index)?;
        match self.instructions {
            Instructions::Portable => component.other_scan(coded, interval, &selection, table, n_kept),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Instructions::Avx2` is only made where the processor has these features.
            Instructions::Avx2 => unsafe { component.other_scan_avx2(coded, interval, &selection, table, n_kept) },
        }
    }

    /// A scan of first coefficients, of one component or of several in units.
    fn first_scan(
        &mut self,
        chosen: &[(usize, u8)],
        coded: &[u8],
        interval: u32,
        selection: &Selection,
        dc: &[Option<Arc<DcTable>>; 4],
    ) -> Option<()> {
        let mut bits = Bits::new(coded);
        let mut restarts = Restarts::new(interval);
        let mut predictions = [0_i32; 3];
        let n_kept = self.n_kept;
        let tables: Vec<Option<&DcTable>> =
            chosen.iter().map(|(_, tables)| dc.get(usize::from(tables >> 4)).and_then(Option::as_deref)).collect();
        let units = match chosen {
            // A single component is stored block by block, whatever its units are.
            [(index, _)] => self.components.get(*index)?.blocks,
            _ => (self.components.first()?.stride as u32 / self.components.first()?.across, self.unit_rows()),
        };
        for unit_row in 0..units.1 {
            for unit in 0..units.0 {
                if restarts.due(&mut bits)? {
                    predictions = [0; 3];
                }
                bits.prepare();
                for (&(index, _), table) in chosen.iter().zip(&tables) {
                    let component = self.components.get_mut(index)?;
                    let (across, down) = if chosen.len() == 1 { (1, 1) } else { (component.across, component.down) };
                    for block in 0..across * down {
                        let (x, y) = (unit * across + block % across, unit_row * down + block / across);
                        let at = (y as usize * component.stride + x as usize) * n_kept;
                        let value = component.coefficients.get_mut(at)?;
                        if selection.before == 0 {
                            let prediction = predictions.get_mut(index)?;
                            *prediction = prediction.wrapping_add(bits.difference((*table)?)?);
                            *value = (*prediction << selection.low) as i16;
                        } else {
                            *value |= (bits.take(1) as i16) << selection.low;
                        }
                    }
                }
                if bits.is_overrun() {
                    return None;
                }
            }
        }
        for &(index, _) in chosen {
            self.components.get_mut(index)?.is_there = true;
        }
        Some(())
    }

    fn unit_rows(&self) -> u32 {
        let most = self.components.first().map_or(1, |component| component.down);
        self.height.div_ceil(8 * most)
    }

    /// Units across and down.
    pub fn units(&self) -> (u32, u32) {
        let across = self.components.first().map_or(1, |component| component.across);
        (self.width.div_ceil(8 * across), self.unit_rows())
    }

    pub fn n_components(&self) -> usize {
        self.components.len()
    }

    /// Blocks of luma in a unit.
    pub fn unit_blocks(&self) -> (u32, u32) {
        self.components.first().map_or((1, 1), |component| (component.across, component.down))
    }

    /// Samples of a component across and down in a unit, at its scale.
    pub fn unit_size(&self, component: usize) -> (usize, usize) {
        self.components.get(component).map_or((0, 0), |component| {
            ((component.across * self.eighths) as usize, (component.down * self.eighths) as usize)
        })
    }

    /// Transforms the next row of units, like [`super::Scan::read_row`].
    pub fn read_row(&mut self, columns: Range<u32>, bands: &mut [Band<'_>]) -> Option<()> {
        let row = self.row;
        if row >= self.unit_rows() {
            return None;
        }
        self.row += 1;
        match self.instructions {
            Instructions::Portable => self.transform_row::<Portable>(row, columns, bands),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Instructions::Avx2` is only made where the processor has these features.
            Instructions::Avx2 => unsafe { self.transform_row_avx2(row, columns, bands) },
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,bmi1,bmi2")]
    fn transform_row_avx2(&self, row: u32, columns: Range<u32>, bands: &mut [Band<'_>]) -> Option<()> {
        self.transform_row::<crate::lanes::Avx2>(row, columns, bands)
    }

    #[inline(always)]
    fn transform_row<V: Lanes>(&self, row: u32, columns: Range<u32>, bands: &mut [Band<'_>]) -> Option<()> {
        let n = self.eighths as usize;
        for (component, band) in self.components.iter().zip(bands) {
            let blocks = (columns.start * component.across) as usize..(columns.end * component.across) as usize;
            for down in 0..component.down as usize {
                let line = (row as usize * component.down as usize + down) * component.stride;
                for (left, block) in blocks.clone().enumerate() {
                    let at = line + block;
                    let kept = component.coefficients.get(at * self.n_kept..(at + 1) * self.n_kept)?;
                    let first = f32::from(kept[0]) * component.steps[0];
                    let mut values = [[0.0; 8]; 8];
                    values[0][0] = first;
                    let mut last = 0;
                    let mut left_over =
                        component.nonzero.get(at).copied().unwrap_or(0) & (u64::MAX >> (64 - self.n_kept));
                    while left_over != 0 {
                        last = left_over.trailing_zeros() as usize & 63;
                        left_over &= left_over - 1;
                        let place = usize::from(ZIGZAG[last] & 63);
                        values[place / 8][place % 8] =
                            f32::from(kept.get(last).copied().unwrap_or(0)) * component.steps[last];
                    }
                    let out = band.samples.get_mut(down * n * band.stride + left * n..)?;
                    let (rows, columns) = EXTENTS[last];
                    let extent = (usize::from(rows), usize::from(columns));
                    transform::<V>(n, &values, first, extent, last == 0, &self.basis, out, band.stride);
                }
            }
        }
        Some(())
    }
}

impl Component {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,bmi1,bmi2,popcnt")]
    fn other_scan_avx2(
        &mut self,
        coded: &[u8],
        interval: u32,
        selection: &Selection,
        table: &ScanTable,
        n_kept: usize,
    ) -> Option<()> {
        self.other_scan(coded, interval, selection, table, n_kept)
    }

    /// A scan of coefficients other than the first.
    #[inline(always)]
    fn other_scan(
        &mut self,
        coded: &[u8],
        interval: u32,
        selection: &Selection,
        table: &ScanTable,
        n_kept: usize,
    ) -> Option<()> {
        let mut bits = Bits::new(coded);
        let mut restarts = Restarts::new(interval);
        let mut ended = 0_u32;
        for y in 0..self.blocks.1 as usize {
            for x in 0..self.blocks.0 as usize {
                if restarts.due(&mut bits)? {
                    ended = 0;
                }
                let at = y * self.stride + x;
                let nonzero = self.nonzero.get_mut(at)?;
                let kept = self.coefficients.get_mut(at * n_kept..(at + 1) * n_kept)?;
                bits.prepare();
                if selection.before == 0 {
                    begin(&mut bits, selection, table, kept, nonzero, &mut ended)?;
                } else {
                    refine(&mut bits, selection, table, kept, nonzero, &mut ended)?;
                }
                if bits.is_overrun() {
                    return None;
                }
            }
        }
        Some(())
    }
}

/// The first bits of one block's coefficients.
#[inline(always)]
fn begin(
    bits: &mut Bits<'_>,
    selection: &Selection,
    table: &ScanTable,
    kept: &mut [i16],
    nonzero: &mut u64,
    ended: &mut u32,
) -> Option<()> {
    if *ended > 0 {
        *ended -= 1;
        return Some(());
    }
    let mut position = selection.first;
    while position <= selection.last {
        let Coefficient { value, advance, .. } = bits.of_scan(table)?;
        if advance == END_OF_BLOCK {
            *ended = value as u32 - 1;
            return Some(());
        }
        position += advance - 1;
        if position > selection.last {
            return None;
        }
        if value != 0 {
            *nonzero |= 1 << position;
            if let Some(kept) = kept.get_mut(position as usize) {
                *kept = (value << selection.low) as i16;
            }
        }
        position += 1;
    }
    Some(())
}

/// One more bit of one block's coefficients: those that are not zero have theirs in between the others' symbols.
#[inline(always)]
fn refine(
    bits: &mut Bits<'_>,
    selection: &Selection,
    table: &ScanTable,
    kept: &mut [i16],
    nonzero: &mut u64,
    ended: &mut u32,
) -> Option<()> {
    let end = u64::MAX >> (63 - selection.last);
    let mut position = selection.first;
    if *ended == 0 {
        while position <= selection.last {
            let Coefficient { value, advance, .. } = bits.of_scan(table)?;
            if advance == END_OF_BLOCK {
                *ended = value as u32;
                break;
            }
            // So many positions that are still zero are passed, and the next one is meant.
            let rest = end & (u64::MAX << position);
            let mut zeros = !*nonzero & rest;
            for _ in 1..advance {
                zeros &= zeros.wrapping_sub(1);
            }
            if zeros == 0 || !(-1..=1).contains(&value) {
                return None;
            }
            let place = zeros.trailing_zeros();
            correct(bits, *nonzero & rest & !(u64::MAX << place), selection.low, kept);
            if value != 0 {
                *nonzero |= 1 << place;
                if let Some(kept) = kept.get_mut(place as usize) {
                    *kept = (value << selection.low) as i16;
                }
            }
            position = place + 1;
        }
    }
    if *ended > 0 {
        *ended -= 1;
        if position <= 63 {
            correct(bits, *nonzero & end & (u64::MAX << position), selection.low, kept);
        }
    }
    Some(())
}

/// Reads a bit for every position, in order, and adds it to the coefficient's magnitude.
#[inline(always)]
fn correct(bits: &mut Bits<'_>, mut positions: u64, low: u32, kept: &mut [i16]) {
    let mut count = positions.count_ones();
    while count > 0 {
        let step = count.min(32);
        let read = bits.take(step) << (64 - step);
        count -= step;
        let mut left = read;
        for _ in 0..step {
            let position = positions.trailing_zeros() as usize;
            positions &= positions.wrapping_sub(1);
            if position >= kept.len() {
                // Nor is any of those behind it kept.
                while count > 0 {
                    let step = count.min(32);
                    bits.take(step);
                    count -= step;
                }
                return;
            }
            if left >> 63 != 0 {
                let value = &mut kept[position];
                *value = value.wrapping_add(if *value < 0 { -1 << low } else { 1 << low });
            }
            left <<= 1;
        }
    }
}

/// Where restart markers are due.
struct Restarts {
    interval: u32,
    until: u32,
    number: u32,
}

impl Restarts {
    fn new(interval: u32) -> Self {
        Restarts { interval, until: interval, number: 0 }
    }

    /// To be called before every unit: reads a marker where one is due, and says so. `None` when it is not there.
    #[inline(always)]
    fn due(&mut self, bits: &mut Bits<'_>) -> Option<bool> {
        if self.interval == 0 {
            return Some(false);
        }
        let due = self.until == 0;
        if due {
            if !bits.restart(self.number) {
                return None;
            }
            self.number = self.number.wrapping_add(1);
            self.until = self.interval;
        }
        self.until -= 1;
        Some(due)
    }
}

/// Bytes up to the next marker that is no restart marker.
fn coded_length(bytes: &[u8]) -> usize {
    for at in memchr::memchr_iter(0xFF, bytes) {
        match bytes.get(at + 1) {
            // Stuffed, filled up, or a restart.
            Some(0 | 0xFF | 0xD0..=0xD7) => {}
            _ => return at,
        }
    }
    bytes.len()
}

fn read_tables(mut segment: &[u8], dc: &mut [Option<Arc<DcTable>>; 4], ac: &mut [Option<ScanTable>; 4]) -> Option<()> {
    while let Some((kind, rest)) = segment.split_first() {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
        let (symbols, rest) = rest.split_at_checked(total)?;
        let slot = usize::from(kind & 15);
        match kind >> 4 {
            0 => *dc.get_mut(slot)? = Some(DcTable::shared(counts, symbols)?),
            1 => *ac.get_mut(slot)? = Some(ScanTable::new(counts, symbols)?),
            _ => return None,
        }
        segment = rest;
    }
    Some(())
}
