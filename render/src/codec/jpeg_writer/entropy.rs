//! Huffman coding with tables that are made for the picture.
//!
//! Source: ITU-T T.81, F.1.2 (what is coded), K.2 and K.3 (lengths of codes), C.2 (codes of lengths), B.1.1.5 (stuffing).

use super::super::huffman_jpeg::ZIGZAG;

/// One coded symbol with the bits behind it: the bits in the lowest 16, the symbol in the next 8, then the table.
type Token = u32;

/// Code and length of every symbol, by table.
type Codes = [[(u16, u8); 256]; 4];

/// Tokens that are kept until the codes are chosen: 4 MiB. In a picture of more, the first so many choose.
const TOKENS: usize = 1 << 20;
/// Tokens that are kept afterwards.
const FEW: usize = 1 << 12;

/// Codes blocks, and writes the tables, what `between` holds, and the coded blocks.
pub(super) struct Coder {
    out: Vec<u8>,
    /// What stands between the tables and the coded blocks.
    between: Vec<u8>,
    /// Whether there is chroma, with tables of its own.
    has_chroma: bool,
    tokens: Vec<Token>,
    most: usize,
    /// How often each symbol occurs: luma's and chroma's constant coefficients, then the others.
    counts: Box<[[u32; 256]; 4]>,
    /// Code and length of every symbol, once they are chosen.
    codes: Option<Box<Codes>>,
    /// Last constant coefficient of each component.
    predictions: [i32; 3],
    held: u64,
    n_held: u32,
}

impl Coder {
    /// `out` holds what comes before the tables.
    pub fn new(out: Vec<u8>, between: Vec<u8>, has_chroma: bool) -> Self {
        Coder {
            out,
            between,
            has_chroma,
            tokens: Vec::new(),
            most: TOKENS,
            counts: Box::new([[0; 256]; 4]),
            codes: None,
            predictions: [0; 3],
            held: 0,
            n_held: 0,
        }
    }

    /// Adds a block of quantized coefficients, row by row.
    #[inline(always)]
    pub fn block(&mut self, component: usize, block: &[i16; 64]) {
        let table = component.min(1);
        let first = i32::from(block[0]);
        let difference = first - self.predictions[component];
        self.predictions[component] = first;
        let size = size_of(difference);
        self.push(table, size, difference, size);
        let mut zigzag = [0_i16; 64];
        let mut present = 0_u64;
        for (at, value) in zigzag.iter_mut().enumerate() {
            *value = block[usize::from(ZIGZAG[at] & 63)];
            present |= u64::from(*value != 0) << at;
        }
        present &= !1;
        let mut next = 1;
        while present != 0 {
            let at = present.trailing_zeros();
            present &= present - 1;
            let mut run = at - next;
            while run > 15 {
                self.push(table + 2, 0xF0, 0, 0);
                run -= 16;
            }
            let value = i32::from(zigzag[at as usize & 63]);
            let size = size_of(value);
            self.push(table + 2, (run << 4) | size, value, size);
            next = at + 1;
        }
        if next < 64 {
            self.push(table + 2, 0, 0, 0);
        }
        if self.tokens.len() >= self.most {
            self.drain(true);
        }
    }

    /// Adds a block that lies beside the picture: as little as there can be.
    pub fn beside(&mut self, component: usize) {
        let table = component.min(1);
        self.push(table, 0, 0, 0);
        self.push(table + 2, 0, 0, 0);
    }

    /// Negative values are coded as one less, without the bits in front of them.
    #[inline(always)]
    fn push(&mut self, table: usize, symbol: u32, value: i32, size: u32) {
        let bits = (value + (value >> 31)) as u32 & ((1 << size) - 1);
        self.counts[table][symbol as usize & 255] += 1;
        self.tokens.push(((table as u32) << 24) | (symbol << 16) | bits);
    }

