//! The pool and its limits, the schema, and whether the key is the right one.

use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Transaction};
use tokio_postgres::{Config, NoTls};

use super::{
    super::{
        CatalogError, Result,
        migration::{self, Migration, Recorded},
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

pub(super) const MIGRATIONS: &[Migration] = &[
    step(1, "foundation", include_str!("migrations/0001_foundation.sql")),
    step(2, "derived_by_use", include_str!("migrations/0002_derived_by_use.sql")),
    step(3, "library", include_str!("migrations/0003_library.sql")),
    step(4, "search", include_str!("migrations/0004_search.sql")),
    step(5, "jobs", include_str!("migrations/0005_jobs.sql")),
    step(6, "epochs", include_str!("migrations/0006_epochs.sql")),
    step(7, "renderings", include_str!("migrations/0007_renderings.sql")),
    step(8, "copies", include_str!("migrations/0008_copies.sql")),
    step(9, "notes", include_str!("migrations/0009_notes.sql")),
];

/// A step after which only programs work that know it.
const fn step(number: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration { number, name, sql, compatible_from: number }
}

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

/// How long a step waits for a lock on a table. Queries of other programs stand behind it meanwhile, and PostgreSQL looks
/// for deadlocks after twice as long: it is the step that gives way.
const STEP_LOCK_TIMEOUT: &str = "500ms";
/// How long steps are tried again that did not get their locks: a backup holds them for as long as it reads.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(600);
const MIGRATION_PAUSE: Duration = Duration::from_secs(1);

/// Brings the schema up to date as far as `steps` say, and verifies the key. A start that fails changes nothing.
pub(super) async fn prepare(client: &mut Client, sealer: &Sealer, steps: &[Migration]) -> Work<()> {
    let encoding = client.query_one("SHOW server_encoding", &[]).await?.text(0)?;
    if encoding != "UTF8" {
        let detail = format!("the encoding of the database is {encoding}, not UTF8");
        return Err(CatalogError::Internal { operation: "open", detail }.into());
    }
    let until = Instant::now() + MIGRATION_PATIENCE;
    loop {
        match migrate(client, sealer, steps).await {
            Err(failure) if failure.is_lock_timeout() && Instant::now() < until => {
                tracing::info!("the schema waits for a table that is in use");
                tokio::time::sleep(MIGRATION_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// One transaction that locks out other starts.
async fn migrate(client: &mut Client, sealer: &Sealer, steps: &[Migration]) -> Work<()> {
    let transaction = client.transaction().await?;
    // A step may take long, and other starts wait for it; but not for ever.
    transaction.batch_execute("SET LOCAL statement_timeout = '1h'; SET LOCAL lock_timeout = '1h'").await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    transaction.batch_execute(&format!("SET LOCAL lock_timeout = '{STEP_LOCK_TIMEOUT}'")).await?;
    let recorded = recorded(&transaction).await?;
    for step in migration::missing(steps, &recorded)? {
        transaction.batch_execute(step.sql).await?;
        let sql = "INSERT INTO migrations (number, name, applied_at, compatible_from) VALUES ($1, $2, $3, $4)";
        let applied_at = Timestamp::now().unix_micros();
        transaction.execute(sql, &[&step.number, &step.name, &applied_at, &step.compatible_from]).await?;
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

/// The steps that the database has seen; their table is made where it is missing.
async fn recorded(transaction: &Transaction<'_>) -> Work<Vec<Recorded>> {
    // Asking first: running programs read the table, and creating what is there would lock them out.
    let columns = "SELECT count(*), count(*) FILTER (WHERE attname = 'compatible_from') FROM pg_attribute
                   WHERE attrelid = to_regclass('migrations') AND attnum > 0";
    let columns = transaction.query_one(columns, &[]).await?;
    let (any, compatible) = (columns.number(0)? > 0, columns.number(1)? > 0);
    if !any {
        let create = "CREATE TABLE migrations (
             number BIGINT PRIMARY KEY, name TEXT COLLATE \"C\" NOT NULL, applied_at BIGINT NOT NULL
         )";
        transaction.batch_execute(create).await?;
    }
    if !compatible {
        // Steps that were recorded before there was the column fit the programs that know them.
        transaction.batch_execute("ALTER TABLE migrations ADD COLUMN compatible_from BIGINT").await?;
    }
    let rows = "SELECT number, coalesce(compatible_from, number) FROM migrations ORDER BY number";
    let rows = transaction.query(rows, &[]).await?;
    rows.iter().map(|row| Ok(Recorded { number: row.number(0)?, compatible_from: row.number(1)? })).collect()
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
