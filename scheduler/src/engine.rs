//! The way of one work through threads and backends, from its sources in memory to its answer.

use crate::admission::Permit;
use crate::config::{Config, StartError};
use crate::dispatch::{Dispatcher, Executed, lost_earlier};
use crate::flight::Flight;
use crate::lane::Lane;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::party::{self, Decoded, Lead, Member, Turn};
use crate::pipeline::Pipeline;
use crate::pool::{Order, Pool};
use crate::work::{Rendered, Timings, WorkError};
use bytes::Bytes;
use parking_lot::Mutex;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tintype_render::Error;
use tintype_render::backend::{Backend, BackendKind, FallbackReason, Job, Output};
use tintype_render::pipeline::{BaseDemand, FoundFaces, Prepared, Request, Streamed};
use tintype_render::plan::Encoding;
use tokio::sync::oneshot;

pub(crate) struct Engine {
    pipeline: Arc<dyn Pipeline>,
    cpu: Arc<dyn Backend>,
    dispatcher: Option<Dispatcher>,
    pool: Pool,
    metrics: Arc<Metrics>,
    pace: Pace,
}

/// A work whose sources are read.
pub(crate) struct Load {
    pub request: Request,
    pub sources: Vec<Bytes>,
    pub course: Course,
    /// Its place among the works on the same source, until it is known how it gets its pixels.
    pub member: Option<Member>,
    /// Bytes of its permit that are for a decode of its own.
    pub decode_bytes: u64,
    /// Bytes that decoding takes beside that, and that its permit does not hold.
    pub unpaid_bytes: u64,
}

/// What a work carries from stage to stage. Dropping it gives the permit back and tells the driver that no answer will come.
pub(crate) struct Course {
    pub lane: Lane,
    pub permit: Arc<Permit>,
    pub submitted: Instant,
    pub timings: Timings,
    pub reply: oneshot::Sender<Result<Rendered, WorkError>>,
}

impl Course {
    /// Gives the permit back first, so that whoever sees the answer finds the room.
    fn answer(self, answer: Result<Rendered, WorkError>) {
        drop(self.permit);
        // The driver is gone only when the runtime is.
        let _ = self.reply.send(answer);
    }
}

/// What becomes of a picture after the backend.
struct Rest {
    encoding: Encoding,
    found: Vec<FoundFaces>,
    /// What the job reads of a decode that it shares; held as long as the job.
    decoded: Option<Arc<Decoded>>,
}

type Cell = Mutex<Option<Load>>;

/// A load that waits for a thread. Dropping it takes the load back, unless a thread was quicker.
pub(crate) struct Pending {
    cell: Arc<Cell>,
    flight: Arc<Flight>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let load = self.cell.lock().take();
        drop(load);
    }
}

/// The same load, for whoever decodes its source.
pub(crate) struct Seat {
    cell: Weak<Cell>,
    flight: Arc<Flight>,
}

impl Seat {
    /// Takes and starts the load, unless somebody was quicker or it was given up.
    pub fn claim(&self) -> Option<Load> {
        let load = self.cell.upgrade()?.lock().take()?;
        self.flight.start().then_some(load)
    }
}

