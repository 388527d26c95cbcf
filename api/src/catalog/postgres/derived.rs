//! Derived pictures, and the blobs that no row names any longer.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use tokio_postgres::Row;

use super::{
    super::{
        CatalogError, PutDerived, Result,
        record::{self, Columns, DERIVED_COLUMNS},
    },
    PostgresCatalog, Work,
    row::{parameters, placeholders, query},
};
use crate::domain::{AssetId, BlobKey, Derived, DerivedKey, Timestamp};

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
                    OR EXISTS (SELECT FROM derived WHERE derived.blob = touched.blob)";
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
