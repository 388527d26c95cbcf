//! How the memory that the server may use is shared out. The parts never exceed the whole, and everything that grows with
//! the load is in one of them.

use std::fmt;

/// Enough for what some threads take and give back while they render.
const MOST_POOL_BYTES: u64 = 16 << 20;

/// Bytes for each use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Everything below together.
    pub total: u64,
    /// Finished answers.
    pub url_cache: u64,
    /// Compressed files of uploads that are looked into.
    pub uploads: u64,
    /// Host memory that stands between the renderer and a GPU; 0 without one.
    pub staging: u64,
    /// Buffers of pixels that are kept to be used again.
    pub pool: u64,
    /// What all permits together may stand for: compressed and decoded sources, coefficients, surfaces, and what encoders
    /// hold.
    pub renderings: u64,
}

impl MemoryBudget {
    /// An eighth for uploads, an eighth for staging where there is a GPU, a little for buffers that are kept, and all that is
    /// left for rendering. The URL cache is at most half, which the configuration checks.
    pub fn split(total: u64, url_cache: u64, has_gpu: bool) -> Self {
        let url_cache = url_cache.min(total / 2);
        let uploads = total / 8;
        let staging = if has_gpu { total / 8 } else { 0 };
        let pool = (total / 48).min(MOST_POOL_BYTES);
        MemoryBudget {
            total,
            url_cache,
            uploads,
            staging,
            pool,
            renderings: total - url_cache - uploads - staging - pool,
        }
    }

    /// The parts with their names.
    pub fn parts(&self) -> [(&'static str, u64); 5] {
        [
            ("renderings", self.renderings),
            ("url_cache", self.url_cache),
            ("uploads", self.uploads),
            ("staging", self.staging),
            ("pool", self.pool),
        ]
    }
}

impl fmt::Display for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MB: ", self.total >> 20)?;
        let parts = self.parts().map(|(name, bytes)| format!("{name} {}", bytes >> 20));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole() {
        for total in [64 << 20, 384 << 20, 1_000_000_007, u64::MAX] {
            for (cache, has_gpu) in [(0, true), (32 << 20, false), (u64::MAX, true)] {
                let budget = MemoryBudget::split(total, cache, has_gpu);
                let sum: u64 = budget.parts().iter().map(|(_, bytes)| bytes).sum();
                assert_eq!(sum, total);
                assert!(budget.renderings >= total / 5);
            }
        }
    }

    #[test]
    fn a_container_of_512_mb_renders_24_megapixels_whole() {
        // Three quarters of the limit, and the default cache.
        let budget = MemoryBudget::split(384 << 20, 32 << 20, false);
        // Decoded, rendered and handed to the encoder at full size, with the file itself.
        assert!(budget.renderings >= 3 * 24_000_000 * 4 + 16_000_000);
        assert_eq!(budget.to_string(), "384 MB: renderings 296, url_cache 32, uploads 48, staging 0, pool 8");
    }
}