impl Engine {
    pub fn start(
        config: &Config,
        cpu: Arc<dyn Backend>,
        gpu: Option<Arc<dyn Backend>>,
        pipeline: Arc<dyn Pipeline>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, StartError> {
        let thread = |error: std::io::Error| StartError::Thread(error.to_string());
        let pool = Pool::start(config.n_threads).map_err(thread)?;
        let dispatcher = match gpu {
            Some(gpu) => Some(Dispatcher::start(gpu, config.batch_limits(), metrics.clone()).map_err(thread)?),
            None => None,
        };
        let pace = Pace::new(config.n_threads);
        Ok(Arc::new(Engine { pipeline, cpu, dispatcher, pool, metrics, pace }))
    }

    /// How long works take.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// What a request costs, without its compressed sources.
    pub fn cost_bytes(&self, request: &Request) -> Result<u64, WorkError> {
        guarded("costing", || self.pipeline.cost_bytes(request))
    }

    /// Whether the GPU is in use; `None` without one.
    pub fn gpu_usable(&self) -> Option<bool> {
        self.dispatcher.as_ref().map(Dispatcher::usable)
    }

    /// What a request needs of its base, when it can share the decode of it.
    pub fn base_demand(&self, request: &Request) -> Option<BaseDemand> {
        catch_unwind(AssertUnwindSafe(|| self.pipeline.base_demand(request))).ok().flatten()
    }

    /// What decoding sources costs that only they can tell.
    pub fn hidden_bytes(&self, sources: &[Bytes]) -> u64 {
        catch_unwind(AssertUnwindSafe(|| self.pipeline.hidden_bytes(sources))).unwrap_or(0)
    }

    /// Queues a load. It runs when a thread is free, unless its flight is given up before.
    pub fn begin(self: &Arc<Self>, flight: Arc<Flight>, load: Load) -> Pending {
        let lane = load.course.lane;
        let cell = Arc::new(Mutex::new(Some(load)));
        if let Some(load) = &*cell.lock()
            && let Some(member) = &load.member
        {
            member.offer(Seat { cell: Arc::downgrade(&cell), flight: flight.clone() });
        }
        let pending = Pending { cell, flight };
        self.queue(&pending, lane);
        pending
    }

    /// Queues a load again, in front of the interactive threads, when somebody waits for it now.
    pub fn hurry(self: &Arc<Self>, pending: &Pending) {
        if pending.cell.lock().is_some() {
            self.queue(pending, Lane::Interactive);
        }
    }

    fn queue(self: &Arc<Self>, pending: &Pending, lane: Lane) {
        let engine = self.clone();
        let seat = Seat { cell: Arc::downgrade(&pending.cell), flight: pending.flight.clone() };
        let task = move || {
            if let Some(mut load) = seat.claim() {
                load.course.lane = lane;
                engine.open(load);
            }
        };
        self.pool.spawn(lane, Order::Opening, Box::new(task));
    }

    /// A thread has the work: it decodes, or starts from what others have decoded.
    fn open(self: &Arc<Self>, load: Load) {
        let streams = self.dispatcher.is_none();
        match party::turn(load, |demand| streams && self.pipeline.is_streamed(demand)) {
            Turn::Alone(load) => {
                self.metrics.decoded();
                self.with_unpaid(load, |load| {
                    if let Some(load) = self.stream(load) {
                        self.prepare(load, None);
                    }
                });
            }
            Turn::Waits => {}
            Turn::Starts(load, decoded) => {
                self.metrics.shared();
                self.prepare(load, Some(decoded));
            }
            Turn::Decodes(load, lead) => self.with_unpaid(load, |load| self.lead(load, lead)),
        }
    }

    /// Charges what decoding costs on top for as long as `run` takes.
    fn with_unpaid(&self, load: Load, run: impl FnOnce(Load)) {
        let extra = (load.unpaid_bytes > 0).then(|| {
            load.course.permit.charge(load.unpaid_bytes);
            load.course.permit.split(load.unpaid_bytes)
        });
        run(load);
        drop(extra);
    }

    /// Decodes for everybody whose demand is covered, and spreads them over the threads.
    fn lead(self: &Arc<Self>, mut load: Load, lead: Lead) {
        self.metrics.decoded();
        let begun = Instant::now();
        let decoded = guarded("decoding", || match load.sources.first() {
            Some(bytes) => self.pipeline.decode_base(bytes, &lead.demand),
            None => Err(Error::Device("there is no base to decode".into())),
        });
        load.course.timings.decode = begun.elapsed();
        match decoded {
            Ok(base) => {
                let (decoded, companions) = lead.done(base);
                self.spread(companions, Some(&decoded));
                self.prepare(load, Some(decoded));
            }
            Err(error) => {
                let is_joint = lead.is_joint;
                let waiting = lead.failed();
                self.spread(waiting, None);
                if is_joint {
                    // What the others need may be what cannot be read.
                    load.course.permit.charge(load.decode_bytes);
                    self.metrics.decoded();
                    self.prepare(load, None);
                } else {
                    load.course.answer(Err(error));
                }
            }
        }
    }

    fn spread(self: &Arc<Self>, loads: Vec<Load>, decoded: Option<&Arc<Decoded>>) {
        for load in loads {
            let (engine, decoded, lane) = (self.clone(), decoded.cloned(), load.course.lane);
            let task = move || match decoded {
                Some(decoded) => {
                    engine.metrics.shared();
                    engine.prepare(load, Some(decoded));
                }
                None => {
                    engine.metrics.decoded();
                    engine.with_unpaid(load, |load| engine.prepare(load, None));
                }
            };
            self.pool.spawn(lane, Order::Closing, Box::new(task));
        }
    }

    /// Decodes and renders a load at once, where that takes less memory. Gives back what has to go the usual way.
    fn stream(&self, mut load: Load) -> Option<Load> {
        if self.dispatcher.is_some() {
            return Some(load);
        }
        let begun = Instant::now();
        let mut returned = 0;
        let permit = &load.course.permit;
        let streamed = guarded("rendering", || {
            self.pipeline.stream(&load.request, &load.sources, &mut |held| {
                returned = load.decode_bytes.saturating_sub(held);
                drop(permit.split(returned));
            })
        });
        let took = begun.elapsed();
        match streamed {
            Ok(None) => {
                permit.charge(returned);
                load.course.timings.decode = took;
                Some(load)
            }
            Ok(Some(Streamed { output, encoding })) => {
                self.metrics.streamed();
                let Load { sources, mut course, .. } = load;
                drop(sources);
                // Decoding and rendering took turns.
                course.timings.render = took;
                self.finish(course, output, Rest { encoding, found: vec![], decoded: None }, BackendKind::Cpu, None);
                None
            }
            Err(error) => {
                load.course.answer(Err(error));
                None
            }
        }
    }

    fn prepare(self: &Arc<Self>, load: Load, decoded: Option<Arc<Decoded>>) {
        let Load { request, sources, mut course, .. } = load;
        let device = self.dispatcher.as_ref().filter(|dispatcher| dispatcher.usable());
        let device = device.map(|dispatcher| (dispatcher, dispatcher.expect()));
        let begun = Instant::now();
        let prepared = guarded("decoding", || match &decoded {
            Some(decoded) => self.pipeline.prepare_from(&decoded.base, &request, &sources),
            None => self.pipeline.prepare(&request, &sources),
        });
        course.timings.decode += begun.elapsed();
        drop(sources);
        let Prepared { job, encoding, found } = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return course.answer(Err(error)),
        };
        let rest = Rest { encoding, found, decoded };
        let lane = course.lane;
        match (device, &self.dispatcher) {
            (Some((dispatcher, coming)), _) => {
                let engine = self.clone();
                let then = Box::new(move |executed| engine.executed(course, executed, rest));
                dispatcher.submit(lane, job, coming, then);
            }
            (None, Some(_)) => self.on_cpu(course, job, rest, Some(lost_earlier())),
            (None, None) => self.on_cpu(course, job, rest, None),
        }
    }

