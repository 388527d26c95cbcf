//! Runs windows: one upload, one command buffer and one readback each, several of them on their way at a time.

use super::counters::{BatchCounters, Clock, Stopwatch};
use super::device::{Device, Mapping};
use super::memory::{Ceilings, Lent, Memory, Slot, Work};
use super::pipelines::Pipeline;
use super::schedule::{Dispatch, Schedule};
use super::window::{WORD_BYTES, Window, WindowLimits, output_bytes};
use super::wire;
use crate::backend::{FallbackReason, Job, Output, Source};
use crate::frame::Frame;
use crate::plan::bind::Kernel;
use crate::plan::geometry::Size;
use crate::planes::Subsampling;
use std::ops::Range;

/// What is needed to run windows on one device.
pub(super) struct Engine<'a> {
    pub device: &'a Device,
    pub pipelines: &'a [Pipeline],
    pub limits: WindowLimits,
    pub clock: Option<Clock>,
    /// Whether surfaces are cleared when their window is done.
    pub zero_memory: bool,
}

/// A window on its way.
#[derive(Debug)]
pub(super) struct Flight {
    slot: Slot,
    readback: Mapping,
    submission: wgpu::SubmissionIndex,
    pictures: Vec<Picture>,
    output_bytes: u64,
}

/// A picture in the readback buffer.
#[derive(Debug)]
struct Picture {
    /// Index in the batch.
    job: usize,
    size: Size,
    form: OutputForm,
    bytes: u64,
}

/// How a picture comes back.
#[derive(Debug, Clone, Copy)]
enum OutputForm {
    Words,
    Triplets,
    Planes { subsampling: Subsampling, gray: bool },
}

impl Picture {
    fn output(&self, bytes: &[u8]) -> crate::error::Result<Output> {
        match self.form {
            OutputForm::Words => Frame::new(self.size, true, bytes.to_vec()).map(Output::Rgba),
            OutputForm::Triplets => Frame::new(self.size, false, wire::unpacked(bytes, self.size)).map(Output::Rgba),
            OutputForm::Planes { subsampling, gray } => {
                wire::planes(bytes, self.size, subsampling, gray).map(Output::Planar)
            }
        }
    }
}

/// Whether the output is resampled from planes without chroma.
fn is_gray(job: &Job) -> bool {
    let plan = &job.plan;
    let Kernel::Resample { input, .. } = plan.kernels[usize::from(plan.output.0)] else { return false };
    let Kernel::Load { source } = plan.kernels[usize::from(input.0)] else { return false };
    matches!(job.sources.get(source), Some(Source::Planar(planes)) if planes.chroma().is_none())
}

impl Flight {
    /// Indices of its jobs in their batch.
    pub fn jobs(&self) -> impl Iterator<Item = usize> {
        self.pictures.iter().map(|picture| picture.job)
    }

    /// Bytes of its buffers.
    pub fn bytes(&self) -> u64 {
        self.slot.bytes()
    }
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
        let dispatches = each.map(|one| (add(&one.jobs), add(bytemuck::cast_slice(&one.tiles())))).collect();
        TableBytes { bytes, tables, dispatches }
    }
}

/// A copy from the staging buffer into the arena.
struct Transfer {
    from: u64,
    to: u64,
    bytes: u64,
}

