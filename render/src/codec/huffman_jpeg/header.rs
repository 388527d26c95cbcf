//! The segments in front of the entropy-coded data.

use super::tables::{AcTable, DcTable};
use std::sync::Arc;

/// Row and column of every coefficient in the order in which they are stored, as `row * 8 + column`.
pub(in crate::codec) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// One color component, with the tables that its blocks are coded with.
pub(super) struct Component {
    /// Blocks in a unit, across and down.
    pub across: u32,
    pub down: u32,
    /// What each coefficient is multiplied by, in stored order.
    pub steps: [f32; 64],
    pub dc: Arc<DcTable>,
    pub ac: Arc<AcTable>,
}

/// A file whose picture is one sequential, Huffman-coded, interleaved scan of one or three 8-bit components.
pub struct Header<'a> {
    pub width: u32,
    pub height: u32,
    pub(super) components: Vec<Component>,
    /// Units between restart markers; 0 without.
    pub(super) restart_interval: u32,
    /// What follows the header of the scan.
    pub(super) coded: &'a [u8],
    /// Whether there are blocks of an ICC profile.
    pub has_profile: bool,
}

impl<'a> Header<'a> {
    /// Reads as far as the first scan. `None` for everything that this decoder leaves to another one: progressive,
    /// arithmetic, lossless and 12-bit files, several scans, unusual sampling or colors, and whatever is damaged.
    pub fn read(bytes: &'a [u8]) -> Option<Header<'a>> {
        let mut rest = bytes.strip_prefix(&[0xFF, 0xD8])?;
        let mut steps: [Option<[f32; 64]>; 4] = [None; 4];
        let mut dc: [Option<Arc<DcTable>>; 4] = Default::default();
        let mut ac: [Option<Arc<AcTable>>; 4] = Default::default();
        let mut frame: Option<Frame> = None;
        let (mut restart_interval, mut has_profile) = (0, false);
        loop {
            let (marker, segment, after) = segment(rest)?;
            rest = after;
            match marker {
                0xDB => read_steps(segment, &mut steps)?,
                0xC4 => read_tables(segment, &mut dc, &mut ac)?,
                // Baseline, and the sequential kind that differs only in the number of tables.
                0xC0 | 0xC1 if frame.is_none() => frame = Some(Frame::read(segment)?),
                0xC0..=0xCF => return None,
                0xDD => restart_interval = u32::from(be16(segment)?),
                // Adobe's block says whether the components are red, green and blue.
                0xEE if segment.starts_with(b"Adobe") && segment.get(11) == Some(&0) => return None,
                0xE2 => has_profile |= segment.starts_with(b"ICC_PROFILE\0"),
                0xDA => {
                    let frame = frame?;
                    let components = frame.scanned(segment, &steps, &dc, &ac)?;
                    let Frame { width, height, .. } = frame;
                    return Some(Header { width, height, components, restart_interval, coded: rest, has_profile });
                }
                0xE0..=0xEF | 0xFE => {}
                _ => return None,
            }
        }
    }

    /// Blocks of luma across and down in a unit, which is luma samples for every chroma sample, since chroma has one block.
    pub fn unit_blocks(&self) -> (u32, u32) {
        self.components.first().map_or((1, 1), |first| (first.across, first.down))
    }

    /// Units across and down.
    pub(super) fn units(&self) -> (u32, u32) {
        let (across, down) = self.unit_blocks();
        (self.width.div_ceil(8 * across), self.height.div_ceil(8 * down))
    }

    pub fn n_components(&self) -> usize {
        self.components.len()
    }
}

/// Marker, content, and what follows.
pub(super) fn segment(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let mut rest = bytes.strip_prefix(&[0xFF])?;
    // A marker may be filled up with more of its first byte.
    while let Some(after) = rest.strip_prefix(&[0xFF]) {
        rest = after;
    }
    let (marker, rest) = rest.split_first()?;
    let length = usize::from(be16(rest)?);
    Some((*marker, rest.get(2..length)?, rest.get(length..)?))
}

pub(super) fn be16(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.first_chunk()?))
}

