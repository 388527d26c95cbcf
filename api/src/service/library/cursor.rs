//! Cursors as clients see them: opaque texts.

use crate::catalog::library::{DerivedCursor, LibraryCursor};
use crate::domain::{AssetId, Timestamp};
use crate::service::call::{ApiError, Params};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

fn decode(text: &str) -> Result<String, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ApiError::invalid_cursor())?;
    String::from_utf8(bytes).map_err(|_| ApiError::invalid_cursor())
}

/// The text that a page of names goes on behind; empty at the beginning.
pub fn read_text(params: &Params) -> Result<String, ApiError> {
    match params.text("next_cursor") {
        None => Ok(String::new()),
        Some(cursor) => decode(cursor)?.strip_prefix("n:").map(str::to_owned).ok_or_else(ApiError::invalid_cursor),
    }
}

pub fn write_text(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("n:{name}"))
}

/// Where a list of assets goes on.
pub fn read_assets(params: &Params) -> Result<Option<LibraryCursor>, ApiError> {
    let Some(cursor) = params.text("next_cursor") else { return Ok(None) };
    let text = decode(cursor)?;
    let parsed = text.strip_prefix("a:").and_then(|rest| rest.split_once(':')).and_then(|(created_at, id)| {
        Some(LibraryCursor {
            created_at: Timestamp::from_unix_micros(created_at.parse().ok()?),
            id: AssetId::new(id).ok()?,
        })
    });
    parsed.map(Some).ok_or_else(ApiError::invalid_cursor)
}

pub fn write_assets(cursor: &LibraryCursor) -> String {
    URL_SAFE_NO_PAD.encode(format!("a:{}:{}", cursor.created_at.unix_micros(), cursor.id))
}

/// Where a list of derived pictures goes on, in the parameter `name`.
pub fn read_derived(params: &Params, name: &str) -> Result<Option<DerivedCursor>, ApiError> {
    let Some(cursor) = params.text(name) else { return Ok(None) };
    let text = decode(cursor)?;
    let parsed = text.strip_prefix("d:").and_then(|rest| rest.split_once(':')).and_then(|(created_at, key)| {
        Some(DerivedCursor { created_at: Timestamp::from_unix_micros(created_at.parse().ok()?), key: key.to_owned() })
    });
    parsed.map(Some).ok_or_else(ApiError::invalid_cursor)
}

pub fn write_derived(cursor: &DerivedCursor) -> String {
    URL_SAFE_NO_PAD.encode(format!("d:{}:{}", cursor.created_at.unix_micros(), cursor.key))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn with(cursor: &str) -> Params {
        vec![("next_cursor".to_owned(), cursor.to_owned())].into()
    }

    #[test]
    fn cursors_come_back_and_others_are_refused() {
        let cursor = LibraryCursor { created_at: Timestamp::from_unix_micros(-5), id: AssetId::random() };
        assert_eq!(read_assets(&with(&write_assets(&cursor))).unwrap(), Some(cursor));
        assert_eq!(read_text(&with(&write_text("a:b"))).unwrap(), "a:b");
        assert_eq!(read_assets(&with("")).unwrap(), None);
        for wrong in ["x", "!!!", &write_text("n"), "YTox"] {
            assert!(read_assets(&with(wrong)).is_err(), "{wrong}");
        }
        assert!(read_text(&with("YTox")).is_err());
    }
}
