//! Files in memory, for answers that are sent often: the kernel sends their pages as they lie (`sendfile`), where bytes of
//! ours would be copied into the socket every time. Of a cached picture of 20 KB that copy is a sixth of the work.
//!
//! Linux has such files (`memfd_create(2)`); elsewhere there are none, and bytes are sent.

use std::fs::File;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Files at once: each takes a descriptor of the process.
const MOST_FILES: usize = 256;
/// Smaller ones are copied sooner than sent by a call of their own.
const LEAST_BYTES: usize = 16 << 10;
/// Writing a larger one would keep other connections waiting.
const MOST_BYTES: usize = 512 << 10;
const PAGE_BYTES: usize = 4096;

/// Makes the files, and bounds their number and bytes.
#[derive(Debug, Clone)]
pub struct PageFiles {
    places: Arc<Semaphore>,
    pages: Arc<Semaphore>,
    n_pages: usize,
}

/// A file that holds some bytes for as long as this lives.
#[derive(Debug)]
pub struct PageFile {
    file: File,
    length: usize,
    _place: OwnedSemaphorePermit,
    _pages: OwnedSemaphorePermit,
}

impl PageFiles {
    /// For files of at most `bytes` together.
    pub fn new(bytes: usize) -> Self {
        let n_pages = (bytes / PAGE_BYTES).min(Semaphore::MAX_PERMITS);
        let (places, pages) = (Semaphore::new(MOST_FILES), Semaphore::new(n_pages));
        PageFiles { places: Arc::new(places), pages: Arc::new(pages), n_pages }
    }

    /// A file with these bytes; `None` where there is no room for it, or where it would not pay.
    pub fn hold(&self, bytes: &[u8]) -> Option<PageFile> {
        if !(LEAST_BYTES..=MOST_BYTES).contains(&bytes.len()) {
            return None;
        }
        let n_pages = u32::try_from(bytes.len().div_ceil(PAGE_BYTES)).ok()?;
        let place = self.places.clone().try_acquire_owned().ok()?;
        let pages = self.pages.clone().try_acquire_many_owned(n_pages).ok()?;
        match write(bytes) {
            Ok(file) => Some(PageFile { file, length: bytes.len(), _place: place, _pages: pages }),
            Err(error) => {
                tracing::debug!(%error, "an answer is not held in a file of memory");
                None
            }
        }
    }

    /// Bytes that are held now, in whole pages.
    pub fn bytes(&self) -> usize {
        (self.n_pages - self.pages.available_permits()) * PAGE_BYTES
    }
}

impl PageFile {
    /// The file, whose offset is never used.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes of the file.
    pub fn length(&self) -> usize {
        self.length
    }
}

#[cfg(target_os = "linux")]
fn write(bytes: &[u8]) -> std::io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::io::Write;
    let mut file = File::from(memfd_create("tintype-answer", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

#[cfg(not(target_os = "linux"))]
fn write(_: &[u8]) -> std::io::Result<File> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn files_hold_what_they_were_given_within_bounds() {
        let files = PageFiles::new(20 * PAGE_BYTES);
        let bytes: Vec<u8> = (0..LEAST_BYTES + 5).map(|i| i as u8).collect();
        let held = files.hold(&bytes).unwrap();
        let mut read = vec![0; held.length()];
        held.file().read_exact_at(&mut read, 0).unwrap();
        assert_eq!(read, bytes);
        assert_eq!(files.bytes(), 5 * PAGE_BYTES);
        let others: Vec<PageFile> = (0..3).map(|_| files.hold(&bytes).unwrap()).collect();
        assert!(files.hold(&bytes).is_none(), "there is no room for five pages more");
        drop(others);
        assert!(files.hold(&bytes).is_some());
        assert!(files.hold(&bytes[..LEAST_BYTES - 1]).is_none());
        drop(held);
        assert_eq!(files.bytes(), 0);
    }

    #[test]
    fn the_number_of_files_is_bounded() {
        let files = PageFiles::new(1 << 30);
        let held: Vec<_> = (0..=MOST_FILES).map_while(|_| files.hold(&[7; LEAST_BYTES])).collect();
        assert_eq!(held.len(), MOST_FILES);
    }
}
