//! Clouds and their keys.

use rusqlite::{Transaction, params_from_iter};

use super::{
    super::{
        record::{self, API_KEY_COLUMNS, CLOUD_COLUMNS, Value},
        seal::Sealer,
    },
    Work,
    row::placeholders,
};
use crate::domain::{ApiKey, Cloud};

pub(super) fn create(transaction: &Transaction<'_>, cloud: &[Value], first_key: &[Value]) -> Work<()> {
    let sql = format!("INSERT INTO clouds ({CLOUD_COLUMNS}) VALUES ({})", placeholders(cloud));
    transaction.prepare_cached(&sql)?.execute(params_from_iter(cloud))?;
    add_key(transaction, first_key)
}

/// The cloud whose `column` (`id` or `name`) holds `value`.
pub(super) fn find(transaction: &Transaction<'_>, column: &'static str, value: &str) -> Work<Option<Cloud>> {
    let sql = format!("SELECT {CLOUD_COLUMNS} FROM clouds WHERE {column} = ?");
    let mut statement = transaction.prepare_cached(&sql)?;
    let mut rows = statement.query([value])?;
    rows.next()?.map(record::read_cloud).transpose()
}

pub(super) fn all(transaction: &Transaction<'_>) -> Work<Vec<Cloud>> {
    let mut statement = transaction.prepare_cached(&format!("SELECT {CLOUD_COLUMNS} FROM clouds ORDER BY name"))?;
    let mut rows = statement.query([])?;
    let mut clouds = Vec::new();
    while let Some(row) = rows.next()? {
        clouds.push(record::read_cloud(row)?);
    }
    Ok(clouds)
}

pub(super) fn add_key(transaction: &Transaction<'_>, key: &[Value]) -> Work<()> {
    let sql = format!("INSERT INTO api_keys ({API_KEY_COLUMNS}) VALUES ({})", placeholders(key));
    transaction.prepare_cached(&sql)?.execute(params_from_iter(key))?;
    Ok(())
}

pub(super) fn find_key(transaction: &Transaction<'_>, key: &str, sealer: &Sealer) -> Work<Option<ApiKey>> {
    let mut statement = transaction.prepare_cached(&format!("SELECT {API_KEY_COLUMNS} FROM api_keys WHERE key = ?"))?;
    let mut rows = statement.query([key])?;
    rows.next()?.map(|row| record::read_api_key(row, sealer)).transpose()
}

pub(super) fn keys_of(transaction: &Transaction<'_>, cloud: &str, sealer: &Sealer) -> Work<Vec<ApiKey>> {
    let sql = format!("SELECT {API_KEY_COLUMNS} FROM api_keys WHERE cloud = ? ORDER BY created_at, key");
    let mut statement = transaction.prepare_cached(&sql)?;
    let mut rows = statement.query([cloud])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(record::read_api_key(row, sealer)?);
    }
    Ok(keys)
}
