//! An upload from proof to acknowledgement: verify, make the bytes durable, inspect, record, render eagerly, answer.

use super::access::{self, AccessError, Caller};
use super::answer::{EagerAnswer, EagerState, UploadAnswer};
use super::av::{self, AvFacts};
use super::call::{ApiError, Params};
use super::delete_token;
use super::later::LaterFile;
use super::library::tell::new_batch_id;
use super::library::{
    AnalysisRequest, CloudSettings, Edit, FolderMode, LibraryService, MetadataChange, check_unsigned, view,
};
use super::naming;
use super::params::{self, UploadParams};
use super::pictures::{Eager, PictureFacts, Pictures};
use super::quota;
use super::remote_file;
use super::sniff::{self, Seems};
use super::spool::{Spool, Spooled};
pub use super::upload_error::UploadError;
use crate::auth::signature::SignaturePolicy;
use crate::catalog::{Catalog, CatalogError, PutOutcome};
use crate::domain::{
    Asset, AssetDetails, AssetKey, BlobKey, Cloud, CloudId, NewAsset, Orientation, PixelSize, PublicId, Region,
    ResourceType, Timestamp,
};
use crate::fetch::RemoteClient;
use crate::jobs::announce::Occasion;
use crate::jobs::{eager, events};
use crate::storage::{BlobStore, BlobWriter, Reference};
use md5::{Digest, Md5};
use std::fmt;
use std::sync::{Arc, OnceLock};
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
    /// Least bytes of a part of a file, unless it is the last one.
    pub min_part_bytes: u64,
}

/// What may be uploaded at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadKind {
    /// `image/upload`
    Image,
    /// `video/upload`: video and sound.
    Video,
    /// `raw/upload`: anything, as it is.
    Raw,
    /// `auto/upload` and `upload`: the bytes decide.
    Auto,
}

impl From<ResourceType> for UploadKind {
    fn from(kind: ResourceType) -> Self {
        match kind {
            ResourceType::Image => UploadKind::Image,
            ResourceType::Video => UploadKind::Video,
            ResourceType::Raw => UploadKind::Raw,
        }
    }
}

impl UploadKind {
    /// From a path.
    pub fn parse(text: &str) -> Option<Self> {
        [UploadKind::Image, UploadKind::Video, UploadKind::Raw, UploadKind::Auto]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }

    /// As in a path.
    pub const fn as_str(self) -> &'static str {
        match self {
            UploadKind::Image => "image",
            UploadKind::Video => "video",
            UploadKind::Raw => "raw",
            UploadKind::Auto => "auto",
        }
    }
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
    /// Which part of the file this is; `None` for a whole one.
    pub part: Option<FilePart>,
}

/// One part of a file that comes in several calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePart {
    /// What the client calls the upload.
    pub upload_id: String,
    pub first_byte: u64,
    /// Inclusive.
    pub last_byte: u64,
    /// Bytes of the whole file, once the client knows.
    pub total: Option<u64>,
}

/// What a call of `upload` comes to.
#[derive(Debug)]
pub enum Uploaded {
    Done(Box<UploadAnswer>),
    /// The body of the answer to a part that does not complete its file.
    Part(serde_json::Value),
    /// The body of the answer to a call that is done later.
    Pending(serde_json::Value),
}

/// Takes uploads.
#[derive(Clone)]
pub struct UploadService {
    parts: Arc<Parts>,
}

pub(super) struct Parts {
    catalog: Arc<dyn Catalog>,
    pub(super) library: LibraryService,
    pub(super) blobs: Arc<dyn BlobStore>,
    pictures: Arc<dyn Pictures>,
    eager: Arc<dyn Eager>,
    changed: Changed,
    /// Never set where files are not fetched from addresses.
    remote: OnceLock<RemoteClient>,
    pub(super) settings: UploadSettings,
    slots: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    memory_units: u32,
}

/// A verified call: who makes it and what it wants. The file has not been looked at.
pub(super) struct Accepted {
    pub caller: Caller,
    pub params: UploadParams,
    edit: Edit,
    analysis: AnalysisRequest,
    metadata: MetadataChange,
    /// The incoming transformation without names.
    transformation: String,
    asset_folder: String,
    settings: CloudSettings,
    /// All parameters, with those of the preset.
    pub effective: Params,
}

