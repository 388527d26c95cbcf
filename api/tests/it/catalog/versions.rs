//! Programs of two versions on one database: what the newer one adds breaks no older one that runs or starts, and what
//! older ones do not work with is said to them.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::KEY;
use super::postgres::{connect, with_database};
use crate::whole_app::{CHELSEA, ICON, ROCKET, WholeApp};
use axum::http::Method;
use serde_json::json;
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tintype_api::app::Records;
use tintype_api::catalog::postgres::PostgresCatalog;
use tintype_api::catalog::sqlite::SqliteCatalog;
use tintype_api::catalog::{Catalog, CatalogError, Migration, conformance};
use tintype_api::domain::CloudId;
use tintype_api::storage::MemoryStore;

/// Columns of every table that requests touch, an index, and a table that follows another one.
const ADDED: &str = "
    ALTER TABLE assets ADD COLUMN later_rating BIGINT NOT NULL DEFAULT 7;
    ALTER TABLE assets ADD COLUMN later_note TEXT;
    ALTER TABLE derived ADD COLUMN later_rating BIGINT NOT NULL DEFAULT 7;
    ALTER TABLE clouds ADD COLUMN later_plan TEXT NOT NULL DEFAULT 'free';
    ALTER TABLE api_keys ADD COLUMN later_scope TEXT;
    ALTER TABLE definitions ADD COLUMN later_note TEXT;
    ALTER TABLE settings ADD COLUMN later_note TEXT;
    ALTER TABLE labels ADD COLUMN later_weight BIGINT NOT NULL DEFAULT 1;
    ALTER TABLE words ADD COLUMN later_weight BIGINT NOT NULL DEFAULT 1;
    ALTER TABLE usage ADD COLUMN later_seconds BIGINT NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN later_note TEXT;
    ALTER TABLE garbage ADD COLUMN later_note TEXT;
    ALTER TABLE epochs ADD COLUMN later_note TEXT;
    CREATE INDEX assets_by_later_rating ON assets (cloud, later_rating, id);
    CREATE TABLE later_ratings (
        asset TEXT NOT NULL REFERENCES assets (id) ON DELETE CASCADE, rating BIGINT NOT NULL
    );";

/// Steps of a program that comes after this one.
fn later(number: i64, sql: &str, compatible_from: i64) -> Migration {
    Migration { number, name: "later", sql: sql.to_owned().leak(), compatible_from }
}

