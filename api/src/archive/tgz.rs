//! A tar archive in the pax form (POSIX.1-2001) within gzip. Names and sizes that the old header cannot hold stand in a
//! record before it.

use super::{ArchiveError, MAX_NAME_BYTES};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use time::OffsetDateTime;

const BLOCK: usize = 512;
/// Sizes below this have a place in the header: eleven octal digits.
const MAX_HEADER_SIZE: u64 = 1 << 33;

/// Writes one archive; what the compressor holds back is bounded by its window.
pub struct TgzWriter {
    gzip: GzEncoder<Vec<u8>>,
    announced: u64,
    written: u64,
}

impl Default for TgzWriter {
    fn default() -> Self {
        // Pictures are compressed already: more effort would only cost time.
        TgzWriter { gzip: GzEncoder::new(Vec::new(), Compression::fast()), announced: 0, written: 0 }
    }
}

impl TgzWriter {
    pub(super) fn begin(&mut self, name: &str, size: u64, modified: OffsetDateTime) -> Result<Bytes, ArchiveError> {
        if name.len() > MAX_NAME_BYTES {
            return Err(ArchiveError::Name(name.len()));
        }
        let modified = u64::try_from(modified.unix_timestamp()).unwrap_or(0).min(MAX_HEADER_SIZE - 1);
        let plain = name.is_ascii() && name.len() <= 100;
        if !plain || size >= MAX_HEADER_SIZE {
            let mut records = record("path", name);
            if size >= MAX_HEADER_SIZE {
                records.push_str(&record("size", &size.to_string()));
            }
            self.gzip.write_all(&header("pax", records.len() as u64, modified, b'x'))?;
            self.gzip.write_all(records.as_bytes())?;
            self.pad(records.len() as u64)?;
        }
        let short: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).take(100).collect();
        self.gzip.write_all(&header(&short, if size < MAX_HEADER_SIZE { size } else { 0 }, modified, b'0'))?;
        (self.announced, self.written) = (size, 0);
        Ok(self.take())
    }

    pub(super) fn data(&mut self, chunk: &[u8]) -> Result<Bytes, ArchiveError> {
        self.written = self.written.checked_add(chunk.len() as u64).ok_or(ArchiveError::TooLarge)?;
        if self.written > self.announced {
            return Err(ArchiveError::Length { announced: self.announced, actual: self.written });
        }
        self.gzip.write_all(chunk)?;
        Ok(self.take())
    }

    pub(super) fn end(&mut self) -> Result<Bytes, ArchiveError> {
        if self.written != self.announced {
            return Err(ArchiveError::Length { announced: self.announced, actual: self.written });
        }
        self.pad(self.written)?;
        Ok(self.take())
    }

    pub(super) fn finish(mut self) -> Result<Bytes, ArchiveError> {
        self.gzip.write_all(&[0; 2 * BLOCK])?;
        Ok(self.gzip.finish()?.into())
    }

    fn pad(&mut self, length: u64) -> Result<(), ArchiveError> {
        let over = (length % BLOCK as u64) as usize;
        if over > 0 {
            self.gzip.write_all(&[0; BLOCK][over..])?;
        }
        Ok(())
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(self.gzip.get_mut()).into()
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

/// A header block. `name` is ASCII and has at most 100 characters.
fn header(name: &str, size: u64, modified: u64, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{modified:011o}\0").as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;
    use time::macros::datetime;

    #[test]
    fn names_of_any_script_are_kept() {
        let mut tgz = TgzWriter::default();
        let mut out = Vec::new();
        let long = format!("{}/é.txt", "d".repeat(120));
        for (name, content) in [("plain.txt", b"123456789".as_slice()), (&long, b"x")] {
            out.extend(tgz.begin(name, content.len() as u64, datetime!(2026-11-23 19:30 UTC)).unwrap());
            out.extend(tgz.data(content).unwrap());
            out.extend(tgz.end().unwrap());
        }
        out.extend(tgz.finish().unwrap());
        let mut tar = Vec::new();
        GzDecoder::new(&out[..]).read_to_end(&mut tar).unwrap();
        assert_eq!(tar.len() % BLOCK, 0);
        assert_eq!(&tar[..9], b"plain.txt");
        assert_eq!(&tar[BLOCK..BLOCK + 9], b"123456789");
        assert_eq!(tar[2 * BLOCK + 156], b'x');
        let records = std::str::from_utf8(&tar[3 * BLOCK..3 * BLOCK + 160]).unwrap();
        assert!(records.starts_with(&format!("{} path={long}\n", long.len() + 6 + 4)), "{records}");
        assert_eq!(tar[5 * BLOCK], b'x');
    }

    #[test]
    fn a_file_must_keep_its_word() {
        let mut tgz = TgzWriter::default();
        tgz.begin("a", 3, datetime!(2026-01-01 0:00 UTC)).unwrap();
        assert!(tgz.end().is_err() && tgz.data(b"1234").is_err());
    }
}
