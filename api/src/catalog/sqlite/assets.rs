//! Assets: one row for the current version of each.

use super::super::values::{Faces, corrupt, from_json, text, to_i64, to_json, to_u32, to_u64};
use super::super::{AssetCursor, AssetPage, CatalogError, DeletedAsset, PutAsset, PutOutcome, Result};
use super::connections::{from_sqlite, is_orphan};
use super::derived;
use crate::domain::{
    Asset, AssetId, AssetKey, BlobKey, CloudId, NewAsset, Orientation, PixelSize, PublicId, Region, Timestamp,
    VersionId,
};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};

const COLUMNS: &str = "id, cloud, resource_type, delivery_type, public_id, version, version_id, format, stored_width, \
     stored_height, orientation, has_alpha, bytes, etag, blob, created_at, uploaded_at, original_filename, tags, context, \
     faces, face_coordinates, custom_coordinates, api_key, access_mode";

/// Reads the columns of [`COLUMNS`]; the outer error is SQLite's, the inner one a broken rule.
fn asset(row: &Row) -> rusqlite::Result<Result<Asset>> {
    let string = |index: usize| row.get::<_, String>(index);
    let number = |index: usize| row.get::<_, i64>(index);
    let (id, cloud, resource_type, delivery_type, public_id) =
        (string(0)?, string(1)?, string(2)?, string(3)?, string(4)?);
    let (version, version_id, format) = (number(5)?, string(6)?, string(7)?);
    let (width, height, orientation, has_alpha) = (number(8)?, number(9)?, number(10)?, row.get::<_, bool>(11)?);
    let (bytes, etag, blob) = (number(12)?, string(13)?, string(14)?);
    let (created_at, uploaded_at, original_filename) = (number(15)?, number(16)?, string(17)?);
    let (tags, context, faces) = (string(18)?, string(19)?, string(20)?);
    let (face_coordinates, custom_coordinates) = (string(21)?, string(22)?);
    let (api_key, access_mode) = (string(23)?, string(24)?);
    Ok((|| {
        let stored_size = PixelSize { width: to_u32(width)?, height: to_u32(height)? };
        let orientation = Orientation::new(u8::try_from(orientation).unwrap_or(0)).map_err(corrupt)?;
        Ok(Asset {
            id: AssetId::new(id).map_err(corrupt)?,
            key: AssetKey {
                cloud: CloudId::new(cloud).map_err(corrupt)?,
                resource_type: resource_type.parse().map_err(corrupt)?,
                delivery_type: delivery_type.parse().map_err(corrupt)?,
                public_id: PublicId::new(public_id).map_err(corrupt)?,
            },
            version: to_u64(version)?,
            version_id: VersionId::new(version_id).map_err(corrupt)?,
            format,
            stored_size,
            upright_size: orientation.upright(stored_size),
            orientation,
            has_alpha,
            bytes: to_u64(bytes)?,
            etag,
            blob: BlobKey::new(blob).map_err(corrupt)?,
            created_at: Timestamp::from_unix_micros(created_at),
            uploaded_at: Timestamp::from_unix_micros(uploaded_at),
            original_filename,
            tags: from_json(&tags)?,
            context: from_json(&context)?,
            faces: from_json::<Faces>(&faces)?,
            face_coordinates: from_json(&face_coordinates)?,
            custom_coordinates: from_json(&custom_coordinates)?,
            api_key,
            access_mode: access_mode.parse().map_err(corrupt)?,
        })
    })())
}

pub(super) fn by_key(connection: &Connection, key: &AssetKey) -> Result<Option<Asset>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM assets WHERE cloud = ?1 AND resource_type = ?2 AND delivery_type = ?3 AND public_id = ?4"
    );
    let found = connection
        .prepare_cached(&sql)
        .and_then(|mut query| {
            let (resource_type, delivery_type) = (key.resource_type.as_str(), key.delivery_type.as_str());
            let by = params![key.cloud.as_str(), resource_type, delivery_type, key.public_id.as_str()];
            query.query_row(by, asset).optional()
        })
        .map_err(from_sqlite)?;
    found.transpose()
}

pub(super) fn by_id(connection: &Connection, id: &AssetId) -> Result<Option<Asset>> {
    let found = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM assets WHERE id = ?1"))
        .and_then(|mut query| query.query_row([id.as_str()], asset).optional())
        .map_err(from_sqlite)?;
    found.transpose()
}

pub(super) fn list(
    connection: &Connection,
    cloud: &CloudId,
    limit: u32,
    after: Option<&AssetCursor>,
) -> Result<AssetPage> {
    let sql = format!(
        "SELECT {COLUMNS} FROM assets WHERE cloud = ?1 AND (public_id, id) > (?2, ?3) ORDER BY public_id, id LIMIT ?4"
    );
    let (public_id, id) = after.map_or(("", ""), |after| (after.public_id.as_str(), after.id.as_str()));
    let mut query = connection.prepare_cached(&sql).map_err(from_sqlite)?;
    let rows =
        query.query_map(params![cloud.as_str(), public_id, id, i64::from(limit) + 1], asset).map_err(from_sqlite)?;
    let assets = rows.map(|row| row.map_err(from_sqlite)?).collect::<Result<Vec<_>>>()?;
    Ok(AssetPage::cut(assets, limit))
}