    /// Back from the device, on its thread: the rest belongs to the pool.
    fn executed(self: &Arc<Self>, mut course: Course, executed: Executed, mut rest: Rest) {
        let Executed { job, result, took } = executed;
        let engine = self.clone();
        let lane = course.lane;
        course.timings.render = took;
        let task = move || match result {
            Ok(output) => {
                drop(job);
                drop(rest.decoded.take());
                engine.finish(course, output, rest, BackendKind::Gpu, None);
            }
            Err(reason) => engine.on_cpu(course, job, rest, Some(reason)),
        };
        self.pool.spawn(lane, Order::Closing, Box::new(task));
    }

    fn on_cpu(&self, mut course: Course, job: Job, mut rest: Rest, fallback: Option<FallbackReason>) {
        if let Some(reason) = &fallback {
            self.metrics.fallback(reason.label());
        }
        let begun = Instant::now();
        let output = guarded("rendering", || match self.cpu.execute(std::slice::from_ref(&job)).pop() {
            Some(Ok(output)) => Ok(output),
            Some(Err(reason)) => Err(Error::Device(format!("the cpu backend refused the job: {reason}"))),
            None => Err(Error::Device("the cpu backend gave no result".into())),
        });
        // What the GPU took in vain was spent on this picture too.
        course.timings.render += begun.elapsed();
        drop(job);
        drop(rest.decoded.take());
        match output {
            Ok(output) => self.finish(course, output, rest, BackendKind::Cpu, fallback),
            Err(error) => course.answer(Err(error)),
        }
    }

    fn finish(
        &self,
        mut course: Course,
        output: Output,
        rest: Rest,
        backend: BackendKind,
        fallback: Option<FallbackReason>,
    ) {
        let begun = Instant::now();
        let picture = guarded("encoding", || self.pipeline.finish(output, &rest.encoding));
        course.timings.encode = begun.elapsed();
        let picture = match picture {
            Ok(picture) => picture,
            Err(error) => return course.answer(Err(error)),
        };
        let Timings { read, decode, render, encode, .. } = course.timings;
        let worked: Duration = [read, decode, render, encode].iter().sum();
        let timings = Timings { queue: course.submitted.elapsed().saturating_sub(worked), ..course.timings };
        self.metrics.rendered(backend, &timings);
        self.pace.worked(course.lane, decode + render + encode);
        course.answer(Ok(Rendered { picture, found: rest.found, backend, fallback, timings }));
    }

    /// Runs something else on a thread of a lane while `permit` is held.
    pub async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        permit: Permit,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        let (reply, answer) = oneshot::channel();
        let task = move || {
            if reply.is_closed() {
                return;
            }
            let result = guarded("running a task", || Ok(task()));
            drop(permit);
            let _ = reply.send(result);
        };
        self.pool.spawn(lane, Order::Opening, Box::new(task));
        answer.await.unwrap_or(Err(WorkError::ShuttingDown))
    }

    /// Ends the threads after what they are at; queued tasks are dropped, which tells their drivers.
    pub fn close(&self) {
        if let Some(dispatcher) = &self.dispatcher {
            dispatcher.close();
        }
        self.pool.close();
    }

    /// Waits for the threads to end. Blocks.
    pub fn join(&self) {
        if let Some(dispatcher) = &self.dispatcher {
            dispatcher.join();
        }
        self.pool.join();
    }
}

/// Runs a stage; a panic in it costs this work only.
fn guarded<T>(stage: &str, run: impl FnOnce() -> tintype_render::Result<T>) -> Result<T, WorkError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(WorkError::Render),
        Err(panic) => Err(WorkError::Internal(format!("panic while {stage}: {}", panic_text(&*panic)))),
    }
}

/// The message of a caught panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
