//! Runs one window: one upload, one command buffer, one readback.

use super::counters::BatchCounters;
use super::device::{Device, Mapping};
use super::memory::{Buffers, Memory};
use super::pipelines::Pipeline;
use super::schedule::{Dispatch, Schedule};
use super::window::{WORD_BYTES, Window, WindowLimits};
use crate::backend::{FallbackReason, Job};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::plan::bind::Kernel;
use std::collections::HashMap;
use std::ops::Range;

/// What is needed to run windows on one device.
pub(super) struct Engine<'a> {
    pub device: &'a Device,
    pub pipelines: &'a [Pipeline],
    pub limits: WindowLimits,
}

/// The bytes of all tables of a window, and where in them each dispatch finds its own.
struct TableBytes {
    bytes: Vec<u8>,
    tables: Range<u64>,
    /// Structures and tiles of every dispatch, in order.
    dispatches: Vec<(Range<u64>, Range<u64>)>,
}

impl TableBytes {
    fn new(schedule: &Schedule, alignment: u64) -> Self {
        let mut bytes = Vec::new();
        let mut add = |part: &[u8]| {
            bytes.resize(bytes.len().next_multiple_of(alignment as usize), 0);
            let start = bytes.len() as u64;
            bytes.extend_from_slice(part);
            start..bytes.len() as u64
        };
        let tables = add(bytemuck::cast_slice(&schedule.tables));
        let each = schedule.dispatches.values();
        let dispatches = each.map(|one| (add(&one.jobs), add(bytemuck::cast_slice(&one.tiles)))).collect();
        TableBytes { bytes, tables, dispatches }
    }
}

/// A copy from the staging buffer into the arena.
struct Upload {
    from: u64,
    to: u64,
    bytes: u64,
}

