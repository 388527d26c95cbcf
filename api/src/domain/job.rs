//! Work that outlives the call which asked for it.

use std::{borrow::Cow, fmt, str::FromStr};

use super::{CloudId, InvalidValue, JobId, Timestamp};

/// What a job does. Programs of another version may know other kinds, so that a stored kind is any text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKind(Cow<'static, str>);

impl JobKind {
    /// A kind that this program knows.
    pub const fn known(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// A kind from outside, known or not.
    pub fn any(name: impl Into<String>) -> Self {
        Self(Cow::Owned(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobState {
    Waiting,
    /// A worker holds a lease on it.
    Running,
    Done,
    /// It failed for good, and waits for a person.
    Dead,
}

impl JobState {
    pub const ALL: [JobState; 4] = [JobState::Waiting, JobState::Running, JobState::Done, JobState::Dead];

    pub const fn as_str(self) -> &'static str {
        match self {
            JobState::Waiting => "waiting",
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Dead => "dead",
        }
    }
}

impl FromStr for JobState {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let found = JobState::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or(InvalidValue::new("job state", "it must be waiting, running, done or dead"))
    }
}

/// A job that is to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    pub id: JobId,
    pub cloud: CloudId,
    pub kind: JobKind,
    /// At most one waiting or running job has a key; empty for those without.
    pub unique_key: String,
    /// Jobs of one queue are done one after the other, in the order in which they came; empty for those without.
    pub queue: String,
    /// A JSON object that the kind defines.
    pub payload: serde_json::Value,
    /// Lower goes first, among the jobs of one cloud.
    pub priority: i64,
    pub run_at: Timestamp,
    /// Claims after which it is dead.
    pub max_attempts: u32,
}

impl NewJob {
    /// A job that may begin at once, with 5 attempts.
    pub fn new(cloud: CloudId, kind: JobKind, payload: serde_json::Value, now: Timestamp) -> Self {
        NewJob {
            id: JobId::random(),
            cloud,
            kind,
            unique_key: String::new(),
            queue: String::new(),
            payload,
            priority: 0,
            run_at: now,
            max_attempts: 5,
        }
    }
}

/// A job as it is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: JobId,
    pub cloud: CloudId,
    pub kind: JobKind,
    pub unique_key: String,
    pub queue: String,
    pub payload: serde_json::Value,
    pub state: JobState,
    pub priority: i64,
    pub run_at: Timestamp,
    /// How often it was claimed since it was enqueued, last retried by hand, or last made progress.
    pub attempts: u32,
    pub max_attempts: u32,
    pub lease_until: Timestamp,
    /// What its kind reports; null before it reported anything.
    pub progress: serde_json::Value,
    /// Why it failed last; empty when it did not.
    pub error: String,
    pub created_at: Timestamp,
    /// When it became done or dead.
    pub finished_at: Option<Timestamp>,
}

impl Job {
    /// Whether a failure of the present attempt is the last one.
    pub fn is_last_attempt(&self) -> bool {
        self.attempts >= self.max_attempts
    }
}
