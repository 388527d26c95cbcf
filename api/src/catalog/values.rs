//! Values between rows and nouns, the same for every database.

use super::{CatalogError, Result};
use crate::domain::{InvalidValue, Region};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value as explicit JSON text.
pub(super) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| CatalogError::Internal { operation: "write JSON", detail: error.to_string() })
}

/// A value from JSON text that this program wrote.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| CatalogError::Corrupt(format!("a JSON column: {error}")))
}

/// A number as both databases hold it.
pub(super) fn to_i64(what: &'static str, value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| CatalogError::Invalid { what, reason: "it is beyond 63 bits" })
}

/// A count from a column that is never negative.
pub(super) fn to_u64(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| CatalogError::Corrupt(format!("the count {value} is negative")))
}

/// A number of at most 32 bits from a column.
pub(super) fn to_u32(value: i64) -> Result<u32> {
    u32::try_from(value).map_err(|_| CatalogError::Corrupt(format!("the number {value} is out of range")))
}

/// Text without NUL, which PostgreSQL cannot hold; refused by both so that they agree.
pub(super) fn text<'a>(what: &'static str, value: &'a str) -> Result<&'a str> {
    if value.contains('\0') { Err(CatalogError::Invalid { what, reason: "it has a NUL character" }) } else { Ok(value) }
}

/// A value that broke the rule of its type on the way through the database.
pub(super) fn corrupt(error: InvalidValue) -> CatalogError {
    CatalogError::Corrupt(error.to_string())
}

/// Coordinates that are `null` in JSON stand for "nobody has looked".
pub(super) type Faces = Option<Vec<Region>>;