impl Engine<'_> {
    /// Sends a window on its way. `Ok(None)` when one that is on its way has to come back first; nothing has happened
    /// then.
    pub fn launch(
        &self,
        memory: &mut Memory,
        lent: Lent,
        jobs: &[Job],
        window: &Window,
        counters: &mut BatchCounters,
    ) -> Result<Option<Flight>, FallbackReason> {
        let ceilings = Ceilings {
            binding_bytes: self.limits.binding_bytes.min(self.limits.buffer_bytes),
            buffer_bytes: self.limits.buffer_bytes,
            budget_bytes: self.limits.budget_bytes,
            slots: self.limits.slots as usize,
        };
        self.device.scoped(|| {
            let taken = memory.take(&self.device.raw, window, lent, &ceilings, &mut counters.buffers_made);
            let Some(slot) = taken else { return Ok(None) };
            let work = memory.work.as_ref().ok_or_else(|| FallbackReason::DeviceError("no arena".into()))?;
            let mut schedule = Schedule::new();
            for upload in window.uploads.iter().filter(|upload| upload.wire != upload.surface) {
                schedule.add_upload(&jobs[upload.job].sources[upload.source], upload.wire, upload.surface);
            }
            for seat in &window.seats {
                schedule.add(&jobs[seat.job], &seat.layout, |source| seat.raw.contains(&source));
            }
            let tables = TableBytes::new(&schedule, self.limits.alignment_bytes);
            let transfers = self.stage(&slot, jobs, window, &tables, lent, counters)?;
            let (commands, pictures) =
                self.encode(work, &slot, jobs, window, &schedule, &tables, &transfers, counters)?;
            let submission = self.device.queue.submit([commands]);
            counters.submissions += 1;
            counters.dispatches += schedule.dispatches.len() as u64;
            counters.windows += 1;
            counters.windows_overlapped += u64::from(lent.slots > 0);
            counters.arena_bytes = counters.arena_bytes.max(window.need.arena);
            if let Some(lost) = self.device.lost() {
                return Err(lost);
            }
            // Both are answered as soon as the device is done, however late somebody asks.
            let staging = Mapping::request(slot.staging.slice(..), wgpu::MapMode::Write);
            let readback = Mapping::request(slot.readback.slice(..window.need.output), wgpu::MapMode::Read);
            let slot = Slot { mapping: Some(staging), ..slot };
            Ok(Some(Flight { slot, readback, submission, pictures, output_bytes: window.need.output }))
        })
    }

    /// Writes tables and sources where the device will fetch them. A picture that several jobs share goes up once.
    fn stage(
        &self,
        slot: &Slot,
        jobs: &[Job],
        window: &Window,
        tables: &TableBytes,
        lent: Lent,
        counters: &mut BatchCounters,
    ) -> Result<Vec<Transfer>, FallbackReason> {
        if let Some(mapping) = &slot.mapping {
            self.wait(mapping, None, counters)?;
        }
        let watch = Stopwatch::start(self.clock);
        let table_bytes = (tables.bytes.len() as u64).next_multiple_of(4);
        let mut end = table_bytes;
        let transfers: Vec<_> = window
            .uploads
            .iter()
            .map(|upload| {
                let bytes = wire::bytes(&jobs[upload.job].sources[upload.source]);
                let from = end;
                end += bytes;
                Transfer { from, to: upload.wire * WORD_BYTES, bytes }
            })
            .collect();
        {
            let slice = slot.staging.slice(..end);
            let mut view = slice.get_mapped_range_mut().map_err(|error| self.map_error(&error))?;
            view.slice(..tables.bytes.len()).copy_from_slice(&tables.bytes);
            for (upload, transfer) in window.uploads.iter().zip(&transfers) {
                let mut at = transfer.from as usize;
                wire::write(&jobs[upload.job].sources[upload.source], &mut |part| {
                    view.slice(at..at + part.len()).copy_from_slice(part);
                    at += part.len();
                });
                // Nothing of an earlier picture may go along in the last word.
                let filled = (transfer.from + transfer.bytes) as usize;
                view.slice(at..filled).copy_from_slice(&[0; 3][..filled - at]);
            }
        }
        slot.staging.unmap();
        counters.bytes_up += end;
        counters.bytes_tables += table_bytes;
        let took = watch.elapsed();
        counters.staging += took;
        if lent.slots > 0 {
            counters.overlap += took;
        }
        Ok(transfers)
    }

    fn encode(
        &self,
        work: &Work,
        slot: &Slot,
        jobs: &[Job],
        window: &Window,
        schedule: &Schedule,
        tables: &TableBytes,
        transfers: &[Transfer],
        counters: &mut BatchCounters,
    ) -> Result<(wgpu::CommandBuffer, Vec<Picture>), FallbackReason> {
        let mut encoder = self.device.raw.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let table_bytes = (tables.bytes.len() as u64).next_multiple_of(4);
        encoder.copy_buffer_to_buffer(&slot.staging, 0, &work.tables, 0, table_bytes);
        for transfer in transfers {
            encoder.copy_buffer_to_buffer(&slot.staging, transfer.from, &work.arena, transfer.to, transfer.bytes);
        }
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for (((_, kernel), dispatch), ranges) in schedule.dispatches.iter().zip(&tables.dispatches) {
                self.dispatch(&mut pass, work, &self.pipelines[*kernel], dispatch, &tables.tables, ranges)?;
            }
        }
        let mut pictures = Vec::with_capacity(window.seats.len());
        let mut at = 0;
        for seat in &window.seats {
            let plan = &jobs[seat.job].plan;
            let size = plan.size(plan.output);
            let placed = seat.layout.surfaces[usize::from(plan.output.0)].map_or(0, |placed| placed.at);
            let from = seat.layout.packed.map_or(placed, |packed| packed.at);
            let bytes = output_bytes(&seat.layout, size);
            encoder.copy_buffer_to_buffer(&work.arena, from * WORD_BYTES, &slot.readback, at, bytes);
            let form = match (seat.layout.planes, seat.layout.packed) {
                (Some(subsampling), _) => OutputForm::Planes { subsampling, gray: is_gray(&jobs[seat.job]) },
                (None, Some(_)) => OutputForm::Triplets,
                (None, None) => OutputForm::Words,
            };
            pictures.push(Picture { job: seat.job, size, form, bytes });
            at += bytes;
        }
        if self.zero_memory {
            let mut cleared = 0;
            let kept = window.keeps.iter().map(|words| (words.start * WORD_BYTES, words.end * WORD_BYTES));
            for (start, end) in kept.chain([(window.need.arena, window.need.arena)]) {
                if start > cleared {
                    encoder.clear_buffer(&work.arena, cleared, Some(start - cleared));
                    counters.bytes_zeroed += start - cleared;
                }
                cleared = cleared.max(end);
            }
        }
        Ok((encoder.finish(), pictures))
    }

    fn dispatch(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        work: &Work,
        pipeline: &Pipeline,
        dispatch: &Dispatch,
        tables: &Range<u64>,
        (jobs, tiles): &(Range<u64>, Range<u64>),
    ) -> Result<(), FallbackReason> {
        let part = |range: &Range<u64>| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &work.tables,
                offset: range.start,
                size: std::num::NonZeroU64::new(range.end - range.start),
            })
        };
        let group = pipeline.bind(&self.device.raw, |name| match name {
            "arena" => Some(work.arena.as_entire_binding()),
            "tables" => Some(part(tables)),
            "jobs" => Some(part(jobs)),
            "tiles" => Some(part(tiles)),
            _ => None,
        })?;
        let (across, down) = workgroups(dispatch.n_tiles, self.device.limits.max_compute_workgroups_per_dimension)
            .ok_or_else(|| FallbackReason::TooLarge("more tiles than one dispatch can count".into()))?;
        pass.set_pipeline(&pipeline.raw);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(across, down, 1);
        Ok(())
    }

    /// Waits for a window and takes its pictures out, with the index of each in its batch; gives its slot back.
    /// `others` are still on their way.
    pub fn land(
        &self,
        memory: &mut Memory,
        flight: Flight,
        others: usize,
        counters: &mut BatchCounters,
    ) -> Result<Vec<(usize, Output)>, FallbackReason> {
        let Flight { slot, readback, submission, pictures, output_bytes } = flight;
        let outputs = self.device.scoped(|| {
            self.wait(&readback, Some(submission), counters)?;
            let watch = Stopwatch::start(self.clock);
            let mut outputs = Vec::with_capacity(pictures.len());
            {
                let slice = slot.readback.slice(..output_bytes);
                let view = slice.get_mapped_range().map_err(|error| self.map_error(&error))?;
                let mut at = 0;
                for picture in &pictures {
                    let end = at + picture.bytes as usize;
                    let output = picture.output(&view[at..end]);
                    let output = output.map_err(|error| FallbackReason::DeviceError(error.to_string()))?;
                    outputs.push((picture.job, output));
                    at = end;
                }
            }
            slot.readback.unmap();
            counters.bytes_down += output_bytes;
            let took = watch.elapsed();
            counters.reading += took;
            if others > 0 {
                counters.overlap += took;
            }
            Ok(outputs)
        })?;
        memory.put(slot);
        Ok(outputs)
    }

    fn wait(
        &self,
        mapping: &Mapping,
        submission: Option<wgpu::SubmissionIndex>,
        counters: &mut BatchCounters,
    ) -> Result<(), FallbackReason> {
        let watch = Stopwatch::start(self.clock);
        let result = self.device.wait(mapping, submission);
        counters.waiting += watch.elapsed();
        result
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
