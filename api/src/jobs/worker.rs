//! Takes jobs from the catalog and runs them: a bounded number at a time, each under a lease that is extended for as long
//! as it runs. A job that panics fails; the worker goes on.

use super::clock::{Clock, after, before, between};
use super::handler::{Failure, Finished, Handler, Run};
use super::metrics::{JobMetrics, RunOutcome};
use super::queue::JobQueue;
use crate::catalog::CatalogError;
use crate::catalog::library::{Claim, Library, Retention};
use crate::domain::{Job, JobId, JobKind, JobState};
use futures::FutureExt;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How often a worker looks for jobs that nobody told it of.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How long a worker pauses when the catalog does not answer.
const PAUSE: Duration = Duration::from_secs(2);
/// How often the end of a run is recorded anew when the catalog does not answer.
const N_RECORDINGS: u32 = 5;
/// How often lost leases are looked for, and the queue is counted.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// How often old jobs are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// Old jobs that are forgotten in one transaction.
const PRUNE_LIMIT: u32 = 1000;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// For how long a job is held without a sign of life.
    pub lease: Duration,
    /// How long running jobs may go on when the worker is told to stop; then they are handed back.
    pub grace: Duration,
    /// How long done jobs are kept.
    pub keep_done: Duration,
    /// How long dead jobs, and the reports of [`WorkerSettings::reports`], are kept.
    pub keep_reports: Duration,
    pub reports: Vec<JobKind>,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        WorkerSettings {
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            keep_done: Duration::from_secs(3600),
            keep_reports: Duration::from_secs(30 * 86_400),
            reports: vec![super::EAGER_BATCH],
        }
    }
}

/// Kinds of jobs that share places, so that long ones do not hold up short ones.
pub struct Lane {
    /// Jobs that run at once.
    pub slots: usize,
    pub handlers: BTreeMap<JobKind, Arc<dyn Handler>>,
}

/// Runs jobs until it is told to stop.
pub struct Worker {
    queue: JobQueue,
    library: Library,
    clock: Clock,
    lanes: Vec<Lane>,
    settings: WorkerSettings,
    metrics: Arc<JobMetrics>,
    /// Names this worker in leases.
    name: String,
}

impl Worker {
    pub fn new(queue: JobQueue, lanes: Vec<Lane>, settings: WorkerSettings, metrics: Arc<JobMetrics>) -> Self {
        let (library, clock) = (queue.library().clone(), queue.clock().clone());
        let name = hex::encode(rand::random::<[u8; 16]>());
        Worker { queue, library, clock, lanes, settings, metrics, name }
    }

    /// Works until `stop` turns true. What runs then may go on for the time of grace, and is handed back after that.
    pub async fn run(&self, stop: watch::Receiver<bool>) {
        let lanes = async {
            futures::future::join_all(self.lanes.iter().map(|lane| self.work(lane, stop.clone()))).await;
            // Without lanes it still tidies up.
            let mut stop = stop.clone();
            let _ = stop.wait_for(|stop| *stop).await;
        };
        tokio::select! {
            () = lanes => {}
            () = self.queue.listen() => {}
            () = self.tidy_on() => {}
        }
    }

    /// Runs everything that is due, and what follows from it at once, and gives the number of runs. For tests and for
    /// calls that wait.
    pub async fn run_due(&self) -> usize {
        let mut count = 0;
        loop {
            let mut jobs = Vec::new();
            for lane in &self.lanes {
                match self.claim(lane, lane.slots).await {
                    Ok(found) => jobs.extend(found.into_iter().map(|job| self.start(lane, job))),
                    Err(error) => tracing::warn!(%error, "jobs could not be claimed"),
                }
            }
            if jobs.is_empty() {
                self.count().await;
                return count;
            }
            count += jobs.len();
            futures::future::join_all(jobs).await;
        }
    }

    async fn claim(&self, lane: &Lane, limit: usize) -> Result<Vec<Job>, CatalogError> {
        let kinds: Vec<JobKind> = lane.handlers.keys().cloned().collect();
        let now = self.clock.now();
        if limit == 0 || kinds.is_empty() || !self.library.job_is_due(&kinds, now).await? {
            return Ok(Vec::new());
        }
        let claim = Claim {
            kinds,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            lease: self.name.clone(),
            lease_until: after(now, self.settings.lease),
            now,
        };
        self.library.claim_jobs(claim).await
    }

