//! Clouds and their keys.

use deadpool_postgres::Transaction;

use super::{
    super::{
        Result,
        record::{self, API_KEY_COLUMNS, CLOUD_COLUMNS, Value},
    },
    PostgresCatalog, Work,
    row::{parameters, placeholders, query},
};
use crate::domain::{ApiKey, Cloud, CloudId};

pub(super) async fn create(transaction: &Transaction<'_>, cloud: &[Value], first_key: &[Value]) -> Work<()> {
    let sql = format!("INSERT INTO clouds ({CLOUD_COLUMNS}) VALUES ({})", placeholders(cloud));
    query(transaction, &sql, &parameters(cloud)).await?;
    add_key(transaction, first_key).await
}

pub(super) async fn add_key(transaction: &Transaction<'_>, key: &[Value]) -> Work<()> {
    let sql = format!("INSERT INTO api_keys ({API_KEY_COLUMNS}) VALUES ({})", placeholders(key));
    query(transaction, &sql, &parameters(key)).await?;
    Ok(())
}

/// The cloud whose `column` (`id` or `name`) holds `value`.
pub(super) async fn find(catalog: &PostgresCatalog, column: &'static str, value: &str) -> Result<Option<Cloud>> {
    let sql = format!("SELECT {CLOUD_COLUMNS} FROM clouds WHERE {column} = $1");
    let rows = catalog.query("find a cloud", &sql, &[&value]).await?;
    rows.first().map(record::read_cloud).transpose().map_err(|failure| failure.during("find a cloud"))
}

pub(super) async fn all(catalog: &PostgresCatalog) -> Result<Vec<Cloud>> {
    let sql = format!("SELECT {CLOUD_COLUMNS} FROM clouds ORDER BY name");
    let rows = catalog.query("list clouds", &sql, &[]).await?;
    rows.iter().map(record::read_cloud).collect::<Work<_>>().map_err(|failure| failure.during("list clouds"))
}

pub(super) async fn find_key(catalog: &PostgresCatalog, key: &str) -> Result<Option<ApiKey>> {
    // The server would take a text with NUL for an error; no key has one.
    if key.contains('\0') {
        return Ok(None);
    }
    let sql = format!("SELECT {API_KEY_COLUMNS} FROM api_keys WHERE key = $1");
    let rows = catalog.query("find an API key", &sql, &[&key]).await?;
    rows.first()
        .map(|row| record::read_api_key(row, &catalog.sealer))
        .transpose()
        .map_err(|failure| failure.during("find an API key"))
}

pub(super) async fn keys_of(catalog: &PostgresCatalog, cloud: &CloudId) -> Result<Vec<ApiKey>> {
    let sql = format!("SELECT {API_KEY_COLUMNS} FROM api_keys WHERE cloud = $1 ORDER BY created_at, key");
    let rows = catalog.query("list API keys", &sql, &[&cloud.as_str()]).await?;
    rows.iter()
        .map(|row| record::read_api_key(row, &catalog.sealer))
        .collect::<Work<_>>()
        .map_err(|failure| failure.during("list API keys"))
}
