//! The pool and its limits, the schema, and whether the key is the right one.

use std::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Config, NoTls};

use super::{
    super::{
        CatalogError, Result,
        migration::{self, Migration},
        record::Columns,
        seal::Sealer,
    },
    Work,
};
use crate::domain::Timestamp;

/// Connections of one process.
const POOL_SIZE: usize = 16;
/// How long a query waits for a connection when all are lent.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new connection, or the question whether an old one lives, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may bring nothing, not even word that something arrived, before it counts as lost.
const SILENCE: Duration = Duration::from_secs(20);
/// Limits that the server keeps, in milliseconds. A commit is on disk when it returns, whatever the server's default.
const SESSION: &str = "-c statement_timeout=30000 -c lock_timeout=20000 -c idle_in_transaction_session_timeout=60000 \
     -c synchronous_commit=on";
/// Name of the lock that migrations take: the letters `tintype1` as a number.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"tintype1");

const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "foundation", sql: include_str!("migrations/0001_foundation.sql") },
    Migration { number: 2, name: "derived_by_use", sql: include_str!("migrations/0002_derived_by_use.sql") },
    Migration { number: 3, name: "library", sql: include_str!("migrations/0003_library.sql") },
    Migration { number: 4, name: "search", sql: include_str!("migrations/0004_search.sql") },
    Migration { number: 5, name: "jobs", sql: include_str!("migrations/0005_jobs.sql") },
    Migration { number: 6, name: "epochs", sql: include_str!("migrations/0006_epochs.sql") },
    Migration { number: 7, name: "renderings", sql: include_str!("migrations/0007_renderings.sql") },
    Migration { number: 8, name: "copies", sql: include_str!("migrations/0008_copies.sql") },
];

fn refused(detail: String) -> CatalogError {
    CatalogError::Internal { operation: "read the catalog's address", detail }
}

/// How connections to `url` are made.
pub(super) fn config(url: &str) -> Result<Config> {
    let mut config: Config = url.parse().map_err(|error| refused(super::row::described(&error)))?;
    let options = config.get_options().map_or(SESSION.to_owned(), |own| format!("{SESSION} {own}"));
    config.options(options);
    if config.get_application_name().is_none() {
        config.application_name("tintype");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    // A way that falls silent is noticed within a minute, not within the hours that the system takes.
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_idle(SILENCE).keepalives_interval(SILENCE / 4).keepalives_retries(3);
    }
    Ok(config)
}

/// A pool; nothing is connected yet.
pub(super) fn pool(config: Config) -> Result<Pool> {
    // `Verified` costs a question before each use and finds connections that died without a word.
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Verified });
    Pool::builder(manager)
        .max_size(POOL_SIZE)
        .wait_timeout(Some(WAIT_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| refused(error.to_string()))
}

/// Migrates and verifies the key in one transaction that locks out other starts, so that a start that fails changes
/// nothing.
pub(super) async fn prepare(client: &mut Client, sealer: &Sealer) -> Work<()> {
    let encoding = client.query_one("SHOW server_encoding", &[]).await?.text(0)?;
    if encoding != "UTF8" {
        let detail = format!("the encoding of the database is {encoding}, not UTF8");
        return Err(CatalogError::Internal { operation: "open", detail }.into());
    }
    let transaction = client.transaction().await?;
    // A migration may take long, and others wait for it; but not for ever.
    transaction.batch_execute("SET LOCAL statement_timeout = '1h'; SET LOCAL lock_timeout = '1h'").await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    transaction
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS migrations (
                 number BIGINT PRIMARY KEY, name TEXT COLLATE \"C\" NOT NULL, applied_at BIGINT NOT NULL
             )",
        )
        .await?;
    let rows = transaction.query("SELECT number FROM migrations ORDER BY number", &[]).await?;
    let recorded = rows.iter().map(|row| row.number(0)).collect::<Work<Vec<i64>>>()?;
    for step in migration::missing(MIGRATIONS, &recorded)? {
        transaction.batch_execute(step.sql).await?;
        let sql = "INSERT INTO migrations (number, name, applied_at) VALUES ($1, $2, $3)";
        transaction.execute(sql, &[&step.number, &step.name, &Timestamp::now().unix_micros()]).await?;
    }
    match transaction.query_opt("SELECT sealed FROM key_check", &[]).await? {
        Some(row) => sealer.verify(&row.bytes(0)?)?,
        None => {
            let sql = "INSERT INTO key_check (one, sealed) VALUES (1, $1)";
            transaction.execute(sql, &[&sealer.key_check()?]).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lost_connections_are_noticed_unless_the_address_says_otherwise() {
        let plain = config("postgres://u@host/d").unwrap();
        assert_eq!((plain.get_tcp_user_timeout(), plain.get_keepalives_idle()), (Some(&SILENCE), SILENCE));
        let given = config("postgres://u@host/d?tcp_user_timeout=7&keepalives_idle=9&keepalives_interval=3").unwrap();
        assert_eq!(given.get_tcp_user_timeout(), Some(&Duration::from_secs(7)));
        assert_eq!(given.get_keepalives_idle(), Duration::from_secs(9));
    }
}
