//! The media library: everything about assets that people list, search, label and change, and the definitions of a cloud.
//! Each query is written once, for both databases (see `sql.rs`).

pub(super) mod assets;
mod blobs;
mod chunks;
mod clouds;
mod definitions;
mod derived;
mod filter;
mod folders;
mod labels;
mod relations;
pub(super) mod removal;
pub(super) mod terms;
mod versions;

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Result, postgres::PostgresCatalog, sql::Sql, sqlite::SqliteCatalog};

pub use assets::Renamed;
pub use chunks::{Chunk, ChunkOutcome};
pub use clouds::{CloudRemoval, KeyChange, KeyLabel, KeyOutcome};
pub use definitions::{Definition, DefinitionKind, DefinitionPage};
pub use derived::{DerivedCursor, DerivedOf, DerivedPage};
pub use filter::{AssetFilter, LibraryCursor, LibraryPage, Selection};
pub use folders::{Folder, FolderRemoval};
pub use labels::TagPage;
pub use removal::{Removal, Removed};

/// The catalog's records as a media library. Cheap to clone.
#[derive(Clone)]
pub struct Library {
    database: Database,
}

#[derive(Clone)]
enum Database {
    Sqlite(Arc<SqliteCatalog>),
    Postgres(Arc<PostgresCatalog>),
}

impl From<Arc<SqliteCatalog>> for Library {
    fn from(catalog: Arc<SqliteCatalog>) -> Self {
        Library { database: Database::Sqlite(catalog) }
    }
}

impl From<Arc<PostgresCatalog>> for Library {
    fn from(catalog: Arc<PostgresCatalog>) -> Self {
        Library { database: Database::Postgres(catalog) }
    }
}

impl Library {
    /// Runs `work` as one read transaction.
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl for<'a> FnOnce(&'a mut dyn Sql) -> BoxFuture<'a, Result<T>> + Send + 'static,
    ) -> Result<T> {
        match &self.database {
            Database::Sqlite(catalog) => catalog.session(operation, false, work).await,
            Database::Postgres(catalog) => catalog.session(operation, false, work).await,
        }
    }

    /// Runs `work` as one write transaction.
    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl for<'a> FnOnce(&'a mut dyn Sql) -> BoxFuture<'a, Result<T>> + Send + 'static,
    ) -> Result<T> {
        match &self.database {
            Database::Sqlite(catalog) => catalog.session(operation, true, work).await,
            Database::Postgres(catalog) => catalog.session(operation, true, work).await,
        }
    }
}
