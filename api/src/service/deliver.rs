//! Delivery: from an address to an original or a derived picture.

use super::asset_headers;
use super::call::ApiError;
use super::deliver_made;
use super::deliver_types::{
    CachePolicy, ContentFacts, Deliver, DeliveryAnswer, DeliveryBody, DeliveryError, DeliveryRequest, FileFacts,
    KeptAnswer, StageTiming, StoredBody, VaryOn,
};
use super::derive::{DeriveError, DerivedPicture, Deriver, Ingredients};
use super::gate::Gate;
use super::keep::Uses;
use super::library::LibraryService;
use super::mapped::Mapped;
use super::media_type;
use super::meter::Meter;
use super::rules;
use super::upgrade::{First, Upgrades};
use crate::auth::{signature, token};
use crate::cache::{Epoch, UrlCache, UrlKey};
use crate::catalog::Catalog;
use crate::domain::{
    AccessMode, Asset, AssetKey, BlobKey, Cloud, CloudName, DeliveryType, DerivedKey, PublicId, ResourceType, Timestamp,
};
use crate::page_file::{PageFile, PageFiles};
use crate::storage::{BlobStore, Expected, Fault, FaultCounts, StorageError};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tintype_render::Limits;
use tintype_render::language::{self, Address, Format, FormatParam, Transformation};
use tintype_render::pipeline::{self, Request};
use tintype_render::plan::facts::{AcceptClass, Profile, Purpose};

/// Originals up to this size are kept in the URL cache; larger ones are streamed from the store.
const CACHED_ORIGINAL_BYTES: u64 = 1024 * 1024;

/// Times that an address is looked up whose original is gone when it is to be read: a picture that is overwritten all the
/// time must not keep a request for ever.
const MOST_TRIES: u32 = 4;

/// Why one look at the catalog gave no answer.
enum Miss {
    /// What it named is not there any more.
    Gone(String),
    Error(DeliveryError),
}

impl From<DeliveryError> for Miss {
    fn from(error: DeliveryError) -> Self {
        Miss::Error(error)
    }
}

fn from_storage_error(error: StorageError) -> Miss {
    match error {
        StorageError::NotFound(_) => Miss::Gone(error.to_string()),
        other => Miss::Error(other.into()),
    }
}

/// How delivery behaves.
#[derive(Debug, Clone)]
pub struct DeliverySettings {
    /// The cloud of addresses that name none.
    pub default_cloud: Option<CloudName>,
    /// Lifetime of answers whose address names no version.
    pub unversioned_max_age: Duration,
    /// Lifetime of answers of which a better one is being made.
    pub provisional_max_age: Duration,
    /// What a client is told when the server is full.
    pub retry_after: Duration,
}

/// Answers after which a picture is held in a file of memory.
const OFTEN: u32 = 16;

/// An answer as it is kept: everything but the time it took.
struct Kept {
    bytes: Bytes,
    content_type: &'static str,
    etag: String,
    last_modified_s: i64,
    cache: CachePolicy,
    vary: Vec<VaryOn>,
    content: ContentFacts,
    attachment: Option<String>,
    headers: Vec<(&'static str, String)>,
    cloud: Cloud,
    /// The derived picture that it is, if it is one.
    derived: Option<DerivedKey>,
    /// Whether it was delivered since uses were recorded.
    used: AtomicBool,
    /// What whoever sends it made of all this.
    head: OnceLock<Bytes>,
    /// How often it took the short way.
    n_short: AtomicU32,
    /// The bytes once more, since it was found to be sent often.
    pages: OnceLock<Arc<PageFile>>,
}

/// Delivers originals and derived pictures.
pub struct Delivery {
    catalog: Arc<dyn Catalog>,
    store: Arc<dyn BlobStore>,
    deriver: Arc<Deriver>,
    upgrades: Arc<Upgrades>,
    library: LibraryService,
    gate: Gate,
    cache: Arc<UrlCache<Kept>>,
    files: PageFiles,
    meter: Arc<Meter>,
    uses: Arc<Uses>,
    settings: DeliverySettings,
    mapped: Option<Mapped>,
    faults: Arc<FaultCounts>,
}

/// The cache of delivered answers, to be shared with whoever has to invalidate it.
#[derive(Clone)]
pub struct DeliveryCache {
    answers: Arc<UrlCache<Kept>>,
    files: PageFiles,
}

impl DeliveryCache {
    /// See [`UrlCache::new`]; an eighth of the bytes is for answers that are sent often.
    pub fn new(bytes: usize, max_age: Option<Duration>) -> Self {
        let files = PageFiles::new(bytes / 8);
        DeliveryCache { answers: Arc::new(UrlCache::new(bytes - bytes / 8, max_age)), files }
    }