pub(super) fn put(transaction: &Transaction, new: &NewAsset, overwrite: bool) -> Result<PutAsset> {
    let uploaded_s = u64::try_from(new.uploaded_at.unix_seconds()).unwrap_or(0);
    match by_key(transaction, &new.key)? {
        None => {
            let (id, version_id) = (AssetId::random(), VersionId::random());
            write(transaction, INSERT, new, &id, uploaded_s, &version_id)?;
            let asset = by_id(transaction, &id)?.ok_or(CatalogError::NotFound("the new asset"))?;
            Ok(PutAsset { asset, outcome: PutOutcome::Created, freed_blobs: vec![] })
        }
        Some(asset) if !overwrite => {
            let freed_blobs = derived::free(transaction, vec![new.blob.clone()])?;
            Ok(PutAsset { asset, outcome: PutOutcome::Existing, freed_blobs })
        }
        Some(old) => {
            let mut freed = derived::remove_of(transaction, &old.id)?;
            freed.push(old.blob);
            let version = uploaded_s.max(old.version + 1);
            write(transaction, UPDATE, new, &old.id, version, &VersionId::random())?;
            let freed_blobs = derived::free(transaction, freed)?;
            let asset = by_id(transaction, &old.id)?.ok_or(CatalogError::NotFound("the overwritten asset"))?;
            Ok(PutAsset { asset, outcome: PutOutcome::Overwritten, freed_blobs })
        }
    }
}

const INSERT: &str = "INSERT INTO assets (id, cloud, resource_type, delivery_type, public_id, version, version_id, format, \
     stored_width, stored_height, orientation, has_alpha, bytes, etag, blob, created_at, uploaded_at, original_filename, \
     tags, context, faces, face_coordinates, custom_coordinates, api_key, access_mode) VALUES (:id, :cloud, \
     :resource_type, :delivery_type, :public_id, :version, :version_id, :format, :stored_width, :stored_height, \
     :orientation, :has_alpha, :bytes, :etag, :blob, :uploaded_at, :uploaded_at, :original_filename, :tags, :context, \
     :faces, :face_coordinates, :custom_coordinates, :api_key, :access_mode)";

const UPDATE: &str = "UPDATE assets SET version = :version, version_id = :version_id, format = :format, \
     stored_width = :stored_width, stored_height = :stored_height, orientation = :orientation, has_alpha = :has_alpha, \
     bytes = :bytes, etag = :etag, blob = :blob, uploaded_at = :uploaded_at, original_filename = :original_filename, \
     tags = :tags, context = :context, faces = :faces, face_coordinates = :face_coordinates, \
     custom_coordinates = :custom_coordinates, api_key = :api_key, access_mode = :access_mode WHERE id = :id \
     AND cloud = :cloud AND resource_type = :resource_type AND delivery_type = :delivery_type AND public_id = :public_id";

fn write(
    transaction: &Transaction,
    sql: &str,
    new: &NewAsset,
    id: &AssetId,
    version: u64,
    version_id: &VersionId,
) -> Result<()> {
    let written = transaction.prepare_cached(sql).and_then(|mut statement| {
        Ok((|| {
            statement
                .execute(named_params! {
                    ":id": id.as_str(),
                    ":cloud": new.key.cloud.as_str(),
                    ":resource_type": new.key.resource_type.as_str(),
                    ":delivery_type": new.key.delivery_type.as_str(),
                    ":public_id": new.key.public_id.as_str(),
                    ":version": to_i64("version", version)?,
                    ":version_id": version_id.as_str(),
                    ":format": text("format", &new.format)?,
                    ":stored_width": new.stored_size.width,
                    ":stored_height": new.stored_size.height,
                    ":orientation": new.orientation.get(),
                    ":has_alpha": new.has_alpha,
                    ":bytes": to_i64("bytes", new.bytes)?,
                    ":etag": text("etag", &new.etag)?,
                    ":blob": new.blob.as_str(),
                    ":uploaded_at": new.uploaded_at.unix_micros(),
                    ":original_filename": text("original_filename", &new.original_filename)?,
                    ":tags": to_json(&new.tags)?,
                    ":context": to_json(&new.context)?,
                    ":faces": to_json(&new.faces)?,
                    ":face_coordinates": to_json(&new.face_coordinates)?,
                    ":custom_coordinates": to_json(&new.custom_coordinates)?,
                    ":api_key": text("api_key", &new.api_key)?,
                    ":access_mode": new.access_mode.as_str(),
                })
                .map_err(
                    |error| {
                        if is_orphan(&error) { CatalogError::NotFound("the cloud") } else { from_sqlite(error) }
                    },
                )
        })())
    });
    written.map_err(from_sqlite)?.map(|_| ())
}

pub(super) fn set_faces(
    transaction: &Transaction,
    id: &AssetId,
    version_id: &VersionId,
    faces: Vec<Region>,
) -> Result<bool> {
    let faces = to_json(&Faces::Some(faces))?;
    let changed = transaction
        .prepare_cached("UPDATE assets SET faces = ?3 WHERE id = ?1 AND version_id = ?2")
        .and_then(|mut update| update.execute(params![id.as_str(), version_id.as_str(), faces]))
        .map_err(from_sqlite)?;
    Ok(changed == 1)
}

pub(super) fn delete(transaction: &Transaction, key: &AssetKey) -> Result<Option<DeletedAsset>> {
    let Some(asset) = by_key(transaction, key)? else { return Ok(None) };
    let mut freed = derived::remove_of(transaction, &asset.id)?;
    freed.push(asset.blob.clone());
    transaction
        .prepare_cached("DELETE FROM assets WHERE id = ?1")
        .and_then(|mut delete| delete.execute([asset.id.as_str()]))
        .map_err(from_sqlite)?;
    let freed_blobs = derived::free(transaction, freed)?;
    Ok(Some(DeletedAsset { asset, freed_blobs }))
}
