//! Records as columns, the same in both databases: which columns there are, what they hold, and how they become the
//! domain's types again. A stored value that breaks a rule of its type is reported, never repaired.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use super::{AssetCursor, AssetPage, CatalogError, Result};
use crate::domain::{
    ApiKey, Asset, AssetKey, AssetVersion, BlobKey, Cloud, Derived, NewAsset, Orientation, PixelSize, Region,
    ResourceType, Timestamp, Usage, UsageDelta,
};

pub(super) const CLOUD_COLUMNS: &str = "id, name, created_at";
pub(super) const API_KEY_COLUMNS: &str = "key, cloud, sealed_secret, enabled, created_at";
pub(super) const ASSET_COLUMNS: &str = "id, cloud, resource_type, delivery_type, public_id, version, version_id, \
     format, stored_width, stored_height, orientation, has_alpha, bytes, etag, blob, created_at, uploaded_at, \
     original_filename, tags, context, faces, face_coordinates, custom_coordinates, api_key, access_mode, asset_folder, \
     display_name, metadata, details, updated_at, placeholder, backed_up, pages, duration_ms";
pub(super) const DERIVED_COLUMNS: &str = "key, asset, version_id, transformation, format, width, height, bytes, etag, \
     blob, created_at, last_used_at, renderer_revision, profile, backend, quality, has_alpha";

/// What a column holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    OptionalText(Option<String>),
    Number(i64),
    OptionalNumber(Option<i64>),
    Flag(bool),
    Bytes(Vec<u8>),
    /// What an answer holds where there is no value; never a parameter, for it has no type.
    Null,
}

/// One row of an answer, read by the position of a column.
pub(super) trait Columns {
    type Error: From<CatalogError>;
    fn text(&self, column: usize) -> std::result::Result<String, Self::Error>;
    fn optional_text(&self, column: usize) -> std::result::Result<Option<String>, Self::Error>;
    fn number(&self, column: usize) -> std::result::Result<i64, Self::Error>;
    fn optional_number(&self, column: usize) -> std::result::Result<Option<i64>, Self::Error>;
    fn flag(&self, column: usize) -> std::result::Result<bool, Self::Error>;
    fn bytes(&self, column: usize) -> std::result::Result<Vec<u8>, Self::Error>;
}

/// A text without NUL, which PostgreSQL cannot hold.
pub(super) fn text(what: &'static str, text: &str) -> Result<String> {
    if text.contains('\0') {
        return Err(CatalogError::Invalid { what, reason: "it has a NUL character" });
    }
    Ok(text.to_owned())
}

/// A count that fits the databases' signed integers.
pub(super) fn number(what: &'static str, number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| CatalogError::Invalid { what, reason: "it is beyond 63 bits" })
}

fn corrupt(what: impl Display, reason: impl Display) -> CatalogError {
    CatalogError::Corrupt(format!("{what}: {reason}"))
}

/// A stored text as the type that it was made from.
pub(super) fn parsed<T: FromStr<Err: Display>>(what: &'static str, text: &str) -> Result<T> {
    text.parse().map_err(|error| corrupt(what, error))
}

/// A stored number as an unsigned type of the domain.
pub(super) fn unsigned<T: TryFrom<i64>>(what: &'static str, number: i64) -> Result<T> {
    T::try_from(number).map_err(|_| corrupt(what, format!("{number} is out of range")))
}

/// Regions as JSON: `[[x,y,w,h],…]`. Numbers are printed so that they come back bit by bit.
fn regions_to_json(what: &'static str, regions: &[Region]) -> Result<String> {
    if !regions.iter().flatten().all(|number| number.is_finite()) {
        return Err(CatalogError::Invalid { what, reason: "a coordinate is not a finite number" });
    }
    let one = |[x, y, w, h]: &Region| format!("[{x:?},{y:?},{w:?},{h:?}]");
    Ok(format!("[{}]", regions.iter().map(one).collect::<Vec<_>>().join(",")))
}

/// The inverse of [`regions_to_json`]. The JSON library may round a number to its neighbor, the standard library never.
fn regions_from_json(what: &'static str, json: &str) -> Result<Vec<Region>> {
    if json == "[]" {
        return Ok(Vec::new());
    }
    let one = |part: &str| -> Option<Region> {
        let numbers: Option<Vec<f64>> = part.split(',').map(|number| number.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    json.strip_prefix("[[")
        .and_then(|rest| rest.strip_suffix("]]"))
        .and_then(|inner| inner.split("],[").map(one).collect())
        .ok_or_else(|| corrupt(what, "not a list of regions"))
}

pub(super) fn faces_to_json(faces: &[Region]) -> Result<String> {
    regions_to_json("faces", faces)
}

fn json<T: serde::Serialize>(operation: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| CatalogError::Internal { operation, detail: error.to_string() })
}

fn from_json<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| corrupt(what, error))
}

