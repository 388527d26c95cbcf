//! The buffers of a backend: recycled from window to window, and never more than the budget together.
//!
//! Buffers are not cleared in between. `arena` states why no job can see what another one left there.

use super::window::Need;

/// Buffers grow in steps of this size, so that similar windows do not allocate anew.
const GRAIN_BYTES: u64 = 1 << 20;

/// The four buffers of a window, each at least as large as was asked for.
#[derive(Debug)]
pub(super) struct Buffers {
    /// All surfaces; only kernels and copies touch it.
    pub arena: wgpu::Buffer,
    /// Weights, structures and tiles, as kernels read them.
    pub tables: wgpu::Buffer,
    /// Tables and sources on their way up.
    pub staging: wgpu::Buffer,
    /// Outputs on their way down.
    pub readback: wgpu::Buffer,
}

/// Owner of the buffers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    buffers: Option<Buffers>,
}

impl Memory {
    /// Buffers for a window whose need was checked against the limits. Call inside of an error scope: allocation may fail.
    pub fn prepare(&mut self, device: &wgpu::Device, need: &Need, limit_bytes: u64, budget_bytes: u64) -> &Buffers {
        let kept = self.buffers.take().filter(|buffers| {
            buffers.arena.size() >= need.arena
                && buffers.tables.size() >= need.tables
                && buffers.staging.size() >= need.staging()
                && buffers.readback.size() >= need.output
        });
        // The old buffers are gone before new ones come, so that both never count together.
        self.buffers.insert(kept.unwrap_or_else(|| allocate(device, need, limit_bytes, budget_bytes)))
    }

    /// Lets go of everything, for example after an error.
    pub fn clear(&mut self) {
        self.buffers = None;
    }
}

/// Four buffers, rounded up where limits and budget leave room.
fn allocate(device: &wgpu::Device, need: &Need, limit_bytes: u64, budget_bytes: u64) -> Buffers {
    let rounded = |bytes: u64| bytes.next_multiple_of(GRAIN_BYTES).min(limit_bytes);
    let sizes = [need.arena, need.tables, need.staging(), need.output];
    let generous = sizes.map(rounded);
    let [arena, tables, staging, readback] =
        if generous.iter().sum::<u64>() <= budget_bytes { generous } else { sizes };
    let buffer = |label, size: u64, usage| {
        let size = size.max(4);
        device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
    };
    use wgpu::BufferUsages as Usage;
    Buffers {
        arena: buffer("arena", arena, Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST),
        tables: buffer("tables", tables, Usage::STORAGE | Usage::COPY_DST),
        staging: buffer("staging", staging, Usage::MAP_WRITE | Usage::COPY_SRC),
        readback: buffer("readback", readback, Usage::MAP_READ | Usage::COPY_DST),
    }
}