    /// Forgets every answer of a cloud.
    pub fn invalidate(&self, cloud: &crate::domain::CloudId) {
        self.answers.epochs().advance(cloud);
    }

    /// See [`UrlCache::confirm`].
    pub fn confirm(&self, moment: Instant) {
        self.answers.confirm(moment);
    }

    /// The derived pictures that were answered with from here since the last call.
    pub fn take_used(&self) -> Vec<DerivedKey> {
        let mut keys = Vec::new();
        self.answers.for_each(|kept| {
            if let Some(key) = &kept.derived
                && kept.used.swap(false, Ordering::Relaxed)
            {
                keys.push(key.clone());
            }
        });
        keys
    }

    /// Bytes that are kept now.
    pub fn bytes(&self) -> usize {
        self.answers.bytes() + self.files.bytes()
    }
}

impl Kept {
    /// The file that holds the body, which is made once it was asked for often.
    fn pages(&self, files: &PageFiles) -> Option<&Arc<PageFile>> {
        let found = self.pages.get();
        // Where there was no room, there may be later.
        if found.is_none() && self.n_short.fetch_add(1, Ordering::Relaxed) % OFTEN == OFTEN - 1 {
            let file = Arc::new(files.hold(&self.bytes)?);
            return Some(self.pages.get_or_init(|| file));
        }
        found
    }

    fn answer(&self) -> DeliveryAnswer {
        DeliveryAnswer {
            body: DeliveryBody::Bytes(self.bytes.clone()),
            content_type: self.content_type.to_owned(),
            etag: self.etag.clone(),
            last_modified_s: self.last_modified_s,
            cache: self.cache,
            vary: self.vary.clone(),
            timings: vec![StageTiming { stage: "cache", duration: Duration::ZERO, description: Some("hit") }],
            content: Some(self.content.clone()),
            attachment: self.attachment.clone(),
            headers: self.headers.clone(),
            warning: None,
        }
    }
}

impl Delivery {
    pub fn new(
        catalog: Arc<dyn Catalog>,
        store: Arc<dyn BlobStore>,
        deriver: Arc<Deriver>,
        upgrades: Arc<Upgrades>,
        library: LibraryService,
        gate: Gate,
        cache: &DeliveryCache,
        meter: Arc<Meter>,
        uses: Arc<Uses>,
        settings: DeliverySettings,
    ) -> Self {
        Delivery {
            catalog,
            store,
            deriver,
            upgrades,
            library,
            gate,
            cache: cache.answers.clone(),
            files: cache.files.clone(),
            meter,
            uses,
            settings,
            mapped: None,
            faults: Arc::default(),
        }
    }

    /// The same, which counts there the originals that it cannot deliver.
    pub fn with_faults(self, faults: Arc<FaultCounts>) -> Self {
        Delivery { faults, ..self }
    }

    /// The error of an original that nobody has as it was stored.
    fn lost(&self, fault: Fault, detail: String) -> DeliveryError {
        self.faults.count_lost(fault);
        DeliveryError::Lost { fault, detail }
    }

    /// The same, which also fetches what upload mappings lead to.
    pub fn with_mapped(self, mapped: Mapped) -> Self {
        Delivery { mapped: Some(mapped), ..self }
    }

    /// Fetches a missing asset; false when there is nowhere to fetch it from.
    async fn bring(&self, path: &str) -> Result<bool, DeliveryError> {
        let Some(mapped) = &self.mapped else { return Ok(false) };
        let (cloud, address) = self.address(path).await?;
        mapped.bring(&cloud, &address).await
    }

    fn answer_kept(&self, kept: &Kept, head: bool) -> DeliveryAnswer {
        self.count(kept, head);
        kept.answer()
    }

    fn count(&self, kept: &Kept, head: bool) {
        // A picture that is asked for all the time is written to once, and then only read.
        if !kept.used.load(Ordering::Relaxed) {
            kept.used.store(true, Ordering::Relaxed);
        }
        self.meter.delivered(&kept.cloud.id, if head { 0 } else { kept.bytes.len() as u64 });
    }

