//! The buffers of a backend: recycled from window to window, and never more than the budget together.
//!
//! One arena and one buffer of tables serve all windows, because a device runs them one after the other. Staging memory
//! is a ring of slots: while the device works on one window, the host fills the staging buffer of the next and empties
//! the readback buffer of the one before.

use super::device::Mapping;
use super::window::{Need, Window};

/// Buffers grow in steps of this size, so that similar windows do not allocate anew.
const GRAIN_BYTES: u64 = 1 << 20;

/// What kernels work on.
#[derive(Debug)]
pub(super) struct Work {
    /// All surfaces; only kernels and copies touch it.
    pub arena: wgpu::Buffer,
    /// Weights, structures and tiles, as kernels read them.
    pub tables: wgpu::Buffer,
}

impl Work {
    fn bytes(&self) -> u64 {
        self.arena.size() + self.tables.size()
    }
}

/// What one window travels in.
#[derive(Debug)]
pub(super) struct Slot {
    /// Tables and sources on their way up.
    pub staging: wgpu::Buffer,
    /// Outputs on their way down.
    pub readback: wgpu::Buffer,
    /// The mapping of `staging` that was asked for after its last use; `None` while it is mapped.
    pub mapping: Option<Mapping>,
}

impl Slot {
    pub fn bytes(&self) -> u64 {
        self.staging.size() + self.readback.size()
    }
}

/// Ceilings of the buffers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ceilings {
    /// Of arena and tables each.
    pub binding_bytes: u64,
    /// Of staging and readback each.
    pub buffer_bytes: u64,
    /// Of all together.
    pub budget_bytes: u64,
    /// Number of slots.
    pub slots: usize,
}

/// Owner of the buffers that no window has.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub work: Option<Work>,
    free: Vec<Slot>,
}

/// Slots that windows have.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lent {
    pub slots: usize,
    pub bytes: u64,
}

impl Memory {
    /// A slot for a window, with `work` large enough for all windows of its chain, whose need was checked against the
    /// limits. `None` when a window that is on its way has to come back first. The work of an earlier window of the
    /// chain is never replaced. Call inside of an error scope: allocation may fail.
    ///
    /// Adds the number of buffers that were made to `made`.
    pub fn take(
        &mut self,
        device: &wgpu::Device,
        window: &Window,
        lent: Lent,
        ceilings: &Ceilings,
        made: &mut u64,
    ) -> Option<Slot> {
        let (need, chain) = (&window.need, &window.chain);
        let budget = ceilings.budget_bytes;
        if lent.slots >= ceilings.slots {
            return None;
        }
        let moving = chain.staging() + chain.output;
        let good = |work: &Work| {
            work.arena.size() >= chain.arena && work.tables.size() >= chain.tables && work.bytes() + moving <= budget
        };
        if !window.inherits && !self.work.as_ref().is_some_and(good) {
            if lent.slots > 0 {
                // A device that still works on the old arena cannot give its memory back.
                return None;
            }
            self.work = None;
        }
        let fits = |slot: &Slot| slot.staging.size() >= need.staging() && slot.readback.size() >= need.output;
        let mut kept = self.free.iter().position(fits).map(|index| self.free.swap_remove(index));
        let work_bytes = if self.work.is_none() { chain.arena + chain.tables } else { 0 };
        loop {
            let slot_bytes = if kept.is_none() { need.staging() + need.output } else { 0 };
            let held = self.bytes() + kept.as_ref().map_or(0, Slot::bytes) + lent.bytes;
            let fits = held + work_bytes + slot_bytes <= budget;
            if fits && (kept.is_some() || lent.slots + self.free.len() < ceilings.slots) {
                let room = budget - held - work_bytes - slot_bytes;
                self.make_work(device, chain, moving, room, ceilings, made);
                let room = budget.saturating_sub(self.bytes() + slot_bytes + lent.bytes);
                return Some(kept.unwrap_or_else(|| make_slot(device, need, room, ceilings, made)));
            }
            if self.free.pop().is_some() {
                continue;
            }
            if lent.slots > 0 || kept.is_none() {
                self.free.extend(kept);
                return None;
            }
            // Alone it fits, exactly as large as it is.
            kept = None;
        }
    }

    /// Allocates what kernels work on, if it is not there; rounded up where that leaves room for the largest slot.
    fn make_work(
        &mut self,
        device: &wgpu::Device,
        chain: &Need,
        moving: u64,
        room: u64,
        ceilings: &Ceilings,
        made: &mut u64,
    ) {
        if self.work.is_some() {
            return;
        }
        let limit = ceilings.binding_bytes;
        let sizes = [chain.arena, chain.tables];
        let generous = sizes.map(|bytes| rounded(bytes, limit));
        let extra = generous.iter().sum::<u64>() - sizes.iter().sum::<u64>();
        let total = generous.iter().sum::<u64>() + moving;
        let [arena, tables] = if extra <= room && total <= ceilings.budget_bytes { generous } else { sizes };
        use wgpu::BufferUsages as Usage;
        *made += 2;
        self.work = Some(Work {
            arena: buffer(device, "arena", arena, Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST, false),
            tables: buffer(device, "tables", tables, Usage::STORAGE | Usage::COPY_DST, false),
        });
    }

    /// Takes a slot back.
    pub fn put(&mut self, slot: Slot) {
        self.free.push(slot);
    }

    /// Lets go of what kernels work on, for example because a window failed before it was cleared.
    pub fn drop_work(&mut self) {
        self.work = None;
    }

    /// Bytes of all buffers, without those of windows on their way.
    pub fn bytes(&self) -> u64 {
        self.work.as_ref().map_or(0, Work::bytes) + self.free.iter().map(Slot::bytes).sum::<u64>()
    }
}

fn rounded(bytes: u64, limit: u64) -> u64 {
    bytes.next_multiple_of(GRAIN_BYTES).min(limit).max(bytes)
}

fn make_slot(device: &wgpu::Device, need: &Need, room: u64, ceilings: &Ceilings, made: &mut u64) -> Slot {
    let sizes = [need.staging(), need.output];
    let generous = sizes.map(|bytes| rounded(bytes, ceilings.buffer_bytes));
    let extra = generous.iter().sum::<u64>() - sizes.iter().sum::<u64>();
    let [staging, readback] = if extra <= room { generous } else { sizes };
    use wgpu::BufferUsages as Usage;
    *made += 2;
    Slot {
        staging: buffer(device, "staging", staging, Usage::MAP_WRITE | Usage::COPY_SRC, true),
        readback: buffer(device, "readback", readback, Usage::MAP_READ | Usage::COPY_DST, false),
        mapping: None,
    }
}

fn buffer(device: &wgpu::Device, label: &str, bytes: u64, usage: wgpu::BufferUsages, mapped: bool) -> wgpu::Buffer {
    // Buffers are counted in words, and none may be empty.
    let size = bytes.max(4).next_multiple_of(4);
    device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: mapped })
}
