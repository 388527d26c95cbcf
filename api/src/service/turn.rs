//! One node renders a picture while others wait for it: a claim in the catalog says which. It is only about saving work:
//! whoever waited for too long, or cannot ask, renders.

use crate::catalog::library::Library;
use crate::domain::DerivedKey;
use std::time::Duration;
use tokio::time::Instant;

/// How long a claim holds, and how long another node waits at most.
pub const LEASE: Duration = Duration::from_secs(5);
/// First and longest pause between two looks for a picture that another node makes.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(320));

/// This node's claims.
pub struct Turns {
    library: Library,
    /// Names this node.
    holder: String,
    lease: Duration,
}

impl Turns {
    pub fn new(library: Library, lease: Duration) -> Self {
        Turns { library, holder: hex::encode(rand::random::<[u8; 16]>()), lease }
    }

    /// Whether this node is to render; a catalog that cannot be asked prevents nobody.
    pub async fn claim(&self, key: &DerivedKey) -> bool {
        self.library.claim_rendering(key, &self.holder, self.lease).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known whether another node renders a picture");
            true
        })
    }

    /// Asks for this node's turn: `None` when it is to render, else how to wait for another node.
    pub async fn begin(&self, key: &DerivedKey) -> Option<Waiting> {
        if !self.library.has_nodes() || self.claim(key).await {
            return None;
        }
        Some(Waiting { until: Instant::now() + self.lease, pause: PAUSES.0 })
    }

    /// Lets others try what failed here.
    pub async fn give_up(&self, key: &DerivedKey) {
        if let Err(error) = self.library.release_rendering(key, &self.holder).await {
            tracing::warn!(%error, "a claim stays until its time is over");
        }
    }
}

/// Waiting for a picture that another node makes.
pub struct Waiting {
    until: Instant,
    pause: Duration,
}

impl Waiting {
    /// Waits a little; false when it was long enough.
    pub async fn pause(&mut self) -> bool {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Instant::now() < self.until
    }
}
