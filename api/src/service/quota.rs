//! What a cloud may store at most.

use super::call::ApiError;
use super::library::CloudSettings;
use crate::catalog::Catalog;
use crate::domain::{Asset, Cloud, Day};

/// Refuses an upload of `bytes` that takes a cloud beyond its limits. `old` is the asset that it overwrites. Uploads that
/// arrive at the same time do not see each other, so that a cloud may end up beyond by what was on its way.
pub async fn check(
    catalog: &dyn Catalog,
    cloud: &Cloud,
    settings: &CloudSettings,
    bytes: u64,
    old: Option<&Asset>,
) -> Result<(), ApiError> {
    if !settings.has_quota() {
        return Ok(());
    }
    let used = catalog.usage(&cloud.id, Day::today()).await?;
    if let Some(most) = settings.max_assets
        && old.is_none()
        && used.objects >= most
    {
        return Err(ApiError::OverQuota(format!("Asset limit exceeded. Limit of {most} assets reached.")));
    }
    let stored = used.storage_bytes.saturating_sub(old.map_or(0, |asset| asset.bytes)).saturating_add(bytes);
    match settings.max_storage_bytes {
        Some(most) if stored > most => {
            Err(ApiError::OverQuota(format!("Storage limit exceeded. Limit of {most} bytes reached.")))
        }
        _ => Ok(()),
    }
}

/// How much of a limit is used, to two places.
pub fn used_percent(used: u64, limit: u64) -> f64 {
    match limit {
        0 => 100.0,
        limit => (used as f64 / limit as f64 * 10_000.0).round() / 100.0,
    }
}
