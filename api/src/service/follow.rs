//! Follows the changes that other processes make to the catalog, so that what this one keeps in memory is not out of date
//! for longer than a stated time: normally none, [`Following::look_every`] and the time of a query where a notice got lost,
//! and [`Following::blind_age`] while the catalog cannot be read.

use super::deliver::DeliveryCache;
use super::library::LibraryService;
use crate::catalog::library::{ChangeMark, Library};
use std::sync::Weak;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Least time between two looks, however many changes are told.
const PAUSE: Duration = Duration::from_millis(10);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// How changes are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Following {
    /// Whether the notices of a database that sends such are listened to; else it is only asked.
    pub listens: bool,
    /// How often changes are looked for that nobody told of.
    pub look_every: Duration,
    /// Life of a cached answer while the catalog cannot be read.
    pub blind_age: Duration,
}

impl Default for Following {
    fn default() -> Self {
        Following { listens: true, look_every: Duration::from_secs(1), blind_age: Duration::from_secs(5) }
    }
}

/// Follows for as long as the server is there.
pub async fn follow(
    server: Weak<()>,
    library: Library,
    cache: DeliveryCache,
    service: LibraryService,
    following: Following,
) {
    let told = Notify::new();
    let listen = async {
        if following.listens {
            library.listen_for_changes(|| told.notify_one()).await;
        }
        std::future::pending::<()>().await;
    };
    let look = async {
        let mut follower = Follower::default();
        while server.strong_count() > 0 {
            follower.look(&library, &cache, &service).await;
            tokio::time::sleep(PAUSE).await;
            // That nobody told of a change is no error.
            let _ = tokio::time::timeout(following.look_every, told.notified()).await;
        }
    };
    tokio::select! {
        () = look => {}
        () = listen => {}
    }
}

#[derive(Default)]
struct Follower {
    mark: ChangeMark,
    is_blind: bool,
}

impl Follower {
    async fn look(&mut self, library: &Library, cache: &DeliveryCache, service: &LibraryService) {
        // Changes that are committed while the question is on its way may be missing in the answer.
        let started = Instant::now();
        let why = match tokio::time::timeout(PATIENCE, library.changes_since(&mut self.mark)).await {
            Ok(Ok(changed)) => {
                for cloud in changed {
                    service.forget(&cloud);
                    cache.invalidate(&cloud);
                }
                cache.confirm(started);
                if std::mem::take(&mut self.is_blind) {
                    tracing::info!("changes of other processes are followed again");
                }
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        // What answers next may be another server, whose numbers are others.
        self.mark.start_over();
        if !std::mem::replace(&mut self.is_blind, true) {
            tracing::warn!(
                why,
                "changes of other processes cannot be followed: cached answers are kept for seconds only"
            );
        }
    }
}
