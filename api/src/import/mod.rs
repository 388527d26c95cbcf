//! `tintype import`: bringing a library here from a folder, a bucket, or an account of Cloudinary.
//!
//! Every file goes the way of an upload, so that whatever holds for uploads holds for it. An import keeps no record of its
//! own: what is here already with the same bytes is passed over, so that running it again goes on where it ended.

mod account;
mod bucket;
mod definitions;
mod folder;
mod spelling;

pub use account::{Account, AccountError};
pub use bucket::objects;
pub use definitions::{Count, Definitions, copy_definitions};
pub use folder::files;

use crate::auth::basic::basic_header;
use crate::catalog::CatalogError;
use crate::domain::{AssetKey, DeliveryType, InvalidValue, PublicId, ResourceType};
use crate::fetch::{ContentTypes, Failure as FetchFailure, FetchError, RemoteClient};
use crate::service::access::Caller;
use crate::service::library::LibraryService;
use crate::service::upload::{FileSource, UploadError, UploadRequest, UploadService};
use crate::storage::{BlobReader, Reference};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, pin_mut};
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Bytes that are read of a file at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Tries of one file.
const ATTEMPTS: u32 = 4;
/// Failures that a report keeps; the rest is counted.
const MAX_FAILURES: usize = 10_000;

/// Opens an object of a bucket.
pub type OpenObject = Arc<dyn Fn() -> BoxFuture<'static, Result<BlobReader, String>> + Send + Sync>;

/// Where the bytes of an item are.
#[derive(Clone)]
pub enum ItemFile {
    Path(PathBuf),
    Address(String),
    Object(OpenObject),
}

/// One file to be brought here.
#[derive(Clone)]
pub struct Item {
    pub file: ItemFile,
    pub resource_type: ResourceType,
    pub delivery_type: DeliveryType,
    pub public_id: String,
    /// As it was called where it comes from.
    pub filename: String,
    /// Size, where it is known before the file is read.
    pub bytes: Option<u64>,
    /// MD5 in hex, where the source tells it.
    pub md5: Option<String>,
    /// Further parameters of the upload.
    pub params: Vec<(String, String)>,
    /// Where the bytes stay that are not to be copied.
    pub reference: Option<Reference>,
}

/// What cannot be imported, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    pub what: String,
    pub reason: String,
}

/// Items as a source finds them; an error is one item that cannot be.
pub type Items = BoxStream<'static, Result<Item, Failure>>;

/// How an import goes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Files on their way at once.
    pub concurrency: usize,
    /// Look, and change nothing.
    pub dry_run: bool,
    /// Leave assets alone that are here with other bytes.
    pub keep_existing: bool,
    /// Pause before a file is tried again; doubles with each try.
    pub pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { concurrency: 8, dry_run: false, keep_existing: false, pause: Duration::from_secs(1) }
    }
}

/// Counts of a running import.
#[derive(Debug, Default)]
pub struct Progress {
    pub imported: AtomicU64,
    /// Here already, with the same bytes.
    pub present: AtomicU64,
    /// Here with other bytes, and left alone.
    pub kept: AtomicU64,
    pub failed: AtomicU64,
    pub bytes: AtomicU64,
}

/// How an import ended.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    pub imported: u64,
    pub present: u64,
    pub kept: u64,
    pub failed: u64,
    /// Bytes of what was imported.
    pub bytes: u64,
    pub failures: Vec<Failure>,
}

/// What became of one item.
enum Outcome {
    Imported(u64),
    Present,
    Kept,
}

/// The cloud that is imported into.
#[derive(Clone)]
pub struct Importer {
    pub uploads: UploadService,
    pub library: LibraryService,
    pub remote: RemoteClient,
    pub caller: Caller,
}

