//! The media library over the API: lists, details, changes, folders, tags, and the actions of the upload API that need
//! no file.

mod actions;
mod analysis;
mod archive;
mod archive_names;
mod archive_stream;
mod batches;
mod breakpoints;
mod cursor;
mod deletion;
mod details;
mod downloads;
mod edit;
mod explode;
mod fields;
mod folders;
mod listing;
mod long_names;
mod made;
mod mappings;
mod metadata;
mod multi;
mod presets;
mod profiles;
mod publish;
mod settings;
mod sprite;
pub mod tell;
mod text;
mod transformations;
mod triggers;
pub mod view;

use super::access::Caller;
use super::call::{ApiError, Params};
use super::pictures::Eager;
use super::studio::Studio;
use super::upload::Changed;
use crate::catalog::Catalog;
use crate::catalog::library::Library;
use crate::domain::{Asset, AssetId, AssetKey, BlobKey, Cloud, CloudId, ResourceType};
use crate::jobs::announce::Announcer;
use crate::storage::BlobStore;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub use analysis::AnalysisRequest;
pub use deletion::Deletion;
pub use edit::{Edit, folder_path};
pub use listing::{Listing, parse_time};
pub use long_names::components;
pub use made::Made;
pub use metadata::MetadataChange;
pub use presets::{Preset, check_unsigned};
pub use settings::{CloudSettings, FolderMode};
pub use sprite::{sprite_css, sprite_json};
pub use view::View;

/// Answers calls about a cloud's library. Cheap to clone.
#[derive(Clone)]
pub struct LibraryService {
    parts: Arc<Parts>,
    /// Settings that deliveries ask for, with the time at which they were read.
    recent: Arc<Mutex<HashMap<CloudId, Recent>>>,
    /// Never set where no pictures are made.
    studio: Arc<OnceLock<Studio>>,
    /// Counts what was forgotten, so that settings which were read before are not kept after.
    forgotten: Arc<AtomicU64>,
}

/// Settings, and when they were read.
type Recent = (Instant, Arc<CloudSettings>);

/// How old settings may be that deliveries go by.
const SETTINGS_AGE: Duration = Duration::from_secs(5);

/// What the service works with.
pub struct Parts {
    pub catalog: Arc<dyn Catalog>,
    pub library: Library,
    pub blobs: Arc<dyn BlobStore>,
    pub eager: Arc<dyn Eager>,
    /// Told after the assets of a cloud changed.
    pub changed: Changed,
    /// Tells clients of what happened.
    pub announcer: Announcer,
    /// Start of every address in answers, without a slash at the end.
    pub public_base_url: String,
    pub limits: MediaLimits,
}

/// Limits that `usage` reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaLimits {
    pub max_upload_bytes: u64,
    pub max_pixels: u64,
}

impl LibraryService {
    pub fn new(parts: Parts) -> Self {
        LibraryService {
            parts: Arc::new(parts),
            recent: Arc::default(),
            forgotten: Arc::default(),
            studio: Arc::default(),
        }
    }

    /// The same service, which also makes texts, sprites and animations. A second studio is ignored.
    pub fn with_studio(self, studio: Studio) -> Self {
        let _ = self.studio.set(studio);
        self
    }

    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    pub fn library(&self) -> &Library {
        &self.parts.library
    }

    /// How assets of a cloud are shown.
    pub async fn view(&self, caller: &Caller) -> Result<View, ApiError> {
        // Addresses are signed with the oldest key, whichever key made the call.
        let keys = self.parts.catalog.api_keys(&caller.cloud.id).await?;
        let url_key = keys.into_iter().find(|key| key.enabled).unwrap_or_else(|| caller.key.clone());
        Ok(View {
            public_base_url: self.parts.public_base_url.clone(),
            cloud: caller.cloud.name.clone(),
            url_secret: url_key.secret,
            folder_mode: self.settings_of(&caller.cloud).await?.folder_mode,
        })
    }

