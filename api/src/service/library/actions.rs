//! Actions of the upload API that need no file (api.md 3.10 to 3.13).

use super::edit::Edit;
use super::{AnalysisRequest, FolderMode, LibraryService};
use crate::auth::signature::{self, Algorithm};
use crate::catalog::PutOutcome;
use crate::catalog::library::{Removal, Renamed};
use crate::domain::{Asset, AssetKey, Cloud, PublicId, ResourceType, Timestamp};
use crate::jobs::announce::Occasion;
use crate::jobs::{eager, events};
use crate::service::access::Caller;
use crate::service::answer::{EagerAnswer, EagerState, UploadAnswer};
use crate::service::call::{ApiError, Params, shown};
use crate::service::delete_token::DeleteToken;
use crate::service::params;
use serde_json::{Value, json};

/// Most public ids of one call.
const MAX_IDS: usize = 1000;

/// The signature that answers carry.
pub fn response_signature(caller: &Caller, asset: &Asset) -> String {
    let version = i64::try_from(asset.version).unwrap_or(i64::MAX);
    let secret = caller.key.secret.expose();
    signature::sign_response(asset.key.public_id.as_str(), version, secret, Algorithm::Sha1)
}

fn bad(error: params::ParamError) -> ApiError {
    ApiError::BadRequest(error.to_string())
}

impl LibraryService {
    fn key(&self, caller: &Caller, kind: ResourceType, params: &Params, name: &str) -> Result<AssetKey, ApiError> {
        Ok(AssetKey {
            cloud: caller.cloud.id.clone(),
            resource_type: kind,
            delivery_type: params.delivery_type()?,
            public_id: params.public_id(name)?,
        })
    }

    /// `rename`
    pub async fn rename(&self, caller: &Caller, kind: ResourceType, params: &Params) -> Result<Value, ApiError> {
        let from = self.key(caller, kind, params, "from_public_id")?;
        let to_type = match params.text("to_type") {
            None => from.delivery_type,
            Some(text) => text.parse().map_err(|_| ApiError::invalid("to_type", text))?,
        };
        let to = AssetKey { public_id: params.public_id("to_public_id")?, delivery_type: to_type, ..from.clone() };
        if to.public_id.as_str().split('/').any(|part| matches!(part, "." | "..")) {
            return Err(ApiError::BadRequest(format!("to_public_id ({}) is invalid", shown(to.public_id.as_str()))));
        }
        let fixed = self.settings_of(&caller.cloud).await?.folder_mode == FolderMode::Fixed;
        match self.parts.library.rename(&from, &to, params.is_set("overwrite")?, fixed).await? {
            Renamed::Missing => Err(ApiError::missing_resource(from.public_id.as_str())),
            Renamed::Taken => Err(ApiError::BadRequest(format!("to_public_id({}) already exists", to.public_id))),
            Renamed::Done { asset, freed_blobs } => {
                self.after_change(&caller.cloud.id, &freed_blobs).await;
                self.tell(caller, params, &[events::renamed(&asset, from.public_id.as_str())]).await?;
                let mut body = self.view(caller).await?.summary(&asset);
                body.insert("tags".to_owned(), json!(asset.tags));
                if params.is_set("context")? && !asset.context.is_empty() {
                    body.insert("context".to_owned(), json!({ "custom": asset.context }));
                }
                if params.is_set("metadata")? && !asset.metadata.is_empty() {
                    body.insert("metadata".to_owned(), Value::Object(asset.metadata.clone()));
                }
                Ok(Value::Object(body))
            }
        }
    }

    /// `destroy`, by public id, or by asset id where `kind` is `None`.
    pub async fn destroy(
        &self,
        caller: &Caller,
        kind: Option<ResourceType>,
        params: &Params,
    ) -> Result<Value, ApiError> {
        let removal = match kind {
            Some(kind) => {
                let text = params.required("public_id")?;
                let Ok(public_id) = PublicId::new(text) else { return Ok(json!({ "result": "not found" })) };
                Removal::Key(AssetKey {
                    cloud: caller.cloud.id.clone(),
                    resource_type: kind,
                    delivery_type: params.delivery_type()?,
                    public_id,
                })
            }
            None => match crate::domain::AssetId::new(params.required("asset_id")?) {
                Ok(id) => Removal::Id(caller.cloud.id.clone(), id),
                Err(_) => return Ok(json!({ "result": "not found" })),
            },
        };
        match self.parts.library.remove(&removal).await? {
            None => Ok(json!({ "result": "not found" })),
            Some(removed) => {
                self.after_change(&caller.cloud.id, &removed.freed_blobs).await;
                self.tell_deleted(caller, params, &[removed.asset]).await?;
                Ok(json!({ "result": "ok" }))
            }
        }
    }

