//! A pipeline, backends and a reader that do little, but do it: every picture carries the number of its work.

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tintype_render::backend::{Backend, BackendKind, FallbackReason, Job, JobResult, Output, Source};
use tintype_render::frame::Frame;
use tintype_render::language::{Format, Transformation};
use tintype_render::pipeline::{BaseDemand, Picture, Prepared, Request, SharedBase};
use tintype_render::plan::bind::{BoundPlan, Decoded, Kernel};
use tintype_render::plan::facts::{Facts, Purpose, SourceFacts};
use tintype_render::plan::geometry::{Orientation, Rect, Size};
use tintype_render::plan::step::{Demand, SurfaceId};
use tintype_render::plan::{Encoding, Quality};
use tintype_render::{Error, Result};
use tintype_scheduler::{
    Config, Lane, MetricsSnapshot, Pipeline, Rendered, Scheduler, SourceError, SourceKey, SourceReader, Ticket, Work,
    WorkError, WorkKey,
};
use tokio::sync::{Semaphore, mpsc};

/// What a work costs unless a test says otherwise.
pub const COST_BYTES: u64 = 1000;

/// Where a planned failure strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    Cost,
    Read,
    /// Of a decode that is shared, by the number of the work with the greatest demand.
    Decode,
    Prepare,
    Finish,
}

/// Holds threads until it is opened.
#[derive(Default)]
pub struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub fn shut(&self) {
        *self.shut.lock() = true;
    }

    pub fn open(&self) {
        *self.shut.lock() = false;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut shut = self.shut.lock();
        while *shut {
            self.opened.wait(&mut shut);
        }
    }
}

/// Everything a test plans and sees.
#[derive(Default)]
pub struct Script {
    pub costs: Mutex<HashMap<u32, u64>>,
    pub panics: Mutex<HashSet<(u32, At)>>,
    pub failures: Mutex<HashSet<(u32, At)>>,
    /// Works that stop at `gate` in `prepare`.
    pub held: Mutex<HashSet<u32>>,
    pub gate: Gate,
    /// Works in the order in which they were prepared.
    pub prepared: Mutex<Vec<u32>>,
    pub finished: Mutex<Vec<u32>>,
    /// Shared decodes, by the number of the work with the greatest demand.
    pub decoded: Mutex<Vec<u32>>,
    /// Works that started from one.
    pub bound: Mutex<Vec<u32>>,
    /// What was decoded, to see when it is gone.
    pub frames: Mutex<Vec<Weak<Frame>>>,
    /// Bytes that only the source with that number tells.
    pub hidden: Mutex<HashMap<u32, u64>>,
    pub reads: AtomicUsize,
    /// What stands in the source of works that share one.
    pub contents: Mutex<HashMap<u32, u32>>,
    in_use: AtomicU64,
    pub most_in_use: AtomicU64,
}

impl Script {
    pub fn cost(&self, id: u32) -> u64 {
        self.costs.lock().get(&id).copied().unwrap_or(COST_BYTES)
    }

    /// Works from now on stop in `prepare` until the gate is opened.
    pub fn hold(&self, ids: impl IntoIterator<Item = u32>) {
        self.gate.shut();
        self.held.lock().extend(ids);
    }

    fn decoding(&self, demand: &BaseDemand) -> u32 {
        let id = (demand.scale() * 1e6).round() as u32;
        self.decoded.lock().push(id);
        id
    }

    fn strike(&self, id: u32, at: At) -> Result<()> {
        if self.panics.lock().contains(&(id, at)) {
            panic!("planned panic of {id} at {at:?}");
        }
        if self.failures.lock().contains(&(id, at)) {
            return Err(Error::Decode(format!("planned failure of {id} at {at:?}")));
        }
        Ok(())
    }
}

pub struct TinyPipeline {
    script: Arc<Script>,
    events: mpsc::UnboundedSender<u32>,
}

impl TinyPipeline {
    pub fn new(script: Arc<Script>) -> (Arc<Self>, mpsc::UnboundedReceiver<u32>) {
        let (events, receiver) = mpsc::unbounded_channel();
        (Arc::new(TinyPipeline { script, events }), receiver)
    }
}