/// A cloud is created together with a key of its own.
pub(super) fn check_first_key(cloud: &Cloud, key: &ApiKey) -> Result<()> {
    if key.cloud != cloud.id {
        return Err(CatalogError::Invalid { what: "the first API key", reason: "it belongs to another cloud" });
    }
    Ok(())
}

pub(super) fn cloud_values(cloud: &Cloud) -> Vec<Value> {
    vec![
        Value::Text(cloud.id.to_string()),
        Value::Text(cloud.name.to_string()),
        Value::Number(cloud.created_at.unix_micros()),
    ]
}

pub(super) fn read_cloud<R: Columns>(row: &R) -> std::result::Result<Cloud, R::Error> {
    Ok(Cloud {
        id: parsed("cloud id", &row.text(0)?)?,
        name: parsed("cloud name", &row.text(1)?)?,
        created_at: Timestamp::from_unix_micros(row.number(2)?),
    })
}

pub(super) fn api_key_values(key: &ApiKey, sealed: Vec<u8>) -> Result<Vec<Value>> {
    Ok(vec![
        Value::Text(text("API key", &key.key)?),
        Value::Text(key.cloud.to_string()),
        Value::Bytes(sealed),
        Value::Flag(key.enabled),
        Value::Number(key.created_at.unix_micros()),
    ])
}

pub(super) fn read_api_key<R: Columns>(row: &R, sealer: &super::seal::Sealer) -> std::result::Result<ApiKey, R::Error> {
    let key = row.text(0)?;
    let cloud = parsed("cloud id", &row.text(1)?)?;
    let secret = sealer.open_secret(&cloud, &key, &row.bytes(2)?)?;
    Ok(ApiKey { key, secret, cloud, enabled: row.flag(3)?, created_at: Timestamp::from_unix_micros(row.number(4)?) })
}

/// The asset that an upload makes where there was `old`, or nothing.
pub(super) fn uploaded(new: &NewAsset, old: Option<&Asset>) -> Result<Asset> {
    Asset::uploaded(new, old).ok_or_else(|| corrupt("version", "it cannot grow"))
}

pub(super) fn asset_values(asset: &Asset) -> Result<Vec<Value>> {
    for tag in &asset.tags {
        text("a tag", tag)?;
    }
    for entry in asset.context.iter().flat_map(|(key, value)| [key, value]) {
        text("context", entry)?;
    }
    let AssetKey { cloud, resource_type, delivery_type, public_id } = &asset.key;
    Ok(vec![
        Value::Text(asset.id.to_string()),
        Value::Text(cloud.to_string()),
        Value::Text(resource_type.to_string()),
        Value::Text(delivery_type.to_string()),
        Value::Text(text("public_id", public_id.as_str())?),
        Value::Number(number("version", asset.version)?),
        Value::Text(asset.version_id.to_string()),
        Value::Text(text("format", &asset.format)?),
        Value::Number(asset.stored_size.width.into()),
        Value::Number(asset.stored_size.height.into()),
        Value::Number(asset.orientation.get().into()),
        Value::Flag(asset.has_alpha),
        Value::Number(number("size of the file", asset.bytes)?),
        Value::Text(text("etag", &asset.etag)?),
        Value::Text(asset.blob.to_string()),
        Value::Number(asset.created_at.unix_micros()),
        Value::Number(asset.uploaded_at.unix_micros()),
        Value::Text(text("original filename", &asset.original_filename)?),
        Value::Text(json("encode tags", &asset.tags)?),
        Value::Text(json("encode context", &asset.context)?),
        Value::OptionalText(asset.faces.as_deref().map(faces_to_json).transpose()?),
        Value::Text(regions_to_json("face coordinates", &asset.face_coordinates)?),
        Value::Text(regions_to_json("custom coordinates", &asset.custom_coordinates)?),
        Value::Text(text("API key", &asset.api_key)?),
        Value::Text(asset.access_mode.to_string()),
        Value::Text(text("asset_folder", &asset.asset_folder)?),
        Value::Text(text("display_name", &asset.display_name)?),
        Value::Text(json("encode metadata", &asset.metadata)?),
        Value::Text(json("encode details", &asset.details)?),
        Value::Number(asset.updated_at.unix_micros()),
        Value::Flag(asset.placeholder),
        Value::Flag(asset.backed_up),
        // The last two are copies of details for searches, and never read.
        Value::Number(if asset.key.resource_type == ResourceType::Image {
            asset.details.pages.max(1).into()
        } else {
            0
        }),
        Value::Number(duration_ms(asset)),
    ])
}

