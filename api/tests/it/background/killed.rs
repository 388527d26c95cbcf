//! A worker process that is killed amid jobs loses none.

use super::{Site, config};
use crate::program;
use crate::whole_app::{CHELSEA, ROCKET};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tintype_api::app::open_records;
use tintype_api::catalog::library::{JobFilter, Library};
use tintype_api::domain::{JobState, Timestamp};
use tintype_api::jobs::EAGER;
use tintype_api::jobs::batch::{Batch, BatchProgress, BatchSelection};

const N_ASSETS: usize = 24;

/// A worker process; dropping it kills it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn worker(data: &Path) -> Process {
    let mut command = program::command();
    command.arg("worker").env("TINTYPE_DATA_DIR", data).env("TINTYPE_RENDERER", "cpu").env("TINTYPE_WORKERS", "1");
    command.env("TINTYPE_JOB_LEASE_S", "2").env("TINTYPE_THREADS", "2");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Process(command.spawn().unwrap())
}

async fn count(library: &Library, states: &[JobState]) -> usize {
    let filter = JobFilter { states: states.to_vec(), ..JobFilter::default() };
    library.jobs(&filter, 1000, None).await.unwrap().jobs.len()
}

async fn wait(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(240);
    while !holds().await {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_lose_no_job() {
    let site = Site::start().await;
    for n in 0..N_ASSETS {
        let file = if n % 2 == 0 { ROCKET } else { CHELSEA };
        let id = format!("a{n}");
        site.upload(file, &[("public_id", &id), ("eager", "w_300/jpg|w_200/webp"), ("eager_async", "1")]).await;
    }
    let cloud = site.demo.cloud.id.clone();
    let batch =
        Batch { transformations: vec!["w_50/jpg".to_owned()], selection: BatchSelection::Prefix("a".to_owned()) };
    let job = batch.job(&cloud, Timestamp::now());
    site.library().enqueue_jobs(vec![job.clone()], Timestamp::now()).await.unwrap();
    // From here on only other processes work.
    let Site { folder, app, records, .. } = site;
    drop((app, records));
    let records = open_records(&config(folder.path())).await.unwrap();
    let library = &records.library;
    let all = N_ASSETS + 1;

    for kills in 1..=2 {
        let mut process = worker(folder.path());
        wait("a job is done", async || count(library, &[JobState::Done]).await >= kills * 3).await;
        // SIGKILL: no handler of the process runs.
        process.0.kill().unwrap();
        process.0.wait().unwrap();
    }
    let _process = worker(folder.path());
    wait("all jobs are done", async || count(library, &[JobState::Done, JobState::Dead]).await == all).await;

    assert_eq!(count(library, &[JobState::Dead]).await, 0);
    let jobs = library.jobs(&JobFilter::default(), 1000, None).await.unwrap().jobs;
    let eager: Vec<_> = jobs.iter().filter(|job| job.kind == EAGER).collect();
    assert_eq!(eager.len(), N_ASSETS);
    assert!(eager.iter().all(|job| job.progress["rendered"] == 2), "{eager:?}");
    let report = BatchProgress::of(&library.job(&cloud, &job.id).await.unwrap().unwrap());
    assert_eq!((report.assets, report.done, report.failed), (N_ASSETS as u64, N_ASSETS as u64, 0));
    let mut rows = 0;
    for asset in records.catalog.list_assets(&cloud, 1000, None).await.unwrap().assets {
        rows += records.catalog.derived_of(&asset.id, 100).await.unwrap().len();
    }
    assert_eq!(rows, N_ASSETS * 3, "each picture is kept once");
}
