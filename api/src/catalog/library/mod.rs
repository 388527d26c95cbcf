//! The media library: everything about assets that people list, search, label and change, and the definitions of a cloud.
//! Each query is written once, for both databases (see `sql.rs`).

pub(super) mod assets;
mod blobs;
mod chunks;
mod clouds;
mod copies;
mod definitions;
mod derived;
mod epochs;
mod export;
mod filter;
mod folder_search;
mod folders;
mod inventory;
mod job_lists;
pub(super) mod jobs;
mod labels;
mod relations;
pub(super) mod removal;
mod renderings;
mod search;
pub(super) mod terms;
mod versions;

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{
    Result,
    postgres::PostgresCatalog,
    sql::{Channel, Sql},
    sqlite::SqliteCatalog,
};

pub use assets::Renamed;
pub use chunks::{Chunk, ChunkOutcome};
pub use clouds::{CloudRemoval, KeyChange, KeyLabel, KeyOutcome};
pub use copies::{COPY_JOB, CopiesFound, OriginalBlob, copy_job};
pub use definitions::{Definition, DefinitionKind, DefinitionPage};
pub use derived::{DerivedCursor, DerivedOf, DerivedPage};
pub use epochs::ChangeMark;
pub use export::{BLOBS, ImportTable, Imported, RowSink, TABLES_OF_BACKUP};
pub use filter::{AssetFilter, LibraryCursor, LibraryPage, Selection};
pub use folder_search::{FolderColumn, FolderOrder, FolderPage};
pub use folders::{Folder, FolderRemoval};
pub use inventory::{Garbage, Holder, NamedBlob, RowCursor};
pub use job_lists::{JobCounts, JobCursor, JobFilter, JobPage, Retention};
pub use jobs::{Claim, Enqueued, Reclaimed};
pub use labels::TagPage;
pub use removal::{Removal, Removed};
pub use search::{Aggregate, Counts, SearchCursor, SearchPage, SearchQuery, SortKey, SortValue};

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
    /// Calls `on_job` whenever another process enqueued jobs, for as long as it is polled. Calls may come for nothing, and
    /// some may be missing: who needs to be sure looks now and then.
    pub async fn listen_for_jobs(&self, on_job: impl Fn() + Send + Sync) {
        match &self.database {
            // Only this process writes to the file, or others that people start by hand.
            Database::Sqlite(_) => std::future::pending().await,
            Database::Postgres(catalog) => catalog.listen(Channel::Jobs.name(), on_job).await,
        }
    }

    /// Runs `work` as one read transaction.
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl for<'a> FnOnce(&'a mut dyn Sql) -> BoxFuture<'a, Result<T>> + Send + 'static,
    ) -> Result<T> {
        match &self.database {
            Database::Sqlite(catalog) => catalog.session(operation, false, work).await,
            Database::Postgres(catalog) => catalog.read_session(operation, work).await,
        }
    }

    /// Runs `work` as one read transaction whose statements all see the same state.
    async fn snapshot<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl for<'a> FnOnce(&'a mut dyn Sql) -> BoxFuture<'a, Result<T>> + Send + 'static,
    ) -> Result<T> {
        match &self.database {
            // Every transaction that reads the log sees it as it was at its first statement.
            Database::Sqlite(catalog) => catalog.session(operation, false, work).await,
            Database::Postgres(catalog) => catalog.snapshot(operation, work).await,
        }
    }

    /// Runs `work` as one write transaction, and again where others got into its way.
    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl for<'a> FnOnce(&'a mut dyn Sql) -> BoxFuture<'a, Result<T>> + Clone + Send + 'static,
    ) -> Result<T> {
        match &self.database {
            Database::Sqlite(catalog) => catalog.session(operation, true, work).await,
            Database::Postgres(catalog) => catalog.write_session(operation, work).await,
        }
    }
}