pub(super) fn read_steps(mut segment: &[u8], steps: &mut [Option<[f32; 64]>; 4]) -> Option<()> {
    while let Some((kind, rest)) = segment.split_first() {
        let table = steps.get_mut(usize::from(kind & 15))?;
        let mut values = [0.0; 64];
        segment = match kind >> 4 {
            0 => {
                let (bytes, rest) = rest.split_at_checked(64)?;
                values.iter_mut().zip(bytes).for_each(|(value, byte)| *value = f32::from(*byte));
                rest
            }
            1 => {
                let (bytes, rest) = rest.split_at_checked(128)?;
                let words = bytes.as_chunks::<2>().0;
                values.iter_mut().zip(words).for_each(|(value, word)| *value = f32::from(u16::from_be_bytes(*word)));
                rest
            }
            _ => return None,
        };
        *table = Some(values);
    }
    Some(())
}

fn read_tables(
    mut segment: &[u8],
    dc: &mut [Option<Arc<DcTable>>; 4],
    ac: &mut [Option<Arc<AcTable>>; 4],
) -> Option<()> {
    while let Some((kind, rest)) = segment.split_first() {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
        let (symbols, rest) = rest.split_at_checked(total)?;
        let slot = usize::from(kind & 15);
        match kind >> 4 {
            0 => *dc.get_mut(slot)? = Some(DcTable::shared(counts, symbols)?),
            1 => *ac.get_mut(slot)? = Some(AcTable::shared(counts, symbols)?),
            _ => return None,
        }
        segment = rest;
    }
    Some(())
}

pub(super) struct Frame {
    pub width: u32,
    pub height: u32,
    /// Identifier, blocks across, blocks down, quantization table.
    pub components: Vec<[u8; 4]>,
}

impl Frame {
    pub fn read(segment: &[u8]) -> Option<Frame> {
        let (&[8, h1, h0, w1, w0, count], rest) = segment.split_first_chunk::<6>()? else { return None };
        let (width, height) = (u32::from(u16::from_be_bytes([w1, w0])), u32::from(u16::from_be_bytes([h1, h0])));
        let triples = rest.as_chunks::<3>().0;
        if width == 0 || height == 0 || triples.len() != usize::from(count) {
            return None;
        }
        let components: Vec<[u8; 4]> =
            triples.iter().map(|[id, blocks, table]| [*id, blocks >> 4, blocks & 15, *table]).collect();
        let fits = match components.as_slice() {
            // The blocks of a single component are stored row by row whatever its sampling says.
            [[_, 1, 1, _]] => true,
            [[_, 1 | 2, 1 | 2, _], [_, 1, 1, _], [_, 1, 1, _]] => {
                // Three components with these names are colors by themselves.
                !components.iter().map(|component| component[0]).eq(*b"RGB")
            }
            _ => false,
        };
        fits.then_some(Frame { width, height, components })
    }

    /// The components as the scan uses them.
    fn scanned(
        &self,
        segment: &[u8],
        steps: &[Option<[f32; 64]>; 4],
        dc: &[Option<Arc<DcTable>>; 4],
        ac: &[Option<Arc<AcTable>>; 4],
    ) -> Option<Vec<Component>> {
        let (count, rest) = segment.split_first()?;
        let (pairs, [0, 63, 0]) = rest.split_at_checked(2 * usize::from(*count))? else { return None };
        let pairs = pairs.as_chunks::<2>().0;
        if pairs.len() != self.components.len() {
            return None;
        }
        let component = |(&[id, across, down, table], &[scanned, tables]): (&[u8; 4], &[u8; 2])| {
            if id != scanned {
                return None;
            }
            Some(Component {
                across: across.into(),
                down: down.into(),
                steps: (*steps.get(usize::from(table))?)?,
                dc: dc.get(usize::from(tables >> 4))?.clone()?,
                ac: ac.get(usize::from(tables & 15))?.clone()?,
            })
        };
        self.components.iter().zip(pairs).map(component).collect()
    }
}
