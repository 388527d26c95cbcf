//! A store whose originals are looked at as they are read, and read from their copies where the blobs themselves are lost
//! or damaged.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use parking_lot::Mutex;

use super::{Backup, BlobKey, BlobReader, BlobStore, BlobWriter, Expected, Reference, Result, StorageError, Stored};
use crate::domain::CloudId;

/// How long nobody is told of the same lost blob again.
const QUIET: Duration = Duration::from_secs(30);
/// Lost blobs that are remembered for that.
const MOST_TOLD: usize = 10_000;

/// What the first store could not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It has no such blob.
    Missing,
    /// It has other bytes, or cannot read them.
    Damaged,
    /// It does not answer.
    Unavailable,
}

impl Fault {
    pub const ALL: [Fault; 3] = [Fault::Missing, Fault::Damaged, Fault::Unavailable];

    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::Missing => "missing",
            Fault::Damaged => "damaged",
            Fault::Unavailable => "unavailable",
        }
    }

    /// `None` for errors that another store would make too.
    fn of(error: &StorageError) -> Option<Fault> {
        match error {
            StorageError::NotFound(_) => Some(Fault::Missing),
            StorageError::Unavailable(_) => Some(Fault::Unavailable),
            error if error.is_of_the_blob() => Some(Fault::Damaged),
            _ => None,
        }
    }
}

/// Originals that the first store could not give, since the start of the process.
#[derive(Debug, Default)]
pub struct FaultCounts {
    /// Read from the copy instead.
    mended: [AtomicU64; 3],
    /// Answered with an error.
    lost: [AtomicU64; 3],
}

impl FaultCounts {
    /// Counts an answer that could not be given.
    pub fn count_lost(&self, fault: Fault) {
        self.lost[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often a copy was read, and how often there was none.
    pub fn of(&self, fault: Fault) -> (u64, u64) {
        let of = |counts: &[AtomicU64; 3]| counts[fault as usize].load(Ordering::Relaxed);
        (of(&self.mended), of(&self.lost))
    }
}

/// Told of a blob whose copy is good and which the first store has lost or damaged.
pub type OnFault = Box<dyn Fn(&BlobKey) + Send + Sync>;

/// A store that looks at originals as it reads them, with or without a second one. Cheap to clone.
#[derive(Clone)]
pub struct GuardedStore {
    inner: Arc<Inner>,
}

struct Inner {
    primary: Arc<dyn BlobStore>,
    copies: Option<Arc<dyn BlobStore>>,
    counts: Arc<FaultCounts>,
    on_fault: OnceLock<OnFault>,
    told: Mutex<HashMap<BlobKey, Instant>>,
}

impl GuardedStore {
    pub fn new(primary: Arc<dyn BlobStore>, copies: Option<Arc<dyn BlobStore>>) -> Self {
        let (counts, told) = (Arc::default(), Mutex::default());
        GuardedStore { inner: Arc::new(Inner { primary, copies, counts, on_fault: OnceLock::new(), told }) }
    }

    /// Both stores, where there is a second one.
    pub fn backup(&self) -> Option<Backup> {
        let copies = self.inner.copies.clone()?;
        Some(Backup::new(self.inner.primary.clone(), copies))
    }

    pub fn counts(&self) -> &Arc<FaultCounts> {
        &self.inner.counts
    }

    /// Whom to tell of blobs that are to be brought back. Only the first call counts.
    pub fn on_fault(&self, tell: OnFault) {
        let _ = self.inner.on_fault.set(tell);
    }
}

impl Inner {
    /// The second store, where it may help against an error of the first.
    fn instead(&self, error: &StorageError) -> Option<(&Arc<dyn BlobStore>, Fault)> {
        Some((self.copies.as_ref()?, Fault::of(error)?))
    }

    /// A copy was good: counts it, and has the blob brought back unless the first store only does not answer.
    fn mended(&self, key: &BlobKey, fault: Fault, error: &StorageError) {
        self.counts.mended[fault as usize].fetch_add(1, Ordering::Relaxed);
        tracing::warn!(blob = %key, %error, "an original was read from its copy");
        let Some(tell) = self.on_fault.get().filter(|_| fault != Fault::Unavailable) else { return };
        {
            let mut told = self.told.lock();
            let now = Instant::now();
            if told.len() >= MOST_TOLD {
                told.retain(|_, at| now.duration_since(*at) < QUIET);
            }
            if told.get(key).is_some_and(|at| now.duration_since(*at) < QUIET) || told.len() >= MOST_TOLD {
                return;
            }
            told.insert(key.clone(), now);
        }
        tell(key);
    }
}

/// A stream of a blob from one of the stores, and how far it came.
struct Resumed {
    inner: Arc<Inner>,
    key: BlobKey,
    reader: BlobReader,
    rest: Range<u64>,
    is_copy: bool,
}

impl Resumed {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            let error = match self.reader.next().await {
                Some(Ok(chunk)) => {
                    self.rest.start = self.rest.start.saturating_add(chunk.len() as u64).min(self.rest.end);
                    return Ok(Some((chunk, self)));
                }
                None if self.rest.is_empty() => return Ok(None),
                None => StorageError::Corrupted { key: self.key.clone(), reason: "its stream ended early".to_owned() },
                Some(Err(error)) => error,
            };
            let instead = if self.is_copy { None } else { self.inner.instead(&error) };
            let Some((copies, fault)) = instead else { return Err(error) };
            // The rest comes from the copy; what was given already was read without an error.
            let Ok(reader) = copies.open(&self.key, Some(self.rest.clone())).await else { return Err(error) };
            self.inner.mended(&self.key, fault, &error);
            (self.reader, self.is_copy) = (reader, true);
        }
    }
}

