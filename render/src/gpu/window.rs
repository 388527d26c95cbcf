//! Packs the jobs of a batch into windows: groups that lie in the arena at the same time.
//!
//! A picture that several jobs of the batch read goes up once and lies outside of their blocks. When such jobs need
//! more than one window, the following windows find it where it is: they form a chain, for which one arena is kept.

use super::arena::{JobLayout, Load, aligned_words};
use super::check::check;
use super::schedule::table_bytes;
use super::wire::{self, Form};
use crate::backend::{FallbackReason, Job, Source};
use crate::frame::Frame;
use crate::plan::bind::Kernel;
use crate::plan::geometry::Size;
use crate::plan::step::{Light, SurfaceId};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of one word of the arena.
pub(super) const WORD_BYTES: u64 = 4;

/// The ceilings of one window, from the adapter and the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WindowLimits {
    /// The most that one binding, and therefore the arena, may hold.
    pub binding_bytes: u64,
    /// The most that any one buffer may hold.
    pub buffer_bytes: u64,
    /// The most that all buffers together may hold.
    pub budget_bytes: u64,
    /// Alignment of the offset of a storage binding.
    pub alignment_bytes: u64,
    /// Windows that may be on their way at the same time; each has staging memory of its own.
    pub slots: u64,
}

/// Bytes that a job, or a window, needs in each of the buffers. Upper bounds: tables that jobs share are counted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Need {
    pub arena: u64,
    pub tables: u64,
    pub sources: u64,
    pub output: u64,
}

impl Need {
    /// The greater of both in each buffer.
    fn most(self, other: Need) -> Need {
        Need {
            arena: self.arena.max(other.arena),
            tables: self.tables.max(other.tables),
            sources: self.sources.max(other.sources),
            output: self.output.max(other.output),
        }
    }

    /// Bytes of the buffer that uploads are staged in.
    pub fn staging(&self) -> u64 {
        self.tables.saturating_add(self.sources)
    }

    /// Bytes of all buffers when so many windows are on their way.
    pub fn total(&self, slots: u64) -> u64 {
        let moving = self.staging().saturating_add(self.output).saturating_mul(slots);
        self.arena.saturating_add(self.tables).saturating_add(moving)
    }

    /// Errors with the limit that is passed.
    fn check(&self, limits: &WindowLimits, slots: u64) -> Result<(), String> {
        let rows = [
            ("arena bytes", self.arena, limits.binding_bytes.min(limits.buffer_bytes)),
            ("table bytes", self.tables, limits.binding_bytes.min(limits.buffer_bytes)),
            ("staging bytes", self.staging(), limits.buffer_bytes),
            ("output bytes", self.output, limits.buffer_bytes),
            ("bytes in all", self.total(slots), limits.budget_bytes),
        ];
        match rows.iter().find(|(_, need, limit)| need > limit) {
            Some((what, need, limit)) => Err(format!("{need} {what} of at most {limit}")),
            None => Ok(()),
        }
    }
}

/// A job with its place.
#[derive(Debug)]
pub(super) struct Seat {
    /// Index in the batch.
    pub job: usize,
    /// Settled.
    pub layout: JobLayout,
    /// Sources that lie in the arena as planes.
    pub raw: Vec<usize>,
}

/// A source that goes up with a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Upload {
    /// Index in the batch of a job that has the source, and its index there.
    pub job: usize,
    pub source: usize,
    /// First word of the upload.
    pub wire: u64,
    /// First word of the pixels; that of the upload where nothing spreads it.
    pub surface: u64,
}

/// Jobs that run together.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub seats: Vec<Seat>,
    pub uploads: Vec<Upload>,
    pub need: Need,
    /// Whether it reads pictures that an earlier window brought up.
    pub inherits: bool,
    /// Words that hold pictures for the next window, ascending.
    pub keeps: Vec<Range<u64>>,
    /// The most that the windows of its chain need.
    pub chain: Need,
}

/// Windows in the order in which they run, and the jobs that cannot run at all.
#[derive(Debug, Default)]
pub(super) struct Packing {
    pub windows: Vec<Window>,
    /// Jobs that only load a source, with their answers.
    pub untouched: Vec<(usize, Frame)>,
    pub refused: Vec<(usize, FallbackReason)>,
}

