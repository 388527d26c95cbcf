//! Who calls the upload API: the cloud, and the key pair that proves it.

use crate::auth::basic::{Authorization, AuthorizationError, parse_authorization};
use crate::auth::signature::{self, SignatureError, SignaturePolicy};
use crate::catalog::{Catalog, CatalogError};
use crate::domain::{ApiKey, Cloud, CloudName};

/// A caller that proved to know a secret of the cloud.
#[derive(Debug, Clone)]
pub struct Caller {
    pub cloud: Cloud,
    pub key: ApiKey,
}

/// Why a call is refused. The texts are those that clients of Cloudinary know.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("Invalid cloud_name {0}")]
    UnknownCloud(String),
    #[error("Unknown API key {0}")]
    UnknownKey(String),
    #[error("cloud_name mismatch")]
    OtherCloud,
    #[error("api_secret mismatch")]
    WrongSecret,
    #[error("disabled api_key")]
    DisabledKey,
    #[error("Invalid token")]
    InvalidToken,
    /// The Admin API needs credentials in a header.
    #[error("Invalid credentials")]
    MissingHeader,
    #[error("Invalid credentials: {0}")]
    InvalidHeader(#[from] AuthorizationError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("Missing required parameter - api_key")]
    MissingKey,
    #[error("Upload preset must be specified when using unsigned upload")]
    MissingPreset,
    #[error("Upload preset not found")]
    UnknownPreset,
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// The cloud of that name.
pub async fn find_cloud(catalog: &dyn Catalog, name: &str) -> Result<Cloud, AccessError> {
    let unknown = || AccessError::UnknownCloud(name.chars().take(64).collect());
    let valid = CloudName::new(name).map_err(|_| unknown())?;
    catalog.cloud_by_name(&valid).await?.ok_or_else(unknown)
}

/// Checks the proof of a call to the upload API: HTTP Basic before a signature; neither means an unsigned call.
///
/// `now_s` is in Unix seconds.
pub async fn authorize(
    catalog: &dyn Catalog,
    cloud: &Cloud,
    authorization: Option<&str>,
    params: &[(String, String)],
    is_known: impl Fn(&str) -> bool,
    policy: SignaturePolicy,
    now_s: i64,
) -> Result<Caller, AccessError> {
    if let Some(header) = authorization {
        return match parse_authorization(header)? {
            Authorization::Bearer => Err(AccessError::InvalidToken),
            Authorization::Basic(credentials) => {
                let key = find_key(catalog, cloud, &credentials.api_key).await?;
                if !signature::equal(key.secret.expose(), &credentials.api_secret) {
                    return Err(AccessError::WrongSecret);
                }
                Ok(Caller { cloud: cloud.clone(), key })
            }
        };
    }
    let Some(received) = param(params, "signature") else {
        return Err(match param(params, "upload_preset") {
            Some(_) => AccessError::UnknownPreset,
            None => AccessError::MissingPreset,
        });
    };
    let api_key = param(params, "api_key").ok_or(AccessError::MissingKey)?;
    let key = find_key(catalog, cloud, api_key).await?;
    signature::verify_params(params, is_known, received, key.secret.expose(), policy)?;
    signature::verify_timestamp(param(params, "timestamp"), now_s)?;
    Ok(Caller { cloud: cloud.clone(), key })
}

async fn find_key(catalog: &dyn Catalog, cloud: &Cloud, name: &str) -> Result<ApiKey, AccessError> {
    let unknown = || AccessError::UnknownKey(name.chars().take(64).collect());
    if name.is_empty() || name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unknown());
    }
    let key = catalog.api_key(name).await?.ok_or_else(unknown)?;
    if key.cloud != cloud.id {
        return Err(AccessError::OtherCloud);
    }
    if !key.enabled {
        return Err(AccessError::DisabledKey);
    }
    Ok(key)
}

/// The last value that is not empty.
fn param<'a>(params: &'a [(String, String)], name: &str) -> Option<&'a str> {
    params.iter().rev().find(|(found, value)| found == name && !value.is_empty()).map(|(_, value)| value.as_str())
}