impl TinyPipeline {
    /// The job of a work: a picture that carries its number.
    fn prepared(&self, id: u32) -> Prepared {
        let size = Size::new(2, 3);
        let rgba = [id as u8, (id >> 8) as u8, 0, 255];
        let plan = BoundPlan {
            kernels: vec![Kernel::Load { source: 0 }],
            sizes: vec![size],
            alphas: vec![false],
            output: SurfaceId(0),
        };
        let job = Job { plan: Arc::new(plan), sources: vec![Source::Rgba(Arc::new(Frame::filled(size, rgba)))] };
        let encoding = Encoding { format: Format::Png, quality: Quality::Fixed(90), chroma: None, progressive: false };
        Prepared { job, encoding, found: Vec::new() }
    }
}

fn id_of(request: &Request) -> u32 {
    request.facts.base.size.width
}

impl Pipeline for TinyPipeline {
    fn cost_bytes(&self, request: &Request) -> Result<u64> {
        let id = id_of(request);
        self.script.strike(id, At::Cost)?;
        Ok(self.script.cost(id))
    }

    fn prepare(&self, request: &Request, sources: &[Bytes]) -> Result<Prepared> {
        let id = id_of(request);
        let content = self.script.contents.lock().get(&id).copied().unwrap_or(id);
        assert_eq!(sources, [Bytes::copy_from_slice(&content.to_le_bytes())]);
        self.script.prepared.lock().push(id);
        let in_use = self.script.in_use.fetch_add(self.script.cost(id), SeqCst) + self.script.cost(id);
        self.script.most_in_use.fetch_max(in_use, SeqCst);
        let _ = self.events.send(id);
        if self.script.held.lock().contains(&id) {
            self.script.gate.pass();
        }
        let struck = self.script.strike(id, At::Prepare);
        if struck.is_err() {
            self.script.in_use.fetch_sub(self.script.cost(id), SeqCst);
        }
        struck?;
        Ok(self.prepared(id))
    }
    fn base_demand(&self, request: &Request) -> Option<BaseDemand> {
        let scale = f64::from(id_of(request)) / 1e6;
        let size = Size::new(1000, 1000);
        // Eight by eight pixels, so that what a decode takes is less than what a work costs.
        let region = Rect::new(0, 0, 8, 8);
        Some(BaseDemand::new(Demand { size, scale, region }, 0, Format::Png, false))
    }

    fn decode_base(&self, bytes: &Bytes, demand: &BaseDemand) -> Result<SharedBase> {
        let id = self.script.decoding(demand);
        let _ = self.events.send(id);
        if self.script.held.lock().contains(&id) {
            self.script.gate.pass();
        }
        self.script.strike(id, At::Decode)?;
        let size = Size::new(2, 3);
        let mark = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let frame = Frame::filled(size, [mark as u8, (mark >> 8) as u8, 0, 255]);
        let frame = Arc::new(frame);
        self.script.frames.lock().push(Arc::downgrade(&frame));
        Ok(SharedBase::new(Source::Rgba(frame), Decoded::whole(size)))
    }

    fn prepare_from(&self, base: &SharedBase, request: &Request, sources: &[Bytes]) -> Result<Prepared> {
        let id = id_of(request);
        assert_eq!(sources.len(), 1);
        self.script.bound.lock().push(id);
        self.script.strike(id, At::Prepare)?;
        self.script.in_use.fetch_add(self.script.cost(id), SeqCst);
        let mut prepared = self.prepared(id);
        // The picture is the work's own; the second source stands for the pixels that it shares.
        prepared.job.sources.push(base.source().clone());
        Ok(prepared)
    }

    fn hidden_bytes(&self, sources: &[Bytes]) -> u64 {
        let id = sources[0].first_chunk().map_or(0, |id| u32::from_le_bytes(*id));
        self.script.hidden.lock().get(&id).copied().unwrap_or(0)
    }

    fn finish(&self, output: Output, encoding: &Encoding) -> Result<Picture> {
        let frame = output.into_frame();
        let id = frame_id(&frame);
        self.script.in_use.fetch_sub(self.script.cost(id), SeqCst);
        self.script.strike(id, At::Finish)?;
        self.script.finished.lock().push(id);
        let size = frame.size();
        Ok(Picture { bytes: frame.into_pixels().into(), format: encoding.format, size, quality: None })
    }
}

