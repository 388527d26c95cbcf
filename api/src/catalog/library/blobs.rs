//! Blobs that rows name, and the garbage list of those that none does.

use std::collections::BTreeSet;

use super::super::{
    Result, record,
    sql::{Dialect, Sql, marks, rows_of_marks, text},
};
use crate::domain::{BlobKey, Timestamp};

/// Blobs that one statement takes.
const CHUNK: usize = 500;

/// Those of at most [`CHUNK`] blobs that rows name.
async fn named(sql: &mut dyn Sql, keys: &[record::Value]) -> Result<BTreeSet<BlobKey>> {
    let list = marks(keys.len());
    let named = format!(
        "SELECT blob FROM assets WHERE blob IN ({list}) UNION SELECT blob FROM derived WHERE blob IN ({list})
         UNION SELECT blob FROM asset_versions WHERE blob IN ({list}) UNION SELECT blob FROM chunks WHERE blob IN ({list})"
    );
    let four_times: Vec<_> = std::iter::repeat_n(keys, 4).flatten().cloned().collect();
    sql.query_once(&named, &four_times).await?.iter().map(record::read_blob).collect()
}

/// Those of some blobs that neither a row nor the garbage list names.
pub(super) async fn unknown(sql: &mut dyn Sql, blobs: &[BlobKey]) -> Result<Vec<BlobKey>> {
    let mut unknown = Vec::new();
    for chunk in blobs.chunks(CHUNK) {
        let keys: Vec<_> = chunk.iter().map(|blob| text(blob.as_str())).collect();
        let mut known = named(sql, &keys).await?;
        let listed = format!("SELECT blob FROM garbage WHERE blob IN ({})", marks(keys.len()));
        for row in sql.query_once(&listed, &keys).await? {
            known.insert(record::read_blob(&row)?);
        }
        unknown.extend(chunk.iter().filter(|blob| !known.contains(*blob)).cloned());
    }
    Ok(unknown)
}

/// Brings the garbage list in line with the rows, for the blobs that this transaction has touched: those that no row
/// names are on it, the others are not. Returns the former. It is the last thing that a transaction does.
///
/// Two transactions that each remove one of a blob's last two rows would each see the other's row. So PostgreSQL locks the
/// blobs first, in one order; a statement after that sees what the others have committed.
pub(super) async fn settle(sql: &mut dyn Sql, blobs: BTreeSet<BlobKey>) -> Result<Vec<BlobKey>> {
    let all: Vec<BlobKey> = blobs.into_iter().collect();
    let since = record::Value::Number(Timestamp::now().unix_micros());
    let mut freed = Vec::new();
    for chunk in all.chunks(CHUNK) {
        let keys: Vec<_> = chunk.iter().map(|blob| text(blob.as_str())).collect();
        if sql.dialect() == Dialect::Postgres {
            let rows = rows_of_marks(keys.len(), 1).replace('?', "?::text");
            let lock = format!(
                "SELECT pg_advisory_xact_lock(hashtextextended(blob, 0))::text FROM (VALUES {rows}) AS touched (blob)"
            );
            sql.query_once(&lock, &keys).await?;
        }
        let named = named(sql, &keys).await?;
        if !named.is_empty() {
            let keys: Vec<_> = named.iter().map(|blob| text(blob.as_str())).collect();
            sql.execute_once(&format!("DELETE FROM garbage WHERE blob IN ({})", marks(keys.len())), &keys).await?;
        }
        let free: Vec<BlobKey> = chunk.iter().filter(|blob| !named.contains(*blob)).cloned().collect();
        if !free.is_empty() {
            let insert = format!(
                "INSERT INTO garbage (blob, since) VALUES {} ON CONFLICT (blob) DO NOTHING",
                rows_of_marks(free.len(), 2)
            );
            let values: Vec<_> = free.iter().flat_map(|blob| [text(blob.as_str()), since.clone()]).collect();
            sql.execute_once(&insert, &values).await?;
        }
        super::copies::follow(sql, &named, &free).await?;
        freed.extend(free);
    }
    Ok(freed)
}
