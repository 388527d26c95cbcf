//! Storing what the server made itself, and what the makers of sprites and animations have in common.

use super::LibraryService;
use super::archive_stream::from_delivery_error;
use crate::catalog::PutAsset;
use crate::catalog::library::{AssetFilter, Selection};
use crate::domain::{
    AccessMode, Asset, AssetDetails, AssetKey, Day, DeliveryType, MadeOf, NewAsset, Orientation, PublicId,
    ResourceType, Timestamp, UsageDelta,
};
use crate::jobs::events::Event;
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params, shown};
use crate::service::params::{EagerEntry, EagerExtension};
use crate::service::quota;
use crate::service::studio::{MadeFile, Studio};
use bytes::Bytes;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha1::Sha1;
use tintype_render::language::Format;

/// A picture that becomes part of another one.
pub(super) struct Part {
    /// What it is called: the public id, or the address that it came from.
    pub name: String,
    pub source: Source,
}

pub(super) enum Source {
    Asset(Box<Asset>),
    Address(String),
}

/// A call that makes pictures of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Made {
    Sprite,
    Multi,
    Explode,
}

impl Made {
    /// As in paths and notifications.
    pub const fn as_str(self) -> &'static str {
        match self {
            Made::Sprite => "sprite",
            Made::Multi => "multi",
            Made::Explode => "explode",
        }
    }
}

/// The parts of a transformation that mean the composition, and the rest, which means each of its pictures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Recipe {
    /// As given: addresses hold it.
    pub given: String,
    /// What is done to every picture.
    pub each: String,
    pub format: Option<String>,
    pub delay_ms: Option<String>,
    pub prefix: Option<String>,
}

impl Recipe {
    /// Takes `f_`, `dl_` and `p_` out of a transformation whose names were replaced.
    pub fn read(given: &str, expanded: &str) -> Recipe {
        let mut recipe = Recipe { given: given.to_owned(), ..Recipe::default() };
        let mut components = Vec::new();
        for component in expanded.split('/') {
            let mut kept = Vec::new();
            for part in component.split(',') {
                let own = |text: &str| Some(text.to_owned());
                if let Some(value) = part.strip_prefix("f_") {
                    recipe.format = own(value);
                } else if let Some(value) = part.strip_prefix("dl_") {
                    recipe.delay_ms = own(value);
                } else if let Some(value) = part.strip_prefix("p_") {
                    recipe.prefix = own(value);
                } else if !part.is_empty() {
                    kept.push(part);
                }
            }
            if !kept.is_empty() {
                components.push(kept.join(","));
            }
        }
        recipe.each = components.join("/");
        recipe
    }
}

impl LibraryService {
    /// Who makes pictures; some tests have nobody.
    pub(super) fn studio(&self) -> Result<&Studio, ApiError> {
        self.studio.get().ok_or_else(|| ApiError::Internal("there is no studio".to_owned()))
    }

