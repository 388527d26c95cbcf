//! Clouds and their keys.

use super::super::secrets::SecretBox;
use super::super::values::corrupt;
use super::super::{CatalogError, Result};
use super::connections::{from_sqlite, is_orphan, is_taken};
use crate::domain::{ApiKey, Cloud, CloudId, CloudName, Secret, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

const CLOUD: &str = "SELECT id, name, created_at FROM clouds";
const KEY: &str = "SELECT key, cloud, secret, enabled, created_at FROM api_keys";

fn cloud(row: &Row) -> rusqlite::Result<(String, String, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn to_cloud((id, name, created_at): (String, String, i64)) -> Result<Cloud> {
    Ok(Cloud {
        id: CloudId::new(id).map_err(corrupt)?,
        name: CloudName::new(name).map_err(corrupt)?,
        created_at: Timestamp::from_unix_micros(created_at),
    })
}

pub(super) fn insert_cloud(connection: &Connection, cloud: &Cloud) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO clouds (id, name, created_at) VALUES (?1, ?2, ?3)")
        .and_then(|mut insert| {
            insert.execute(params![cloud.id.as_str(), cloud.name.as_str(), cloud.created_at.unix_micros()])
        })
        .map_err(|error| if is_taken(&error) { CatalogError::Conflict("the cloud") } else { from_sqlite(error) })?;
    Ok(())
}

pub(super) fn by_id(connection: &Connection, id: &CloudId) -> Result<Option<Cloud>> {
    one(connection, "id", id.as_str())
}

pub(super) fn by_name(connection: &Connection, name: &CloudName) -> Result<Option<Cloud>> {
    one(connection, "name", name.as_str())
}

fn one(connection: &Connection, column: &str, value: &str) -> Result<Option<Cloud>> {
    let found = connection
        .prepare_cached(&format!("{CLOUD} WHERE {column} = ?1"))
        .and_then(|mut query| query.query_row([value], cloud).optional())
        .map_err(from_sqlite)?;
    found.map(to_cloud).transpose()
}

pub(super) fn all(connection: &Connection) -> Result<Vec<Cloud>> {
    let mut query = connection.prepare_cached(&format!("{CLOUD} ORDER BY name")).map_err(from_sqlite)?;
    let rows = query.query_map([], cloud).map_err(from_sqlite)?;
    rows.map(|row| to_cloud(row.map_err(from_sqlite)?)).collect()
}

/// `sealed` is the encrypted secret.
pub(super) fn insert_key(connection: &Connection, key: &ApiKey, sealed: &[u8]) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO api_keys (key, cloud, secret, enabled, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")
        .and_then(|mut insert| {
            let created_at = key.created_at.unix_micros();
            insert.execute(params![key.key, key.cloud.as_str(), sealed, key.enabled, created_at])
        })
        .map_err(|error| {
            if is_taken(&error) {
                CatalogError::Conflict("the API key")
            } else if is_orphan(&error) {
                CatalogError::NotFound("the cloud")
            } else {
                from_sqlite(error)
            }
        })?;
    Ok(())
}

type KeyRow = (String, String, Vec<u8>, bool, i64);

fn key_row(row: &Row) -> rusqlite::Result<KeyRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn to_key(secrets: &SecretBox, (key, cloud, sealed, enabled, created_at): KeyRow) -> Result<ApiKey> {
    Ok(ApiKey {
        secret: Secret::new(secrets.open(&key, &sealed)?),
        key,
        cloud: CloudId::new(cloud).map_err(corrupt)?,
        enabled,
        created_at: Timestamp::from_unix_micros(created_at),
    })
}

pub(super) fn key(connection: &Connection, secrets: &SecretBox, key: &str) -> Result<Option<ApiKey>> {
    let found = connection
        .prepare_cached(&format!("{KEY} WHERE key = ?1"))
        .and_then(|mut query| query.query_row([key], key_row).optional())
        .map_err(from_sqlite)?;
    found.map(|row| to_key(secrets, row)).transpose()
}

pub(super) fn keys(connection: &Connection, secrets: &SecretBox, cloud: &CloudId) -> Result<Vec<ApiKey>> {
    let mut query =
        connection.prepare_cached(&format!("{KEY} WHERE cloud = ?1 ORDER BY created_at, key")).map_err(from_sqlite)?;
    let rows = query.query_map([cloud.as_str()], key_row).map_err(from_sqlite)?;
    rows.map(|row| to_key(secrets, row.map_err(from_sqlite)?)).collect()
}
