//! An upload from proof to acknowledgement: verify, make the bytes durable, inspect, record, render eagerly, answer.

use super::access::{self, AccessError, Caller};
use super::answer::{EagerAnswer, EagerState, UploadAnswer};
use super::call::ApiError;
use super::library::tell::new_batch_id;
use super::library::{CloudSettings, View};
use super::naming::{self, InvalidPublicId};
use super::params::{self, ParamError, UploadParams};
use super::pictures::{Eager, PictureError, PictureFacts, Pictures};
use super::spool::{Spool, Spooled};
use crate::auth::signature::SignaturePolicy;
use crate::catalog::{Catalog, CatalogError, PutOutcome};
use crate::domain::{AccessMode, Asset, AssetKey, BlobKey, Cloud, CloudId, NewAsset, Region, ResourceType, Timestamp};
use crate::jobs::announce::{Announcer, Occasion};
use crate::jobs::{eager, events};
use crate::storage::{BlobStore, StorageError};
use md5::{Digest, Md5};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Unit in which the memory of compressed files is lent.
const MEMORY_UNIT_BYTES: u64 = 1 << 16;

/// Told after the assets of a cloud changed, so that finished answers of that cloud are forgotten.
pub type Changed = Arc<dyn Fn(&CloudId) + Send + Sync>;

/// Limits and addresses of the upload API.
#[derive(Debug, Clone)]
pub struct UploadSettings {
    /// Start of every address in answers, without a slash at the end.
    pub public_base_url: String,
    pub max_upload_bytes: u64,
    pub policy: SignaturePolicy,
    /// Uploads that may be in progress at once.
    pub max_uploads: usize,
    /// Bytes of compressed files that may be in memory at once for inspection; at least one file always may.
    pub inspect_budget_bytes: u64,
}

/// What may be uploaded at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadKind {
    /// `image/upload`
    Image,
    /// `auto/upload` and `upload`: the bytes decide; only images are built.
    Auto,
}

/// Where the file of an upload comes from.
#[derive(Debug)]
pub enum FileSource {
    /// Its bytes arrived with the request, under this name.
    Received { spool: Spool, filename: String },
    /// An address that the server would have to fetch.
    Remote(String),
}

/// One call of `upload`.
#[derive(Debug)]
pub struct UploadRequest {
    /// As in the path.
    pub cloud: String,
    pub kind: UploadKind,
    /// Value of `Authorization`.
    pub authorization: Option<String>,
    /// All parameters but the file, decoded, in the order received.
    pub params: Vec<(String, String)>,
    pub file: Option<FileSource>,
}

