//! Usage counters and the server's own settings.

use super::super::values::{text, to_i64, to_u64};
use super::super::{CatalogError, Result};
use super::connections::{from_sqlite, is_orphan};
use crate::domain::{CloudId, Day, Usage, UsageDelta};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

pub(super) fn add(transaction: &Transaction, cloud: &CloudId, day: Day, delta: UsageDelta) -> Result<()> {
    let values = params![
        cloud.as_str(),
        day.0,
        to_i64("transformations", delta.transformations)?,
        to_i64("bandwidth_bytes", delta.bandwidth_bytes)?,
        to_i64("requests", delta.requests)?,
    ];
    transaction
        .prepare_cached(
            "INSERT INTO usage (cloud, day, transformations, bandwidth_bytes, requests) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (cloud, day) DO UPDATE SET transformations = transformations + excluded.transformations, \
             bandwidth_bytes = bandwidth_bytes + excluded.bandwidth_bytes, requests = requests + excluded.requests",
        )
        .and_then(|mut upsert| upsert.execute(values))
        .map_err(|error| if is_orphan(&error) { CatalogError::NotFound("the cloud") } else { from_sqlite(error) })?;
    Ok(())
}

pub(super) fn sum(connection: &Connection, cloud: &CloudId, since: Day) -> Result<Usage> {
    let counters: [i64; 3] = connection
        .prepare_cached(
            "SELECT COALESCE(SUM(transformations), 0), COALESCE(SUM(bandwidth_bytes), 0), COALESCE(SUM(requests), 0) \
             FROM usage WHERE cloud = ?1 AND day >= ?2",
        )
        .and_then(|mut query| {
            query.query_row(params![cloud.as_str(), since.0], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
        })
        .map_err(from_sqlite)?;
    let stored: [i64; 4] = connection
        .prepare_cached(
            "SELECT (SELECT COUNT(*) FROM assets WHERE cloud = ?1), \
             (SELECT COALESCE(SUM(bytes), 0) FROM assets WHERE cloud = ?1), \
             (SELECT COUNT(*) FROM derived JOIN assets ON assets.id = derived.asset WHERE cloud = ?1), \
             (SELECT COALESCE(SUM(derived.bytes), 0) FROM derived JOIN assets ON assets.id = derived.asset \
              WHERE cloud = ?1)",
        )
        .and_then(|mut query| {
            query.query_row([cloud.as_str()], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))
        })
        .map_err(from_sqlite)?;
    Ok(Usage {
        transformations: to_u64(counters[0])?,
        bandwidth_bytes: to_u64(counters[1])?,
        requests: to_u64(counters[2])?,
        objects: to_u64(stored[0])?,
        storage_bytes: to_u64(stored[1])? + to_u64(stored[3])?,
        derived: to_u64(stored[2])?,
    })
}

pub(super) fn setting(connection: &Connection, name: &str) -> Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM settings WHERE name = ?1")
        .and_then(|mut query| query.query_row([name], |row| row.get(0)).optional())
        .map_err(from_sqlite)
}

pub(super) fn set_setting(transaction: &Transaction, name: &str, value: &str) -> Result<()> {
    let values = params![text("name", name)?, text("value", value)?];
    transaction
        .prepare_cached("INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)")
        .and_then(|mut upsert| upsert.execute(values))
        .map_err(from_sqlite)?;
    Ok(())
}
