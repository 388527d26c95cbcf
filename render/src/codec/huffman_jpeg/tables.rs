//! Huffman tables (ITU-T T.81, annex C and F) spread out for lookups by the next few bits.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bits that a lookup takes at once. Longer codes are found by search.
pub(super) const LOOKUP_BITS: u32 = 11;
const ENTRIES: usize = 1 << LOOKUP_BITS;

/// Bits for the lookups that only read over symbols.
pub(super) const SKIP_BITS: u32 = 14;

/// Advance of the symbol that ends a block: from any coefficient it leads beyond the last.
pub(super) const END_OF_BLOCK: u32 = 64;

/// The codes themselves.
struct Codes {
    /// For every length, the first code beyond those of that length, aligned to 16 bits; `u32::MAX` ends the search.
    limits: [u32; 18],
    /// For every length, what turns a code into an index of `symbols`.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

impl Codes {
    /// `counts[i]` codes have `i + 1` bits. `None` when there are more codes than that many bits can tell apart.
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Codes> {
        let mut codes = Codes { limits: [0; 18], offsets: [0; 17], symbols: [0; 256] };
        codes.symbols.get_mut(..symbols.len())?.copy_from_slice(symbols);
        let (mut code, mut index) = (0_u32, 0_i32);
        for (length, &count) in (1..).zip(counts) {
            codes.offsets[length] = index - code as i32;
            code += u32::from(count);
            index += i32::from(count);
            if code > 1 << length {
                return None;
            }
            codes.limits[length] = code << (16 - length);
            code <<= 1;
        }
        codes.limits[17] = u32::MAX;
        Some(codes)
    }

    /// Symbol and length of the code that 16 bits begin with; `None` for bits that are no code.
    fn find(&self, bits: u32) -> Option<(u8, u32)> {
        let length = (1..=16).find(|&length| bits < self.limits[length])?;
        let index = (bits >> (16 - length)) as i32 + self.offsets[length];
        self.symbols.get(usize::try_from(index).ok()?).map(|symbol| (*symbol, length as u32))
    }
}

/// The number that `size` extra bits stand for (T.81, F.2.2.1, EXTEND).
#[inline(always)]
pub(super) fn extend(bits: u32, size: u32) -> i32 {
    let half = (1_u32 << size) >> 1;
    if bits < half { bits as i32 - (1 << size) + 1 } else { bits as i32 }
}

/// Extra bits of a code of `length` bits, cut out of 32 bits.
fn extra(bits: u32, length: u32, size: u32) -> u32 {
    if size == 0 { 0 } else { (bits << length) >> (32 - size) }
}

/// Differences of the first coefficients.
pub(super) struct DcTable {
    /// Difference in the upper half, bits of code and extra bits in the lowest byte; 0 sends to `find`.
    pub fast: Box<[u32; ENTRIES]>,
    codes: Codes,
}

impl DcTable {
    pub fn shared(counts: &[u8; 16], symbols: &[u8]) -> Option<Arc<DcTable>> {
        static KEPT: Kept<DcTable> = Kept::new();
        KEPT.get(counts, symbols, || DcTable::new(counts, symbols))
    }

    fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<DcTable> {
        let codes = Codes::new(counts, symbols)?;
        if symbols.iter().any(|size| *size > 11) {
            return None;
        }
        let mut fast = entries();
        for (entry, bits) in fast.iter_mut().zip(0_u32..) {
            let bits = bits << (32 - LOOKUP_BITS);
            if let Some((difference, length)) = difference(&codes, bits)
                && length <= LOOKUP_BITS
            {
                *entry = (difference as u32) << 16 | length;
            }
        }
        Some(DcTable { fast, codes })
    }

    /// Difference and length, from the next 32 bits.
    #[cold]
    pub fn find(&self, bits: u32) -> Option<(i32, u32)> {
        difference(&self.codes, bits)
    }
}

fn difference(codes: &Codes, bits: u32) -> Option<(i32, u32)> {
    let (size, length) = codes.find(bits >> 16)?;
    let size = u32::from(size);
    Some((extend(extra(bits, length, size), size), length + size))
}

/// A coefficient behind zeros.
#[derive(Clone, Copy)]
pub(super) struct Coefficient {
    /// With [`END_OF_BLOCK`] the number of blocks that end, this one and those that follow in a progressive scan.
    pub value: i32,
    /// Zeros and the coefficient itself; [`END_OF_BLOCK`] when there are no more.
    pub advance: u32,
    pub length: u32,
}

/// All other coefficients.
pub(super) struct AcTable {
    /// Value in the upper half, then advance, then length, a byte each; 0 sends to `find`.
    pub fast: Box<[u32; ENTRIES]>,
    /// Up to two coefficients at once. A lone one comes twice, with an advance of 0 the second time.
    pub pairs: Box<[Pair; ENTRIES]>,
    /// As many whole symbols as [`SKIP_BITS`] hold, without their values: whether the block ends with them (bit 10), their
    /// advance without that of the end (bits 4 to 9), and their length; 0 sends to `fast`.
    pub skip: Box<[u16; 1 << SKIP_BITS]>,
    codes: Codes,
}

impl AcTable {
    pub fn shared(counts: &[u8; 16], symbols: &[u8]) -> Option<Arc<AcTable>> {
        static KEPT: Kept<AcTable> = Kept::new();
        KEPT.get(counts, symbols, || AcTable::new(counts, symbols))
    }

    fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<AcTable> {
        let codes = Codes::new(counts, symbols)?;
        // Runs without a coefficient other than these two are not of the sequential kind.
        if symbols.iter().any(|symbol| symbol & 15 > 10 || (symbol & 15 == 0 && !matches!(symbol, 0x00 | 0xF0))) {
            return None;
        }
        let fast = fast(&codes);
        let pairs = pairs(&fast);
        let skip = skips(&codes);
        Some(AcTable { fast, pairs, skip, codes })
    }

    /// The next coefficient, from the next 32 bits.
    #[cold]
    pub fn find(&self, bits: u32) -> Option<Coefficient> {
        coefficient(&self.codes, bits)
    }
}

/// Two coefficients in a row; see [`AcTable::pairs`].
#[derive(Clone, Copy, Default)]
pub(super) struct Pair {
    pub values: [i16; 2],
    /// Zeros and the coefficient; the second is 0 without a second, and 1 where the block ends, since there must be one
    /// more position for that to be said.
    pub advances: [u8; 2],
    pub ends: bool,
    /// Bits together; 0 sends to the table of single coefficients.
    pub length: u8,
}

fn pairs(fast: &[u32; ENTRIES]) -> Box<[Pair; ENTRIES]> {
    let mut pairs = Box::new([Pair::default(); ENTRIES]);
    let parts = |entry: u32| ((entry as i32 >> 16) as i16, (entry >> 8) as u8, entry as u8);
    for (pair, (bits, &entry)) in pairs.iter_mut().zip(fast.iter().enumerate()) {
        let (value, advance, length) = parts(entry);
        if entry == 0 || u32::from(advance) == END_OF_BLOCK {
            continue;
        }
        *pair = Pair { values: [value; 2], advances: [advance, 0], ends: false, length };
        // The bits that are left, followed by zeros: what they decide is decided by no more than them.
        let next = fast[(bits << length) & (ENTRIES - 1)];
        let (second, behind, more) = parts(next);
        if next != 0 && u32::from(length + more) <= LOOKUP_BITS {
            let ends = u32::from(behind) == END_OF_BLOCK;
            let behind = if ends { 1 } else { behind };
            *pair = Pair { values: [value, second], advances: [advance, behind], ends, length: length + more };
        }
    }
    pairs
}

fn skips(codes: &Codes) -> Box<[u16; 1 << SKIP_BITS]> {
    let mut skips = Box::new([0; 1 << SKIP_BITS]);
    for (entry, bits) in skips.iter_mut().zip(0_u32..) {
        let (mut length, mut advance, mut ends) = (0_u32, 0_u32, 0_u32);
        while let Some(next) = coefficient(codes, (bits << (32 - SKIP_BITS)) << length)
            && length + next.length <= SKIP_BITS
        {
            length += next.length;
            if next.advance == END_OF_BLOCK {
                ends = 1;
                break;
            }
            advance += next.advance;
        }
        if length > 0 && advance < 64 {
            *entry = (ends << 10 | advance << 4 | length) as u16;
        }
    }
    skips
}

fn coefficient(codes: &Codes, bits: u32) -> Option<Coefficient> {
    let (symbol, length) = codes.find(bits >> 16)?;
    let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
    if size == 0 && run < 15 {
        let value = (1 << run) + extra(bits, length, run) as i32;
        return Some(Coefficient { value, advance: END_OF_BLOCK, length: length + run });
    }
    Some(Coefficient { value: extend(extra(bits, length, size), size), advance: run + 1, length: length + size })
}

/// Coefficients other than the first of progressive scans.
pub(super) struct ScanTable {
    /// As in [`AcTable::fast`].
    pub fast: Box<[u32; ENTRIES]>,
    codes: Codes,
}

impl ScanTable {
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<ScanTable> {
        let codes = Codes::new(counts, symbols)?;
        if symbols.iter().any(|symbol| symbol & 15 > 10) {
            return None;
        }
        let fast = fast(&codes);
        Some(ScanTable { fast, codes })
    }

    /// The next coefficient, from the next 32 bits.
    #[cold]
    pub fn find(&self, bits: u32) -> Option<Coefficient> {
        coefficient(&self.codes, bits)
    }
}

fn fast(codes: &Codes) -> Box<[u32; ENTRIES]> {
    let mut fast = entries();
    for (entry, bits) in fast.iter_mut().zip(0_u32..) {
        if let Some(found) = coefficient(codes, bits << (32 - LOOKUP_BITS))
            && found.length <= LOOKUP_BITS
        {
            *entry = (found.value as u32) << 16 | found.advance << 8 | found.length;
        }
    }
    fast
}

fn entries() -> Box<[u32; ENTRIES]> {
    Box::new([0; ENTRIES])
}

/// Tables that were used lately: most encoders write the example tables of the standard.
struct Kept<T>(Mutex<VecDeque<(Vec<u8>, Arc<T>)>>);

impl<T> Kept<T> {
    const MOST: usize = 16;

    const fn new() -> Self {
        Kept(Mutex::new(VecDeque::new()))
    }

    fn get(&self, counts: &[u8; 16], symbols: &[u8], make: impl FnOnce() -> Option<T>) -> Option<Arc<T>> {
        let key = [counts.as_slice(), symbols].concat();
        let mut kept = self.0.lock();
        if let Some(at) = kept.iter().position(|(known, _)| *known == key) {
            let entry = kept.remove(at)?;
            let table = entry.1.clone();
            kept.push_front(entry);
            return Some(table);
        }
        drop(kept);
        let table = Arc::new(make()?);
        let mut kept = self.0.lock();
        kept.push_front((key, table.clone()));
        kept.truncate(Self::MOST);
        Some(table)
    }
}