impl Importer {
    /// Imports all items; `stop` ends it between two of them.
    pub async fn run(
        &self,
        items: Items,
        options: Options,
        progress: &Progress,
        stop: impl Future<Output = ()>,
    ) -> Report {
        let outcomes = items
            .take_until(stop)
            .map(|item| async move {
                match item {
                    Err(failure) => Err(failure),
                    Ok(item) => {
                        let what = format!("{}/{}/{}", item.resource_type, item.delivery_type, item.public_id);
                        self.import(&item, options).await.map_err(|reason| Failure { what, reason })
                    }
                }
            })
            .buffer_unordered(options.concurrency.max(1));
        pin_mut!(outcomes);
        let mut failures = Vec::new();
        while let Some(outcome) = outcomes.next().await {
            let counter = match outcome {
                Ok(Outcome::Imported(bytes)) => {
                    progress.bytes.fetch_add(bytes, Ordering::Relaxed);
                    &progress.imported
                }
                Ok(Outcome::Present) => &progress.present,
                Ok(Outcome::Kept) => &progress.kept,
                Err(failure) => {
                    if failures.len() < MAX_FAILURES {
                        failures.push(failure);
                    }
                    &progress.failed
                }
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Report {
            imported: read(&progress.imported),
            present: read(&progress.present),
            kept: read(&progress.kept),
            failed: read(&progress.failed),
            bytes: read(&progress.bytes),
            failures,
        }
    }

    async fn import(&self, item: &Item, options: Options) -> Result<Outcome, String> {
        let invalid = |error: InvalidValue| format!("its public id cannot be one here: {error}");
        let key = AssetKey {
            cloud: self.caller.cloud.id.clone(),
            resource_type: item.resource_type,
            delivery_type: item.delivery_type,
            public_id: PublicId::new(item.public_id.as_str()).map_err(invalid)?,
        };
        let catalog = &self.library.parts().catalog;
        let found = catalog.asset(&key).await.map_err(|error: CatalogError| error.to_string())?;
        if let Some(asset) = found.filter(|asset| !asset.placeholder) {
            // Without a size and a sum nothing is known to be the same.
            let comparable = item.bytes.is_some() || item.md5.is_some();
            let same_size = item.bytes.is_none_or(|bytes| bytes == asset.bytes);
            if comparable && same_size && self.same_sum(item, &asset.etag).await? {
                return Ok(Outcome::Present);
            }
            if options.keep_existing {
                return Ok(Outcome::Kept);
            }
        }
        if options.dry_run {
            return Ok(Outcome::Imported(item.bytes.unwrap_or(0)));
        }
        let (mut pause, mut attempt) = (options.pause, 1);
        loop {
            match self.upload(item).await {
                Ok(bytes) => return Ok(Outcome::Imported(bytes)),
                Err(error) if attempt < ATTEMPTS && is_passing(&error) => {
                    tracing::warn!(public_id = item.public_id, error = %error, "tried again");
                    tokio::time::sleep(pause).await;
                    (pause, attempt) = (pause.saturating_mul(2), attempt + 1);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Whether the bytes of the item are those with that sum. A source that tells no sum is trusted with the size.
    async fn same_sum(&self, item: &Item, etag: &str) -> Result<bool, String> {
        match (&item.md5, &item.file) {
            (Some(md5), _) => Ok(md5 == etag),
            (None, ItemFile::Path(path)) => {
                let sum = md5_of(path).await.map_err(|error| format!("{}: {error}", path.display()))?;
                Ok(sum == etag)
            }
            (None, _) => Ok(true),
        }
    }

    async fn upload(&self, item: &Item) -> Result<u64, UploadError> {
        let cloud = &self.caller.cloud.id;
        let mut spool = match &item.reference {
            Some(reference) => self.uploads.spool_in_place(cloud, reference).await?,
            None => self.uploads.spool(cloud).await?,
        };
        let unreadable = |error: &dyn std::fmt::Display| UploadError::Internal(format!("it cannot be read: {error}"));
        match &item.file {
            ItemFile::Path(path) => {
                let mut file = tokio::fs::File::open(path).await.map_err(|error| unreadable(&error))?;
                loop {
                    let mut chunk = vec![0; CHUNK_BYTES];
                    let n = file.read(&mut chunk).await.map_err(|error| unreadable(&error))?;
                    if n == 0 {
                        break;
                    }
                    chunk.truncate(n);
                    spool.write(Bytes::from(chunk)).await?;
                }
            }
            ItemFile::Address(address) => {
                let mut file = self.remote.get(address, self.uploads.max_upload_bytes(), ContentTypes::Any).await?;
                while let Some(piece) = file.next().await? {
                    spool.write(piece).await?;
                }
            }
            ItemFile::Object(open) => {
                let mut reader = open().await.map_err(|error| unreadable(&error))?;
                while let Some(piece) = reader.next().await {
                    spool.write(piece.map_err(|error| unreadable(&error))?).await?;
                }
            }
        }
        let bytes = spool.received();
        let mut params = vec![
            ("public_id".to_owned(), item.public_id.clone()),
            ("type".to_owned(), item.delivery_type.as_str().to_owned()),
            ("overwrite".to_owned(), "true".to_owned()),
        ];
        params.extend(item.params.iter().cloned());
        let key = &self.caller.key;
        let request = UploadRequest {
            cloud: self.caller.cloud.name.as_str().to_owned(),
            kind: item.resource_type.into(),
            authorization: Some(basic_header(&key.key, key.secret.expose())),
            params,
            file: Some(FileSource::Received { spool, filename: item.filename.clone() }),
            part: None,
        };
        self.uploads.upload(request).await?;
        Ok(bytes)
    }
}

/// Whether the same may succeed a little later.
fn is_passing(error: &UploadError) -> bool {
    match error {
        UploadError::Busy { .. } => true,
        UploadError::Fetch(FetchError::Busy) => true,
        UploadError::Fetch(FetchError::Failed { failure, .. }) => match failure {
            FetchFailure::Timeout | FetchFailure::Incomplete | FetchFailure::Unreachable => true,
            FetchFailure::Status(status) => matches!(status, 420 | 429 | 500..=599),
            _ => false,
        },
        _ => false,
    }
}

async fn md5_of(path: &Path) -> std::io::Result<String> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut sum = Md5::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let n = file.read(&mut chunk).await?;
        if n == 0 {
            return Ok(hex::encode(sum.finalize()));
        }
        sum.update(&chunk[..n]);
    }
}

/// Extensions that are pictures to clients of Cloudinary.
const IMAGES: &[&str] = &[
    "jpg", "jpeg", "jpe", "png", "gif", "webp", "avif", "heic", "heif", "jxl", "jp2", "tif", "tiff", "bmp", "ico",
    "svg", "pdf", "psd", "ai", "eps",
];
/// Extensions of video and sound.
const VIDEOS: &[&str] = &[
    "mp4", "m4v", "webm", "mov", "mkv", "avi", "3gp", "flv", "mpeg", "mpg", "ts", "ogv", "mp3", "m4a", "wav", "ogg",
    "flac", "aac",
];

/// What a file is called here by its path in a folder or bucket: the type by the extension, and the public id, which has
/// no extension unless the file is raw.
fn named(path: &str, prefix: &str) -> (ResourceType, String) {
    let (stem, extension) = match path.rsplit_once('.') {
        Some((stem, extension)) if !extension.contains('/') && !stem.is_empty() && !stem.ends_with('/') => {
            (stem, extension.to_ascii_lowercase())
        }
        _ => (path, String::new()),
    };
    let (kind, name) = if IMAGES.contains(&extension.as_str()) {
        (ResourceType::Image, stem)
    } else if VIDEOS.contains(&extension.as_str()) {
        (ResourceType::Video, stem)
    } else {
        (ResourceType::Raw, path)
    };
    let prefix = prefix.trim_matches('/');
    (kind, if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") })
}

/// Parameters that put an asset into the folder that its public id tells.
fn folder_params(public_id: &str, dynamic: bool) -> Vec<(String, String)> {
    match public_id.rsplit_once('/') {
        Some((folder, _)) if dynamic => vec![("asset_folder".to_owned(), folder.to_owned())],
        _ => Vec::new(),
    }
}

/// `k=v|k2=v2` as uploads take it.
fn pairs_text(pairs: &BTreeMap<String, String>) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('=', "\\=").replace('|', "\\|");
    pairs.iter().map(|(name, value)| format!("{}={}", quoted(name), quoted(value))).collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::service::params::parse_context;

    #[test]
    fn paths_become_names() {
        let name = |path: &str| named(path, "");
        assert_eq!(name("a/b/cat.JPG"), (ResourceType::Image, "a/b/cat".to_owned()));
        assert_eq!(name("clip.mp4"), (ResourceType::Video, "clip".to_owned()));
        assert_eq!(name("docs/read.me.txt"), (ResourceType::Raw, "docs/read.me.txt".to_owned()));
        assert_eq!(name("v1.2/readme"), (ResourceType::Raw, "v1.2/readme".to_owned()));
        assert_eq!(name(".jpg"), (ResourceType::Raw, ".jpg".to_owned()));
        assert_eq!(named("cat.png", "/old/"), (ResourceType::Image, "old/cat".to_owned()));
    }

    #[test]
    fn pairs_are_read_back() {
        let pairs =
            BTreeMap::from([("alt".to_owned(), "a=b|c".to_owned()), ("ca|pt=ion".to_owned(), "Größe".to_owned())]);
        assert_eq!(parse_context(&pairs_text(&pairs)).unwrap(), pairs);
    }
}
