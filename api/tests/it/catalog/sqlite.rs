//! The catalog in a file.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use tintype_api::catalog::{Catalog, CatalogError, conformance, sqlite::SqliteCatalog};

use super::{KEY, OTHER_KEY};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sqlite_catalog_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(&folder.path().join("catalog.sqlite"), KEY).await.unwrap();
    conformance::run(Arc::new(catalog)).await;
}

#[tokio::test]
async fn reopening_keeps_everything_for_the_right_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/catalog.sqlite");
    let catalog = SqliteCatalog::open(&path, KEY).await.unwrap();
    let kept = conformance::fill(&catalog).await;
    drop(catalog);
    let refused = SqliteCatalog::open(&path, OTHER_KEY).await.err();
    assert!(matches!(refused, Some(CatalogError::WrongKey(_))), "{refused:?}");
    let again = SqliteCatalog::open(&path, KEY).await.unwrap();
    conformance::check(&again, &kept).await;
    // Another process of the same machine, a command for example, may have the file open as well.
    let second = SqliteCatalog::open(&path, KEY).await.unwrap();
    conformance::check(&second, &kept).await;
    conformance::check(&again, &kept).await;
}

#[tokio::test]
async fn no_file_holds_a_secret_in_plain_text_or_is_readable_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let catalog = SqliteCatalog::open(&path, KEY).await.unwrap();
    let kept = conformance::fill(&catalog).await;
    let check = |expected_files: usize| {
        let mut everything = Vec::new();
        let mut n_files = 0;
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
            everything.extend(fs::read(path).unwrap());
            n_files += 1;
        }
        assert!(n_files >= expected_files, "{n_files}");
        let holds = |text: &str| everything.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("123456789012345"), "the search finds what is there in plain text");
        for secret in kept.secrets() {
            assert!(!holds(secret));
        }
    };
    // The database, its log and the log's index.
    check(3);
    drop(catalog);
    check(1);
}

#[tokio::test]
async fn many_starts_at_once_migrate_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { SqliteCatalog::open(&path, KEY).await.unwrap() })
        })
        .collect();
    for start in starts {
        start.await.unwrap().ping().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_catalog_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "These are notes, and no database at all. ".repeat(100)).unwrap();
    let refused = SqliteCatalog::open(&text, KEY).await.err();
    assert!(matches!(refused, Some(CatalogError::Corrupt(_))), "{refused:?}");
    let refused = SqliteCatalog::open(folder.path(), KEY).await.err();
    assert!(matches!(refused, Some(CatalogError::Unavailable(_))), "{refused:?}");
    assert_eq!(fs::metadata(&text).unwrap().len(), 4100, "the file is as it was");
}
