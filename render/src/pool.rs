//! Buffers of pixels and samples that are used again, so that a server under load neither asks the system for fresh pages
//! all the time nor keeps what it does not need.
//!
//! What is taken is cleared: no picture ever shows what was in another.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Smaller buffers are left to the allocator, which has them at hand.
const LEAST_BYTES: usize = 64 << 10;
/// Bytes that are kept where nobody says otherwise.
const DEFAULT_BYTES: usize = 16 << 20;

static POOL: Mutex<Pool> = Mutex::new(Pool::new(DEFAULT_BYTES));

/// Buffers that nobody uses now.
struct Pool {
    /// Oldest first, with the round of [`trim`] in which each was given back.
    buffers: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    most_bytes: usize,
    round: u64,
}

impl Pool {
    const fn new(most_bytes: usize) -> Self {
        Pool { buffers: VecDeque::new(), bytes: 0, most_bytes, round: 0 }
    }

    /// The smallest buffer with so much room that wastes no more than it holds.
    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let fits = |buffer: &Vec<u8>| (length..=length.saturating_mul(2)).contains(&buffer.capacity());
        let fitting = self.buffers.iter().enumerate().filter(|(_, (_, buffer))| fits(buffer));
        let (at, _) = fitting.min_by_key(|(_, (_, buffer))| buffer.capacity())?;
        let (_, buffer) = self.buffers.remove(at)?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Gives what has to be freed.
    fn give(&mut self, buffer: Vec<u8>) -> Vec<Vec<u8>> {
        if buffer.capacity() > self.most_bytes / 2 {
            return vec![buffer];
        }
        self.bytes += buffer.capacity();
        self.buffers.push_back((self.round, buffer));
        self.shrink()
    }

    fn shrink(&mut self) -> Vec<Vec<u8>> {
        let mut freed = Vec::new();
        while self.bytes > self.most_bytes
            && let Some((_, buffer)) = self.buffers.pop_front()
        {
            self.bytes -= buffer.capacity();
            freed.push(buffer);
        }
        freed
    }

    fn trim(&mut self) -> Vec<Vec<u8>> {
        let round = self.round;
        self.round += 1;
        let (kept, freed) = self.buffers.drain(..).partition::<VecDeque<_>, _>(|(given, _)| *given == round);
        self.buffers = kept;
        self.bytes = self.buffers.iter().map(|(_, buffer)| buffer.capacity()).sum();
        freed.into_iter().map(|(_, buffer)| buffer).collect()
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    // Whatever panicked left a list of buffers, which is as good as any.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many zeros.
pub(crate) fn take(length: usize) -> Vec<u8> {
    if length < LEAST_BYTES {
        return vec![0; length];
    }
    let taken = pool().take(length);
    match taken {
        Some(mut buffer) => {
            buffer.clear();
            buffer.resize(length, 0);
            buffer
        }
        None => vec![0; length],
    }
}

/// Gives a buffer back that is not in use any more.
pub(crate) fn give(buffer: Vec<u8>) {
    if buffer.capacity() >= LEAST_BYTES {
        let freed = pool().give(buffer);
        drop(freed);
    }
}

/// Sets how many bytes are kept for later use at most; 0 keeps nothing.
pub fn limit(bytes: usize) {
    let mut pool = pool();
    pool.most_bytes = bytes;
    let freed = pool.shrink();
    drop(pool);
    drop(freed);
}

/// Bytes that are kept for later use now.
pub fn held_bytes() -> usize {
    pool().bytes
}

/// Frees what nobody has used since the last call.
pub fn trim() {
    let freed = pool().trim();
    drop(freed);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Limits;
    use crate::codec;
    use crate::cpu::CpuBackend;
    use crate::face::FaceDetector;
    use crate::frame::Frame;
    use crate::language::{Format, parse};
    use crate::pipeline::{self, Request};
    use crate::plan::facts::{Facts, Purpose, SourceFacts};
    use crate::plan::geometry::{Orientation, Size};
    use crate::plan::{Encoding, Quality};
    use std::sync::Arc;

    #[test]
    fn what_fits_best_is_used_again() {
        let mut pool = Pool::new(1 << 20);
        for capacity in [100_000, 300_000, 200_000] {
            assert!(pool.give(Vec::with_capacity(capacity)).is_empty());
        }
        assert_eq!(pool.bytes, 600_000);
        assert_eq!(pool.take(150_000).unwrap().capacity(), 200_000);
        assert!(pool.take(120_000).is_none(), "300000 would waste more than it holds");
        assert!(pool.take(400_000).is_none());
        assert_eq!(pool.bytes, 400_000);
    }

    #[test]
    fn bytes_are_bounded_and_the_oldest_go_first() {
        let mut pool = Pool::new(1_000_000);
        for n in 0..50 {
            pool.give(Vec::with_capacity(100_000 + n));
            assert!(pool.bytes <= 1_000_000);
        }
        assert!(pool.take(100_000).unwrap().capacity() > 100_040);
        let freed = pool.give(Vec::with_capacity(600_000));
        assert_eq!(freed.len(), 1, "one that takes more than half of the room is not kept");
    }

    #[test]
    fn what_is_idle_for_a_round_is_freed() {
        let mut pool = Pool::new(1 << 20);
        pool.give(Vec::with_capacity(100_000));
        assert!(pool.trim().is_empty());
        pool.give(Vec::with_capacity(200_000));
        assert_eq!(pool.trim().len(), 1);
        assert_eq!(pool.bytes, 200_000);
        assert_eq!(pool.trim().len(), 1);
        assert_eq!(pool.bytes, 0);
    }

    /// What a request makes of a black picture while the pool is full of other content.
    fn black(text: &str) -> Frame {
        let limits = Limits::default();
        let size = Size::new(640, 480);
        let encoding = Encoding { format: Format::Jpeg, quality: Quality::Fixed(90), chroma: None, progressive: false };
        let file = codec::encode(&Frame::filled(size, [0, 0, 0, 255]), &encoding, &limits).unwrap().bytes;
        let base = SourceFacts {
            size,
            orientation: Orientation::IDENTITY,
            format: Format::Jpeg,
            has_alpha: false,
            faces: Some(vec![]),
            custom: vec![],
        };
        let request = Request {
            transformation: Arc::new(parse(text, &limits).unwrap()),
            facts: Facts { base, layers: Default::default() },
            purpose: Purpose::default(),
        };
        for length in (LEAST_BYTES..2_000_000).step_by(50_000) {
            give(vec![0xFF; length]);
        }
        let detector = FaceDetector::new().unwrap();
        let prepared = pipeline::prepare(&request, &[file.into()], &detector, &limits).unwrap();
        CpuBackend::new().run(&prepared.job).unwrap().into_frame()
    }

    #[test]
    fn what_others_left_is_in_no_picture() {
        let texts = [
            "c_scale,w_320/q_80,f_jpg",
            "c_scale,w_320/f_png",
            "c_crop,w_600,h_400/f_png",
            "a_90/f_png",
            "c_pad,w_700,h_700,b_black/bo_3px_solid_black/f_png",
        ];
        for text in texts {
            let frame = black(text);
            assert!(frame.pixels().chunks_exact(4).all(|pixel| pixel[..3].iter().all(|byte| *byte < 3)), "{text}");
        }
    }

    #[test]
    fn what_is_taken_is_clear() {
        for _ in 0..20 {
            give(vec![0xA5; 333_333]);
            let taken = take(300_000);
            assert!(taken.len() == 300_000 && taken.iter().all(|byte| *byte == 0));
            give(vec![0x5A; 333_333]);
        }
    }
}
