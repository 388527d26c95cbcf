//! Jobs between being enqueued and being done: claims, leases, failures. No clock here: every point in time is handed in.

use std::collections::BTreeMap;

use futures::FutureExt;
use serde_json::Value as Json;

use super::{
    super::{
        CatalogError, Result,
        record::{self, Columns, Value},
        sql::{Channel, Record, Sql, marks, text},
    },
    Library,
};
use crate::domain::{CloudId, Job, JobId, JobKind, JobState, NewJob, Timestamp};

pub(super) const JOB_COLUMNS: &str = "id, cloud, kind, unique_key, queue, payload, state, priority, run_at, attempts, \
     max_attempts, lease_until, progress, error, created_at, finished_at";
/// Longest error that is kept, in characters.
const MAX_ERROR_CHARS: usize = 2000;
/// Clouds that one claim looks at, those with the fewest running jobs first.
const MAX_CLOUDS: usize = 256;
/// How often a claim chooses anew when others were faster.
const N_ROUNDS: usize = 4;
/// How often an insertion starts over when the job with its unique key ends between two statements.
const N_ATTEMPTS: usize = 10;

/// Answer to [`Library::enqueue_jobs`], for each job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueued {
    /// The new job, or the waiting or running one with the same unique key.
    pub id: JobId,
    pub fresh: bool,
}

/// What a worker wants.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Only these: a worker leaves what it does not know to others.
    pub kinds: Vec<JobKind>,
    pub limit: u32,
    /// Names the worker for as long as it lives.
    pub lease: String,
    pub lease_until: Timestamp,
    pub now: Timestamp,
}

/// Jobs whose lease ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reclaimed {
    pub waiting: u64,
    pub dead: u64,
}

pub(super) fn read_job(row: &Record) -> Result<Job> {
    let json = |what: &'static str, text: String| -> Result<Json> {
        if text.is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_str(&text).map_err(|error| CatalogError::Corrupt(format!("{what} of a job: {error}")))
    };
    Ok(Job {
        id: record::parsed("job id", &row.text(0)?)?,
        cloud: record::parsed("cloud id", &row.text(1)?)?,
        kind: JobKind::any(row.text(2)?),
        unique_key: row.text(3)?,
        queue: row.text(4)?,
        payload: json("payload", row.text(5)?)?,
        state: record::parsed("job state", &row.text(6)?)?,
        priority: row.number(7)?,
        run_at: Timestamp::from_unix_micros(row.number(8)?),
        attempts: record::unsigned("attempts", row.number(9)?)?,
        max_attempts: record::unsigned("attempts", row.number(10)?)?,
        lease_until: Timestamp::from_unix_micros(row.number(11)?),
        progress: json("progress", row.text(12)?)?,
        error: row.text(13)?,
        created_at: Timestamp::from_unix_micros(row.number(14)?),
        finished_at: Some(row.number(15)?).filter(|at| *at != 0).map(Timestamp::from_unix_micros),
    })
}

pub(super) fn at(time: Timestamp) -> Value {
    Value::Number(time.unix_micros())
}

pub(super) fn ids_of(jobs: &[JobId]) -> Vec<Value> {
    jobs.iter().map(|id| text(id.as_str())).collect()
}

/// Adds jobs as a part of a transaction.
pub(in crate::catalog) async fn enqueue(sql: &mut dyn Sql, jobs: &[NewJob], now: Timestamp) -> Result<Vec<Enqueued>> {
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        answers.push(enqueue_one(sql, job, now).await?);
    }
    if answers.iter().any(|answer| answer.fresh) {
        sql.tell(Channel::Jobs);
    }
    Ok(answers)
}