#[async_trait]
impl BlobStore for GuardedStore {
    async fn create_as(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>> {
        self.inner.primary.create_as(key).await
    }

    async fn create(&self) -> Result<Box<dyn BlobWriter>> {
        self.inner.primary.create().await
    }

    async fn create_for(&self, cloud: &CloudId) -> Result<Box<dyn BlobWriter>> {
        self.inner.primary.create_for(cloud).await
    }

    async fn create_reference(&self, cloud: &CloudId, reference: &Reference) -> Result<Box<dyn BlobWriter>> {
        self.inner.primary.create_reference(cloud, reference).await
    }

    async fn read(&self, key: &BlobKey) -> Result<Bytes> {
        self.inner.primary.read(key).await
    }

    async fn md5(&self, key: &BlobKey) -> Result<Option<String>> {
        self.inner.primary.md5(key).await
    }

    async fn open(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobReader> {
        self.inner.primary.open(key, range).await
    }

    async fn size(&self, key: &BlobKey) -> Result<Option<u64>> {
        self.inner.primary.size(key).await
    }

    async fn stored(&self, key: &BlobKey) -> Result<Option<Stored>> {
        self.inner.primary.stored(key).await
    }

    async fn read_original(&self, key: &BlobKey, expected: &Expected) -> Result<Bytes> {
        let error = match self.inner.primary.read_original(key, expected).await {
            Err(error) => error,
            read => return read,
        };
        let Some((copies, fault)) = self.inner.instead(&error) else { return Err(error) };
        match copies.read_original(key, expected).await {
            Ok(whole) => {
                self.inner.mended(key, fault, &error);
                Ok(whole)
            }
            Err(of_copy) => {
                tracing::debug!(blob = %key, error = %of_copy, "there is no good copy");
                Err(error)
            }
        }
    }

    async fn open_original(&self, key: &BlobKey, bytes: u64, range: Option<Range<u64>>) -> Result<BlobReader> {
        let rest = range.clone().unwrap_or(0..bytes);
        let (reader, is_copy) = match self.inner.primary.open_original(key, bytes, range.clone()).await {
            Ok(reader) => (reader, false),
            Err(error) => {
                let Some((copies, fault)) = self.inner.instead(&error) else { return Err(error) };
                let Ok(reader) = copies.open_original(key, bytes, range).await else { return Err(error) };
                self.inner.mended(key, fault, &error);
                (reader, true)
            }
        };
        let (length, inner) = (reader.length(), self.inner.clone());
        let resumed = Resumed { inner, key: key.clone(), reader, rest, is_copy };
        Ok(BlobReader::new(length, Box::pin(stream::try_unfold(resumed, Resumed::next))))
    }

    async fn check_original(&self, key: &BlobKey, bytes: u64) -> Result<()> {
        let Err(error) = self.inner.primary.check_original(key, bytes).await else { return Ok(()) };
        let Some((copies, _)) = self.inner.instead(&error) else { return Err(error) };
        copies.check_original(key, bytes).await.map_err(|_| error)
    }

    /// From the first store only: copies go later, see `jobs::copy`.
    async fn delete(&self, key: &BlobKey) -> Result<()> {
        self.inner.primary.delete(key).await
    }

    async fn delete_all(&self, keys: &[BlobKey]) -> Result<()> {
        self.inner.primary.delete_all(keys).await
    }

    async fn copy(&self, from: &BlobKey, to: &BlobKey) -> Result<()> {
        self.inner.primary.copy(from, to).await
    }

    async fn remove_unfinished(&self) -> Result<u64> {
        self.inner.primary.remove_unfinished().await
    }

    async fn list(&self, after: Option<&BlobKey>, limit: usize) -> Result<Vec<BlobKey>> {
        self.inner.primary.list(after, limit).await
    }

    fn kind(&self) -> &'static str {
        self.inner.primary.kind()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{FsStore, MemoryStore, Mirrored, conformance, path_of};
    use super::*;
    use std::fs;

    async fn put(store: &dyn BlobStore, content: &[u8]) -> BlobKey {
        let mut writer = store.create().await.unwrap();
        writer.write(Bytes::copy_from_slice(content)).await.unwrap();
        writer.commit().await.unwrap()
    }

    fn expected(content: &[u8]) -> Expected {
        use md5::{Digest, Md5};
        Expected { bytes: content.len() as u64, md5: Some(hex::encode(Md5::digest(content))) }
    }

    /// Both stores, and the blobs that were told of.
    fn guarded(primary: Arc<dyn BlobStore>) -> (GuardedStore, Arc<Mutex<Vec<BlobKey>>>) {
        let store = GuardedStore::new(primary, Some(Arc::new(MemoryStore::new())));
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        store.on_fault(Box::new(move |key| tell.lock().push(key.clone())));
        (store, told)
    }

    #[tokio::test]
    async fn it_is_a_store_like_others() {
        conformance::run(Arc::new(GuardedStore::new(Arc::new(MemoryStore::new()), None))).await;
        conformance::run(Arc::new(guarded(Arc::new(MemoryStore::new())).0)).await;
    }

    #[tokio::test]
    async fn copies_are_read_where_the_first_store_has_nothing_good() {
        let folder = tempfile::tempdir().unwrap();
        let (store, told) = guarded(Arc::new(FsStore::open(folder.path()).await.unwrap()));
        let content: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
        let (key, expected) = (put(&store, &content).await, expected(&content));
        let (backup, bytes) = (store.backup().unwrap(), expected.bytes);
        let file = folder.path().join(path_of(&key));

        fs::remove_file(&file).unwrap();
        assert!(matches!(store.read_original(&key, &expected).await, Err(StorageError::NotFound(_))));
        assert!(matches!(store.check_original(&key, bytes).await, Err(StorageError::NotFound(_))));
        assert!(matches!(backup.mirror(&key, &expected, true).await, Err(StorageError::NotFound(_))));
        assert_eq!((store.counts().of(Fault::Missing), told.lock().len()), ((0, 0), 0));

        fs::write(&file, &content).unwrap();
        assert_eq!(backup.mirror(&key, &expected, false).await.unwrap(), Mirrored::Copied);
        assert_eq!(backup.mirror(&key, &expected, true).await.unwrap(), Mirrored::Nothing);
        fs::remove_file(&file).unwrap();
        assert_eq!(store.read_original(&key, &expected).await.unwrap(), content);
        store.check_original(&key, bytes).await.unwrap();
        let part = store.open_original(&key, bytes, Some(10..300_000)).await.unwrap();
        assert_eq!(part.length(), 299_990);
        assert_eq!(part.collect().await.unwrap(), content[10..300_000]);
        assert_eq!(store.counts().of(Fault::Missing), (2, 0));
        assert_eq!(*told.lock(), std::slice::from_ref(&key), "once, however often it is read");
        assert!(store.read(&key).await.is_err(), "what is no original has no copy");

        // Too short, and of the right length with a wrong byte.
        fs::write(&file, &content[1..]).unwrap();
        assert_eq!(store.read_original(&key, &Expected::of_length(bytes)).await.unwrap(), content);
        assert_eq!(store.open_original(&key, bytes, None).await.unwrap().collect().await.unwrap(), content);
        let mut wrong = content.clone();
        wrong[77] ^= 4;
        fs::write(&file, &wrong).unwrap();
        assert_eq!(store.read_original(&key, &expected).await.unwrap(), content);
        assert_eq!(store.counts().of(Fault::Damaged), (3, 0));
        assert_eq!(backup.mirror(&key, &expected, false).await.unwrap(), Mirrored::Nothing, "only reading tells");
        assert_eq!(backup.mirror(&key, &expected, true).await.unwrap(), Mirrored::Restored);
        assert_eq!(fs::read(&file).unwrap(), content);

        // A damaged blob is never made the copy.
        fs::write(&file, &wrong).unwrap();
        backup.copies().delete(&key).await.unwrap();
        assert!(matches!(backup.mirror(&key, &expected, false).await, Err(StorageError::Corrupted { .. })));
        assert_eq!(backup.copies().size(&key).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_stream_that_breaks_goes_on_from_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (store, told) = guarded(Arc::new(FsStore::open(folder.path()).await.unwrap()));
        let content: Vec<u8> = (0..900_000_u32).map(|n| (n % 253) as u8).collect();
        let (key, expected) = (put(&store, &content).await, expected(&content));
        store.backup().unwrap().mirror(&key, &expected, false).await.unwrap();
        let mut reader = store.open_original(&key, expected.bytes, None).await.unwrap();
        let mut read = reader.next().await.unwrap().unwrap().to_vec();
        assert!(read.len() < content.len());
        // The file loses its end while it is read.
        fs::File::options().write(true).open(folder.path().join(path_of(&key))).unwrap().set_len(1000).unwrap();
        while let Some(chunk) = reader.next().await {
            read.extend_from_slice(&chunk.unwrap());
        }
        assert!(read == content);
        assert_eq!((store.counts().of(Fault::Damaged), told.lock().len()), ((1, 0), 1));
    }
}
