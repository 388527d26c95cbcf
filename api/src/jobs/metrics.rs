//! Counters of jobs, in the format of Prometheus.

use super::clock::{Clock, between};
use crate::catalog::library::JobCounts;
use crate::domain::JobKind;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What became of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunOutcome {
    Done,
    /// It will be tried again.
    Failed,
    Dead,
    /// It panicked; it counts as failed or dead too.
    Panicked,
    /// Another worker had the job by then.
    Lost,
}

impl RunOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            RunOutcome::Done => "done",
            RunOutcome::Failed => "failed",
            RunOutcome::Dead => "dead",
            RunOutcome::Panicked => "panicked",
            RunOutcome::Lost => "lost",
        }
    }
}

/// Counters of one process, and the state of the queue when it was last looked at.
pub struct JobMetrics {
    clock: Clock,
    runs: Mutex<BTreeMap<(JobKind, RunOutcome), u64>>,
    counts: Mutex<JobCounts>,
}

impl JobMetrics {
    pub fn new(clock: Clock) -> Self {
        JobMetrics { clock, runs: Mutex::default(), counts: Mutex::default() }
    }

    pub fn count(&self, kind: &JobKind, outcome: RunOutcome) {
        *self.runs.lock().entry((kind.clone(), outcome)).or_default() += 1;
    }

    /// Runs of a kind with an outcome since the start.
    pub fn runs(&self, kind: &JobKind, outcome: RunOutcome) -> u64 {
        self.runs.lock().get(&(kind.clone(), outcome)).copied().unwrap_or(0)
    }

    pub fn set_counts(&self, counts: JobCounts) {
        *self.counts.lock() = counts;
    }

    /// Webhooks are runs of the kind `webhook`: `done` was delivered, `failed` will be sent again, `dead` was given up.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let counts = self.counts.lock().clone();
        // Writing to a text cannot fail.
        let _ = writeln!(text, "# HELP tintype_jobs Jobs in the catalog.\n# TYPE tintype_jobs gauge");
        for (state, kind, count) in &counts.counts {
            let _ = writeln!(text, "tintype_jobs{{state=\"{}\",kind=\"{}\"}} {count}", state.as_str(), label(kind));
        }
        let age = counts.oldest_due.map_or(0.0, |due| between(due, self.clock.now()).as_secs_f64());
        let _ = writeln!(
            text,
            "# HELP tintype_job_oldest_waiting_seconds For how long the oldest waiting job has been due.\n\
             # TYPE tintype_job_oldest_waiting_seconds gauge\ntintype_job_oldest_waiting_seconds {age}"
        );
        let _ = writeln!(
            text,
            "# HELP tintype_job_runs_total Runs of jobs in this process.\n# TYPE tintype_job_runs_total counter"
        );
        for ((kind, outcome), count) in self.runs.lock().iter() {
            let _ = writeln!(
                text,
                "tintype_job_runs_total{{kind=\"{}\",outcome=\"{}\"}} {count}",
                label(kind),
                outcome.as_str()
            );
        }
        text
    }
}

fn label(kind: &JobKind) -> String {
    kind.as_str().chars().filter(|character| character.is_ascii_alphanumeric() || *character == '_').collect()
}
