//! Opens the stores of blobs that the configuration names.

use crate::app::AppError;
use crate::config::{Config, StorageConfig};
use crate::domain::BlobKey;
use crate::storage::s3::Bucket;
use crate::storage::{BlobStore, FsStore, InPlace, Moved, S3Store, StorageError};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;

/// The store of blobs, and the second one with copies of originals where there is one.
#[derive(Clone)]
pub struct Stores {
    pub blobs: Arc<dyn BlobStore>,
    pub copies: Option<Arc<dyn BlobStore>>,
}

impl From<Arc<dyn BlobStore>> for Stores {
    fn from(blobs: Arc<dyn BlobStore>) -> Self {
        Stores { blobs, copies: None }
    }
}

/// Opens both stores.
pub async fn open_stores(config: &Config) -> Result<Stores, AppError> {
    let blobs = open_store(config).await?;
    let copies = open_backup(config).await?;
    if let Some(copies) = &copies {
        are_two(config, &*blobs, &**copies).await?;
    }
    Ok(Stores { blobs, copies })
}

/// Opens the store of blobs.
pub async fn open_store(config: &Config) -> Result<Arc<dyn BlobStore>, AppError> {
    let mut blobs: Arc<dyn BlobStore> = match &config.storage {
        StorageConfig::Folder(path) => Arc::new(FsStore::open(path).await?),
        StorageConfig::S3(options) => Arc::new(S3Store::open((**options).clone()).await?),
    };
    if let Some(former) = &config.former {
        blobs = Arc::new(Moved::new(blobs, Arc::new(S3Store::open(former.clone()).await?)));
    }
    Ok(Arc::new(InPlace::new(blobs, config.external.iter().cloned().map(Bucket::new))))
}

/// Opens the second store, where the configuration names one. That its server does not answer keeps nobody from starting:
/// the copies are made when it does.
pub async fn open_backup(config: &Config) -> Result<Option<Arc<dyn BlobStore>>, AppError> {
    Ok(match &config.backup {
        None => None,
        Some(StorageConfig::Folder(path)) => Some(Arc::new(FsStore::open(path).await?)),
        Some(StorageConfig::S3(options)) => match S3Store::open((**options).clone()).await {
            Err(StorageError::Unavailable(reason)) => {
                tracing::error!(reason, "the store of the copies does not answer; copies are made when it does");
                Some(Arc::new(S3Store::unasked((**options).clone())?))
            }
            store => Some(Arc::new(store?)),
        },
    })
}

/// Refuses a second store that is the first under another name: one whose blobs are found there too.
async fn are_two(config: &Config, blobs: &dyn BlobStore, copies: &dyn BlobStore) -> Result<(), AppError> {
    let same = match (&config.storage, &config.backup) {
        (StorageConfig::Folder(first), Some(StorageConfig::Folder(second))) => lies_in(first, second)?,
        (StorageConfig::S3(first), Some(StorageConfig::S3(second)))
            if first.bucket == second.bucket && !first.bucket.contains('{') =>
        {
            shares_blobs(blobs, copies).await
        }
        _ => false,
    };
    match same {
        true => Err(AppError::SameStore),
        false => Ok(()),
    }
}

/// Whether one of two folders, which exist, is the other one or lies in it, with all links followed.
fn lies_in(first: &Path, second: &Path) -> Result<bool, AppError> {
    let real = |path: &Path| {
        std::fs::canonicalize(path).map_err(|error| StorageError::io(format!("resolve {}", path.display()), error))
    };
    let (first, second) = (real(first)?, real(second)?);
    Ok(first.starts_with(&second) || second.starts_with(&first))
}

/// Whether a blob that is written to the one store is in the other. What cannot be asked now is no reason not to start.
async fn shares_blobs(blobs: &dyn BlobStore, copies: &dyn BlobStore) -> bool {
    let look = async {
        let key = BlobKey::random();
        let mut writer = copies.create_as(key.clone()).await?;
        writer.write(Bytes::from_static(b"is this one store or two?")).await?;
        writer.commit().await?;
        let found = blobs.size(&key).await;
        copies.delete(&key).await?;
        Ok::<_, StorageError>(found?.is_some())
    };
    look.await.unwrap_or_else(|error| {
        tracing::warn!(%error, "whether the two stores are two could not be found out");
        false
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::storage::MemoryStore;

    #[tokio::test]
    async fn one_store_is_not_two() {
        let (one, other) = (MemoryStore::new(), MemoryStore::new());
        assert!(shares_blobs(&one, &one).await);
        assert!(!shares_blobs(&one, &other).await);
        assert_eq!(one.list(None, 10).await.unwrap(), []);
        assert_eq!(other.list(None, 10).await.unwrap(), []);
    }

    #[test]
    fn folders_are_compared_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["blobs/in", "blobs2"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::os::unix::fs::symlink(path("blobs"), path("link")).unwrap();
        for (second, is_same) in [("blobs", true), ("link", true), ("blobs/in", true), ("", true), ("blobs2", false)] {
            assert_eq!(lies_in(&path("blobs"), &path(second)).unwrap(), is_same, "{second}");
        }
    }
}