/// Why an upload is refused.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Param(#[from] ParamError),
    #[error(transparent)]
    PublicId(#[from] InvalidPublicId),
    #[error("Upload preset not found")]
    UnknownPreset,
    #[error("Missing required parameter - file")]
    MissingFile,
    #[error("Empty file")]
    EmptyFile,
    #[error("File size too large. Got {got}. Maximum is {max}.")]
    TooLarge { got: u64, max: u64 },
    #[error("Fetching a file from an address is not supported by this server yet: {0}")]
    Remote(String),
    /// An address that takes any kind of file got one that is no image.
    #[error("Only images can be uploaded to this server yet")]
    NotAnImage,
    #[error("Image file format {0} not allowed")]
    FormatNotAllowed(String),
    /// An entry of `eager` can never be rendered.
    #[error("{0}")]
    Eager(tintype_render::Error),
    #[error("{0}")]
    Picture(#[from] PictureError),
    /// Too many uploads are in progress.
    #[error("the server is busy, try again in {} s", retry_after.as_secs())]
    Busy { retry_after: Duration },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Storage(StorageError),
    #[error("{0}")]
    Internal(String),
}

/// Takes uploads.
#[derive(Clone)]
pub struct UploadService {
    parts: Arc<Parts>,
}

struct Parts {
    catalog: Arc<dyn Catalog>,
    blobs: Arc<dyn BlobStore>,
    pictures: Arc<dyn Pictures>,
    eager: Arc<dyn Eager>,
    changed: Changed,
    announcer: Announcer,
    settings: UploadSettings,
    slots: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    memory_units: u32,
}

/// A verified upload, ready to be stored.
struct Accepted {
    caller: Caller,
    params: UploadParams,
    key: AssetKey,
    original_filename: String,
    spooled: Spooled,
}

/// Durable bytes and what they are.
struct StoredPicture {
    blob: BlobKey,
    bytes: u64,
    md5: String,
    facts: PictureFacts,
}

impl UploadService {
    pub fn new(
        catalog: Arc<dyn Catalog>,
        blobs: Arc<dyn BlobStore>,
        pictures: Arc<dyn Pictures>,
        eager: Arc<dyn Eager>,
        changed: Changed,
        announcer: Announcer,
        settings: UploadSettings,
    ) -> Self {
        let memory_units =
            u32::try_from(settings.inspect_budget_bytes / MEMORY_UNIT_BYTES).unwrap_or(u32::MAX).clamp(1, 1 << 24);
        let parts = Parts {
            slots: Arc::new(Semaphore::new(settings.max_uploads.clamp(1, 1 << 20))),
            memory: Arc::new(Semaphore::new(memory_units as usize)),
            memory_units,
            catalog,
            blobs,
            pictures,
            eager,
            changed,
            announcer,
            settings,
        };
        UploadService { parts: Arc::new(parts) }
    }

    /// Largest file that is taken.
    pub fn max_upload_bytes(&self) -> u64 {
        self.parts.settings.max_upload_bytes
    }

    /// Refuses early, before the body is read, what no parameter could mend: an unknown cloud, or a header that does not
    /// prove anything.
    pub async fn precheck(&self, cloud: &str, authorization: Option<&str>) -> Result<(), UploadError> {
        let parts = &self.parts;
        let cloud = access::find_cloud(&*parts.catalog, cloud).await?;
        if authorization.is_some() {
            parts.authorize(&cloud, authorization, &[]).await?;
        }
        Ok(())
    }

    /// Begins to receive a file. Nothing of it is kept unless [`UploadService::upload`] accepts it.
    pub async fn spool(&self) -> Result<Spool, UploadError> {
        let parts = &self.parts;
        let permit = Arc::clone(&parts.slots)
            .try_acquire_owned()
            .map_err(|_| UploadError::Busy { retry_after: Duration::from_secs(2) })?;
        let writer = parts.blobs.create().await.map_err(UploadError::Storage)?;
        Ok(Spool::new(writer, parts.settings.max_upload_bytes, permit))
    }

    /// Verifies and stores a received file. The answer means that blob and row are durable.
    ///
    /// The work goes on to its end when the caller is dropped, so that a client that leaves in the middle leaves no blob
    /// behind without a row.
    pub async fn upload(&self, request: UploadRequest) -> Result<UploadAnswer, UploadError> {
        let parts = Arc::clone(&self.parts);
        tokio::spawn(async move { parts.upload(request).await })
            .await
            .map_err(|error| UploadError::Internal(format!("the upload stopped: {error}")))?
    }
}

impl fmt::Debug for UploadService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadService").field("settings", &self.parts.settings).finish_non_exhaustive()
    }
}

impl Parts {
    async fn authorize(
        &self,
        cloud: &Cloud,
        authorization: Option<&str>,
        params: &[(String, String)],
    ) -> Result<Caller, AccessError> {
        let now_s = Timestamp::now().unix_seconds();
        let policy = self.settings.policy;
        access::authorize(&*self.catalog, cloud, authorization, params, params::is_known, policy, now_s).await
    }