    /// The whole run of a claimed job.
    fn start(&self, lane: &Lane, job: Job) -> impl Future<Output = ()> + Send + 'static {
        let handler = lane.handlers.get(&job.kind).cloned();
        let run = Run { job, library: self.library.clone(), clock: self.clock.clone(), lease: self.name.clone() };
        let (metrics, queue) = (self.metrics.clone(), self.queue.clone());
        async move {
            let Some(handler) = handler else { return };
            execute(&*handler, &run, &metrics, &queue).await;
        }
    }

    /// Claims and runs jobs of one lane.
    async fn work(&self, lane: &Lane, mut stop: watch::Receiver<bool>) {
        let mut running: JoinSet<JobId> = JoinSet::new();
        let held: Mutex<BTreeMap<JobId, AbortHandle>> = Mutex::default();
        let mut woken = self.queue.woken();
        let mut heartbeat = interval((self.settings.lease / 3).max(Duration::from_millis(100)));
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stop.borrow() {
            woken.mark_unchanged();
            let free = lane.slots.saturating_sub(running.len());
            let mut rest = POLL_EVERY;
            match self.claim(lane, free).await {
                Ok(jobs) => {
                    if jobs.is_empty() {
                        rest = self.rest(lane).await;
                    }
                    for job in jobs {
                        let (id, run) = (job.id.clone(), self.start(lane, job));
                        let done = id.clone();
                        let task = running.spawn(async move {
                            run.await;
                            done
                        });
                        held.lock().insert(id, task);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "jobs could not be claimed");
                    rest = PAUSE;
                }
            }
            let until = Instant::now() + rest;
            // Until there is a reason to look again.
            loop {
                let full = running.len() >= lane.slots;
                tokio::select! {
                    _ = stop.changed() => break,
                    Some(_) = running.join_next(), if !running.is_empty() => {
                        held.lock().retain(|_, task| !task.is_finished());
                        break;
                    }
                    _ = woken.changed(), if !full => break,
                    () = tokio::time::sleep_until(until), if !full => break,
                    _ = heartbeat.tick() => self.extend(&held).await,
                }
            }
        }
        self.hand_back(running, held, heartbeat).await;
    }

    /// How long there is nothing to do, if nobody says otherwise.
    async fn rest(&self, lane: &Lane) -> Duration {
        let kinds: Vec<JobKind> = lane.handlers.keys().cloned().collect();
        let now = self.clock.now();
        match self.library.next_job_after(&kinds, now).await {
            Ok(Some(next)) => between(now, next).clamp(Duration::from_millis(1), POLL_EVERY),
            _ => POLL_EVERY,
        }
    }

    async fn extend(&self, held: &Mutex<BTreeMap<JobId, AbortHandle>>) {
        let jobs: Vec<JobId> =
            held.lock().iter().filter(|(_, task)| !task.is_finished()).map(|(id, _)| id.clone()).collect();
        let until = after(self.clock.now(), self.settings.lease);
        match self.library.extend_leases(&self.name, &jobs, until).await {
            Err(error) => tracing::warn!(%error, "leases could not be extended"),
            Ok(kept) => {
                let mut held = held.lock();
                for id in jobs.iter().filter(|id| !kept.contains(id)) {
                    // It may just have ended. If not, somebody else has it, or nobody is to do it.
                    if let Some(task) = held.remove(id) {
                        task.abort();
                    }
                }
            }
        }
    }

    async fn hand_back(
        &self,
        mut running: JoinSet<JobId>,
        held: Mutex<BTreeMap<JobId, AbortHandle>>,
        mut heartbeat: tokio::time::Interval,
    ) {
        let all_done = async {
            while !running.is_empty() {
                tokio::select! {
                    _ = running.join_next() => {}
                    _ = heartbeat.tick() => self.extend(&held).await,
                }
            }
        };
        if timeout(self.settings.grace, all_done).await.is_ok() {
            return;
        }
        running.shutdown().await;
        let jobs: Vec<JobId> = held.lock().keys().cloned().collect();
        match self.library.release_jobs(&self.name, &jobs).await {
            Ok(count) => tracing::info!(count, "running jobs were handed back"),
            Err(error) => tracing::warn!(%error, "running jobs wait until their leases run out"),
        }
    }

    async fn tidy_on(&self) {
        let mut prune_at = Instant::now();
        loop {
            let prune = Instant::now() >= prune_at;
            if prune {
                prune_at = Instant::now() + PRUNE_EVERY;
            }
            self.tidy(prune).await;
            tokio::time::sleep(TIDY_EVERY.min((self.settings.lease / 2).max(Duration::from_millis(100)))).await;
        }
    }

    /// Takes back jobs of lost workers, counts, and with `prune` forgets old jobs.
    pub async fn tidy(&self, prune: bool) {
        let now = self.clock.now();
        match self.library.reclaim_jobs(now).await {
            Ok(back) if back.waiting + back.dead > 0 => {
                tracing::warn!(waiting = back.waiting, dead = back.dead, "jobs of lost workers were taken back");
                self.queue.wake();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "lost jobs could not be looked for"),
        }
        if prune {
            let retention = Retention {
                done_before: before(now, self.settings.keep_done),
                reports: self.settings.reports.clone(),
                all_before: before(now, self.settings.keep_reports),
            };
            loop {
                match self.library.prune_jobs(&retention, PRUNE_LIMIT).await {
                    Ok(count) if count >= PRUNE_LIMIT.into() => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(%error, "old jobs could not be forgotten");
                        break;
                    }
                }
            }
        }
        self.count().await;
    }

    async fn count(&self) {
        match self.library.count_jobs().await {
            Ok(counts) => self.metrics.set_counts(counts),
            Err(error) => tracing::warn!(%error, "jobs could not be counted"),
        }
    }
}

