//! Derived pictures, and the blobs that no row names any longer.

use std::collections::BTreeSet;

use rusqlite::{Row, Transaction, params_from_iter};

use super::{
    super::{
        EvictedDerived, PutDerived,
        record::{self, DERIVED_COLUMNS, Value},
    },
    Work,
    row::placeholders,
};
use crate::domain::{BlobKey, Derived, DerivedKey, Timestamp};

pub(super) fn find(transaction: &Transaction<'_>, key: &str) -> Work<Option<Derived>> {
    let mut statement = transaction.prepare_cached(&format!("SELECT {DERIVED_COLUMNS} FROM derived WHERE key = ?"))?;
    let mut rows = statement.query([key])?;
    rows.next()?.map(record::read_derived).transpose()
}

pub(super) fn put(transaction: &Transaction<'_>, new: &Derived) -> Work<PutDerived> {
    let values = record::derived_values(new)?;
    let mut blobs = BTreeSet::from([new.blob.clone()]);
    let kept = transaction
        .prepare_cached("SELECT 1 FROM assets WHERE id = ? AND version_id = ?")?
        .exists([new.asset.as_str(), new.version_id.as_str()])?;
    if kept {
        blobs.extend(find(transaction, new.key.as_str())?.map(|old| old.blob));
        let sql = format!("INSERT OR REPLACE INTO derived ({DERIVED_COLUMNS}) VALUES ({})", placeholders(&values));
        transaction.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    }
    Ok(PutDerived { kept, freed_blobs: settle(transaction, blobs)? })
}

pub(super) fn of_asset(transaction: &Transaction<'_>, asset: &str, limit: u32) -> Work<Vec<Derived>> {
    let sql = format!("SELECT {DERIVED_COLUMNS} FROM derived WHERE asset = ? ORDER BY created_at DESC, key LIMIT ?");
    let mut statement = transaction.prepare_cached(&sql)?;
    let mut rows = statement.query((asset, limit))?;
    let mut pictures = Vec::new();
    while let Some(row) = rows.next()? {
        pictures.push(record::read_derived(row)?);
    }
    Ok(pictures)
}

pub(super) fn touch(transaction: &Transaction<'_>, keys: &[DerivedKey], at: i64) -> Work<()> {
    let sql = "UPDATE derived SET last_used_at = ?2 WHERE key = ?1 AND last_used_at < ?2";
    let mut statement = transaction.prepare_cached(sql)?;
    for key in keys {
        statement.execute((key.as_str(), at))?;
    }
    Ok(())
}

pub(super) fn bytes(transaction: &Transaction<'_>) -> Work<u64> {
    let sum = transaction
        .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM derived")?
        .query_row([], |row| row.get::<_, i64>(0))?;
    Ok(sum.unsigned_abs())
}

pub(super) fn evict(transaction: &Transaction<'_>, most_bytes: u64, limit: u32) -> Work<EvictedDerived> {
    let mut excess = bytes(transaction)?.saturating_sub(most_bytes);
    let mut evicted = EvictedDerived::default();
    if excess == 0 {
        return Ok(evicted);
    }
    let mut keys = Vec::new();
    let sql = "SELECT key, bytes FROM derived ORDER BY last_used_at, key LIMIT ?";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([limit])?;
    while excess > 0
        && let Some(row) = rows.next()?
    {
        let bytes = row.get::<_, i64>(1)?.unsigned_abs();
        excess = excess.saturating_sub(bytes);
        evicted.bytes += bytes;
        evicted.count += 1;
        keys.push(row.get::<_, String>(0)?);
    }
    let mut delete = transaction.prepare_cached("DELETE FROM derived WHERE key = ? RETURNING blob")?;
    let mut blobs = BTreeSet::new();
    for key in keys {
        let mut rows = delete.query([key])?;
        while let Some(row) = rows.next()? {
            blobs.insert(read_blob(row)?);
        }
    }
    evicted.freed_blobs = settle(transaction, blobs)?;
    Ok(evicted)
}

/// Removes the derived pictures of an asset; what was their blobs is still to be settled.
pub(super) fn remove_of(transaction: &Transaction<'_>, asset: &str) -> Work<BTreeSet<BlobKey>> {
    let mut statement = transaction.prepare_cached("DELETE FROM derived WHERE asset = ? RETURNING blob")?;
    let mut rows = statement.query([asset])?;
    let mut blobs = BTreeSet::new();
    while let Some(row) = rows.next()? {
        blobs.insert(read_blob(row)?);
    }
    Ok(blobs)
}

fn read_blob(row: &Row<'_>) -> Work<BlobKey> {
    Ok(record::parsed("blob key", &row.get::<_, String>(0)?)?)
}

/// Brings the garbage list in line with the rows, for the blobs that this transaction has touched: those that no row
/// names are on it, the others are not. Returns the former.
pub(super) fn settle(transaction: &Transaction<'_>, blobs: BTreeSet<BlobKey>) -> Work<Vec<BlobKey>> {
    let since = Timestamp::now().unix_micros();
    let mut freed = Vec::new();
    for blob in blobs {
        if referenced(transaction, &blob)? {
            transaction.prepare_cached("DELETE FROM garbage WHERE blob = ?")?.execute([blob.as_str()])?;
        } else {
            transaction
                .prepare_cached("INSERT INTO garbage (blob, since) VALUES (?, ?) ON CONFLICT (blob) DO NOTHING")?
                .execute((blob.as_str(), since))?;
            freed.push(blob);
        }
    }
    Ok(freed)
}

pub(super) fn referenced(transaction: &Transaction<'_>, blob: &BlobKey) -> Work<bool> {
    let sql = "SELECT 1 FROM assets WHERE blob = ?1 UNION ALL SELECT 1 FROM derived WHERE blob = ?1
               UNION ALL SELECT 1 FROM asset_versions WHERE blob = ?1 UNION ALL SELECT 1 FROM chunks WHERE blob = ?1";
    Ok(transaction.prepare_cached(sql)?.exists([blob.as_str()])?)
}

pub(super) fn garbage(transaction: &Transaction<'_>, limit: u32) -> Work<Vec<BlobKey>> {
    let mut statement = transaction.prepare_cached("SELECT blob FROM garbage ORDER BY place LIMIT ?")?;
    let mut rows = statement.query([Value::Number(limit.into())])?;
    let mut blobs = Vec::new();
    while let Some(row) = rows.next()? {
        blobs.push(read_blob(row)?);
    }
    Ok(blobs)
}

pub(super) fn forget(transaction: &Transaction<'_>, blobs: &[BlobKey]) -> Work<()> {
    let mut statement = transaction.prepare_cached("DELETE FROM garbage WHERE blob = ?")?;
    for blob in blobs {
        statement.execute([blob.as_str()])?;
    }
    Ok(())
}
