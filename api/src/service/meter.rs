//! Counts what each cloud uses, in memory on the hot path, and writes sums to the catalog now and then.

use crate::catalog::Catalog;
use crate::domain::{CloudId, Day, UsageDelta};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often sums are written.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// Counters of all clouds that are not yet written.
#[derive(Default)]
pub struct Meter {
    pending: Mutex<HashMap<CloudId, UsageDelta>>,
}

impl Meter {
    /// One answered request of so many body bytes.
    pub fn delivered(&self, cloud: &CloudId, bytes: u64) {
        self.add(cloud, UsageDelta { requests: 1, bandwidth_bytes: bytes, transformations: 0 });
    }

    /// One picture that was rendered.
    pub fn transformed(&self, cloud: &CloudId) {
        self.add(cloud, UsageDelta { transformations: 1, ..UsageDelta::default() });
    }

    fn add(&self, cloud: &CloudId, delta: UsageDelta) {
        let mut pending = self.pending.lock();
        if let Some(sum) = pending.get_mut(cloud) {
            sum.requests += delta.requests;
            sum.bandwidth_bytes += delta.bandwidth_bytes;
            sum.transformations += delta.transformations;
        } else {
            pending.insert(cloud.clone(), delta);
        }
    }

    /// Writes what is pending. What cannot be written now is kept for the next time.
    pub async fn flush(&self, catalog: &dyn Catalog) {
        let pending = std::mem::take(&mut *self.pending.lock());
        for (cloud, delta) in pending {
            if let Err(error) = catalog.add_usage(&cloud, Day::today(), delta).await {
                tracing::warn!(error = %error, "usage could not be written and is kept");
                self.add(&cloud, delta);
            }
        }
    }

    /// Flushes for as long as anybody holds the meter.
    pub async fn run(meter: std::sync::Weak<Meter>, catalog: Arc<dyn Catalog>) {
        loop {
            tokio::time::sleep(FLUSH_EVERY).await;
            let Some(meter) = meter.upgrade() else { return };
            meter.flush(catalog.as_ref()).await;
        }
    }
}