async fn wait(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !holds().await {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Clients of a server that must never see an error.
struct Traffic {
    stop: AtomicBool,
    rounds: AtomicUsize,
}

impl Traffic {
    fn new() -> Self {
        Traffic { stop: AtomicBool::new(false), rounds: AtomicUsize::new(0) }
    }

    /// Uploads, overwrites, deliveries, lists and deletions, by several clients at once.
    async fn run(&self, app: &WholeApp, name: &str) {
        let clients = (0..4).map(|client| async move {
            for round in 0_u32.. {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                let id = format!("{name}-{client}");
                app.upload("p", [ROCKET, ICON][round as usize % 2], &[("public_id", &id), ("tags", "a,b")]).await;
                let path = format!("/demo/image/upload/w_{}/{id}.png", 20 + round % 5);
                assert_eq!(app.get(&path).await.status, 200, "{path}");
                for path in ["/resources/image?max_results=10", "/resources/search?expression=tags%3Da", "/usage"] {
                    let (status, answer) = app.admin(Method::GET, path, json!(null)).await;
                    assert_eq!(status, 200, "{path}: {answer}");
                }
                if round % 3 == 2 {
                    let path = format!("/resources/image/upload?public_ids[]={id}");
                    let (status, answer) = app.admin(Method::DELETE, &path, json!(null)).await;
                    assert_eq!((status, &answer["deleted"][&id]), (200, &json!("deleted")), "{answer}");
                }
                self.rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        futures::future::join_all(clients).await;
    }

    async fn go_on(&self) {
        let least = self.rounds.load(Ordering::Relaxed) + 20;
        wait("requests go on", async || self.rounds.load(Ordering::Relaxed) >= least).await;
    }
}

/// Where the databases differ.
trait Newer {
    /// A program that knows these steps too.
    async fn open(&self, steps: &[Migration]) -> Result<Records, CatalogError>;
    /// The schema of this program.
    async fn schema(&self) -> i64;
    fn adds(&self) -> String;
    /// A transaction that reads assets until it is dropped.
    async fn reader(&self) -> Box<dyn Any + Send>;
}

async fn serves(app: &WholeApp, name: &str) {
    let traffic = Traffic::new();
    let watch = async {
        traffic.go_on().await;
        traffic.stop.store(true, Ordering::Relaxed);
    };
    futures::join!(traffic.run(app, name), watch);
}

async fn shows(app: &WholeApp, id: &str) {
    let path = format!("/demo/image/upload/{id}");
    wait("an upload is seen", async || app.get(&path).await.status == 200).await;
}

async fn side_by_side(app: &WholeApp, database: &impl Newer) {
    let traffic = Traffic::new();
    let schema = database.schema().await;
    let adds = later(1000, &database.adds(), schema);
    let breaks = later(1001, "ALTER TABLE later_ratings RENAME TO last_ratings", 1001);
    let script = async {
        traffic.go_on().await;
        // The step waits for its locks, and nobody waits for the step for long.
        let reader = database.reader().await;
        let reading = async {
            traffic.go_on().await;
            drop(reader);
        };
        let steps = [adds];
        let (next, ()) = futures::join!(database.open(&steps), reading);
        let next = app.beside_over(next.unwrap()).await;
        traffic.go_on().await;
        next.catalog.ping().await.unwrap();
        app.catalog.ping().await.unwrap();

        let older = app.beside_over(app.reopen().await.unwrap()).await;
        futures::join!(serves(&older, "older"), serves(&next, "newer"));
        older.upload("p.png", CHELSEA, &[("public_id", "of-older")]).await;
        next.upload("p.png", CHELSEA, &[("public_id", "of-newer")]).await;
        for server in [app, &older, &next] {
            shows(server, "of-older").await;
            shows(server, "of-newer").await;
        }

        let last = database.open(&[adds, breaks]).await.unwrap();
        let refused = app.reopen().await.err().unwrap().to_string();
        assert!(refused.contains("newer program") && refused.contains(&format!("has schema {schema}")), "{refused}");
        let refused = database.open(&[adds]).await.err().unwrap();
        assert!(matches!(refused, CatalogError::Schema(_)), "{refused}");
        for left_behind in [app, &older, &next] {
            let told = left_behind.catalog.ping().await.unwrap_err();
            assert!(matches!(told, CatalogError::Schema(_)), "{told}");
        }
        last.catalog.ping().await.unwrap();
        traffic.stop.store(true, Ordering::Relaxed);
    };
    futures::join!(traffic.run(app, "running"), script);
}

struct InPostgres {
    url: String,
    key: [u8; 32],
}

impl Newer for InPostgres {
    async fn open(&self, steps: &[Migration]) -> Result<Records, CatalogError> {
        Ok(Arc::new(PostgresCatalog::open_with(&self.url, self.key, steps).await?).into())
    }

    async fn schema(&self) -> i64 {
        connect(&self.url).await.query_one("SELECT max(number) FROM migrations", &[]).await.unwrap().get(0)
    }

    fn adds(&self) -> String {
        ADDED.to_owned()
    }

    async fn reader(&self) -> Box<dyn Any + Send> {
        let client = connect(&self.url).await;
        client.batch_execute("BEGIN; SELECT count(*) FROM assets").await.unwrap();
        Box::new(client)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_share_a_postgres_database() {
    with_database(
        |_, _, url| async move {
            let test = async |url: String| {
                let app = WholeApp::start_over(Arc::new(MemoryStore::new()), &[("catalog", &url)]).await;
                let key = app.secret_key();
                side_by_side(&app, &InPostgres { url, key }).await;
            };
            let here = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || here.block_on(test(url))).await.unwrap();
        },
        "",
    )
    .await;
}

struct InSqlite {
    path: PathBuf,
    key: [u8; 32],
}

impl InSqlite {
    fn connect(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.path).unwrap()
    }
}

impl Newer for InSqlite {
    async fn open(&self, steps: &[Migration]) -> Result<Records, CatalogError> {
        Ok(Arc::new(SqliteCatalog::open_with(&self.path, self.key, steps).await?).into())
    }

    async fn schema(&self) -> i64 {
        self.connect().query_row("SELECT max(number) FROM migrations", [], |row| row.get(0)).unwrap()
    }

    fn adds(&self) -> String {
        ADDED.replace("BIGINT", "INTEGER")
    }

    async fn reader(&self) -> Box<dyn Any + Send> {
        let connection = self.connect();
        connection.execute_batch("BEGIN; SELECT count(*) FROM assets").unwrap();
        Box::new(connection)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_share_a_file() {
    let app = WholeApp::start_in_memory().await;
    let database = InSqlite { path: app.data().join("catalog.sqlite"), key: app.secret_key() };
    side_by_side(&app, &database).await;
}

/// The steps of a database as programs before this rule have left it.
fn steps_of(dialect: &str, last: usize) -> Vec<(i64, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalog").join(dialect).join("migrations");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let texts = files.iter().take(last).map(|file| std::fs::read_to_string(file).unwrap());
    texts.enumerate().map(|(n, text)| (n as i64 + 1, text)).collect()
}

fn an_old_cloud() -> String {
    format!("INSERT INTO clouds (id, name, created_at) VALUES ('{}', 'old', 1)", CloudId::random())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_database_of_before_is_brought_up_to_date() {
    with_database(
        |_, _, url| async move {
            let client = connect(&url).await;
            let table = "CREATE TABLE migrations (number BIGINT PRIMARY KEY, name TEXT COLLATE \"C\" NOT NULL,
                         applied_at BIGINT NOT NULL)";
            client.batch_execute(table).await.unwrap();
            for (number, sql) in steps_of("postgres", 7) {
                client.batch_execute(&sql).await.unwrap();
                client.execute("INSERT INTO migrations VALUES ($1, 'old', 0)", &[&number]).await.unwrap();
            }
            client.batch_execute(&an_old_cloud()).await.unwrap();
            for _ in 0..2 {
                let catalog = PostgresCatalog::open(&url, KEY).await.unwrap();
                catalog.ping().await.unwrap();
                assert_eq!(catalog.clouds().await.unwrap()[0].name.as_str(), "old");
            }
            conformance::fill(&PostgresCatalog::open(&url, KEY).await.unwrap()).await;
        },
        "",
    )
    .await;
}

#[tokio::test]
async fn a_file_of_before_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let table = "CREATE TABLE migrations (number INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL,
                 applied_at INTEGER NOT NULL) STRICT";
    connection.execute_batch(table).unwrap();
    for (number, sql) in steps_of("sqlite", 6) {
        connection.execute_batch(&sql).unwrap();
        connection.execute("INSERT INTO migrations VALUES (?, 'old', 0)", [number]).unwrap();
    }
    connection.execute_batch(&an_old_cloud()).unwrap();
    for _ in 0..2 {
        let catalog = SqliteCatalog::open(&path, KEY).await.unwrap();
        catalog.ping().await.unwrap();
        assert_eq!(catalog.clouds().await.unwrap()[0].name.as_str(), "old");
    }
    conformance::fill(&SqliteCatalog::open(&path, KEY).await.unwrap()).await;
}
