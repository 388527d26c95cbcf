//! What the scheduler counts, and how it is printed for Prometheus.

use crate::admission::Occupancy;
use crate::batch::StopReason;
use crate::lane::{Lane, PerLane};
use crate::work::{Timings, WorkError};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tintype_render::backend::BackendKind;

/// How a work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    Rendered,
    Busy,
    Expired,
    /// Every ticket was dropped before the work was started.
    Abandoned,
    ShuttingDown,
    SourceError,
    RenderError,
    Internal,
}

impl Outcome {
    /// All outcomes, in the order of their index.
    pub const ALL: [Outcome; 8] = [
        Outcome::Rendered,
        Outcome::Busy,
        Outcome::Expired,
        Outcome::Abandoned,
        Outcome::ShuttingDown,
        Outcome::SourceError,
        Outcome::RenderError,
        Outcome::Internal,
    ];

    /// Stable name for counters.
    pub const fn label(self) -> &'static str {
        match self {
            Outcome::Rendered => "rendered",
            Outcome::Busy => "busy",
            Outcome::Expired => "expired",
            Outcome::Abandoned => "abandoned",
            Outcome::ShuttingDown => "shutting_down",
            Outcome::SourceError => "source_error",
            Outcome::RenderError => "render_error",
            Outcome::Internal => "internal",
        }
    }
}

impl From<&WorkError> for Outcome {
    fn from(error: &WorkError) -> Self {
        match error {
            WorkError::Busy => Outcome::Busy,
            WorkError::Expired => Outcome::Expired,
            WorkError::ShuttingDown => Outcome::ShuttingDown,
            WorkError::Source(_) => Outcome::SourceError,
            WorkError::Render(_) => Outcome::RenderError,
            WorkError::Internal(_) => Outcome::Internal,
        }
    }
}

/// The parts of [`Timings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    Queue,
    Read,
    Decode,
    Render,
    Encode,
}

impl Stage {
    /// All stages, in the order of their index.
    pub const ALL: [Stage; 5] = [Stage::Queue, Stage::Read, Stage::Decode, Stage::Render, Stage::Encode];

    /// Stable name for counters.
    pub const fn label(self) -> &'static str {
        match self {
            Stage::Queue => "queue",
            Stage::Read => "read",
            Stage::Decode => "decode",
            Stage::Render => "render",
            Stage::Encode => "encode",
        }
    }

    fn of(self, timings: &Timings) -> Duration {
        match self {
            Stage::Queue => timings.queue,
            Stage::Read => timings.read,
            Stage::Decode => timings.decode,
            Stage::Render => timings.render,
            Stage::Encode => timings.encode,
        }
    }
}

/// Upper bounds of the histogram's buckets in microseconds; one more bucket holds what is above.
const BUCKETS_US: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

#[derive(Default)]
struct LiveHistogram {
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl LiveHistogram {
    fn observe(&self, duration: Duration) {
        let bucket = BUCKETS_US.partition_point(|&bound_us| u128::from(bound_us) < duration.as_micros());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn snapshot(&self) -> Histogram {
        Histogram {
            buckets: self.buckets.each_ref().map(|bucket| bucket.load(Relaxed)),
            sum: Duration::from_nanos(self.sum_ns.load(Relaxed)),
        }
    }
}

/// Durations by bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    buckets: [u64; BUCKETS_US.len() + 1],
    /// All durations together.
    pub sum: Duration,
}

impl Histogram {
    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Upper bounds in seconds, each with the number of durations up to it. What is above the last is only in the count.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        BUCKETS_US.iter().zip(&self.buckets).scan(0, |below, (&bound_us, &n)| {
            *below += n;
            Some((bound_us as f64 / 1e6, *below))
        })
    }
}

