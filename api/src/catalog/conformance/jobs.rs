//! Jobs: claims, leases, failures, unique keys, queues, fairness. Time is handed in, so that nothing here sleeps.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    super::library::{Claim, JobCounts, JobFilter, Library, Retention},
    new_cloud,
};
use crate::{
    catalog::Catalog,
    domain::{CloudId, Job, JobId, JobKind, JobState, NewJob, Timestamp},
};

const KIND: JobKind = JobKind::known("render");
const OTHER: JobKind = JobKind::known("other");

/// Seconds of a time that begins somewhere.
const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + seconds)
}

fn job(cloud: &CloudId, n: i64) -> NewJob {
    NewJob::new(cloud.clone(), KIND, json!({ "n": n, "text": "ünï \"1\"" }), at(0))
}

fn claim(lease: &str, limit: u32, now: Timestamp) -> Claim {
    let lease_until = Timestamp::from_unix_seconds(now.unix_seconds() + 30);
    Claim { kinds: vec![KIND], limit, lease: lease.to_owned(), lease_until, now }
}

async fn take(library: &Library, lease: &str, limit: u32, now: Timestamp) -> Vec<Job> {
    library.claim_jobs(claim(lease, limit, now)).await.unwrap()
}

fn numbers(jobs: &[Job]) -> Vec<i64> {
    jobs.iter().map(|job| job.payload["n"].as_i64().unwrap()).collect()
}

fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id.clone()).collect()
}

async fn enqueue(library: &Library, jobs: Vec<NewJob>) -> Vec<JobId> {
    library.enqueue_jobs(jobs, at(0)).await.unwrap().into_iter().map(|answer| answer.id).collect()
}

async fn clear(library: &Library) {
    library.drop_jobs(&JobFilter::default()).await.unwrap();
}

pub async fn run(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "jobs").await;
    let other = new_cloud(catalog, "jobs-too").await;
    a_job_comes_back_as_it_was(library, &cloud).await;
    order_and_time(library, &cloud).await;
    unique_keys(library, &cloud).await;
    failures_wait_and_end_dead(library, &cloud).await;
    leases_end(library, &cloud).await;
    what_follows_comes_with_the_end(library, &cloud).await;
    queues_keep_their_order(library, &cloud).await;
    clouds_get_equal_shares(library, &cloud, &other).await;
    many_workers_take_each_job_once(library, &cloud, &other).await;
    lists_counts_and_pruning(library, &cloud, &other).await;
}

async fn a_job_comes_back_as_it_was(library: &Library, cloud: &CloudId) {
    let new = NewJob {
        unique_key: "key".to_owned(),
        queue: "queue".to_owned(),
        priority: -7,
        max_attempts: 3,
        ..job(cloud, 1)
    };
    assert_eq!(library.enqueue_jobs(Vec::new(), at(0)).await.unwrap(), []);
    let id = enqueue(library, vec![new.clone()]).await.remove(0);
    let found = library.job(cloud, &id).await.unwrap().unwrap();
    assert_eq!((&found.id, &found.cloud, &found.kind), (&new.id, cloud, &KIND));
    assert_eq!((&found.unique_key, &found.queue, found.priority), (&new.unique_key, &new.queue, -7));
    assert_eq!((&found.payload, found.state, found.max_attempts), (&new.payload, JobState::Waiting, 3));
    assert_eq!((found.attempts, found.run_at, found.created_at, found.finished_at), (0, at(0), at(0), None));
    assert!(found.progress.is_null() && found.error.is_empty());
    assert_eq!(library.job(&CloudId::random(), &id).await.unwrap(), None, "jobs belong to a cloud");
    let taken = take(library, "w", 5, at(1)).await.remove(0);
    assert_eq!((taken.state, taken.attempts, taken.lease_until), (JobState::Running, 1, at(31)));
    assert!(library.record_progress("w", &id, &json!({ "page": 2 })).await.unwrap());
    assert!(!library.record_progress("v", &id, &json!({ "page": 3 })).await.unwrap(), "of another worker");
    assert!(library.complete_job("w", &id, &json!({ "done": true }), Vec::new(), at(2)).await.unwrap());
    assert!(!library.complete_job("w", &id, &json!({}), Vec::new(), at(3)).await.unwrap(), "it is done");
    let done = library.job(cloud, &id).await.unwrap().unwrap();
    assert_eq!((done.state, done.finished_at, &done.progress), (JobState::Done, Some(at(2)), &json!({ "done": true })));
    let nul = NewJob { unique_key: "a\0b".to_owned(), ..job(cloud, 1) };
    assert!(library.enqueue_jobs(vec![nul], at(0)).await.is_err());
    clear(library).await;
}

