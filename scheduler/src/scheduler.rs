//! The one entrance: submit a work, get a ticket; and the orderly end.

use crate::admission::{Admission, Permit, Refused};
use crate::config::{Config, StartError};
use crate::engine::{Course, Engine, Load, panic_text};
use crate::flight::{Expiry, Flight, Flights, Landing, Ticket};
use crate::lane::Lane;
use crate::metrics::{Metrics, MetricsSnapshot, Outcome};
use crate::pipeline::{Pipeline, RenderPipeline};
use crate::work::{Rendered, Timings, Work, WorkError};
use futures::future::FutureExt;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_render::backend::Backend;
use tintype_render::face::FaceDetector;
use tintype_render::pipeline::source_ids;
use tintype_render::{Error, Limits};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

/// Runs works on threads of its own and on at most one GPU; sources are read on the tokio runtime it was started in.
///
/// Dropping it without [`Scheduler::shutdown`] abandons what is under way: every ticket then says so.
pub struct Scheduler {
    shared: Arc<Shared>,
}

struct Shared {
    runtime: Handle,
    flights: Flights,
    admission: Admission,
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    phase: watch::Sender<Phase>,
    budget_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Takes no more work, finishes what holds a permit.
    Draining,
    /// Finishes nothing more.
    Stopped,
}

/// Why a driver stops before its work was started.
enum Early {
    Abandoned,
    Error(WorkError),
}

impl Scheduler {
    /// Starts the threads. `cpu` renders whatever `gpu` does not. Must be called inside of a tokio runtime with a timer.
    pub fn start(
        config: Config,
        cpu: Arc<dyn Backend>,
        gpu: Option<Arc<dyn Backend>>,
        faces: Arc<FaceDetector>,
        limits: Limits,
    ) -> Result<Scheduler, StartError> {
        Self::start_with(config, cpu, gpu, Arc::new(RenderPipeline::new(faces, limits)))
    }

    /// The same with other steps before and after the backends.
    pub fn start_with(
        config: Config,
        cpu: Arc<dyn Backend>,
        gpu: Option<Arc<dyn Backend>>,
        pipeline: Arc<dyn Pipeline>,
    ) -> Result<Scheduler, StartError> {
        config.validate()?;
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let metrics = Arc::new(Metrics::default());
        let engine = Engine::start(&config, cpu, gpu, pipeline, metrics.clone())?;
        let shared = Shared {
            runtime,
            flights: Flights::default(),
            admission: Admission::new((&config).into()),
            engine,
            metrics,
            phase: watch::Sender::new(Phase::Open),
            budget_bytes: config.budget_bytes,
        };
        Ok(Scheduler { shared: Arc::new(shared) })
    }

    /// Joins the work of the same key that is on its way, or starts one. Never blocks; a full queue shows in the ticket.
    pub fn submit(&self, work: Work) -> Ticket {
        let submitted = Instant::now();
        let shared = &self.shared;
        if *shared.phase.borrow() != Phase::Open {
            shared.metrics.outcome(work.lane, Outcome::ShuttingDown);
            return Ticket::refused(WorkError::ShuttingDown);
        }
        let (ticket, landing) = shared.flights.join(work.key, work.lane, work.deadline);
        match landing {
            Some(landing) => {
                shared.runtime.spawn(fly(shared.clone(), landing, work, submitted));
            }
            None => shared.metrics.coalesced(work.lane),
        }
        ticket
    }

    /// The counters now.
    pub fn metrics(&self) -> MetricsSnapshot {
        let shared = &self.shared;
        shared.metrics.snapshot(shared.admission.occupancy(), shared.budget_bytes, shared.engine.gpu_usable())
    }

    /// Takes no more work, answers what waits for a permit with [`WorkError::ShuttingDown`], finishes what has one, and ends
    /// the threads. After `grace` the rest is given up; false then.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        let shared = &self.shared;
        shared.phase.send_if_modified(|phase| {
            let open = *phase == Phase::Open;
            if open {
                *phase = Phase::Draining;
            }
            open
        });
        shared.admission.close();
        let finished = async {
            shared.flights.landed().await;
            shared.admission.drained().await;
        };
        let clean = tokio::time::timeout(grace, finished).await.is_ok();
        shared.stop();
        if clean {
            let engine = shared.engine.clone();
            // Fails only when the runtime goes down as well; the threads end by themselves then.
            let _ = tokio::task::spawn_blocking(move || engine.join()).await;
        }
        clean
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.shared.admission.close();
        self.shared.stop();
    }
}