/// The counters, written from every thread. Not one consistent cut: each number is right by itself.
#[derive(Default)]
pub(crate) struct Metrics {
    outcomes: PerLane<[AtomicU64; Outcome::ALL.len()]>,
    coalesced: PerLane<AtomicU64>,
    stop_reasons: [AtomicU64; StopReason::ALL.len()],
    batch_jobs: AtomicU64,
    batch_bytes: AtomicU64,
    renders_cpu: AtomicU64,
    renders_gpu: AtomicU64,
    decodes: AtomicU64,
    streamed: AtomicU64,
    shared: AtomicU64,
    fallbacks: Mutex<BTreeMap<&'static str, u64>>,
    stages: [LiveHistogram; Stage::ALL.len()],
}

impl Metrics {
    pub fn outcome(&self, lane: Lane, outcome: Outcome) {
        self.outcomes[lane][outcome as usize].fetch_add(1, Relaxed);
    }

    pub fn coalesced(&self, lane: Lane) {
        self.coalesced[lane].fetch_add(1, Relaxed);
    }

    pub fn batch(&self, reason: StopReason, n_jobs: usize, bytes: u64) {
        self.stop_reasons[reason as usize].fetch_add(1, Relaxed);
        self.batch_jobs.fetch_add(n_jobs as u64, Relaxed);
        self.batch_bytes.fetch_add(bytes, Relaxed);
    }

    pub fn decoded(&self) {
        self.decodes.fetch_add(1, Relaxed);
    }

    pub fn streamed(&self) {
        self.streamed.fetch_add(1, Relaxed);
    }

    pub fn shared(&self) {
        self.shared.fetch_add(1, Relaxed);
    }

    pub fn fallback(&self, label: &'static str) {
        *self.fallbacks.lock().entry(label).or_default() += 1;
    }

    pub fn rendered(&self, backend: BackendKind, timings: &Timings) {
        match backend {
            BackendKind::Cpu => &self.renders_cpu,
            BackendKind::Gpu => &self.renders_gpu,
        }
        .fetch_add(1, Relaxed);
        for stage in Stage::ALL {
            self.stages[stage as usize].observe(stage.of(timings));
        }
    }

    pub fn snapshot(&self, occupancy: Occupancy, budget_bytes: u64, gpu_usable: Option<bool>) -> MetricsSnapshot {
        let per_lane =
            |read: &dyn Fn(Lane) -> u64| PerLane { interactive: read(Lane::Interactive), eager: read(Lane::Eager) };
        MetricsSnapshot {
            outcomes: Outcome::ALL
                .map(|outcome| (outcome, per_lane(&|lane| self.outcomes[lane][outcome as usize].load(Relaxed)))),
            coalesced: per_lane(&|lane| self.coalesced[lane].load(Relaxed)),
            waiting: occupancy.waiting,
            in_flight: occupancy.jobs,
            in_flight_bytes: occupancy.bytes,
            budget_bytes,
            batches: StopReason::ALL.map(|reason| (reason, self.stop_reasons[reason as usize].load(Relaxed))),
            batch_jobs: self.batch_jobs.load(Relaxed),
            batch_bytes: self.batch_bytes.load(Relaxed),
            renders_cpu: self.renders_cpu.load(Relaxed),
            renders_gpu: self.renders_gpu.load(Relaxed),
            decodes: self.decodes.load(Relaxed),
            decodes_shared: self.shared.load(Relaxed),
            decodes_streamed: self.streamed.load(Relaxed),
            fallbacks: self.fallbacks.lock().clone(),
            gpu_usable,
            stages: Stage::ALL.map(|stage| (stage, self.stages[stage as usize].snapshot())),
        }
    }
}

