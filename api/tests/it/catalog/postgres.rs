//! The catalog in a PostgreSQL database; each test makes one of its own and drops it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{future::Future, sync::Arc, time::Duration};

use tintype_api::{
    catalog::{Catalog, CatalogError, conformance, postgres::PostgresCatalog},
    domain::BlobKey,
};
use tokio_postgres::{Client, NoTls};

use super::{KEY, OTHER_KEY};

/// URL of a server on which the user may create databases.
const ADMIN_URL: &str = "TINTYPE_TEST_POSTGRES";
const LEAVE_OUT: &str = "TINTYPE_TEST_NO_POSTGRES";

pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Runs `test` with a connection to the server, the name of a new database and its URL. The database is dropped also
/// when the test fails.
pub async fn with_database<F: Future<Output = ()> + Send + 'static>(
    test: impl FnOnce(Arc<Client>, String, String) -> F + Send + 'static,
    options: &str,
) {
    let Ok(admin_url) = std::env::var(ADMIN_URL) else {
        if std::env::var(LEAVE_OUT).is_ok_and(|value| value == "1") {
            eprintln!("left out because {LEAVE_OUT}=1: a test of the PostgreSQL catalog");
            return;
        }
        panic!(
            "{ADMIN_URL} is not set: `make test` sets it to a PostgreSQL server of its own \
             (deploy/test-postgres.sh start DIR prints such a URL); {LEAVE_OUT}=1 leaves these tests out"
        );
    };
    let admin = Arc::new(connect(&admin_url).await);
    let name = format!("tintype_test_{}", BlobKey::random());
    admin.execute(&format!("CREATE DATABASE {name} {options}"), &[]).await.unwrap();
    let (address, parameters) =
        admin_url.split_once('?').map_or((&*admin_url, String::new()), |(address, rest)| (address, format!("?{rest}")));
    let (server, _) = address.rsplit_once('/').unwrap();
    let url = format!("{server}/{name}{parameters}");
    let outcome = tokio::spawn(test(Arc::clone(&admin), name.clone(), url)).await;
    admin.execute(&format!("DROP DATABASE {name} WITH (FORCE)"), &[]).await.unwrap();
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_postgres_catalog_conforms() {
    let test = async |url: String| conformance::run(Arc::new(PostgresCatalog::open(&url, KEY).await.unwrap())).await;
    with_database(move |_, _, url| async move { test(url).await }, "").await;
}

/// The order of text must not depend on the language that the server was set up for.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_of_another_language_conforms_too() {
    let options = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' ENCODING 'UTF8'";
    with_database(
        |_, _, url| async move {
            let language = connect(&url).await.query_one("SELECT 'a' < 'B'", &[]).await.unwrap();
            assert!(language.get::<_, bool>(0), "the database itself orders as dictionaries do");
            conformance::run(Arc::new(PostgresCatalog::open(&url, KEY).await.unwrap())).await;
        },
        options,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reopening_keeps_everything_for_the_right_key_only() {
    with_database(
        |_, _, url| async move {
            let catalog = PostgresCatalog::open(&url, KEY).await.unwrap();
            let kept = conformance::fill(&catalog).await;
            drop(catalog);
            let refused = PostgresCatalog::open(&url, OTHER_KEY).await.err();
            assert!(matches!(refused, Some(CatalogError::WrongKey(_))), "{refused:?}");
            let again = PostgresCatalog::open(&url, KEY).await.unwrap();
            conformance::check(&again, &kept).await;

            let sealed = connect(&url).await.query("SELECT sealed_secret FROM api_keys", &[]).await.unwrap();
            assert_eq!(sealed.len(), 2);
            for (row, secret) in sealed.iter().flat_map(|row| kept.secrets().map(move |secret| (row, secret))) {
                let sealed: Vec<u8> = row.get(0);
                assert!(!sealed.windows(8).any(|window| window == &secret.as_bytes()[..8]));
            }
        },
        "",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_go_on_after_every_connection_was_lost() {
    with_database(
        |admin, name, url| async move {
            let catalog = Arc::new(PostgresCatalog::open(&url, KEY).await.unwrap());
            let kept = conformance::fill(&*catalog).await;
            for _ in 0..3 {
                let pings: Vec<_> = (0..20)
                    .map(|_| {
                        let catalog = Arc::clone(&catalog);
                        tokio::spawn(async move { catalog.ping().await.unwrap() })
                    })
                    .collect();
                for ping in pings {
                    ping.await.unwrap();
                }
                let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
                let ended: i64 = admin.query_one(sql, &[&name]).await.unwrap().get(0);
                assert!(ended >= 1, "there were connections to lose");
                conformance::check(&*catalog, &kept).await;
            }
        },
        "",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_starts_at_once_migrate_once() {
    with_database(
        |_, _, url| async move {
            let starts: Vec<_> = (0..8)
                .map(|_| {
                    let url = url.clone();
                    tokio::spawn(async move { PostgresCatalog::open(&url, KEY).await.unwrap() })
                })
                .collect();
            for start in starts {
                start.await.unwrap().ping().await.unwrap();
            }
            let row = connect(&url).await.query_one("SELECT count(*), max(number) FROM migrations", &[]).await.unwrap();
            assert_eq!(row.get::<_, i64>(0), row.get::<_, i64>(1), "each migration is applied once");
        },
        "",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_and_a_foreign_encoding_are_refused() {
    with_database(
        |_, _, url| async move {
            drop(PostgresCatalog::open(&url, KEY).await.unwrap());
            let newer = "INSERT INTO migrations (number, name, applied_at) VALUES (1000, 'later', 0)";
            connect(&url).await.execute(newer, &[]).await.unwrap();
            let refused = PostgresCatalog::open(&url, KEY).await.err().unwrap().to_string();
            assert!(refused.contains("newer program"), "{refused}");
        },
        "",
    )
    .await;
    with_database(
        |_, _, url| async move {
            let refused = PostgresCatalog::open(&url, KEY).await.err().unwrap().to_string();
            assert!(refused.contains("LATIN1"), "{refused}");
        },
        "TEMPLATE template0 LOCALE 'C' ENCODING 'LATIN1'",
    )
    .await;
}

/// Needs no server.
#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_soon_so() {
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().display().to_string().replace('/', "%2F");
    for url in [format!("postgres://postgres:geheim@{host}/postgres"), "postgres://u:geheim@127.0.0.1:1/x".to_owned()] {
        let opening = PostgresCatalog::open(&url, KEY);
        let refused = tokio::time::timeout(Duration::from_secs(10), opening).await.unwrap().err().unwrap();
        assert!(matches!(refused, CatalogError::Unavailable(_)), "{refused}");
        assert!(!refused.to_string().contains("geheim"), "{refused}");
    }
    let refused = PostgresCatalog::open("postgres://u:geheim@h:port/x", KEY).await.err().unwrap();
    assert!(!refused.to_string().contains("geheim"), "{refused}");
}