    /// The pictures that a call names by `tag` or by `urls`, and what the result is called where the call does not say.
    pub(super) async fn parts_of(&self, caller: &Caller, params: &Params) -> Result<(Vec<Part>, PublicId), ApiError> {
        let most = self.studio()?.bounds.max_pictures;
        let urls = params.values("urls");
        let tag = params.text("tag");
        let (parts, default) = match (tag, urls.is_empty()) {
            (Some(_), false) | (None, true) => {
                return Err(ApiError::BadRequest("Either tag or urls has to be given, but not both".to_owned()));
            }
            (Some(tag), true) => {
                let mut filter = AssetFilter::all(caller.cloud.id.clone());
                filter.resource_type = Some(ResourceType::Image);
                // What is not for everybody must not become part of what is.
                filter.delivery_type = Some(DeliveryType::Upload);
                filter.selection = Selection::Tag(tag.to_owned());
                let asked = u32::try_from(most.saturating_add(1)).unwrap_or(u32::MAX).min(5000);
                let mut assets: Vec<Asset> = Vec::new();
                let mut after = None;
                loop {
                    let page = self.parts.library.list(&filter, asked.min(500), after).await?;
                    let usable = |asset: &Asset| {
                        let open = asset.access_mode == AccessMode::Public && asset.details.access_control.is_empty();
                        open && !asset.placeholder
                    };
                    assets.extend(page.assets.into_iter().filter(usable));
                    match page.next {
                        Some(next) if assets.len() <= most => after = Some(next),
                        _ => break,
                    }
                }
                assets.sort_by(|a, b| a.key.public_id.cmp(&b.key.public_id));
                let part = |asset: Asset| Part {
                    name: asset.key.public_id.as_str().to_owned(),
                    source: Source::Asset(Box::new(asset)),
                };
                (assets.into_iter().map(part).collect::<Vec<_>>(), tag.to_owned())
            }
            (None, false) => {
                let digest = digest(&urls);
                let part = |url: String| Part { name: url_name(&url), source: Source::Address(url) };
                (urls.into_iter().map(part).collect(), digest)
            }
        };
        if parts.is_empty() {
            return Err(ApiError::NotFound(format!("No resources found with tag {}", shown(tag.unwrap_or_default()))));
        }
        if parts.len() > most {
            return Err(ApiError::BadRequest(format!("Too many images. Maximum is {most}")));
        }
        Ok((parts, made_name(params, &default)?))
    }

    /// What the result is called, without a look for the pictures.
    pub(super) fn name_of_made(params: &Params) -> Result<PublicId, ApiError> {
        let urls = params.values("urls");
        match (params.text("tag"), urls.is_empty()) {
            (Some(tag), true) => made_name(params, tag),
            (None, false) => made_name(params, &digest(&urls)),
            _ => Err(ApiError::BadRequest("Either tag or urls has to be given, but not both".to_owned())),
        }
    }

    /// One part under a transformation, as a PNG.
    pub(super) async fn part(&self, caller: &Caller, part: &Part, transformation: &str) -> Result<Bytes, ApiError> {
        match &part.source {
            Source::Address(url) => self.studio()?.fetched(url, transformation).await,
            Source::Asset(asset) => {
                let entry = EagerEntry {
                    given: transformation.to_owned(),
                    transformation: transformation.to_owned(),
                    expanded: transformation.to_owned(),
                    extension: EagerExtension::Named(Format::Png),
                };
                let eager = &self.parts.eager;
                match eager.picture(&caller.cloud, asset, &entry).await.map_err(from_delivery_error)? {
                    Some(picture) => Ok(picture.bytes),
                    None => {
                        let expected = crate::storage::Expected::of_length(asset.bytes);
                        Ok(self.parts.blobs.read_original(&asset.blob, &expected).await?)
                    }
                }
            }
        }
    }

    /// The transformation of a call, with what it says about the whole apart.
    pub(super) async fn recipe(&self, caller: &Caller, params: &Params) -> Result<Recipe, ApiError> {
        let given = params.text("transformation").unwrap_or_default();
        let recipe = Recipe::read(given, &self.expand(&caller.cloud.id, given).await?);
        tintype_render::language::parse(&recipe.each, &tintype_render::Limits::default())
            .map_err(|error| ApiError::BadRequest(error.to_string()))?;
        Ok(recipe)
    }

