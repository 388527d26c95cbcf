//! The entropy-coded bits: without their stuffed zeros, between markers, a little at a time.

use super::tables::{AcTable, Coefficient, DcTable, END_OF_BLOCK, LOOKUP_BITS, SKIP_BITS, ScanTable};

/// Bytes that are unstuffed at a time.
const CHUNK: usize = 32 * 1024;
/// More than one unit can take: six blocks of 64 codes, of at most 30 bits each with their extra bits.
const MARGIN: usize = 4096;

/// Reads codes. What lies beyond the data is zeros; [`Bits::is_overrun`] tells.
pub(super) struct Bits<'a> {
    coded: &'a [u8],
    /// First byte of `coded` that is not in `chunk`.
    next: usize,
    /// Unstuffed bytes, and zeros behind `end`.
    chunk: Box<[u8; CHUNK + 2 * MARGIN]>,
    /// First byte of `chunk` that is not in `window`.
    at: usize,
    end: usize,
    /// Whether a marker, or the end, comes behind `end`.
    stopped: bool,
    /// The next bits, aligned to the top.
    window: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(coded: &'a [u8]) -> Self {
        let chunk = Box::new([0; CHUNK + 2 * MARGIN]);
        let mut bits = Bits { coded, next: 0, chunk, at: 0, end: 0, stopped: false, window: 0, count: 0 };
        bits.fill();
        bits
    }

    /// Makes sure that a unit can be read without looking at the chunk's end.
    #[inline(always)]
    pub fn prepare(&mut self) {
        if self.end - self.at.min(self.end) < MARGIN && !self.stopped {
            self.fill();
        }
    }

    #[cold]
    fn fill(&mut self) {
        self.chunk.copy_within(self.at..self.end, 0);
        self.end -= self.at;
        self.at = 0;
        while self.end < CHUNK && !self.stopped {
            let rest = &self.coded[self.next..];
            let room = CHUNK - self.end;
            let plain = memchr::memchr(0xFF, &rest[..rest.len().min(room)]);
            let length = plain.unwrap_or(rest.len().min(room));
            self.chunk[self.end..self.end + length].copy_from_slice(&rest[..length]);
            self.end += length;
            self.next += length;
            match (plain, rest.get(length + 1)) {
                (Some(_), Some(0)) => {
                    self.chunk[self.end] = 0xFF;
                    self.end += 1;
                    self.next += 2;
                }
                // Fill bytes in front of a marker.
                (Some(_), Some(0xFF)) => self.next += 1,
                (Some(_), _) => self.stopped = true,
                (None, _) => self.stopped = length == rest.len(),
            }
        }
        self.chunk[self.end..].fill(0);
    }

    /// Whether more bits were read than there are.
    pub fn is_overrun(&self) -> bool {
        self.stopped && self.at * 8 > self.end * 8 + self.count as usize
    }

    /// Goes on behind the restart marker with this number, modulo 8. False when there is no such marker right here.
    pub fn restart(&mut self, number: u32) -> bool {
        self.prepare();
        let left = (self.end * 8 + self.count as usize).checked_sub(self.at * 8);
        let expected = [0xFF, 0xD0 + (number & 7) as u8];
        if !self.stopped || left.is_none_or(|left| left >= 8) || !self.coded[self.next..].starts_with(&expected) {
            return false;
        }
        self.next += 2;
        (self.at, self.end, self.stopped, self.window, self.count) = (0, 0, false, 0, 0);
        self.fill();
        true
    }

    /// Tops the window up to at least 56 bits.
    #[inline(always)]
    fn refill(&mut self) {
        // The zeros behind the end are more than a unit can read.
        if let Some(bytes) = self.chunk.get(self.at..self.at + 8).and_then(|bytes| bytes.first_chunk()) {
            self.window |= u64::from_be_bytes(*bytes) >> self.count;
            self.at += ((63 - self.count) >> 3) as usize;
            self.count |= 56;
        }
    }

    #[inline(always)]
    fn peek<const N: u32>(&self) -> usize {
        (self.window >> (64 - N)) as usize
    }

    #[inline(always)]
    fn consume(&mut self, length: u32) {
        self.window <<= length;
        self.count -= length;
    }

    /// The difference of a first coefficient. At least 29 bits stay in the window.
    #[inline(always)]
    pub fn difference(&mut self, table: &DcTable) -> Option<i32> {
        self.refill();
        let entry = table.fast[self.peek::<LOOKUP_BITS>()];
        if entry != 0 {
            self.consume(entry & 255);
            return Some(entry as i32 >> 16);
        }
        let (difference, length) = table.find((self.window >> 32) as u32)?;
        self.consume(length);
        Some(difference)
    }

    /// Coefficients up to and including stored position `last`, multiplied by `steps`, to `put(position, value)`; the rest
    /// of the block is skipped, or put as well. Answers the last position that was put, 0 for none.
    #[inline(always)]
    pub fn coefficients(
        &mut self,
        table: &AcTable,
        steps: &[f32; 64],
        last: u32,
        mut put: impl FnMut(usize, f32),
    ) -> Option<u32> {
        let mut position = 0;
        let mut reached = 0;
        while position < last {
            self.refill();
            // Four lookups take no more than the 56 bits of a full window.
            for _ in 0..4 {
                let pair = table.pairs[self.peek::<LOOKUP_BITS>()];
                let [first, second] = pair.advances.map(u32::from);
                if pair.length > 0 && position + first + second <= 63 {
                    self.consume(pair.length.into());
                    let at = (position + first) as usize & 63;
                    put(at, f32::from(pair.values[0]) * steps[at]);
                    if pair.ends {
                        return Some(position + first);
                    }
                    position += first + second;
                    let at = position as usize & 63;
                    put(at, f32::from(pair.values[1]) * steps[at]);
                    reached = position;
                    if position >= last {
                        break;
                    }
                    continue;
                }
                let Coefficient { value, advance, .. } = self.single(table)?;
                position += advance;
                if position > 63 {
                    // Either the end was coded, or a run led out of the block.
                    return (advance == END_OF_BLOCK).then_some(reached);
                }
                let at = position as usize & 63;
                put(at, value as f32 * steps[at]);
                reached = position;
                break;
            }
        }
        self.skip(table, position)?;
        Some(reached)
    }

    /// One symbol, whatever it is.
    #[inline(always)]
    fn single(&mut self, table: &AcTable) -> Option<Coefficient> {
        let entry = table.fast[self.peek::<LOOKUP_BITS>()];
        let found = if entry != 0 {
            Coefficient { value: entry as i32 >> 16, advance: (entry >> 8) & 255, length: entry & 255 }
        } else {
            self.refill();
            table.find((self.window >> 32) as u32)?
        };
        self.consume(found.length);
        Some(found)
    }

    /// The next coefficient, or end, of a progressive scan.
    #[inline(always)]
    pub fn of_scan(&mut self, table: &ScanTable) -> Option<Coefficient> {
        if self.count < 32 {
            self.refill();
        }
        let entry = table.fast[self.peek::<LOOKUP_BITS>()];
        let found = if entry != 0 {
            Coefficient { value: entry as i32 >> 16, advance: (entry >> 8) & 255, length: entry & 255 }
        } else {
            table.find((self.window >> 32) as u32)?
        };
        self.consume(found.length);
        Some(found)
    }

    /// The next `count` bits, at most 48.
    #[inline(always)]
    pub fn take(&mut self, count: u32) -> u64 {
        if count == 0 {
            return 0;
        }
        if self.count < count {
            self.refill();
        }
        let bits = self.window >> (64 - count);
        self.consume(count);
        bits
    }

    /// Reads over the coefficients behind a position.
    #[inline(always)]
    pub fn skip(&mut self, table: &AcTable, mut position: u32) -> Option<()> {
        while position < 63 {
            self.refill();
            for _ in 0..4 {
                let entry = u32::from(table.skip[self.peek::<SKIP_BITS>()]);
                let advanced = position + ((entry >> 4) & 63);
                // A run of symbols that fills the block leaves its last one to the other table: what follows may be
                // the next block's.
                if entry == 0 || advanced >= 63 {
                    let advance = self.single(table)?.advance;
                    position += advance;
                    if position > 63 {
                        return (advance == END_OF_BLOCK).then_some(());
                    }
                    break;
                }
                self.consume(entry & 15);
                if entry >> 10 != 0 {
                    return Some(());
                }
                position = advanced;
            }
        }
        Some(())
    }
}