/// The counters at one moment. Printed with `Display` it is text for Prometheus.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsSnapshot {
    /// Works by how they ended; tickets of one flight count once.
    pub outcomes: [(Outcome, PerLane<u64>); Outcome::ALL.len()],
    /// Tickets that joined a flight.
    pub coalesced: PerLane<u64>,
    /// Works that wait for a permit.
    pub waiting: PerLane<usize>,
    /// Permits that are out.
    pub in_flight: usize,
    /// Bytes that they stand for. Above the budget when sources were larger than foreseen.
    pub in_flight_bytes: u64,
    pub budget_bytes: u64,
    /// Batches by the reason that closed them.
    pub batches: [(StopReason, u64); StopReason::ALL.len()],
    /// Jobs of all batches; divided by the number of batches, the batch fill.
    pub batch_jobs: u64,
    /// Bytes of surfaces of all batches.
    pub batch_bytes: u64,
    /// Pictures that the CPU backend made.
    pub renders_cpu: u64,
    /// Pictures that the GPU backend made.
    pub renders_gpu: u64,
    /// Times that the base of a work, or of several, was decoded.
    pub decodes: u64,
    /// Works that started from a decode that was made for another.
    pub decodes_shared: u64,
    /// Decodes of which only some rows were held at once.
    pub decodes_streamed: u64,
    /// Jobs that the GPU should have run and did not, by [`tintype_render::backend::FallbackReason::label`].
    pub fallbacks: BTreeMap<&'static str, u64>,
    /// `None` without a GPU, `Some(false)` once it is lost.
    pub gpu_usable: Option<bool>,
    /// Times of finished works.
    pub stages: [(Stage, Histogram); Stage::ALL.len()],
}

impl MetricsSnapshot {
    /// Works of both lanes with this outcome.
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        let (_, count) = self.outcomes[outcome as usize];
        count.interactive + count.eager
    }

    /// Number of batches.
    pub fn n_batches(&self) -> u64 {
        self.batches.iter().map(|(_, count)| count).sum()
    }
}

impl fmt::Display for MetricsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(f, "tintype_works_total", "counter", "works by how they ended")?;
        for (outcome, count) in &self.outcomes {
            for lane in Lane::ALL {
                let (lane_label, outcome) = (lane.label(), outcome.label());
                writeln!(f, "tintype_works_total{{lane=\"{lane_label}\",outcome=\"{outcome}\"}} {}", count[lane])?;
            }
        }
        head(f, "tintype_works_coalesced_total", "counter", "tickets that joined a work on its way")?;
        for lane in Lane::ALL {
            writeln!(f, "tintype_works_coalesced_total{{lane=\"{}\"}} {}", lane.label(), self.coalesced[lane])?;
        }
        head(f, "tintype_works_waiting", "gauge", "works that wait for a permit")?;
        for lane in Lane::ALL {
            writeln!(f, "tintype_works_waiting{{lane=\"{}\"}} {}", lane.label(), self.waiting[lane])?;
        }
        plain(f, "tintype_works_in_flight", "gauge", "works that hold a permit", self.in_flight as u64)?;
        plain(f, "tintype_in_flight_bytes", "gauge", "bytes that permits stand for", self.in_flight_bytes)?;
        plain(f, "tintype_budget_bytes", "gauge", "bytes that permits may stand for", self.budget_bytes)?;
        head(f, "tintype_batches_total", "counter", "batches by the reason that closed them")?;
        for (reason, count) in &self.batches {
            writeln!(f, "tintype_batches_total{{reason=\"{}\"}} {count}", reason.label())?;
        }
        plain(f, "tintype_batch_jobs_total", "counter", "jobs of all batches", self.batch_jobs)?;
        plain(f, "tintype_batch_bytes_total", "counter", "surface bytes of all batches", self.batch_bytes)?;
        head(f, "tintype_renders_total", "counter", "pictures by the backend that made them")?;
        writeln!(f, "tintype_renders_total{{backend=\"cpu\"}} {}", self.renders_cpu)?;
        writeln!(f, "tintype_renders_total{{backend=\"gpu\"}} {}", self.renders_gpu)?;
        plain(f, "tintype_decodes_total", "counter", "decodes of a base", self.decodes)?;
        let help = "works that started from a decode made for another";
        plain(f, "tintype_decodes_shared_total", "counter", help, self.decodes_shared)?;
        let help = "decodes of which only some rows were held at once";
        plain(f, "tintype_decodes_streamed_total", "counter", help, self.decodes_streamed)?;
        head(f, "tintype_fallbacks_total", "counter", "jobs that the gpu left to the cpu, by reason")?;
        for (reason, count) in &self.fallbacks {
            writeln!(f, "tintype_fallbacks_total{{reason=\"{reason}\"}} {count}")?;
        }
        if let Some(usable) = self.gpu_usable {
            plain(f, "tintype_gpu_usable", "gauge", "1 while the gpu is used, 0 once it is lost", usable.into())?;
        }
        self.fmt_stages(f)
    }
}