impl Packing {
    /// Fills window after window; a job that alone passes a limit is refused without harm to the others.
    pub fn new(jobs: &[Job], limits: &WindowLimits) -> Self {
        let mut packing = Packing::default();
        let mut sound = Vec::new();
        for (index, job) in jobs.iter().enumerate() {
            if let Err(reason) = check(job) {
                packing.refused.push((index, reason));
            } else if let Some(frame) = super::untouched(job) {
                packing.untouched.push((index, frame));
            } else {
                sound.push(index);
            }
        }
        let mut packer = Packer::new(jobs, *limits, &sound);
        for index in in_families(jobs, &sound, &packer.readers) {
            if let Err(what) = packer.seat(index) {
                packing.refused.push((index, FallbackReason::TooLarge(what)));
            }
        }
        packing.windows = packer.finish();
        packing
    }
}

/// Names a picture while the jobs of a batch are held: the address of its pixels.
fn key(source: &Source) -> usize {
    match source {
        Source::Rgba(frame) => Arc::as_ptr(frame) as usize,
        Source::Planar(frame) => Arc::as_ptr(frame) as usize,
    }
}

/// Keys of the pictures that a job loads, once for every load that is needed.
fn loads(job: &Job) -> Vec<(usize, usize, &Source)> {
    let live = super::arena::live_kernels(&job.plan);
    let kernels = job.plan.kernels.iter().enumerate().filter(|(index, _)| live[*index]);
    let loads = kernels.filter_map(|(index, kernel)| match kernel {
        Kernel::Load { source } => Some((index, *source, job.sources.get(*source)?)),
        _ => None,
    });
    loads.collect()
}

/// Whether a source comes in planes that nothing but resampling in planes reads.
fn is_raw(job: &Job, source: usize) -> bool {
    if !matches!(job.sources.get(source), Some(Source::Planar(_))) {
        return false;
    }
    let plan = &job.plan;
    let live = super::arena::live_kernels(plan);
    let reads =
        |surface: SurfaceId| matches!(plan.kernels[usize::from(surface.0)], Kernel::Load { source: s } if s == source);
    let kernels = plan.kernels.iter().enumerate().filter(|(index, _)| live[*index]);
    let mut readers = kernels.filter(|(_, kernel)| super::arena::inputs(kernel).any(reads));
    readers.all(|(index, kernel)| match kernel {
        // Only the output may stay in planes, and only in encoded light.
        Kernel::Resample { light, chroma: Some(chroma), .. } => {
            chroma.output.is_none() || (*light == Light::Encoded && index == usize::from(plan.output.0))
        }
        _ => false,
    })
}

/// Jobs in order of arrival, but those that share a picture behind the first of them.
fn in_families(jobs: &[Job], sound: &[usize], readers: &HashMap<usize, usize>) -> Vec<usize> {
    let mut heads: HashMap<usize, usize> = HashMap::new();
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(sound.len());
    for &index in sound {
        let shared = loads(&jobs[index]).into_iter().map(|(.., source)| key(source));
        let shared = shared.filter(|key| readers.get(key).is_some_and(|readers| *readers > 1));
        // A logo on every picture of a batch must not tear it up, so the first picture decides: it is the base.
        let head = shared.take(1).map(|key| *heads.entry(key).or_insert(index)).next();
        order.push((head.unwrap_or(index), index));
    }
    order.sort_unstable();
    order.into_iter().map(|(_, index)| index).collect()
}

struct Packer<'a> {
    jobs: &'a [Job],
    limits: WindowLimits,
    /// Loads of every picture that are still to come.
    readers: HashMap<usize, usize>,
    /// Pictures that are read more than once.
    shared: HashMap<usize, usize>,
    /// Pictures in planes that some job wants as pixels.
    spread: HashSet<usize>,
    /// Shared pictures that lie in the open window, with their words.
    resident: HashMap<usize, Range<u64>>,
    windows: Vec<Window>,
    /// The most that the windows of the open chain need.
    chain: Need,
    /// First window of the open chain.
    chain_start: usize,
}

/// What a window would be with one more job.
struct Seated {
    seat: Seat,
    uploads: Vec<Upload>,
    resident: Vec<(usize, Range<u64>)>,
    need: Need,
}

