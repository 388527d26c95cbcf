//! Files that a signed address hands out (api.md 2.7): originals of any type, their conversions, and kept versions.

use super::archive_stream::from_delivery_error;
use super::{LibraryService, Made};
use crate::domain::{Asset, AssetId, AssetKey, BlobKey, ResourceType, Timestamp};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use crate::service::deliver::StoredBlob;
use crate::service::deliver_types::{CachePolicy, DeliveryAnswer, DeliveryBody};
use crate::service::derive::md5_hex;
use crate::service::media_type;
use crate::service::params::{EagerEntry, EagerExtension};
use std::time::Duration;
use tintype_render::language::Format;

/// A file that was not rendered.
struct File<'a> {
    blob: &'a BlobKey,
    bytes: u64,
    etag: &'a str,
    format: &'a str,
    modified_s: i64,
}

impl LibraryService {
    /// `GET /{rt}/download`
    pub async fn download(
        &self,
        caller: &Caller,
        kind: ResourceType,
        params: &Params,
    ) -> Result<DeliveryAnswer, ApiError> {
        let key = AssetKey {
            cloud: caller.cloud.id.clone(),
            resource_type: kind,
            delivery_type: params.delivery_type()?,
            public_id: params.public_id("public_id")?,
        };
        let asset = self.asset(&key).await?;
        if asset.placeholder {
            return Err(ApiError::missing_resource(key.public_id.as_str()));
        }
        if let Some(entry) = self.conversion(caller, &asset, params).await?
            && let Some(picture) =
                self.parts.eager.picture(&caller.cloud, &asset, &entry).await.map_err(from_delivery_error)?
        {
            let content_type = picture.format.content_type().to_owned();
            let attachment = attachment(params, &asset, picture.format.extension());
            let modified_s = asset.uploaded_at.unix_seconds();
            return Ok(answer(DeliveryBody::Bytes(picture.bytes), content_type, picture.etag, modified_s, attachment));
        }
        let file = File {
            blob: &asset.blob,
            bytes: asset.bytes,
            etag: &asset.etag,
            format: &asset.format,
            modified_s: asset.uploaded_at.unix_seconds(),
        };
        self.file(&asset, file, attachment(params, &asset, &asset.format)).await
    }

    /// What is asked for beside the original.
    async fn conversion(
        &self,
        caller: &Caller,
        asset: &Asset,
        params: &Params,
    ) -> Result<Option<EagerEntry>, ApiError> {
        let transformation = params.text("transformation").unwrap_or_default();
        let format = params.text("format").filter(|format| !format.eq_ignore_ascii_case(&asset.format));
        if transformation.is_empty() && format.is_none() {
            return Ok(None);
        }
        if asset.key.resource_type != ResourceType::Image {
            // Their addresses spell the extension here, which changes nothing.
            return match transformation {
                "" => Ok(None),
                _ => Err(ApiError::BadRequest("transformation is only supported for images".to_owned())),
            };
        }
        let extension = match format {
            None => EagerExtension::Original,
            Some(text) => {
                EagerExtension::Named(Format::from_extension(text).ok_or_else(|| ApiError::invalid("format", text))?)
            }
        };
        let expanded = self.expand(&caller.cloud.id, transformation).await?;
        let entry = EagerEntry {
            given: transformation.to_owned(),
            transformation: transformation.to_owned(),
            expanded,
            extension,
        };
        self.parts.eager.check(&entry).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        Ok(Some(entry))
    }

    /// `GET /download_backup`
    pub async fn download_backup(&self, caller: &Caller, params: &Params) -> Result<DeliveryAnswer, ApiError> {
        let missing = || ApiError::NotFound("Specified version does not exist".to_owned());
        let id = AssetId::new(params.required("asset_id")?).map_err(|_| missing())?;
        let wanted = params.required("version_id")?;
        let asset = self.parts.library.asset_by_id(&caller.cloud.id, &id).await?.ok_or_else(missing)?;
        let versions = self.parts.library.versions(&asset.id).await?;
        let version = versions.iter().find(|version| version.version_id.as_str() == wanted).ok_or_else(missing)?;
        let file = File {
            blob: &version.blob,
            bytes: version.bytes,
            etag: &version.etag,
            format: &version.format,
            modified_s: version.uploaded_at.unix_seconds(),
        };
        self.file(&asset, file, attachment(params, &asset, &version.format)).await
    }

    /// `sprite` and `multi` with `mode=download`: the file, which is made and not kept.
    pub async fn download_made(
        &self,
        caller: &Caller,
        params: &Params,
        action: Made,
    ) -> Result<DeliveryAnswer, ApiError> {
        let (public_id, file, _) = match action {
            Made::Sprite => self.sprite_file(caller, params).await?,
            Made::Multi => self.multi_file(caller, params).await?,
            Made::Explode => return Err(ApiError::invalid("mode", "download")),
        };
        let content_type = match Format::from_extension(file.format) {
            Some(format) => format.content_type(),
            None => media_type::of_file(file.format),
        };
        let name = public_id.as_str().rsplit('/').next().unwrap_or_default();
        let attachment = format!("{name}.{}", file.format);
        let etag = md5_hex(&file.bytes);
        let now_s = Timestamp::now().unix_seconds();
        Ok(answer(DeliveryBody::Bytes(file.bytes), content_type.to_owned(), etag, now_s, Some(attachment)))
    }

    async fn file(
        &self,
        asset: &Asset,
        file: File<'_>,
        attachment: Option<String>,
    ) -> Result<DeliveryAnswer, ApiError> {
        let blobs = &self.parts.blobs;
        blobs.check_original(file.blob, file.bytes).await?;
        let content_type = match Format::from_extension(file.format) {
            Some(format) if asset.key.resource_type == ResourceType::Image => format.content_type(),
            _ => media_type::of_file(file.format),
        };
        let stored = StoredBlob { store: blobs.clone(), blob: file.blob.clone(), bytes: file.bytes };
        let body = DeliveryBody::Stored(Box::new(stored));
        Ok(answer(body, content_type.to_owned(), file.etag.to_owned(), file.modified_s, attachment))
    }
}

fn answer(
    body: DeliveryBody,
    content_type: String,
    etag: String,
    last_modified_s: i64,
    attachment: Option<String>,
) -> DeliveryAnswer {
    DeliveryAnswer {
        body,
        content_type,
        etag,
        last_modified_s,
        // The address proves who asks, and for how long.
        cache: CachePolicy::Private { max_age: Duration::ZERO },
        vary: vec![],
        timings: vec![],
        content: None,
        attachment,
        headers: vec![],
        warning: None,
    }
}

/// The name under which a browser is to save the file, where it is to do so.
fn attachment(params: &Params, asset: &Asset, extension: &str) -> Option<String> {
    let public_id = asset.key.public_id.as_str();
    let own = public_id.rsplit('/').next().unwrap_or(public_id);
    let name = match (params.text("target_filename"), params.text("attachment")) {
        (Some(name), _) => name,
        (None, None | Some("false" | "0")) => return None,
        (None, Some("true" | "1")) => own,
        (None, Some(name)) => name,
    };
    let ending = format!(".{extension}");
    Some(match extension.is_empty() || name.to_lowercase().ends_with(&ending) {
        true => name.to_owned(),
        false => format!("{name}{ending}"),
    })
}
