//! Counters by cloud and day, and the server's own settings.

use rusqlite::{OptionalExtension, Transaction};

use super::{super::record, Work};
use crate::domain::{Day, Usage, UsageDelta};

pub(super) fn add(transaction: &Transaction<'_>, cloud: &str, day: Day, delta: UsageDelta) -> Work<()> {
    let [transformations, bandwidth_bytes, requests] = record::counters(delta)?;
    transaction
        .prepare_cached(
            "INSERT INTO usage (cloud, day, transformations, bandwidth_bytes, requests) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (cloud, day) DO UPDATE SET
                 transformations = transformations + excluded.transformations,
                 bandwidth_bytes = bandwidth_bytes + excluded.bandwidth_bytes,
                 requests = requests + excluded.requests",
        )?
        .execute((cloud, day.0, transformations, bandwidth_bytes, requests))?;
    Ok(())
}

pub(super) fn sum(transaction: &Transaction<'_>, cloud: &str, since: Day) -> Work<Usage> {
    let mut statement = transaction.prepare_cached(
        "SELECT coalesce(sum(transformations), 0), coalesce(sum(bandwidth_bytes), 0), coalesce(sum(requests), 0),
             (SELECT count(*) FROM assets WHERE cloud = ?1),
             (SELECT coalesce(sum(bytes), 0) FROM assets WHERE cloud = ?1),
             (SELECT count(*) FROM derived JOIN assets ON assets.id = derived.asset WHERE assets.cloud = ?1),
             (SELECT coalesce(sum(derived.bytes), 0) FROM derived JOIN assets ON assets.id = derived.asset
                  WHERE assets.cloud = ?1)
         FROM usage WHERE cloud = ?1 AND day >= ?2",
    )?;
    let mut rows = statement.query((cloud, since.0))?;
    match rows.next()? {
        Some(row) => record::read_usage(row),
        None => Ok(Usage::default()),
    }
}

pub(super) fn setting(transaction: &Transaction<'_>, name: &str) -> Work<Option<String>> {
    let mut statement = transaction.prepare_cached("SELECT value FROM settings WHERE name = ?")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

pub(super) fn set_setting(transaction: &Transaction<'_>, name: &str, value: &str) -> Work<()> {
    transaction
        .prepare_cached(
            "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute([name, value])?;
    Ok(())
}
