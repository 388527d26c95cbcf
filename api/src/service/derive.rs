//! Derived pictures: from an asset and a transformation to bytes, rendered once and kept.

use super::animate::{self, Animator};
use super::own_quality::with_own_quality;
use super::turn::{Turns, Waiting};
use crate::catalog::{Catalog, CatalogError};
use crate::domain::{
    Asset, AssetKey, BlobKey, CloudId, DeliveryType, Derived, DerivedKey, PixelSize, PublicId, Region, ResourceType,
    Timestamp,
};
use crate::storage::{self, BlobStore, Expected, StorageError};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, Shared};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tintype_render::Limits;
use tintype_render::language::{Format, Transformation, canonical};
use tintype_render::pipeline::{FoundFaces, Request};
use tintype_render::plan;
use tintype_render::plan::facts::{Facts, Profile, Purpose, SourceFacts};
use tintype_render::plan::geometry::{Orientation, RectF, Size};
use tintype_scheduler::{
    Lane, Rendered, Scheduler, SourceError, SourceKey, SourceReader, Timings, Work, WorkError, WorkKey,
};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Changes whenever the same plan gives other pixels. Stored on every row; rows below the least revision that is still
/// served are rendered anew.
pub const RENDERER_REVISION: u32 = 4;

/// Why a derived picture could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    #[error(transparent)]
    Render(#[from] tintype_render::Error),
    /// The server is full; try again after some seconds.
    #[error("the server is busy")]
    Busy,
    #[error("the server is shutting down")]
    ShuttingDown,
    /// An original was replaced or deleted after its row was read: whoever reads the row again knows more.
    #[error("the original is gone: {0}")]
    Gone(String),
    #[error("an original is damaged: {0}")]
    Damaged(String),
    #[error("an original cannot be read now: {0}")]
    Unavailable(String),
    #[error("catalog: {0}")]
    Catalog(#[from] CatalogError),
    #[error("storage: {0}")]
    Storage(#[from] StorageError),
    #[error("{0}")]
    Internal(String),
}

impl DeriveError {
    /// The same for another who waited.
    fn repeated(&self) -> Self {
        match self {
            DeriveError::Render(error) => DeriveError::Render(error.clone()),
            DeriveError::Busy => DeriveError::Busy,
            DeriveError::ShuttingDown => DeriveError::ShuttingDown,
            DeriveError::Gone(why) => DeriveError::Gone(why.clone()),
            other => DeriveError::Internal(other.to_string()),
        }
    }
}

/// An animation that several wait for.
type SharedAnimation = Shared<BoxFuture<'static, Result<DerivedPicture, Arc<DeriveError>>>>;

/// A derived picture with its bytes.
#[derive(Debug, Clone)]
pub struct DerivedPicture {
    pub key: DerivedKey,
    pub bytes: Bytes,
    pub format: Format,
    pub size: PixelSize,
    /// MD5 of the bytes in hexadecimal.
    pub etag: String,
    pub created_at: Timestamp,
    /// Time spent in the stages of rendering; `None` when the picture was there already.
    pub timings: Option<Timings>,
    /// Whether the rendering counts for this request; of all that shared it, it does for exactly one.
    pub counts: bool,
}

/// How long anybody waits for a picture that is not begun.
const PATIENCE: Duration = Duration::from_secs(10);

/// What there is of a picture.
pub(super) enum Known {
    Kept(Box<DerivedPicture>),
    Wanted(Box<Wanted>),
}

/// A picture that has to be rendered, or that somebody is just keeping.
pub(super) struct Wanted {
    pub(super) key: DerivedKey,
    canonical: String,
    layers: BTreeMap<String, Asset>,
    pub(super) fresh: Option<Arc<Rendered>>,
    pub(super) work: Work,
    /// Frames, where the picture is an animation.
    pub(super) frames: Option<u32>,
    sources: Arc<Sources>,
}

/// One picture of a set, and who makes it.
enum Part {
    Kept(Box<DerivedPicture>),
    Fresh(Box<Wanted>, Arc<Rendered>),
    Ours(Box<Wanted>),
    Elsewhere(Box<Wanted>, Waiting),
}

/// Renders derived pictures, or finds them.
pub struct Deriver {
    catalog: Arc<dyn Catalog>,
    store: Arc<dyn BlobStore>,
    scheduler: Arc<Scheduler>,
    animator: Arc<Animator>,
    turns: Turns,
    limits: Limits,
    profile: Profile,
    least_revision: u32,
    /// Pictures that somebody counts and writes. They can be had here until their row is there, and as long as anybody
    /// who waited for the same rendering holds them.
    fresh: Mutex<HashMap<DerivedKey, Weak<Rendered>>>,
    /// Pictures that were answered with and are being written.
    writing: Mutex<JoinSet<()>>,
    /// Animations that are being made.
    animations: Mutex<HashMap<DerivedKey, SharedAnimation>>,
}

impl Deriver {
    pub fn new(
        catalog: Arc<dyn Catalog>,
        store: Arc<dyn BlobStore>,
        scheduler: Arc<Scheduler>,
        animator: Arc<Animator>,
        turns: Turns,
        limits: Limits,
        profile: Profile,
    ) -> Arc<Self> {
        let (fresh, writing) = (Mutex::new(HashMap::new()), Mutex::new(JoinSet::new()));
        let animations = Mutex::new(HashMap::new());
        let least_revision = RENDERER_REVISION;
        Arc::new(Deriver {
            catalog,
            store,
            scheduler,
            animator,
            turns,
            limits,
            profile,
            least_revision,
            fresh,
            writing,
            animations,
        })
    }

    /// Ceilings of the renderer.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The profile that pictures are rendered with.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Whether the answer is the original, byte for byte: nothing is asked for that would change it.
    pub fn is_original(transformation: &Transformation, asset: &Asset, extension: Option<Format>) -> bool {
        let untouched = transformation.components.iter().all(|component| {
            let mut rest = component.clone();
            rest.flags.clear();
            rest == tintype_render::language::Component::default()
        });
        untouched && extension.is_none_or(|format| format.extension() == asset.format)
    }

    /// The picture, from the store or rendered now. Identical requests at the same time are rendered once.
    ///
    /// `durable` waits until the picture and its row are safe; otherwise they are written after the answer.
    pub async fn derive(
        self: &Arc<Self>,
        asset: &Asset,
        transformation: Arc<Transformation>,
        purpose: Purpose,
        lane: Lane,
        durable: bool,
    ) -> Result<DerivedPicture, DeriveError> {
        let known = self.look_up(asset, transformation, purpose, lane).await?;
        self.obtain(asset, known, durable).await
    }

    /// The picture that was looked up, rendered now if need be.
    pub(super) async fn obtain(
        self: &Arc<Self>,
        asset: &Asset,
        known: Known,
        durable: bool,
    ) -> Result<DerivedPicture, DeriveError> {
        match known {
            Known::Kept(picture) => Ok(*picture),
            Known::Wanted(wanted) => {
                let rendered = match &wanted.fresh {
                    Some(rendered) => rendered.clone(),
                    None => {
                        // Nothing is held meanwhile but this request.
                        if let Some(waiting) = self.turns.begin(&wanted.key).await
                            && let Some(picture) = self.made_elsewhere(&wanted.key, waiting).await?
                        {
                            return Ok(picture);
                        }
                        if wanted.frames.is_some() {
                            return self.animation(asset, *wanted).await;
                        }
                        match self.submit(&wanted).await {
                            Ok(rendered) => rendered,
                            Err(error) => {
                                self.turns.give_up(&wanted.key).await;
                                return Err(error);
                            }
                        }
                    }
                };
                self.complete(asset, *wanted, rendered, durable).await
            }
        }
    }

    /// The picture that another node is making, if there is one in time.
    async fn made_elsewhere(
        &self,
        key: &DerivedKey,
        mut waiting: Waiting,
    ) -> Result<Option<DerivedPicture>, DeriveError> {
        while waiting.pause().await {
            if let Some(found) = self.find(key).await? {
                return Ok(Some(found));
            }
            // The other one may have failed.
            if self.turns.claim(key).await {
                break;
            }
        }
        Ok(None)
    }

    /// Several pictures of one asset, in order: what has to be rendered shares the reading and decoding of the original. What
    /// another node renders already is left to it, for as long as it does.
    pub async fn derive_all(
        self: &Arc<Self>,
        asset: &Asset,
        pictures: Vec<(Arc<Transformation>, Purpose)>,
        lane: Lane,
        durable: bool,
    ) -> Vec<Result<DerivedPicture, DeriveError>> {
        let look_ups = pictures.into_iter().map(|(text, purpose)| async move {
            let wanted = match self.look_up(asset, text, purpose, lane).await? {
                Known::Kept(picture) => return Ok(Part::Kept(picture)),
                Known::Wanted(wanted) => wanted,
            };
            Ok(match wanted.fresh.clone() {
                Some(rendered) => Part::Fresh(wanted, rendered),
                None => match self.turns.begin_long(&wanted.key).await {
                    None => Part::Ours(wanted),
                    Some(waiting) => Part::Elsewhere(wanted, waiting),
                },
            })
        });
        let parts: Vec<Result<Part, DeriveError>> = futures::future::join_all(look_ups).await;
        let ours = |part: &Result<Part, DeriveError>| match part {
            Ok(Part::Ours(wanted)) if wanted.frames.is_none() => Some(wanted.work.clone()),
            _ => None,
        };
        let mut tickets = self.scheduler.submit_all(parts.iter().filter_map(ours).collect()).into_iter();
        let answers = parts.into_iter().map(|part| {
            let ticket = if ours(&part).is_some() { tickets.next() } else { None };
            async move {
                let (wanted, ticket) = match part? {
                    Part::Kept(picture) => return Ok(*picture),
                    Part::Fresh(wanted, rendered) => return self.complete(asset, *wanted, rendered, durable).await,
                    Part::Ours(wanted) => (wanted, ticket),
                    Part::Elsewhere(wanted, waiting) => {
                        if let Some(picture) = self.made_elsewhere(&wanted.key, waiting).await? {
                            return Ok(picture);
                        }
                        (wanted, None)
                    }
                };
                let key = wanted.key.clone();
                let claim = self.turns.keep(&key);
                if wanted.frames.is_some() {
                    return self.animation(asset, *wanted).await;
                }
                let rendered = match ticket {
                    Some(ticket) => match ticket.await {
                        Ok(rendered) => Ok(rendered),
                        Err(error) => self.submit_again(&wanted, error).await,
                    },
                    None => self.submit(&wanted).await,
                };
                let made = match rendered {
                    Ok(rendered) => self.complete(asset, *wanted, rendered, durable).await,
                    Err(error) => Err(error),
                };
                drop(claim);
                if made.is_err() {
                    self.turns.give_up(&key).await;
                }
                made
            }
        });
        futures::future::join_all(answers).await
    }

    /// What there is of a picture, or the work that makes it.
    pub(super) async fn look_up(
        &self,
        asset: &Asset,
        transformation: Arc<Transformation>,
        mut purpose: Purpose,
        lane: Lane,
    ) -> Result<Known, DeriveError> {
        purpose.profile = self.profile;
        let moving = animate::moving(
            &transformation,
            asset.details.pages,
            purpose.extension.or_else(|| format_of(&asset.format).ok()),
        );
        let frames = moving.as_ref().map(|_| asset.details.pages);
        let transformation = moving.map_or(transformation, Arc::new);
        let Ingredients { mut facts, layers, sources } =
            Ingredients::find(self.catalog.as_ref(), &self.store, asset, &transformation).await?;
        if plan::page(&transformation)? > 0 && asset.face_coordinates.is_empty() {
            // What was found is on the first page.
            facts.base.faces = None;
        }
        let format = plan::resolve_encoding(&transformation, &facts.base, &purpose).format;
        let canonical = canonical(&transformation);
        // The row has the text that was asked for; what is made of it differs with the asset's own quality.
        let (transformation, text) = match with_own_quality(&transformation, &asset.details.quality_override) {
            Some(own) => {
                let text = self::canonical(&own);
                (Arc::new(own), text)
            }
            None => (transformation, canonical.clone()),
        };
        let digest = derived_digest(asset, &layers, &text, format, self.profile);
        let key = DerivedKey::from_digest(digest);
        if let Some(found) = self.find(&key).await? {
            return Ok(Known::Kept(Box::new(found)));
        }
        let fresh = self.fresh.lock().get(&key).and_then(Weak::upgrade);
        let work = Work {
            key: WorkKey::new(digest),
            lane,
            request: Request { transformation, facts, purpose },
            sources: sources.clone(),
            base: Some(SourceKey::new(Sha256::digest(asset.blob.as_str()).into())),
            deadline: (lane == Lane::Interactive).then(|| tokio::time::Instant::now() + PATIENCE),
        };
        Ok(Known::Wanted(Box::new(Wanted { key, canonical, layers, fresh, work, frames, sources })))
    }

    /// Renders a picture that was looked up; nothing is kept.
    pub(super) async fn submit(&self, wanted: &Wanted) -> Result<Arc<Rendered>, DeriveError> {
        match self.attempt(wanted).await {
            Ok(rendered) => Ok(rendered),
            Err(error) => self.submit_again(wanted, error).await,
        }
    }

    /// Once more where a source could not be decoded because it is damaged, from copies that are not.
    async fn submit_again(&self, wanted: &Wanted, error: WorkError) -> Result<Arc<Rendered>, DeriveError> {
        let is_decoding = matches!(&error, WorkError::Render(tintype_render::Error::Decode(_)));
        if !is_decoding || wanted.sources.are_sound().await? {
            return Err(from_work_error(error));
        }
        wanted.sources.compared.store(true, Ordering::Relaxed);
        self.attempt(wanted).await.map_err(from_work_error)
    }

    /// Answers with a rendered picture and keeps it.
    async fn complete(
        self: &Arc<Self>,
        asset: &Asset,
        wanted: Wanted,
        rendered: Arc<Rendered>,
        durable: bool,
    ) -> Result<DerivedPicture, DeriveError> {
        let Wanted { key, canonical, layers, .. } = wanted;
        let first = self.claim(&key, &rendered);
        let size = rendered.picture.size;
        let picture = DerivedPicture {
            key: key.clone(),
            bytes: rendered.picture.bytes.clone(),
            format: rendered.picture.format,
            size: PixelSize { width: size.width, height: size.height },
            etag: md5_hex(&rendered.picture.bytes),
            created_at: Timestamp::now(),
            timings: Some(rendered.timings),
            counts: first,
        };
        let row = Derived {
            key,
            asset: asset.id.clone(),
            version_id: asset.version_id.clone(),
            transformation: canonical,
            format: picture.format.extension().to_owned(),
            size: picture.size,
            bytes: picture.bytes.len() as u64,
            etag: picture.etag.clone(),
            blob: BlobKey::random(),
            created_at: picture.created_at,
            last_used_at: picture.created_at,
            renderer_revision: RENDERER_REVISION,
            profile: profile_name(self.profile).to_owned(),
            backend: rendered.backend.to_string(),
            quality: rendered.picture.quality,
            has_alpha: picture.format.has_alpha(),
        };
        let keep = self.clone().keep(row, asset.clone(), layers, rendered);
        if durable {
            keep.await?;
        } else if first {
            // The answer does not wait for the disk; a crash before the row only leaves a blob to be purged.
            let mut writing = self.writing.lock();
            while writing.try_join_next().is_some() {}
            writing.spawn(async move {
                if let Err(error) = keep.await {
                    tracing::error!(error = %error, "a rendered picture could not be kept");
                }
            });
        }
        Ok(picture)
    }

    /// Renders it as it is: a still picture on its own, or all frames of an animation.
    async fn attempt(&self, wanted: &Wanted) -> Result<Arc<Rendered>, WorkError> {
        match wanted.frames {
            Some(frames) => self.animator.render(wanted.work.clone(), frames).await.map(Arc::new),
            None => self.scheduler.submit(wanted.work.clone()).await,
        }
    }

    /// An animation, made once for all who want it at the same time, and kept before anybody is answered: it takes so long
    /// that a client may have left meanwhile.
    async fn animation(self: &Arc<Self>, asset: &Asset, wanted: Wanted) -> Result<DerivedPicture, DeriveError> {
        let (key, wanted_key) = (wanted.key.clone(), wanted.key.clone());
        let (shared, is_first) = {
            let mut animations = self.animations.lock();
            match animations.get(&key) {
                Some(shared) => (shared.clone(), false),
                None => {
                    let (deriver, asset) = (self.clone(), asset.clone());
                    let (done, answer) = oneshot::channel();
                    self.writing.lock().spawn(async move {
                        let key = wanted.key.clone();
                        let made = match deriver.submit(&wanted).await {
                            Ok(rendered) => deriver.complete(&asset, wanted, rendered, true).await,
                            Err(error) => Err(error),
                        };
                        if made.is_err() {
                            deriver.turns.give_up(&key).await;
                        }
                        deriver.animations.lock().remove(&key);
                        let _ = done.send(made.map_err(Arc::new));
                    });
                    let answer = answer.map(|sent| match sent {
                        Ok(made) => made,
                        Err(_) => Err(Arc::new(DeriveError::Internal("an animation stopped".into()))),
                    });
                    let shared = answer.boxed().shared();
                    animations.insert(key, shared.clone());
                    (shared, true)
                }
            }
        };
        match shared.await {
            Ok(picture) => Ok(DerivedPicture { counts: picture.counts && is_first, ..picture }),
            Err(error) => {
                // Nothing stays behind where the one who made it stopped in the middle.
                self.animations.lock().remove(&wanted_key);
                Err(error.repeated())
            }
        }
    }

    /// The file of an asset.
    pub(super) async fn original(&self, asset: &Asset) -> Result<Bytes, DeriveError> {
        Ok(self.store.read_original(&asset.blob, &Expected::of_length(asset.bytes)).await?)
    }

    /// Runs something that takes so many bytes on the threads of the eager lane.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        bytes: u64,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DeriveError> {
        self.scheduler.run(Lane::Eager, bytes, task).await.map_err(from_work_error)
    }

    /// Keeps faces that were found, unless the asset was overwritten meanwhile.
    pub(super) async fn record_faces(&self, asset: &Asset, faces: &[Region]) -> Result<(), DeriveError> {
        self.catalog.set_faces(&asset.id, &asset.version_id, faces).await?;
        Ok(())
    }

    /// Waits until every picture that was answered with is safe: an orderly stop loses none of them.
    pub async fn settle(&self) {
        let mut writing = std::mem::take(&mut *self.writing.lock());
        while writing.join_next().await.is_some() {}
    }

    /// True for the first of all that share a rendering.
    fn claim(&self, key: &DerivedKey, rendered: &Arc<Rendered>) -> bool {
        let mut fresh = self.fresh.lock();
        fresh.retain(|_, held| held.strong_count() > 0);
        let claimed = fresh.get(key).is_some_and(|held| std::ptr::eq(held.as_ptr(), Arc::as_ptr(rendered)));
        if !claimed {
            fresh.insert(key.clone(), Arc::downgrade(rendered));
        }
        !claimed
    }

    /// A kept picture that is still good.
    async fn find(&self, key: &DerivedKey) -> Result<Option<DerivedPicture>, DeriveError> {
        let Some(row) = self.catalog.derived(key).await? else { return Ok(None) };
        if row.renderer_revision < self.least_revision {
            return Ok(None);
        }
        let bytes = match self.store.read(&row.blob).await {
            Ok(bytes) if bytes.len() as u64 == row.bytes && md5_hex(&bytes) == row.etag => bytes,
            // Derived pictures can be made again: a missing or damaged one is only worth a line in the log.
            Ok(_) | Err(StorageError::NotFound(_) | StorageError::Corrupted { .. }) => {
                tracing::warn!(derived.key = %key, "a kept picture is missing or damaged and is rendered again");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let format = format_of(&row.format)?;
        Ok(Some(DerivedPicture {
            key: row.key,
            bytes,
            format,
            size: row.size,
            etag: row.etag,
            created_at: row.created_at,
            timings: None,
            counts: false,
        }))
    }

    /// Writes blob, then row; keeps the faces that were found on the way.
    async fn keep(
        self: Arc<Self>,
        row: Derived,
        asset: Asset,
        layers: BTreeMap<String, Asset>,
        rendered: Arc<Rendered>,
    ) -> Result<(), DeriveError> {
        let result = self.write(row, &asset.key.cloud, &rendered).await;
        for FoundFaces { layer, faces } in &rendered.found {
            let of = layer.as_ref().map_or(Some(&asset), |id| layers.get(id));
            if let Some(of) = of {
                let regions: Vec<Region> = faces.iter().map(|face| [face.x, face.y, face.width, face.height]).collect();
                self.catalog.set_faces(&of.id, &of.version_id, &regions).await?;
            }
        }
        result
    }

    async fn write(&self, mut row: Derived, cloud: &CloudId, rendered: &Rendered) -> Result<(), DeriveError> {
        let mut writer = self.store.create_for(cloud).await?;
        writer.write(rendered.picture.bytes.clone()).await?;
        row.blob = writer.commit().await?;
        let kept = self.catalog.put_derived(&row).await?;
        self.drop_blobs(kept.freed_blobs).await;
        Ok(())
    }

    /// Deletes blobs that no row names any longer; what fails stays on the garbage list.
    pub async fn drop_blobs(&self, blobs: Vec<BlobKey>) {
        let mut gone = Vec::with_capacity(blobs.len());
        for blob in blobs {
            match self.store.delete(&blob).await {
                Ok(()) => gone.push(blob),
                Err(error) => tracing::warn!(error = %error, "an unused blob could not be deleted yet"),
            }
        }
        if let Err(error) = self.catalog.forget_garbage(&gone).await {
            tracing::warn!(error = %error, "the garbage list could not be shortened yet");
        }
    }
}

/// The assets of all layers by public id; a missing one is the client's error.
async fn find_layers(
    catalog: &dyn Catalog,
    cloud: &CloudId,
    transformation: &Transformation,
) -> Result<BTreeMap<String, Asset>, DeriveError> {
    let mut layers = BTreeMap::new();
    for id in transformation.layer_ids() {
        let missing = || tintype_render::Error::MissingLayer(id.to_owned());
        let key = AssetKey {
            cloud: cloud.clone(),
            resource_type: ResourceType::Image,
            delivery_type: DeliveryType::Upload,
            public_id: PublicId::new(id).map_err(|_| missing())?,
        };
        let asset = catalog.asset(&key).await?.ok_or_else(missing)?;
        layers.insert(id.to_owned(), asset);
    }
    Ok(layers)
}

/// Everything that rendering needs to know and to read.
pub struct Ingredients {
    pub facts: Facts,
    layers: BTreeMap<String, Asset>,
    sources: Arc<Sources>,
}

impl Ingredients {
    /// Looks up the layers of a transformation over an asset.
    pub async fn find(
        catalog: &dyn Catalog,
        store: &Arc<dyn BlobStore>,
        asset: &Asset,
        transformation: &Transformation,
    ) -> Result<Self, DeriveError> {
        let layers = find_layers(catalog, &asset.key.cloud, transformation).await?;
        let mut facts = Facts { base: source_facts(asset)?, layers: BTreeMap::new() };
        for (id, layer) in &layers {
            facts.layers.insert(id.clone(), source_facts(layer)?);
        }
        let source = |asset: &Asset| Source {
            blob: asset.blob.clone(),
            stored: Expected { bytes: asset.bytes, md5: Some(asset.etag.clone()) },
        };
        let others = layers.iter().map(|(id, layer)| (id.clone(), source(layer))).collect();
        let (store, compared) = (store.clone(), AtomicBool::new(false));
        let sources = Arc::new(Sources { store, base: source(asset), layers: others, compared });
        Ok(Ingredients { facts, layers, sources })
    }

    /// The bytes of a source: `None` is the base, else a layer's public id.
    pub async fn read(&self, source: &Option<String>) -> Result<Bytes, SourceError> {
        self.sources.read(source).await
    }
}

/// Name of a profile in rows and configuration.
pub fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Quality => "quality",
        Profile::Fast => "fast",
    }
}

/// Everything that decides the bytes: the canonical text, the content and coordinates of the base and of every layer,
/// format and profile. The renderer's revision is on the row instead, so that an upgrade need not empty every cache.
fn derived_digest(
    asset: &Asset,
    layers: &BTreeMap<String, Asset>,
    canonical: &str,
    format: Format,
    profile: Profile,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    add("derived/1");
    add(canonical);
    add(format.extension());
    add(profile_name(profile));
    for (id, asset) in std::iter::once(("", asset)).chain(layers.iter().map(|(id, layer)| (id.as_str(), layer))) {
        add(id);
        add(asset.id.as_str());
        add(asset.version_id.as_str());
        add(&format!("{:?}{:?}", asset.face_coordinates, asset.custom_coordinates));
    }
    hash.finalize().into()
}

fn format_of(extension: &str) -> Result<Format, DeriveError> {
    Format::from_extension(extension).ok_or_else(|| {
        DeriveError::Render(tintype_render::Error::unsupported(format!("the stored format {extension}")))
    })
}

/// What the planner may know of an asset. Supplied face coordinates override what a detector found.
fn source_facts(asset: &Asset) -> Result<SourceFacts, DeriveError> {
    let (width, height) = (f64::from(asset.upright_size.width), f64::from(asset.upright_size.height));
    // Coordinates that came after the upload are kept as they were given, and may be larger than the picture.
    let rectangle = |[x, y, w, h]: &Region| RectF::new(*x, *y, w.min(width), h.min(height));
    let regions = |regions: &[Region]| regions.iter().map(rectangle).collect::<Vec<_>>();
    let faces = if asset.face_coordinates.is_empty() {
        asset.faces.as_deref().map(regions)
    } else {
        Some(regions(&asset.face_coordinates))
    };
    Ok(SourceFacts {
        size: Size::new(asset.stored_size.width, asset.stored_size.height),
        orientation: Orientation::from_exif(asset.orientation.get().into()),
        format: format_of(&asset.format)?,
        has_alpha: asset.has_alpha,
        faces,
        custom: regions(&asset.custom_coordinates),
    })
}

fn from_work_error(error: WorkError) -> DeriveError {
    match error {
        WorkError::Busy | WorkError::Expired => DeriveError::Busy,
        WorkError::ShuttingDown => DeriveError::ShuttingDown,
        WorkError::Render(error) => DeriveError::Render(error),
        WorkError::Source(SourceError::Missing(text)) => DeriveError::Gone(text),
        WorkError::Source(SourceError::Damaged(text)) => DeriveError::Damaged(text),
        WorkError::Source(SourceError::Unavailable(text)) => DeriveError::Unavailable(text),
        other => DeriveError::Internal(other.to_string()),
    }
}

/// MD5 of some bytes, 32 lowercase hexadecimal characters.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(md5::Md5::digest(bytes))
}

