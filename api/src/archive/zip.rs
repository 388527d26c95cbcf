//! ZIP (PKWARE APPNOTE 6.3.10): files stored, not compressed, with their sums in data descriptors behind them, names in
//! UTF-8, ZIP64 fields where numbers pass 32 bits.

use super::{ArchiveError, MAX_NAME_BYTES};
use bytes::Bytes;
use crc32fast::Hasher;
use time::OffsetDateTime;

/// Sums follow the file (bit 3), and the name is UTF-8 (bit 11).
const FLAGS: u16 = 1 << 3 | 1 << 11;
/// Versions of the format that a reader needs: 2.0, and 4.5 for ZIP64.
const PLAIN: u16 = 20;
const ZIP64: u16 = 45;
/// Made on Unix, so that the attributes are a mode.
const MADE_BY: u16 = 3 << 8 | ZIP64;
/// A regular file that its owner may write and everybody read.
const ATTRIBUTES: u32 = 0o100_644 << 16;

/// A file that was written.
struct Entry {
    name: Box<str>,
    crc: u32,
    size: u64,
    offset: u64,
    stamp: (u16, u16),
}

/// A file that is being written.
struct Open {
    entry: Entry,
    written: u64,
    crc: Hasher,
}

/// Writes one ZIP archive. About 100 bytes and its name are remembered of each file.
pub struct ZipWriter {
    entries: Vec<Entry>,
    open: Option<Open>,
    offset: u64,
    /// Numbers from here on are written in ZIP64 fields.
    wide_from: u64,
    /// As many entries from here on.
    many_from: usize,
}

impl Default for ZipWriter {
    fn default() -> Self {
        ZipWriter { entries: Vec::new(), open: None, offset: 0, wide_from: u32::MAX.into(), many_from: u16::MAX.into() }
    }
}

/// Date and time of MS-DOS, in steps of two seconds from 1980 to 2107.
fn stamp(time: OffsetDateTime) -> (u16, u16) {
    let year = time.year().clamp(1980, 2107) - 1980;
    let date = u16::try_from(year).unwrap_or(0) << 9 | u16::from(u8::from(time.month())) << 5 | u16::from(time.day());
    (u16::from(time.hour()) << 11 | u16::from(time.minute()) << 5 | (u16::from(time.second()) / 2), date)
}

/// The lower end of a number that has its place, or the mark that it stands elsewhere.
fn narrow(value: u64, wide_from: u64) -> u32 {
    if value >= wide_from { u32::MAX } else { u32::try_from(value).unwrap_or(u32::MAX) }
}

impl ZipWriter {
    pub(super) fn begin(&mut self, name: &str, size: u64, modified: OffsetDateTime) -> Result<Bytes, ArchiveError> {
        if name.len() > MAX_NAME_BYTES {
            return Err(ArchiveError::Name(name.len()));
        }
        let wide = size >= self.wide_from;
        let stamp = stamp(modified);
        let mut out = Vec::with_capacity(50 + name.len());
        out.extend(b"PK\x03\x04");
        put16(&mut out, if wide { ZIP64 } else { PLAIN });
        put16(&mut out, FLAGS);
        put16(&mut out, 0);
        put16(&mut out, stamp.0);
        put16(&mut out, stamp.1);
        put32(&mut out, 0);
        // Sizes are in the descriptor; this mark says that they are 64 bits wide there.
        let size_mark = if wide { u32::MAX } else { 0 };
        put32(&mut out, size_mark);
        put32(&mut out, size_mark);
        put16(&mut out, name.len() as u16);
        put16(&mut out, if wide { 20 } else { 0 });
        out.extend(name.as_bytes());
        if wide {
            put16(&mut out, 1);
            put16(&mut out, 16);
            out.extend([0; 16]);
        }
        let entry = Entry { name: name.into(), crc: 0, size, offset: self.offset, stamp };
        self.open = Some(Open { entry, written: 0, crc: Hasher::new() });
        self.advance(out)
    }