    async fn upload(&self, request: UploadRequest) -> Result<UploadAnswer, UploadError> {
        let kind = request.kind;
        let accepted = self.accept(request).await?;
        if !accepted.params.overwrite
            && let Some(asset) = self.catalog.asset(&accepted.key).await?
        {
            return self.answer(&accepted.caller, asset, PutOutcome::Existing, &accepted.params, Vec::new()).await;
        }
        let Accepted { caller, params, key, original_filename, spooled } = accepted;
        let (stored, permit) = match self.store(spooled, &params).await {
            Err(UploadError::Picture(PictureError::Render(tintype_render::Error::Decode(_))))
                if kind == UploadKind::Auto =>
            {
                return Err(UploadError::NotAnImage);
            }
            result => result?,
        };
        let upright = stored.facts.orientation.upright(stored.facts.stored_size);
        let clamp = |regions: &[Region]| -> Vec<Region> {
            let (width, height) = (f64::from(upright.width), f64::from(upright.height));
            regions.iter().map(|[x, y, w, h]| [*x, *y, w.min(width), h.min(height)]).collect()
        };
        let blob = stored.blob.clone();
        let asset = NewAsset {
            key,
            format: stored.facts.format.extension().to_owned(),
            stored_size: stored.facts.stored_size,
            orientation: stored.facts.orientation,
            has_alpha: stored.facts.has_alpha,
            bytes: stored.bytes,
            etag: stored.md5,
            blob: stored.blob,
            uploaded_at: Timestamp::now(),
            original_filename,
            tags: params.tags.clone(),
            context: params.context.clone(),
            faces: None,
            face_coordinates: clamp(&params.face_coordinates),
            custom_coordinates: clamp(&params.custom_coordinates),
            api_key: caller.key.key.clone(),
            access_mode: AccessMode::Public,
            asset_folder: String::new(),
            display_name: String::new(),
            metadata: Default::default(),
            details: Default::default(),
            backup: false,
        };
        let put = match self.catalog.put_asset(&asset, params.overwrite).await {
            Ok(put) => put,
            Err(error) => {
                // A failed call may have been committed all the same: the blob goes only when no row names it.
                if matches!(self.catalog.referenced(&blob).await, Ok(false)) {
                    self.discard(&blob).await;
                }
                return Err(error.into());
            }
        };
        if put.outcome != PutOutcome::Existing {
            (self.changed)(&caller.cloud.id);
        }
        self.free(&put.freed_blobs).await;
        // Eager renderings have a queue of their own: they must not keep others from uploading.
        drop(permit);
        let entries: &[_] = if put.outcome == PutOutcome::Existing { &[] } else { &params.eager };
        let states: Vec<EagerState> = match (entries.is_empty(), params.eager_async) {
            (true, _) => Vec::new(),
            (false, false) => {
                let rendered = self.eager.render(&caller.cloud, &put.asset, entries).await;
                rendered.into_iter().map(EagerState::from).collect()
            }
            (false, true) => {
                let batch_id = params.batch_id.clone().unwrap_or_else(new_batch_id);
                entries.iter().map(|_| EagerState::Processing { batch_id: batch_id.clone() }).collect()
            }
        };
        let eager = entries.iter().cloned().zip(states).map(|(entry, state)| EagerAnswer { entry, state });
        self.answer(&caller, put.asset, put.outcome, &params, eager.collect()).await
    }

    /// Everything that can be refused before a byte is made durable.
    async fn accept(&self, request: UploadRequest) -> Result<Accepted, UploadError> {
        let cloud = access::find_cloud(&*self.catalog, &request.cloud).await?;
        let caller = self.authorize(&cloud, request.authorization.as_deref(), &request.params).await?;
        let params = UploadParams::parse(&request.params)?;
        if params.upload_preset.is_some() {
            return Err(UploadError::UnknownPreset);
        }
        for entry in &params.eager {
            self.eager.check(entry).map_err(UploadError::Eager)?;
        }
        let (spool, filename) = match request.file {
            None => return Err(UploadError::MissingFile),
            Some(FileSource::Remote(address)) => {
                return Err(UploadError::Remote(address.chars().take(200).collect()));
            }
            Some(FileSource::Received { spool, filename }) => (spool, filename),
        };
        let key = AssetKey {
            cloud: cloud.id,
            resource_type: ResourceType::Image,
            delivery_type: params.delivery_type,
            public_id: naming::choose_public_id(&params, &filename)?,
        };
        let original_filename = naming::original_filename(&params, &filename);
        Ok(Accepted { caller, key, original_filename, spooled: spool.finish()?, params })
    }

    /// Makes the bytes durable, inspects them, and converts them when another format is to be stored. Whatever it made
    /// durable is gone again when it fails.
    async fn store(
        &self,
        spooled: Spooled,
        params: &UploadParams,
    ) -> Result<(StoredPicture, OwnedSemaphorePermit), UploadError> {
        let Spooled { writer, md5, bytes, permit } = spooled;
        let blob = writer.commit().await.map_err(UploadError::Storage)?;
        match self.inspect(&blob, bytes, md5, params).await {
            Ok(stored) => {
                if stored.blob != blob {
                    self.discard(&blob).await;
                }
                Ok((stored, permit))
            }
            Err(error) => {
                self.discard(&blob).await;
                Err(error)
            }
        }
    }

    async fn inspect(
        &self,
        blob: &BlobKey,
        bytes: u64,
        md5: String,
        params: &UploadParams,
    ) -> Result<StoredPicture, UploadError> {
        let _memory = self.lend_memory(bytes).await?;
        let file = self.blobs.read(blob).await.map_err(UploadError::Storage)?;
        let facts = self.pictures.inspect(file.clone()).await?;
        let target = params.format.unwrap_or(facts.format);
        let extension = target.extension();
        if !params.allowed_formats.is_empty()
            && !params.allowed_formats.iter().any(|allowed| params::format_of(allowed) == Some(target))
        {
            return Err(UploadError::FormatNotAllowed(extension.to_owned()));
        }
        if target == facts.format {
            return Ok(StoredPicture { blob: blob.clone(), bytes, md5, facts });
        }
        let converted = self.pictures.convert(file, target).await?;
        let facts = self.pictures.inspect(converted.clone()).await?;
        let mut writer = self.blobs.create().await.map_err(UploadError::Storage)?;
        writer.write(converted.clone()).await.map_err(UploadError::Storage)?;
        let md5 = hex::encode(Md5::digest(&converted));
        let blob = writer.commit().await.map_err(UploadError::Storage)?;
        Ok(StoredPicture { blob, bytes: converted.len() as u64, md5, facts })
    }

