//! `generate_archive` (api.md 3.16): what goes into an archive, and the archive as a stored file.

use super::LibraryService;
use super::archive_names::Naming;
use crate::archive::ArchiveFormat;
use crate::catalog::library::{AssetFilter, Selection};
use crate::domain::{
    AccessMode, Asset, AssetDetails, AssetKey, Cloud, DeliveryType, NewAsset, Orientation, PixelSize, PublicId,
    ResourceType, Timestamp,
};
use crate::service::access::Caller;
use crate::service::answer::UploadAnswer;
use crate::service::call::{ApiError, Params, shown};
use crate::service::params::{self, EagerEntry};
use futures::StreamExt;
use md5::{Digest, Md5};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Most public ids of one archive.
const MAX_IDS: usize = 1000;
/// Most tags, and most prefixes, of one archive.
const MAX_LABELS: usize = 20;
/// Most files of one archive.
const MAX_FILES: usize = 5000;
/// Most bytes of originals in one archive, and most bytes of a stored archive.
const MAX_BYTES: u64 = 10 << 30;
/// Entries that one page of a list brings.
const PAGE: u32 = 500;

/// A file of an archive.
#[derive(Debug, Clone)]
pub struct ArchiveFile {
    pub asset: Asset,
    /// Which transformation it is; `None` for the original.
    pub entry: Option<EagerEntry>,
}

/// What an archive is to hold.
#[derive(Debug)]
pub struct Archive {
    pub cloud: Cloud,
    pub format: ArchiveFormat,
    pub files: Vec<ArchiveFile>,
    pub naming: Naming,
    /// Assets that the files come from.
    pub n_assets: usize,
    pub missing_ids: Vec<String>,
    pub empty_tags: Vec<String>,
    pub empty_prefixes: Vec<String>,
    /// Name of the archive itself, with its extension.
    pub name: PublicId,
}

/// Assets in the order found, each once.
#[derive(Default)]
struct Found {
    assets: Vec<Asset>,
    ids: HashSet<String>,
    bytes: u64,
}