async fn order_and_time(library: &Library, cloud: &CloudId) {
    let later = |n, priority, seconds| NewJob { priority, run_at: at(seconds), ..job(cloud, n) };
    let foreign = NewJob { kind: OTHER, ..job(cloud, 9) };
    enqueue(library, vec![later(3, 0, 5), later(1, -1, 9), later(2, 0, 2), later(4, 1, 0), later(5, -5, 50), foreign])
        .await;
    assert!(library.job_is_due(&[KIND], at(0)).await.unwrap() && !library.job_is_due(&[KIND], at(-1)).await.unwrap());
    assert!(!library.job_is_due(&[JobKind::known("none")], at(100)).await.unwrap());
    assert_eq!(numbers(&take(library, "w", 9, at(-1)).await), [0; 0], "nothing is due");
    assert_eq!(numbers(&take(library, "w", 2, at(10)).await), [1, 2], "by priority, then since when they are due");
    assert_eq!(numbers(&take(library, "w", 9, at(10)).await), [3, 4]);
    assert_eq!(library.next_job_after(&[OTHER, KIND], at(10)).await.unwrap(), Some(at(50)));
    assert_eq!(library.next_job_after(&[KIND], at(50)).await.unwrap(), None);
    assert_eq!(numbers(&take(library, "w", 9, at(50)).await), [5], "kinds that a worker does not know are left");
    assert!(take(library, "w", 0, at(50)).await.is_empty());
    clear(library).await;
    let kinds = |n, kind| NewJob { kind, priority: n, ..job(cloud, n) };
    enqueue(library, vec![kinds(2, KIND), kinds(1, OTHER), kinds(3, OTHER), kinds(4, KIND)]).await;
    let both = Claim { kinds: vec![KIND, OTHER], ..claim("w", 3, at(1)) };
    assert_eq!(numbers(&library.claim_jobs(both).await.unwrap()), [1, 2, 3], "kinds share one order");
    clear(library).await;
}

async fn unique_keys(library: &Library, cloud: &CloudId) {
    let keyed = |n| NewJob { unique_key: "same".to_owned(), ..job(cloud, n) };
    let answers = library.enqueue_jobs(vec![keyed(1), keyed(2), job(cloud, 3)], at(0)).await.unwrap();
    let fresh: Vec<bool> = answers.iter().map(|answer| answer.fresh).collect();
    assert_eq!((fresh, answers[0].id == answers[1].id), (vec![true, false, true], true));
    let taken = take(library, "w", 9, at(0)).await;
    assert_eq!(taken.len(), 2);
    let again = library.enqueue_jobs(vec![keyed(4)], at(0)).await.unwrap().remove(0);
    assert!(!again.fresh && again.id == answers[0].id, "it runs");
    assert!(library.fail_job("w", &again.id, "no", None, at(1)).await.unwrap() == Some(JobState::Dead));
    let after = library.enqueue_jobs(vec![keyed(5)], at(0)).await.unwrap().remove(0);
    assert!(after.fresh, "a dead job holds no key");
    assert_eq!(library.retry_jobs(&JobFilter::default(), at(2)).await.unwrap(), 0, "its key is taken");
    library.drop_jobs(&JobFilter { ids: vec![after.id], ..JobFilter::default() }).await.unwrap();
    assert_eq!(library.retry_jobs(&JobFilter::default(), at(2)).await.unwrap(), 1);

    // Of many at the same time one is fresh.
    clear(library).await;
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let (library, new) = (library.clone(), keyed(n));
            tokio::spawn(async move { library.enqueue_jobs(vec![new], at(0)).await.unwrap().remove(0) })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| answer.fresh).count(), 1);
    assert!(answers.iter().all(|answer| answer.id == answers[0].id));
    clear(library).await;
}

