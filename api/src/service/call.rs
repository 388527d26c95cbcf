//! One call of the API: its parameters, merged from query and body, and what can be wrong with it.

use super::access::AccessError;
use super::upload::UploadError;
use crate::auth::signature::list_name;
use crate::catalog::CatalogError;
use crate::domain::{DeliveryType, PublicId, ResourceType};
use crate::storage::StorageError;
use serde_json::Value;

/// Most entries of one page.
pub const MAX_RESULTS: u32 = 500;

/// Why a call of the API is refused. The texts are those that clients of Cloudinary know (api.md 5).
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    /// An add-on that this server does not have.
    #[error("{0}")]
    NotSubscribed(String),
    /// A limit that the operator set for the cloud.
    #[error("{0}")]
    OverQuota(String),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Ours. The text is for the log.
    #[error("{0}")]
    Internal(String),
}

impl ApiError {
    pub fn missing_resource(public_id: &str) -> Self {
        ApiError::NotFound(format!("Resource not found - {}", shown(public_id)))
    }

    pub fn missing_param(name: &str) -> Self {
        ApiError::BadRequest(format!("Missing required parameter - {name}"))
    }

    pub fn invalid(name: &str, value: &str) -> Self {
        ApiError::BadRequest(format!("Invalid value {} for parameter {name}", shown(value)))
    }

    /// A cursor that no earlier answer gave.
    pub fn invalid_cursor() -> Self {
        ApiError::BadRequest("Invalid value for parameter next_cursor".to_owned())
    }
}

/// The beginning of a text from outside, for messages.
pub fn shown(text: &str) -> String {
    text.chars().take(300).collect()
}

/// Parameters of a call, in the order received. `name`, repeated `name`, `name[]` and `name[0]` are one list; nested JSON
/// is its text; a parameter without a value is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params(Vec<(String, String)>);

impl From<Vec<(String, String)>> for Params {
    fn from(pairs: Vec<(String, String)>) -> Self {
        Params(pairs)
    }
}

impl Params {
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Whether the parameter was sent at all, also without a value.
    pub fn sent(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| list_name(found) == name)
    }

    /// The last value that is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().rev().filter(|(found, value)| list_name(found) == name && !value.is_empty());
        found.next().map(|(_, value)| value.as_str())
    }

    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name).ok_or_else(|| ApiError::missing_param(name))
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name) {
            None => Ok(None),
            Some("1" | "true" | "True") => Ok(Some(true)),
            Some("0" | "false" | "False") => Ok(Some(false)),
            Some(other) => Err(ApiError::invalid(name, other)),
        }
    }

    /// A flag that is false unless it was sent.
    pub fn is_set(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.flag(name)?.unwrap_or(false))
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parse = |text: &str| text.trim().parse().map_err(|_| ApiError::invalid(name, text));
        self.text(name).map(parse).transpose()
    }

    /// All values of a list, whole: commas do not divide them.
    pub fn values(&self, name: &str) -> Vec<String> {
        let found = self.0.iter().filter(|(found, value)| list_name(found) == name && !value.is_empty());
        found.map(|(_, value)| value.clone()).collect()
    }

    /// All values of a list in which commas divide too: trimmed, each once.
    pub fn list(&self, name: &str) -> Vec<String> {
        let mut list: Vec<String> = Vec::new();
        for value in self.values(name) {
            for entry in value.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
                if !list.iter().any(|known| known == entry) {
                    list.push(entry.to_owned());
                }
            }
        }
        list
    }

    /// A value that is JSON text.
    pub fn json(&self, name: &str) -> Result<Option<Value>, ApiError> {
        let parse = |text: &str| serde_json::from_str(text).map_err(|_| ApiError::invalid(name, text));
        self.text(name).map(parse).transpose()
    }

    /// A list whose entries are JSON texts, or one JSON text that is a list.
    pub fn json_list(&self, name: &str) -> Result<Vec<Value>, ApiError> {
        let mut entries = Vec::new();
        for text in self.values(name) {
            match serde_json::from_str(&text) {
                Ok(Value::Array(inner)) => entries.extend(inner),
                Ok(value) => entries.push(value),
                Err(_) => return Err(ApiError::invalid(name, &text)),
            }
        }
        Ok(entries)
    }

    /// How many entries a page is to have: clamped to 1 and [`MAX_RESULTS`].
    pub fn max_results(&self, default: u32) -> Result<u32, ApiError> {
        let wanted = self.number("max_results")?.unwrap_or(default.into());
        Ok(u32::try_from(wanted.clamp(1, MAX_RESULTS.into())).unwrap_or(default))
    }

    /// The delivery type; `upload` unless it was sent.
    pub fn delivery_type(&self) -> Result<DeliveryType, ApiError> {
        match self.text("type") {
            None => Ok(DeliveryType::Upload),
            Some(text) => text.parse().map_err(|_| ApiError::invalid("type", text)),
        }
    }

    /// A public id that has to be sent.
    pub fn public_id(&self, name: &str) -> Result<PublicId, ApiError> {
        let text = self.required(name)?;
        PublicId::new(text).map_err(|_| ApiError::BadRequest(format!("{name} ({}) is invalid", shown(text))))
    }
}

/// A part of a path that names a resource type.
pub fn resource_type(text: &str) -> Result<ResourceType, ApiError> {
    text.parse().map_err(|_| ApiError::BadRequest(format!("Invalid resource type {}", shown(text))))
}

/// A part of a path that names a delivery type.
pub fn delivery_type(text: &str) -> Result<DeliveryType, ApiError> {
    text.parse().map_err(|_| ApiError::BadRequest(format!("Invalid type {}", shown(text))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>().into()
    }

    #[test]
    fn lists_have_many_spellings() {
        let given = params(&[("a", "1,2"), ("a[]", "3"), ("a[7]", " 2 "), ("b", ""), ("c", "x")]);
        assert_eq!(given.list("a"), ["1", "2", "3"]);
        assert_eq!(given.values("a"), ["1,2", "3", " 2 "]);
        assert!(given.sent("b") && given.text("b").is_none() && given.list("b").is_empty());
        assert!(!given.sent("d"));
    }

    #[test]
    fn values_have_types() {
        let given = params(&[("f", "true"), ("g", "0"), ("n", "700"), ("m", "-3"), ("j", r#"[{"a":"desc"}]"#)]);
        assert_eq!(
            (given.flag("f").unwrap(), given.flag("g").unwrap(), given.flag("x").unwrap()),
            (Some(true), Some(false), None)
        );
        assert!(given.flag("n").is_err() && given.number("j").is_err());
        assert_eq!(given.json_list("j").unwrap(), [serde_json::json!({ "a": "desc" })]);
        assert_eq!(params(&[("max_results", "700")]).max_results(10).unwrap(), 500);
        assert_eq!(params(&[("max_results", "0")]).max_results(10).unwrap(), 1);
        assert_eq!(params(&[]).max_results(10).unwrap(), 10);
        assert!(params(&[]).required("public_id").is_err());
    }
}