async fn enqueue_one(sql: &mut dyn Sql, job: &NewJob, now: Timestamp) -> Result<Enqueued> {
    // Clocks of nodes differ, and may stand still: who comes later into a queue is recorded as later.
    let mut created_at = now.unix_micros();
    if !job.queue.is_empty() {
        let query = "SELECT created_at FROM jobs WHERE queue = ? AND queue <> '' AND state IN ('waiting', 'running')
                     ORDER BY created_at DESC LIMIT 1";
        if let Some(row) = sql.query(query, &[text(job.queue.as_str())]).await?.first() {
            created_at = created_at.max(row.number(0)?.saturating_add(1));
        }
    }
    let insert = format!(
        "INSERT INTO jobs ({JOB_COLUMNS}, lease) VALUES ({})
         ON CONFLICT (unique_key) WHERE unique_key <> '' AND state IN ('waiting', 'running') DO NOTHING",
        marks(17)
    );
    let values = [
        text(job.id.as_str()),
        text(job.cloud.as_str()),
        Value::Text(record::text("the kind of a job", job.kind.as_str())?),
        Value::Text(record::text("the key of a job", &job.unique_key)?),
        Value::Text(record::text("the queue of a job", &job.queue)?),
        Value::Text(record::text("the payload of a job", &job.payload.to_string())?),
        text(JobState::Waiting.as_str()),
        Value::Number(job.priority),
        at(job.run_at),
        Value::Number(0),
        Value::Number(job.max_attempts.into()),
        Value::Number(0),
        text(""),
        text(""),
        Value::Number(created_at),
        Value::Number(0),
        text(""),
    ];
    for _ in 0..N_ATTEMPTS {
        if sql.execute(&insert, &values).await? == 1 {
            return Ok(Enqueued { id: job.id.clone(), fresh: true });
        }
        let query = "SELECT id FROM jobs WHERE unique_key = ? AND state IN ('waiting', 'running')";
        if let Some(row) = sql.query(query, &[text(job.unique_key.as_str())]).await?.first() {
            return Ok(Enqueued { id: record::parsed("job id", &row.text(0)?)?, fresh: false });
        }
    }
    Err(CatalogError::Unavailable("jobs with one key come and go".to_owned()))
}

/// A job that may be claimed. The order is that of claims within a cloud.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    priority: i64,
    run_at: i64,
    id: String,
}

/// Clouds with waiting jobs of a kind: one step of the recursion for each cloud, not for each job.
const WAITING_CLOUDS: &str = "WITH RECURSIVE waiting (cloud) AS (
        SELECT min(cloud) FROM jobs WHERE state = 'waiting' AND kind = ?
        UNION ALL
        SELECT (SELECT min(jobs.cloud) FROM jobs WHERE state = 'waiting' AND kind = ? AND jobs.cloud > waiting.cloud)
        FROM waiting WHERE waiting.cloud IS NOT NULL
    ) SELECT cloud FROM waiting WHERE cloud IS NOT NULL";
/// Jobs of a kind and a cloud that may begin.
const CANDIDATES: &str = "SELECT id, priority, run_at FROM jobs
    WHERE state = 'waiting' AND kind = ? AND cloud = ? AND run_at <= ?
      AND (queue = '' OR NOT EXISTS (
          SELECT 1 FROM jobs AS earlier
          WHERE earlier.queue = jobs.queue AND earlier.queue <> '' AND earlier.state IN ('waiting', 'running')
            AND (earlier.created_at, earlier.id) < (jobs.created_at, jobs.id)))
    ORDER BY priority, run_at, id LIMIT ?";