async fn failures_wait_and_end_dead(library: &Library, cloud: &CloudId) {
    let id = enqueue(library, vec![NewJob { max_attempts: 2, ..job(cloud, 1) }]).await.remove(0);
    take(library, "w", 1, at(0)).await;
    assert_eq!(library.fail_job("v", &id, "x", Some(at(9)), at(1)).await.unwrap(), None, "another's job");
    let long = "é\0".repeat(5000);
    assert_eq!(library.fail_job("w", &id, &long, Some(at(60)), at(1)).await.unwrap(), Some(JobState::Waiting));
    let found = library.job(cloud, &id).await.unwrap().unwrap();
    assert_eq!((found.run_at, found.attempts, found.error.chars().count()), (at(60), 1, 2000));
    assert!(take(library, "w", 1, at(59)).await.is_empty(), "it waits");
    assert_eq!(take(library, "w", 1, at(60)).await[0].attempts, 2);
    assert_eq!(library.fail_job("w", &id, "last", Some(at(99)), at(61)).await.unwrap(), Some(JobState::Dead));
    let dead = library.job(cloud, &id).await.unwrap().unwrap();
    assert_eq!((dead.state, &*dead.error, dead.finished_at), (JobState::Dead, "last", Some(at(61))));
    assert!(take(library, "w", 1, at(9999)).await.is_empty(), "nobody takes a dead job");
    assert_eq!(
        library.retry_jobs(&JobFilter { ids: vec![id.clone()], ..JobFilter::default() }, at(70)).await.unwrap(),
        1
    );
    let again = take(library, "w", 1, at(70)).await.remove(0);
    assert_eq!((again.attempts, again.finished_at), (1, None), "with all of its attempts");
    assert_eq!(library.fail_job("w", &id, "never", None, at(71)).await.unwrap(), Some(JobState::Dead));
    clear(library).await;
}

async fn leases_end(library: &Library, cloud: &CloudId) {
    let id = enqueue(library, vec![NewJob { max_attempts: 2, ..job(cloud, 1) }]).await.remove(0);
    take(library, "w", 1, at(0)).await;
    let only = std::slice::from_ref(&id);
    assert_eq!(library.extend_leases("w", only, at(100)).await.unwrap(), only);
    assert!(library.extend_leases("v", only, at(200)).await.unwrap().is_empty());
    assert_eq!(library.reclaim_jobs(at(100)).await.unwrap().waiting, 0, "the lease holds");
    assert!(take(library, "v", 1, at(100)).await.is_empty());
    assert_eq!(library.reclaim_jobs(at(101)).await.unwrap().waiting, 1);
    assert!(library.extend_leases("w", only, at(300)).await.unwrap().is_empty(), "it was taken away");
    assert!(!library.complete_job("w", &id, &json!({}), vec![job(cloud, 2)], at(101)).await.unwrap());
    let second = take(library, "v", 9, at(101)).await;
    assert_eq!((ids(&second), second[0].attempts), (only.to_vec(), 2), "nothing followed from a lost lease");
    assert_eq!(library.release_jobs("w", only).await.unwrap(), 0);
    assert_eq!(library.release_jobs("v", only).await.unwrap(), 1);
    assert_eq!(take(library, "v", 1, at(102)).await[0].attempts, 2, "what is handed back was not tried");
    let lost = library.reclaim_jobs(at(500)).await.unwrap();
    assert_eq!((lost.waiting, lost.dead), (0, 1), "a job that ends its workers ends as dead");
    assert_eq!(library.job(cloud, &id).await.unwrap().unwrap().error, "its worker was lost");

    // Progress makes earlier attempts forgotten.
    let id = enqueue(library, vec![NewJob { max_attempts: 1, ..job(cloud, 1) }]).await.remove(0);
    take(library, "w", 1, at(0)).await;
    library.release_jobs("w", std::slice::from_ref(&id)).await.unwrap();
    assert_eq!(take(library, "w", 1, at(0)).await[0].attempts, 1);
    library.record_progress("w", &id, &json!({ "cursor": "x" })).await.unwrap();
    let found = library.job(cloud, &id).await.unwrap().unwrap();
    assert_eq!((found.attempts, &found.progress), (1, &json!({ "cursor": "x" })));
    clear(library).await;
}