/// -1 where no prober found one.
fn duration_ms(asset: &Asset) -> i64 {
    let seconds = asset.details.video.get("duration").and_then(serde_json::Value::as_f64);
    // The cast holds numbers that are too large at the end of the range.
    seconds.filter(|seconds| *seconds >= 0.0).map_or(-1, |seconds| (seconds * 1000.0).round() as i64)
}

pub(super) fn read_asset<R: Columns>(row: &R) -> std::result::Result<Asset, R::Error> {
    let stored_size =
        PixelSize { width: unsigned("width", row.number(8)?)?, height: unsigned("height", row.number(9)?)? };
    let orientation = Orientation::new(unsigned("orientation", row.number(10)?)?)
        .map_err(|error| CatalogError::Corrupt(error.to_string()))?;
    Ok(Asset {
        id: parsed("asset id", &row.text(0)?)?,
        key: AssetKey {
            cloud: parsed("cloud id", &row.text(1)?)?,
            resource_type: parsed("resource type", &row.text(2)?)?,
            delivery_type: parsed("delivery type", &row.text(3)?)?,
            public_id: parsed("public id", &row.text(4)?)?,
        },
        version: unsigned("version", row.number(5)?)?,
        version_id: parsed("version id", &row.text(6)?)?,
        format: row.text(7)?,
        stored_size,
        upright_size: orientation.upright(stored_size),
        orientation,
        has_alpha: row.flag(11)?,
        bytes: unsigned("size of the file", row.number(12)?)?,
        etag: row.text(13)?,
        blob: parsed("blob key", &row.text(14)?)?,
        created_at: Timestamp::from_unix_micros(row.number(15)?),
        uploaded_at: Timestamp::from_unix_micros(row.number(16)?),
        original_filename: row.text(17)?,
        tags: from_json("tags", &row.text(18)?)?,
        context: from_json::<BTreeMap<_, _>>("context", &row.text(19)?)?,
        faces: row.optional_text(20)?.map(|json| regions_from_json("faces", &json)).transpose()?,
        face_coordinates: regions_from_json("face coordinates", &row.text(21)?)?,
        custom_coordinates: regions_from_json("custom coordinates", &row.text(22)?)?,
        api_key: row.text(23)?,
        access_mode: parsed("access mode", &row.text(24)?)?,
        asset_folder: row.text(25)?,
        display_name: row.text(26)?,
        metadata: from_json("metadata", &row.text(27)?)?,
        details: from_json("details", &row.text(28)?)?,
        updated_at: Timestamp::from_unix_micros(row.number(29)?),
        placeholder: row.flag(30)?,
        backed_up: row.flag(31)?,
    })
}

pub(super) const VERSION_COLUMNS: &str = "asset, version_id, version, blob, bytes, uploaded_at, format, stored_width, \
     stored_height, orientation, has_alpha, etag";

/// The present content of an asset as a version that is kept.
pub(super) fn version_values(asset: &Asset) -> Result<Vec<Value>> {
    Ok(vec![
        Value::Text(asset.id.to_string()),
        Value::Text(asset.version_id.to_string()),
        Value::Number(number("version", asset.version)?),
        Value::Text(asset.blob.to_string()),
        Value::Number(number("size of the file", asset.bytes)?),
        Value::Number(asset.uploaded_at.unix_micros()),
        Value::Text(text("format", &asset.format)?),
        Value::Number(asset.stored_size.width.into()),
        Value::Number(asset.stored_size.height.into()),
        Value::Number(asset.orientation.get().into()),
        Value::Flag(asset.has_alpha),
        Value::Text(text("etag", &asset.etag)?),
    ])
}

pub(super) fn read_version<R: Columns>(row: &R) -> std::result::Result<AssetVersion, R::Error> {
    Ok(AssetVersion {
        asset: parsed("asset id", &row.text(0)?)?,
        version_id: parsed("version id", &row.text(1)?)?,
        version: unsigned("version", row.number(2)?)?,
        blob: parsed("blob key", &row.text(3)?)?,
        bytes: unsigned("size of the file", row.number(4)?)?,
        uploaded_at: Timestamp::from_unix_micros(row.number(5)?),
        format: row.text(6)?,
        stored_size: PixelSize {
            width: unsigned("width", row.number(7)?)?,
            height: unsigned("height", row.number(8)?)?,
        },
        orientation: Orientation::new(unsigned("orientation", row.number(9)?)?)
            .map_err(|error| CatalogError::Corrupt(error.to_string()))?,
        has_alpha: row.flag(10)?,
        etag: row.text(11)?,
    })
}