    /// The cloud and the address; addresses without a cloud mean the default one.
    async fn address(&self, path: &str) -> Result<(Cloud, Address), DeliveryError> {
        let invalid = |error: language::AddressError| DeliveryError::Invalid(error.to_string());
        let with_cloud = language::parse_address(path, true);
        let named = match &with_cloud {
            Ok(address) => address.cloud.as_deref(),
            Err(_) => path.split('/').nth(1),
        };
        if let Some(name) = named.and_then(|name| CloudName::new(name).ok())
            && let Some(cloud) = self.catalog.cloud_by_name(&name).await.map_err(internal)?
        {
            return Ok((cloud, with_cloud.map_err(invalid)?));
        }
        if let Some(name) = &self.settings.default_cloud
            && let Ok(address) = language::parse_address(path, false)
            && let Some(cloud) = self.catalog.cloud_by_name(name).await.map_err(internal)?
            && path.split('/').nth(1).is_some_and(|first| matches!(first, "image" | "images" | "iu"))
        {
            return Ok((cloud, address));
        }
        with_cloud.map_err(invalid)?;
        let name = path.split('/').nth(1).unwrap_or_default();
        Err(DeliveryError::Unauthorized(format!("cloud_name {name} is disabled")))
    }

    /// Whether the request brings a token of the cloud that opens its path. Tokens that are bound to a client's address
    /// open nothing: behind a proxy nobody here knows it.
    async fn has_token(&self, request: &DeliveryRequest, cloud: &Cloud) -> Result<bool, DeliveryError> {
        let Some(given) = token::find(request.query.as_deref(), request.cookie.as_deref()) else { return Ok(false) };
        let settings = self.library.recent_settings(cloud).await.map_err(from_api_error)?;
        let Some(key) = settings.auth_token_key.as_deref().and_then(|key| hex::decode(key).ok()) else {
            return Ok(false);
        };
        Ok(token::opens(given, &key, &request.path, None, Timestamp::now().unix_seconds()))
    }

    /// Refuses what is not for whoever asks. `has_token` stands for a signature, and for a rule that asks for a token.
    async fn authorize(
        &self,
        cloud: &Cloud,
        address: &Address,
        asset: &Asset,
        is_derived: bool,
        has_token: bool,
    ) -> Result<(), DeliveryError> {
        let by_token = has_token && rules::takes_token(asset);
        if !by_token && !rules::is_open(asset, Timestamp::now()) {
            return Err(DeliveryError::Unauthorized("ACL deny".into()));
        }
        let strict = is_derived
            && asset.key.delivery_type == DeliveryType::Upload
            && !self.library.allows(cloud, &address.transformation).await.map_err(from_api_error)?;
        let required = match asset.key.delivery_type {
            _ if strict => true,
            DeliveryType::Authenticated => true,
            DeliveryType::Private => !is_derived,
            DeliveryType::Upload | DeliveryType::Text | DeliveryType::Sprite | DeliveryType::Multi => {
                asset.access_mode == AccessMode::Authenticated
            }
        };
        let Some(given) = &address.signature else {
            let why = if strict { "Transformation not allowed" } else { "deny or ACL failure" };
            // A token is no proof that somebody with the secret wants this transformation.
            let required = required && (strict || !has_token);
            return if required { Err(DeliveryError::Unauthorized(why.into())) } else { Ok(()) };
        };
        let keys = self.catalog.api_keys(&cloud.id).await.map_err(internal)?;
        let secrets = keys.iter().filter(|key| key.enabled).map(|key| key.secret.expose());
        let matches = signature::verify_url(&address.to_sign, given.as_str(), secrets);
        if matches { Ok(()) } else { Err(DeliveryError::Unauthorized(format!("Invalid Signature {}", given.as_str()))) }
    }

