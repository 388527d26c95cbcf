//! Settings of one cloud.

use crate::catalog::Catalog;
use crate::domain::CloudId;
use crate::service::call::ApiError;
use serde::{Deserialize, Serialize};

/// Where an asset lies: in the folder that its public id spells, or in one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FolderMode {
    Fixed,
    /// What new accounts of Cloudinary have.
    #[default]
    Dynamic,
}

impl FolderMode {
    pub const fn as_str(self) -> &'static str {
        match self {
            FolderMode::Fixed => "fixed",
            FolderMode::Dynamic => "dynamic",
        }
    }
}

/// What an operator can set for a cloud.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CloudSettings {
    pub folder_mode: FolderMode,
    /// Keep every upload as a backup, unless the call says otherwise.
    pub backup: bool,
    /// Only transformations that are allowed, or in a signed address, are made.
    pub strict_transformations: bool,
    /// Whether anyone may list the assets of a tag.
    pub client_lists: bool,
    /// Key of the auth tokens of delivery, in hexadecimal; without one no token opens anything.
    pub auth_token_key: Option<String>,
    /// Addresses that are told of every event.
    pub notification_urls: Vec<String>,
    /// Most bytes of originals and derived pictures; an upload that goes beyond is refused.
    pub max_storage_bytes: Option<u64>,
    /// Most assets; an upload that makes one more is refused.
    pub max_assets: Option<u64>,
    /// What people call the cloud, where that is not its name.
    pub title: Option<String>,
    /// What clients of the provisioning API keep with the cloud.
    pub custom_attributes: serde_json::Map<String, serde_json::Value>,
}

fn name(cloud: &CloudId) -> String {
    format!("cloud.{cloud}")
}

impl CloudSettings {
    /// Whether anything limits what the cloud may store.
    pub fn has_quota(&self) -> bool {
        self.max_storage_bytes.is_some() || self.max_assets.is_some()
    }

    /// The settings of a cloud; the defaults where nothing was ever set.
    pub async fn load(catalog: &dyn Catalog, cloud: &CloudId) -> Result<Self, ApiError> {
        match catalog.setting(&name(cloud)).await? {
            None => Ok(CloudSettings::default()),
            Some(text) => serde_json::from_str(&text)
                .map_err(|error| ApiError::Internal(format!("the settings of cloud {cloud}: {error}"))),
        }
    }

    pub async fn save(&self, catalog: &dyn Catalog, cloud: &CloudId) -> Result<(), ApiError> {
        let text = serde_json::to_string(self).map_err(|error| ApiError::Internal(error.to_string()))?;
        Ok(catalog.set_setting(&name(cloud), &text).await?)
    }
}
