//! What came of a load: counts, and percentiles of the latencies.

use serde::Serialize;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Answers with status 200 and a whole body.
    pub n_good: usize,
    /// Other answers, and connections that broke.
    pub n_failed: usize,
    /// Those of the failed ones that were answered with 503: the server said that it is busy.
    pub n_refused: usize,
    /// How long it took to say so.
    pub refused_p50_ms: f64,
    pub refused_p99_ms: f64,
    /// The first thing that went wrong.
    pub first_failure: Option<String>,
    pub duration_s: f64,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// How late the generator itself began its requests, which is part of their latencies; 0 in a closed loop, whose
    /// requests are never due.
    pub late_p99_ms: f64,
    /// Mean length of the good bodies.
    pub mean_bytes: f64,
}

impl Outcome {
    /// Requests that were begun.
    pub fn n_begun(&self) -> usize {
        self.n_good + self.n_failed
    }
}

/// One answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub status: u16,
    pub length: usize,
    /// Whether the server keeps the connection.
    pub keeps: bool,
}

/// What one connection saw, or all of them.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    latencies_ms: Vec<f64>,
    refused_ms: Vec<f64>,
    late_ms: Vec<f64>,
    bytes: u64,
    n_failed: usize,
    first_failure: Option<String>,
}

impl Seen {
    pub fn add(&mut self, seen: Result<Seen, tokio::task::JoinError>) {
        match seen {
            Ok(seen) => {
                self.latencies_ms.extend(seen.latencies_ms);
                self.refused_ms.extend(seen.refused_ms);
                self.late_ms.extend(seen.late_ms);
                self.bytes += seen.bytes;
                self.n_failed += seen.n_failed;
                self.first_failure = self.first_failure.take().or(seen.first_failure);
            }
            Err(error) => self.fail(error.to_string()),
        }
    }

    pub fn fail(&mut self, why: String) {
        self.n_failed += 1;
        self.first_failure.get_or_insert(why);
    }

    pub fn began_late(&mut self, late_ms: f64) {
        self.late_ms.push(late_ms);
    }

    pub fn answered(&mut self, answer: &Answer, path: &str, took_ms: f64) {
        if answer.status == 200 {
            self.latencies_ms.push(took_ms);
            self.bytes += answer.length as u64;
            return;
        }
        if answer.status == 503 {
            self.refused_ms.push(took_ms);
        }
        self.fail(format!("status {} for {path}", answer.status));
    }

    pub fn outcome(mut self, duration_s: f64) -> Outcome {
        for values in [&mut self.latencies_ms, &mut self.refused_ms, &mut self.late_ms] {
            values.sort_by(f64::total_cmp);
        }
        let n_good = self.latencies_ms.len();
        Outcome {
            n_good,
            n_failed: self.n_failed,
            n_refused: self.refused_ms.len(),
            refused_p50_ms: percentile(&self.refused_ms, 0.50),
            refused_p99_ms: percentile(&self.refused_ms, 0.99),
            first_failure: self.first_failure,
            duration_s,
            per_second: n_good as f64 / duration_s,
            p50_ms: percentile(&self.latencies_ms, 0.50),
            p90_ms: percentile(&self.latencies_ms, 0.90),
            p99_ms: percentile(&self.latencies_ms, 0.99),
            max_ms: percentile(&self.latencies_ms, 1.0),
            late_p99_ms: percentile(&self.late_ms, 0.99),
            mean_bytes: if n_good == 0 { 0.0 } else { self.bytes as f64 / n_good as f64 },
        }
    }
}

/// The least value that a share of the sorted values does not exceed; 0 of nothing.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let at = |share| percentile(&values, share);
        assert_eq!([at(0.0), at(0.5), at(0.9), at(0.99), at(1.0)], [1.0, 50.0, 90.0, 99.0, 100.0]);
        assert_eq!(percentile(&[], 0.5), 0.0);
        assert_eq!(percentile(&[3.0], 0.01), 3.0);
        // Of few values the highest is the last percentile.
        assert_eq!(percentile(&[1.0, 2.0, 9.0], 0.99), 9.0);
    }

    #[test]
    fn an_outcome_counts_answers_by_what_they_are() {
        let answer = |status| Answer { status, length: 10, keeps: true };
        let mut all = Seen::default();
        for took_ms in [5.0, 1.0, 3.0] {
            let mut seen = Seen::default();
            seen.began_late(took_ms / 10.0);
            seen.answered(&answer(200), "/", took_ms);
            all.add(Ok(seen));
        }
        all.answered(&answer(503), "/busy", 2.0);
        all.answered(&answer(404), "/missing", 2.0);
        let outcome = all.outcome(2.0);
        assert_eq!((outcome.n_good, outcome.n_failed, outcome.n_refused, outcome.n_begun()), (3, 2, 1, 5));
        assert_eq!((outcome.p50_ms, outcome.p90_ms, outcome.p99_ms, outcome.max_ms), (3.0, 5.0, 5.0, 5.0));
        assert_eq!((outcome.late_p99_ms, outcome.per_second, outcome.mean_bytes), (0.5, 1.5, 10.0));
        assert_eq!(outcome.first_failure.as_deref(), Some("status 503 for /busy"));
    }
}
