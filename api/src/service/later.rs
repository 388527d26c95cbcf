//! Uploads that are done after the answer (api.md 3.7). The file is made durable and a job recorded; then the call is
//! answered, and the job does what the call would have done.

use super::access::Caller;
use super::answer::UploadAnswer;
use super::library::tell::new_batch_id;
use super::naming;
use super::remote_file;
use super::spool::Spool;
use super::upload::{Accepted, Parts, UploadError, UploadKind, UploadService, Uploaded};
use crate::catalog::library::{Chunk, ChunkOutcome};
use crate::domain::{CloudId, PublicId, Timestamp};
use crate::jobs::announce::Occasion;
use crate::jobs::explicit::pending;
use crate::jobs::upload::{self, UploadJob};
use futures::StreamExt;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How long the file of a recorded job is kept for it, far beyond what its attempts take.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The file of an upload that is done later.
pub(super) enum LaterFile {
    Received {
        spool: Spool,
        filename: String,
    },
    /// An address, which the job fetches.
    Remote(String),
    /// Parts of a file that are all there, under the id that they are kept under, with the name that was settled.
    Joined {
        id: String,
        name: PublicId,
        filename: String,
    },
}

/// What a job of an upload came to.
pub enum Later {
    Done(Box<UploadAnswer>),
    /// An earlier run of the job did it.
    DoneBefore,
}

impl Parts {
    /// Records the job. The answer means that the file and the job are durable.
    pub(super) async fn take_later(
        &self,
        kind: UploadKind,
        accepted: Accepted,
        file: LaterFile,
    ) -> Result<Uploaded, UploadError> {
        let (caller, params) = (&accepted.caller, &accepted.params);
        let choose = |filename: &str| {
            naming::choose_public_id(params, filename, accepted.asset_folder(), kind == UploadKind::Raw)
        };
        let (staged, remote, filename, name) = match file {
            LaterFile::Joined { id, name, filename } => (Some(id), None, filename, Some(name)),
            // Where the file names the asset, nobody knows that name yet.
            LaterFile::Remote(address) => {
                let named_by_file = params.use_filename || kind == UploadKind::Raw;
                let name = (params.public_id.is_some() || !named_by_file).then(|| choose("")).transpose()?;
                (None, Some(address), String::new(), name)
            }
            LaterFile::Received { spool, filename } => {
                let name = choose(&filename)?;
                (Some(self.stage(&caller.cloud.id, spool).await?), None, filename, Some(name))
            }
        };
        let announcer = &self.library.parts().announcer;
        let batch_id = params.batch_id.clone().unwrap_or_else(new_batch_id);
        let occasion = Occasion {
            cloud: caller.cloud.id.clone(),
            key: caller.key.key.clone(),
            url: params.notification_url.clone(),
            batch_id: Some(batch_id.clone()),
            at: announcer.now(),
        };
        let public_id = name.as_ref().map(PublicId::as_str);
        let answer = pending(kind.as_str(), params.delivery_type.as_str(), public_id, &batch_id);
        let job = UploadJob {
            kind: kind.as_str().to_owned(),
            params: upload::kept(accepted.effective.pairs(), &batch_id),
            key: occasion.key.clone(),
            url: occasion.url.clone(),
            batch_id,
            at: occasion.at.unix_micros(),
            staged: staged.clone(),
            remote,
            filename,
            public_id: public_id.map(str::to_owned),
        };
        announcer.enqueue(vec![upload::job(&occasion, &job)]).await?;
        if let Some(id) = &staged {
            // Until here the file would have gone with the parts of files that nobody completes.
            let until = Timestamp::now().unix_micros().saturating_add(i64::try_from(KEPT.as_micros()).unwrap_or(0));
            self.library.library().hold_chunks(id, Timestamp::from_unix_micros(until)).await?;
        }
        Ok(Uploaded::Pending(answer))
    }

    /// Makes a file durable as a completed one of several parts, and gives the id that it is kept under.
    async fn stage(&self, cloud: &CloudId, spool: Spool) -> Result<String, UploadError> {
        let spooled = spool.finish()?;
        let bytes = spooled.bytes;
        let blob = spooled.writer.commit().await.map_err(UploadError::Storage)?;
        let chunk = Chunk { first_byte: 0, last_byte: bytes.saturating_sub(1), blob: blob.clone() };
        let upload_id = format!("async:{}", new_batch_id());
        let library = self.library.library();
        match library.add_chunk(cloud, &upload_id, chunk, Some(bytes), json!({})).await {
            Ok(ChunkOutcome::Complete { id, freed_blobs, .. }) => {
                self.free(&freed_blobs).await;
                Ok(id)
            }
            Ok(_) => Err(UploadError::Internal("a new upload was not complete".to_owned())),
            Err(error) => {
                self.discard_unless_named(&blob).await;
                Err(error.into())
            }
        }
    }

    async fn run_later(self: &Arc<Self>, caller: Caller, job: UploadJob) -> Result<Later, UploadError> {
        let internal = |error: &dyn std::fmt::Display| UploadError::Internal(error.to_string());
        let kind = UploadKind::parse(&job.kind).ok_or_else(|| internal(&"the job has no kind"))?;
        let name = job.public_id.as_deref().map(PublicId::new).transpose().map_err(|error| internal(&error))?;
        let cloud = caller.cloud.id.clone();
        let accepted = self.accept_as(caller, job.params).await?;
        let mut spool = self.spool(&cloud).await?;
        let mut filename = job.filename;
        if let Some(address) = &job.remote {
            let client = self.remote().ok_or_else(|| UploadError::Remote(address.chars().take(200).collect()))?;
            (spool, filename) = remote_file::receive(client, address, spool).await?;
        } else {
            let chunks = match &job.staged {
                Some(id) => self.library.library().chunks(id).await?,
                None => Vec::new(),
            };
            if chunks.is_empty() {
                return Ok(Later::DoneBefore);
            }
            for chunk in &chunks {
                let mut bytes = self.blobs.open(&chunk.blob, None).await.map_err(UploadError::Storage)?;
                while let Some(piece) = bytes.next().await {
                    spool.write(piece.map_err(UploadError::Storage)?).await?;
                }
            }
        }
        Ok(Later::Done(Box::new(self.take(kind, accepted, spool, &filename, name).await?)))
    }
}

impl UploadService {
    /// Does what a job of an upload says, and tells of it. Like [`UploadService::upload`] it goes on when the caller is
    /// dropped.
    pub async fn run_later(&self, caller: Caller, job: UploadJob) -> Result<Later, UploadError> {
        let parts = Arc::clone(self.parts());
        tokio::spawn(async move { parts.run_later(caller, job).await })
            .await
            .map_err(|error| UploadError::Internal(format!("the upload stopped: {error}")))?
    }

    /// Forgets the file of a job that came to its end.
    pub async fn forget_staged(&self, id: &str) -> Result<(), UploadError> {
        let freed = self.parts().library.library().forget_chunks(id).await?;
        self.parts().free(&freed).await;
        Ok(())
    }
}
