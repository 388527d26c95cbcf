//! Derived pictures, and the blobs that no row names any longer.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use tokio_postgres::Row;

use super::{
    super::{
        CatalogError, EvictedDerived, PutDerived, Result,
        record::{self, Columns, DERIVED_COLUMNS},
    },
    PostgresCatalog, Work,
    row::{parameters, placeholders, query},
};
use crate::domain::{AssetId, BlobKey, Derived, DerivedKey, Timestamp};

/// The advisory lock that one eviction holds; blobs are locked under hashes, which meet it by chance once in 2^64.
const EVICTION_LOCK: i64 = 0x7469_6e74_7970_6501;

/// How often a picture is written anew when the row that it replaces is deleted between two statements.
const N_ATTEMPTS: usize = 10;

pub(super) async fn find(catalog: &PostgresCatalog, key: &DerivedKey) -> Result<Option<Derived>> {
    let operation = "find a derived picture";
    let sql = format!("SELECT {DERIVED_COLUMNS} FROM derived WHERE key = $1");
    let rows = catalog.query(operation, &sql, &[&key.as_str()]).await?;
    rows.first().map(record::read_derived).transpose().map_err(|failure| failure.during(operation))
}

pub(super) async fn of_asset(catalog: &PostgresCatalog, asset: &AssetId, limit: u32) -> Result<Vec<Derived>> {
    let operation = "list derived pictures";
    let sql = format!("SELECT {DERIVED_COLUMNS} FROM derived WHERE asset = $1 ORDER BY created_at DESC, key LIMIT $2");
    let rows = catalog.query(operation, &sql, &[&asset.as_str(), &i64::from(limit)]).await?;
    rows.iter().map(record::read_derived).collect::<Work<_>>().map_err(|failure| failure.during(operation))
}

pub(super) async fn put(transaction: &Transaction<'_>, new: &Derived) -> Work<PutDerived> {
    let values = record::derived_values(new)?;
    let mut blobs = BTreeSet::from([new.blob.clone()]);
    // Until the transaction ends the asset keeps this version: an overwrite waits, then finds the picture.
    let sql = "SELECT 1 FROM assets WHERE id = $1 AND version_id = $2 FOR SHARE";
    let current = query(transaction, sql, &[&new.asset.as_str(), &new.version_id.as_str()]).await?;
    if current.is_empty() {
        return Ok(PutDerived { kept: false, freed_blobs: settle(transaction, blobs).await? });
    }
    let insert = format!(
        "INSERT INTO derived ({DERIVED_COLUMNS}) VALUES ({}) ON CONFLICT (key) DO NOTHING RETURNING 1",
        placeholders(&values)
    );
    // The first column is the key.
    let replace = format!("UPDATE derived SET ({DERIVED_COLUMNS}) = ({}) WHERE key = $1", placeholders(&values));
    for _ in 0..N_ATTEMPTS {
        if query(transaction, &insert, &parameters(&values)).await?.is_empty() {
            let lock = "SELECT blob FROM derived WHERE key = $1 FOR UPDATE";
            let Some(old) = query(transaction, lock, &[&new.key.as_str()]).await?.first().map(read_blob).transpose()?
            else {
                continue;
            };
            query(transaction, &replace, &parameters(&values)).await?;
            blobs.insert(old);
        }
        return Ok(PutDerived { kept: true, freed_blobs: settle(transaction, blobs).await? });
    }
    Err(CatalogError::Unavailable("the picture was created and deleted again and again".to_owned()).into())
}

/// Removes the derived pictures of an asset; what was their blobs is still to be settled.
pub(super) async fn remove_of(transaction: &Transaction<'_>, asset: &AssetId) -> Work<BTreeSet<BlobKey>> {
    let sql = "DELETE FROM derived WHERE asset = $1 RETURNING blob";
    query(transaction, sql, &[&asset.as_str()]).await?.iter().map(read_blob).collect()
}

/// Removes the derived pictures of an asset and settles their blobs.
pub(super) async fn delete_of(transaction: &Transaction<'_>, asset: &AssetId) -> Work<Vec<BlobKey>> {
    query(transaction, "SELECT 1 FROM assets WHERE id = $1 FOR UPDATE", &[&asset.as_str()]).await?;
    let blobs = remove_of(transaction, asset).await?;
    settle(transaction, blobs).await
}

const SUM_OF_BYTES: &str = "SELECT coalesce(sum(bytes), 0)::bigint FROM derived";

fn read_bytes(row: &Row, column: usize) -> Work<u64> {
    Ok(row.number(column)?.unsigned_abs())
}

