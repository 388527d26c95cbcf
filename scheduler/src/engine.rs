//! The way of one work through threads and backends, from its sources in memory to its answer.

use crate::admission::Permit;
use crate::config::{Config, StartError};
use crate::dispatch::{Dispatcher, Executed, lost_earlier};
use crate::flight::Flight;
use crate::lane::Lane;
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::pool::{Order, Pool};
use crate::work::{Rendered, Timings, WorkError};
use bytes::Bytes;
use parking_lot::Mutex;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_render::Error;
use tintype_render::backend::{Backend, BackendKind, FallbackReason, Job, Output};
use tintype_render::pipeline::{FoundFaces, Prepared, Request};
use tintype_render::plan::Encoding;
use tokio::sync::oneshot;

pub(crate) struct Engine {
    pipeline: Arc<dyn Pipeline>,
    cpu: Arc<dyn Backend>,
    dispatcher: Option<Dispatcher>,
    pool: Pool,
    metrics: Arc<Metrics>,
}

/// A work whose sources are read.
pub(crate) struct Load {
    pub request: Request,
    pub sources: Vec<Bytes>,
    pub course: Course,
}

/// What a work carries from stage to stage. Dropping it gives the permit back and tells the driver that no answer will come.
pub(crate) struct Course {
    pub lane: Lane,
    pub permit: Permit,
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
}

/// A load that waits for a thread. Dropping it takes the load back, unless a thread was quicker.
pub(crate) struct Pending(Arc<Mutex<Option<Load>>>);

impl Drop for Pending {
    fn drop(&mut self) {
        let load = self.0.lock().take();
        drop(load);
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
        Ok(Arc::new(Engine { pipeline, cpu, dispatcher, pool, metrics }))
    }

    /// What a request costs, without its compressed sources.
    pub fn cost_bytes(&self, request: &Request) -> Result<u64, WorkError> {
        guarded("costing", || self.pipeline.cost_bytes(request))
    }

    /// Whether the GPU is in use; `None` without one.
    pub fn gpu_usable(&self) -> Option<bool> {
        self.dispatcher.as_ref().map(Dispatcher::usable)
    }

    /// Queues a load. It runs when a thread is free, unless its flight is given up before.
    pub fn begin(self: &Arc<Self>, flight: Arc<Flight>, load: Load) -> Pending {
        let lane = load.course.lane;
        let cell = Arc::new(Mutex::new(Some(load)));
        let (engine, queued) = (self.clone(), cell.clone());
        let task = move || {
            let load = queued.lock().take();
            if let Some(load) = load
                && flight.start()
            {
                engine.prepare(load);
            }
        };
        self.pool.spawn(lane, Order::Opening, Box::new(task));
        Pending(cell)
    }

    fn prepare(self: &Arc<Self>, load: Load) {
        let Load { request, sources, mut course } = load;
        let device = self.dispatcher.as_ref().filter(|dispatcher| dispatcher.usable());
        let device = device.map(|dispatcher| (dispatcher, dispatcher.expect()));
        let begun = Instant::now();
        let prepared = guarded("decoding", || self.pipeline.prepare(&request, &sources));
        course.timings.decode = begun.elapsed();
        drop(sources);
        let Prepared { job, encoding, found } = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return course.answer(Err(error)),
        };
        let rest = Rest { encoding, found };
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
    fn executed(self: &Arc<Self>, mut course: Course, executed: Executed, rest: Rest) {
        let Executed { job, result, took } = executed;
        let engine = self.clone();
        let lane = course.lane;
        course.timings.render = took;
        let task = move || match result {
            Ok(output) => {
                drop(job);
                engine.finish(course, output, rest, BackendKind::Gpu, None);
            }
            Err(reason) => engine.on_cpu(course, job, rest, Some(reason)),
        };
        self.pool.spawn(lane, Order::Closing, Box::new(task));
    }

    fn on_cpu(&self, mut course: Course, job: Job, rest: Rest, fallback: Option<FallbackReason>) {
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
        course.answer(Ok(Rendered { picture, found: rest.found, backend, fallback, timings }));
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