    fn keep(&self, key: UrlKey, kept: Kept, epoch: Epoch) -> Arc<Kept> {
        let kept = Arc::new(kept);
        let size = kept.bytes.len();
        self.cache.put(key, kept.clone(), size, &kept.cloud.id, epoch);
        kept
    }
}

#[async_trait]
impl Deliver for Delivery {
    async fn deliver(&self, request: DeliveryRequest) -> Result<DeliveryAnswer, DeliveryError> {
        let accept = accept_class(request.accept.as_deref());
        let class = class_bits(accept);
        if let Some(kept) = self.cache.get(&request.path, class) {
            return Ok(self.answer_kept(&kept, request.head));
        }
        let url_key = UrlKey { path: request.path.clone(), accept_class: class };
        let (mut tries, mut is_brought) = (1, false);
        loop {
            match self.answer(&request, &url_key).await {
                Err(Miss::Gone(why)) if tries < MOST_TRIES => {
                    tracing::debug!(path = request.path, why, "an original was replaced while it was delivered");
                    tries += 1;
                }
                Err(Miss::Gone(detail)) => return Err(self.lost(Fault::Missing, detail)),
                Err(Miss::Error(DeliveryError::Lost { fault, detail })) => return Err(self.lost(fault, detail)),
                Err(Miss::Error(error @ DeliveryError::NotFound(_))) if !is_brought => {
                    is_brought = self.bring(&request.path).await?;
                    if !is_brought {
                        return Err(error);
                    }
                }
                Err(Miss::Error(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    fn kept(&self, path: &str, accept: Option<&str>, write: &dyn Fn(DeliveryAnswer) -> Bytes) -> Option<KeptAnswer> {
        let kept = self.cache.get(path, class_bits(accept_class(accept)))?;
        let head = kept.head.get_or_init(|| write(kept.answer())).clone();
        if !head.is_empty() {
            self.count(&kept, false);
        }
        let pages = kept.pages(&self.files).cloned();
        Some(KeptAnswer { head, body: kept.bytes.clone(), pages })
    }
}

impl Delivery {
    pub(super) fn count_delivered(&self, cloud: &Cloud, bytes: u64) {
        self.meter.delivered(&cloud.id, bytes);
    }

    pub(super) fn blobs(&self) -> Arc<dyn BlobStore> {
        self.store.clone()
    }

    /// Address of something that was made, as its style sheet names it.
    pub(super) fn made_url(&self, cloud: &Cloud, asset: &Asset, transformation: &str) -> String {
        let base = &self.library.parts().public_base_url;
        let (kind, delivery_type, id) =
            (asset.key.resource_type, asset.key.delivery_type, asset.key.public_id.as_str());
        let (kind, delivery_type) = (kind.as_str(), delivery_type.as_str());
        let path = language::build_path(
            cloud.name.as_str(),
            kind,
            delivery_type,
            transformation,
            asset.version,
            id,
            Some(&asset.format),
        );
        format!("{base}{path}")
    }

    /// The answer by what the catalog says now.
    async fn answer(&self, request: &DeliveryRequest, url_key: &UrlKey) -> Result<DeliveryAnswer, Miss> {
        let accept = accept_class(request.accept.as_deref());
        let started = Instant::now();
        let pass = self.gate.enter().ok_or(DeliveryError::Busy { retry_after: self.settings.retry_after })?;
        let (cloud, address) = self.address(&request.path).await?;
        let epoch = self.cache.epochs().current(&cloud.id);
        if deliver_made::is_made(&address) {
            let asset = find_asset(self.catalog.as_ref(), &cloud, &address).await?;
            self.authorize(&cloud, &address, &asset, false, false).await?;
            drop(pass);
            let lookup = StageTiming { stage: "lookup", duration: started.elapsed(), description: None };
            return Ok(self.made(&cloud, &address, &asset, lookup, self.settings.unversioned_max_age)?);
        }
        let text = self.library.expand(&cloud.id, &address.transformation).await.map_err(from_api_error)?;
        let transformation = language::parse(&text, self.deriver.limits());
        let transformation = Arc::new(transformation.map_err(DeliveryError::from)?);
        let asset = find_asset(self.catalog.as_ref(), &cloud, &address).await?;
        let is_image = asset.key.resource_type == ResourceType::Image;
        let extension = if is_image { extension_format(&address, &asset)? } else { None };
        let original = Deriver::is_original(&transformation, &asset, extension);
        let has_token = self.has_token(request, &cloud).await?;
        self.authorize(&cloud, &address, &asset, !original, has_token).await?;
        if !is_image {
            only_as_it_is(&address, &asset, original)?;
        }

        let cache = match address.version {
            Some(version) if version <= asset.version => CachePolicy::Immutable,
            // A version that is not there yet may mean another picture in a moment.
            Some(_) => CachePolicy::Revalidate { max_age: Duration::from_secs(60) },
            None => CachePolicy::Revalidate { max_age: self.settings.unversioned_max_age },
        };
        // What opens and shuts by the clock is asked for again every time.
        // What a token opened must not be kept for those who bring none.
        let timed = has_token || !asset.details.access_control.is_empty();
        let cache = if timed { CachePolicy::Revalidate { max_age: Duration::ZERO } } else { cache };
        let original_facts = FileFacts {
            width: asset.upright_size.width,
            height: asset.upright_size.height,
            bytes: asset.bytes,
            format: asset.format.clone(),
            created_s: asset.created_at.unix_seconds(),
        };
        let lookup = StageTiming { stage: "lookup", duration: started.elapsed(), description: None };
        if original {
            drop(pass);
            let content_type = match Format::from_extension(&asset.format) {
                Some(format) if is_image => format.content_type(),
                _ => media_type::of_file(&asset.format),
            };
            let attachment = attachment(&transformation, &asset, &asset.format);
            let content = ContentFacts { file: original_facts, original: None };
            if asset.bytes <= CACHED_ORIGINAL_BYTES {
                // What is kept for many answers is compared in full.
                let expected = Expected { bytes: asset.bytes, md5: Some(asset.etag.clone()) };
                let bytes = self.store.read_original(&asset.blob, &expected).await.map_err(from_storage_error)?;
                let kept = Kept {
                    bytes,
                    content_type,
                    etag: asset.etag.clone(),
                    last_modified_s: asset.uploaded_at.unix_seconds(),
                    cache,
                    vary: vec![],
                    content,
                    attachment,
                    headers: asset_headers::of(&asset),
                    cloud,
                    derived: None,
                    used: AtomicBool::new(false),
                    head: OnceLock::new(),
                    n_short: AtomicU32::new(0),
                    pages: OnceLock::new(),
                };
                let kept = if timed { Arc::new(kept) } else { self.keep(url_key.clone(), kept, epoch) };
                return Ok(DeliveryAnswer { timings: vec![lookup], ..self.answer_kept(&kept, request.head) });
            }
            self.store.check_original(&asset.blob, asset.bytes).await.map_err(from_storage_error)?;
            self.meter.delivered(&cloud.id, if request.head { 0 } else { asset.bytes });
            let stored = StoredBlob { store: self.store.clone(), blob: asset.blob.clone(), bytes: asset.bytes };
            return Ok(DeliveryAnswer {
                body: DeliveryBody::Stored(Box::new(stored)),
                content_type: content_type.to_owned(),
                etag: asset.etag.clone(),
                last_modified_s: asset.uploaded_at.unix_seconds(),
                cache,
                vary: vec![],
                timings: vec![lookup],
                content: Some(content),
                attachment,
                headers: asset_headers::of(&asset),
                warning: None,
            });
        }

        let purpose = Purpose { extension, accept, ..Purpose::default() };
        let First { picture, provisional } =
            self.upgrades.first(&asset, transformation.clone(), purpose, pass).await.map_err(|error| match error {
                DeriveError::Gone(why) => Miss::Gone(why),
                error => Miss::Error(self.derive_error(error)),
            })?;
        if picture.counts {
            self.meter.transformed(&cloud.id);
        }
        self.uses.note(&picture.key);
        let mut timings = vec![lookup];
        timings.extend(stage_timings(&picture));
        let (cache, last_modified_s) = if provisional {
            // Older than the better picture can be: whoever compares dates alone must get that one as soon as it is there.
            let policy = CachePolicy::Provisional { max_age: self.settings.provisional_max_age };
            (policy, picture.created_at.unix_seconds() - 1)
        } else {
            (cache, picture.created_at.unix_seconds())
        };
        let negotiated = transformation.components.iter().any(|part| part.format == Some(FormatParam::Auto));
        let kept = Kept {
            content_type: picture.format.content_type(),
            etag: picture.etag.clone(),
            last_modified_s,
            cache,
            vary: if negotiated { vec![VaryOn::Accept] } else { vec![] },
            content: ContentFacts {
                file: FileFacts {
                    width: picture.size.width,
                    height: picture.size.height,
                    bytes: picture.bytes.len() as u64,
                    format: picture.format.extension().to_owned(),
                    created_s: picture.created_at.unix_seconds(),
                },
                original: Some(original_facts),
            },
            attachment: attachment(&transformation, &asset, picture.format.extension()),
            headers: asset_headers::of(&asset),
            bytes: picture.bytes,
            cloud,
            derived: Some(picture.key),
            used: AtomicBool::new(false),
            head: OnceLock::new(),
            n_short: AtomicU32::new(0),
            pages: OnceLock::new(),
        };
        // A provisional answer is never kept: every request for it looks for the better one, and asks for it again.
        let kept = if provisional || timed { Arc::new(kept) } else { self.keep(url_key.clone(), kept, epoch) };
        Ok(DeliveryAnswer { timings, ..self.answer_kept(&kept, request.head) })
    }

    fn derive_error(&self, error: DeriveError) -> DeliveryError {
        match error {
            DeriveError::Render(error) => DeliveryError::Render(error),
            DeriveError::Busy | DeriveError::ShuttingDown => {
                DeliveryError::Busy { retry_after: self.settings.retry_after }
            }
            other => other.into(),
        }
    }
}

/// The asset that an address names. Where the extension is no format at all, an id that literally ends so goes first.
async fn find_asset(catalog: &dyn Catalog, cloud: &Cloud, address: &Address) -> Result<Asset, DeliveryError> {
    let key = |public_id: &str| {
        Some(AssetKey {
            cloud: cloud.id.clone(),
            resource_type: address.resource_type.to_string().parse::<ResourceType>().ok()?,
            delivery_type: address.delivery_type.to_string().parse::<DeliveryType>().ok()?,
            public_id: PublicId::new(public_id).ok()?,
        })
    };
    let mut candidates = [Some(address.public_id.as_str()), address.literal_id.as_deref()];
    // Public ids of raw files hold their extension.
    let raw = address.resource_type.to_string() == "raw";
    if raw || address.extension.as_deref().is_some_and(|extension| !language::is_known_extension(extension)) {
        candidates.reverse();
    }
    for key in candidates.into_iter().flatten().filter_map(key) {
        if let Some(asset) = catalog.asset(&key).await.map_err(internal)? {
            return Ok(asset);
        }
    }
    Err(DeliveryError::NotFound(address.public_id.clone()))
}

/// What a delivery path or URL would render, and the bytes of its sources, for `tintype explain`.
pub async fn explain_path(
    catalog: Arc<dyn Catalog>,
    store: Arc<dyn BlobStore>,
    url: &str,
    limits: &Limits,
    profile: Profile,
) -> Result<(Request, Vec<Bytes>), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let without_scheme = url.split_once("://").map(|(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    let path = format!("/{}", without_scheme.unwrap_or(url).trim_start_matches('/'));
    let path = path.split('?').next().unwrap_or_default();
    let address = language::parse_address(path, true).map_err(|error| text(&error))?;
    let name = CloudName::new(address.cloud.clone().unwrap_or_default()).map_err(|error| text(&error))?;
    let cloud = catalog.cloud_by_name(&name).await.map_err(|error| text(&error))?;
    let cloud = cloud.ok_or_else(|| format!("there is no cloud {name}"))?;
    let asset = find_asset(catalog.as_ref(), &cloud, &address).await.map_err(|error| text(&error))?;
    let transformation = language::parse(&address.transformation, limits).map_err(|error| text(&error))?;
    let extension = extension_format(&address, &asset).map_err(|error| text(&error))?;
    let ingredients =
        Ingredients::find(catalog.as_ref(), &store, &asset, &transformation).await.map_err(|error| text(&error))?;
    let purpose = Purpose { profile, extension, accept: AcceptClass::default() };
    let request = Request { transformation: Arc::new(transformation), facts: ingredients.facts.clone(), purpose };
    let mut sources = Vec::new();
    for id in pipeline::source_ids(&request) {
        sources.push(ingredients.read(&id).await.map_err(|error| text(&error))?);
    }
    Ok((request, sources))
}

/// Files that are no pictures are delivered as they are stored, or not at all.
fn only_as_it_is(address: &Address, asset: &Asset, original: bool) -> Result<(), DeliveryError> {
    let kind = asset.key.resource_type;
    let unsupported = |what: String| Err(tintype_render::Error::unsupported(what).into());
    if !original {
        return unsupported(format!("transforming {kind} assets"));
    }
    let literal = address.literal_id.as_deref() == Some(asset.key.public_id.as_str());
    match address.extension.as_deref() {
        Some(extension) if !literal && extension != asset.format => {
            unsupported(format!("delivery of {kind} assets as {extension}"))
        }
        _ => Ok(()),
    }
}

fn from_api_error(error: ApiError) -> DeliveryError {
    match error {
        ApiError::BadRequest(message) => DeliveryError::Invalid(message),
        other => DeliveryError::Internal(other.to_string()),
    }
}

/// The format that the extension of an address asks for; none when there is no extension.
fn extension_format(address: &Address, asset: &Asset) -> Result<Option<Format>, DeliveryError> {
    let Some(extension) = &address.extension else { return Ok(None) };
    if address.literal_id.as_deref() == Some(asset.key.public_id.as_str()) {
        return Ok(None);
    }
    match Format::from_extension(extension) {
        Some(format) => Ok(Some(format)),
        None if language::is_known_extension(extension) => {
            Err(tintype_render::Error::unsupported(format!("f_{extension}")).into())
        }
        None => Err(DeliveryError::Invalid(format!("Invalid extension in transformation: {extension}"))),
    }
}

/// One bit for each modern format.
fn class_bits(accept: AcceptClass) -> u8 {
    u8::from(accept.webp) | u8::from(accept.avif) << 1
}

/// The modern formats that an Accept header names. Wildcards name none, and neither does a quality of zero.
pub fn accept_class(accept: Option<&str>) -> AcceptClass {
    let mut class = AcceptClass::default();
    for part in accept.unwrap_or_default().split(',') {
        let mut fields = part.split(';').map(str::trim);
        let media = fields.next().unwrap_or_default();
        let refused = fields.any(|field| {
            field.strip_prefix("q=").and_then(|value| value.trim().parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
        });
        if refused {
            continue;
        }
        class.webp |= media.eq_ignore_ascii_case("image/webp");
        class.avif |= media.eq_ignore_ascii_case("image/avif");
    }
    class
}

/// The file name of `fl_attachment`: the one that is written, else that of the upload, with the delivered extension.
fn attachment(transformation: &Transformation, asset: &Asset, extension: &str) -> Option<String> {
    let name = transformation.attachment()?;
    let name = name.unwrap_or(if asset.original_filename.is_empty() {
        asset.key.public_id.as_str().rsplit('/').next().unwrap_or("image")
    } else {
        &asset.original_filename
    });
    Some(format!("{name}.{extension}"))
}

fn stage_timings(picture: &DerivedPicture) -> Vec<StageTiming> {
    let Some(timings) = &picture.timings else {
        return vec![StageTiming { stage: "store", duration: Duration::ZERO, description: Some("hit") }];
    };
    let stage = |stage, duration| StageTiming { stage, duration, description: None };
    vec![
        stage("queue", timings.queue),
        stage("read", timings.read),
        stage("decode", timings.decode),
        stage("render", timings.render),
        stage("encode", timings.encode),
    ]
}

fn internal(error: impl Into<DeliveryError>) -> DeliveryError {
    error.into()
}

/// An original that is streamed from the store.
/// A blob as the body of an answer.
pub(super) struct StoredBlob {
    pub(super) store: Arc<dyn BlobStore>,
    pub(super) blob: BlobKey,
    pub(super) bytes: u64,
}

#[async_trait]
impl StoredBody for StoredBlob {
    fn length(&self) -> u64 {
        self.bytes
    }

    async fn open(self: Box<Self>, range: Range<u64>) -> Result<BoxStream<'static, io::Result<Bytes>>, DeliveryError> {
        let part = (range != (0..self.bytes)).then_some(range);
        let reader = self.store.open_original(&self.blob, self.bytes, part).await?;
        Ok(reader.map(|chunk| chunk.map_err(io::Error::other)).boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_headers_fall_into_classes() {
        let class = |webp, avif| AcceptClass { webp, avif };
        assert_eq!(accept_class(None), class(false, false));
        assert_eq!(accept_class(Some("*/*")), class(false, false));
        assert_eq!(accept_class(Some("image/*,*/*;q=0.8")), class(false, false));
        assert_eq!(accept_class(Some("image/avif,image/webp,*/*")), class(true, true));
        assert_eq!(accept_class(Some("image/WebP;q=0.5")), class(true, false));
        assert_eq!(accept_class(Some("image/webp;q=0, image/png")), class(false, false));
    }
}
