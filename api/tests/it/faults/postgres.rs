//! PostgreSQL is gone for ten seconds amid uploads and deliveries.

use super::gateway::{Gateway, Way};
use super::{Load, Server, wait};
use crate::catalog::postgres::{connect, with_database};
use std::sync::atomic::Ordering;
use std::time::Duration;

const GONE: Duration = Duration::from_secs(10);
/// Connections of a pool, and the one that listens for changes, and the one that listens for jobs.
const MOST_CONNECTIONS: usize = 16 + 2;

async fn scenario(url: String) {
    let gateway = Gateway::before(&url).await;
    let server = Server::start(&[("catalog", &gateway.url)]).await;
    let load = Load::start(&server, |n| 1 + n * 997 % 50_000);
    load.go_on(30).await;
    assert_eq!(load.state.refused.load(Ordering::SeqCst), 0);
    for way in [Way::Cut, Way::Silent] {
        let before = load.state.refused.load(Ordering::SeqCst);
        gateway.set(way);
        tokio::time::sleep(GONE).await;
        let refused = load.state.refused.load(Ordering::SeqCst);
        // Nobody knows of a silence before it has lasted: then calls wait.
        assert!(way == Way::Silent || refused > before, "whoever asks is told so");
        gateway.set(Way::Open);
        load.go_on(30).await;
    }
    // All of the pool can be used again: as many calls at once as would stand in line for a smaller one.
    let calls = (0..64).map(|_| server.ask("/resources/raw?max_results=500"));
    for reply in futures::future::join_all(calls).await {
        let reply = reply.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    load.finish(&server).await;

    let admin = connect(&url).await;
    let count = "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%')
                 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let is_small = async || {
        let row = admin.query_one(count, &[]).await.unwrap();
        let (all, held): (i64, i64) = (row.get(0), row.get(1));
        all <= MOST_CONNECTIONS as i64 && held == 0 && gateway.n_open() <= MOST_CONNECTIONS
    };
    wait("no connection is left over", is_small).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_while_postgres_is_gone() {
    with_database(
        |_, _, url| async move {
            let here = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || here.block_on(scenario(url))).await.unwrap();
        },
        "",
    )
    .await;
}
