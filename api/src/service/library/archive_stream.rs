//! An archive as a stream of bytes. One file is open at a time, and its pieces go on as they are read; whoever stops
//! reading stops the work, and dropping the stream drops everything.

use super::LibraryService;
use super::archive::{Archive, ArchiveFile};
use super::archive_names::Names;
use crate::archive::{ArchiveError, ArchiveWriter};
use crate::domain::Asset;
use crate::service::call::ApiError;
use crate::service::deliver_types::DeliveryError;
use crate::service::upload::UploadError;
use crate::storage::{BlobReader, StorageError};
use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::ready;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, SinkExt, StreamExt};
use time::OffsetDateTime;

type Pieces = mpsc::Sender<Bytes>;

fn broken(error: ArchiveError) -> ApiError {
    ApiError::Internal(error.to_string())
}

/// A rendering that failed, as a refusal of the call.
pub fn from_delivery_error(error: DeliveryError) -> ApiError {
    match error {
        DeliveryError::Render(error) if !error.is_internal() => ApiError::BadRequest(error.to_string()),
        DeliveryError::Invalid(message) => ApiError::BadRequest(message),
        DeliveryError::Busy { retry_after } => ApiError::Upload(UploadError::Busy { retry_after }),
        other => ApiError::Internal(other.to_string()),
    }
}

async fn send(pieces: &mut Pieces, piece: Bytes) -> Result<(), ApiError> {
    if piece.is_empty() {
        return Ok(());
    }
    pieces.send(piece).await.map_err(|_| ApiError::Internal("nobody reads the archive any more".to_owned()))
}

impl LibraryService {
    /// The bytes of an archive. An error ends the stream.
    pub fn archive_stream(&self, archive: Archive) -> BoxStream<'static, Result<Bytes, ApiError>> {
        let service = self.clone();
        let (pieces, read) = mpsc::channel(1);
        let work = async move {
            let result = service.write_archive(archive, pieces).await;
            if let Err(error) = &result {
                tracing::warn!(%error, "an archive broke off");
            }
            result
        };
        // Both are driven by whoever reads: there is no task that could outlive it.
        let failures = work.into_stream().filter_map(|result| ready(result.err().map(Err)));
        stream::select(read.map(Ok), failures).boxed()
    }

    async fn write_archive(&self, archive: Archive, mut pieces: Pieces) -> Result<(), ApiError> {
        let mut writer = ArchiveWriter::new(archive.format);
        let mut names = Names::new(archive.naming);
        for ArchiveFile { asset, entry } in &archive.files {
            let made = match entry {
                None => None,
                Some(entry) => {
                    self.parts.eager.picture(&archive.cloud, asset, entry).await.map_err(from_delivery_error)?
                }
            };
            let modified = OffsetDateTime::from_unix_timestamp(asset.uploaded_at.unix_seconds())
                .unwrap_or(OffsetDateTime::UNIX_EPOCH);
            match made {
                Some(picture) => {
                    let name = names.next(asset, entry.as_ref(), picture.format.extension());
                    let size = picture.bytes.len() as u64;
                    send(&mut pieces, writer.begin(&name, size, modified).map_err(broken)?).await?;
                    send(&mut pieces, writer.data(picture.bytes).map_err(broken)?).await?;
                }
                None => {
                    let (asset, mut reader) = self.open_original(asset).await?;
                    let name = names.next(&asset, entry.as_ref(), &asset.format);
                    send(&mut pieces, writer.begin(&name, reader.length(), modified).map_err(broken)?).await?;
                    while let Some(chunk) = reader.next().await {
                        send(&mut pieces, writer.data(chunk?).map_err(broken)?).await?;
                    }
                }
            }
            send(&mut pieces, writer.end().map_err(broken)?).await?;
        }
        send(&mut pieces, writer.finish().map_err(broken)?).await
    }

    /// Opens the original, or what it was replaced with since the archive was planned.
    async fn open_original(&self, asset: &Asset) -> Result<(Asset, BlobReader), ApiError> {
        match self.parts.blobs.open_original(&asset.blob, asset.bytes, None).await {
            Err(StorageError::NotFound(_)) => {
                let now = self.asset(&asset.key).await?;
                let reader = self.parts.blobs.open_original(&now.blob, now.bytes, None).await?;
                Ok((now, reader))
            }
            opened => Ok((asset.clone(), opened?)),
        }
    }
}