    /// Writes what is kept. Chooses the codes when that was not done; where more blocks may follow, there is one for every
    /// symbol.
    fn drain(&mut self, more: bool) {
        let codes = match self.codes.take() {
            Some(codes) => codes,
            None => {
                if more {
                    every_symbol_once(&mut self.counts);
                }
                let codes = self.write_tables();
                self.most = FEW;
                codes
            }
        };
        let mut bits = BitWriter { out: &mut self.out, held: self.held, n_held: self.n_held };
        for token in &self.tokens {
            let symbol = (token >> 16) as usize & 255;
            let (code, length) = codes[(token >> 24) as usize & 3][symbol];
            // The low half of a symbol says how many bits follow.
            let size = symbol as u32 & 15;
            bits.push((u64::from(code) << size) | u64::from(token & 0xFFFF), u32::from(length) + size);
        }
        (self.held, self.n_held) = (bits.held, bits.n_held);
        self.tokens.clear();
        self.codes = Some(codes);
    }

    fn write_tables(&mut self) -> Box<Codes> {
        let mut all = Box::new([[(0, 0); 256]; 4]);
        for (index, (counts, codes)) in self.counts.iter().zip(all.iter_mut()).enumerate() {
            if index % 2 == 1 && !self.has_chroma {
                continue;
            }
            let n_codes = lengths(counts);
            let symbols = by_frequency(counts);
            *codes = assign(&n_codes, &symbols);
            self.out.extend([0xFF, 0xC4]);
            self.out.extend((19 + symbols.len() as u16).to_be_bytes());
            self.out.push(((index as u8 >> 1) << 4) | (index as u8 & 1));
            self.out.extend(n_codes);
            self.out.extend(symbols);
        }
        self.out.append(&mut self.between);
        all
    }

    /// The file so far; the last byte is filled up with ones.
    pub fn finish(mut self) -> Vec<u8> {
        self.drain(false);
        let mut bits = BitWriter { out: &mut self.out, held: self.held, n_held: self.n_held };
        bits.finish();
        self.out
    }
}

/// Number of bits of a value's magnitude.
#[inline(always)]
fn size_of(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

/// Counts every symbol that a picture of eight bits can have once more.
fn every_symbol_once(counts: &mut [[u32; 256]; 4]) {
    let [luma_first, chroma_first, luma, chroma] = counts;
    for first in [luma_first, chroma_first] {
        first[..12].iter_mut().for_each(|count| *count += 1);
    }
    for others in [luma, chroma] {
        for run in 0..16 {
            others[run * 16 + 1..run * 16 + 11].iter_mut().for_each(|count| *count += 1);
        }
        others[0x00] += 1;
        others[0xF0] += 1;
    }
}

/// Symbols that occur, the most frequent first: they get the short codes.
fn by_frequency(counts: &[u32; 256]) -> Vec<u8> {
    let mut symbols: Vec<u8> = (0..=255).filter(|symbol| counts[usize::from(*symbol)] > 0).collect();
    symbols.sort_by_key(|symbol| std::cmp::Reverse(counts[usize::from(*symbol)]));
    symbols
}

fn assign(n_codes: &[u8; 16], symbols: &[u8]) -> [(u16, u8); 256] {
    let mut codes = [(0, 0); 256];
    let mut code = 0_u32;
    let mut remaining = symbols.iter();
    for (length, n) in (1_u8..).zip(n_codes) {
        for symbol in remaining.by_ref().take(usize::from(*n)) {
            codes[usize::from(*symbol)] = (code as u16, length);
            code += 1;
        }
        code <<= 1;
    }
    codes
}

/// How many codes of least total length there are of each length from 1 to 16; none is of ones only.
fn lengths(counts: &[u32; 256]) -> [u8; 16] {
    // Weights with the depths of all symbols below them. One symbol more than there are takes the code of ones only.
    let mut trees: Vec<(u64, Vec<u8>)> =
        counts.iter().filter(|count| **count > 0).map(|count| (u64::from(*count) * 2, vec![0])).collect();
    trees.push((1, vec![0]));
    while trees.len() > 1 {
        trees.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let (Some(a), Some(b)) = (trees.pop(), trees.pop()) else { break };
        let depths = a.1.iter().chain(&b.1).map(|depth| depth.saturating_add(1)).collect();
        trees.push((a.0 + b.0, depths));
    }
    let mut n = [0_u32; 256];
    for depth in trees.iter().flat_map(|(_, depths)| depths) {
        n[usize::from(*depth)] += 1;
    }
    // Of two codes that are too long one takes the place above both, the other is put beside a shorter one, which is split.
    for length in (17..n.len()).rev() {
        while n[length] > 1 {
            let Some(shorter) = (1..length - 1).rev().find(|shorter| n[*shorter] > 0) else { break };
            n[length] -= 2;
            n[length - 1] += 1;
            n[shorter + 1] += 2;
            n[shorter] -= 1;
        }
    }
    // The symbol that is none has one of the longest.
    if let Some(longest) = (1..=16).rev().find(|length| n[*length] > 0) {
        n[longest] -= 1;
    }
    std::array::from_fn(|at| n[at + 1] as u8)
}

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    n_held: u32,
}

