//! Opening the file: settings of a connection, the schema, and whether the key is the right one.

use std::{
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use super::{
    super::{
        CatalogError, Result,
        migration::{self, Migration, Recorded},
        seal::Sealer,
    },
    Work,
};
use crate::domain::Timestamp;

/// How long a connection waits for a lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it pauses where SQLite does not wait by itself.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// Statements that a connection keeps prepared.
const N_PREPARED: usize = 64;

pub(super) const MIGRATIONS: &[Migration] = &[
    step(1, "foundation", include_str!("migrations/0001_foundation.sql")),
    step(2, "derived_by_use", include_str!("migrations/0002_derived_by_use.sql")),
    step(3, "library", include_str!("migrations/0003_library.sql")),
    step(4, "search", include_str!("migrations/0004_search.sql")),
    step(5, "jobs", include_str!("migrations/0005_jobs.sql")),
    step(6, "epochs", include_str!("migrations/0006_epochs.sql")),
    step(7, "copies", include_str!("migrations/0007_copies.sql")),
];

/// A step after which only programs work that know it.
const fn step(number: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration { number, name, sql, compatible_from: number }
}

/// The connection that writes, after it has brought the schema up to date and verified the key.
pub(super) fn writer(path: &Path, sealer: &Sealer, steps: &[Migration]) -> Result<Connection> {
    create_file(path).map_err(|error| CatalogError::Unavailable(format!("create {}: {error}", path.display())))?;
    let open = || -> Work<Connection> {
        let mut connection = connect(path)?;
        if log_ahead(&connection)? != "wal" {
            let detail = format!("the file system of {} cannot hold a write-ahead log", path.display());
            return Err(CatalogError::Internal { operation: "open", detail }.into());
        }
        connection.pragma_update(None, "synchronous", "FULL")?;
        prepare(&mut connection, sealer, steps)?;
        Ok(connection)
    };
    open().map_err(|failure| failure.during("open"))
}

/// Switches to the write-ahead log and answers with the mode there is then. SQLite itself does not wait for others there,
/// who may be starting at the same time.
fn log_ahead(connection: &Connection) -> rusqlite::Result<String> {
    let until = Instant::now() + BUSY_TIMEOUT;
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < until => {
                thread::sleep(BUSY_PAUSE);
            }
            other => return other,
        }
    }
}

/// The only connection of a database that lives in memory, with its schema.
pub(super) fn in_memory(sealer: &Sealer) -> Result<Connection> {
    let open = || -> Work<Connection> {
        let mut connection = settled(Connection::open_in_memory()?)?;
        prepare(&mut connection, sealer, MIGRATIONS)?;
        Ok(connection)
    };
    open().map_err(|failure| failure.during("open"))
}

/// A connection that cannot write.
pub(super) fn reader(path: &Path) -> Result<Connection> {
    let open = || -> Work<Connection> {
        let connection = connect(path)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    open().map_err(|failure| failure.during("open"))
}

fn connect(path: &Path) -> Work<Connection> {
    // Without the URI flag, so that no file name is read as anything but a file name.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    settled(Connection::open_with_flags(path, flags)?)
}

fn settled(connection: Connection) -> Work<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(N_PREPARED);
    Ok(connection)
}

/// SQLite would create the file for everyone to read; it gives the log beside it the mode of the file.
fn create_file(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => fs::File::open(folder)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Migrates and verifies the key in one transaction that locks out other writers, so that a start that fails changes
/// nothing.
fn prepare(connection: &mut Connection, sealer: &Sealer, steps: &[Migration]) -> Work<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in migration::missing(steps, &recorded(&transaction)?)? {
        transaction.execute_batch(step.sql)?;
        transaction.execute(
            "INSERT INTO migrations (number, name, applied_at, compatible_from) VALUES (?, ?, ?, ?)",
            (step.number, step.name, Timestamp::now().unix_micros(), step.compatible_from),
        )?;
    }
    let check: Option<Vec<u8>> =
        transaction.query_row("SELECT sealed FROM key_check", [], |row| row.get(0)).optional()?;
    match check {
        Some(check) => sealer.verify(&check)?,
        None => {
            transaction.execute("INSERT INTO key_check (one, sealed) VALUES (1, ?)", [sealer.key_check()?])?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// The steps that the database has seen; their table is made where it is missing.
fn recorded(transaction: &Transaction<'_>) -> Work<Vec<Recorded>> {
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
             number INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL, applied_at INTEGER NOT NULL
         ) STRICT",
    )?;
    let column = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('migrations') WHERE name = 'compatible_from')";
    if !transaction.query_row(column, [], |row| row.get::<_, bool>(0))? {
        // Steps that were recorded before there was the column fit the programs that know them.
        transaction.execute_batch("ALTER TABLE migrations ADD COLUMN compatible_from INTEGER")?;
    }
    let mut rows =
        transaction.prepare("SELECT number, coalesce(compatible_from, number) FROM migrations ORDER BY number")?;
    let rows = rows.query_map([], |row| Ok(Recorded { number: row.get(0)?, compatible_from: row.get(1)? }))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