    pub(super) fn data(&mut self, chunk: Bytes) -> Result<Bytes, ArchiveError> {
        let Some(open) = &mut self.open else {
            return Err(ArchiveError::Length { announced: 0, actual: chunk.len() as u64 });
        };
        open.crc.update(&chunk);
        open.written = open.written.checked_add(chunk.len() as u64).ok_or(ArchiveError::TooLarge)?;
        if open.written > open.entry.size {
            return Err(ArchiveError::Length { announced: open.entry.size, actual: open.written });
        }
        self.offset = self.offset.checked_add(chunk.len() as u64).ok_or(ArchiveError::TooLarge)?;
        Ok(chunk)
    }

    pub(super) fn end(&mut self) -> Result<Bytes, ArchiveError> {
        let Some(Open { mut entry, written, crc }) = self.open.take() else { return Ok(Bytes::new()) };
        if written != entry.size {
            return Err(ArchiveError::Length { announced: entry.size, actual: written });
        }
        entry.crc = crc.finalize();
        let mut out = Vec::with_capacity(24);
        out.extend(b"PK\x07\x08");
        put32(&mut out, entry.crc);
        for _ in 0..2 {
            if entry.size >= self.wide_from {
                put64(&mut out, entry.size);
            } else {
                put32(&mut out, narrow(entry.size, u64::MAX));
            }
        }
        self.entries.push(entry);
        self.advance(out)
    }

    pub(super) fn finish(mut self) -> Result<Bytes, ArchiveError> {
        let start = self.offset;
        let mut out = Vec::new();
        for entry in &self.entries {
            central(&mut out, entry, self.wide_from);
        }
        let length = out.len() as u64;
        let end = start.checked_add(length).ok_or(ArchiveError::TooLarge)?;
        let count = self.entries.len();
        let wide = count >= self.many_from || start >= self.wide_from || length >= self.wide_from;
        if wide {
            out.extend(b"PK\x06\x06");
            put64(&mut out, 44);
            put16(&mut out, MADE_BY);
            put16(&mut out, ZIP64);
            put32(&mut out, 0);
            put32(&mut out, 0);
            put64(&mut out, count as u64);
            put64(&mut out, count as u64);
            put64(&mut out, length);
            put64(&mut out, start);
            out.extend(b"PK\x06\x07");
            put32(&mut out, 0);
            put64(&mut out, end);
            put32(&mut out, 1);
        }
        let short_count = if count >= self.many_from { u16::MAX } else { count as u16 };
        out.extend(b"PK\x05\x06");
        put32(&mut out, 0);
        put16(&mut out, short_count);
        put16(&mut out, short_count);
        put32(&mut out, narrow(length, self.wide_from));
        put32(&mut out, narrow(start, self.wide_from));
        put16(&mut out, 0);
        self.advance(out)
    }

    fn advance(&mut self, out: Vec<u8>) -> Result<Bytes, ArchiveError> {
        self.offset = self.offset.checked_add(out.len() as u64).ok_or(ArchiveError::TooLarge)?;
        Ok(out.into())
    }
}

