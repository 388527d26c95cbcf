//! PostgreSQL tells workers of jobs, also after the connection was lost.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::KEY;
use super::postgres::{connect, with_database};
use std::sync::Arc;
use std::time::Duration;
use tintype_api::catalog::library::Library;
use tintype_api::catalog::postgres::PostgresCatalog;
use tintype_api::domain::{CloudId, JobKind, NewJob, Timestamp};
use tokio::sync::watch;

async fn changed(notices: &mut watch::Receiver<u32>, what: &str) {
    tokio::time::timeout(Duration::from_secs(60), notices.changed()).await.expect(what).unwrap();
    notices.mark_unchanged();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_another_node_are_told_also_after_a_lost_connection() {
    with_database(
        |_, _, url| async move {
            let library = |catalog: PostgresCatalog| Library::from(Arc::new(catalog));
            let here = library(PostgresCatalog::open(&url, KEY).await.unwrap());
            let there = library(PostgresCatalog::open(&url, KEY).await.unwrap());
            let (sender, mut notices) = watch::channel(0);
            let listening = tokio::spawn(async move {
                here.listen_for_jobs(|| sender.send_modify(|count| *count += 1)).await;
            });
            changed(&mut notices, "the first connection").await;
            let now = Timestamp::now();
            let job = || NewJob::new(CloudId::random(), JobKind::known("x"), serde_json::json!({}), now);
            there.enqueue_jobs(vec![job()], now).await.unwrap();
            changed(&mut notices, "a job").await;
            let client = connect(&url).await;
            let ended = client
                .query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND query LIKE 'LISTEN%'",
                    &[],
                )
                .await
                .unwrap();
            assert_eq!(ended.len(), 1, "one connection listens");
            changed(&mut notices, "the second connection").await;
            there.enqueue_jobs(vec![job()], now).await.unwrap();
            changed(&mut notices, "a job after it").await;
            listening.abort();
        },
        "",
    )
    .await;
}