/// Durable bytes and what they are.
struct StoredFile {
    blob: BlobKey,
    bytes: u64,
    md5: String,
    facts: FileFacts,
}

/// What a file turned out to be.
enum FileFacts {
    Picture(PictureFacts),
    Video { format: &'static str, is_audio: bool, av: Box<AvFacts> },
    Raw { extension: String },
}

impl FileFacts {
    fn resource_type(&self) -> ResourceType {
        match self {
            FileFacts::Picture(_) => ResourceType::Image,
            FileFacts::Video { .. } => ResourceType::Video,
            FileFacts::Raw { .. } => ResourceType::Raw,
        }
    }
}

impl UploadService {
    pub fn new(
        catalog: Arc<dyn Catalog>,
        library: LibraryService,
        blobs: Arc<dyn BlobStore>,
        pictures: Arc<dyn Pictures>,
        eager: Arc<dyn Eager>,
        changed: Changed,
        settings: UploadSettings,
    ) -> Self {
        let memory_units =
            u32::try_from(settings.inspect_budget_bytes / MEMORY_UNIT_BYTES).unwrap_or(u32::MAX).clamp(1, 1 << 24);
        let parts = Parts {
            slots: Arc::new(Semaphore::new(settings.max_uploads.clamp(1, 1 << 20))),
            memory: Arc::new(Semaphore::new(memory_units as usize)),
            memory_units,
            catalog,
            library,
            blobs,
            pictures,
            eager,
            changed,
            remote: OnceLock::new(),
            settings,
        };
        UploadService { parts: Arc::new(parts) }
    }

    /// The same service, which also takes files from remote addresses. A second client is ignored.
    pub fn with_remote(self, client: RemoteClient) -> Self {
        let _ = self.parts.remote.set(client);
        self
    }

    pub(super) fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// Largest file that is taken.
    pub fn max_upload_bytes(&self) -> u64 {
        self.parts.settings.max_upload_bytes
    }

    /// Refuses early, before the body is read, what no parameter could mend: an unknown cloud, or a header that does not
    /// prove anything.
    pub async fn precheck(&self, cloud: &str, authorization: Option<&str>) -> Result<Cloud, UploadError> {
        let parts = &self.parts;
        let cloud = access::find_cloud(&*parts.catalog, cloud).await?;
        if authorization.is_some() {
            parts.authorize(&cloud, authorization, &[]).await?;
        }
        Ok(cloud)
    }

    /// Begins to receive a file of a cloud. Nothing of it is kept unless [`UploadService::upload`] accepts it.
    pub async fn spool(&self, cloud: &CloudId) -> Result<Spool, UploadError> {
        self.parts.spool(cloud).await
    }

    /// As [`UploadService::spool`], of a file whose bytes stay where they are.
    pub async fn spool_in_place(&self, cloud: &CloudId, reference: &Reference) -> Result<Spool, UploadError> {
        let parts = &self.parts;
        let writer = parts.blobs.create_reference(cloud, reference).await.map_err(UploadError::Storage)?;
        parts.spool_into(writer)
    }

    /// Forgets parts of files that nobody completes; how many files there were.
    pub async fn expire_parts(&self, now: Timestamp) -> Result<u64, UploadError> {
        self.parts.expire_parts(now).await
    }