/// Runs a job and records what became of it.
async fn execute(handler: &dyn Handler, run: &Run, metrics: &JobMetrics, queue: &JobQueue) {
    let kind = &run.job.kind;
    let outcome = match AssertUnwindSafe(handler.run(run)).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => {
            metrics.count(kind, RunOutcome::Panicked);
            Err(Failure::Retry(format!("the job panicked: {}", panic_text(&*panic))))
        }
    };
    let outcome = match outcome {
        Err(Failure::Lost) => RunOutcome::Lost,
        other => {
            let mut attempt = 1;
            loop {
                match record(handler, run, &other).await {
                    Ok(outcome) => break outcome,
                    Err(error) if attempt < N_RECORDINGS => {
                        tracing::warn!(job.id = %run.job.id, %error, "the end of a job could not be recorded yet");
                        attempt += 1;
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(error) => {
                        // Its lease runs out, and it is run again.
                        tracing::error!(job.id = %run.job.id, %error, "the end of a job could not be recorded");
                        break RunOutcome::Lost;
                    }
                }
            }
        }
    };
    metrics.count(kind, outcome);
    if !run.job.queue.is_empty() || outcome == RunOutcome::Done {
        // The next of its queue may begin, and jobs may follow from it.
        queue.wake();
    }
}

async fn record(
    handler: &dyn Handler,
    run: &Run,
    outcome: &Result<Finished, Failure>,
) -> Result<RunOutcome, CatalogError> {
    let (job, now) = (&run.job, run.now());
    let (error, retry) = match outcome {
        Ok(Finished { report, then }) => {
            let kept = run.library.complete_job(&run.lease, &job.id, report, then.clone(), now).await?;
            return Ok(if kept { RunOutcome::Done } else { RunOutcome::Lost });
        }
        Err(Failure::Retry(error)) => (error.as_str(), true),
        Err(Failure::Permanent(error)) => (error.as_str(), false),
        Err(Failure::Lost) => return Ok(RunOutcome::Lost),
    };
    let retry_at = retry.then(|| after(now, handler.wait(job.attempts, rand::random())));
    let state = run.library.fail_job(&run.lease, &job.id, error, retry_at, now).await?;
    match state {
        None => Ok(RunOutcome::Lost),
        Some(JobState::Dead) => {
            tracing::error!(job.id = %job.id, job.kind = %job.kind, job.attempts = job.attempts, error, "a job is dead");
            Ok(RunOutcome::Dead)
        }
        Some(_) => {
            tracing::warn!(job.id = %job.id, job.kind = %job.kind, job.attempts = job.attempts, error, "a job failed");
            Ok(RunOutcome::Failed)
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
