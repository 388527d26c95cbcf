//! Delivery of sprites and animations: as they were made, with a sprite's style sheet and JSON beside it.

use super::asset_headers;
use super::deliver::{Delivery, StoredBlob};
use super::deliver_types::{
    CachePolicy, ContentFacts, DeliveryAnswer, DeliveryBody, DeliveryError, FileFacts, StageTiming,
};
use super::derive::md5_hex;
use super::library::{sprite_css, sprite_json};
use super::media_type;
use crate::domain::{Asset, Cloud, DeliveryType};
use std::time::Duration;
use tintype_render::language::{Address, Format};

/// Whether an address names something that is delivered here.
pub(super) fn is_made(address: &Address) -> bool {
    let name = address.delivery_type.to_string();
    name == DeliveryType::Sprite.as_str() || name == DeliveryType::Multi.as_str()
}

impl Delivery {
    /// The answer for a sprite or an animation. Its transformation was applied when it was made, so that an address can
    /// only repeat that one, or none.
    pub(super) fn made(
        &self,
        cloud: &Cloud,
        address: &Address,
        asset: &Asset,
        lookup: StageTiming,
        unversioned_max_age: Duration,
    ) -> Result<DeliveryAnswer, DeliveryError> {
        let made_of = asset.details.made_of.clone().unwrap_or_default();
        if !address.transformation.is_empty() && address.transformation != made_of.transformation {
            let kind = asset.key.delivery_type;
            return Err(DeliveryError::Invalid(format!(
                "transforming {kind} assets is not supported by this server yet: make the {kind} again with {}",
                address.transformation
            )));
        }
        let cache = match address.version {
            Some(version) if version == asset.version => CachePolicy::Immutable,
            // The next call of the same name makes another picture.
            _ => CachePolicy::Revalidate { max_age: unversioned_max_age },
        };
        let is_sprite = asset.key.delivery_type == DeliveryType::Sprite;
        let text = |text: String, content_type: &str| {
            self.count_delivered(cloud, text.len() as u64);
            (md5_hex(text.as_bytes()), content_type.to_owned(), DeliveryBody::Bytes(text.into()), None)
        };
        let (etag, content_type, body, content) = match address.extension.as_deref() {
            Some("css") if is_sprite => {
                let image = self.made_url(cloud, asset, &made_of.transformation);
                text(sprite_css(asset, &image), "text/css; charset=utf-8")
            }
            Some("json") if is_sprite => text(sprite_json(asset), "application/json; charset=utf-8"),
            Some(extension) if extension != asset.format => {
                let kind = asset.key.delivery_type;
                return Err(DeliveryError::Invalid(format!(
                    "delivery of {kind} assets as {extension} is not supported by this server yet"
                )));
            }
            _ => {
                self.count_delivered(cloud, asset.bytes);
                let content_type = match Format::from_extension(&asset.format) {
                    Some(format) => format.content_type(),
                    None => media_type::of_file(&asset.format),
                };
                let stored = StoredBlob { store: self.blobs(), blob: asset.blob.clone(), bytes: asset.bytes };
                let facts = FileFacts {
                    width: asset.upright_size.width,
                    height: asset.upright_size.height,
                    bytes: asset.bytes,
                    format: asset.format.clone(),
                    created_s: asset.created_at.unix_seconds(),
                };
                let content = ContentFacts { file: facts, original: None };
                (asset.etag.clone(), content_type.to_owned(), DeliveryBody::Stored(Box::new(stored)), Some(content))
            }
        };
        Ok(DeliveryAnswer {
            body,
            content_type,
            etag,
            last_modified_s: asset.uploaded_at.unix_seconds(),
            cache,
            vary: vec![],
            timings: vec![lookup],
            content,
            attachment: None,
            headers: asset_headers::of(asset),
            warning: None,
        })
    }
}
