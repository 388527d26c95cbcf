//! First answers of `f_auto`: at once in a format that is cheap to write, while the better one is made in the background.

use super::derive::{DeriveError, DerivedPicture, Deriver, Known};
use super::gate::Pass;
use crate::domain::{Asset, DerivedKey};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tintype_render::language::Transformation;
use tintype_render::pipeline;
use tintype_render::plan::facts::{Profile, Purpose};
use tintype_scheduler::{Lane, Scheduler};
use tokio::task::JoinSet;

/// Better pictures that may be under way at once. They are made one after the other by a few threads of low priority; what
/// does not find room here is asked for again by the next request, when there is more of it.
const MOST_PENDING: usize = 64;

/// Processor time that writing a first answer may take unless the configuration says otherwise.
///
/// `fast` is for those who count every millisecond: 5 ms are about what decoding, rendering and writing a JPEG of 800x600
/// take together, so that the first answer costs at most twice as much whatever the client accepts. In `quality` a picture of
/// 0.35 megapixels may be an AVIF at once, and one of 1.3 megapixels a WebP.
pub fn default_effort(profile: Profile) -> Duration {
    match profile {
        Profile::Fast => Duration::from_millis(5),
        Profile::Quality => Duration::from_millis(100),
    }
}

/// A picture, and whether a better one is to come.
pub struct First {
    pub picture: DerivedPicture,
    pub provisional: bool,
}

/// What became of first answers and better pictures since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpgradeCounts {
    /// Answers in the next best format.
    pub provisional: u64,
    pub finished: u64,
    pub failed: u64,
    /// Not begun because the machine had other things to do.
    pub dropped: u64,
}

#[derive(Default)]
struct Counters {
    provisional: AtomicU64,
    finished: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// Answers first, and improves on it.
pub struct Upgrades {
    deriver: Arc<Deriver>,
    scheduler: Arc<Scheduler>,
    n_threads: usize,
    /// The most that writing a first answer may take; `None` makes the best format at once, always.
    most_effort: Option<Duration>,
    pending: Mutex<HashSet<DerivedKey>>,
    tasks: Mutex<JoinSet<()>>,
    counters: Counters,
}

impl Upgrades {
    pub fn new(
        deriver: Arc<Deriver>,
        scheduler: Arc<Scheduler>,
        n_threads: usize,
        most_effort: Option<Duration>,
    ) -> Arc<Self> {
        Arc::new(Upgrades {
            deriver,
            scheduler,
            n_threads,
            most_effort,
            pending: Mutex::default(),
            tasks: Mutex::default(),
            counters: Counters::default(),
        })
    }

    /// The counters now.
    pub fn counts(&self) -> UpgradeCounts {
        UpgradeCounts {
            provisional: self.counters.provisional.load(Relaxed),
            finished: self.counters.finished.load(Relaxed),
            failed: self.counters.failed.load(Relaxed),
            dropped: self.counters.dropped.load(Relaxed),
        }
    }

    /// The best picture when it is there or quickly made, else the next best one, with the best one begun. `pass` ends when
    /// the renderer is asked.
    pub async fn first(
        self: &Arc<Self>,
        asset: &Asset,
        transformation: Arc<Transformation>,
        purpose: Purpose,
        pass: Pass,
    ) -> Result<First, DeriveError> {
        let known = self.deriver.look_up(asset, transformation.clone(), purpose, Lane::Interactive).await?;
        drop(pass);
        let next = match (&known, self.most_effort) {
            (Known::Wanted(wanted), Some(most)) if wanted.fresh.is_none() => {
                pipeline::within(&wanted.work.request, most, self.deriver.limits())?
            }
            _ => None,
        };
        let (Known::Wanted(wanted), Some(accept)) = (&known, next) else {
            let picture = self.deriver.obtain(asset, known, false).await?;
            return Ok(First { picture, provisional: false });
        };
        let next = Purpose { accept, ..purpose };
        let picture = self.deriver.derive(asset, transformation.clone(), next, Lane::Interactive, false).await?;
        self.counters.provisional.fetch_add(1, Relaxed);
        self.begin(asset, transformation, purpose, wanted.key.clone());
        Ok(First { picture, provisional: true })
    }

    /// Begins the better picture, unless it is under way or the machine has other things to do.
    fn begin(self: &Arc<Self>, asset: &Asset, transformation: Arc<Transformation>, purpose: Purpose, key: DerivedKey) {
        if self.pending.lock().contains(&key) {
            return;
        }
        if self.is_saturated() {
            self.counters.dropped.fetch_add(1, Relaxed);
            return;
        }
        {
            let mut pending = self.pending.lock();
            if pending.len() >= MOST_PENDING {
                self.counters.dropped.fetch_add(1, Relaxed);
                return;
            }
            if !pending.insert(key.clone()) {
                return;
            }
        }
        let (upgrades, asset) = (self.clone(), asset.clone());
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let seat = Seat { upgrades, key };
            let made = seat.upgrades.deriver.derive(&asset, transformation, purpose, Lane::Eager, true).await;
            let counters = &seat.upgrades.counters;
            match made {
                Ok(_) => counters.finished.fetch_add(1, Relaxed),
                Err(DeriveError::Busy | DeriveError::ShuttingDown) => counters.dropped.fetch_add(1, Relaxed),
                Err(error) => {
                    tracing::warn!(error = %error, "a better picture could not be made");
                    counters.failed.fetch_add(1, Relaxed)
                }
            };
        });
    }

    /// Whether works wait, or more are under way than there are threads: whoever asks again later will find time.
    fn is_saturated(&self) -> bool {
        let now = self.scheduler.metrics();
        now.waiting.interactive > 0 || now.waiting.eager > 0 || now.in_flight > self.n_threads
    }

    /// Waits for what is under way; after the scheduler has shut down, nothing is for long.
    pub async fn settle(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        while tasks.join_next().await.is_some() {}
    }
}

/// A place among the pending pictures, left on every way out.
struct Seat {
    upgrades: Arc<Upgrades>,
    key: DerivedKey,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.upgrades.pending.lock().remove(&self.key);
    }
}