fn frame_id(frame: &Frame) -> u32 {
    let [low, high, ..] = frame.pixel(1, 2);
    u32::from(low) | u32::from(high) << 8
}

/// The number of the work that a picture was made for.
pub fn picture_id(rendered: &Rendered) -> u32 {
    u32::from(rendered.picture.bytes[0]) | u32::from(rendered.picture.bytes[1]) << 8
}

/// Copies sources to outputs, and fails as planned.
pub struct CopyBackend {
    kind: BackendKind,
    pub gate: Gate,
    /// Sizes of the batches it was given.
    pub batches: Mutex<Vec<usize>>,
    /// Jobs that it still does before the device is lost.
    pub loses_after: AtomicUsize,
    pub lost: AtomicBool,
    /// What it says of single works.
    pub refuses: Mutex<HashMap<u32, FallbackReason>>,
    pub panics: AtomicBool,
    /// Leaves out the last result of every batch.
    pub is_short: AtomicBool,
}

impl CopyBackend {
    pub fn new(kind: BackendKind) -> Arc<Self> {
        Arc::new(CopyBackend {
            kind,
            gate: Gate::default(),
            batches: Mutex::default(),
            loses_after: AtomicUsize::new(usize::MAX),
            lost: AtomicBool::new(false),
            refuses: Mutex::default(),
            panics: AtomicBool::new(false),
            is_short: AtomicBool::new(false),
        })
    }

    pub fn n_jobs(&self) -> usize {
        self.batches.lock().iter().sum()
    }

    fn run(&self, job: &Job) -> JobResult {
        let left = self.loses_after.load(SeqCst);
        if left == 0 {
            self.lost.store(true, SeqCst);
        }
        if self.lost.load(SeqCst) {
            return Err(FallbackReason::DeviceLost("planned".into()));
        }
        self.loses_after.store(left - 1, SeqCst);
        let Source::Rgba(frame) = &job.sources[0] else { panic!("the double gets frames only") };
        match self.refuses.lock().get(&frame_id(frame)) {
            Some(reason) => Err(reason.clone()),
            None => Ok(Output::Rgba(Frame::clone(frame))),
        }
    }
}

impl Backend for CopyBackend {
    fn kind(&self) -> BackendKind {
        self.kind
    }

    fn name(&self) -> String {
        "copy".into()
    }

    fn execute(&self, jobs: &[Job]) -> Vec<JobResult> {
        self.batches.lock().push(jobs.len());
        self.gate.pass();
        assert!(!self.panics.load(SeqCst), "planned panic of the backend");
        let mut results: Vec<JobResult> = jobs.iter().map(|job| self.run(job)).collect();
        if self.is_short.load(SeqCst) {
            results.pop();
        }
        results
    }

    fn healthy(&self) -> bool {
        !self.lost.load(SeqCst)
    }
}

/// Reads as many sources as it has permits for.
pub struct TinyReader {
    id: u32,
    content: u32,
    script: Arc<Script>,
    turnstile: Arc<Semaphore>,
}

#[async_trait]
impl SourceReader for TinyReader {
    async fn read(&self, source: &Option<String>) -> std::result::Result<Bytes, SourceError> {
        assert_eq!(*source, None);
        self.script.reads.fetch_add(1, SeqCst);
        let _passed = self.turnstile.acquire().await;
        match self.script.strike(self.id, At::Read) {
            Ok(()) => Ok(Bytes::copy_from_slice(&self.content.to_le_bytes())),
            Err(error) => Err(SourceError::Missing(error.to_string())),
        }
    }
}

/// A scheduler in the middle of doubles.
pub struct House {
    pub scheduler: Scheduler,
    pub script: Arc<Script>,
    pub cpu: Arc<CopyBackend>,
    pub gpu: Option<Arc<CopyBackend>>,
    /// Readers stand in front of it when it has no permits.
    pub turnstile: Arc<Semaphore>,
    /// Numbers of works as their preparation begins.
    pub events: mpsc::UnboundedReceiver<u32>,
}

pub fn config() -> Config {
    Config {
        n_threads: 2,
        max_in_flight: 8,
        max_waiting_interactive: 100,
        max_waiting_eager: 100,
        budget_bytes: 1_000_000,
        ..Config::default()
    }
}