    /// `delete_by_token`: the token is all the proof that is needed.
    pub async fn delete_by_token(&self, cloud: &Cloud, params: &Params) -> Result<Value, ApiError> {
        let invalid = || ApiError::BadRequest("Invalid token".to_owned());
        let token = DeleteToken::read(params.required("token")?).ok_or_else(invalid)?;
        let keys = self.parts.catalog.api_keys(&cloud.id).await?;
        let key = keys.into_iter().find(|key| token.holds(key, Timestamp::now())).ok_or_else(invalid)?;
        let asset = self.parts.library.asset_by_id(&cloud.id, &token.asset).await?;
        asset.filter(|asset| asset.version == token.version).ok_or_else(invalid)?;
        let removed = self.parts.library.remove(&Removal::Id(cloud.id.clone(), token.asset)).await?;
        let removed = removed.ok_or_else(invalid)?;
        self.after_change(&cloud.id, &removed.freed_blobs).await;
        self.tell_deleted(&Caller { cloud: cloud.clone(), key }, params, &[removed.asset]).await?;
        Ok(json!({ "result": "ok" }))
    }

    /// The assets that `public_ids` names, in the order given.
    fn keys(&self, caller: &Caller, kind: ResourceType, params: &Params) -> Result<Vec<AssetKey>, ApiError> {
        let ids = params.values("public_ids");
        if ids.is_empty() {
            return Err(ApiError::missing_param("public_ids"));
        }
        if ids.len() > MAX_IDS {
            return Err(ApiError::BadRequest(format!("Too many public_ids. Maximum is {MAX_IDS}.")));
        }
        let delivery_type = params.delivery_type()?;
        let key =
            |public_id| AssetKey { cloud: caller.cloud.id.clone(), resource_type: kind, delivery_type, public_id };
        Ok(ids.into_iter().filter_map(|id| PublicId::new(id).ok()).map(key).collect())
    }

    async fn change_all(
        &self,
        caller: &Caller,
        params: &Params,
        keys: &[AssetKey],
        change: impl Fn(&mut Asset) -> bool + Clone + Send + Sync + 'static,
    ) -> Result<Value, ApiError> {
        let (change, seen) = events::observe(change);
        let changed = self.parts.library.change_assets(keys, change).await?;
        self.after_change(&caller.cloud.id, &[]).await;
        self.tell_changes(caller, params, &seen).await?;
        let ids: Vec<&str> = changed.iter().map(|asset| asset.key.public_id.as_str()).collect();
        Ok(json!({ "public_ids": ids }))
    }

    /// `tags`. The tags of an asset are kept in the order of their bytes.
    pub async fn change_tags(&self, caller: &Caller, kind: ResourceType, params: &Params) -> Result<Value, ApiError> {
        let keys = self.keys(caller, kind, params)?;
        let command = params.text("command").unwrap_or("add").to_owned();
        let tags = params::parse_tags(&params.values("tag").join(",")).map_err(bad)?;
        if tags.is_empty() && command != "remove_all" && command != "replace" {
            return Err(ApiError::missing_param("tag"));
        }
        if !["add", "remove", "replace", "remove_all", "set_exclusive"].contains(&command.as_str()) {
            return Err(ApiError::invalid("command", &command));
        }
        if command == "set_exclusive" {
            // Everywhere else the tag goes.
            for tag in &tags {
                let mut filter = crate::catalog::library::AssetFilter::all(caller.cloud.id.clone());
                filter.resource_type = Some(kind);
                filter.selection = crate::catalog::library::Selection::Tag(tag.clone());
                loop {
                    let page = self.parts.library.list(&filter, 500, None).await?;
                    let others: Vec<AssetKey> =
                        page.assets.iter().map(|asset| asset.key.clone()).filter(|key| !keys.contains(key)).collect();
                    let gone = tag.clone();
                    let remove = move |asset: &mut Asset| {
                        asset.tags.retain(|known| *known != gone);
                        true
                    };
                    let (remove, seen) = events::observe(remove);
                    self.parts.library.change_assets(&others, remove).await?;
                    self.tell_changes(caller, params, &seen).await?;
                    if page.next.is_none() || others.is_empty() {
                        break;
                    }
                }
            }
        }
        let change = move |asset: &mut Asset| {
            let mut present: std::collections::BTreeSet<String> = asset.tags.iter().cloned().collect();
            match command.as_str() {
                "remove" => tags.iter().for_each(|tag| {
                    present.remove(tag);
                }),
                "replace" => present = tags.iter().cloned().collect(),
                "remove_all" => present.clear(),
                _ => present.extend(tags.iter().cloned()),
            }
            asset.tags = present.into_iter().collect();
            true
        };
        self.change_all(caller, params, &keys, change).await
    }

