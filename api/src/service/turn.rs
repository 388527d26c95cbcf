//! One node renders a picture while others wait for it: a claim in the catalog says which. It is only about saving work:
//! whoever waited for too long, or cannot ask, renders.

use crate::catalog::library::Library;
use crate::domain::DerivedKey;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long a claim holds, and how long another node waits at most.
pub const LEASE: Duration = Duration::from_secs(5);
/// First and longest pause between two looks for a picture that another node makes.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(320));
/// For so many leases a node waits for claims that are kept up.
const LONG: u32 = 120;

/// This node's claims.
pub struct Turns {
    claims: Arc<Claims>,
    lease: Duration,
}

struct Claims {
    library: Library,
    /// Names this node.
    holder: String,
}

impl Claims {
    /// Whether this node is to render; a catalog that cannot be asked prevents nobody.
    async fn claim(&self, key: &DerivedKey, lease: Duration) -> bool {
        self.library.claim_rendering(key, &self.holder, lease).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known whether another node renders a picture");
            true
        })
    }
}

impl Turns {
    pub fn new(library: Library, lease: Duration) -> Self {
        Turns { claims: Arc::new(Claims { library, holder: hex::encode(rand::random::<[u8; 16]>()) }), lease }
    }

    /// Whether this node is to render.
    pub async fn claim(&self, key: &DerivedKey) -> bool {
        self.claims.claim(key, self.lease).await
    }

    /// Asks for this node's turn: `None` when it is to render, else how to wait for another node.
    pub async fn begin(&self, key: &DerivedKey) -> Option<Waiting> {
        self.begin_for(key, 1).await
    }

    /// As [`Turns::begin`], for works that nobody waits for before a screen: for as long as another node keeps its claim.
    pub async fn begin_long(&self, key: &DerivedKey) -> Option<Waiting> {
        self.begin_for(key, LONG).await
    }

    async fn begin_for(&self, key: &DerivedKey, leases: u32) -> Option<Waiting> {
        if !self.claims.library.has_nodes() || self.claim(key).await {
            return None;
        }
        Some(Waiting { until: Instant::now() + self.lease * leases, pause: PAUSES.0 })
    }

    /// Keeps up a claim that this node has, until the answer is dropped.
    pub fn keep(&self, key: &DerivedKey) -> Option<Kept> {
        if !self.claims.library.has_nodes() {
            return None;
        }
        let (claims, key, lease) = (Arc::clone(&self.claims), key.clone(), self.lease);
        Some(Kept(tokio::spawn(async move {
            loop {
                tokio::time::sleep(lease / 3).await;
                // Where another node has taken over, both render: it is late to stop.
                claims.claim(&key, lease).await;
            }
        })))
    }

    /// Lets others try what failed here.
    pub async fn give_up(&self, key: &DerivedKey) {
        if let Err(error) = self.claims.library.release_rendering(key, &self.claims.holder).await {
            tracing::warn!(%error, "a claim stays until its time is over");
        }
    }
}

/// A claim that is kept up.
pub struct Kept(JoinHandle<()>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.abort();
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