impl<'a> Packer<'a> {
    fn new(jobs: &'a [Job], limits: WindowLimits, sound: &[usize]) -> Self {
        let mut readers: HashMap<usize, usize> = HashMap::new();
        let mut spread = HashSet::new();
        for &index in sound {
            for (_, number, source) in loads(&jobs[index]) {
                *readers.entry(key(source)).or_default() += 1;
                if !is_raw(&jobs[index], number) {
                    spread.insert(key(source));
                }
            }
        }
        let shared =
            readers.iter().filter(|(_, readers)| **readers > 1).map(|(key, readers)| (*key, *readers)).collect();
        Packer {
            jobs,
            limits,
            readers,
            shared,
            spread,
            resident: HashMap::new(),
            windows: Vec::new(),
            chain: Need::default(),
            chain_start: 0,
        }
    }

    /// Places a job in the open window or in a new one. Errors with the limit that it passes by itself.
    fn seat(&mut self, index: usize) -> Result<(), String> {
        let own = loads(&self.jobs[index]).into_iter().map(|(.., source)| key(source)).collect::<Vec<_>>();
        let result = self.find_seat(index, &own);
        for key in &own {
            self.readers.entry(*key).and_modify(|readers| *readers -= 1);
        }
        result
    }

    fn find_seat(&mut self, index: usize, own: &[usize]) -> Result<(), String> {
        if let Some(window) = self.windows.last() {
            let seated = self.seated(index, window.need, &self.resident);
            let chain = self.chain.most(seated.need);
            // More than one job is only worth a window when others can be on their way beside it.
            if chain.check(&self.limits, self.limits.slots).is_ok() {
                self.put(seated);
                return Ok(());
            }
            // All shared pictures that somebody still waits for, then those of this job alone.
            let wanted = self.residents(|key| self.readers.get(key).is_some_and(|readers| *readers > 0));
            let needed = self.residents(|key| own.contains(key));
            for kept in [wanted, needed] {
                let begin = kept.values().map(|words| words.end).max().unwrap_or(0);
                let need = Need { arena: begin * WORD_BYTES, ..fixed_need() };
                let seated = self.seated(index, need, &kept);
                let chain = self.chain.most(seated.need);
                if !kept.is_empty() && chain.check(&self.limits, 1).is_ok() {
                    let mut keeps: Vec<_> = kept.values().cloned().collect();
                    keeps.sort_unstable_by_key(|words| words.start);
                    if let Some(window) = self.windows.last_mut() {
                        window.keeps = keeps;
                    }
                    self.resident = kept;
                    self.windows.push(Window { inherits: true, ..Window::default() });
                    self.put(seated);
                    return Ok(());
                }
            }
        }
        let seated = self.seated(index, fixed_need(), &HashMap::new());
        seated.need.check(&self.limits, 1)?;
        self.close_chain();
        self.resident = HashMap::new();
        self.windows.push(Window::default());
        self.put(seated);
        Ok(())
    }

    /// Those of the shared pictures in the open window that are to be kept.
    fn residents(&self, keep: impl Fn(&usize) -> bool) -> HashMap<usize, Range<u64>> {
        self.resident.iter().filter(|(key, _)| keep(key)).map(|(key, words)| (*key, words.clone())).collect()
    }

