//! Blobs as files in a folder.
//!
//! Layout: `ab/cd/abcd…` for blobs, `tmp/<session>/` for what is being written. A session belongs to one opened store
//! and is held by a file lock, so that several processes can share a folder and the next start removes exactly what a
//! crashed one left.

use std::{
    fs, io,
    ops::Range,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;

use super::{
    BlobKey, BlobReader, BlobStore, BlobWriter, Result, StorageError, Stored, checked_range,
    folders::{Folders, Session},
    path_of,
};
use crate::domain::Timestamp;

/// Bytes that one read of a stream asks for.
const READ_CHUNK_BYTES: usize = 256 * 1024;

/// A store in a local folder.
pub struct FsStore {
    folders: Arc<Folders>,
}

impl FsStore {
    /// Opens the store in `root`, creating the folder (mode 0700) if need be, and removes what writers of processes
    /// that no longer live have left.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        blocking("open the blob folder", move || Ok(Self { folders: Arc::new(Folders::open(root)?) })).await
    }

    pub fn root(&self) -> &Path {
        self.folders.root()
    }

    fn path(&self, key: &BlobKey) -> PathBuf {
        self.folders.root().join(path_of(key))
    }
}

#[async_trait]
impl BlobStore for FsStore {
    async fn create_as(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>> {
        let folders = Arc::clone(&self.folders);
        blocking("create a blob", move || {
            let path = folders.session().path().join(key.as_str());
            let file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .map_err(|error| StorageError::io(format!("create {}", path.display()), error))?;
            let temporary = TemporaryFile { path, _session: Arc::clone(folders.session()) };
            let writer = FsWriter { folders, key, file: Some(file), temporary, written: 0 };
            Ok(Box::new(writer) as Box<dyn BlobWriter>)
        })
        .await
    }

    async fn read(&self, key: &BlobKey) -> Result<Bytes> {
        let (path, key) = (self.path(key), key.clone());
        blocking("read a blob", move || fs::read(&path).map(Bytes::from).map_err(|error| of_blob(error, &key, "read")))
            .await
    }

    async fn open(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobReader> {
        let (path, key) = (self.path(key), key.clone());
        let named = key.clone();
        let (file, range) = blocking("open a blob", move || {
            let file = fs::File::open(&path).map_err(|error| of_blob(error, &named, "open"))?;
            let size = file.metadata().map_err(|error| of_blob(error, &named, "measure"))?.len();
            Ok((Arc::new(file), checked_range(range, size)?))
        })
        .await?;
        let length = range.end - range.start;
        let chunks = stream::try_unfold(range, move |rest| {
            let (file, key) = (Arc::clone(&file), key.clone());
            async move {
                if rest.is_empty() {
                    return Ok(None);
                }
                let chunk = blocking("read a blob", move || read_chunk(&file, &rest, &key)).await?;
                Ok(Some(chunk))
            }
        });
        Ok(BlobReader::new(length, Box::pin(chunks)))
    }

    async fn size(&self, key: &BlobKey) -> Result<Option<u64>> {
        Ok(self.stored(key).await?.map(|stored| stored.bytes))
    }

    /// The time of the last change of the file's names: a copy is a second name of a file that may be much older.
    async fn stored(&self, key: &BlobKey) -> Result<Option<Stored>> {
        use std::os::unix::fs::MetadataExt;
        let (path, key) = (self.path(key), key.clone());
        blocking("measure a blob", move || match fs::metadata(&path) {
            Ok(metadata) => {
                Ok(Some(Stored { bytes: metadata.len(), since: Some(Timestamp::from_unix_seconds(metadata.ctime())) }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(of_blob(error, &key, "measure")),
        })
        .await
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        let (path, key) = (self.path(key), key.clone());
        blocking("delete a blob", move || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(of_blob(error, &key, "delete")),
            _ => Ok(()),
        })
        .await
    }

    /// Blobs never change, so that a copy may be a second name of the same file.
    async fn copy(&self, from: &BlobKey, to: &BlobKey) -> Result<()> {
        let (folders, source, from, to) = (Arc::clone(&self.folders), self.path(from), from.clone(), to.clone());
        blocking("copy a blob", move || {
            let path = folders.session().path().join(BlobKey::random().as_str());
            let temporary = TemporaryFile { path, _session: Arc::clone(folders.session()) };
            if let Err(error) = fs::hard_link(&source, &temporary.path) {
                if error.kind() == io::ErrorKind::NotFound {
                    return Err(StorageError::NotFound(from));
                }
                // Some file systems know no second names.
                fs::copy(&source, &temporary.path)
                    .and_then(|_| fs::File::open(&temporary.path)?.sync_all())
                    .map_err(|error| of_blob(error, &from, "copy"))?;
            }
            folders.place(&temporary.path, &to)
        })
        .await
    }

    async fn list(&self, after: Option<&BlobKey>, limit: usize) -> Result<Vec<BlobKey>> {
        let (folders, after) = (Arc::clone(&self.folders), after.cloned());
        blocking("list blobs", move || folders.list(after.as_ref(), limit)).await
    }

    fn kind(&self) -> &'static str {
        "folder"
    }
}

/// The next chunk of `rest`, and what remains after it.
fn read_chunk(file: &fs::File, rest: &Range<u64>, key: &BlobKey) -> Result<(Bytes, Range<u64>)> {
    use std::os::unix::fs::FileExt;
    let wanted = (rest.end - rest.start).min(READ_CHUNK_BYTES as u64);
    let mut chunk = vec![0; wanted as usize];
    file.read_exact_at(&mut chunk, rest.start).map_err(|error| of_blob(error, key, "read"))?;
    Ok((Bytes::from(chunk), rest.start + wanted..rest.end))
}

/// Removes its file when dropped; after the rename of a commit there is nothing left to remove.
struct TemporaryFile {
    path: PathBuf,
    /// The session's folder must outlive the file.
    _session: Arc<Session>,
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "an unfinished blob could not be removed");
            }
            _ => {}
        }
    }
}

