//! Cursors of searches: opaque texts that know which search they belong to and when it began.

use crate::catalog::library::{Folder, SearchCursor, SortKey, SortValue};
use crate::domain::{AssetId, CloudId, Timestamp};
use crate::search::Expression;
use crate::service::call::{ApiError, Params};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Tells searches apart: a cursor of one is refused by another.
pub fn fingerprint(kind: &str, cloud: &CloudId, expression: &Expression, sort: &[String]) -> String {
    let text = format!("{kind}\n{cloud}\n{}\n{expression}", sort.join(","));
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Sorted {
    Number(i64),
    Text(String),
}

/// Fingerprint, Unix microseconds of the first page, values that were sorted by, id.
#[derive(Serialize, Deserialize)]
struct Assets(String, i64, Vec<Sorted>, String);

/// Fingerprint, Unix microseconds of the first page; name, path and creation of the last folder.
#[derive(Serialize, Deserialize)]
struct Folders(String, i64, String, String, i64);

fn encode(value: &impl Serialize) -> String {
    // Texts and numbers always become JSON.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default())
}

fn decode<T: for<'d> Deserialize<'d>>(params: &Params) -> Result<Option<T>, ApiError> {
    let Some(text) = params.text("next_cursor") else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ApiError::invalid_cursor())?;
    serde_json::from_slice(&bytes).map(Some).map_err(|_| ApiError::invalid_cursor())
}

pub fn write_assets(fingerprint: &str, now: Timestamp, cursor: &SearchCursor) -> String {
    let value = |value: &SortValue| match value {
        SortValue::Number(number) => Sorted::Number(*number),
        SortValue::Text(text) => Sorted::Text(text.clone()),
    };
    let values = cursor.values.iter().map(value).collect();
    encode(&Assets(fingerprint.to_owned(), now.unix_micros(), values, cursor.id.to_string()))
}

/// When the search began, and where it goes on.
pub fn read_assets(
    params: &Params,
    fingerprint: &str,
    sort: &[SortKey],
) -> Result<Option<(Timestamp, SearchCursor)>, ApiError> {
    let Some(Assets(of, now, values, id)) = decode(params)? else { return Ok(None) };
    let value = |value: Sorted| match value {
        Sorted::Number(number) => SortValue::Number(number),
        Sorted::Text(text) => SortValue::Text(text),
    };
    let values: Vec<SortValue> = values.into_iter().map(value).collect();
    let fits = values.len() == sort.len() && sort.iter().zip(&values).all(|(key, value)| key.fits(value));
    if of != fingerprint || !fits {
        return Err(ApiError::invalid_cursor());
    }
    let id = AssetId::new(id).map_err(|_| ApiError::invalid_cursor())?;
    Ok(Some((Timestamp::from_unix_micros(now), SearchCursor { values, id })))
}

pub fn write_folders(fingerprint: &str, now: Timestamp, last: &Folder) -> String {
    let created_at = last.created_at.unix_micros();
    encode(&Folders(fingerprint.to_owned(), now.unix_micros(), last.name.clone(), last.path.clone(), created_at))
}

/// When the search began, and the folder that it goes on behind.
pub fn read_folders(params: &Params, fingerprint: &str) -> Result<Option<(Timestamp, Folder)>, ApiError> {
    let Some(Folders(of, now, name, path, created_at)) = decode(params)? else { return Ok(None) };
    if of != fingerprint {
        return Err(ApiError::invalid_cursor());
    }
    let created_at = Timestamp::from_unix_micros(created_at);
    Ok(Some((Timestamp::from_unix_micros(now), Folder { path, name, external_id: String::new(), created_at })))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::search::{NumberColumn, SortColumn, TextColumn, parse};

    #[test]
    fn cursors_come_back_to_their_search_only() {
        let cloud = CloudId::random();
        let of = |text: &str| fingerprint("assets", &cloud, &parse(text).unwrap(), &["a".to_owned()]);
        assert_eq!(of("a  AND b"), of("a b"), "spelling does not matter");
        assert_ne!(of("a"), of("b"));
        let key = |column| SortKey { column, descending: true };
        let sort = [key(SortColumn::Text(TextColumn::PublicId)), key(SortColumn::Number(NumberColumn::Bytes))];
        let values = vec![SortValue::Text("ü\"".into()), SortValue::Number(i64::MIN)];
        let cursor = SearchCursor { values, id: AssetId::random() };
        let now = Timestamp::from_unix_micros(7);
        let with = |text: &str| Params::from(vec![("next_cursor".to_owned(), text.to_owned())]);
        let text = write_assets(&of("a"), now, &cursor);
        assert_eq!(read_assets(&with(&text), &of("a"), &sort).unwrap(), Some((now, cursor)));
        assert!(read_assets(&with(&text), &of("b"), &sort).is_err());
        assert!(read_assets(&with(&text), &of("a"), &sort[..1]).is_err());
        assert!(read_assets(&with(&text), &of("a"), &[sort[1], sort[0]]).is_err());
        assert!(read_assets(&with(&text[..20]), &of("a"), &sort).is_err());
        assert!(read_assets(&with("ü"), &of("a"), &sort).is_err());
        assert_eq!(read_assets(&with(""), &of("a"), &sort).unwrap(), None);
    }
}