    /// Waits until that many bytes may be held; a file larger than the budget waits for all of it.
    async fn lend_memory(&self, bytes: u64) -> Result<OwnedSemaphorePermit, UploadError> {
        let units = u32::try_from(bytes.div_ceil(MEMORY_UNIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.memory_units);
        Arc::clone(&self.memory)
            .acquire_many_owned(units)
            .await
            .map_err(|_| UploadError::Internal("the memory budget is closed".to_owned()))
    }

    /// Deletes a blob that no row names. Where that fails, `tintype verify` finds it.
    async fn discard(&self, blob: &BlobKey) {
        if let Err(error) = self.blobs.delete(blob).await {
            tracing::warn!(blob = %blob, %error, "a blob without a row could not be deleted");
        }
    }

    /// Deletes blobs from the garbage list; those that fail stay on it.
    async fn free(&self, blobs: &[BlobKey]) {
        let mut gone = Vec::with_capacity(blobs.len());
        for blob in blobs {
            match self.blobs.delete(blob).await {
                Ok(()) => gone.push(blob.clone()),
                Err(error) => tracing::warn!(blob = %blob, %error, "a freed blob stays on the garbage list"),
            }
        }
        if !gone.is_empty()
            && let Err(error) = self.catalog.forget_garbage(&gone).await
        {
            tracing::warn!(%error, "deleted blobs stay on the garbage list");
        }
    }

    async fn answer(
        &self,
        caller: &Caller,
        asset: Asset,
        outcome: PutOutcome,
        params: &UploadParams,
        eager: Vec<EagerAnswer>,
    ) -> Result<UploadAnswer, UploadError> {
        let pending = pending_batch(&eager).map(str::to_owned);
        // Addresses are signed with the oldest key, whichever key made the call.
        let keys = self.catalog.api_keys(&caller.cloud.id).await?;
        let url_key = keys.into_iter().find(|key| key.enabled).unwrap_or_else(|| caller.key.clone());
        let settings = CloudSettings::load(&*self.catalog, &caller.cloud.id).await;
        let folder_mode = settings.map_err(|error| UploadError::Internal(error.to_string()))?.folder_mode;
        let answer = UploadAnswer {
            view: View {
                public_base_url: self.settings.public_base_url.clone(),
                cloud: caller.cloud.name.clone(),
                url_secret: url_key.secret,
                folder_mode,
            },
            key: caller.key.clone(),
            asset,
            outcome,
            eager,
            with_faces: params.faces,
            batch_id: pending.or_else(|| params.batch_id.clone()),
        };
        self.announce(&answer, params).await.map_err(|error| UploadError::Internal(error.to_string()))?;
        Ok(answer)
    }

    /// Records in one transaction who is told of an upload, and the pictures that are rendered after the answer.
    async fn announce(&self, answer: &UploadAnswer, params: &UploadParams) -> Result<(), ApiError> {
        let occasion = Occasion {
            cloud: answer.asset.key.cloud.clone(),
            key: answer.key.key.clone(),
            url: params.notification_url.clone(),
            batch_id: answer.batch_id.clone(),
            at: self.announcer.now(),
        };
        let event = events::uploaded(&answer.asset, &answer.to_json());
        let mut jobs = self.announcer.jobs(&occasion, &event).await?;
        if let Some(batch_id) = pending_batch(&answer.eager) {
            let url = params.eager_notification_url.clone().or(occasion.url.clone());
            let occasion = Occasion { url, ..occasion };
            jobs.push(eager::job(&occasion, &answer.asset, &params.eager, batch_id));
        }
        self.announcer.enqueue(jobs).await
    }
}

/// The id under which eager pictures are rendered after the answer, if any are.
pub fn pending_batch(eager: &[EagerAnswer]) -> Option<&str> {
    eager.iter().find_map(|answer| match &answer.state {
        EagerState::Processing { batch_id } => Some(batch_id.as_str()),
        _ => None,
    })
}