impl MetricsSnapshot {
    fn fmt_stages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(f, "tintype_stage_seconds", "histogram", "time of finished works by stage")?;
        for (stage, histogram) in &self.stages {
            let stage = stage.label();
            for (bound, n) in histogram.cumulative() {
                writeln!(f, "tintype_stage_seconds_bucket{{stage=\"{stage}\",le=\"{bound}\"}} {n}")?;
            }
            let count = histogram.count();
            writeln!(f, "tintype_stage_seconds_bucket{{stage=\"{stage}\",le=\"+Inf\"}} {count}")?;
            writeln!(f, "tintype_stage_seconds_sum{{stage=\"{stage}\"}} {}", histogram.sum.as_secs_f64())?;
            writeln!(f, "tintype_stage_seconds_count{{stage=\"{stage}\"}} {count}")?;
        }
        Ok(())
    }
}

fn head(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn plain(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str, value: u64) -> fmt::Result {
    head(f, name, kind, help)?;
    writeln!(f, "{name} {value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_the_order_of_their_index() {
        assert!(Outcome::ALL.iter().enumerate().all(|(index, &outcome)| outcome as usize == index));
        assert!(Stage::ALL.iter().enumerate().all(|(index, &stage)| stage as usize == index));
        assert!(StopReason::ALL.iter().enumerate().all(|(index, &reason)| reason as usize == index));
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let histogram = LiveHistogram::default();
        for us in [500, 501, 20_000_000] {
            histogram.observe(Duration::from_micros(us));
        }
        let seen = histogram.snapshot();
        assert_eq!(seen.cumulative().take(2).collect::<Vec<_>>(), [(0.0005, 1), (0.001, 2)]);
        assert_eq!(seen.cumulative().last(), Some((10.0, 2)));
        assert_eq!(seen.count(), 3);
        assert_eq!(seen.sum, Duration::from_micros(20_001_001));
    }

    #[test]
    fn prometheus_text_names_what_was_counted() {
        let metrics = Metrics::default();
        metrics.outcome(Lane::Eager, Outcome::Busy);
        metrics.coalesced(Lane::Interactive);
        metrics.batch(StopReason::Age, 3, 30);
        metrics.fallback("device_lost");
        metrics.rendered(BackendKind::Gpu, &Timings { decode: Duration::from_millis(2), ..Timings::default() });
        let text = metrics.snapshot(Occupancy { jobs: 1, bytes: 7, ..Occupancy::default() }, 9, Some(true)).to_string();
        for line in [
            "tintype_works_total{lane=\"eager\",outcome=\"busy\"} 1",
            "tintype_works_total{lane=\"interactive\",outcome=\"busy\"} 0",
            "tintype_works_coalesced_total{lane=\"interactive\"} 1",
            "tintype_works_in_flight 1",
            "tintype_in_flight_bytes 7",
            "tintype_budget_bytes 9",
            "tintype_batches_total{reason=\"age\"} 1",
            "tintype_batch_jobs_total 3",
            "tintype_renders_total{backend=\"gpu\"} 1",
            "tintype_fallbacks_total{reason=\"device_lost\"} 1",
            "tintype_gpu_usable 1",
            "tintype_stage_seconds_bucket{stage=\"decode\",le=\"0.001\"} 0",
            "tintype_stage_seconds_bucket{stage=\"decode\",le=\"0.0025\"} 1",
            "tintype_stage_seconds_sum{stage=\"decode\"} 0.002",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
        let named = text.lines().all(|line| line.starts_with("tintype_") || line.starts_with("# "));
        assert!(named && text.ends_with('\n'));
    }
}