impl Found {
    fn add(&mut self, asset: Asset) -> Result<(), ApiError> {
        if asset.placeholder || !self.ids.insert(asset.id.as_str().to_owned()) {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(asset.bytes);
        self.assets.push(asset);
        check_count("files", self.assets.len(), MAX_FILES)?;
        if self.bytes > MAX_BYTES {
            return Err(ApiError::BadRequest(format!("Archive too large. Maximum is {MAX_BYTES} bytes of originals.")));
        }
        Ok(())
    }
}

fn check_count(name: &str, count: usize, max: usize) -> Result<(), ApiError> {
    if count > max {
        return Err(ApiError::BadRequest(format!("Too many {name}. Maximum is {max}.")));
    }
    Ok(())
}

/// A resource type of a path; `None` for those that mean any.
fn resource_type(text: &str) -> Result<Option<ResourceType>, ApiError> {
    match text {
        "all" | "auto" => Ok(None),
        text => crate::service::call::resource_type(text).map(Some),
    }
}

/// `image/upload/folder/name`
fn qualified(text: &str) -> Result<(ResourceType, DeliveryType, String), ApiError> {
    let invalid = || ApiError::invalid("fully_qualified_public_ids", text);
    let mut parts = text.splitn(3, '/');
    let (Some(kind), Some(delivery), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(invalid());
    };
    Ok((kind.parse().map_err(|_| invalid())?, delivery.parse().map_err(|_| invalid())?, id.to_owned()))
}

impl LibraryService {
    /// Reads what an archive is to hold, and finds it. `kind` is the resource type of the path, or `all` or `auto`.
    pub async fn plan_archive(&self, caller: &Caller, kind: &str, params: &Params) -> Result<Archive, ApiError> {
        let kind = resource_type(kind)?;
        for name in ["async", "phash"] {
            if params.is_set(name)? {
                return Err(ApiError::BadRequest(format!("{name} is not supported for archives by this server yet")));
            }
        }
        if params.text("notification_url").is_some() {
            let message = "notification_url is not supported for archives by this server yet".to_owned();
            return Err(ApiError::BadRequest(message));
        }
        let format = match params.text("target_format") {
            None | Some("zip") => ArchiveFormat::Zip,
            Some("tgz") => ArchiveFormat::Tgz,
            Some(other) => return Err(ApiError::invalid("target_format", other)),
        };
        let naming = Naming {
            flatten_folders: params.is_set("flatten_folders")?,
            flatten_transformations: params.is_set("flatten_transformations")?,
            skip_transformation_name: params.is_set("skip_transformation_name")?,
            use_original_filename: params.is_set("use_original_filename")?,
        };
        // Derived pictures are kept and evicted like all others, whatever this says; it has to be a flag all the same.
        params.is_set("keep_derived")?;
        let mut entries = params::parse_eager(params.text("transformations").unwrap_or_default())
            .map_err(|error| ApiError::BadRequest(error.to_string()))?;
        self.expand_eager(&caller.cloud.id, &mut entries).await?;
        for entry in &entries {
            self.parts.eager.check(entry).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        }
        let name = archive_name(params, format)?;
        let (found, [missing_ids, empty_tags, empty_prefixes]) = self.select(caller, kind, params).await?;
        if !params.is_set("allow_missing")? && !missing_ids.is_empty() {
            return Err(ApiError::NotFound(format!("Resources not found - {}", shown(&missing_ids.join(", ")))));
        }
        if found.assets.is_empty() {
            return Err(ApiError::NotFound("No resources found".to_owned()));
        }
        if !entries.is_empty()
            && let Some(other) = found.assets.iter().find(|asset| asset.key.resource_type != ResourceType::Image)
        {
            let message = format!("{} cannot be transformed: it is no image", other.key.public_id);
            return Err(ApiError::BadRequest(message));
        }
        let n_files = found.assets.len().saturating_mul(entries.len().max(1));
        check_count("files", n_files, MAX_FILES)?;
        let n_assets = found.assets.len();
        let mut files = Vec::with_capacity(n_files);
        for asset in found.assets {
            match entries.is_empty() {
                true => files.push(ArchiveFile { asset, entry: None }),
                false => files.extend(
                    entries.iter().map(|entry| ArchiveFile { asset: asset.clone(), entry: Some(entry.clone()) }),
                ),
            }
        }
        let cloud = caller.cloud.clone();
        Ok(Archive { cloud, format, files, naming, n_assets, missing_ids, empty_tags, empty_prefixes, name })
    }