/// An original, and what was stored as it.
struct Source {
    blob: BlobKey,
    stored: Expected,
}

/// Reads the originals of one piece of work.
struct Sources {
    store: Arc<dyn BlobStore>,
    base: Source,
    layers: BTreeMap<String, Source>,
    /// Whether MD5s are compared: that costs a good part of a decode, and mostly a decoder tells.
    compared: AtomicBool,
}

impl Sources {
    /// Whether every original is what was stored.
    async fn are_sound(&self) -> Result<bool, StorageError> {
        for Source { blob, stored } in std::iter::once(&self.base).chain(self.layers.values()) {
            if let Some(damage) = storage::fault(&*self.store, blob, stored, true).await? {
                tracing::warn!(%blob, error = %damage, "an original cannot be decoded because it is damaged");
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl SourceReader for Sources {
    async fn read(&self, source: &Option<String>) -> Result<Bytes, SourceError> {
        let Source { blob, stored } = match source {
            None => &self.base,
            Some(id) => self.layers.get(id).ok_or_else(|| SourceError::Missing(id.clone()))?,
        };
        let read = match self.compared.load(Ordering::Relaxed) {
            true => self.store.read_original(blob, stored).await,
            false => self.store.read_original(blob, &Expected::of_length(stored.bytes)).await,
        };
        read.map_err(|error| match error {
            StorageError::NotFound(_) => SourceError::Missing(error.to_string()),
            StorageError::Corrupted { .. } => SourceError::Damaged(error.to_string()),
            StorageError::Unavailable(_) => SourceError::Unavailable(error.to_string()),
            other => SourceError::Failed(other.to_string()),
        })
    }
}
