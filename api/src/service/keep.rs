//! How long derived pictures are kept: uses are recorded coarsely, and the least recently used ones go when there are too
//! many bytes of them.

use super::deliver::DeliveryCache;
use super::derive::{DeriveError, Deriver};
use crate::catalog::{Catalog, CatalogError};
use crate::domain::{DerivedKey, Timestamp};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Pictures whose uses one transaction records, and that one removes.
const BATCH: usize = 500;
/// Uses that are remembered until they are recorded; further ones of pictures that no memory keeps are forgotten.
const MAX_PENDING: usize = 100_000;

/// Derived pictures that were used and whose row does not say so yet.
#[derive(Debug, Default)]
pub struct Uses {
    pending: Mutex<HashSet<DerivedKey>>,
}

impl Uses {
    /// Remembers a use. Hits of the URL cache do not come here: they leave a mark on what is kept there.
    pub fn note(&self, key: &DerivedKey) {
        let mut pending = self.pending.lock();
        if pending.len() < MAX_PENDING && !pending.contains(key) {
            pending.insert(key.clone());
        }
    }

    fn take(&self) -> HashSet<DerivedKey> {
        std::mem::take(&mut self.pending.lock())
    }
}

/// Keeps derived pictures below a number of bytes.
pub struct DerivedKeeper {
    catalog: Arc<dyn Catalog>,
    deriver: Arc<Deriver>,
    cache: DeliveryCache,
    uses: Arc<Uses>,
    /// 0 is no limit.
    max_bytes: u64,
    evicted: AtomicU64,
}

impl DerivedKeeper {
    pub fn new(
        catalog: Arc<dyn Catalog>,
        deriver: Arc<Deriver>,
        cache: DeliveryCache,
        uses: Arc<Uses>,
        max_bytes: u64,
    ) -> Self {
        DerivedKeeper { catalog, deriver, cache, uses, max_bytes, evicted: AtomicU64::new(0) }
    }

    /// Pictures that were removed since the start because there were too many.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Writes down which pictures were used since the last time; until then a row shows an older use.
    pub async fn record_uses(&self) -> Result<(), CatalogError> {
        let mut used = self.uses.take();
        used.extend(self.cache.take_used());
        let keys: Vec<DerivedKey> = used.into_iter().collect();
        for batch in keys.chunks(BATCH) {
            self.catalog.touch_derived(batch, Timestamp::now()).await?;
        }
        Ok(())
    }

    /// Removes pictures if there are more bytes than the limit, and then down to nine tenths of it, so that not every new
    /// picture brings a removal.
    pub async fn evict(&self) -> Result<(), DeriveError> {
        if self.max_bytes == 0 || self.catalog.derived_bytes().await? <= self.max_bytes {
            return Ok(());
        }
        let goal = self.max_bytes - self.max_bytes / 10;
        loop {
            let evicted = self.catalog.evict_derived(goal, BATCH as u32).await?;
            self.evicted.fetch_add(evicted.count.into(), Ordering::Relaxed);
            tracing::info!(pictures = evicted.count, bytes = evicted.bytes, "derived pictures were evicted");
            self.deriver.drop_blobs(evicted.freed_blobs).await;
            if (evicted.count as usize) < BATCH {
                return Ok(());
            }
        }
    }

    /// Both, with errors in the log.
    pub async fn tidy(&self) {
        if let Err(error) = self.record_uses().await {
            tracing::warn!(error = %error, "uses of derived pictures could not be recorded");
        }
        if let Err(error) = self.evict().await {
            tracing::warn!(error = %error, "derived pictures could not be evicted");
        }
    }
}