impl Engine<'_> {
    /// Frames of the window's jobs, in the order of its seats.
    pub fn run(
        &self,
        memory: &mut Memory,
        jobs: &[Job],
        window: &Window,
        counters: &mut BatchCounters,
    ) -> Result<Vec<Frame>, FallbackReason> {
        let mut schedule = Schedule::new();
        for seat in &window.seats {
            schedule.add(&jobs[seat.job].plan, &seat.layout, seat.base);
        }
        let tables = TableBytes::new(&schedule, self.limits.alignment_bytes);
        self.device.scoped(|| {
            let limit = self.limits.binding_bytes.min(self.limits.buffer_bytes);
            let buffers = memory.prepare(&self.device.raw, &window.need, limit, self.limits.budget_bytes);
            let uploads = self.stage(buffers, jobs, window, &tables, counters)?;
            let commands = self.encode(buffers, jobs, window, &schedule, &tables, &uploads)?;
            self.device.queue.submit([commands]);
            counters.submissions += 1;
            counters.dispatches += schedule.dispatches.len() as u64;
            counters.windows += 1;
            counters.arena_bytes = counters.arena_bytes.max(window.need.arena);
            if let Some(lost) = self.device.lost() {
                return Err(lost);
            }
            self.read_back(buffers, jobs, window, counters)
        })
    }

    /// Writes tables and sources where the device will fetch them. A frame that several jobs share goes up once.
    fn stage(
        &self,
        buffers: &Buffers,
        jobs: &[Job],
        window: &Window,
        tables: &TableBytes,
        counters: &mut BatchCounters,
    ) -> Result<Vec<Upload>, FallbackReason> {
        let table_bytes = tables.bytes.len() as u64;
        let mut frames: Vec<&Frame> = Vec::new();
        let mut places: HashMap<*const Frame, u64> = HashMap::new();
        let mut uploads = Vec::new();
        let mut end = table_bytes;
        for seat in &window.seats {
            let job = &jobs[seat.job];
            for (kernel, placed) in job.plan.kernels.iter().zip(&seat.layout.surfaces) {
                let (Kernel::Load { source }, Some(placed)) = (kernel, placed) else { continue };
                let Some(frame) = super::check::frame(job, *source) else { continue };
                let bytes = frame.pixels().len() as u64;
                let from = *places.entry(std::ptr::from_ref(&**frame)).or_insert_with(|| {
                    frames.push(frame);
                    end += bytes;
                    end - bytes
                });
                uploads.push(Upload { from, to: (seat.base + placed.at) * WORD_BYTES, bytes });
            }
        }
        let slice = buffers.staging.slice(..end);
        self.device.wait(&Mapping::request(slice, wgpu::MapMode::Write))?;
        {
            let mut view = slice.get_mapped_range_mut().map_err(|error| self.map_error(&error))?;
            let mut at = tables.bytes.len();
            view.slice(..at).copy_from_slice(&tables.bytes);
            for frame in frames {
                let pixels = frame.pixels();
                view.slice(at..at + pixels.len()).copy_from_slice(pixels);
                at += pixels.len();
            }
        }
        buffers.staging.unmap();
        counters.bytes_up += end;
        counters.bytes_tables += table_bytes;
        Ok(uploads)
    }

    fn encode(
        &self,
        buffers: &Buffers,
        jobs: &[Job],
        window: &Window,
        schedule: &Schedule,
        tables: &TableBytes,
        uploads: &[Upload],
    ) -> Result<wgpu::CommandBuffer, FallbackReason> {
        let mut encoder = self.device.raw.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&buffers.staging, 0, &buffers.tables, 0, tables.bytes.len() as u64);
        for upload in uploads {
            encoder.copy_buffer_to_buffer(&buffers.staging, upload.from, &buffers.arena, upload.to, upload.bytes);
        }
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for (((_, kernel), dispatch), ranges) in schedule.dispatches.iter().zip(&tables.dispatches) {
                self.dispatch(&mut pass, buffers, &self.pipelines[*kernel], dispatch, &tables.tables, ranges)?;
            }
        }
        let mut at = 0;
        for seat in &window.seats {
            let plan = &jobs[seat.job].plan;
            let bytes = plan.size(plan.output).pixels() * BYTES_PER_PIXEL as u64;
            if let Some(placed) = seat.layout.surfaces[usize::from(plan.output.0)] {
                let from = (seat.base + placed.at) * WORD_BYTES;
                encoder.copy_buffer_to_buffer(&buffers.arena, from, &buffers.readback, at, bytes);
            }
            at += bytes;
        }
        Ok(encoder.finish())
    }

    fn dispatch(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        buffers: &Buffers,
        pipeline: &Pipeline,
        dispatch: &Dispatch,
        tables: &Range<u64>,
        (jobs, tiles): &(Range<u64>, Range<u64>),
    ) -> Result<(), FallbackReason> {
        let part = |range: &Range<u64>| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &buffers.tables,
                offset: range.start,
                size: std::num::NonZeroU64::new(range.end - range.start),
            })
        };
        let group = pipeline.bind(&self.device.raw, |name| match name {
            "arena" => Some(buffers.arena.as_entire_binding()),
            "tables" => Some(part(tables)),
            "jobs" => Some(part(jobs)),
            "tiles" => Some(part(tiles)),
            _ => None,
        })?;
        let (across, down) =
            workgroups(dispatch.tiles.len() as u64, self.device.limits.max_compute_workgroups_per_dimension)
                .ok_or_else(|| FallbackReason::TooLarge("more tiles than one dispatch can count".into()))?;
        pass.set_pipeline(&pipeline.raw);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(across, down, 1);
        Ok(())
    }

    fn read_back(
        &self,
        buffers: &Buffers,
        jobs: &[Job],
        window: &Window,
        counters: &mut BatchCounters,
    ) -> Result<Vec<Frame>, FallbackReason> {
        let slice = buffers.readback.slice(..window.need.output);
        self.device.wait(&Mapping::request(slice, wgpu::MapMode::Read))?;
        let mut frames = Vec::with_capacity(window.seats.len());
        {
            let view = slice.get_mapped_range().map_err(|error| self.map_error(&error))?;
            let mut at = 0;
            for seat in &window.seats {
                let plan = &jobs[seat.job].plan;
                let size = plan.size(plan.output);
                let end = at + size.pixels() as usize * BYTES_PER_PIXEL;
                let frame = Frame::new(size, plan.alpha(plan.output), view[at..end].to_vec());
                frames.push(frame.map_err(|error| FallbackReason::DeviceError(error.to_string()))?);
                at = end;
            }
        }
        buffers.readback.unmap();
        counters.bytes_down += window.need.output;
        Ok(frames)
    }

    fn map_error(&self, error: &dyn std::fmt::Display) -> FallbackReason {
        self.device.lost().unwrap_or_else(|| FallbackReason::DeviceError(error.to_string()))
    }
}

/// The nearest to square-free split of workgroups over two dimensions: as few rows as the limit allows.
fn workgroups(tiles: u64, limit: u32) -> Option<(u32, u32)> {
    let down = tiles.div_ceil(u64::from(limit)).max(1);
    let across = tiles.div_ceil(down);
    let down = u32::try_from(down).ok().filter(|down| *down <= limit)?;
    Some((u32::try_from(across).ok()?, down))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workgroups_cover_all_tiles_under_the_limit() {
        for tiles in [1, 2, 65_535, 65_536, 65_537, 131_071, 10_000_019] {
            let (across, down) = workgroups(tiles, 65_535).unwrap_or_default();
            assert!(across <= 65_535 && down <= 65_535);
            let covered = u64::from(across) * u64::from(down);
            assert!(covered >= tiles && covered < tiles + u64::from(down), "{tiles}");
        }
        assert_eq!(workgroups(65_535, 65_535), Some((65_535, 1)));
        assert_eq!(workgroups(u64::MAX, 65_535), None);
    }
}