pub(super) async fn bytes(catalog: &PostgresCatalog) -> Result<u64> {
    let operation = "sum up derived pictures";
    let rows = catalog.query(operation, SUM_OF_BYTES, &[]).await?;
    let sum: Work<Option<u64>> = rows.first().map(|row| read_bytes(row, 0)).transpose();
    Ok(sum.map_err(|failure| failure.during(operation))?.unwrap_or(0))
}

/// Pictures that another transaction works on are in use, and passed over.
pub(super) async fn evict(transaction: &Transaction<'_>, most_bytes: u64, limit: u32) -> Work<EvictedDerived> {
    // Two nodes that saw the same sum would both remove what is too much.
    query(transaction, "SELECT pg_advisory_xact_lock($1)", &[&EVICTION_LOCK]).await?;
    let sum = query(transaction, SUM_OF_BYTES, &[]).await?;
    let sum = sum.first().map(|row| read_bytes(row, 0)).transpose()?.unwrap_or(0);
    let mut excess = sum.saturating_sub(most_bytes);
    let mut evicted = EvictedDerived::default();
    if excess == 0 {
        return Ok(evicted);
    }
    let oldest = "SELECT key, bytes FROM derived ORDER BY last_used_at, key LIMIT $1 FOR UPDATE SKIP LOCKED";
    let mut keys = Vec::new();
    for row in query(transaction, oldest, &[&i64::from(limit)]).await? {
        if excess == 0 {
            break;
        }
        let bytes = read_bytes(&row, 1)?;
        excess = excess.saturating_sub(bytes);
        evicted.bytes += bytes;
        evicted.count += 1;
        keys.push(row.text(0)?);
    }
    let delete = "DELETE FROM derived WHERE key = ANY ($1) RETURNING blob";
    let blobs = query(transaction, delete, &[&keys]).await?.iter().map(read_blob).collect::<Work<_>>()?;
    evicted.freed_blobs = settle(transaction, blobs).await?;
    Ok(evicted)
}

fn read_blob(row: &Row) -> Work<BlobKey> {
    Ok(record::parsed("blob key", &row.text(0)?)?)
}

/// Brings the garbage list in line with the rows, for the blobs that this transaction has touched: those that no row
/// names are on it, the others are not. Returns the former. It is the last thing that a transaction does.
///
/// Two transactions that each remove one of a blob's last two rows would each see the other's row. So the blobs are
/// locked first, in one order; a statement after that sees what the others have committed.
pub(super) async fn settle(transaction: &Transaction<'_>, blobs: BTreeSet<BlobKey>) -> Work<Vec<BlobKey>> {
    let texts: Vec<&str> = blobs.iter().map(BlobKey::as_str).collect();
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended(blob, 0))
                FROM unnest($1::text[]) WITH ORDINALITY AS touched (blob, place) ORDER BY place";
    query(transaction, lock, &[&texts]).await?;
    let named = "SELECT blob FROM unnest($1::text[]) AS touched (blob)
                 WHERE EXISTS (SELECT FROM assets WHERE assets.blob = touched.blob)
                    OR EXISTS (SELECT FROM derived WHERE derived.blob = touched.blob)
                    OR EXISTS (SELECT FROM asset_versions WHERE asset_versions.blob = touched.blob)
                    OR EXISTS (SELECT FROM chunks WHERE chunks.blob = touched.blob)";
    let named: BTreeSet<BlobKey> =
        query(transaction, named, &[&texts]).await?.iter().map(read_blob).collect::<Work<_>>()?;
    let texts: Vec<&str> = named.iter().map(BlobKey::as_str).collect();
    query(transaction, "DELETE FROM garbage WHERE blob = ANY ($1)", &[&texts]).await?;
    let freed: Vec<BlobKey> = blobs.difference(&named).cloned().collect();
    let texts: Vec<&str> = freed.iter().map(BlobKey::as_str).collect();
    let insert = "INSERT INTO garbage (blob, since) SELECT blob, $2 FROM unnest($1::text[]) AS freed (blob)
                  ON CONFLICT (blob) DO NOTHING";
    query(transaction, insert, &[&texts, &Timestamp::now().unix_micros()]).await?;
    Ok(freed)
}

pub(super) async fn garbage(catalog: &PostgresCatalog, limit: u32) -> Result<Vec<BlobKey>> {
    let sql = "SELECT blob FROM garbage ORDER BY place LIMIT $1";
    let rows = catalog.query("list garbage", sql, &[&i64::from(limit)]).await?;
    rows.iter().map(read_blob).collect::<Work<_>>().map_err(|failure| failure.during("list garbage"))
}