async fn what_follows_comes_with_the_end(library: &Library, cloud: &CloudId) {
    let id = enqueue(library, vec![job(cloud, 1)]).await.remove(0);
    take(library, "w", 1, at(0)).await;
    assert!(library.complete_job("w", &id, &json!(null), vec![job(cloud, 2), job(cloud, 3)], at(1)).await.unwrap());
    let mut next = numbers(&take(library, "w", 9, at(1)).await);
    next.sort_unstable();
    assert_eq!(next, [2, 3]);
    assert!(library.job(cloud, &id).await.unwrap().unwrap().progress.is_null());
    clear(library).await;
}

async fn queues_keep_their_order(library: &Library, cloud: &CloudId) {
    let queued = |n: i64, queue: &str| NewJob { queue: queue.to_owned(), priority: -n, ..job(cloud, n) };
    // All at one time, and the later ones with the better priority: the order is that of coming.
    for (n, queue) in [(1, "a"), (2, "a"), (3, "a"), (4, "b")] {
        enqueue(library, vec![queued(n, queue)]).await;
    }
    let first = take(library, "w", 9, at(0)).await;
    assert_eq!(numbers(&first), [4, 1], "one of each queue");
    assert!(take(library, "v", 9, at(0)).await.is_empty());
    let head = first.iter().find(|job| job.queue == "a").unwrap();
    library.fail_job("w", &head.id, "later", Some(at(60)), at(1)).await.unwrap();
    assert!(take(library, "w", 9, at(30)).await.is_empty(), "those behind it wait with it");
    let again = take(library, "w", 9, at(60)).await;
    assert_eq!(numbers(&again), [1]);
    library.fail_job("w", &again[0].id, "never", None, at(61)).await.unwrap();
    let second = take(library, "w", 9, at(61)).await;
    assert_eq!(numbers(&second), [2], "a dead job holds up nobody");
    library.complete_job("w", &second[0].id, &json!({}), Vec::new(), at(62)).await.unwrap();
    assert_eq!(numbers(&take(library, "w", 9, at(62)).await), [3]);
    clear(library).await;
}

async fn clouds_get_equal_shares(library: &Library, cloud: &CloudId, other: &CloudId) {
    // One cloud fills the queue first, and its jobs are more urgent.
    enqueue(library, (0..40).map(|n| NewJob { priority: -1, ..job(cloud, n) }).collect()).await;
    enqueue(library, (100..105).map(|n| job(other, n)).collect()).await;
    let of = |jobs: &[Job], wanted: &CloudId| jobs.iter().filter(|job| job.cloud == *wanted).count();
    let first = take(library, "w", 6, at(1)).await;
    assert_eq!((of(&first, cloud), of(&first, other)), (3, 3));
    // The one that has less running goes first.
    for done in first.iter().filter(|job| job.cloud == *other) {
        library.complete_job("w", &done.id, &json!({}), Vec::new(), at(2)).await.unwrap();
    }
    let second = take(library, "w", 3, at(2)).await;
    assert_eq!((of(&second, cloud), of(&second, other)), (1, 2));
    // Where nobody else waits, one may have everything.
    let third = take(library, "w", 10, at(2)).await;
    assert_eq!((of(&third, cloud), of(&third, other)), (10, 0));
    clear(library).await;
}

async fn many_workers_take_each_job_once(library: &Library, cloud: &CloudId, other: &CloudId) {
    const N: i64 = 120;
    for n in 0..N {
        enqueue(library, vec![job(if n % 3 == 0 { other } else { cloud }, n)]).await;
    }
    let workers: Vec<_> = (0..8)
        .map(|number| {
            let library = library.clone();
            tokio::spawn(async move {
                let (lease, mut taken) = (format!("worker {number}"), Vec::new());
                // Others may hold what a claim chose: an empty answer is believed when nothing waits.
                while library.job_is_due(&[KIND], at(1)).await.unwrap() {
                    for job in take(&library, &lease, 5, at(1)).await {
                        assert!(library.complete_job(&lease, &job.id, &json!({}), Vec::new(), at(1)).await.unwrap());
                        taken.push(job.payload["n"].as_i64().unwrap());
                    }
                }
                taken
            })
        })
        .collect();
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (0..N).collect::<Vec<_>>(), "each job is taken once");
    clear(library).await;
}

