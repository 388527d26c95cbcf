//! Between SQLite's rows and errors and those of the catalog.

use rusqlite::{
    ErrorCode, Row, ToSql,
    types::{ToSqlOutput, Value as SqlValue},
};

use super::super::{
    CatalogError,
    record::{Columns, Value},
};

/// What ends a transaction.
#[derive(Debug)]
pub(in crate::catalog) enum Failure {
    Sql(rusqlite::Error),
    Catalog(CatalogError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl Failure {
    /// Sorts an error of the database by what a caller can do about it.
    pub(super) fn during(self, operation: &'static str) -> CatalogError {
        let error = match self {
            Self::Catalog(error) => return error,
            Self::Sql(error) => error,
        };
        let detail = error.to_string();
        match &error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::SystemIoFailure => CatalogError::Unavailable(format!("{operation}: {detail}")),
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                    CatalogError::Corrupt(format!("{operation}: {detail}"))
                }
                _ => from_constraint(&detail).unwrap_or(CatalogError::Internal { operation, detail }),
            },
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::Utf8Error(..) => CatalogError::Corrupt(format!("{operation}: {detail}")),
            _ => CatalogError::Internal { operation, detail },
        }
    }
}

/// SQLite names the columns of a broken rule in its text and nowhere else.
fn from_constraint(detail: &str) -> Option<CatalogError> {
    if detail.contains("FOREIGN KEY constraint failed") {
        return Some(CatalogError::NotFound("the cloud"));
    }
    // A sum that has left the integers is a float to SQLite, which a strict table refuses.
    if detail.contains("cannot store REAL value in INTEGER column") || detail.contains("integer overflow") {
        return Some(CatalogError::Invalid { what: "a counter", reason: "the sum is beyond 63 bits" });
    }
    let columns = detail.strip_prefix("UNIQUE constraint failed: ")?;
    match columns {
        "clouds.name" => Some(CatalogError::Conflict("the cloud name")),
        "clouds.id" => Some(CatalogError::Conflict("the cloud id")),
        "api_keys.key" => Some(CatalogError::Conflict("the API key")),
        _ => None,
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Text(text) => text.to_sql(),
            Self::OptionalText(text) => text.to_sql(),
            Self::Number(number) => number.to_sql(),
            Self::OptionalNumber(number) => number.to_sql(),
            Self::Flag(flag) => Ok(ToSqlOutput::Owned(SqlValue::Integer(i64::from(*flag)))),
            Self::Bytes(bytes) => bytes.to_sql(),
            Self::Null => Ok(ToSqlOutput::Owned(SqlValue::Null)),
        }
    }
}

impl Columns for Row<'_> {
    type Error = Failure;

    fn text(&self, column: usize) -> Result<String, Failure> {
        Ok(self.get(column)?)
    }

    fn optional_text(&self, column: usize) -> Result<Option<String>, Failure> {
        Ok(self.get(column)?)
    }

    fn number(&self, column: usize) -> Result<i64, Failure> {
        Ok(self.get(column)?)
    }

    fn optional_number(&self, column: usize) -> Result<Option<i64>, Failure> {
        Ok(self.get(column)?)
    }

    fn flag(&self, column: usize) -> Result<bool, Failure> {
        Ok(self.get(column)?)
    }

    fn bytes(&self, column: usize) -> Result<Vec<u8>, Failure> {
        Ok(self.get(column)?)
    }
}

/// `?, ?, …`: one for each value.
pub(super) fn placeholders(values: &[Value]) -> String {
    vec!["?"; values.len()].join(", ")
}