/// The jobs that a claim takes, fewest running jobs of the cloud first. It locks nothing yet.
async fn choose(sql: &mut dyn Sql, claim: &Claim, wanted: usize) -> Result<Vec<String>> {
    let mut running: BTreeMap<String, i64> = BTreeMap::new();
    let count = "SELECT cloud, count(*) FROM jobs WHERE state = 'running' GROUP BY cloud";
    for row in sql.query(count, &[]).await? {
        running.insert(row.text(0)?, row.number(1)?);
    }
    let mut waiting: Vec<(i64, String, &JobKind)> = Vec::new();
    for kind in &claim.kinds {
        for row in sql.query(WAITING_CLOUDS, &[text(kind.as_str()), text(kind.as_str())]).await? {
            let cloud = row.text(0)?;
            waiting.push((running.get(&cloud).copied().unwrap_or(0), cloud, kind));
        }
    }
    waiting.sort();
    waiting.truncate(MAX_CLOUDS);
    // Of each cloud how many it has running, and what it may begin, best last.
    let mut shares: BTreeMap<String, (i64, Vec<Candidate>)> = BTreeMap::new();
    for (count, cloud, kind) in waiting {
        let limit = Value::Number(i64::try_from(wanted).unwrap_or(i64::MAX));
        let values = [text(kind.as_str()), text(cloud.as_str()), at(claim.now), limit];
        let (_, found) = shares.entry(cloud).or_insert((count, Vec::new()));
        for row in sql.query(CANDIDATES, &values).await? {
            found.push(Candidate { priority: row.number(1)?, run_at: row.number(2)?, id: row.text(0)? });
        }
    }
    shares.values_mut().for_each(|(_, found)| found.sort_by(|one, other| other.cmp(one)));
    let mut chosen = Vec::new();
    while chosen.len() < wanted {
        let next = shares.values_mut().filter(|(_, found)| !found.is_empty());
        let Some((running, found)) = next.min_by(|one, other| (one.0, one.1.last()).cmp(&(other.0, other.1.last())))
        else {
            break;
        };
        *running += 1;
        chosen.extend(found.pop().map(|candidate| candidate.id));
    }
    Ok(chosen)
}

async fn take(sql: &mut dyn Sql, claim: &Claim, chosen: &[String]) -> Result<Vec<Job>> {
    let update = format!(
        "UPDATE jobs SET state = 'running', lease = ?, lease_until = ?, attempts = attempts + 1
         WHERE id IN (SELECT id FROM jobs WHERE id IN ({}) AND state = 'waiting'{}) RETURNING {JOB_COLUMNS}",
        marks(chosen.len()),
        sql.dialect().skip_locked()
    );
    let mut values = vec![text(claim.lease.as_str()), at(claim.lease_until)];
    values.extend(chosen.iter().map(|id| text(id.as_str())));
    let mut jobs = sql.query_once(&update, &values).await?.iter().map(read_job).collect::<Result<Vec<_>>>()?;
    jobs.sort_by_key(|job| chosen.iter().position(|id| id == job.id.as_str()));
    Ok(jobs)
}

fn error_text(error: &str) -> String {
    error.chars().filter(|character| *character != '\0').take(MAX_ERROR_CHARS).collect()
}

