//! The memory tier above stored pictures: whole answers by raw path and Accept class, bounded in bytes.
//!
//! A hit costs no catalog read. Every cloud has an epoch; an entry is good only while the epoch that was current *before*
//! its facts were looked up still is. For changes that other processes make somebody must say that all of them are known
//! ([`UrlCache::confirm`]); where nobody does, entries live at most a stated time.
//!
//! Most addresses are asked for once. Beyond a quarter of the cache only answers that are made for the second time are kept,
//! so that a crowd of others neither fills the memory nor pushes out what is in use.

use crate::domain::CloudId;
use parking_lot::Mutex;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What an answer is looked up by: the raw path, and the class of its Accept header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlKey {
    pub path: String,
    /// One bit for each modern format that the client takes.
    pub accept_class: u8,
}

/// Hashes as the borrowed question does.
impl Hash for UrlKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asked().hash(state);
    }
}

/// What both a key and a borrowed question for it show, so that a lookup copies nothing.
trait Asked {
    fn asked(&self) -> (&str, u8);
}

impl Asked for UrlKey {
    fn asked(&self) -> (&str, u8) {
        (&self.path, self.accept_class)
    }
}

impl Asked for (&str, u8) {
    fn asked(&self) -> (&str, u8) {
        *self
    }
}

impl PartialEq for dyn Asked + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.asked() == other.asked()
    }
}

impl Eq for dyn Asked + '_ {}

impl Hash for dyn Asked + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asked().hash(state);
    }
}

impl<'a> Borrow<dyn Asked + 'a> for UrlKey {
    fn borrow(&self) -> &(dyn Asked + 'a) {
        self
    }
}

/// The epoch of a cloud at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(u64);

/// Epochs of all clouds.
#[derive(Debug, Default)]
pub struct Epochs {
    of: Mutex<HashMap<CloudId, Arc<AtomicU64>>>,
}

impl Epochs {
    fn counter(&self, cloud: &CloudId) -> Arc<AtomicU64> {
        self.of.lock().entry(cloud.clone()).or_default().clone()
    }

    /// The current epoch; take it before looking anything up.
    pub fn current(&self, cloud: &CloudId) -> Epoch {
        Epoch(self.counter(cloud).load(Ordering::Acquire))
    }

    /// Makes every answer of the cloud stale.
    pub fn advance(&self, cloud: &CloudId) {
        self.counter(cloud).fetch_add(1, Ordering::AcqRel);
    }
}

const SHARDS: usize = 16;
/// Answers that were not kept and that a shard remembers, so that it knows them when they come again.
const REMEMBERED: usize = 4096;

/// A byte-bounded map from addresses to answers, in shards so that threads seldom meet. The least recently used go first.
pub struct UrlCache<V> {
    shards: Vec<Mutex<Shard<V>>>,
    hasher: RandomState,
    shard_bytes: usize,
    max_age: Option<Duration>,
    born: Instant,
    /// Nanoseconds from `born` to the last moment of which every change is known.
    confirmed: AtomicU64,
    epochs: Epochs,
}

struct Shard<V> {
    entries: HashMap<UrlKey, Entry<V>>,
    bytes: usize,
    clock: u64,
    /// Marks of answers that were not kept, each at the place that its hash says; empty until there is one.
    refused: Vec<u32>,
}

struct Entry<V> {
    value: Arc<V>,
    bytes: usize,
    cloud: Arc<AtomicU64>,
    epoch: Epoch,
    since: Instant,
    used: u64,
}

impl<V> UrlCache<V> {
    /// A cache of at most `bytes`; 0 keeps nothing. `max_age` bounds the life of an entry that nobody confirms.
    pub fn new(bytes: usize, max_age: Option<Duration>) -> Self {
        let shard = || Mutex::new(Shard { entries: HashMap::new(), bytes: 0, clock: 0, refused: Vec::new() });
        UrlCache {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            shard_bytes: bytes / SHARDS,
            max_age,
            born: Instant::now(),
            confirmed: AtomicU64::new(0),
            epochs: Epochs::default(),
        }
    }

    /// Epochs of the clouds whose answers are kept here.
    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// Tells that every change was taken into account that was made before this moment.
    pub fn confirm(&self, moment: Instant) {
        let nanos = u64::try_from(moment.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX);
        self.confirmed.fetch_max(nanos, Ordering::AcqRel);
    }

    /// Whether an entry of this moment may have missed changes of at most the stated time.
    fn is_young(&self, since: Instant) -> bool {
        let Some(most) = self.max_age else { return true };
        let now = Instant::now();
        let confirmed = self.born + Duration::from_nanos(self.confirmed.load(Ordering::Acquire));
        now.saturating_duration_since(since.max(confirmed)) < most
    }

    fn shard(&self, key: &dyn Asked) -> &Mutex<Shard<V>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// The answer to a raw path under an Accept class, if it is still good.
    pub fn get(&self, path: &str, accept_class: u8) -> Option<Arc<V>> {
        let key: &dyn Asked = &(path, accept_class);
        let mut shard = self.shard(key).lock();
        shard.clock += 1;
        let clock = shard.clock;
        let entry = shard.entries.get_mut(key)?;
        let current = entry.cloud.load(Ordering::Acquire) == entry.epoch.0;
        if current && self.is_young(entry.since) {
            entry.used = clock;
            return Some(entry.value.clone());
        }
        shard.remove(key);
        None
    }

