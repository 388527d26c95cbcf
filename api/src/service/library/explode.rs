//! `explode` (api.md 3.15): the pages of a file as pictures of their own.

use super::LibraryService;
use crate::domain::{AssetKey, ResourceType};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use serde_json::Value;

impl LibraryService {
    /// `explode`: every original that can be stored as an image has one page yet, so that there is nothing to take apart;
    /// the answer says so by name.
    pub async fn explode(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let key = AssetKey {
            cloud: caller.cloud.id.clone(),
            resource_type: ResourceType::Image,
            delivery_type: params.delivery_type()?,
            public_id: params.public_id("public_id")?,
        };
        let transformation = params.required("transformation")?;
        if !transformation.split(['/', ',']).any(|part| part == "pg_all") {
            return Err(ApiError::BadRequest("Missing required parameter - page should be \"all\"".to_owned()));
        }
        let asset = self.asset(&key).await?;
        if asset.placeholder {
            return Err(ApiError::missing_resource(key.public_id.as_str()));
        }
        Err(ApiError::BadRequest(format!("explode of {} files is not supported by this server yet", asset.format)))
    }
}
