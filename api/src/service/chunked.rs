//! Files that come in several calls (api.md 3.9): each part is made durable, and the call that completes the file joins them.

use super::answer::UploadAnswer;
use super::later::LaterFile;
use super::naming;
use super::spool::Spool;
use super::upload::{Accepted, FilePart, Parts, UploadError, UploadKind, Uploaded};
use crate::catalog::library::{Chunk, ChunkOutcome};
use crate::domain::{BlobKey, PublicId, Timestamp};
use futures::StreamExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Longest name that a client may give to an upload.
pub const MAX_ID_BYTES: usize = 255;
/// How long the parts of a file that is not completed are kept.
pub const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Uploads that one look for expired parts removes.
const EXPIRED_AT_ONCE: u32 = 100;

/// Why a part is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    #[error("All parts except EOF-chunk must be larger than 5mb")]
    TooSmall,
    #[error("Content-Range does not match the size of the part: {got} bytes instead of {wanted}")]
    WrongLength { got: u64, wanted: u64 },
    #[error("The part overlaps another one, or there are too many parts")]
    Overlap,
    #[error("The parts of this upload are being joined")]
    Busy,
    #[error("Invalid Content-Range or X-Unique-Upload-Id")]
    Malformed,
}

impl FilePart {
    /// Reads `bytes 0-99/200` or `bytes 0-99/-1`.
    pub fn read(upload_id: &str, content_range: &str) -> Result<Self, PartError> {
        let parse = || {
            let (range, total) = content_range.trim().strip_prefix("bytes ")?.split_once('/')?;
            let (first, last) = range.split_once('-')?;
            let (first_byte, last_byte): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            let total = match total.trim() {
                "-1" | "*" => None,
                total => Some(total.parse::<u64>().ok()?),
            };
            let fits = first_byte <= last_byte
                && last_byte < i64::MAX as u64
                && total.is_none_or(|total| last_byte < total)
                && !upload_id.is_empty()
                && upload_id.len() <= MAX_ID_BYTES
                && !upload_id.chars().any(char::is_control);
            fits.then(|| FilePart { upload_id: upload_id.to_owned(), first_byte, last_byte, total })
        };
        parse().ok_or(PartError::Malformed)
    }

    /// Whether the part is the whole file.
    pub fn is_whole(&self) -> bool {
        self.first_byte == 0 && self.total == Some(self.last_byte + 1)
    }
}

/// The public id and the file's name, which the first part settled.
fn settled(note: &Value) -> Result<(PublicId, String), UploadError> {
    let name = note["public_id"].as_str().unwrap_or_default();
    let name = PublicId::new(name).map_err(|error| UploadError::Internal(error.to_string()))?;
    Ok((name, note["filename"].as_str().unwrap_or_default().to_owned()))
}

