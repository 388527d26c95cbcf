//! Our own decoder of the commonest JPEGs: Huffman-coded, sequential in one scan or progressive, grey or YCbCr.
//!
//! It is quick where others are not: coefficients that the demanded scale has no use for are read over several at a time,
//! blocks outside of the demanded region are not transformed, any scale N/8 costs less than a larger one, and the
//! components stay planes. Whatever is unusual or damaged is left to the other decoder, so that there is one
//! opinion only on what is an error.

mod bits;
mod header;
mod inverse;
mod progressive;
mod tables;

pub use header::Header;
pub use progressive::Coefficients;

use crate::bands::Band;
use crate::lanes::{Instructions, Lanes, Portable};
use bits::Bits;
pub(super) use header::ZIGZAG;
use inverse::{Basis, basis, flat, inverse};
use std::ops::Range;

/// Reads a scan from top to bottom, one row of units at a time.
pub struct Scan<'a> {
    header: Header<'a>,
    bits: Bits<'a>,
    instructions: Instructions,
    /// Scale of luma and of chroma, in eighths.
    eighths: [u32; 2],
    bases: [Basis; 2],
    /// Last stored position that a scale has a use for.
    last: [u32; 2],
    predictions: [i32; 3],
    /// Units until a restart marker, and how many were seen.
    until_restart: u32,
    restarts: u32,
    row: u32,
}

/// Rows and columns of coefficients that are in use when stored position `i` is the last.
const EXTENTS: [(u8, u8); 64] = {
    let mut extents = [(1, 1); 64];
    let (mut rows, mut columns) = (1, 1);
    let mut i = 0;
    while i < 64 {
        let (row, column) = (ZIGZAG[i] / 8 + 1, ZIGZAG[i] % 8 + 1);
        if row > rows {
            rows = row;
        }
        if column > columns {
            columns = column;
        }
        extents[i] = (rows, columns);
        i += 1;
    }
    extents
};

/// The last stored position inside of the lowest `n` by `n` coefficients.
fn last_position(n: u32) -> u32 {
    let inside = |at: &u8| u32::from(at / 8) < n && u32::from(at % 8) < n;
    ZIGZAG.iter().rposition(inside).unwrap_or(0) as u32
}

impl<'a> Scan<'a> {
    /// `luma` and `chroma` are scales in eighths, 1 to 8.
    pub fn new(header: Header<'a>, luma: u32, chroma: u32, instructions: Instructions) -> Self {
        let eighths = [luma.clamp(1, 8), chroma.clamp(1, 8)];
        let bits = Bits::new(header.coded);
        let until_restart = header.restart_interval;
        Scan {
            bits,
            instructions,
            eighths,
            bases: eighths.map(|n| basis(n as usize)),
            last: eighths.map(last_position),
            predictions: [0; 3],
            until_restart,
            restarts: 0,
            row: 0,
            header,
        }
    }

    pub fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// Units across and down.
    pub fn units(&self) -> (u32, u32) {
        self.header.units()
    }

    /// Samples of a component across and down in a unit, at its scale.
    pub fn unit_size(&self, component: usize) -> (usize, usize) {
        let eighths = self.eighths[component.min(1)];
        self.header
            .components
            .get(component)
            .map_or((0, 0), |component| ((component.across * eighths) as usize, (component.down * eighths) as usize))
    }

    /// Reads the next row of units. Those of `columns` are written to `bands`, one for every component, from the left;
    /// without bands nothing is transformed. `None` when the data is not as it should be, or when there are no more rows.
    pub fn read_row(&mut self, columns: Range<u32>, bands: &mut [Band<'_>]) -> Option<()> {
        match self.instructions {
            Instructions::Portable => self.row::<Portable>(columns, bands),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Instructions::Avx2` is only made where the processor has these features.
            Instructions::Avx2 => unsafe { self.row_avx2(columns, bands) },
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,bmi1,bmi2")]
    fn row_avx2(&mut self, columns: Range<u32>, bands: &mut [Band<'_>]) -> Option<()> {
        self.row::<crate::lanes::Avx2>(columns, bands)
    }

    #[inline(always)]
    fn row<V: Lanes>(&mut self, columns: Range<u32>, bands: &mut [Band<'_>]) -> Option<()> {
        let (across, down) = self.units();
        if self.row >= down {
            return None;
        }
        for unit in 0..across {
            if self.header.restart_interval > 0 {
                if self.until_restart == 0 {
                    self.restart()?;
                }
                self.until_restart -= 1;
            }
            self.bits.prepare();
            if columns.contains(&unit) && !bands.is_empty() {
                self.unit::<V>((unit - columns.start) as usize, bands)?;
            } else {
                self.pass_unit()?;
            }
            if self.bits.is_overrun() {
                return None;
            }
        }
        self.row += 1;
        Some(())
    }

    #[cold]
    fn restart(&mut self) -> Option<()> {
        let found = self.bits.restart(self.restarts);
        self.restarts += 1;
        self.until_restart = self.header.restart_interval;
        self.predictions = [0; 3];
        found.then_some(())
    }

    /// Reads a unit that nobody needs.
    #[inline(always)]
    fn pass_unit(&mut self) -> Option<()> {
        for (component, prediction) in self.header.components.iter().zip(&mut self.predictions) {
            for _ in 0..component.across * component.down {
                *prediction = prediction.wrapping_add(self.bits.difference(&component.dc)?);
                self.bits.skip(&component.ac, 0)?;
            }
        }
        Some(())
    }

    #[inline(always)]
    fn unit<V: Lanes>(&mut self, column: usize, bands: &mut [Band<'_>]) -> Option<()> {
        let parts = self.header.components.iter().zip(&mut self.predictions).zip(bands);
        for (index, ((component, prediction), band)) in parts.enumerate() {
            let kind = index.min(1);
            let n = self.eighths[kind] as usize;
            for down in 0..component.down as usize {
                for across in 0..component.across as usize {
                    *prediction = prediction.wrapping_add(self.bits.difference(&component.dc)?);
                    let mut block = [[0.0; 8]; 8];
                    let first = *prediction as f32 * component.steps[0];
                    block[0][0] = first;
                    let flatly = block.as_flattened_mut();
                    let put = |at: usize, value| flatly[usize::from(ZIGZAG[at] & 63)] = value;
                    let reached = self.bits.coefficients(&component.ac, &component.steps, self.last[kind], put)?;
                    let left = (column * component.across as usize + across) * n;
                    let out = band.samples.get_mut(down * n * band.stride + left..)?;
                    let (rows, columns) = EXTENTS[reached as usize & 63];
                    let extent = (usize::from(rows), usize::from(columns));
                    transform::<V>(n, &block, first, extent, reached == 0, &self.bases[kind], out, band.stride);
                }
            }
        }
        Some(())
    }
}

#[inline(always)]
fn transform<V: Lanes>(
    n: usize,
    block: &[[f32; 8]; 8],
    first: f32,
    (rows, columns): (usize, usize),
    is_flat: bool,
    basis: &Basis,
    out: &mut [u8],
    stride: usize,
) {
    macro_rules! sized {
        ($($n:literal)*) => {
            match n {
                $($n if is_flat => flat::<$n>(first, out, stride),
                $n => inverse::<V, $n>(block, rows, columns, basis, out, stride),)*
                _ => {}
            }
        };
    }
    sized!(1 2 3 4 5 6 7 8)
}