    /// The window with the job at its end; `need` and `resident` are what is there without it.
    fn seated(&self, index: usize, need: Need, resident: &HashMap<usize, Range<u64>>) -> Seated {
        let job = &self.jobs[index];
        let plan = &*job.plan;
        let mut end = need.arena / WORD_BYTES;
        let (mut uploads, mut new, mut tables, mut sources) = (Vec::new(), Vec::new(), 0, 0);
        let mut shared_at: HashMap<usize, u64> = HashMap::new();
        for (kernel, source_index, source) in loads(job) {
            let key = key(source);
            if !self.shared.contains_key(&key) {
                continue;
            }
            let known = resident.get(&key).or_else(|| new.iter().find(|(k, _)| *k == key).map(|(_, words)| words));
            let surface = match known {
                Some(words) => words.start,
                None => {
                    let words =
                        if self.is_spread(source) { source.size().pixels() } else { wire::bytes(source) / WORD_BYTES };
                    let words = aligned_words(words);
                    let surface = end;
                    end += words;
                    let wire = if !self.is_spread(source) {
                        surface
                    } else {
                        let wire = end;
                        end += aligned_words(wire::bytes(source) / WORD_BYTES);
                        wire
                    };
                    uploads.push(Upload { job: index, source: source_index, wire, surface });
                    new.push((key, surface..surface + words));
                    sources += wire::bytes(source);
                    tables += self.upload_tables(source);
                    surface
                }
            };
            shared_at.insert(kernel, surface);
        }
        let mut layout = JobLayout::new(plan, |source| match job.sources.get(source) {
            Some(source) if self.shared.contains_key(&key(source)) => {
                let spread = self.is_spread(source);
                Load::Shared { spread, raw: !spread && wire::form(source) == Form::Planar }
            }
            Some(source) if self.is_spread(source) => Load::Wire(wire::bytes(source) / WORD_BYTES),
            Some(source) if wire::form(source) == Form::Planar => Load::Raw(wire::bytes(source) / WORD_BYTES),
            _ => Load::Words,
        });
        tables += table_bytes(plan, &layout, self.limits.alignment_bytes);
        let base = end;
        end += layout.words;
        layout.settle(base, |kernel| shared_at.get(&kernel).copied());
        for (kernel, source_index, source) in loads(job) {
            let (false, Some(placed)) = (shared_at.contains_key(&kernel), layout.surfaces[kernel]) else { continue };
            let wire = if self.is_spread(source) { placed.before } else { placed.at };
            uploads.push(Upload { job: index, source: source_index, wire, surface: placed.at });
            sources += wire::bytes(source);
            tables += self.upload_tables(source);
        }
        let size = plan.size(plan.output);
        let output = output_bytes(&layout, size);
        let raw = |(_, number, source): (usize, usize, &Source)| {
            (wire::form(source) == Form::Planar && !self.is_spread(source)).then_some(number)
        };
        let raw = loads(job).into_iter().filter_map(raw).collect();
        let need = Need {
            arena: end.saturating_mul(WORD_BYTES),
            tables: need.tables.saturating_add(tables),
            sources: need.sources.saturating_add(sources),
            output: need.output.saturating_add(output),
        };
        Seated { seat: Seat { job: index, layout, raw }, uploads, resident: new, need }
    }

    /// Whether a kernel has to make pixels of an upload.
    fn is_spread(&self, source: &Source) -> bool {
        match wire::form(source) {
            Form::Words => false,
            Form::Rgb => true,
            Form::Planar => self.spread.contains(&key(source)),
        }
    }

    /// Bytes of the tables with which one upload is spread.
    fn upload_tables(&self, source: &Source) -> u64 {
        if !self.is_spread(source) { 0 } else { super::schedule::launch_bytes(self.limits.alignment_bytes) }
    }

    fn put(&mut self, seated: Seated) {
        self.chain = self.chain.most(seated.need);
        self.resident.extend(seated.resident);
        if let Some(window) = self.windows.last_mut() {
            window.need = seated.need;
            window.uploads.extend(seated.uploads);
            window.seats.push(seated.seat);
        }
    }

    fn close_chain(&mut self) {
        for window in &mut self.windows[self.chain_start..] {
            window.chain = self.chain;
        }
        self.chain_start = self.windows.len();
        self.chain = Need::default();
    }

    fn finish(mut self) -> Vec<Window> {
        self.close_chain();
        // One arena for all chains, if there is room for it beside two windows on their way, so that none has to wait for
        // the one before.
        let most = self.windows.iter().fold(Need::default(), |most, window| most.most(window.chain));
        if most.check(&self.limits, self.limits.slots.min(2)).is_ok() {
            for window in &mut self.windows {
                window.chain = most;
            }
        }
        self.windows
    }
}

/// Bytes of an output on its way down.
pub(super) fn output_bytes(layout: &JobLayout, size: Size) -> u64 {
    let words = match (layout.planes, layout.packed) {
        (Some(subsampling), _) => wire::plane_words(size) + 2 * wire::plane_words(subsampling.apply(size)),
        (None, Some(_)) => wire::packed_words(size),
        (None, None) => size.pixels(),
    };
    words * WORD_BYTES
}