impl Parts {
    /// Takes one part. The answer to the one that completes the file is that of an upload.
    pub(super) async fn take_part(
        self: &Arc<Self>,
        kind: UploadKind,
        accepted: Accepted,
        part: FilePart,
        spool: Spool,
        filename: String,
    ) -> Result<Uploaded, UploadError> {
        let wanted = part.last_byte - part.first_byte + 1;
        let got = spool.received();
        if got != wanted {
            return Err(PartError::WrongLength { got, wanted }.into());
        }
        let last = part.total.is_some_and(|total| part.last_byte + 1 == total);
        if !last && got < self.settings.min_part_bytes {
            return Err(PartError::TooSmall.into());
        }
        if let Some(total) = part.total.filter(|total| *total > self.settings.max_upload_bytes) {
            return Err(UploadError::TooLarge { got: total, max: self.settings.max_upload_bytes });
        }
        // The first part that arrives settles the name; later ones may carry the id that was answered to it.
        let name =
            naming::choose_public_id(&accepted.params, &filename, accepted.asset_folder(), kind == UploadKind::Raw)?;
        let note = json!({ "public_id": name.as_str(), "filename": filename });
        let spooled = spool.finish()?;
        let blob = spooled.writer.commit().await.map_err(UploadError::Storage)?;
        let chunk = Chunk { first_byte: part.first_byte, last_byte: part.last_byte, blob: blob.clone() };
        let cloud = accepted.caller.cloud.id.clone();
        let library = self.library.library();
        let upload_id = format!("{}:{}", kind.as_str(), part.upload_id);
        let outcome = match library.add_chunk(&cloud, &upload_id, chunk, part.total, note).await {
            Ok(outcome) => outcome,
            Err(error) => {
                self.discard_unless_named(&blob).await;
                return Err(error.into());
            }
        };
        match outcome {
            ChunkOutcome::Busy => {
                self.discard(&blob).await;
                Err(PartError::Busy.into())
            }
            ChunkOutcome::Overlap => {
                self.discard(&blob).await;
                Err(PartError::Overlap.into())
            }
            ChunkOutcome::Incomplete { id, body, received, freed_blobs } => {
                self.free(&freed_blobs).await;
                if received > self.settings.max_upload_bytes {
                    let freed = library.forget_chunks(&id).await?;
                    self.free(&freed).await;
                    return Err(UploadError::TooLarge { got: received, max: self.settings.max_upload_bytes });
                }
                Ok(Uploaded::Part(json!({
                    "done": false,
                    "bytes": received,
                    "public_id": body["public_id"],
                    "kind": "upload",
                    "resource_type": kind.as_str(),
                    "upload_id": part.upload_id,
                })))
            }
            ChunkOutcome::Complete { id, body, chunks, freed_blobs, .. } => {
                self.free(&freed_blobs).await;
                drop(spooled.permit);
                if accepted.params.is_async {
                    let (name, filename) = settled(&body)?;
                    return self.take_later(kind, accepted, LaterFile::Joined { id, name, filename }).await;
                }
                match self.join(kind, accepted, &body, &chunks).await {
                    Ok(answer) => {
                        let freed = library.forget_chunks(&id).await?;
                        self.free(&freed).await;
                        Ok(Uploaded::Done(Box::new(UploadAnswer { done: true, ..answer })))
                    }
                    Err(error) => {
                        // A retry of any part joins them again.
                        library.release_chunks(&id).await?;
                        Err(error)
                    }
                }
            }
        }
    }

    async fn join(
        &self,
        kind: UploadKind,
        accepted: Accepted,
        note: &Value,
        chunks: &[Chunk],
    ) -> Result<UploadAnswer, UploadError> {
        let mut spool = self.spool(&accepted.caller.cloud.id).await?;
        for chunk in chunks {
            let mut bytes = self.blobs.open(&chunk.blob, None).await.map_err(UploadError::Storage)?;
            while let Some(piece) = bytes.next().await {
                spool.write(piece.map_err(UploadError::Storage)?).await?;
            }
        }
        let (name, filename) = settled(note)?;
        self.take(kind, accepted, spool, &filename, Some(name)).await
    }

    pub(super) async fn discard_unless_named(&self, blob: &BlobKey) {
        if matches!(self.referenced(blob).await, Ok(false)) {
            self.discard(blob).await;
        }
    }

    /// Forgets parts of files that nobody completes.
    pub(super) async fn expire_parts(&self, now: Timestamp) -> Result<u64, UploadError> {
        let life = i64::try_from(LIFE.as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp::from_unix_micros(now.unix_micros().saturating_sub(life));
        let (count, freed) = self.library.library().expire_chunks(before, EXPIRED_AT_ONCE).await?;
        self.free(&freed).await;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_are_read() {
        let part = FilePart::read("u", "bytes 0-99/200").unwrap();
        assert_eq!((part.first_byte, part.last_byte, part.total, part.is_whole()), (0, 99, Some(200), false));
        assert_eq!(FilePart::read("u", "bytes 5-5/-1").unwrap().total, None);
        assert!(FilePart::read("u", "bytes 0-99/100").unwrap().is_whole());
        for wrong in ["", "bytes", "bytes 9-5/10", "bytes 0-10/10", "bytes a-b/c", "bytes 0-9/-2", "0-9/10"] {
            assert_eq!(FilePart::read("u", wrong), Err(PartError::Malformed), "{wrong}");
        }
        assert!(
            FilePart::read("", "bytes 0-9/10").is_err() && FilePart::read(&"x".repeat(256), "bytes 0-9/10").is_err()
        );
        assert!(FilePart::read("u", "bytes 0-18446744073709551615/-1").is_err());
    }
}
