//! Counters by cloud and day, and the server's own settings.

use super::{
    super::{
        Result,
        record::{self, Columns},
    },
    PostgresCatalog,
};
use crate::domain::{CloudId, Day, Usage, UsageDelta};

pub(super) async fn add(catalog: &PostgresCatalog, cloud: &CloudId, day: Day, delta: UsageDelta) -> Result<()> {
    let [transformations, bandwidth_bytes, requests] = record::counters(delta)?;
    let sql = "INSERT INTO usage AS old (cloud, day, transformations, bandwidth_bytes, requests)
               VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (cloud, day) DO UPDATE SET
                   transformations = old.transformations + excluded.transformations,
                   bandwidth_bytes = old.bandwidth_bytes + excluded.bandwidth_bytes,
                   requests = old.requests + excluded.requests";
    let day = i64::from(day.0);
    catalog
        .execute("count usage", sql, &[&cloud.as_str(), &day, &transformations, &bandwidth_bytes, &requests])
        .await?;
    Ok(())
}

pub(super) async fn sum(catalog: &PostgresCatalog, cloud: &CloudId, since: Day) -> Result<Usage> {
    // A sum of BIGINT is NUMERIC; one beyond BIGINT is an error of the cast.
    let sql = "SELECT coalesce(sum(transformations), 0)::bigint, coalesce(sum(bandwidth_bytes), 0)::bigint,
                   coalesce(sum(requests), 0)::bigint,
                   (SELECT count(*) FROM assets WHERE cloud = $1),
                   (SELECT coalesce(sum(bytes), 0)::bigint FROM assets WHERE cloud = $1),
                   (SELECT count(*) FROM derived JOIN assets ON assets.id = derived.asset WHERE assets.cloud = $1),
                   (SELECT coalesce(sum(derived.bytes), 0)::bigint
                        FROM derived JOIN assets ON assets.id = derived.asset WHERE assets.cloud = $1)
               FROM usage WHERE cloud = $1 AND day >= $2";
    let rows = catalog.query("sum up usage", sql, &[&cloud.as_str(), &i64::from(since.0)]).await?;
    match rows.first() {
        Some(row) => record::read_usage(row).map_err(|failure| failure.during("sum up usage")),
        None => Ok(Usage::default()),
    }
}

pub(super) async fn setting(catalog: &PostgresCatalog, name: &str) -> Result<Option<String>> {
    // The server would take a text with NUL for an error; no setting has one in its name.
    if name.contains('\0') {
        return Ok(None);
    }
    let rows = catalog.query("read a setting", "SELECT value FROM settings WHERE name = $1", &[&name]).await?;
    rows.first().map(|row| row.text(0)).transpose().map_err(|failure| failure.during("read a setting"))
}

pub(super) async fn set_setting(catalog: &PostgresCatalog, name: &str, value: &str) -> Result<()> {
    let (name, value) = (record::text("a setting's name", name)?, record::text("a setting", value)?);
    let sql =
        "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    catalog.execute("write a setting", sql, &[&name, &value]).await?;
    Ok(())
}