/// The entry of the directory at the end.
fn central(out: &mut Vec<u8>, entry: &Entry, wide_from: u64) {
    let mut extra = Vec::new();
    // In this order, and only those that do not fit.
    for value in [entry.size, entry.size, entry.offset] {
        if value >= wide_from {
            put64(&mut extra, value);
        }
    }
    out.extend(b"PK\x01\x02");
    put16(out, MADE_BY);
    put16(out, if extra.is_empty() { PLAIN } else { ZIP64 });
    put16(out, FLAGS);
    put16(out, 0);
    put16(out, entry.stamp.0);
    put16(out, entry.stamp.1);
    put32(out, entry.crc);
    put32(out, narrow(entry.size, wide_from));
    put32(out, narrow(entry.size, wide_from));
    put16(out, entry.name.len() as u16);
    put16(out, if extra.is_empty() { 0 } else { extra.len() as u16 + 4 });
    put16(out, 0);
    put16(out, 0);
    put16(out, 0);
    put32(out, ATTRIBUTES);
    put32(out, narrow(entry.offset, wide_from));
    out.extend(entry.name.as_bytes());
    if !extra.is_empty() {
        put16(out, 1);
        put16(out, extra.len() as u16);
        out.extend(extra);
    }
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend(value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend(value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use time::macros::datetime;

    fn written(mut zip: ZipWriter, files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, content) in files {
            out.extend(zip.begin(name, content.len() as u64, datetime!(2026-11-23 19:30:14 UTC)).unwrap());
            for chunk in content.chunks(5) {
                out.extend(zip.data(Bytes::copy_from_slice(chunk)).unwrap());
            }
            out.extend(zip.end().unwrap());
        }
        out.extend(zip.finish().unwrap());
        out
    }

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn the_directory_tells_where_the_files_are() {
        let zip = written(ZipWriter::default(), &[("a/é.txt", b"123456789"), ("empty", b"")]);
        let end = zip.len() - 22;
        assert_eq!(&zip[end..end + 4], b"PK\x05\x06");
        assert_eq!(u16::from_le_bytes([zip[end + 10], zip[end + 11]]), 2);
        let directory = u32_at(&zip, end + 16) as usize;
        assert_eq!(directory + u32_at(&zip, end + 12) as usize, end);
        assert_eq!(&zip[directory..directory + 4], b"PK\x01\x02");
        // The check value of CRC-32 over the nine digits.
        assert_eq!(u32_at(&zip, directory + 16), 0xCBF4_3926);
        assert_eq!((u32_at(&zip, directory + 20), u32_at(&zip, directory + 24)), (9, 9));
        assert_eq!(&zip[30 + 8..30 + 8 + 9], b"123456789");
        assert_eq!(&zip[47..51], b"PK\x07\x08");
        assert_eq!(stamp(datetime!(2026-11-23 19:30:14 UTC)), (19 << 11 | 30 << 5 | 7, 46 << 9 | 11 << 5 | 23));
    }

    #[test]
    fn wide_numbers_have_wide_fields() {
        // As if 8 bytes were already 4 GiB, and two entries were 65,535.
        let zip = ZipWriter { wide_from: 8, many_from: 2, ..ZipWriter::default() };
        let zip = written(zip, &[("first", b"123456789"), ("second", b"abc")]);
        let end = zip.len() - 22;
        assert_eq!((u32_at(&zip, end + 12), u32_at(&zip, end + 16)), (u32::MAX, u32::MAX));
        let locator = end - 20;
        assert_eq!(&zip[locator..locator + 4], b"PK\x06\x07");
        let record = u64_at(&zip, locator + 8) as usize;
        assert_eq!(&zip[record..record + 4], b"PK\x06\x06");
        assert_eq!(u64_at(&zip, record + 32), 2);
        let directory = u64_at(&zip, record + 48) as usize;
        assert_eq!(directory + u64_at(&zip, record + 40) as usize, record);
        assert_eq!((u32_at(&zip, directory + 20), u32_at(&zip, directory + 24)), (u32::MAX, u32::MAX));
        assert_eq!(u32_at(&zip, directory + 42), 0, "the first offset fits");
        let extra = directory + 46 + 5;
        assert_eq!((u64_at(&zip, extra + 4), u64_at(&zip, extra + 12)), (9, 9));
        // The descriptor of the first file is wide as well.
        let descriptor = 30 + 5 + 20 + 9;
        assert_eq!((u64_at(&zip, descriptor + 8), u64_at(&zip, descriptor + 16)), (9, 9));
    }

    #[test]
    fn a_file_must_keep_its_word() {
        let mut zip = ZipWriter::default();
        zip.begin("a", 3, datetime!(1970-01-01 0:00 UTC)).unwrap();
        assert!(zip.data(Bytes::from_static(b"1234")).is_err());
        let mut zip = ZipWriter::default();
        zip.begin("a", 3, datetime!(2200-01-01 0:00 UTC)).unwrap();
        zip.data(Bytes::from_static(b"12")).unwrap();
        assert!(zip.end().is_err());
        assert!(ZipWriter::default().begin(&"x".repeat(5000), 1, datetime!(2026-01-01 0:00 UTC)).is_err());
    }
}
