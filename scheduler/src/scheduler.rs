//! The one entrance: submit a work, get a ticket; and the orderly end.

use crate::admission::{Admission, Permit, Refused, Waiter};
use crate::config::{Config, StartError};
use crate::engine::{Course, Engine, Load, panic_text};
use crate::flight::{Expiry, Flight, Flights, Landing, Ticket};
use crate::lane::Lane;
use crate::metrics::{Metrics, MetricsSnapshot, Outcome};
use crate::party::{Member, Parties};
use crate::pipeline::{Pipeline, RenderPipeline};
use crate::work::{Rendered, SourceError, SourceKey, SourceReader, Timings, Work, WorkError};
use bytes::Bytes;
use futures::future::FutureExt;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_render::backend::Backend;
use tintype_render::face::FaceDetector;
use tintype_render::pipeline::{BaseDemand, Request, source_ids};
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
    parties: Parties,
    budget_bytes: u64,
    max_wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Takes no more work, finishes what holds a permit.
    Draining,
    /// Finishes nothing more.
    Stopped,
}

/// A work on its way out of `submit`.
struct Departure {
    landing: Landing,
    work: Work,
    place: Result<Place, WorkError>,
    submitted: Instant,
}

/// How far a work has come when it leaves `submit`.
struct Place {
    cost_bytes: u64,
    demand: Option<BaseDemand>,
    stage: Stage,
}

enum Stage {
    Waits(Waiter),
    Admitted(Admitted),
}

/// A work that holds a permit.
struct Admitted {
    permit: Arc<Permit>,
    member: Option<Member>,
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
            parties: Parties::default(),
            budget_bytes: config.budget_bytes,
            max_wait: config.max_wait,
        };
        Ok(Scheduler { shared: Arc::new(shared) })
    }

    /// Joins the work of the same key that is on its way, or starts one. Never blocks; a full queue shows in the ticket.
    pub fn submit(&self, work: Work) -> Ticket {
        let (ticket, departure) = self.prepare(work);
        self.depart(departure);
        ticket
    }

    /// Submits works of which none begins before all are known, so that those on one base share its decode; one ticket for
    /// each, in order.
    pub fn submit_all(&self, works: Vec<Work>) -> Vec<Ticket> {
        // The costly ones ask first: the decode that is made for them serves all others, also those that have to wait.
        let mut order: Vec<(u64, usize, Work)> = works
            .into_iter()
            .enumerate()
            .map(|(at, work)| (self.shared.engine.cost_bytes(&work.request).unwrap_or(0), at, work))
            .collect();
        order.sort_by_key(|(cost, at, _)| (std::cmp::Reverse(*cost), *at));
        let (mut tickets, mut departures) = (Vec::new(), Vec::new());
        for (_, at, work) in order {
            let (ticket, departure) = self.prepare(work);
            tickets.push((at, ticket));
            departures.push(departure);
        }
        departures.into_iter().for_each(|departure| self.depart(departure));
        tickets.sort_by_key(|(at, _)| *at);
        tickets.into_iter().map(|(_, ticket)| ticket).collect()
    }

    /// Runs something else on the threads of a lane, such as looking into a file, once there is room for so many bytes.
    ///
    /// Dropping the future drops what was not begun.
    pub async fn run<T, F>(&self, lane: Lane, bytes: u64, task: F) -> Result<T, WorkError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let shared = &self.shared;
        let waiter = shared.ask(lane, bytes)?;
        let permit = waiter.await.ok_or(WorkError::ShuttingDown)?;
        shared.engine.run(lane, permit, task).await
    }

    fn prepare(&self, work: Work) -> (Ticket, Option<Departure>) {
        let submitted = Instant::now();
        let shared = &self.shared;
        if *shared.phase.borrow() != Phase::Open {
            shared.metrics.outcome(work.lane, Outcome::ShuttingDown);
            return (Ticket::refused(WorkError::ShuttingDown), None);
        }
        let (ticket, landing) = shared.flights.join(work.key, work.lane, work.deadline);
        let Some(landing) = landing else {
            shared.metrics.coalesced(work.lane);
            return (ticket, None);
        };
        let place = shared.place(&work);
        (ticket, Some(Departure { landing, work, place, submitted }))
    }

    fn depart(&self, departure: Option<Departure>) {
        if let Some(departure) = departure {
            self.shared.runtime.spawn(fly(self.shared.clone(), departure));
        }
    }

    /// How many interactive works that have to be rendered would be taken now; what only joins another always is.
    pub fn room(&self) -> usize {
        let shared = &self.shared;
        let room = shared.admission.room(Lane::Interactive);
        let ahead = {
            let now = shared.admission.occupancy();
            now.running.interactive + now.waiting.interactive
        };
        let most_ahead = shared.engine.pace().most_ahead(Lane::Interactive, shared.max_wait);
        let in_time = most_ahead.map_or(usize::MAX, |most| most.saturating_sub(ahead));
        room.free.saturating_add(room.places.min(in_time))
    }

    /// Counts an interactive work as Busy that was refused by somebody who saw that there was no [`Self::room`].
    pub fn count_refused(&self) {
        self.shared.metrics.outcome(Lane::Interactive, Outcome::Busy);
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
    /// Enters the queue, or takes a permit at once.
    fn place(&self, work: &Work) -> Result<Place, WorkError> {
        let cost_bytes = self.engine.cost_bytes(&work.request)?;
        let demand = work.base.and_then(|_| self.engine.base_demand(&work.request));
        let mut waiter = self.ask(work.lane, cost_bytes)?;
        let stage = match (&mut waiter).now_or_never() {
            Some(Some(permit)) => Stage::Admitted(self.admitted(permit, work.base, demand.as_ref())),
            Some(None) => return Err(WorkError::ShuttingDown),
            None => Stage::Waits(waiter),
        };
        Ok(Place { cost_bytes, demand, stage })
    }

    fn ask(&self, lane: Lane, bytes: u64) -> Result<Waiter, WorkError> {
        let waiter = self.admission.ask(lane, bytes).map_err(|refused| match refused {
            Refused::Full => WorkError::Busy,
            Refused::Closed => WorkError::ShuttingDown,
            Refused::TooCostly => WorkError::Render(Error::Limit(format!(
                "Maximum memory of one image is {} bytes. Requested {bytes} bytes",
                self.budget_bytes
            ))),
        })?;
        if lane == Lane::Interactive && self.is_too_long() {
            // Leaves the queue again.
            return Err(WorkError::Busy);
        }
        Ok(waiter)
    }

    /// Whether the last in the interactive queue would wait for too long.
    fn is_too_long(&self) -> bool {
        let now = self.admission.occupancy();
        let n_waiting = now.waiting.interactive;
        n_waiting > 0
            && self.engine.pace().expected(Lane::Interactive, now.running.interactive + n_waiting) > self.max_wait
    }

    fn admitted(&self, permit: Permit, base: Option<SourceKey>, demand: Option<&BaseDemand>) -> Admitted {
        let permit = Arc::new(permit);
        let member =
            base.zip(demand).map(|(base, demand)| self.parties.join(base, permit.lane(), demand.clone(), &permit));
        Admitted { permit, member }
    }

    fn stop(&self) {
        self.phase.send_replace(Phase::Stopped);
        self.engine.close();
    }
}

