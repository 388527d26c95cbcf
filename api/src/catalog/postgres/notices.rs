//! Notices to other processes, given after the commit that they are about. PostgreSQL gives those of a transaction under a
//! lock that is held until the commit is on disk, so that commits with notices would stand in line; given apart, many
//! commits share one. A notice that a crash prevents is only late news: who needs to be sure looks now and then.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use deadpool_postgres::Pool;
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};

use super::{Failure, client};
use crate::catalog::sql::Channel;

/// Least time between two notices.
const PAUSE: Duration = Duration::from_millis(5);

/// What is to be told.
#[derive(Default)]
struct Pending {
    channels: Mutex<BTreeSet<Channel>>,
    any: Notify,
}

/// Gives notices for as long as it lives.
pub(super) struct Notices {
    pending: Arc<Pending>,
    giving: JoinHandle<()>,
}

impl Notices {
    pub(super) fn start(pool: Pool) -> Self {
        let pending = Arc::new(Pending::default());
        let giving = tokio::spawn(give(pool, Arc::clone(&pending)));
        Notices { pending, giving }
    }

    /// Tells soon, and does not wait for it.
    pub(super) fn tell(&self, channels: impl IntoIterator<Item = Channel>) {
        let mut pending = self.pending.channels.lock();
        pending.extend(channels);
        if !pending.is_empty() {
            self.pending.any.notify_one();
        }
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.giving.abort();
    }
}

async fn give(pool: Pool, pending: Arc<Pending>) {
    loop {
        pending.any.notified().await;
        let channels = std::mem::take(&mut *pending.channels.lock());
        let told = async {
            let client = client(&pool).await?;
            let notify = client.prepare_cached("SELECT pg_notify($1, '')").await?;
            for channel in channels {
                client.execute(&notify, &[&channel.name()]).await?;
            }
            Ok(())
        };
        if let Err(failure) = told.await {
            let failure: Failure = failure;
            tracing::debug!(error = %failure.during("give a notice"), "other processes look for themselves");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tables whose changes other processes follow: those with triggers that note the change, and the notes.
const FOLLOWED: [&str; 6] = ["assets", "definitions", "api_keys", "clouds", "settings", "epochs"];

/// Whether a statement changes what other processes follow.
pub(super) fn is_followed(sql: &str) -> bool {
    let mut words = sql.split_ascii_whitespace();
    let table = match words.next() {
        Some("INSERT" | "DELETE") => words.nth(1),
        Some("UPDATE") => words.next(),
        _ => None,
    };
    table.is_some_and(|table| FOLLOWED.contains(&table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_the_tables_with_triggers_are_told() {
        for sql in
            ["INSERT INTO assets (id) VALUES ($1)", "DELETE FROM api_keys WHERE 1 = 1", "UPDATE clouds SET name = $1"]
        {
            assert!(is_followed(sql), "{sql}");
        }
        for sql in
            ["SELECT id FROM assets", "INSERT INTO assets_later (id) VALUES ($1)", "UPDATE derived SET key = $1", ""]
        {
            assert!(!is_followed(sql), "{sql}");
        }
    }
}