    /// `context`
    pub async fn change_context(
        &self,
        caller: &Caller,
        kind: ResourceType,
        params: &Params,
    ) -> Result<Value, ApiError> {
        let keys = self.keys(caller, kind, params)?;
        let command = params.text("command").unwrap_or("add").to_owned();
        let context = params::parse_context(params.text("context").unwrap_or_default()).map_err(bad)?;
        match command.as_str() {
            "add" if context.is_empty() => return Err(ApiError::missing_param("context")),
            "add" | "remove_all" => {}
            other => return Err(ApiError::invalid("command", other)),
        }
        let change = move |asset: &mut Asset| {
            match command.as_str() {
                "remove_all" => asset.context.clear(),
                _ => asset.context.extend(context.clone()),
            }
            true
        };
        self.change_all(caller, params, &keys, change).await
    }

    /// `metadata`
    pub async fn change_metadata(
        &self,
        caller: &Caller,
        kind: ResourceType,
        params: &Params,
    ) -> Result<Value, ApiError> {
        let keys = self.keys(caller, kind, params)?;
        params.required("metadata")?;
        let change = self.metadata_change(caller, params).await?;
        let change = move |asset: &mut Asset| {
            change.apply(asset);
            true
        };
        self.change_all(caller, params, &keys, change).await
    }

    /// `explicit`, done before the answer or after it.
    pub async fn explicit(&self, caller: &Caller, kind: ResourceType, params: &Params) -> Result<Value, ApiError> {
        if params.is_set("async")? {
            let key = self.key(caller, kind, params, "public_id")?;
            Edit::read(params)?;
            return self.explicit_later(caller, &key, params).await;
        }
        let (asset, answer) = self.explicit_now(caller, kind, params).await?;
        if params.text("notification_url").is_some() {
            self.tell(caller, params, &[events::explicit(&asset, &answer)]).await?;
        }
        Ok(answer)
    }

    /// `explicit`, done now.
    pub async fn explicit_now(
        &self,
        caller: &Caller,
        kind: ResourceType,
        params: &Params,
    ) -> Result<(Asset, Value), ApiError> {
        let key = self.key(caller, kind, params, "public_id")?;
        let mut entries = params::parse_eager(params.text("eager").unwrap_or_default()).map_err(bad)?;
        self.expand_eager(&caller.cloud.id, &mut entries).await?;
        for entry in &entries {
            self.parts.eager.check(entry).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        }
        let edit = Edit::read(params)?;
        let analysis = AnalysisRequest::read(params)?;
        let metadata = self.metadata_change(caller, params).await?;
        let change = move |asset: &mut Asset| {
            let edited = edit.apply(asset);
            metadata.apply(asset) || edited
        };
        let (change, seen) = events::observe(change);
        let changed = self.parts.library.change_asset(&key, change).await?;
        let asset = changed
            .filter(|asset| !asset.placeholder)
            .ok_or_else(|| ApiError::missing_resource(key.public_id.as_str()))?;
        if params.is_set("overwrite")? && !entries.is_empty() {
            let texts = entries.iter().map(|entry| super::deletion::canonical(&entry.expanded));
            let texts = texts.collect::<Result<Vec<_>, _>>()?;
            let (_, freed) = self.parts.library.delete_derived_of(&asset.id, Some(texts)).await?;
            self.after_change(&caller.cloud.id, &freed).await;
        } else {
            self.after_change(&caller.cloud.id, &[]).await;
        }
        self.tell_changes(caller, params, &seen).await?;
        let mut batch_id = params.text("batch_id").map(str::to_owned);
        let states: Vec<EagerState> = if entries.is_empty() {
            Vec::new()
        } else if params.is_set("eager_async")? {
            let occasion = self.occasion(caller, params);
            let url = params.text("eager_notification_url").map(str::to_owned).or(occasion.url);
            let batch = batch_id.get_or_insert_with(super::tell::new_batch_id);
            let job = eager::job(&Occasion { url, ..occasion }, &asset, &entries, batch);
            self.parts.announcer.enqueue(vec![job]).await?;
            entries.iter().map(|_| EagerState::Processing { batch_id: batch.clone() }).collect()
        } else {
            let rendered = self.parts.eager.render(&caller.cloud, &asset, &entries).await;
            rendered.into_iter().map(EagerState::from).collect()
        };
        let eager = entries.into_iter().zip(states).map(|(entry, state)| EagerAnswer { entry, state }).collect();
        let analysis = self.analyze(caller, &asset, &analysis).await?;
        let answer = UploadAnswer {
            view: self.view(caller).await?,
            key: caller.key.clone(),
            asset,
            outcome: PutOutcome::Created,
            eager,
            batch_id,
            analysis,
            delete_token: None,
            done: false,
        };
        let Value::Object(mut body) = answer.to_json() else {
            return Err(ApiError::Internal("an answer is no object".to_owned()));
        };
        for name in ["original_filename", "original_extension"] {
            body.remove(name);
        }
        Ok((answer.asset, Value::Object(body)))
    }
}
