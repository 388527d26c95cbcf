//! Derived pictures, and the garbage list of blobs that no row names any longer.

use super::super::values::{corrupt, text, to_i64, to_u32, to_u64};
use super::super::{PutDerived, Result};
use super::connections::from_sqlite;
use crate::domain::{AssetId, BlobKey, Derived, DerivedKey, PixelSize, Timestamp, VersionId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

const COLUMNS: &str = "key, asset, version_id, transformation, format, width, height, bytes, etag, blob, created_at, \
     last_used_at, renderer_revision, profile, backend, quality, has_alpha";

fn derived(row: &Row) -> rusqlite::Result<Result<Derived>> {
    let string = |index: usize| row.get::<_, String>(index);
    let number = |index: usize| row.get::<_, i64>(index);
    let (key, asset, version_id) = (string(0)?, string(1)?, string(2)?);
    let (transformation, format, width, height) = (string(3)?, string(4)?, number(5)?, number(6)?);
    let (bytes, etag, blob, created_at, last_used_at) = (number(7)?, string(8)?, string(9)?, number(10)?, number(11)?);
    let (revision, profile, backend) = (number(12)?, string(13)?, string(14)?);
    let (quality, has_alpha) = (row.get::<_, Option<u8>>(15)?, row.get::<_, bool>(16)?);
    Ok((|| {
        Ok(Derived {
            key: DerivedKey::new(key).map_err(corrupt)?,
            asset: AssetId::new(asset).map_err(corrupt)?,
            version_id: VersionId::new(version_id).map_err(corrupt)?,
            transformation,
            format,
            size: PixelSize { width: to_u32(width)?, height: to_u32(height)? },
            bytes: to_u64(bytes)?,
            etag,
            blob: BlobKey::new(blob).map_err(corrupt)?,
            created_at: Timestamp::from_unix_micros(created_at),
            last_used_at: Timestamp::from_unix_micros(last_used_at),
            renderer_revision: to_u32(revision)?,
            profile,
            backend,
            quality,
            has_alpha,
        })
    })())
}

pub(super) fn by_key(connection: &Connection, key: &DerivedKey) -> Result<Option<Derived>> {
    let found = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM derived WHERE key = ?1"))
        .and_then(|mut query| query.query_row([key.as_str()], derived).optional())
        .map_err(from_sqlite)?;
    found.transpose()
}

pub(super) fn of(connection: &Connection, asset: &AssetId, limit: u32) -> Result<Vec<Derived>> {
    let sql = format!("SELECT {COLUMNS} FROM derived WHERE asset = ?1 ORDER BY created_at DESC, key LIMIT ?2");
    let mut query = connection.prepare_cached(&sql).map_err(from_sqlite)?;
    let rows = query.query_map(params![asset.as_str(), limit], derived).map_err(from_sqlite)?;
    rows.map(|row| row.map_err(from_sqlite)?).collect()
}

pub(super) fn put(transaction: &Transaction, new: &Derived) -> Result<PutDerived> {
    let current: Option<String> = transaction
        .prepare_cached("SELECT version_id FROM assets WHERE id = ?1")
        .and_then(|mut query| query.query_row([new.asset.as_str()], |row| row.get(0)).optional())
        .map_err(from_sqlite)?;
    if current.as_deref() != Some(new.version_id.as_str()) {
        return Ok(PutDerived { kept: false, freed_blobs: free(transaction, vec![new.blob.clone()])? });
    }
    let replaced: Option<String> = transaction
        .prepare_cached("SELECT blob FROM derived WHERE key = ?1")
        .and_then(|mut query| query.query_row([new.key.as_str()], |row| row.get(0)).optional())
        .map_err(from_sqlite)?;
    let sql = format!(
        "INSERT OR REPLACE INTO derived ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
         ?15, ?16, ?17)"
    );
    let values = params![
        new.key.as_str(),
        new.asset.as_str(),
        new.version_id.as_str(),
        text("transformation", &new.transformation)?,
        text("format", &new.format)?,
        new.size.width,
        new.size.height,
        to_i64("bytes", new.bytes)?,
        text("etag", &new.etag)?,
        new.blob.as_str(),
        new.created_at.unix_micros(),
        new.last_used_at.unix_micros(),
        new.renderer_revision,
        text("profile", &new.profile)?,
        text("backend", &new.backend)?,
        new.quality,
        new.has_alpha,
    ];
    transaction.prepare_cached(&sql).and_then(|mut insert| insert.execute(values)).map_err(from_sqlite)?;
    let old = replaced.into_iter().map(|blob| BlobKey::new(blob).map_err(corrupt)).collect::<Result<Vec<_>>>()?;
    Ok(PutDerived { kept: true, freed_blobs: free(transaction, old)? })
}

pub(super) fn touch(transaction: &Transaction, key: &DerivedKey, at: Timestamp) -> Result<()> {
    transaction
        .prepare_cached("UPDATE derived SET last_used_at = ?2 WHERE key = ?1 AND last_used_at < ?2")
        .and_then(|mut update| update.execute(params![key.as_str(), at.unix_micros()]))
        .map_err(from_sqlite)?;
    Ok(())
}

/// Removes the rows of an asset's derived pictures and gives their blobs, which are not yet on the garbage list.
pub(super) fn remove_of(transaction: &Transaction, asset: &AssetId) -> Result<Vec<BlobKey>> {
    let mut delete =
        transaction.prepare_cached("DELETE FROM derived WHERE asset = ?1 RETURNING blob").map_err(from_sqlite)?;
    let rows = delete.query_map([asset.as_str()], |row| row.get::<_, String>(0)).map_err(from_sqlite)?;
    rows.map(|blob| BlobKey::new(blob.map_err(from_sqlite)?).map_err(corrupt)).collect()
}

/// Puts those blobs on the garbage list that no row names, and gives them back.
pub(super) fn free(transaction: &Transaction, blobs: Vec<BlobKey>) -> Result<Vec<BlobKey>> {
    let mut freed = Vec::with_capacity(blobs.len());
    for blob in blobs {
        if referenced(transaction, &blob)? {
            continue;
        }
        transaction
            .prepare_cached("INSERT OR IGNORE INTO garbage (blob, since) VALUES (?1, ?2)")
            .and_then(|mut insert| insert.execute(params![blob.as_str(), Timestamp::now().unix_micros()]))
            .map_err(from_sqlite)?;
        freed.push(blob);
    }
    Ok(freed)
}

pub(super) fn garbage(connection: &Connection, limit: u32) -> Result<Vec<BlobKey>> {
    let mut query =
        connection.prepare_cached("SELECT blob FROM garbage ORDER BY since, blob LIMIT ?1").map_err(from_sqlite)?;
    let rows = query.query_map([limit], |row| row.get::<_, String>(0)).map_err(from_sqlite)?;
    rows.map(|blob| BlobKey::new(blob.map_err(from_sqlite)?).map_err(corrupt)).collect()
}

pub(super) fn forget_garbage(transaction: &Transaction, blobs: &[BlobKey]) -> Result<()> {
    let mut delete = transaction.prepare_cached("DELETE FROM garbage WHERE blob = ?1").map_err(from_sqlite)?;
    for blob in blobs {
        delete.execute([blob.as_str()]).map_err(from_sqlite)?;
    }
    Ok(())
}

pub(super) fn referenced(connection: &Connection, blob: &BlobKey) -> Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM assets WHERE blob = ?1) OR EXISTS (SELECT 1 FROM derived WHERE blob = ?1)",
        )
        .and_then(|mut query| query.query_row([blob.as_str()], |row| row.get(0)))
        .map_err(from_sqlite)
}
