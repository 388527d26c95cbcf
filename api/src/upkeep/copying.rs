//! Copies of blobs whose length and MD5 are known: what differs from them is never committed.

use super::snapshot::LineReader;
use super::{Finding, Problem, UpkeepError};
use crate::domain::BlobKey;
use crate::storage::{BlobReader, BlobStore, StorageError, path_of};
use bytes::Bytes;
use futures::{StreamExt, stream};
use md5::{Digest, Md5};
use std::io;
use std::path::Path;
use tokio::io::AsyncReadExt;

/// Bytes that one read of a file asks for.
const READ_BYTES: usize = 256 * 1024;
/// Blobs of one batch.
const BATCH: usize = 256;

/// A blob as a backup lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub key: BlobKey,
    pub bytes: u64,
    pub md5: String,
}

/// The next lines of a list of blobs; none at its end.
pub(super) fn next_listed(reader: &mut LineReader) -> Result<Vec<Listed>, UpkeepError> {
    let mut listed = Vec::new();
    while listed.len() < BATCH {
        let Some(line) = reader.next_line()? else { break };
        let wrong = || UpkeepError::Refused(format!("{line} is no line of a list of blobs"));
        let (key, bytes, md5): (String, u64, String) = serde_json::from_str(&line).map_err(|_| wrong())?;
        listed.push(Listed { key: BlobKey::new(key).map_err(|_| wrong())?, bytes, md5 });
    }
    Ok(listed)
}

/// What is told of a blob that could not be copied.
pub(super) fn finding(blob: &Listed, problem: Problem) -> Finding {
    let (cloud, name) = (String::new(), String::new());
    Finding { problem, of: "original", cloud, name, blob: blob.key.to_string(), removed: false, mended: false }
}

/// Copies what `reader` gives. Gives what is wrong with the bytes; then nothing was committed.
pub(super) async fn copy(
    mut reader: BlobReader,
    to: &dyn BlobStore,
    blob: &Listed,
) -> Result<Option<Problem>, StorageError> {
    let damaged = |reason: String| Ok(Some(Problem::Damaged { reason }));
    if reader.length() != blob.bytes {
        return damaged(format!("{} bytes instead of {}", reader.length(), blob.bytes));
    }
    let (mut writer, mut hash) = (to.create_as(blob.key.clone()).await?, Md5::new());
    while let Some(chunk) = reader.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error @ StorageError::Unavailable(_)) => return Err(error),
            Err(error) => return damaged(error.to_string()),
        };
        hash.update(&chunk);
        writer.write(chunk).await?;
    }
    let md5 = hex::encode(hash.finalize());
    if writer.written() != blob.bytes || md5 != blob.md5 {
        return damaged(format!("its MD5 is {md5} instead of {}", blob.md5));
    }
    writer.commit().await?;
    Ok(None)
}

/// Whether a store has the blob with the bytes that are listed: by the sum that it knows, else by reading it.
pub(super) async fn holds(store: &dyn BlobStore, blob: &Listed) -> Result<bool, StorageError> {
    if store.size(&blob.key).await? != Some(blob.bytes) {
        return Ok(false);
    }
    if let Some(md5) = store.md5(&blob.key).await? {
        return Ok(md5 == blob.md5);
    }
    let read = async {
        let (mut reader, mut hash) = (store.open(&blob.key, None).await?, Md5::new());
        while let Some(chunk) = reader.next().await {
            hash.update(&chunk?);
        }
        Ok(hex::encode(hash.finalize()) == blob.md5)
    };
    match read.await {
        Err(StorageError::NotFound(_) | StorageError::Corrupted { .. } | StorageError::Io { .. }) => Ok(false),
        held => held,
    }
}

/// A blob in the folder of a backup, which may be read-only; `None` where there is none.
pub(super) async fn open_file(blobs: &Path, key: &BlobKey) -> Result<Option<BlobReader>, StorageError> {
    let path = blobs.join(path_of(key));
    let failed = |error| StorageError::io(format!("read {}", path.display()), error);
    let file = match tokio::fs::File::open(&path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let length = file.metadata().await.map_err(failed)?.len();
    let chunks = stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; READ_BYTES];
        let read = file.read(&mut chunk).await.map_err(|error| StorageError::io("read a file of the backup", error))?;
        chunk.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(chunk), file)))
    });
    Ok(Some(BlobReader::new(length, Box::pin(chunks))))
}