impl Shared {
    fn stop(&self) {
        self.phase.send_replace(Phase::Stopped);
        self.engine.close();
    }
}

/// Drives one flight from submission to landing.
async fn fly(shared: Arc<Shared>, landing: Landing, work: Work, submitted: Instant) {
    let flight = landing.flight().clone();
    let outcome = tokio::select! {
        biased;
        done = AssertUnwindSafe(steps(&shared, &flight, work, submitted)).catch_unwind() => done
            .unwrap_or_else(|panic| {
                Err(WorkError::Internal(format!("panic while reading: {}", panic_text(&*panic))))
            })
            .map_err(Early::Error),
        early = interrupted(&shared, &flight) => Err(early),
    };
    let lane = flight.lane();
    let (counted, answer) = match outcome {
        Ok(rendered) => (Outcome::Rendered, Ok(Arc::new(rendered))),
        Err(Early::Error(error)) => (Outcome::from(&error), Err(error)),
        // Nobody holds a ticket; the answer is for the type.
        Err(Early::Abandoned) => (Outcome::Abandoned, Err(WorkError::Expired)),
    };
    shared.metrics.outcome(lane, counted);
    landing.land(answer);
}

async fn steps(shared: &Shared, flight: &Arc<Flight>, work: Work, submitted: Instant) -> Result<Rendered, WorkError> {
    let Work { request, sources: reader, .. } = work;
    let cost_bytes = shared.engine.cost_bytes(&request)?;
    let mut permit = admitted(shared, flight, cost_bytes).await?;
    let begun = Instant::now();
    let ids = source_ids(&request);
    let sources = futures::future::try_join_all(ids.iter().map(|id| reader.read(id))).await?;
    let timings = Timings { read: begun.elapsed(), ..Timings::default() };
    permit.charge(sources.iter().map(|bytes| bytes.len() as u64).sum());
    let (reply, answer) = oneshot::channel();
    let course = Course { lane: flight.lane(), permit, submitted, timings, reply };
    let _pending = shared.engine.begin(flight.clone(), Load { request, sources, course });
    // Dropped without an answer only when the threads were closed under it.
    answer.await.unwrap_or(Err(WorkError::ShuttingDown))
}

/// Waits for the permit, in the more urgent lane from the moment when an interactive ticket joins.
async fn admitted(shared: &Shared, flight: &Flight, cost_bytes: u64) -> Result<Permit, WorkError> {
    let mut demand = flight.demand();
    let lane = demand.borrow_and_update().lane;
    let mut waiter = shared.admission.ask(lane, cost_bytes).map_err(|refused| match refused {
        Refused::Full => WorkError::Busy,
        Refused::Closed => WorkError::ShuttingDown,
        Refused::TooCostly => WorkError::Render(Error::Limit(format!(
            "Maximum memory of one image is {} bytes. Requested {cost_bytes} bytes",
            shared.budget_bytes
        ))),
    })?;
    loop {
        tokio::select! {
            biased;
            permit = &mut waiter => return permit.ok_or(WorkError::ShuttingDown),
            _ = demand.changed() => {
                if demand.borrow_and_update().lane == Lane::Interactive {
                    waiter.promote();
                }
            }
        }
    }
}

/// Resolves when the work is not to be started any more, or when the scheduler stops; never once a thread has it, but then.
async fn interrupted(shared: &Shared, flight: &Arc<Flight>) -> Early {
    let mut phase = shared.phase.subscribe();
    let mut demand = flight.demand();
    let mut started = false;
    loop {
        let now = *demand.borrow_and_update();
        if now.abandoned {
            return Early::Abandoned;
        }
        let due = async {
            match now.deadline {
                Some(deadline) if !started => tokio::time::sleep_until(deadline).await,
                _ => pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase == Phase::Stopped) => return Early::Error(WorkError::ShuttingDown),
            _ = demand.changed() => {}
            () = due => match shared.flights.expire(flight, tokio::time::Instant::now()) {
                Expiry::Expired => return Early::Error(WorkError::Expired),
                Expiry::TooLate => started = true,
                Expiry::Later => {}
            },
        }
    }
}
