//! Between PostgreSQL's rows and errors and those of the catalog.

use std::{error::Error, fmt::Write};

use tokio_postgres::{Row, error::SqlState, types::ToSql};

use super::{
    super::{
        CatalogError,
        record::{Columns, Value},
    },
    Parameters, Work,
};

/// What ends a transaction.
#[derive(Debug)]
pub(in crate::catalog) enum Failure {
    Sql(tokio_postgres::Error),
    Column(tokio_postgres::Error),
    Catalog(CatalogError),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

/// An error with its causes: the driver's own text says only `db error`.
pub(super) fn described(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Writing to a text cannot fail.
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}

impl Failure {
    /// Whether somebody else held a lock for too long.
    pub(super) fn is_lock_timeout(&self) -> bool {
        matches!(self, Self::Sql(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
    }

    /// Sorts an error of the database by what a caller can do about it.
    pub(super) fn during(self, operation: &'static str) -> CatalogError {
        let error = match self {
            Self::Catalog(error) => return error,
            Self::Column(error) => return CatalogError::Corrupt(format!("{operation}: {}", described(&error))),
            Self::Sql(error) => error,
        };
        let detail = described(&error);
        let Some(answer) = error.as_db_error() else {
            // No answer of the server: the connection broke, or could not be made.
            return CatalogError::Unavailable(format!("{operation}: {detail}"));
        };
        match answer.code() {
            &SqlState::UNIQUE_VIOLATION => match answer.constraint() {
                Some("clouds_name_key") => return CatalogError::Conflict("the cloud name"),
                Some("clouds_pkey") => return CatalogError::Conflict("the cloud id"),
                Some("api_keys_pkey") => return CatalogError::Conflict("the API key"),
                // It was free when this transaction looked.
                Some("assets_cloud_resource_type_delivery_type_public_id_key") => {
                    return CatalogError::Contended(format!("{operation}: {detail}"));
                }
                _ => {}
            },
            &SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE => {
                return CatalogError::Contended(format!("{operation}: {detail}"));
            }
            &SqlState::FOREIGN_KEY_VIOLATION if answer.constraint().is_some_and(|name| name.contains("_cloud_")) => {
                return CatalogError::NotFound("the cloud");
            }
            &SqlState::NUMERIC_VALUE_OUT_OF_RANGE => {
                return CatalogError::Invalid { what: "a counter", reason: "the sum is beyond 63 bits" };
            }
            &SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED => {
                return CatalogError::Corrupt(format!("{operation}: {detail}"));
            }
            _ => {}
        }
        // By class: connection, transaction rollback, resources, lock or busy, operator intervention, system.
        if ["08", "40", "53", "55", "57", "58"].iter().any(|class| answer.code().code().starts_with(class)) {
            return CatalogError::Unavailable(format!("{operation}: {detail}"));
        }
        CatalogError::Internal { operation, detail }
    }
}

impl Value {
    fn as_parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Text(text) => text,
            Self::OptionalText(text) => text,
            Self::Number(number) => number,
            Self::OptionalNumber(number) => number,
            Self::Flag(flag) => flag,
            Self::Bytes(bytes) => bytes,
            Self::Null => &None::<String>,
        }
    }
}

pub(super) fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(Value::as_parameter).collect()
}

/// `$1, $2, …`: one for each value.
pub(super) fn placeholders(values: &[Value]) -> String {
    (1..=values.len()).map(|index| format!("${index}")).collect::<Vec<_>>().join(", ")
}

/// The rows that answer one statement of a transaction.
pub(super) async fn query(
    transaction: &deadpool_postgres::Transaction<'_>,
    sql: &str,
    parameters: Parameters<'_>,
) -> Work<Vec<Row>> {
    Ok(transaction.query(&transaction.prepare_cached(sql).await?, parameters).await?)
}

impl Columns for Row {
    type Error = Failure;

    fn text(&self, column: usize) -> Result<String, Failure> {
        self.try_get(column).map_err(Failure::Column)
    }

    fn optional_text(&self, column: usize) -> Result<Option<String>, Failure> {
        self.try_get(column).map_err(Failure::Column)
    }

    fn number(&self, column: usize) -> Result<i64, Failure> {
        self.try_get(column).map_err(Failure::Column)
    }

    fn optional_number(&self, column: usize) -> Result<Option<i64>, Failure> {
        self.try_get(column).map_err(Failure::Column)
    }

    fn flag(&self, column: usize) -> Result<bool, Failure> {
        self.try_get(column).map_err(Failure::Column)
    }

    fn bytes(&self, column: usize) -> Result<Vec<u8>, Failure> {
        self.try_get(column).map_err(Failure::Column)
    }
}
