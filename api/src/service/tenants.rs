//! Clouds and their keys, as an operator changes them: by command, or by the provisioning API.

use super::call::{ApiError, shown};
use super::library::CloudSettings;
use crate::catalog::library::{CloudRemoval, KeyChange, KeyOutcome, Library};
use crate::catalog::{Catalog, CatalogError};
use crate::domain::{ApiKey, BlobKey, Cloud, CloudId, CloudName, Timestamp};
use std::sync::Arc;

/// A cloud with this many assets is only deleted by force.
pub const MANY_ASSETS: u64 = 50;
/// Assets that one transaction removes.
const ERASE_AT_ONCE: u32 = 100;
/// Longest name of a key, in bytes.
const MAX_KEY_NAME_BYTES: usize = 200;

/// A key with what people call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    pub key: ApiKey,
    pub name: String,
    pub updated_at: Timestamp,
}

/// The clouds of this server. Cheap to clone.
#[derive(Clone)]
pub struct Tenants {
    pub catalog: Arc<dyn Catalog>,
    pub library: Library,
}

fn taken(error: CatalogError) -> ApiError {
    match error {
        CatalogError::Conflict(what) => ApiError::Conflict(format!("{what} is already taken")),
        other => other.into(),
    }
}

/// A text as the name of a cloud.
pub fn cloud_name(text: &str) -> Result<CloudName, ApiError> {
    CloudName::new(text).map_err(|error| ApiError::BadRequest(error.to_string()))
}

impl Tenants {
    /// The cloud with that name or id.
    pub async fn find(&self, text: &str) -> Result<Option<Cloud>, ApiError> {
        if let Ok(name) = CloudName::new(text)
            && let Some(cloud) = self.catalog.cloud_by_name(&name).await?
        {
            return Ok(Some(cloud));
        }
        match CloudId::new(text) {
            Ok(id) => Ok(self.catalog.cloud(&id).await?),
            Err(_) => Ok(None),
        }
    }

    pub async fn create(&self, name: CloudName, settings: &CloudSettings) -> Result<Cloud, ApiError> {
        let cloud = Cloud::new(name);
        self.catalog.create_cloud(&cloud, &ApiKey::random(cloud.id.clone())).await.map_err(taken)?;
        if *settings != CloudSettings::default() {
            settings.save(&*self.catalog, &cloud.id).await?;
        }
        Ok(cloud)
    }

    pub async fn rename(&self, cloud: &Cloud, name: CloudName) -> Result<Cloud, ApiError> {
        if !self.library.rename_cloud(&cloud.id, &name).await.map_err(taken)? {
            return Err(ApiError::NotFound(format!("Cloud {} not found", cloud.name)));
        }
        Ok(Cloud { name, ..cloud.clone() })
    }

    /// Deletes a cloud with all that it has; gives blobs that no row names any longer, which are on the garbage list.
    pub async fn delete(&self, cloud: &Cloud, force: bool) -> Result<Vec<BlobKey>, ApiError> {
        let assets = self.library.count_assets(&cloud.id).await?;
        if assets >= MANY_ASSETS && !force {
            let message =
                format!("cloud {} has {assets} assets: {MANY_ASSETS} or more are only deleted by force", cloud.name);
            return Err(ApiError::BadRequest(message));
        }
        // Nobody uploads to it any longer.
        for key in self.catalog.api_keys(&cloud.id).await? {
            self.library.change_key(&cloud.id, &key.key, KeyChange::Enable(false), true).await?;
        }
        let mut freed = Vec::new();
        loop {
            let (erased, blobs) = self.library.erase_assets(&cloud.id, ERASE_AT_ONCE).await?;
            freed.extend(blobs);
            if erased > 0 {
                continue;
            }
            match self.library.remove_cloud(&cloud.id).await? {
                CloudRemoval::Done(blobs) => freed.extend(blobs),
                // An upload that was accepted before.
                CloudRemoval::NotEmpty => continue,
                CloudRemoval::Missing => {}
            }
            return Ok(freed);
        }
    }

    /// The keys of a cloud, oldest first.
    pub async fn keys(&self, cloud: &Cloud) -> Result<Vec<NamedKey>, ApiError> {
        let keys = self.catalog.api_keys(&cloud.id).await?;
        let labels = self.library.key_labels(&cloud.id).await?;
        let named = keys.into_iter().map(|key| {
            let label = labels.iter().find(|label| label.key == key.key);
            NamedKey {
                name: label.map(|label| label.name.clone()).unwrap_or_default(),
                updated_at: label.and_then(|label| label.updated_at).unwrap_or(key.created_at),
                key,
            }
        });
        Ok(named.collect())
    }

    async fn key(&self, cloud: &Cloud, key: &str) -> Result<NamedKey, ApiError> {
        let found = self.keys(cloud).await?.into_iter().find(|found| found.key.key == key);
        found.ok_or_else(|| unknown_key(key))
    }

    pub async fn create_key(&self, cloud: &Cloud, name: &str, enabled: bool) -> Result<NamedKey, ApiError> {
        check_key_name(name)?;
        let key = ApiKey { enabled, ..ApiKey::random(cloud.id.clone()) };
        self.catalog.add_api_key(&key).await.map_err(taken)?;
        if !name.is_empty() {
            self.library.change_key(&cloud.id, &key.key, KeyChange::Name(name.to_owned()), true).await?;
        }
        self.key(cloud, &key.key).await
    }

    /// Changes what is given. Calls with a key that is switched off are refused from then on, on every node.
    pub async fn update_key(
        &self,
        cloud: &Cloud,
        key: &str,
        enabled: Option<bool>,
        name: Option<&str>,
        force: bool,
    ) -> Result<NamedKey, ApiError> {
        if let Some(name) = name {
            check_key_name(name)?;
            done(key, self.library.change_key(&cloud.id, key, KeyChange::Name(name.to_owned()), force).await?)?;
        }
        if let Some(enabled) = enabled {
            done(key, self.library.change_key(&cloud.id, key, KeyChange::Enable(enabled), force).await?)?;
        }
        self.key(cloud, key).await
    }

    pub async fn delete_key(&self, cloud: &Cloud, key: &str, force: bool) -> Result<(), ApiError> {
        done(key, self.library.change_key(&cloud.id, key, KeyChange::Remove, force).await?)
    }
}

fn check_key_name(name: &str) -> Result<(), ApiError> {
    match name.len() > MAX_KEY_NAME_BYTES {
        true => Err(ApiError::BadRequest("The name of the key is too long".to_owned())),
        false => Ok(()),
    }
}

fn unknown_key(key: &str) -> ApiError {
    ApiError::NotFound(format!("Cannot find access key {}", shown(key)))
}

fn done(key: &str, outcome: KeyOutcome) -> Result<(), ApiError> {
    match outcome {
        KeyOutcome::Done => Ok(()),
        KeyOutcome::Missing => Err(unknown_key(key)),
        KeyOutcome::LastEnabled => {
            Err(ApiError::BadRequest(format!("{} is the last enabled key of its cloud", shown(key))))
        }
    }
}