async fn lists_counts_and_pruning(library: &Library, cloud: &CloudId, other: &CloudId) {
    let report = JobKind::known("report");
    for n in 0..5 {
        let new = NewJob { run_at: at(n), ..job(if n == 4 { other } else { cloud }, n) };
        library.enqueue_jobs(vec![new], at(n)).await.unwrap();
    }
    let kept = NewJob { kind: report.clone(), run_at: at(100), ..job(cloud, 9) };
    library.enqueue_jobs(vec![kept], at(9)).await.unwrap();
    let page = library.jobs(&JobFilter::default(), 4, None).await.unwrap();
    assert_eq!(numbers(&page.jobs), [9, 4, 3, 2], "newest first");
    let rest = library.jobs(&JobFilter::default(), 4, page.next).await.unwrap();
    assert_eq!((numbers(&rest.jobs), rest.next), (vec![1, 0], None));
    let of = async |filter: JobFilter| numbers(&library.jobs(&filter, 10, None).await.unwrap().jobs);
    assert_eq!(of(JobFilter { cloud: Some(other.clone()), ..JobFilter::default() }).await, [4]);
    assert_eq!(of(JobFilter { kind: Some(report.clone()), ..JobFilter::default() }).await, [9]);
    let running = take(library, "w", 2, at(10)).await;
    assert_eq!(of(JobFilter { states: vec![JobState::Running], ..JobFilter::default() }).await.len(), 2);
    assert_eq!(of(JobFilter { ids: ids(&running), ..JobFilter::default() }).await.len(), 2);
    library.complete_job("w", &running[0].id, &json!({}), Vec::new(), at(20)).await.unwrap();
    library.fail_job("w", &running[1].id, "dead", None, at(30)).await.unwrap();
    let JobCounts { counts, oldest_due } = library.count_jobs().await.unwrap();
    let counts: BTreeMap<_, _> = counts.into_iter().map(|(state, kind, count)| ((state, kind), count)).collect();
    let count = |state, kind: &JobKind| counts.get(&(state, kind.clone())).copied().unwrap_or(0);
    assert_eq!((count(JobState::Waiting, &KIND), count(JobState::Waiting, &report)), (3, 1));
    assert_eq!(
        (count(JobState::Done, &KIND), count(JobState::Dead, &KIND), count(JobState::Running, &KIND)),
        (1, 1, 0)
    );
    assert!(oldest_due.unwrap() <= at(3));

    // The report is done too, and is kept when done jobs are forgotten.
    let claimed = library.claim_jobs(Claim { kinds: vec![report.clone()], ..claim("w", 1, at(100)) }).await.unwrap();
    library.complete_job("w", &claimed[0].id, &json!({}), Vec::new(), at(20)).await.unwrap();
    let retention = |done, all| Retention { done_before: at(done), reports: vec![report.clone()], all_before: at(all) };
    assert_eq!(library.prune_jobs(&retention(20, 0), 10).await.unwrap(), 0);
    assert_eq!(library.prune_jobs(&retention(21, 0), 10).await.unwrap(), 1);
    assert_eq!(library.prune_jobs(&retention(21, 31), 1).await.unwrap(), 1, "at most so many");
    assert_eq!(library.prune_jobs(&retention(21, 31), 10).await.unwrap(), 1);
    assert_eq!(library.drop_jobs(&JobFilter { cloud: Some(other.clone()), ..JobFilter::default() }).await.unwrap(), 0);
    assert_eq!(library.drop_jobs(&JobFilter { cloud: Some(cloud.clone()), ..JobFilter::default() }).await.unwrap(), 3);
    assert_eq!(library.count_jobs().await.unwrap(), JobCounts::default());
}