    /// Makes a file durable and records it under a key, in the place of what was there.
    pub(super) async fn store_made(
        &self,
        caller: &Caller,
        delivery_type: DeliveryType,
        public_id: PublicId,
        file: &MadeFile,
        made_of: Option<MadeOf>,
    ) -> Result<PutAsset, ApiError> {
        let key =
            AssetKey { cloud: caller.cloud.id.clone(), resource_type: ResourceType::Image, delivery_type, public_id };
        let settings = self.settings_of(&caller.cloud).await?;
        let catalog = &self.parts.catalog;
        let old = match settings.has_quota() {
            true => catalog.asset(&key).await?,
            false => None,
        };
        quota::check(catalog.as_ref(), &caller.cloud, &settings, file.bytes.len() as u64, old.as_ref()).await?;
        let mut writer = self.parts.blobs.create_for(&caller.cloud.id).await?;
        writer.write(file.bytes.clone()).await?;
        let blob = writer.commit().await?;
        let folder = super::view::folder_of(key.public_id.as_str()).to_owned();
        let fixed = settings.folder_mode == super::FolderMode::Fixed;
        let asset = NewAsset {
            key,
            format: file.format.to_owned(),
            stored_size: file.size,
            orientation: Orientation::UPRIGHT,
            has_alpha: file.has_alpha,
            bytes: file.bytes.len() as u64,
            etag: hex::encode(Md5::digest(&file.bytes)),
            blob,
            uploaded_at: Timestamp::now(),
            original_filename: String::new(),
            tags: vec![],
            context: Default::default(),
            faces: None,
            face_coordinates: vec![],
            custom_coordinates: vec![],
            api_key: caller.key.key.clone(),
            access_mode: AccessMode::Public,
            asset_folder: if fixed { folder } else { String::new() },
            display_name: String::new(),
            metadata: Default::default(),
            details: AssetDetails { made_of, ..AssetDetails::default() },
            backup: false,
        };
        let put = self.record(caller, asset).await?;
        // It was rendered, as other pictures are.
        let rendered = UsageDelta { transformations: 1, ..UsageDelta::default() };
        if let Err(error) = catalog.add_usage(&caller.cloud.id, Day::today(), rendered).await {
            tracing::warn!(%error, "a rendering was not counted");
        }
        Ok(put)
    }

    /// Records an asset whose blob is durable, in the place of what was there; the blob goes where that fails.
    pub(super) async fn record(&self, caller: &Caller, asset: NewAsset) -> Result<PutAsset, ApiError> {
        let blob = &asset.blob;
        match self.parts.catalog.put_asset(&asset, true).await {
            Ok(put) => {
                self.after_change(&caller.cloud.id, &put.freed_blobs).await;
                Ok(put)
            }
            Err(error) => {
                // A failed call may have been committed all the same: the blob goes only when no row names it.
                if matches!(self.parts.catalog.referenced(blob).await, Ok(false))
                    && let Err(error) = self.parts.blobs.delete(blob).await
                {
                    tracing::warn!(%blob, %error, "a blob without a row could not be deleted");
                }
                Err(error.into())
            }
        }
    }

    /// Tells of something that was made, where the call asks for it.
    pub(super) async fn tell_made(
        &self,
        caller: &Caller,
        params: &Params,
        kind: &'static str,
        asset: &Asset,
        answer: &Value,
    ) -> Result<(), ApiError> {
        let body = answer.as_object().cloned().unwrap_or_default();
        self.tell(caller, params, &[Event { kind, body, asset: Some(asset.id.clone()) }]).await
    }
}

fn digest(urls: &[String]) -> String {
    hex::encode(Sha1::digest(urls.join("\n").as_bytes()))
}

fn made_name(params: &Params, default: &str) -> Result<PublicId, ApiError> {
    match params.text("public_id") {
        Some(_) => params.public_id("public_id"),
        None => PublicId::new(default).map_err(|_| ApiError::invalid("tag", default)),
    }
}

/// The last part of an address's path without extension.
fn url_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path);
    last.rsplit_once('.').map_or(last, |(stem, _)| if stem.is_empty() { last } else { stem }).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_taken_apart() {
        let recipe = Recipe::read("t_x", "f_jpg,w_100,c_fit/dl_200/p_icons_,r_5");
        assert_eq!(recipe.each, "w_100,c_fit/r_5");
        assert_eq!(
            (recipe.format.as_deref(), recipe.delay_ms.as_deref(), recipe.prefix.as_deref(), recipe.given.as_str()),
            (Some("jpg"), Some("200"), Some("icons_"), "t_x")
        );
    }

    #[test]
    fn addresses_give_names() {
        assert_eq!(url_name("https://a.b/c/logo.png?x=1"), "logo");
        assert_eq!(url_name("https://a.b/c/"), "c");
    }
}