pub(super) fn read_blob<R: Columns>(row: &R) -> std::result::Result<BlobKey, R::Error> {
    Ok(parsed("blob key", &row.text(0)?)?)
}

pub(super) fn derived_values(derived: &Derived) -> Result<Vec<Value>> {
    Ok(vec![
        Value::Text(derived.key.to_string()),
        Value::Text(derived.asset.to_string()),
        Value::Text(derived.version_id.to_string()),
        Value::Text(text("transformation", &derived.transformation)?),
        Value::Text(text("format", &derived.format)?),
        Value::Number(derived.size.width.into()),
        Value::Number(derived.size.height.into()),
        Value::Number(number("size of the file", derived.bytes)?),
        Value::Text(text("etag", &derived.etag)?),
        Value::Text(derived.blob.to_string()),
        Value::Number(derived.created_at.unix_micros()),
        Value::Number(derived.last_used_at.unix_micros()),
        Value::Number(derived.renderer_revision.into()),
        Value::Text(text("profile", &derived.profile)?),
        Value::Text(text("backend", &derived.backend)?),
        Value::OptionalNumber(derived.quality.map(i64::from)),
        Value::Flag(derived.has_alpha),
    ])
}

pub(super) fn read_derived<R: Columns>(row: &R) -> std::result::Result<Derived, R::Error> {
    Ok(Derived {
        key: parsed("derived key", &row.text(0)?)?,
        asset: parsed("asset id", &row.text(1)?)?,
        version_id: parsed("version id", &row.text(2)?)?,
        transformation: row.text(3)?,
        format: row.text(4)?,
        size: PixelSize { width: unsigned("width", row.number(5)?)?, height: unsigned("height", row.number(6)?)? },
        bytes: unsigned("size of the file", row.number(7)?)?,
        etag: row.text(8)?,
        blob: parsed("blob key", &row.text(9)?)?,
        created_at: Timestamp::from_unix_micros(row.number(10)?),
        last_used_at: Timestamp::from_unix_micros(row.number(11)?),
        renderer_revision: unsigned("renderer revision", row.number(12)?)?,
        profile: row.text(13)?,
        backend: row.text(14)?,
        quality: row.optional_number(15)?.map(|quality| unsigned("quality", quality)).transpose()?,
        has_alpha: row.flag(16)?,
    })
}

/// The first `limit` of the assets that a listing found, which asked for one more than that.
pub(super) fn page(mut assets: Vec<Asset>, limit: u32, after: Option<AssetCursor>) -> AssetPage {
    let more = assets.len() > limit as usize;
    assets.truncate(limit as usize);
    let last = assets.last().map(|asset| AssetCursor { public_id: asset.key.public_id.clone(), id: asset.id.clone() });
    AssetPage { next: if more { last.or(after) } else { None }, assets }
}

pub(super) fn counters(delta: UsageDelta) -> Result<[i64; 3]> {
    Ok([
        number("a counter", delta.transformations)?,
        number("a counter", delta.bandwidth_bytes)?,
        number("a counter", delta.requests)?,
    ])
}

/// Sums of the three counters, then objects and their bytes, then derived pictures and theirs.
pub(super) fn read_usage<R: Columns>(row: &R) -> std::result::Result<Usage, R::Error> {
    let sum = |column| -> std::result::Result<u64, R::Error> { Ok(unsigned("a counter", row.number(column)?)?) };
    Ok(Usage {
        transformations: sum(0)?,
        bandwidth_bytes: sum(1)?,
        requests: sum(2)?,
        objects: sum(3)?,
        storage_bytes: sum(4)?.saturating_add(sum(6)?),
        derived: sum(5)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn regions_come_back_bit_by_bit() {
        let regions = vec![[0.1 + 0.2, -0.0, 1e-300, f64::MAX], [5.0, f64::MIN_POSITIVE / 2.0, 1.0 / 3.0, 1e17]];
        for regions in [Vec::new(), regions[..1].to_vec(), regions] {
            let json = regions_to_json("faces", &regions).unwrap();
            let back = regions_from_json("faces", &json).unwrap();
            let bits = |regions: &[Region]| regions.iter().flatten().map(|n| n.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&back), bits(&regions), "{json}");
            serde_json::from_str::<Vec<Vec<f64>>>(&json).unwrap();
        }
        assert!(regions_to_json("faces", &[[f64::NAN, 0.0, 0.0, 0.0]]).is_err());
        for wrong in ["", "[[1,2,3]]", "[[1,2,3,4],5]", "[[1,2,3,x]]", "null"] {
            assert!(matches!(regions_from_json("faces", wrong), Err(CatalogError::Corrupt(_))), "{wrong}");
        }
    }
}