impl Library {
    /// Adds jobs, in one transaction. Where a waiting or running job has the unique key of one, that job is the answer.
    pub async fn enqueue_jobs(&self, jobs: Vec<NewJob>, now: Timestamp) -> Result<Vec<Enqueued>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        self.write("enqueue jobs", move |sql| async move { enqueue(sql, &jobs, now).await }.boxed()).await
    }

    /// Takes jobs that are due, for as long as the lease holds. They are shared out so that clouds with fewer running
    /// jobs come first; within a cloud by priority, then by the time since when they are due.
    pub async fn claim_jobs(&self, claim: Claim) -> Result<Vec<Job>> {
        if claim.limit == 0 || claim.kinds.is_empty() {
            return Ok(Vec::new());
        }
        self.write("claim jobs", move |sql| {
            async move {
                let (limit, mut jobs) = (claim.limit as usize, Vec::new());
                for _ in 0..N_ROUNDS {
                    let chosen = choose(sql, &claim, limit - jobs.len()).await?;
                    if chosen.is_empty() {
                        break;
                    }
                    jobs.extend(take(sql, &claim, &chosen).await?);
                    if jobs.len() >= limit {
                        break;
                    }
                }
                Ok(jobs)
            }
            .boxed()
        })
        .await
    }

    /// Whether a job of these kinds is due. Cheaper than a claim, for it writes nothing.
    pub async fn job_is_due(&self, kinds: &[JobKind], now: Timestamp) -> Result<bool> {
        let query = "SELECT run_at FROM jobs WHERE state = 'waiting' AND kind = ? AND run_at <= ? LIMIT 1";
        Ok(self.first_time(kinds, query, now).await?.is_some())
    }

    /// When the next job of these kinds becomes due that is not due yet.
    pub async fn next_job_after(&self, kinds: &[JobKind], now: Timestamp) -> Result<Option<Timestamp>> {
        let query =
            "SELECT run_at FROM jobs WHERE state = 'waiting' AND kind = ? AND run_at > ? ORDER BY run_at LIMIT 1";
        self.first_time(kinds, query, now).await
    }

    /// The earliest of the times that a query finds, asked for each kind.
    async fn first_time(&self, kinds: &[JobKind], query: &'static str, now: Timestamp) -> Result<Option<Timestamp>> {
        let kinds = kinds.to_vec();
        self.read("look for jobs", move |sql| {
            async move {
                let mut first = None;
                for kind in &kinds {
                    let rows = sql.query(query, &[text(kind.as_str()), at(now)]).await?;
                    for row in &rows {
                        let found = row.number(0)?;
                        first = Some(first.map_or(found, |known: i64| known.min(found)));
                    }
                }
                Ok(first.map(Timestamp::from_unix_micros))
            }
            .boxed()
        })
        .await
    }

    /// Extends the leases of running jobs: those that are still held. The others were taken away.
    pub async fn extend_leases(&self, lease: &str, jobs: &[JobId], until: Timestamp) -> Result<Vec<JobId>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let (lease, jobs) = (lease.to_owned(), jobs.to_vec());
        self.write("extend leases", move |sql| {
            async move {
                let update = format!(
                    "UPDATE jobs SET lease_until = ? WHERE state = 'running' AND lease = ? AND id IN ({}) RETURNING id",
                    marks(jobs.len())
                );
                let mut values = vec![at(until), text(lease)];
                values.extend(ids_of(&jobs));
                let rows = sql.query_once(&update, &values).await?;
                rows.iter().map(|row| record::parsed("job id", &row.text(0)?)).collect()
            }
            .boxed()
        })
        .await
    }

    /// Records how far a running job is, from where another worker would go on. Progress makes earlier attempts forgotten.
    /// False when the lease is lost.
    pub async fn record_progress(&self, lease: &str, job: &JobId, progress: &Json) -> Result<bool> {
        let values = [
            Value::Text(record::text("the progress of a job", &progress.to_string())?),
            text(job.as_str()),
            text(lease),
        ];
        self.write("record progress", move |sql| {
            async move {
                let update =
                    "UPDATE jobs SET progress = ?, attempts = 1 WHERE id = ? AND lease = ? AND state = 'running'";
                Ok(sql.execute(update, &values).await? == 1)
            }
            .boxed()
        })
        .await
    }

    /// Ends a running job, and enqueues what follows from it in the same transaction. False when the lease is lost; then
    /// nothing is enqueued.
    pub async fn complete_job(
        &self,
        lease: &str,
        job: &JobId,
        report: &Json,
        then: Vec<NewJob>,
        now: Timestamp,
    ) -> Result<bool> {
        let report = if report.is_null() { String::new() } else { report.to_string() };
        let values =
            [Value::Text(record::text("the report of a job", &report)?), at(now), text(job.as_str()), text(lease)];
        self.write("complete a job", move |sql| {
            async move {
                let update = "UPDATE jobs SET state = 'done', progress = ?, error = '', finished_at = ?, lease = ''
                              WHERE id = ? AND lease = ? AND state = 'running'";
                if sql.execute(update, &values).await? == 0 {
                    return Ok(false);
                }
                enqueue(sql, &then, now).await?;
                Ok(true)
            }
            .boxed()
        })
        .await
    }

    /// Records the failure of a running job: it waits until `retry_at`, or is dead where that is `None` or its attempts are
    /// used up. `None` when the lease is lost.
    pub async fn fail_job(
        &self,
        lease: &str,
        job: &JobId,
        error: &str,
        retry_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<JobState>> {
        let (lease, job, error) = (lease.to_owned(), job.clone(), error_text(error));
        self.write("record the failure of a job", move |sql| {
            async move {
                let query = format!(
                    "SELECT attempts, max_attempts FROM jobs WHERE id = ? AND lease = ? AND state = 'running'{}",
                    sql.dialect().for_update()
                );
                let rows = sql.query(&query, &[text(job.as_str()), text(lease)]).await?;
                let Some(row) = rows.first() else { return Ok(None) };
                let retry_at = retry_at.filter(|_| row.number(0).ok() < row.number(1).ok());
                let state = if retry_at.is_some() { JobState::Waiting } else { JobState::Dead };
                let update =
                    "UPDATE jobs SET state = ?, error = ?, run_at = ?, finished_at = ?, lease = '' WHERE id = ?";
                let values = [
                    text(state.as_str()),
                    text(error),
                    at(retry_at.unwrap_or(now)),
                    at(if retry_at.is_some() { Timestamp::default() } else { now }),
                    text(job.as_str()),
                ];
                sql.execute(update, &values).await?;
                Ok(Some(state))
            }
            .boxed()
        })
        .await
    }

    /// Hands running jobs back, as if they had not been claimed.
    pub async fn release_jobs(&self, lease: &str, jobs: &[JobId]) -> Result<u64> {
        if jobs.is_empty() {
            return Ok(0);
        }
        let (lease, jobs) = (lease.to_owned(), jobs.to_vec());
        self.write("hand jobs back", move |sql| {
            async move {
                let update = format!(
                    "UPDATE jobs SET state = 'waiting', lease = '', attempts = attempts - 1
                     WHERE state = 'running' AND lease = ? AND id IN ({})",
                    marks(jobs.len())
                );
                let mut values = vec![text(lease)];
                values.extend(ids_of(&jobs));
                let count = sql.execute_once(&update, &values).await?;
                sql.tell(Channel::Jobs);
                Ok(count)
            }
            .boxed()
        })
        .await
    }

    /// Takes away jobs whose lease ran out: their worker is gone. The attempt counts, so that a job which ends its worker
    /// ends as dead.
    pub async fn reclaim_jobs(&self, now: Timestamp) -> Result<Reclaimed> {
        let expired = self
            .read("look for lost leases", move |sql| {
                async move {
                    let query = "SELECT 1 FROM jobs WHERE state = 'running' AND lease_until < ? LIMIT 1";
                    Ok(!sql.query(query, &[at(now)]).await?.is_empty())
                }
                .boxed()
            })
            .await?;
        if !expired {
            return Ok(Reclaimed::default());
        }
        self.write("take back lost jobs", move |sql| {
            async move {
                let dead = "UPDATE jobs SET state = 'dead', lease = '', finished_at = ?, error = 'its worker was lost'
                            WHERE state = 'running' AND lease_until < ? AND attempts >= max_attempts";
                let dead = sql.execute(dead, &[at(now), at(now)]).await?;
                let waiting = "UPDATE jobs SET state = 'waiting', lease = '', run_at = ?, error = 'its worker was lost'
                               WHERE state = 'running' AND lease_until < ?";
                let waiting = sql.execute(waiting, &[at(now), at(now)]).await?;
                sql.tell(Channel::Jobs);
                Ok(Reclaimed { waiting, dead })
            }
            .boxed()
        })
        .await
    }

    /// The job of an id within a cloud.
    pub async fn job(&self, cloud: &CloudId, id: &JobId) -> Result<Option<Job>> {
        let (cloud, id) = (cloud.clone(), id.clone());
        self.read("find a job", move |sql| {
            async move {
                let query = format!("SELECT {JOB_COLUMNS} FROM jobs WHERE id = ? AND cloud = ?");
                let rows = sql.query(&query, &[text(id.as_str()), text(cloud.as_str())]).await?;
                rows.first().map(read_job).transpose()
            }
            .boxed()
        })
        .await
    }
}