/// What a window needs before any job: the sRGB table.
fn fixed_need() -> Need {
    Need { tables: 256 * WORD_BYTES, ..Need::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::bind::BoundPlan;

    fn fading(size: Size) -> Arc<BoundPlan> {
        Arc::new(BoundPlan {
            kernels: vec![Kernel::Load { source: 0 }, Kernel::Opacity { input: SurfaceId(0), opacity: 0.5 }],
            sizes: vec![size; 2],
            alphas: vec![true; 2],
            output: SurfaceId(1),
        })
    }

    fn job(width: u32, height: u32) -> Job {
        let size = Size::new(width, height);
        Job { plan: fading(size), sources: vec![Source::Rgba(Arc::new(Frame::filled(size, [9; 4])))] }
    }

    fn limits(binding_bytes: u64, budget_bytes: u64) -> WindowLimits {
        WindowLimits { binding_bytes, buffer_bytes: 1 << 30, budget_bytes, alignment_bytes: 256, slots: 3 }
    }

    #[test]
    fn a_job_that_fills_the_binding_passes_and_one_pixel_more_does_not() {
        // Two surfaces of 64x256 pixels.
        let exact = limits(2 * 64 * 256 * 4, 1 << 30);
        let packing = Packing::new(&[job(64, 256), job(64, 257), job(8, 8)], &exact);
        assert_eq!(packing.refused.len(), 1);
        assert!(matches!(packing.refused[0], (1, FallbackReason::TooLarge(_))));
        assert_eq!(packing.windows.len(), 2, "the small job does not fit beside the full one");
    }

    #[test]
    fn windows_keep_under_the_budget_and_blocks_do_not_overlap() {
        let limits = limits(1 << 20, 1 << 20);
        let jobs: Vec<_> = (1..60).map(|side| job(side * 2, 100)).collect();
        let packing = Packing::new(&jobs, &limits);
        assert!(packing.refused.is_empty() && packing.windows.len() > 1);
        let mut order = Vec::new();
        for window in &packing.windows {
            assert!(window.need.total(1) <= limits.budget_bytes);
            assert!(window.seats.len() == 1 || window.need.total(limits.slots) <= limits.budget_bytes);
            assert!(!window.inherits && window.keeps.is_empty());
            let mut end = 0;
            for seat in &window.seats {
                let mut expected = JobLayout::new(&jobs[seat.job].plan, |_| Load::Words);
                let words = expected.words;
                expected.settle(end, |_| None);
                assert_eq!(seat.layout, expected);
                end += words;
                order.push(seat.job);
            }
            assert_eq!(end * WORD_BYTES, window.need.arena);
        }
        assert_eq!(order, (0..jobs.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_shared_picture_goes_up_once_and_following_windows_find_it() {
        let size = Size::new(128, 128);
        let shared = Source::Rgba(Arc::new(Frame::filled(size, [9; 4])));
        let mut jobs: Vec<_> = (0..9).map(|_| Job { plan: fading(size), sources: vec![shared.clone()] }).collect();
        jobs.insert(4, job(128, 128));
        // Room for the picture and three outputs of 64 KiB each.
        let packing = Packing::new(&jobs, &limits(4 * 65_536, 1 << 30));
        assert!(packing.refused.is_empty());
        let uploads: Vec<_> = packing.windows.iter().flat_map(|window| &window.uploads).collect();
        assert_eq!(uploads.len(), 2, "{uploads:?}");
        let order: Vec<_> = packing.windows.iter().flat_map(|window| &window.seats).map(|seat| seat.job).collect();
        assert_eq!(order, [0, 1, 2, 3, 5, 6, 7, 8, 9, 4], "those that share stay together");
        let (family, last) = packing.windows.split_at(3);
        assert!(!family[0].inherits && family[1].inherits && family[2].inherits);
        assert!(
            family[..2].iter().all(|window| window.keeps.len() == 1 && window.keeps[0] == (0..16_384)),
            "{family:?}"
        );
        assert!(family[2].keeps.is_empty() && last.len() == 1 && !last[0].inherits);
        for seat in family.iter().flat_map(|window| &window.seats) {
            let places: Vec<_> = seat.layout.surfaces.iter().flatten().map(|placed| placed.at).collect();
            assert!(places[0] == 0 && places[1] >= 16_384, "{places:?}");
        }
        assert!(family.iter().all(|window| window.chain.arena == 4 * 65_536));
    }

    #[test]
    fn a_job_that_has_no_room_beside_what_is_kept_begins_anew() {
        let size = Size::new(128, 128);
        let shared = Source::Rgba(Arc::new(Frame::filled(size, [9; 4])));
        let member = || Job { plan: fading(size), sources: vec![shared.clone()] };
        let two = Source::Rgba(Arc::new(Frame::filled(Size::new(128, 256), [8; 4])));
        let large = Job { plan: fading(Size::new(128, 256)), sources: vec![two] };
        let packing = Packing::new(&[member(), member(), large], &limits(4 * 65_536, 1 << 30));
        assert!(packing.refused.is_empty());
        assert_eq!(packing.windows.len(), 2);
        assert!(!packing.windows[1].inherits && packing.windows[0].keeps.is_empty());
    }
}