    /// Keeps an answer of `bytes`, made from facts that were looked up in `epoch`. Too large ones are not kept, nor, beyond a
    /// quarter of the cache, those that are made for the first time.
    pub fn put(&self, key: UrlKey, value: Arc<V>, bytes: usize, cloud: &CloudId, epoch: Epoch) {
        let bytes = bytes + key.path.len() + 256;
        if bytes > self.shard_bytes / 2 {
            return;
        }
        let cloud = self.epochs.counter(cloud);
        let hash = self.hasher.hash_one(&key);
        let mut shard = self.shards[hash as usize % SHARDS].lock();
        shard.clock += 1;
        let used = shard.clock;
        let is_known = shard.remove(&key);
        if !is_known && shard.bytes + bytes > self.shard_bytes / 4 && !shard.comes_again(hash) {
            return;
        }
        while shard.bytes + bytes > self.shard_bytes {
            // Looking at a few candidates is enough to throw out old ones, and costs the same for every size.
            let oldest = shard.entries.iter().take(8).min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            shard.remove(&oldest);
        }
        shard.bytes += bytes;
        shard.entries.insert(key, Entry { value, bytes, cloud, epoch, since: Instant::now(), used });
    }

    /// Looks at every answer that is kept, one shard at a time.
    pub fn for_each(&self, mut look: impl FnMut(&V)) {
        for shard in &self.shards {
            shard.lock().entries.values().for_each(|entry| look(&entry.value));
        }
    }

    /// Bytes that are kept now.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes).sum()
    }
}

impl<V> Shard<V> {
    /// Whether it was there.
    fn remove(&mut self, key: &dyn Asked) -> bool {
        let removed = self.entries.remove(key);
        self.bytes -= removed.as_ref().map_or(0, |entry| entry.bytes);
        removed.is_some()
    }

    /// Whether an answer with this hash was refused of late; it is remembered from now on.
    fn comes_again(&mut self, hash: u64) -> bool {
        if self.refused.is_empty() {
            self.refused = vec![0; REMEMBERED];
        }
        // The lowest bits chose the shard. 0 is the mark of an empty place.
        let mark = ((hash >> 32) as u32).max(1);
        let place = (hash as usize / SHARDS) % REMEMBERED;
        std::mem::replace(&mut self.refused[place], mark) == mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> UrlKey {
        UrlKey { path: path.into(), accept_class: 0 }
    }

    #[test]
    fn an_answer_is_good_until_its_cloud_changes() {
        let cache = UrlCache::new(1 << 20, None);
        let (mine, other) = (CloudId::random(), CloudId::random());
        let epoch = cache.epochs().current(&mine);
        cache.put(key("/a"), Arc::new(1), 10, &mine, epoch);
        assert_eq!(cache.get("/a", 0).as_deref(), Some(&1));
        cache.epochs().advance(&other);
        assert!(cache.get("/a", 0).is_some());
        cache.epochs().advance(&mine);
        assert!(cache.get("/a", 0).is_none());
        // What was looked up before the change is stale even if it is put afterwards.
        cache.put(key("/a"), Arc::new(1), 10, &mine, epoch);
        assert!(cache.get("/a", 0).is_none());
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn bytes_are_bounded_and_accept_classes_differ() {
        let cache = UrlCache::new(64 * 1024, None);
        let cloud = CloudId::random();
        let epoch = cache.epochs().current(&cloud);
        for i in 0..2000 {
            cache.put(key(&format!("/{i}")), Arc::new(i), 500, &cloud, epoch);
            assert!(cache.bytes() <= 64 * 1024);
        }
        cache.put(key("/huge"), Arc::new(0), 64 * 1024, &cloud, epoch);
        assert!(cache.get("/huge", 0).is_none());
        cache.put(UrlKey { path: "/x".into(), accept_class: 1 }, Arc::new(7), 10, &cloud, epoch);
        assert!(cache.get("/x", 0).is_none());
    }

    #[test]
    fn a_crowd_of_addresses_that_are_asked_for_once_takes_a_quarter() {
        let cache = UrlCache::new(1 << 20, None);
        let cloud = CloudId::random();
        let epoch = cache.epochs().current(&cloud);
        let put = |path: &str| cache.put(key(path), Arc::new(0), 2000, &cloud, epoch);
        for i in 0..5000 {
            put(&format!("/{i}"));
        }
        assert!(cache.bytes() > (1 << 20) / 8 && cache.bytes() <= (1 << 20) / 4, "{}", cache.bytes());
        // What comes again is kept, and stays when it is replaced.
        assert!(cache.get("/4999", 0).is_none());
        put("/4999");
        assert!(cache.get("/4999", 0).is_some());
        put("/4999");
        assert!(cache.get("/4999", 0).is_some());
        for i in 4000..5000 {
            put(&format!("/{i}"));
        }
        assert!(cache.bytes() > (1 << 20) / 2 && cache.bytes() <= 1 << 20, "{}", cache.bytes());
    }

    #[test]
    fn entries_outlive_their_age_while_changes_are_known() {
        let hour = Duration::from_secs(3600);
        let mut cache = UrlCache::<u32>::new(1 << 20, Some(hour));
        let Some(born) = cache.born.checked_sub(hour * 5) else { return };
        cache.born = born;
        assert!(!cache.is_young(born + hour) && cache.is_young(born + hour * 5));
        cache.confirm(born + hour * 5);
        assert!(cache.is_young(born + hour));
        cache.confirm(born);
        assert!(cache.is_young(born + hour), "an older word takes nothing back");
    }

    #[test]
    fn entries_end_with_their_age() {
        let cache = UrlCache::new(1 << 20, Some(Duration::ZERO));
        let cloud = CloudId::random();
        cache.put(key("/a"), Arc::new(1), 10, &cloud, cache.epochs().current(&cloud));
        assert!(cache.get("/a", 0).is_none());
    }
}