    /// The settings of a cloud.
    pub async fn settings_of(&self, cloud: &Cloud) -> Result<CloudSettings, ApiError> {
        CloudSettings::load(&*self.parts.catalog, &cloud.id).await
    }

    /// The settings of a cloud for deliveries, which must not read them every time: no change is missed that this process
    /// was told of, and none for longer than five seconds.
    pub async fn recent_settings(&self, cloud: &Cloud) -> Result<Arc<CloudSettings>, ApiError> {
        if let Some((at, settings)) = self.recent.lock().get(&cloud.id)
            && at.elapsed() < SETTINGS_AGE
        {
            return Ok(settings.clone());
        }
        let (started, forgotten) = (Instant::now(), self.forgotten.load(Ordering::Acquire));
        let settings = Arc::new(self.settings_of(cloud).await?);
        let mut recent = self.recent.lock();
        if self.forgotten.load(Ordering::Acquire) == forgotten {
            recent.insert(cloud.id.clone(), (started, settings.clone()));
        }
        Ok(settings)
    }

    /// Forgets what is kept in memory about a cloud.
    pub fn forget(&self, cloud: &CloudId) {
        let mut recent = self.recent.lock();
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        recent.remove(cloud);
    }

    /// Tells that assets of a cloud changed, and deletes blobs that no row names any longer. Those that cannot be deleted
    /// now stay on the garbage list.
    pub async fn after_change(&self, cloud: &CloudId, freed: &[BlobKey]) {
        self.forget(cloud);
        (self.parts.changed)(cloud);
        // Most changes are noted where they are made; derived pictures that are deleted are not.
        if let Err(error) = self.parts.library.note_change(cloud).await {
            tracing::warn!(%error, "other servers may give old answers of this cloud until it changes again");
        }
        let mut gone = Vec::with_capacity(freed.len());
        for blob in freed {
            match self.parts.blobs.delete(blob).await {
                Ok(()) => gone.push(blob.clone()),
                Err(error) => tracing::warn!(%blob, %error, "a freed blob stays on the garbage list"),
            }
        }
        if !gone.is_empty()
            && let Err(error) = self.parts.catalog.forget_garbage(&gone).await
        {
            tracing::warn!(%error, "deleted blobs stay on the garbage list");
        }
    }

    /// The asset under a key, placeholders too. 404 when there is none.
    pub async fn asset(&self, key: &AssetKey) -> Result<Asset, ApiError> {
        let found = self.parts.library.asset(key).await?;
        found.ok_or_else(|| ApiError::missing_resource(key.public_id.as_str()))
    }

    /// The asset of an id. 404 when there is none.
    pub async fn asset_by_id(&self, cloud: &CloudId, id: &str) -> Result<Asset, ApiError> {
        let missing = || ApiError::missing_resource(id);
        let id = AssetId::new(id).map_err(|_| missing())?;
        self.parts.library.asset_by_id(cloud, &id).await?.ok_or_else(missing)
    }

    /// `GET /resources`
    pub fn resource_types(&self) -> Value {
        let mut names: Vec<&str> = ResourceType::ALL.iter().map(|kind| kind.as_str()).collect();
        names.sort_unstable();
        json!({ "resource_types": names })
    }

    /// `GET /tags/{rt}`
    pub async fn tags(&self, caller: &Caller, kind: ResourceType, params: &Params) -> Result<Value, ApiError> {
        let limit = params.max_results(10)?;
        let after = cursor::read_text(params)?;
        let prefix = params.text("prefix").unwrap_or_default();
        let page = self.parts.library.tags(&caller.cloud.id, kind, prefix, &after, limit).await?;
        let next = page.tags.last().filter(|_| page.more).map(|tag| cursor::write_text(tag));
        let mut answer = json!({ "tags": page.tags });
        if let Some(next) = next {
            answer["next_cursor"] = json!(next);
        }
        Ok(answer)
    }
}