    /// Verifies and stores a received file. The answer means that blob and row are durable.
    ///
    /// The work goes on to its end when the caller is dropped, so that a client that leaves in the middle leaves no blob
    /// behind without a row.
    pub async fn upload(&self, request: UploadRequest) -> Result<Uploaded, UploadError> {
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

impl Accepted {
    pub(super) fn asset_folder(&self) -> &str {
        &self.asset_folder
    }
}

impl Parts {
    pub(super) async fn spool(&self, cloud: &CloudId) -> Result<Spool, UploadError> {
        self.spool_into(self.blobs.create_for(cloud).await.map_err(UploadError::Storage)?)
    }

    fn spool_into(&self, writer: Box<dyn BlobWriter>) -> Result<Spool, UploadError> {
        let permit = Arc::clone(&self.slots)
            .try_acquire_owned()
            .map_err(|_| UploadError::Busy { retry_after: Duration::from_secs(2) })?;
        Ok(Spool::new(writer, self.settings.max_upload_bytes, permit))
    }

    pub(super) fn remote(&self) -> Option<&RemoteClient> {
        self.remote.get()
    }

    pub(super) async fn referenced(&self, blob: &BlobKey) -> Result<bool, CatalogError> {
        self.catalog.referenced(blob).await
    }

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

    async fn upload(self: &Arc<Self>, request: UploadRequest) -> Result<Uploaded, UploadError> {
        let kind = request.kind;
        let accepted = self.accept(&request.cloud, request.authorization.as_deref(), &request.params).await?;
        let is_later = accepted.params.is_async && request.part.is_none();
        let (spool, filename) = match request.file {
            None => return Err(UploadError::MissingFile),
            Some(FileSource::Remote(address)) if is_later && self.remote.get().is_some() => {
                return self.take_later(kind, accepted, LaterFile::Remote(address)).await;
            }
            Some(FileSource::Received { spool, filename }) if is_later => {
                return self.take_later(kind, accepted, LaterFile::Received { spool, filename }).await;
            }
            Some(FileSource::Remote(address)) => match self.remote.get() {
                Some(client) => {
                    remote_file::receive(client, &address, self.spool(&accepted.caller.cloud.id).await?).await?
                }
                None => return Err(UploadError::Remote(address.chars().take(200).collect())),
            },
            Some(FileSource::Received { spool, filename }) => (spool, filename),
        };
        match request.part {
            Some(part) => self.take_part(kind, accepted, part, spool, filename).await,
            None => Ok(Uploaded::Done(Box::new(self.take(kind, accepted, spool, &filename, None).await?))),
        }
    }

    /// Stores a whole file. `name` is the public id and the file's name where an earlier call settled them.
    pub(super) async fn take(
        &self,
        kind: UploadKind,
        accepted: Accepted,
        spool: Spool,
        filename: &str,
        name: Option<PublicId>,
    ) -> Result<UploadAnswer, UploadError> {
        let choose = |raw| match &name {
            Some(name) => Ok(name.clone()),
            None => naming::choose_public_id(&accepted.params, filename, &accepted.asset_folder, raw),
        };
        // Refuses a bad id before anything is made durable; where the bytes decide, the id may get an extension later.
        let early = choose(kind == UploadKind::Raw)?;
        let mut key = AssetKey {
            cloud: accepted.caller.cloud.id.clone(),
            resource_type: match kind {
                UploadKind::Image | UploadKind::Auto => ResourceType::Image,
                UploadKind::Video => ResourceType::Video,
                UploadKind::Raw => ResourceType::Raw,
            },
            delivery_type: accepted.params.delivery_type,
            public_id: early,
        };
        if !accepted.params.overwrite
            && kind != UploadKind::Auto
            && let Some(asset) = self.catalog.asset(&key).await?
        {
            return self.answer(&accepted, asset, PutOutcome::Existing, Vec::new()).await;
        }
        let original_filename = naming::original_filename(&accepted.params, filename);
        let spooled = spool.finish()?;
        let old = match accepted.settings.has_quota() {
            true => self.catalog.asset(&key).await?,
            false => None,
        };
        let room = self.catalog.as_ref();
        quota::check(room, &accepted.caller.cloud, &accepted.settings, spooled.bytes, old.as_ref()).await?;
        let (stored, permit) = self.store(kind, spooled, &accepted, filename).await?;
        key.resource_type = stored.facts.resource_type();
        if kind == UploadKind::Auto && key.resource_type == ResourceType::Raw && accepted.params.public_id.is_none() {
            key.public_id = choose(true)?;
        }
        let fixed = accepted.settings.folder_mode == FolderMode::Fixed;
        let (params, caller) = (&accepted.params, &accepted.caller);
        let blob = stored.blob.clone();
        let pages = match &stored.facts {
            FileFacts::Picture(facts) => facts.pages,
            FileFacts::Video { .. } | FileFacts::Raw { .. } => 0,
        };
        let (format, stored_size, orientation, has_alpha, video) = match &stored.facts {
            FileFacts::Picture(facts) => (
                facts.format.extension().to_owned(),
                facts.stored_size,
                facts.orientation,
                facts.has_alpha,
                Default::default(),
            ),
            FileFacts::Video { format, is_audio, av } => {
                let fields = av.fields(stored.bytes, *is_audio);
                // As it is seen: whoever lays out a page wants no other.
                ((*format).to_owned(), av.size(), Orientation::UPRIGHT, false, fields)
            }
            FileFacts::Raw { extension } => {
                (extension.clone(), PixelSize::default(), Orientation::UPRIGHT, false, Default::default())
            }
        };
        let upright = orientation.upright(stored_size);
        let clamp = |regions: &[Region]| -> Vec<Region> {
            let (width, height) = (f64::from(upright.width), f64::from(upright.height));
            regions.iter().map(|[x, y, w, h]| [*x, *y, w.min(width), h.min(height)]).collect()
        };
        let folder = view::folder_of(key.public_id.as_str()).to_owned();
        let display_name = match &accepted.edit.display_name {
            Some(name) => name.clone(),
            None if params.use_filename_as_display_name => naming::stem(filename),
            None => String::new(),
        };
        let asset = NewAsset {
            key,
            format,
            stored_size,
            orientation,
            has_alpha,
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
            access_mode: params.access_mode,
            asset_folder: if fixed { folder } else { accepted.asset_folder.clone() },
            display_name,
            metadata: accepted.metadata.clone().into_values(),
            details: accepted.edit.details(AssetDetails { video, pages, ..AssetDetails::default() }),
            backup: params.backup.unwrap_or(accepted.settings.backup),
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
        let is_image = put.asset.key.resource_type == ResourceType::Image;
        let entries: &[_] = if put.outcome == PutOutcome::Existing || !is_image { &[] } else { &params.eager };
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
        self.answer(&accepted, put.asset, put.outcome, eager.collect()).await
    }

    /// Everything that can be refused before the file is looked at.
    async fn accept(
        &self,
        cloud: &str,
        authorization: Option<&str>,
        given: &[(String, String)],
    ) -> Result<Accepted, UploadError> {
        let cloud = access::find_cloud(&*self.catalog, cloud).await?;
        let (caller, effective) = self.combine(cloud, authorization, given).await?;
        self.accept_as(caller, effective).await
    }

    /// The same for a caller who is proved, with the parameters of the preset.
    pub(super) async fn accept_as(
        &self,
        caller: Caller,
        effective: Vec<(String, String)>,
    ) -> Result<Accepted, UploadError> {
        let mut params = UploadParams::parse(&effective)?;
        let effective = Params::from(effective);
        self.library.expand_eager(&caller.cloud.id, &mut params.eager).await?;
        let edit = Edit::read(&effective)?;
        let analysis = AnalysisRequest::read(&effective)?;
        for entry in &params.eager {
            self.eager.check(entry).map_err(UploadError::Eager)?;
        }
        let metadata = self.library.metadata_of_upload(&caller, &effective).await?;
        let transformation = self.library.expand(&caller.cloud.id, &params.transformation).await?;
        tintype_render::language::parse(&transformation, &tintype_render::Limits::default())
            .map_err(UploadError::Eager)?;
        let settings = self.library.settings_of(&caller.cloud).await?;
        let asset_folder = match (&edit.asset_folder, settings.folder_mode) {
            (_, FolderMode::Fixed) => String::new(),
            (Some(folder), FolderMode::Dynamic) => folder.clone(),
            (None, FolderMode::Dynamic) => {
                params.folder.as_deref().map(|folder| folder.trim_matches('/').to_owned()).unwrap_or_default()
            }
        };
        Ok(Accepted { caller, params, edit, analysis, metadata, transformation, asset_folder, settings, effective })
    }

    /// Who calls, and the parameters of the call together with those of its preset.
    async fn combine(
        &self,
        cloud: Cloud,
        authorization: Option<&str>,
        given: &[(String, String)],
    ) -> Result<(Caller, Vec<(String, String)>), UploadError> {
        let params = Params::from(given.to_vec());
        let preset = params.text("upload_preset").map(str::to_owned);
        let signed = authorization.is_some() || params.text("signature").is_some();
        if signed {
            let caller = self.authorize(&cloud, authorization, given).await?;
            let Some(name) = preset else { return Ok((caller, given.to_vec())) };
            let preset = self.library.find_preset(&cloud.id, &name).await?.ok_or(UploadError::UnknownPreset)?;
            return Ok((caller, preset.combine(given, true)));
        }
        let name = preset.ok_or(AccessError::MissingPreset)?;
        let preset = self.library.find_preset(&cloud.id, &name).await?.ok_or(UploadError::UnknownPreset)?;
        if !preset.unsigned {
            return Err(UploadError::SignedPreset);
        }
        check_unsigned(given)?;
        if preset.disallows_public_id() && params.text("public_id").is_some() {
            let message = "public_id is not allowed by this upload preset".to_owned();
            return Err(ApiError::BadRequest(message).into());
        }
        // Nobody signed: the answer is signed with the cloud's oldest key.
        let key = self.catalog.api_keys(&cloud.id).await?.into_iter().find(|key| key.enabled);
        let key = key.ok_or(AccessError::DisabledKey)?;
        let combined = preset.combine(given, false);
        Ok((Caller { cloud, key }, combined))
    }

    /// Makes the bytes durable, inspects them, and transforms or converts them when another file is to be stored. Whatever
    /// it made durable is gone again when it fails.
    async fn store(
        &self,
        kind: UploadKind,
        spooled: Spooled,
        accepted: &Accepted,
        filename: &str,
    ) -> Result<(StoredFile, OwnedSemaphorePermit), UploadError> {
        let Spooled { writer, md5, bytes, permit } = spooled;
        let blob = writer.commit().await.map_err(UploadError::Storage)?;
        match self.inspect(kind, &blob, bytes, md5, accepted, filename).await {
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
        kind: UploadKind,
        blob: &BlobKey,
        bytes: u64,
        md5: String,
        accepted: &Accepted,
        filename: &str,
    ) -> Result<StoredFile, UploadError> {
        let params = &accepted.params;
        let extension = naming::extension(params.filename_override.as_deref().unwrap_or(filename));
        let facts = match kind {
            UploadKind::Image => None,
            UploadKind::Raw => Some(FileFacts::Raw { extension }),
            UploadKind::Video | UploadKind::Auto => {
                let end = bytes.min(sniff::HEAD_BYTES as u64);
                let head = self.blobs.open(blob, Some(0..end)).await.map_err(UploadError::Storage)?;
                match sniff::sniff(&head.collect().await.map_err(UploadError::Storage)?) {
                    Seems::Video { format, is_audio } => {
                        let _memory = self.lend_memory(bytes.min(av::MEMORY_BYTES)).await?;
                        let av = Box::new(av::probe(self.blobs.clone(), blob, bytes, format).await);
                        Some(FileFacts::Video { format, is_audio, av })
                    }
                    _ if kind == UploadKind::Video => return Err(UploadError::NotAVideo),
                    Seems::Image => None,
                    Seems::Other => Some(FileFacts::Raw { extension }),
                }
            }
        };
        if let Some(facts) = facts {
            for (name, wanted) in
                [("format", params.format.is_some()), ("transformation", !accepted.transformation.is_empty())]
            {
                if wanted {
                    return Err(UploadError::OnlyForImages(name));
                }
            }
            let (kind, format) = match &facts {
                FileFacts::Video { format, .. } => ("Video", *format),
                FileFacts::Raw { extension } => ("Raw", extension.as_str()),
                FileFacts::Picture(_) => ("Image", ""),
            };
            if !params.allowed_formats.is_empty() && !params.allowed_formats.iter().any(|allowed| allowed == format) {
                return Err(UploadError::FormatNotAllowed { kind, format: format.to_owned() });
            }
            return Ok(StoredFile { blob: blob.clone(), bytes, md5, facts });
        }
        let _memory = self.lend_memory(bytes).await?;
        let file = self.blobs.read(blob).await.map_err(UploadError::Storage)?;
        let facts = self.pictures.inspect(file.clone()).await?;
        let target = params.format.unwrap_or(facts.format);
        if !params.allowed_formats.is_empty()
            && !params
                .allowed_formats
                .iter()
                .any(|allowed| tintype_render::language::Format::from_extension(allowed) == Some(target))
        {
            let format = target.extension().to_owned();
            return Err(UploadError::FormatNotAllowed { kind: "Image", format });
        }
        if target == facts.format && accepted.transformation.is_empty() {
            return Ok(StoredFile { blob: blob.clone(), bytes, md5, facts: FileFacts::Picture(facts) });
        }
        let converted = self.pictures.convert(file, &accepted.transformation, target).await?;
        let facts = self.pictures.inspect(converted.clone()).await?;
        let mut writer = self.blobs.create_for(&accepted.caller.cloud.id).await.map_err(UploadError::Storage)?;
        writer.write(converted.clone()).await.map_err(UploadError::Storage)?;
        let md5 = hex::encode(Md5::digest(&converted));
        let blob = writer.commit().await.map_err(UploadError::Storage)?;
        Ok(StoredFile { blob, bytes: converted.len() as u64, md5, facts: FileFacts::Picture(facts) })
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
    pub(super) async fn discard(&self, blob: &BlobKey) {
        if let Err(error) = self.blobs.delete(blob).await {
            tracing::warn!(blob = %blob, %error, "a blob without a row could not be deleted");
        }
    }

    /// Deletes blobs from the garbage list; those that fail stay on it.
    pub(super) async fn free(&self, blobs: &[BlobKey]) {
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
        accepted: &Accepted,
        asset: Asset,
        outcome: PutOutcome,
        eager: Vec<EagerAnswer>,
    ) -> Result<UploadAnswer, UploadError> {
        let Accepted { caller, params, .. } = accepted;
        let pending = pending_batch(&eager).map(str::to_owned);
        // The upload itself is durable, so it is answered also where looking at it failed.
        let analysis = self.library.analyze(caller, &asset, &accepted.analysis).await.unwrap_or_else(|error| {
            tracing::warn!(%error, public_id = %asset.key.public_id, "an uploaded picture could not be analyzed");
            Default::default()
        });
        let token = params.return_delete_token && outcome != PutOutcome::Existing;
        let answer = UploadAnswer {
            view: self.library.view(caller).await?,
            key: caller.key.clone(),
            delete_token: token.then(|| delete_token::issue(&asset, &caller.key, Timestamp::now())),
            asset,
            outcome,
            eager,
            batch_id: pending.or_else(|| params.batch_id.clone()),
            analysis,
            done: false,
        };
        self.announce(&answer, params).await.map_err(|error| UploadError::Internal(error.to_string()))?;
        Ok(answer)
    }

    /// Records in one transaction who is told of an upload, and the pictures that are rendered after the answer.
    async fn announce(&self, answer: &UploadAnswer, params: &UploadParams) -> Result<(), ApiError> {
        let announcer = &self.library.parts().announcer;
        let occasion = Occasion {
            cloud: answer.asset.key.cloud.clone(),
            key: answer.key.key.clone(),
            url: params.notification_url.clone(),
            batch_id: answer.batch_id.clone(),
            at: announcer.now(),
        };
        let event = events::uploaded(&answer.asset, &answer.to_json());
        let mut jobs = announcer.jobs(&occasion, &event).await?;
        if let Some(batch_id) = pending_batch(&answer.eager) {
            let url = params.eager_notification_url.clone().or(occasion.url.clone());
            let occasion = Occasion { url, ..occasion };
            jobs.push(eager::job(&occasion, &answer.asset, &params.eager, batch_id));
        }
        announcer.enqueue(jobs).await
    }
}

/// The id under which eager pictures are rendered after the answer, if any are.
pub fn pending_batch(eager: &[EagerAnswer]) -> Option<&str> {
    eager.iter().find_map(|answer| match &answer.state {
        EagerState::Processing { batch_id } => Some(batch_id.as_str()),
        _ => None,
    })
}
