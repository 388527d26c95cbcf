//! Statements that are written for both databases, on PostgreSQL.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use deadpool_postgres::Transaction;
use futures::future::BoxFuture;
use tokio_postgres::{IsolationLevel, Row, types::Type};

use super::{
    super::{
        CatalogError, Result,
        record::{Columns, Value},
        sql::{Channel, Dialect, Record, Sql, numbered},
    },
    PostgresCatalog, Work, client,
    notices::is_followed,
    row::{Failure, parameters},
};

/// One transaction.
struct Session<'t> {
    transaction: &'t Transaction<'t>,
    operation: &'static str,
    /// What is told after the commit.
    told: BTreeSet<Channel>,
    keeps_copies: bool,
}

fn record(row: &Row) -> Work<Record> {
    let mut record = Vec::with_capacity(row.len());
    for (column, kind) in row.columns().iter().enumerate() {
        record.push(match *kind.type_() {
            Type::TEXT | Type::VARCHAR | Type::NAME => row.optional_text(column)?.map_or(Value::Null, Value::Text),
            Type::INT8 => row.optional_number(column)?.map_or(Value::Null, Value::Number),
            Type::INT4 => {
                let number: Option<i32> = row.try_get(column).map_err(Failure::Column)?;
                number.map_or(Value::Null, |number| Value::Number(number.into()))
            }
            Type::BOOL => Value::Flag(row.flag(column)?),
            Type::BYTEA => Value::Bytes(row.bytes(column)?),
            ref other => return Err(CatalogError::Corrupt(format!("column {column} is a {other}")).into()),
        });
    }
    Ok(Record(record))
}

impl Session<'_> {
    /// The statement as PostgreSQL writes it.
    fn noted(&mut self, sql: &str) -> String {
        if is_followed(sql) {
            self.told.insert(Channel::Changes);
        }
        numbered(sql)
    }

    async fn rows(&mut self, sql: &str, values: &[Value], keep: bool) -> Work<Vec<Record>> {
        let sql = self.noted(sql);
        let rows = if keep {
            self.transaction.query(&self.transaction.prepare_cached(&sql).await?, &parameters(values)).await?
        } else {
            self.transaction.query(&sql, &parameters(values)).await?
        };
        rows.iter().map(record).collect()
    }

    async fn run(&mut self, sql: &str, values: &[Value], keep: bool) -> Work<u64> {
        let sql = self.noted(sql);
        Ok(if keep {
            self.transaction.execute(&self.transaction.prepare_cached(&sql).await?, &parameters(values)).await?
        } else {
            self.transaction.execute(&sql, &parameters(values)).await?
        })
    }
}

impl Sql for Session<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn tell(&mut self, channel: Channel) {
        self.told.insert(channel);
    }

    fn keeps_copies(&self) -> bool {
        self.keeps_copies
    }

    fn query<'a>(&'a mut self, sql: &'a str, values: &'a [Value]) -> BoxFuture<'a, Result<Vec<Record>>> {
        Box::pin(async move { self.rows(sql, values, true).await.map_err(|failure| failure.during(self.operation)) })
    }

    fn query_once<'a>(&'a mut self, sql: &'a str, values: &'a [Value]) -> BoxFuture<'a, Result<Vec<Record>>> {
        Box::pin(async move { self.rows(sql, values, false).await.map_err(|failure| failure.during(self.operation)) })
    }

    fn execute<'a>(&'a mut self, sql: &'a str, values: &'a [Value]) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.run(sql, values, true).await.map_err(|failure| failure.during(self.operation)) })
    }

    fn execute_once<'a>(&'a mut self, sql: &'a str, values: &'a [Value]) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { self.run(sql, values, false).await.map_err(|failure| failure.during(self.operation)) })
    }
}

/// Tries of a transaction that others get into the way of.
const N_TRIES: u32 = 8;
/// Longest pause before the second try; each later one may be longer by as much.
const PAUSE: Duration = Duration::from_millis(20);

/// Tries of one transaction.
#[derive(Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Waits until it is worth another try after this error; other errors, and that of the last try, are given back.
    pub(super) async fn pause(&mut self, error: CatalogError) -> Result<()> {
        let CatalogError::Contended(detail) = error else { return Err(error) };
        self.0 += 1;
        if self.0 == N_TRIES {
            return Err(CatalogError::Unavailable(detail));
        }
        tracing::debug!(detail, tries = self.0, "a transaction is tried again");
        // Those that met must not meet again.
        tokio::time::sleep((PAUSE * self.0).mul_f64(rand::random())).await;
        Ok(())
    }
}

impl PostgresCatalog {
    /// Runs `work` as one transaction of level READ COMMITTED that reads.
    pub(in crate::catalog) async fn read_session<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl for<'a> FnOnce(&'a mut dyn Sql) -> BoxFuture<'a, Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.session_at(operation, false, IsolationLevel::ReadCommitted, work).await
    }

    /// Runs `work` as one transaction of level READ COMMITTED, and again where others got into its way.
    pub(in crate::catalog) async fn write_session<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl for<'a> FnOnce(&'a mut dyn Sql) -> BoxFuture<'a, Result<T>> + Clone + Send + 'static,
    ) -> Result<T> {
        let mut tries = Tries::default();
        loop {
            match self.session_at(operation, true, IsolationLevel::ReadCommitted, work.clone()).await {
                Err(error) => tries.pause(error).await?,
                done => return done,
            }
        }
    }

    /// Runs `work` as one transaction that reads, all of whose statements see the same state.
    pub(in crate::catalog) async fn snapshot<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl for<'a> FnOnce(&'a mut dyn Sql) -> BoxFuture<'a, Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.session_at(operation, false, IsolationLevel::RepeatableRead, work).await
    }

    async fn session_at<T: Send + 'static>(
        &self,
        operation: &'static str,
        write: bool,
        level: IsolationLevel,
        work: impl for<'a> FnOnce(&'a mut dyn Sql) -> BoxFuture<'a, Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut client = client(&self.pool).await?;
        let failed = |error: tokio_postgres::Error| Failure::from(error).during(operation);
        let begin = client.build_transaction().isolation_level(level).read_only(!write);
        let transaction = begin.start().await.map_err(failed)?;
        let keeps_copies = self.keeps_copies.load(Ordering::Relaxed);
        let mut session = Session { transaction: &transaction, operation, told: BTreeSet::new(), keeps_copies };
        let value = work(&mut session).await?;
        let told = session.told;
        transaction.commit().await.map_err(failed)?;
        self.notices.tell(told);
        Ok(value)
    }
}
