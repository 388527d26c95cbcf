//! Statements that are written for both databases, on SQLite.

use std::sync::atomic::Ordering;

use futures::{FutureExt, future::BoxFuture};
use rusqlite::{Connection, params_from_iter, types::ValueRef};

use super::{
    super::{
        CatalogError, Result,
        record::Value,
        sql::{Channel, Dialect, Record, Sql},
    },
    SqliteCatalog, Work, blocking,
    row::Failure,
};

/// One transaction on one connection.
struct Session<'c> {
    connection: &'c mut Connection,
    operation: &'static str,
    keeps_copies: bool,
}

impl Session<'_> {
    fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Record>> {
        let read = || -> Work<Vec<Record>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let width = statement.column_count();
            let mut rows = statement.query(params_from_iter(values))?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                let mut record = Vec::with_capacity(width);
                for column in 0..width {
                    record.push(match row.get_ref(column)? {
                        ValueRef::Null => Value::Null,
                        ValueRef::Integer(number) => Value::Number(number),
                        ValueRef::Real(_) => {
                            return Err(CatalogError::Corrupt(format!("column {column} is a float")).into());
                        }
                        ValueRef::Text(_) => Value::Text(row.get(column)?),
                        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                    });
                }
                records.push(Record(record));
            }
            Ok(records)
        };
        read().map_err(|failure| failure.during(self.operation))
    }

    fn run(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        let run =
            || -> Work<u64> { Ok(self.connection.prepare_cached(sql)?.execute(params_from_iter(values))? as u64) };
        run().map_err(|failure| failure.during(self.operation))
    }
}

impl Sql for Session<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn tell(&mut self, _: Channel) {}

    fn keeps_copies(&self) -> bool {
        self.keeps_copies
    }

    fn query<'a>(&'a mut self, sql: &'a str, values: &'a [Value]) -> BoxFuture<'a, Result<Vec<Record>>> {
        let rows = self.rows(sql, values);
        Box::pin(std::future::ready(rows))
    }

    // Prepared statements are kept by recent use, so that texts which do not come again leave.
    fn query_once<'a>(&'a mut self, sql: &'a str, values: &'a [Value]) -> BoxFuture<'a, Result<Vec<Record>>> {
        self.query(sql, values)
    }

    fn execute<'a>(&'a mut self, sql: &'a str, values: &'a [Value]) -> BoxFuture<'a, Result<u64>> {
        let changed = self.run(sql, values);
        Box::pin(std::future::ready(changed))
    }

    fn execute_once<'a>(&'a mut self, sql: &'a str, values: &'a [Value]) -> BoxFuture<'a, Result<u64>> {
        self.execute(sql, values)
    }
}

/// A transaction that is rolled back unless it was committed, also when the work in it panics.
struct Open<'c>(&'c mut Connection);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit()
            && let Err(error) = self.0.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }
}

impl SqliteCatalog {
    /// Runs `work` as one transaction. Its statements answer at once, so that it never waits.
    pub(in crate::catalog) async fn session<T: Send + 'static>(
        &self,
        operation: &'static str,
        write: bool,
        work: impl for<'a> FnOnce(&'a mut dyn Sql) -> BoxFuture<'a, Result<T>> + Send + 'static,
    ) -> Result<T> {
        let connections = if write { &self.writer } else { &self.readers };
        let (permit, idle) = connections.lend().await?;
        let keeps_copies = self.keeps_copies.load(Ordering::Relaxed);
        blocking(operation, move || {
            let mut lent = super::Lent::take(permit, idle)?;
            let connection = lent.connection()?;
            let failed = |error: rusqlite::Error| Failure::from(error).during(operation);
            connection.execute_batch(if write { "BEGIN IMMEDIATE" } else { "BEGIN" }).map_err(failed)?;
            let open = Open(connection);
            let mut session = Session { connection: &mut *open.0, operation, keeps_copies };
            let value = work(&mut session).now_or_never().unwrap_or_else(|| {
                Err(CatalogError::Internal { operation, detail: "a statement waited".to_owned() })
            })?;
            open.0.execute_batch("COMMIT").map_err(failed)?;
            Ok(value)
        })
        .await
    }
}
