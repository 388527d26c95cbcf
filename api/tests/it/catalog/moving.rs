//! A catalog moves from one database to the other and back.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::KEY;
use super::postgres::with_database;
use std::collections::HashSet;
use std::sync::Arc;
use tintype_api::catalog::library::Library;
use tintype_api::catalog::postgres::PostgresCatalog;
use tintype_api::catalog::sqlite::SqliteCatalog;
use tintype_api::catalog::{Catalog, conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_sqlite_to_postgres_and_back() {
    with_database(
        |_, _, url| async move {
            let folder = tempfile::tempdir().unwrap();
            let first = Arc::new(SqliteCatalog::open(&folder.path().join("first.sqlite"), KEY).await.unwrap());
            conformance::fill(&*first).await;
            let lines = conformance::exported(&Library::from(first.clone())).await;
            let there = Arc::new(PostgresCatalog::open(&url, KEY).await.unwrap());
            let library = Library::from(there.clone());
            let sum = conformance::import(&library, &lines, HashSet::new()).await.unwrap();
            assert_eq!((sum.present, sum.left_out), (0, 0));
            assert_eq!(conformance::exported(&library).await, lines);

            let back = Arc::new(SqliteCatalog::open(&folder.path().join("back.sqlite"), KEY).await.unwrap());
            let library = Library::from(back.clone());
            conformance::import(&library, &lines, HashSet::new()).await.unwrap();
            assert_eq!(conformance::exported(&library).await, lines);
            for catalog in [&*there as &dyn Catalog, &*back] {
                let clouds = catalog.clouds().await.unwrap();
                assert_eq!(clouds, first.clouds().await.unwrap());
                let (keys, expected) =
                    (catalog.api_keys(&clouds[0].id).await.unwrap(), first.api_keys(&clouds[0].id).await.unwrap());
                assert_eq!(keys, expected, "secrets open");
                let assets = catalog.list_assets(&clouds[0].id, 100, None).await.unwrap();
                assert_eq!(assets, first.list_assets(&clouds[0].id, 100, None).await.unwrap());
            }
        },
        "",
    )
    .await;
}
