//! Jobs as people see them: lists, counts, retrying and dropping by hand, and forgetting what is old.

use futures::FutureExt;

use super::{
    super::{
        Result,
        record::{self, Columns, Value},
        sql::{Channel, marks, text},
    },
    Library,
    jobs::{JOB_COLUMNS, at, ids_of, read_job},
};
use crate::domain::{CloudId, Job, JobId, JobKind, JobState, Timestamp};

/// Which jobs are meant; `None` and an empty list leave the choice open.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobFilter {
    pub states: Vec<JobState>,
    pub cloud: Option<CloudId>,
    pub kind: Option<JobKind>,
    pub ids: Vec<JobId>,
}

/// Where a list of jobs goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobCursor {
    pub created_at: Timestamp,
    pub id: JobId,
}

/// One page of jobs, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPage {
    pub jobs: Vec<Job>,
    /// `None` on the last page.
    pub next: Option<JobCursor>,
}

/// How many jobs there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// By state and kind, only where there are any.
    pub counts: Vec<(JobState, JobKind, u64)>,
    /// Since when the longest waiting job is due.
    pub oldest_due: Option<Timestamp>,
}

/// How long finished jobs are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Retention {
    /// Done jobs that ended before this point are forgotten.
    pub done_before: Timestamp,
    /// Except those of these kinds, whose reports people read.
    pub reports: Vec<JobKind>,
    /// Dead jobs, and reports, that ended before this point are forgotten.
    pub all_before: Timestamp,
}

impl JobFilter {
    fn condition(&self) -> (String, Vec<Value>) {
        let (mut sql, mut values) = ("1 = 1".to_owned(), Vec::new());
        let mut also = |condition: String, more: Vec<Value>| {
            sql.push_str(" AND ");
            sql.push_str(&condition);
            values.extend(more);
        };
        if !self.states.is_empty() {
            let states = self.states.iter().map(|state| text(state.as_str())).collect();
            also(format!("state IN ({})", marks(self.states.len())), states);
        }
        if let Some(cloud) = &self.cloud {
            also("cloud = ?".to_owned(), vec![text(cloud.as_str())]);
        }
        if let Some(kind) = &self.kind {
            also("kind = ?".to_owned(), vec![text(kind.as_str())]);
        }
        if !self.ids.is_empty() {
            also(format!("id IN ({})", marks(self.ids.len())), ids_of(&self.ids));
        }
        (sql, values)
    }
}

impl Library {
    /// At most `limit` jobs, newest first.
    pub async fn jobs(&self, filter: &JobFilter, limit: u32, after: Option<JobCursor>) -> Result<JobPage> {
        let (mut condition, mut values) = filter.condition();
        if let Some(cursor) = &after {
            condition.push_str(" AND (created_at, id) < (?, ?)");
            values.extend([at(cursor.created_at), text(cursor.id.as_str())]);
        }
        values.push(Value::Number(i64::from(limit) + 1));
        self.read("list jobs", move |sql| {
            async move {
                let query = format!(
                    "SELECT {JOB_COLUMNS} FROM jobs WHERE {condition} ORDER BY created_at DESC, id DESC LIMIT ?"
                );
                let rows = sql.query_once(&query, &values).await?;
                let mut jobs = rows.iter().map(read_job).collect::<Result<Vec<_>>>()?;
                let more = jobs.len() > limit as usize;
                jobs.truncate(limit as usize);
                let last = jobs.last().map(|job| JobCursor { created_at: job.created_at, id: job.id.clone() });
                Ok(JobPage { next: last.filter(|_| more), jobs })
            }
            .boxed()
        })
        .await
    }

    /// Makes dead jobs wait again, from now on and with all their attempts: how many. One whose unique key another job
    /// has taken over stays dead.
    pub async fn retry_jobs(&self, filter: &JobFilter, now: Timestamp) -> Result<u64> {
        let filter = JobFilter { states: vec![JobState::Dead], ..filter.clone() };
        self.write("retry jobs", move |sql| {
            async move {
                let (condition, values) = filter.condition();
                let query = format!(
                    "SELECT id FROM jobs WHERE {condition} ORDER BY created_at, id{}",
                    sql.dialect().for_update()
                );
                let mut count = 0;
                for row in sql.query_once(&query, &values).await? {
                    let update = "UPDATE jobs SET state = 'waiting', attempts = 0, run_at = ?, finished_at = 0
                                  WHERE id = ? AND (unique_key = '' OR NOT EXISTS (
                                      SELECT 1 FROM jobs AS other WHERE other.unique_key = jobs.unique_key
                                        AND other.unique_key <> '' AND other.state IN ('waiting', 'running')))";
                    count += sql.execute(update, &[at(now), text(row.text(0)?)]).await?;
                }
                sql.tell(Channel::Jobs);
                Ok(count)
            }
            .boxed()
        })
        .await
    }

    /// Forgets jobs: how many. The worker of a running one finds out at its next heartbeat and stops.
    pub async fn drop_jobs(&self, filter: &JobFilter) -> Result<u64> {
        let (condition, values) = filter.condition();
        self.write("drop jobs", move |sql| {
            async move { sql.execute_once(&format!("DELETE FROM jobs WHERE {condition}"), &values).await }.boxed()
        })
        .await
    }

    /// How many jobs there are by state and kind, and since when the oldest waiting one is due.
    pub async fn count_jobs(&self) -> Result<JobCounts> {
        self.read("count jobs", move |sql| {
            async move {
                let mut counts = JobCounts::default();
                let query =
                    "SELECT state, kind, count(*), min(run_at) FROM jobs GROUP BY state, kind ORDER BY state, kind";
                for row in sql.query(query, &[]).await? {
                    let state: JobState = record::parsed("job state", &row.text(0)?)?;
                    let count = record::unsigned("a count", row.number(2)?)?;
                    let first = Timestamp::from_unix_micros(row.number(3)?);
                    if state == JobState::Waiting && counts.oldest_due.is_none_or(|known| first < known) {
                        counts.oldest_due = Some(first);
                    }
                    counts.counts.push((state, JobKind::any(row.text(1)?), count));
                }
                Ok(counts)
            }
            .boxed()
        })
        .await
    }

    /// Forgets at most `limit` finished jobs that are older than they are kept: how many.
    pub async fn prune_jobs(&self, retention: &Retention, limit: u32) -> Result<u64> {
        let Retention { done_before, reports, all_before } = retention.clone();
        self.write("forget old jobs", move |sql| {
            async move {
                let kinds = if reports.is_empty() {
                    String::new()
                } else {
                    format!(" AND kind NOT IN ({})", marks(reports.len()))
                };
                let delete = format!(
                    "DELETE FROM jobs WHERE id IN (
                         SELECT id FROM jobs WHERE (state = 'done' AND finished_at < ?{kinds})
                            OR (state IN ('done', 'dead') AND finished_at < ?) LIMIT ?)"
                );
                let mut values = vec![at(done_before)];
                values.extend(reports.iter().map(|kind| text(kind.as_str())));
                values.extend([at(all_before), Value::Number(limit.into())]);
                sql.execute(&delete, &values).await
            }
            .boxed()
        })
        .await
    }
}
