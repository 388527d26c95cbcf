//! Archives written as a stream: each call takes a piece of a file and gives the bytes that follow in the archive, so that
//! no archive ever lies in memory. Pure formats: no storage, no catalog.

mod tgz;
mod zip;

use bytes::Bytes;
use std::io;
use time::OffsetDateTime;

pub use tgz::TgzWriter;
pub use zip::ZipWriter;

/// Longest name of a file within an archive, in bytes: the length fields of both formats hold it.
pub const MAX_NAME_BYTES: usize = 4096;

/// Kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// ZIP, every file stored as it is.
    Zip,
    /// A tar archive, compressed with gzip.
    Tgz,
}

impl ArchiveFormat {
    /// `zip` or `tgz`.
    pub const fn extension(self) -> &'static str {
        match self {
            ArchiveFormat::Zip => "zip",
            ArchiveFormat::Tgz => "tgz",
        }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            ArchiveFormat::Zip => "application/zip",
            ArchiveFormat::Tgz => "application/gzip",
        }
    }
}

/// Why an archive cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file that ended early or went on: its announced and its actual bytes.
    #[error("a file of {announced} bytes had {actual}")]
    Length { announced: u64, actual: u64 },
    #[error("a name of {0} bytes is too long for an archive")]
    Name(usize),
    #[error("the archive is too large")]
    TooLarge,
    #[error("compressing failed: {0}")]
    Compress(#[from] io::Error),
}

/// Writes either kind. The calls for each file are `begin`, `data` any number of times, `end`; at last `finish` once.
pub enum ArchiveWriter {
    Zip(ZipWriter),
    Tgz(TgzWriter),
}

impl ArchiveWriter {
    pub fn new(format: ArchiveFormat) -> Self {
        match format {
            ArchiveFormat::Zip => ArchiveWriter::Zip(ZipWriter::default()),
            ArchiveFormat::Tgz => ArchiveWriter::Tgz(TgzWriter::default()),
        }
    }

    /// Announces a file of `size` bytes. `name` is relative, with `/` between its parts.
    pub fn begin(&mut self, name: &str, size: u64, modified: OffsetDateTime) -> Result<Bytes, ArchiveError> {
        match self {
            ArchiveWriter::Zip(zip) => zip.begin(name, size, modified),
            ArchiveWriter::Tgz(tgz) => tgz.begin(name, size, modified),
        }
    }

    /// The next bytes of the file.
    pub fn data(&mut self, chunk: Bytes) -> Result<Bytes, ArchiveError> {
        match self {
            ArchiveWriter::Zip(zip) => zip.data(chunk),
            ArchiveWriter::Tgz(tgz) => tgz.data(&chunk),
        }
    }

    /// Ends the file, which must have had as many bytes as announced.
    pub fn end(&mut self) -> Result<Bytes, ArchiveError> {
        match self {
            ArchiveWriter::Zip(zip) => zip.end(),
            ArchiveWriter::Tgz(tgz) => tgz.end(),
        }
    }

    /// The end of the archive.
    pub fn finish(self) -> Result<Bytes, ArchiveError> {
        match self {
            ArchiveWriter::Zip(zip) => zip.finish(),
            ArchiveWriter::Tgz(tgz) => tgz.finish(),
        }
    }
}