    /// The union of all that a call names, and which ids, tags and prefixes brought nothing.
    async fn select(
        &self,
        caller: &Caller,
        kind: Option<ResourceType>,
        params: &Params,
    ) -> Result<(Found, [Vec<String>; 3]), ApiError> {
        let ids = params.values("public_ids");
        let qualified_ids = params.values("fully_qualified_public_ids");
        let (tags, prefixes) = (params.list("tags"), params.values("prefixes"));
        if ids.is_empty() && qualified_ids.is_empty() && tags.is_empty() && prefixes.is_empty() {
            return Err(ApiError::missing_param("public_ids, fully_qualified_public_ids, tags or prefixes"));
        }
        check_count("public_ids", ids.len().saturating_add(qualified_ids.len()), MAX_IDS)?;
        check_count("tags", tags.len(), MAX_LABELS)?;
        check_count("prefixes", prefixes.len(), MAX_LABELS)?;
        let mut filter = AssetFilter::all(caller.cloud.id.clone());
        (filter.resource_type, filter.delivery_type) = (kind, Some(params.delivery_type()?));
        filter.ascending = true;
        let mut found = Found::default();
        let mut nothing: [Vec<String>; 3] = Default::default();

        if !ids.is_empty() {
            let named = AssetFilter { selection: Selection::PublicIds(ids.clone()), ..filter.clone() };
            let mut assets = self.all(&named).await?;
            let place = |asset: &Asset| ids.iter().position(|id| id == asset.key.public_id.as_str());
            assets.sort_by_key(place);
            let known: HashSet<&str> =
                assets.iter().filter(|asset| !asset.placeholder).map(|asset| asset.key.public_id.as_str()).collect();
            nothing[0].extend(ids.iter().filter(|id| !known.contains(id.as_str())).cloned());
            for asset in assets {
                found.add(asset)?;
            }
        }
        for text in &qualified_ids {
            let (resource_type, delivery_type, id) = qualified(text)?;
            let public_id = PublicId::new(id).ok();
            let key = |public_id| AssetKey { cloud: caller.cloud.id.clone(), resource_type, delivery_type, public_id };
            let asset = match public_id.map(key) {
                Some(key) => self.parts.library.asset(&key).await?.filter(|asset| !asset.placeholder),
                None => None,
            };
            match asset {
                Some(asset) => found.add(asset)?,
                None => nothing[0].push(text.clone()),
            }
        }
        let of = |selection| AssetFilter { selection, ..filter.clone() };
        for tag in tags {
            let assets = self.all(&of(Selection::Tag(tag.clone()))).await?;
            if assets.is_empty() {
                nothing[1].push(tag);
            }
            assets.into_iter().try_for_each(|asset| found.add(asset))?;
        }
        for prefix in prefixes {
            let assets = self.all(&of(Selection::Prefix(prefix.clone()))).await?;
            if assets.is_empty() {
                nothing[2].push(prefix);
            }
            assets.into_iter().try_for_each(|asset| found.add(asset))?;
        }
        Ok((found, nothing))
    }

    /// All assets of a list, which may have at most [`MAX_FILES`].
    async fn all(&self, filter: &AssetFilter) -> Result<Vec<Asset>, ApiError> {
        let mut assets: Vec<Asset> = Vec::new();
        let mut after = None;
        loop {
            let page = self.parts.library.list(filter, PAGE, after).await?;
            assets.extend(page.assets);
            check_count("files", assets.len(), MAX_FILES)?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(assets),
            }
        }
    }

    /// `generate_archive` with `mode=create`: the archive becomes a raw file.
    ///
    /// The work goes on to its end when the caller is dropped, so that no blob is left without a row.
    pub async fn create_archive(&self, caller: &Caller, kind: &str, params: &Params) -> Result<Value, ApiError> {
        let archive = self.plan_archive(caller, kind, params).await?;
        let tags = params::parse_tags(&params.values("target_tags").join(","))
            .map_err(|error| ApiError::BadRequest(error.to_string()))?;
        let folder = params.text("target_asset_folder").unwrap_or_default().trim_matches('/').to_owned();
        let (service, caller) = (self.clone(), caller.clone());
        tokio::spawn(async move { service.store_archive(&caller, archive, tags, folder).await })
            .await
            .map_err(|error| ApiError::Internal(format!("making an archive stopped: {error}")))?
    }

