//! Lists that browsers fetch from the delivery host: searches whose address is signed, and the assets of a tag.

use super::super::access::{self, Caller};
use crate::auth::signature;
use crate::catalog::library::{AssetFilter, Selection};
use crate::domain::{Asset, ResourceType, Timestamp};
use crate::service::call::{ApiError, Params};
use crate::service::library::LibraryService;
use crate::service::library::view::iso_time;
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Longest time that a search may be cached: a year.
const MAX_TTL_S: u64 = 31_536_000;
/// Most assets of a client-side list.
const MAX_LISTED: usize = 1000;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A search as its address spells it, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedSearch {
    pub cloud: String,
    /// SHA-256 of `ttl`, `query` and the secret, in hexadecimal.
    pub signature: String,
    /// Seconds that caches may keep the answer.
    pub ttl: String,
    /// The JSON of the search without its cursor, in URL-safe base64.
    pub query: String,
    pub cursor: Option<String>,
}

/// A list of the assets that carry a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientList {
    pub cloud: String,
    /// `None` means any.
    pub resource_type: Option<ResourceType>,
    /// The delivery signature without `s--` and `--`, if there is one.
    pub signature: Option<String>,
    pub tag: String,
}

/// The signature of a search's address.
fn sign_search(ttl: &str, query: &str, secret: &str) -> String {
    hex::encode(Sha256::digest(format!("{ttl}{query}{secret}").as_bytes()))
}

/// The parameters of a search from their JSON.
fn params(query: &str, cursor: Option<&str>) -> Option<Params> {
    let Value::Object(fields) = serde_json::from_slice(&BASE64.decode(query).ok()?).ok()? else { return None };
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let mut pairs = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::Array(entries) => pairs.extend(entries.into_iter().map(|entry| (format!("{name}[]"), text(entry)))),
            other => pairs.push((name, text(other))),
        }
    }
    pairs.retain(|(name, _)| name != "next_cursor");
    pairs.extend(cursor.map(|cursor| ("next_cursor".to_owned(), cursor.to_owned())));
    Some(pairs.into())
}

impl LibraryService {
    /// The answer of a search whose address is signed, and for how many seconds it may be cached. The secret of any
    /// enabled key will do.
    pub async fn signed_search(&self, search: &SignedSearch) -> Result<(Value, u64), ApiError> {
        let catalog = &*self.parts().catalog;
        let cloud = access::find_cloud(catalog, &search.cloud).await?;
        let mut signer = None;
        for key in catalog.api_keys(&cloud.id).await?.into_iter().filter(|key| key.enabled) {
            let wanted = sign_search(&search.ttl, &search.query, key.secret.expose());
            if signature::equal(&wanted, &search.signature) && signer.is_none() {
                signer = Some(key);
            }
        }
        let key = signer.ok_or_else(|| ApiError::Unauthorized("Invalid search signature".to_owned()))?;
        let ttl: u64 = search.ttl.parse().map_err(|_| ApiError::invalid("ttl", &search.ttl))?;
        let params = params(&search.query, search.cursor.as_deref())
            .ok_or_else(|| ApiError::BadRequest("The search query cannot be read".to_owned()))?;
        let answer = self.search(&Caller { cloud, key }, &params).await?;
        Ok((answer, ttl.min(MAX_TTL_S)))
    }

    /// The newest assets of a tag, where the cloud's settings open such lists or the address is signed.
    pub async fn client_list(&self, list: &ClientList) -> Result<Value, ApiError> {
        let catalog = &*self.parts().catalog;
        let cloud = access::find_cloud(catalog, &list.cloud).await?;
        let signed = match &list.signature {
            None => false,
            Some(text) => {
                let keys = catalog.api_keys(&cloud.id).await?;
                let secrets = keys.iter().filter(|key| key.enabled).map(|key| key.secret.expose());
                signature::verify_url(&[format!("{}.json", list.tag)], text, secrets)
            }
        };
        if !signed && !self.settings_of(&cloud).await?.client_lists {
            return Err(ApiError::Unauthorized("Resource lists are restricted in this cloud".to_owned()));
        }
        let mut filter = AssetFilter::all(cloud.id);
        filter.resource_type = list.resource_type;
        filter.selection = Selection::Tag(list.tag.clone());
        let (mut assets, mut after): (Vec<Asset>, _) = (Vec::new(), None);
        while assets.len() < MAX_LISTED {
            let page = self.library().list(&filter, 500, after).await?;
            assets.extend(page.assets);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let resources: Vec<Value> = assets.iter().map(listed).collect();
        Ok(json!({ "resources": resources, "updated_at": iso_time(Timestamp::now()) }))
    }
}

fn listed(asset: &Asset) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    put("public_id", json!(asset.key.public_id.as_str()));
    put("version", json!(asset.version));
    put("format", json!(asset.format));
    if asset.upright_size.width > 0 {
        put("width", json!(asset.upright_size.width));
        put("height", json!(asset.upright_size.height));
    }
    put("type", json!(asset.key.delivery_type.as_str()));
    put("created_at", json!(iso_time(asset.created_at)));
    if !asset.context.is_empty() {
        put("context", json!({ "custom": asset.context }));
    }
    if !asset.metadata.is_empty() {
        put("metadata", Value::Object(asset.metadata.clone()));
    }
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const QUERY: &str = "eyJleHByZXNzaW9uIjoicmVzb3VyY2VfdHlwZTppbWFnZSIsIm1heF9yZXN1bHRzIjo1fQ==";

    #[test]
    fn the_signature_matches_the_vector() {
        let wanted = "8c14439ff3fb9ee995b62ce43dcf9f04daebb0eb586b3282a9da5a1e8499731c";
        assert_eq!(sign_search("300", QUERY, "s3cr3t"), wanted);
    }

    #[test]
    fn queries_are_read_with_and_without_padding() {
        for query in [QUERY, QUERY.trim_end_matches('=')] {
            let params = params(query, Some("next")).unwrap();
            assert_eq!(params.text("expression"), Some("resource_type:image"));
            assert_eq!(params.number("max_results").unwrap(), Some(5));
            assert_eq!(params.text("next_cursor"), Some("next"));
        }
        assert!(params("W10=", None).is_none() && params("!", None).is_none() && params("e30", None).is_some());
    }
}
