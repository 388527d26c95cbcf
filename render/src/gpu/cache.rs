//! Compiled kernels from an earlier run. The renderer has no files: whoever has them hands bytes in and takes bytes out.

use super::device::Device;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// Keeps bytes by a name that is safe as the name of a file. Losing them costs time only.
pub trait PipelineCacheStore: Send + Sync {
    /// The bytes that were kept last; `None` when there are none.
    fn load(&self, key: &str) -> Option<Vec<u8>>;

    /// Keeps bytes. Failures are the store's to report.
    fn save(&self, key: &str, bytes: &[u8]);
}

/// A store as a part of options.
#[derive(Clone)]
pub struct PipelineCaches(pub Arc<dyn PipelineCacheStore>);

impl fmt::Debug for PipelineCaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PipelineCaches")
    }
}

impl PartialEq for PipelineCaches {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for PipelineCaches {}

/// What became of the cache when an adapter was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheUse {
    /// Nobody asked for one.
    Off,
    /// The driver offers none.
    Unsupported,
    /// Nothing was kept for this adapter, driver and set of kernels.
    Absent,
    /// What was kept is damaged or belongs to something else; it was left alone and is written anew.
    Ignored,
    /// Compiled kernels were handed to the driver.
    Used,
}

impl fmt::Display for CacheUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CacheUse::Off => "off",
            CacheUse::Unsupported => "unsupported by the driver",
            CacheUse::Absent => "absent, written now",
            CacheUse::Ignored => "damaged, written anew",
            CacheUse::Used => "used",
        })
    }
}

/// Begins what is kept; the number changes with the format.
const MAGIC: &[u8; 8] = b"ttpipe1\n";

/// Longest cache that is read: many times what a dozen kernels take.
const MOST_BYTES: usize = 64 << 20;

/// FNV-1a, by G. Fowler, L. C. Noll and K.-P. Vo: finds damage, not malice. The store belongs to whoever runs the server.
fn digest(parts: &[&[u8]]) -> u64 {
    let step = |digest: u64, byte: &u8| (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    parts.iter().flat_map(|part| part.iter()).fold(0xcbf2_9ce4_8422_2325, step)
}

/// Name under which the cache of an adapter, its driver and these kernels is kept.
pub(super) fn key(about: &wgpu::AdapterInfo) -> String {
    let sources: Vec<&[u8]> = tintype_shaders::KERNELS.iter().map(|kernel| kernel.source.as_bytes()).collect();
    let texts = [about.name.as_bytes(), b"\0", about.driver.as_bytes(), b"\0", about.driver_info.as_bytes()];
    let adapter = digest(&texts);
    format!("{}-{:04x}-{:04x}-{adapter:016x}-{:016x}", about.backend, about.vendor, about.device, digest(&sources))
}

/// Bytes as they are kept: they state whose they are and that they are whole.
fn sealed(key: &str, bytes: &[u8]) -> Vec<u8> {
    let mut sealed = MAGIC.to_vec();
    sealed.extend_from_slice(&digest(&[key.as_bytes(), b"\0", bytes]).to_le_bytes());
    sealed.extend_from_slice(bytes);
    sealed
}

fn unsealed<'a>(key: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
    let rest = sealed.strip_prefix(MAGIC)?;
    let (stated, bytes) = rest.split_first_chunk::<8>()?;
    let whole = u64::from_le_bytes(*stated) == digest(&[key.as_bytes(), b"\0", bytes]);
    (whole && !bytes.is_empty() && sealed.len() <= MOST_BYTES).then_some(bytes)
}

/// The cache of a device that is being opened.
#[derive(Debug)]
pub(super) struct PipelineCache {
    pub raw: Option<wgpu::PipelineCache>,
    pub found: CacheUse,
}

impl PipelineCache {
    /// Opens the cache, filled with what was kept if that is whole.
    pub fn open(device: &Device, store: Option<&PipelineCaches>) -> PipelineCache {
        let Some(PipelineCaches(store)) = store else {
            return PipelineCache { raw: None, found: CacheUse::Off };
        };
        if !device.raw.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return PipelineCache { raw: None, found: CacheUse::Unsupported };
        }
        let kept = store.load(&device.cache_key);
        let data = kept.as_deref().and_then(|kept| unsealed(&device.cache_key, kept));
        let found = match (&kept, data) {
            (None, _) => CacheUse::Absent,
            (Some(_), None) => CacheUse::Ignored,
            (Some(_), Some(_)) => CacheUse::Used,
        };
        // Safe: the bytes came out of `get_data` for a key that names adapter and driver, unless somebody who may write
        // to the store forged the digest; wgpu then still checks its own header, and falls back to an empty cache.
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("tintype"), data, fallback: true };
        let raw = unsafe { device.raw.create_pipeline_cache(&descriptor) };
        PipelineCache { raw: Some(raw), found }
    }

    /// Hands what was compiled to the store, if it has not got it yet.
    pub fn keep(&self, device: &Device, store: Option<&PipelineCaches>) {
        let (Some(PipelineCaches(store)), Some(raw)) = (store, &self.raw) else { return };
        if self.found == CacheUse::Used {
            return;
        }
        match raw.get_data() {
            Some(bytes) if !bytes.is_empty() && bytes.len() < MOST_BYTES - 64 => {
                store.save(&device.cache_key, &sealed(&device.cache_key, &bytes));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let kept = sealed("key", b"some compiled kernels");
        assert_eq!(unsealed("key", &kept), Some(&b"some compiled kernels"[..]));
        assert_eq!(unsealed("another", &kept), None);
        for bit in 0..kept.len() * 8 {
            let mut damaged = kept.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unsealed("key", &damaged), None, "bit {bit}");
        }
        for length in 0..kept.len() {
            assert_eq!(unsealed("key", &kept[..length]), None, "cut to {length}");
        }
    }
}