    async fn store_archive(
        &self,
        caller: &Caller,
        archive: Archive,
        tags: Vec<String>,
        asset_folder: String,
    ) -> Result<Value, ApiError> {
        let (n_assets, n_files) = (archive.n_assets, archive.files.len());
        let nothing = [
            ("missing_public_ids", archive.missing_ids.clone()),
            ("empty_tags", archive.empty_tags.clone()),
            ("empty_prefixes", archive.empty_prefixes.clone()),
        ];
        let (delivery_type, access_mode) = protection(&archive.files);
        let key = AssetKey {
            cloud: caller.cloud.id.clone(),
            resource_type: ResourceType::Raw,
            delivery_type,
            public_id: archive.name.clone(),
        };
        let format = archive.format.extension().to_owned();
        let mut writer = self.parts.blobs.create_for(&caller.cloud.id).await?;
        let (mut md5, mut bytes) = (Md5::new(), 0_u64);
        let mut stream = self.archive_stream(archive);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            bytes = bytes.saturating_add(chunk.len() as u64);
            if bytes > MAX_BYTES {
                return Err(ApiError::BadRequest(format!("Archive too large. Maximum is {MAX_BYTES} bytes.")));
            }
            md5.update(&chunk);
            writer.write(chunk).await?;
        }
        let blob = writer.commit().await?;
        let asset = NewAsset {
            key,
            format,
            stored_size: PixelSize::default(),
            orientation: Orientation::UPRIGHT,
            has_alpha: false,
            bytes,
            etag: hex::encode(md5.finalize()),
            blob,
            uploaded_at: Timestamp::now(),
            original_filename: String::new(),
            tags,
            context: Default::default(),
            faces: None,
            face_coordinates: vec![],
            custom_coordinates: vec![],
            api_key: caller.key.key.clone(),
            access_mode,
            asset_folder,
            display_name: String::new(),
            metadata: Default::default(),
            details: AssetDetails::default(),
            backup: false,
        };
        let put = self.record(caller, asset).await?;
        let answer = UploadAnswer {
            view: self.view(caller).await?,
            key: caller.key.clone(),
            asset: put.asset,
            outcome: put.outcome,
            eager: vec![],
            analysis: Default::default(),
            delete_token: None,
            done: false,
            batch_id: None,
        };
        let mut body = answer.to_json();
        body["resource_count"] = json!(n_assets);
        body["file_count"] = json!(n_files);
        for (name, values) in nothing.into_iter().filter(|(_, values)| !values.is_empty()) {
            body[name] = json!(values);
        }
        Ok(body)
    }
}

/// What guards an archive: as strict as the strictest of what it holds, so that no public address gives away a file that
/// is not public.
fn protection(files: &[ArchiveFile]) -> (DeliveryType, AccessMode) {
    let mut strictest = (DeliveryType::Upload, AccessMode::Public);
    for ArchiveFile { asset, .. } in files {
        match asset.key.delivery_type {
            DeliveryType::Authenticated => strictest.0 = DeliveryType::Authenticated,
            DeliveryType::Private if strictest.0 == DeliveryType::Upload => strictest.0 = DeliveryType::Private,
            _ => {}
        }
        if !asset.details.access_control.is_empty() {
            strictest.0 = DeliveryType::Authenticated;
        }
        if asset.access_mode == AccessMode::Authenticated {
            strictest.1 = AccessMode::Authenticated;
        }
    }
    strictest
}

/// The name that was asked for, or a random one; it ends with the extension of the archive.
fn archive_name(params: &Params, format: ArchiveFormat) -> Result<PublicId, ApiError> {
    let mut name = match params.text("target_public_id") {
        Some(name) => name.to_owned(),
        None => hex::encode(rand::random::<[u8; 10]>()),
    };
    let ending = format!(".{}", format.extension());
    if !name.ends_with(&ending) {
        name.push_str(&ending);
    }
    PublicId::new(name.as_str())
        .ok()
        .filter(|name| !name.as_str().split('/').any(|part| matches!(part, "." | "..")))
        .ok_or_else(|| ApiError::BadRequest(format!("target_public_id ({}) is invalid", shown(&name))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn qualified_ids_have_three_parts() {
        assert_eq!(
            qualified("image/private/a/b").unwrap(),
            (ResourceType::Image, DeliveryType::Private, "a/b".to_owned())
        );
        assert!(qualified("image/upload").is_err() && qualified("pictures/upload/a").is_err());
    }

    #[test]
    fn archives_have_the_name_of_their_kind() {
        let named = |name: &str| {
            let params: Params = vec![("target_public_id".to_owned(), name.to_owned())].into();
            archive_name(&params, ArchiveFormat::Zip)
        };
        assert_eq!(named("a/b").unwrap().as_str(), "a/b.zip");
        assert_eq!(named("a.zip").unwrap().as_str(), "a.zip");
        assert!(named("a/../b").is_err() && named("a?b").is_err());
        assert!(archive_name(&Params::default(), ArchiveFormat::Tgz).unwrap().as_str().ends_with(".tgz"));
    }
}
