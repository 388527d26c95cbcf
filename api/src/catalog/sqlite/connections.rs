//! Connections to the file: one that writes, some that read, and the migrations.

use super::super::secrets::{CHECK_SETTING, SecretBox};
use super::super::{CatalogError, Result};
use super::usage;
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Connections that stay open for reading.
const READERS: usize = 4;
/// How long a writer of another process is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Forward only: a migration is never changed once it was released.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_start.sql")];

pub(super) struct Connections {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Connections {
    pub fn open(path: &Path, secrets: &SecretBox) -> Result<Self> {
        let mut writer = connect(path, OpenFlags::default())?;
        migrate(&mut writer)?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(from_sqlite)?;
        match usage::setting(&transaction, CHECK_SETTING)? {
            Some(kept) => secrets.check(&kept)?,
            None => usage::set_setting(&transaction, CHECK_SETTING, &secrets.new_check()?)?,
        }
        transaction.commit().map_err(from_sqlite)?;
        Ok(Connections { path: path.to_owned(), writer: Mutex::new(writer), readers: Mutex::new(Vec::new()) })
    }

    /// Runs a query on a blocking thread.
    pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(CatalogError::Internal { operation: "run a query", detail: error.to_string() }),
        }
    }

    /// Runs one transaction that writes. Nothing of it stays when it fails.
    pub async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Transaction) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        Self::blocking(move || {
            let mut writer = this.writer.lock();
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(from_sqlite)?;
            let value = work(&transaction)?;
            transaction.commit().map_err(from_sqlite)?;
            Ok(value)
        })
        .await
    }

    /// Runs a query that only reads.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        Self::blocking(move || {
            let idle = this.readers.lock().pop();
            let reader = match idle {
                Some(reader) => reader,
                None => connect(&this.path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?,
            };
            let result = work(&reader);
            let mut readers = this.readers.lock();
            if readers.len() < READERS {
                readers.push(reader);
            }
            result
        })
        .await
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|error| CatalogError::Unavailable(format!("cannot open {}: {error}", path.display())))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(from_sqlite)?;
    if !flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) {
        connection.pragma_update(None, "journal_mode", "WAL").map_err(from_sqlite)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(from_sqlite)?;
    }
    connection.pragma_update(None, "foreign_keys", true).map_err(from_sqlite)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Brings the file to the newest version under the writers' lock.
fn migrate(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(from_sqlite)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(from_sqlite)?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if done > MIGRATIONS.len() {
        return Err(CatalogError::Unavailable(format!(
            "the catalog has version {version}, which is newer than this program knows ({})",
            MIGRATIONS.len()
        )));
    }
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration).map_err(from_sqlite)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64).map_err(from_sqlite)?;
    transaction.commit().map_err(from_sqlite)
}

/// What SQLite refuses, by whose fault it is.
pub(super) fn from_sqlite(error: rusqlite::Error) -> CatalogError {
    let code = error.sqlite_error_code();
    match code {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::OutOfMemory,
        ) => CatalogError::Unavailable(error.to_string()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => CatalogError::Corrupt(error.to_string()),
        _ => CatalogError::Internal { operation: "run a query", detail: error.to_string() },
    }
}

/// Whether a row could not be written because something unique is taken.
pub(super) fn is_taken(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    matches!(error, rusqlite::Error::SqliteFailure(failure, _)
        if matches!(failure.extended_code, SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE))
}

/// Whether a row names another that does not exist.
pub(super) fn is_orphan(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(failure, _)
        if failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY)
}
