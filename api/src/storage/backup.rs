//! A second store that keeps copies of blobs under their own keys.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use md5::{Digest, Md5};

use super::{BlobKey, BlobStore, BlobWriter, Result, StorageError};

/// What the catalog says of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub bytes: u64,
    /// MD5 in hexadecimal; `None` where only the length is to be compared.
    pub md5: Option<String>,
}

impl Expected {
    /// Only the length is compared.
    pub fn of_length(bytes: u64) -> Self {
        Expected { bytes, md5: None }
    }

    /// [`StorageError::Corrupted`] when the length is another one.
    pub(super) fn check_length(&self, key: &BlobKey, found: u64) -> Result<()> {
        if found == self.bytes {
            return Ok(());
        }
        Err(damaged(key, format!("{found} bytes instead of {}", self.bytes)))
    }

    fn check_md5(&self, key: &BlobKey, found: Md5) -> Result<()> {
        let Some(expected) = &self.md5 else { return Ok(()) };
        let found = hex::encode(found.finalize());
        if found == *expected { Ok(()) } else { Err(damaged(key, format!("its MD5 is {found} instead of {expected}"))) }
    }

    /// [`StorageError::Corrupted`] when these are other bytes.
    pub(super) fn check(&self, key: &BlobKey, whole: &Bytes) -> Result<()> {
        self.check_length(key, whole.len() as u64)?;
        match self.md5 {
            Some(_) => self.check_md5(key, Md5::new_with_prefix(whole)),
            None => Ok(()),
        }
    }
}

fn damaged(key: &BlobKey, reason: String) -> StorageError {
    StorageError::Corrupted { key: key.clone(), reason }
}

/// What was done so that both stores have a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrored {
    /// Both had it.
    Nothing,
    /// The second store got its copy.
    Copied,
    /// The first store got it back from the second.
    Restored,
}

impl Mirrored {
    pub const fn as_str(self) -> &'static str {
        match self {
            Mirrored::Nothing => "nothing",
            Mirrored::Copied => "copied",
            Mirrored::Restored => "restored",
        }
    }
}

/// A store and the one that holds its copies; each may be of any kind. Cheap to clone.
#[derive(Clone)]
pub struct Backup {
    primary: Arc<dyn BlobStore>,
    copies: Arc<dyn BlobStore>,
}

impl Backup {
    pub fn new(primary: Arc<dyn BlobStore>, copies: Arc<dyn BlobStore>) -> Self {
        Self { primary, copies }
    }

    /// The store of the blobs themselves.
    pub fn primary(&self) -> &Arc<dyn BlobStore> {
        &self.primary
    }

    /// The store of the copies.
    pub fn copies(&self) -> &Arc<dyn BlobStore> {
        &self.copies
    }

    /// Makes both stores hold the blob as it should be: the one that lost it, or holds other bytes, gets it from the other
    /// one. With `deep` what is there is read; else only its length is compared. What is copied is always read and
    /// compared, so that damage never spreads. The error says what is wrong with the first store's blob where neither
    /// has a good one, then nothing was changed.
    pub async fn mirror(&self, key: &BlobKey, expected: &Expected, deep: bool) -> Result<Mirrored> {
        let first = fault(&*self.primary, key, expected, deep).await?;
        let second = fault(&*self.copies, key, expected, deep).await?;
        match (first, second) {
            (None, None) => Ok(Mirrored::Nothing),
            (None, Some(_)) => self.keep(key, expected).await.map(|()| Mirrored::Copied),
            (Some(_), None) => self.restore(key, expected).await.map(|()| Mirrored::Restored),
            (Some(error), Some(_)) => Err(error),
        }
    }

    /// Copies a blob to the second store, over what is there; returns when the copy is durable.
    pub async fn keep(&self, key: &BlobKey, expected: &Expected) -> Result<()> {
        copy(&*self.primary, &*self.copies, key, expected).await
    }

    /// Brings a blob back from the second store, over what the first has under the key.
    pub async fn restore(&self, key: &BlobKey, expected: &Expected) -> Result<()> {
        copy(&*self.copies, &*self.primary, key, expected).await
    }
}

/// What is wrong with a blob in one store. The error of the result is one of the store that says nothing of the blob.
pub async fn fault(
    store: &dyn BlobStore,
    key: &BlobKey,
    expected: &Expected,
    deep: bool,
) -> Result<Option<StorageError>> {
    let looked = match store.size(key).await {
        Ok(None) => Err(StorageError::NotFound(key.clone())),
        Ok(Some(bytes)) => match expected.check_length(key, bytes) {
            Ok(()) if deep => read(store, key, expected, None).await,
            checked => checked,
        },
        Err(error) => Err(error),
    };
    match looked {
        Ok(()) => Ok(None),
        // A disk that gives some bytes no longer is a fault of those blobs.
        Err(error) if error.is_of_the_blob() => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// Reads a blob to its end, and compares it; the writer gets what is read.
async fn read(
    store: &dyn BlobStore,
    key: &BlobKey,
    expected: &Expected,
    mut writer: Option<&mut dyn BlobWriter>,
) -> Result<()> {
    let (mut reader, mut hash, mut bytes) = (store.open(key, None).await?, Md5::new(), 0_u64);
    expected.check_length(key, reader.length())?;
    while let Some(chunk) = reader.next().await {
        let chunk = chunk?;
        bytes += chunk.len() as u64;
        hash.update(&chunk);
        if let Some(writer) = &mut writer {
            writer.write(chunk).await?;
        }
    }
    expected.check_length(key, bytes)?;
    expected.check_md5(key, hash)
}

/// Copies a blob, over what is there already; nothing is committed that is not as expected.
async fn copy(from: &dyn BlobStore, to: &dyn BlobStore, key: &BlobKey, expected: &Expected) -> Result<()> {
    let mut writer = to.create_as(key.clone()).await?;
    read(from, key, expected, Some(&mut *writer)).await?;
    writer.commit().await?;
    // What was there before, of another length, must not be what is found now.
    match to.size(key).await? {
        Some(bytes) => expected.check_length(key, bytes),
        None => Err(StorageError::NotFound(key.clone())),
    }
}
