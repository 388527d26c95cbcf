//! What a server does now and then so that nothing grows for ever.

use crate::catalog::library::Library;
use crate::catalog::{Catalog, CatalogError};
use crate::domain::Timestamp;
use crate::heap;
use crate::jobs::copy::{self, CopyCounts};
use crate::service::derive::Deriver;
use crate::service::keep::DerivedKeeper;
use crate::service::upload::UploadService;
use crate::storage::{Backup, BlobStore};
use std::sync::Arc;
use std::time::Duration;

/// How often blobs that no row names any longer are deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How often uploads to the blob stores that nobody finishes are looked for.
const SWEEP_UNFINISHED_EVERY: Duration = Duration::from_secs(3600);

/// Keeps derived pictures below their limit, and deletes blobs that no row names any longer, also those that a crash left.
/// Gives back memory that was freed and is not in use again.
pub(crate) async fn sweep(
    catalog: Arc<dyn Catalog>,
    library: Library,
    deriver: Arc<Deriver>,
    keeper: Arc<DerivedKeeper>,
) {
    loop {
        keeper.tidy().await;
        match catalog.garbage(100).await {
            Ok(blobs) if !blobs.is_empty() => {
                let full = blobs.len() == 100;
                deriver.drop_blobs(blobs).await;
                if full {
                    continue;
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %error, "the garbage list could not be read"),
        }
        if let Err(error @ CatalogError::Schema(_)) = catalog.ping().await {
            tracing::error!(%error, "this server was left behind");
        }
        if let Err(error) = library.forget_renderings().await {
            tracing::warn!(%error, "old claims of renderings stay");
        }
        if let Err(error) = library.fold_changes().await {
            tracing::warn!(%error, "notes of changes were not folded");
        }
        tintype_render::pool::trim();
        heap::trim();
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

/// Deletes copies of originals that were deleted long enough ago.
pub(crate) async fn sweep_copies(library: Library, backup: Backup, counts: Arc<CopyCounts>, grace: Duration) {
    loop {
        match copy::remove_old(&library, &backup, &counts, grace, Timestamp::now()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "copies of deleted originals were deleted"),
            Err(error) => tracing::warn!(error, "copies of deleted originals could not be deleted yet"),
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

/// Has the stores forget uploads that no living writer will finish, and the server files whose parts stopped coming.
pub(crate) async fn remove_unfinished(stores: Vec<Arc<dyn BlobStore>>, uploads: UploadService) {
    loop {
        if let Err(error) = uploads.expire_parts(Timestamp::now()).await {
            tracing::warn!(error = %error, "parts of unfinished files could not be removed");
        }
        for store in &stores {
            if let Err(error) = store.remove_unfinished().await {
                tracing::warn!(error = %error, store = store.kind(), "unfinished uploads could not be removed");
            }
        }
        tokio::time::sleep(SWEEP_UNFINISHED_EVERY).await;
    }
}