impl BitWriter<'_> {
    /// At most 27 bits.
    #[inline(always)]
    fn push(&mut self, bits: u64, n: u32) {
        self.held = (self.held << n) | bits;
        self.n_held += n;
        if self.n_held >= 32 {
            self.n_held -= 32;
            let word = (self.held >> self.n_held) as u32;
            // Where no byte has its highest bit, or adding one carries into it, none is 255.
            if word & 0x8080_8080 & !word.wrapping_add(0x0101_0101) == 0 {
                self.out.extend_from_slice(&word.to_be_bytes());
            } else {
                word.to_be_bytes().into_iter().for_each(|byte| self.stuffed(byte));
            }
        }
    }

    fn stuffed(&mut self, byte: u8) {
        self.out.push(byte);
        if byte == 0xFF {
            self.out.push(0);
        }
    }

    fn finish(&mut self) {
        let missing = self.n_held.wrapping_neg() & 7;
        self.held = (self.held << missing) | ((1 << missing) - 1);
        self.n_held += missing;
        while self.n_held > 0 {
            self.n_held -= 8;
            self.stuffed((self.held >> self.n_held) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kraft(n_codes: &[u8; 16]) -> u32 {
        (1..).zip(n_codes).map(|(length, n)| u32::from(*n) << (16 - length)).sum()
    }

    #[test]
    fn codes_fit_sixteen_bits_and_leave_the_one_of_ones() {
        // Fibonacci's numbers make the deepest tree.
        let mut deep = [0; 256];
        let (mut a, mut b) = (1_u32, 1_u32);
        for count in deep.iter_mut().take(40) {
            *count = a;
            (a, b) = (b, a + b);
        }
        let mut one = [0; 256];
        one[7] = 3;
        for (counts, n) in [(deep, 40), (one, 1), ([5; 256], 256), ([0; 256], 0)] {
            let n_codes = lengths(&counts);
            assert_eq!(n_codes.iter().map(|n| u32::from(*n)).sum::<u32>(), n);
            assert!(kraft(&n_codes) < 1 << 16, "{n_codes:?}");
            let symbols = by_frequency(&counts);
            let codes = assign(&n_codes, &symbols);
            for symbol in symbols {
                let (code, length) = codes[usize::from(symbol)];
                assert!((1..=16).contains(&length) && u32::from(code) < (1 << length) - 1, "{symbol}");
            }
        }
    }

    #[test]
    fn codes_are_those_of_huffman() {
        let mut counts = [0; 256];
        counts[..4].copy_from_slice(&[100, 40, 30, 5]);
        // Five leaves: lengths 1, 2, 3, 4 and 4, the last being none.
        assert_eq!(lengths(&counts)[..5], [1, 1, 1, 1, 0]);
    }

    #[test]
    fn bytes_of_ones_are_stuffed() {
        let mut out = Vec::new();
        let mut bits = BitWriter { out: &mut out, held: 0, n_held: 0 };
        for (value, n) in [(0xFF, 8), (0x80FE, 16), (0x7FFF, 15), (1, 1), (0x7FF_FFFF, 27)] {
            bits.push(value, n);
        }
        bits.finish();
        assert_eq!(out, [0xFF, 0, 0x80, 0xFE, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0]);
    }
}