impl House {
    pub fn new(config: Config) -> Self {
        Self::build(config, None)
    }

    pub fn with_gpu(config: Config) -> Self {
        Self::build(config, Some(CopyBackend::new(BackendKind::Gpu)))
    }

    fn build(config: Config, gpu: Option<Arc<CopyBackend>>) -> Self {
        let script = Arc::new(Script::default());
        let (pipeline, events) = TinyPipeline::new(script.clone());
        let cpu = CopyBackend::new(BackendKind::Cpu);
        let device = gpu.clone().map(|gpu| gpu as Arc<dyn Backend>);
        let scheduler = Scheduler::start_with(config, cpu.clone(), device, pipeline).unwrap();
        House { scheduler, script, cpu, gpu, turnstile: Arc::new(Semaphore::new(1000)), events }
    }

    pub fn work(&self, id: u32, lane: Lane) -> Work {
        let base = SourceFacts {
            size: Size::new(id, 1),
            orientation: Orientation::IDENTITY,
            format: Format::Png,
            has_alpha: false,
            faces: None,
            custom: Vec::new(),
        };
        let facts = Facts { base, layers: Default::default() };
        let mut key = [0; 32];
        key[..4].copy_from_slice(&id.to_le_bytes());
        Work {
            key: WorkKey::new(key),
            lane,
            request: Request {
                transformation: Arc::new(Transformation::default()),
                facts,
                purpose: Purpose::default(),
            },
            sources: Arc::new(TinyReader {
                id,
                content: id,
                script: self.script.clone(),
                turnstile: self.turnstile.clone(),
            }),
            base: None,
            deadline: None,
        }
    }

    /// A work on a base that others read, too.
    pub fn work_on(&self, base: u32, id: u32, lane: Lane) -> Work {
        self.script.contents.lock().insert(id, base);
        let mut key = [0; 32];
        key[..4].copy_from_slice(&base.to_le_bytes());
        let (script, turnstile) = (self.script.clone(), self.turnstile.clone());
        Work {
            base: Some(SourceKey::new(key)),
            sources: Arc::new(TinyReader { id, content: base, script, turnstile }),
            ..self.work(id, lane)
        }
    }

    pub fn submit_on(&self, base: u32, id: u32, lane: Lane) -> Ticket {
        self.scheduler.submit(self.work_on(base, id, lane))
    }

    pub fn submit(&self, id: u32, lane: Lane) -> Ticket {
        self.scheduler.submit(self.work(id, lane))
    }

    pub fn interactive(&self, id: u32) -> Ticket {
        self.submit(id, Lane::Interactive)
    }

    pub fn eager(&self, id: u32) -> Ticket {
        self.submit(id, Lane::Eager)
    }

    pub fn metrics(&self) -> MetricsSnapshot {
        self.scheduler.metrics()
    }

    /// Waits until the preparation of a work begins.
    pub async fn begun(&mut self, id: u32) {
        while within(self.events.recv()).await.unwrap() != id {}
    }

    /// Waits until so many works wait for a permit.
    pub async fn waiting(&self, n: usize) {
        until(|| {
            let waiting = self.metrics().waiting;
            waiting.interactive + waiting.eager == n
        })
        .await;
    }

    /// Shuts down and asserts that nothing is left behind.
    pub async fn close(self) {
        assert!(self.scheduler.shutdown(PATIENCE).await);
        let end = self.metrics();
        assert_eq!((end.in_flight, end.in_flight_bytes), (0, 0));
        let House { scheduler, cpu, .. } = self;
        drop(scheduler);
        // The backend is owned by the engine, and that by every thread and task: none of them is left.
        until(|| Arc::strong_count(&cpu) == 1).await;
    }
}

/// Long enough for threads that give way to whatever else a machine does.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails a test that would hang.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing happened for a minute")
}

/// Lets other tasks run until something is so.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let limit = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < limit, "it did not come to be within a minute");
        std::thread::sleep(Duration::from_micros(100));
        tokio::task::yield_now().await;
    }
}

pub fn internal(error: &WorkError) -> &str {
    match error {
        WorkError::Internal(text) => text,
        other => panic!("{other:?} is no internal fault"),
    }
}
