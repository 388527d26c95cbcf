//! One way to speak to both databases, for queries that are written once. Parameters are `?` in the order of their values;
//! what the databases do not spell alike is asked of [`Dialect`].

use futures::future::BoxFuture;

use super::{
    CatalogError, Result,
    record::{Columns, Value},
};

/// Which database answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// Ends a query that locks the rows which it finds until the transaction ends. SQLite has one writer anyway.
    pub fn for_update(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE",
        }
    }

    /// As [`Dialect::for_update`], leaving out rows that another transaction has locked.
    pub fn skip_locked(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }
}

/// What other processes listen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Channel {
    /// There is a job.
    Jobs,
    /// Something changed that they may keep in memory.
    Changes,
}

impl Channel {
    pub fn name(self) -> &'static str {
        match self {
            Channel::Jobs => "tintype_jobs",
            Channel::Changes => "tintype_changes",
        }
    }
}

/// One transaction.
pub(super) trait Sql: Send {
    fn dialect(&self) -> Dialect;

    /// Has other processes told when the transaction is committed, where the database tells anybody anything. Changes of
    /// what they keep in memory are told without it.
    fn tell(&mut self, channel: Channel);

    /// Whether a second store gets copies of originals.
    fn keeps_copies(&self) -> bool;

    /// The rows that answer a statement. Its text is one of a small number, for it stays prepared.
    fn query<'a>(&'a mut self, sql: &'a str, values: &'a [Value]) -> BoxFuture<'a, Result<Vec<Record>>>;

    /// As [`Sql::query`], for statements whose text depends on the request.
    fn query_once<'a>(&'a mut self, sql: &'a str, values: &'a [Value]) -> BoxFuture<'a, Result<Vec<Record>>>;

    /// Runs a statement and counts the rows that it changed.
    fn execute<'a>(&'a mut self, sql: &'a str, values: &'a [Value]) -> BoxFuture<'a, Result<u64>>;

    /// As [`Sql::execute`], for statements whose text depends on the request.
    fn execute_once<'a>(&'a mut self, sql: &'a str, values: &'a [Value]) -> BoxFuture<'a, Result<u64>>;
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record(pub Vec<Value>);

fn wrong<T>(column: usize, wanted: &str) -> Result<T> {
    Err(CatalogError::Corrupt(format!("column {column} is no {wanted}")))
}

impl Columns for Record {
    type Error = CatalogError;

    fn text(&self, column: usize) -> Result<String> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text.clone()),
            Some(Value::OptionalText(Some(text))) => Ok(text.clone()),
            _ => wrong(column, "text"),
        }
    }

    fn optional_text(&self, column: usize) -> Result<Option<String>> {
        match self.0.get(column) {
            Some(Value::Null | Value::OptionalText(None)) => Ok(None),
            _ => self.text(column).map(Some),
        }
    }

    fn number(&self, column: usize) -> Result<i64> {
        match self.0.get(column) {
            Some(Value::Number(number) | Value::OptionalNumber(Some(number))) => Ok(*number),
            Some(Value::Flag(flag)) => Ok(i64::from(*flag)),
            _ => wrong(column, "number"),
        }
    }

    fn optional_number(&self, column: usize) -> Result<Option<i64>> {
        match self.0.get(column) {
            Some(Value::Null | Value::OptionalNumber(None)) => Ok(None),
            _ => self.number(column).map(Some),
        }
    }

    fn flag(&self, column: usize) -> Result<bool> {
        match self.0.get(column) {
            Some(Value::Flag(flag)) => Ok(*flag),
            Some(Value::Number(number @ (0 | 1))) => Ok(*number == 1),
            _ => wrong(column, "flag"),
        }
    }

    fn bytes(&self, column: usize) -> Result<Vec<u8>> {
        match self.0.get(column) {
            Some(Value::Bytes(bytes)) => Ok(bytes.clone()),
            _ => wrong(column, "bytes"),
        }
    }
}

/// `?, ?, …`
pub(super) fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// `(?, ?), (?, ?), …`: rows of an insertion.
pub(super) fn rows_of_marks(rows: usize, columns: usize) -> String {
    vec![format!("({})", marks(columns)); rows].join(", ")
}

/// A text as a value.
pub(super) fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

/// The statement with `$1`, `$2`, … instead of `?`; quoted texts stay as they are.
pub(super) fn numbered(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 16);
    let (mut quoted, mut count) = (false, 0_usize);
    for character in sql.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                out.push('\'');
            }
            '?' if !quoted => {
                count += 1;
                out.push('$');
                out.push_str(&count.to_string());
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_numbered_outside_of_texts() {
        assert_eq!(numbered("a = ? AND b = '?' AND c IN (?, ?)"), "a = $1 AND b = '?' AND c IN ($2, $3)");
        assert_eq!(marks(3), "?, ?, ?");
        assert_eq!(rows_of_marks(2, 2), "(?, ?), (?, ?)");
    }
}
