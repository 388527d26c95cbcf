//! The worker itself: panics, an orderly stop, being woken.

use super::Site;
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tintype_api::catalog::library::{JobFilter, Library};
use tintype_api::domain::{CloudId, Job, JobKind, JobState, NewJob, Timestamp};
use tintype_api::jobs::clock::Clock;
use tintype_api::jobs::handler::{Failure, Finished, Handler, Run};
use tintype_api::jobs::metrics::{JobMetrics, RunOutcome};
use tintype_api::jobs::queue::JobQueue;
use tintype_api::jobs::worker::{Lane, Worker, WorkerSettings};
use tokio::sync::{Notify, watch};

const KIND: JobKind = JobKind::known("test");

/// Does what the job says.
struct Obedient {
    begun: Notify,
}

#[async_trait]
impl Handler for Obedient {
    async fn run(&self, run: &Run) -> Result<Finished, Failure> {
        self.begun.notify_one();
        match run.job.payload["do"].as_str().unwrap() {
            "panic" => panic!("as it was told"),
            "hang" => std::future::pending().await,
            "refuse" => Err(Failure::Permanent("never".to_owned())),
            _ => Ok(Finished { report: json!({ "ok": true }), then: Vec::new() }),
        }
    }
}

struct Shop {
    site: Site,
    queue: JobQueue,
    worker: Arc<Worker>,
    handler: Arc<Obedient>,
    metrics: Arc<JobMetrics>,
}

async fn shop() -> Shop {
    let site = Site::start().await;
    let queue = JobQueue::new(site.library().clone(), Clock::system());
    let handler = Arc::new(Obedient { begun: Notify::new() });
    let metrics = Arc::new(JobMetrics::new(Clock::system()));
    let lane = Lane { slots: 4, handlers: [(KIND, handler.clone() as Arc<dyn Handler>)].into() };
    let settings = WorkerSettings { grace: Duration::from_millis(100), ..WorkerSettings::default() };
    let worker = Arc::new(Worker::new(queue.clone(), vec![lane], settings, metrics.clone()));
    Shop { site, queue, worker, handler, metrics }
}

impl Shop {
    async fn enqueue(&self, what: &str) -> NewJob {
        let job = NewJob::new(self.cloud(), KIND, json!({ "do": what }), Timestamp::now());
        self.queue.enqueue(vec![job.clone()]).await.unwrap();
        job
    }

    fn cloud(&self) -> CloudId {
        self.site.demo.cloud.id.clone()
    }

    fn library(&self) -> &Library {
        self.site.library()
    }

    async fn found(&self, job: &NewJob) -> Job {
        self.library().job(&self.cloud(), &job.id).await.unwrap().unwrap()
    }

    async fn wait_for(&self, state: JobState, count: usize) {
        let until = std::time::Instant::now() + Duration::from_secs(60);
        let filter = JobFilter { states: vec![state], ..JobFilter::default() };
        while self.library().jobs(&filter, 100, None).await.unwrap().jobs.len() < count {
            assert!(std::time::Instant::now() < until, "no {count} jobs became {state:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_panics_fails_and_the_worker_goes_on() {
    let shop = shop().await;
    let (bad, refused, good) = (shop.enqueue("panic").await, shop.enqueue("refuse").await, shop.enqueue("work").await);
    assert_eq!(shop.worker.run_due().await, 3);
    let found = shop.found(&bad).await;
    assert_eq!((found.state, found.error.as_str()), (JobState::Waiting, "the job panicked: as it was told"));
    let wait_s = found.run_at.unix_seconds() - found.created_at.unix_seconds();
    assert!((7..=600).contains(&wait_s), "it waits a while: {wait_s} s");
    assert_eq!((shop.found(&refused).await.state, shop.found(&good).await.state), (JobState::Dead, JobState::Done));
    let count = |outcome| shop.metrics.runs(&KIND, outcome);
    assert_eq!((count(RunOutcome::Panicked), count(RunOutcome::Failed)), (1, 1));
    assert_eq!((count(RunOutcome::Dead), count(RunOutcome::Done)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_woken_and_hands_back_what_it_cannot_end() {
    let shop = shop().await;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn({
        let worker = shop.worker.clone();
        async move { worker.run(stopped).await }
    });
    shop.enqueue("work").await;
    shop.wait_for(JobState::Done, 1).await;
    shop.handler.begun.notified().await;
    let hanging = shop.enqueue("hang").await;
    shop.handler.begun.notified().await;
    assert_eq!(shop.found(&hanging).await.state, JobState::Running);
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(60), running).await.unwrap().unwrap();
    let found = shop.found(&hanging).await;
    assert_eq!((found.state, found.attempts), (JobState::Waiting, 0), "it was handed back, and not tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_job_is_stopped() {
    let shop = shop().await;
    let lane = Lane { slots: 1, handlers: [(KIND, shop.handler.clone() as Arc<dyn Handler>)].into() };
    let settings = WorkerSettings { lease: Duration::from_secs(1), ..WorkerSettings::default() };
    let worker = Worker::new(shop.queue.clone(), vec![lane], settings, shop.metrics.clone());
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(async move { worker.run(stopped).await });
    shop.enqueue("hang").await;
    shop.handler.begun.notified().await;
    shop.library().drop_jobs(&JobFilter::default()).await.unwrap();
    // The only place is free again once the worker has noticed.
    shop.enqueue("work").await;
    shop.wait_for(JobState::Done, 1).await;
    stop.send_replace(true);
    running.await.unwrap();
}
