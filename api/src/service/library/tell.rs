//! What calls about a library tell of, and the calls that are done later.

use super::LibraryService;
use super::made::Made;
use crate::domain::{Asset, AssetKey};
use crate::jobs::announce::{Occasion, check_url};
use crate::jobs::events::{self, Event, Seen};
use crate::jobs::{explicit, make};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use serde_json::Value;

/// Addresses that a call may name.
const URLS: &[&str] = &["notification_url", "eager_notification_url"];

/// Refuses a call that names an address which cannot be called.
pub fn check_urls(params: &Params) -> Result<(), ApiError> {
    for name in URLS {
        if let Some(url) = params.text(name) {
            check_url(name, url)?;
        }
    }
    Ok(())
}

/// A new id for what a call begins.
pub fn new_batch_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

impl LibraryService {
    /// The call as an occasion to tell of.
    pub fn occasion(&self, caller: &Caller, params: &Params) -> Occasion {
        Occasion {
            cloud: caller.cloud.id.clone(),
            key: caller.key.key.clone(),
            url: params.text("notification_url").map(str::to_owned),
            batch_id: params.text("batch_id").map(str::to_owned),
            at: self.parts.announcer.now(),
        }
    }

    /// Tells of events. What it records is delivered later.
    pub async fn tell(&self, caller: &Caller, params: &Params, events: &[Event]) -> Result<(), ApiError> {
        if events.is_empty() {
            return Ok(());
        }
        self.parts.announcer.tell(&self.occasion(caller, params), events).await
    }

    /// Tells of changes that were noted.
    pub async fn tell_changes(&self, caller: &Caller, params: &Params, seen: &Seen) -> Result<(), ApiError> {
        self.tell(caller, params, &events::changes(&seen.take())).await
    }

    /// Tells of deleted assets.
    pub async fn tell_deleted(&self, caller: &Caller, params: &Params, assets: &[Asset]) -> Result<(), ApiError> {
        let events: Vec<Event> = events::deleted(assets).into_iter().collect();
        self.tell(caller, params, &events).await
    }

    /// Answers a call of `explicit` at once, and does it later.
    pub(super) async fn explicit_later(
        &self,
        caller: &Caller,
        key: &AssetKey,
        params: &Params,
    ) -> Result<Value, ApiError> {
        let mut occasion = self.occasion(caller, params);
        let batch_id = occasion.batch_id.get_or_insert_with(new_batch_id).clone();
        let kind = key.resource_type.as_str();
        self.parts.announcer.enqueue(vec![explicit::job(&occasion, kind, params)]).await?;
        Ok(explicit::pending(kind, key.delivery_type.as_str(), Some(key.public_id.as_str()), &batch_id))
    }
    /// Answers a call that makes pictures at once, and does it later.
    pub(super) async fn make_later(
        &self,
        caller: &Caller,
        params: &Params,
        action: Made,
        public_id: &str,
    ) -> Result<Value, ApiError> {
        let mut occasion = self.occasion(caller, params);
        let batch_id = occasion.batch_id.get_or_insert_with(new_batch_id).clone();
        self.parts.announcer.enqueue(vec![make::job(&occasion, action, params)]).await?;
        let delivery_type = match action {
            Made::Explode => params.delivery_type()?.as_str(),
            Made::Sprite | Made::Multi => action.as_str(),
        };
        Ok(explicit::pending("image", delivery_type, Some(public_id), &batch_id))
    }

    /// Does such a call.
    pub async fn make_now(&self, caller: &Caller, params: &Params, action: Made) -> Result<Event, ApiError> {
        let (asset, answer) = match action {
            Made::Explode => return self.explode_now(caller, params).await,
            Made::Sprite => self.sprite_now(caller, params).await?,
            Made::Multi => self.multi_now(caller, params).await?,
        };
        let body = answer.as_object().cloned().unwrap_or_default();
        Ok(Event { kind: action.as_str(), body, asset: Some(asset.id) })
    }
}