struct FsWriter {
    folders: Arc<Folders>,
    key: BlobKey,
    /// `None` while a write runs and after one has failed or was given up.
    file: Option<fs::File>,
    temporary: TemporaryFile,
    written: u64,
}

fn broken() -> StorageError {
    StorageError::io("go on with a blob", io::Error::other("an earlier write failed or was given up"))
}

#[async_trait]
impl BlobWriter for FsWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let mut file = self.file.take().ok_or_else(broken)?;
        let length = chunk.len() as u64;
        let file = blocking("write a blob", move || {
            io::Write::write_all(&mut file, &chunk).map_err(|error| StorageError::io("write a blob", error))?;
            Ok(file)
        })
        .await?;
        self.file = Some(file);
        self.written += length;
        Ok(())
    }

    fn written(&self) -> u64 {
        self.written
    }

    /// Bytes, then name, then the folder that holds the name are made durable. A commit whose future is dropped may
    /// still succeed; then the blob is one that no row names.
    async fn commit(self: Box<Self>) -> Result<BlobKey> {
        let Self { folders, key, file, temporary, .. } = *self;
        let file = file.ok_or_else(broken)?;
        blocking("commit a blob", move || {
            file.sync_all().map_err(|error| StorageError::io("make a blob durable", error))?;
            drop(file);
            folders.place(&temporary.path, &key)?;
            Ok(key)
        })
        .await
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StorageError::io(operation, io::Error::other(error))),
    }
}

fn of_blob(error: io::Error, key: &BlobKey, verb: &str) -> StorageError {
    if error.kind() == io::ErrorKind::NotFound {
        StorageError::NotFound(key.clone())
    } else {
        StorageError::io(format!("{verb} blob {key}"), error)
    }
}

/// Creates one folder that only its owner may enter. One that exists already is no error.
pub(super) fn create_folder(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(StorageError::io(format!("create folder {}", path.display()), error))
        }
        _ => Ok(()),
    }
}
