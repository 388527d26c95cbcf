//! Opening and shutting assets (api.md 4.6): `publish_resources` and `update_access_mode`.

use super::LibraryService;
use crate::catalog::library::{AssetFilter, Renamed, Selection};
use crate::domain::{AccessMode, Asset, AssetKey, DeliveryType, ResourceType};
use crate::jobs::events;
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use serde_json::{Value, json};

/// Most ids that one call names.
const MAX_IDS: usize = 100;
/// Most assets that one call changes.
const MAX_CHANGED: usize = 1000;
/// Assets that are read at a time.
const PAGE: u32 = 500;

/// What `public_ids`, `prefix` or `tag` of a call select.
fn selection(params: &Params) -> Result<Selection, ApiError> {
    let ids = params.values("public_ids");
    if ids.len() > MAX_IDS {
        return Err(ApiError::BadRequest(format!("Too many public_ids. Maximum is {MAX_IDS}.")));
    }
    match (ids.is_empty(), params.text("prefix"), params.text("tag")) {
        (false, None, None) => Ok(Selection::PublicIds(ids)),
        (true, Some(prefix), None) => Ok(Selection::Prefix(prefix.to_owned())),
        (true, None, Some(tag)) => Ok(Selection::Tag(tag.to_owned())),
        _ => Err(ApiError::BadRequest("Exactly one of public_ids, prefix and tag has to be given".to_owned())),
    }
}

impl LibraryService {
    async fn selected(
        &self,
        caller: &Caller,
        kind: ResourceType,
        delivery_type: DeliveryType,
        params: &Params,
    ) -> Result<Vec<Asset>, ApiError> {
        let mut filter = AssetFilter::all(caller.cloud.id.clone());
        filter.resource_type = Some(kind);
        filter.delivery_type = Some(delivery_type);
        filter.selection = selection(params)?;
        let (mut assets, mut after) = (Vec::new(), None);
        loop {
            let page = self.parts.library.list(&filter, PAGE, after).await?;
            assets.extend(page.assets.into_iter().filter(|asset: &Asset| !asset.placeholder));
            if assets.len() > MAX_CHANGED {
                return Err(ApiError::BadRequest(format!("Too many assets. Maximum is {MAX_CHANGED} a call.")));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(assets),
            }
        }
    }

    /// `POST /resources/{rt}/publish_resources`: private and authenticated assets get the type `upload`.
    pub async fn publish(&self, caller: &Caller, kind: ResourceType, params: &Params) -> Result<Value, ApiError> {
        let closed = [DeliveryType::Private, DeliveryType::Authenticated];
        let types = match params.text("type") {
            None => closed.to_vec(),
            Some(_) => [params.delivery_type()?].into_iter().filter(|given| closed.contains(given)).collect(),
        };
        selection(params)?;
        let overwrite = params.is_set("overwrite")?;
        let fixed = self.settings_of(&caller.cloud).await?.folder_mode == super::FolderMode::Fixed;
        let view = self.view(caller).await?;
        let (mut published, mut failed) = (Vec::new(), Vec::new());
        for delivery_type in types {
            for asset in self.selected(caller, kind, delivery_type, params).await? {
                let to = AssetKey { delivery_type: DeliveryType::Upload, ..asset.key.clone() };
                match self.parts.library.rename(&asset.key, &to, overwrite, fixed).await? {
                    Renamed::Done { asset, freed_blobs } => {
                        self.after_change(&caller.cloud.id, &freed_blobs).await;
                        let body = view.summary(&asset);
                        self.tell_made(caller, params, "publish", &asset, &Value::Object(body.clone())).await?;
                        published.push(Value::Object(body));
                    }
                    Renamed::Missing => {}
                    Renamed::Taken => failed.push(json!({
                        "public_id": asset.key.public_id.as_str(),
                        "type": delivery_type.as_str(),
                        "error": { "message": format!("to_public_id({}) already exists", asset.key.public_id) },
                    })),
                }
            }
        }
        Ok(json!({ "published": published, "failed": failed }))
    }

    /// `POST /resources/{rt}/{type}/update_access_mode`
    pub async fn update_access_mode(
        &self,
        caller: &Caller,
        kind: ResourceType,
        delivery_type: DeliveryType,
        params: &Params,
    ) -> Result<Value, ApiError> {
        let text = params.required("access_mode")?;
        let mode: AccessMode = text.parse().map_err(|_| ApiError::invalid("access_mode", text))?;
        let selected = self.selected(caller, kind, delivery_type, params).await?;
        let keys: Vec<AssetKey> = selected.into_iter().map(|asset| asset.key).collect();
        let change = move |asset: &mut Asset| {
            let differs = asset.access_mode != mode;
            asset.access_mode = mode;
            differs
        };
        let (change, seen) = events::observe(change);
        self.parts.library.change_assets(&keys, change).await?;
        self.after_change(&caller.cloud.id, &[]).await;
        self.tell_changes(caller, params, &seen).await?;
        let entry = |key: &AssetKey| {
            json!({
                "public_id": key.public_id.as_str(),
                "resource_type": kind.as_str(),
                "type": delivery_type.as_str(),
                "access_mode": mode.as_str(),
            })
        };
        Ok(json!({ "updated": keys.iter().map(entry).collect::<Vec<_>>(), "failed": [] }))
    }
}