/// Drives one flight from submission to landing.
async fn fly(shared: Arc<Shared>, departure: Departure) {
    let Departure { landing, work, place, submitted } = departure;
    let flight = landing.flight().clone();
    let outcome = tokio::select! {
        biased;
        done = AssertUnwindSafe(steps(&shared, &flight, work, place, submitted)).catch_unwind() => done
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

async fn steps(
    shared: &Shared,
    flight: &Arc<Flight>,
    work: Work,
    place: Result<Place, WorkError>,
    submitted: Instant,
) -> Result<Rendered, WorkError> {
    let Work { request, sources: reader, base, .. } = work;
    let Place { cost_bytes, demand, stage } = place?;
    let admit = |permit| shared.admitted(permit, base, demand.as_ref());
    let mut admitted = match stage {
        Stage::Admitted(admitted) => admitted,
        Stage::Waits(waiter) => admit(granted(flight, waiter).await?),
    };
    let begun = Instant::now();
    let sources = read(&admitted, &reader, &request).await?;
    let read = begun.elapsed();
    let mut unpaid_bytes = shared.engine.hidden_bytes(&sources);
    if unpaid_bytes > 0 && admitted.member.as_ref().is_none_or(Member::is_alone) {
        // Asks again for all of it: a permit that grew while it is held could wait for another that does the same.
        drop(admitted);
        let all = cost_bytes.saturating_add(unpaid_bytes).saturating_add(total(&sources));
        admitted = admit(granted(flight, shared.ask(flight.lane(), all)?).await?);
        unpaid_bytes = 0;
    } else if let Some(member) = &admitted.member {
        member.pay(&admitted.permit, sources.first().map_or(0, |base| base.len() as u64));
        admitted.permit.charge(total(sources.get(1..).unwrap_or_default()));
    } else {
        admitted.permit.charge(total(&sources));
    }
    let Admitted { permit, member } = admitted;
    let (reply, mut answer) = oneshot::channel();
    let timings = Timings { read, ..Timings::default() };
    let mut demand = flight.demand();
    let lane = demand.borrow_and_update().lane;
    let course = Course { lane, permit, submitted, timings, reply };
    let decode_bytes = member.as_ref().map_or(0, Member::decode_bytes);
    let load = Load { request, sources, course, member, decode_bytes, unpaid_bytes };
    let pending = shared.engine.begin(flight.clone(), load);
    // Dropped without an answer only when the threads were closed under it.
    let lost = Err(WorkError::ShuttingDown);
    loop {
        tokio::select! {
            biased;
            rendered = &mut answer => return rendered.unwrap_or(lost),
            _ = demand.changed() => {
                if lane == Lane::Eager && demand.borrow_and_update().lane == Lane::Interactive {
                    shared.engine.hurry(&pending);
                    return answer.await.unwrap_or(lost);
                }
            }
        }
    }
}

fn total(sources: &[Bytes]) -> u64 {
    sources.iter().map(|bytes| bytes.len() as u64).sum()
}

/// The sources in order; the base together with others that read it.
async fn read(
    admitted: &Admitted,
    reader: &Arc<dyn SourceReader>,
    request: &Request,
) -> Result<Vec<Bytes>, SourceError> {
    let ids = source_ids(request);
    let one = |id: Option<String>| {
        let shared = admitted.member.as_ref().filter(|_| id.is_none()).map(|member| member.read(reader.clone()));
        async move {
            match shared {
                Some(reading) => reading.await,
                None => reader.read(&id).await,
            }
        }
    };
    futures::future::try_join_all(ids.into_iter().map(one)).await
}

/// Waits for the permit, in the more urgent lane from the moment when an interactive ticket joins.
async fn granted(flight: &Flight, mut waiter: Waiter) -> Result<Permit, WorkError> {
    let mut demand = flight.demand();
    loop {
        if demand.borrow_and_update().lane == Lane::Interactive {
            waiter.promote();
        }
        tokio::select! {
            biased;
            permit = &mut waiter => return permit.ok_or(WorkError::ShuttingDown),
            _ = demand.changed() => {}
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
