//! The report's tables.

use crate::load::Outcome;
use crate::measure::Summary;
use crate::report::Report;
use crate::served::STATES;
use crate::table::Table;

/// What stands above the table of open loops.
pub(crate) const OPEN_TITLE: &str = "Open loops: requests come at a steady part of what the closed loop of the same round \
    reached, and latencies count from when a request was due";
/// What stands above the table of states.
pub(crate) const STATES_TITLE: &str = "Cold, stored and warm pictures, one request after the other";

/// What the states are, and what is not controlled.
pub(crate) fn state_notes() -> String {
    let states: Vec<String> = STATES.iter().map(|(state, what)| format!("{state}: {what}")).collect();
    format!("{}. The system's page cache is not controlled: files are in memory whenever it likes.", states.join("; "))
}

impl Report {
    pub(crate) fn memory_text(&self) -> String {
        let memory = &self.memory;
        format!(
            "Memory: a copy moves {:.1} GB a second with one thread, {:.1} with one for every core",
            memory.copy_bytes_per_second / 1e9,
            memory.all_cores_bytes_per_second / 1e9
        )
    }

    pub(crate) fn adapter_table(&self) -> Table {
        let mut table = Table::new(&["adapter", "kind", "driver", "upload MB/s", "readback MB/s", "us a batch"]);
        let rate = |rate: Option<f64>| rate.map_or_else(|| "-".into(), |rate| format!("{:.0}", rate / 1e6));
        for row in &self.adapters {
            table.row(vec![
                row.name.clone(),
                row.kind.to_string(),
                row.driver.clone(),
                rate(row.upload_bytes_per_second),
                rate(row.readback_bytes_per_second),
                format!("{:.0}", row.batch_us),
            ]);
        }
        table
    }

    pub(crate) fn rate_table(&self) -> Table {
        let mut table = Table::new(&["adapter", "kernel", "device", "one CPU thread", "device over thread"]);
        for (adapter, row) in self.adapters.iter().flat_map(|row| row.kernels.iter().map(move |rate| (row, rate))) {
            table.row(vec![
                adapter.name.clone(),
                row.kernel.into(),
                format!("{:.0}", row.device_per_second / 1e6),
                format!("{:.0}", row.cpu_thread_per_second / 1e6),
                format!("{:.2}", row.device_per_second / row.cpu_thread_per_second.max(1e-9)),
            ]);
        }
        table
    }

    pub(crate) fn batch_table(&self) -> Table {
        let mut table = Table::new(&[
            "workload",
            "profile",
            "adapter",
            "originals",
            "a second",
            "spread",
            "expected",
            "of it",
            "submissions",
            "dispatches",
            "at most",
            "bytes/least",
            "host ms",
            "overlapped",
            "waiting ms",
        ]);
        let or_dash =
            |value: Option<f64>, digits: usize| value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}"));
        for row in &self.batches {
            table.row(vec![
                row.workload.into(),
                row.profile.into(),
                row.adapter.clone(),
                row.n_originals.to_string(),
                format!("{:.1}", row.per_second.median),
                spread(&row.per_second, 1),
                or_dash(row.expected_per_second, 0),
                or_dash(row.of_expected, 2),
                row.submissions.to_string(),
                row.dispatches.to_string(),
                row.dispatches_at_most.to_string(),
                format!("{:.3}", row.bytes_of_least),
                format!("{:.2}", row.host_ms),
                format!("{:.0} %", row.overlapped * 100.0),
                format!("{:.2}", row.waiting_ms),
            ]);
        }
        table
    }

    pub(crate) fn kernel_table(&self) -> Table {
        let mut table = Table::new(&["kernel", "backend", "side", "ms", "spread", "GB/s", "of a copy, %"]);
        for row in &self.kernels {
            table.row(vec![
                row.kernel.into(),
                row.backend.clone(),
                row.side.to_string(),
                format!("{:.3}", row.ms.median),
                spread(&row.ms, 3),
                format!("{:.2}", row.bytes_per_second / 1e9),
                format!("{:.1}", row.bandwidth_share * 100.0),
            ]);
        }
        table
    }

    pub(crate) fn server_table(&self) -> Table {
        let mut table = Table::new(&[
            "workload",
            "profile",
            "renderer",
            "originals",
            "requests/s",
            "spread",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "max ms",
            "CPU ms",
            "peak MB",
            "shared decodes",
            "bytes",
            "SSIMULACRA2",
            "least",
            "failed",
        ]);
        for row in &self.servers {
            let score = |read: fn(&Summary) -> f64| {
                row.answers.ssimulacra2.as_ref().map_or_else(|| "-".into(), |score| format!("{:.2}", read(score)))
            };
            table.row(vec![
                row.workload.into(),
                row.profile.into(),
                row.renderer.clone(),
                row.n_originals.to_string(),
                format!("{:.1}", row.per_second.median),
                spread(&row.per_second, 1),
                format!("{:.2}", row.latency.p50_ms.median),
                format!("{:.2}", row.latency.p90_ms.median),
                format!("{:.2}", row.latency.p99_ms.median),
                format!("{:.2}", row.latency.max_ms.median),
                format!("{:.3}", row.cpu_ms.median),
                megabytes(row.peak_bytes),
                format!("{:.0} %", row.shared_decodes * 100.0),
                format!("{:.0}", row.answers.bytes.median),
                score(|score| score.median),
                score(|score| score.low),
                row.n_failed.to_string(),
            ]);
        }
        table
    }

    pub(crate) fn open_table(&self) -> Table {
        let mut table = Table::new(&[
            "workload",
            "profile",
            "renderer",
            "of capacity",
            "offered/s",
            "answered/s",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "spread",
            "max ms",
            "generator late p99 ms",
            "failed",
        ]);
        for (server, row) in self.servers.iter().flat_map(|server| server.open.iter().map(move |row| (server, row))) {
            table.row(vec![
                server.workload.into(),
                server.profile.into(),
                server.renderer.clone(),
                format!("{:.0} %", row.share * 100.0),
                format!("{:.1}", row.offered_per_second.median),
                format!("{:.1}", row.per_second.median),
                format!("{:.2}", row.latency.p50_ms.median),
                format!("{:.2}", row.latency.p90_ms.median),
                format!("{:.2}", row.latency.p99_ms.median),
                spread(&row.latency.p99_ms, 2),
                format!("{:.2}", row.latency.max_ms.median),
                format!("{:.2}", row.late_p99_ms.median),
                row.n_failed.to_string(),
            ]);
        }
        table
    }

    pub(crate) fn state_table(&self) -> Table {
        let mut table = Table::new(&[
            "workload",
            "profile",
            "renderer",
            "state",
            "requests",
            "p50 ms",
            "spread",
            "p90 ms",
            "p99 ms",
            "max ms",
            "rendered again",
            "failed",
        ]);
        for (server, row) in self.servers.iter().flat_map(|server| server.states.iter().map(move |row| (server, row))) {
            table.row(vec![
                server.workload.into(),
                server.profile.into(),
                server.renderer.clone(),
                row.state.into(),
                row.n_requests.to_string(),
                format!("{:.2}", row.latency.p50_ms.median),
                spread(&row.latency.p50_ms, 2),
                format!("{:.2}", row.latency.p90_ms.median),
                format!("{:.2}", row.latency.p99_ms.median),
                format!("{:.2}", row.latency.max_ms.median),
                row.n_rendered_again.to_string(),
                row.n_failed.to_string(),
            ]);
        }
        table
    }

    /// Overload and eager work, a line a kind of request.
    pub(crate) fn stress_text(&self) -> String {
        let head =
            ["load", "requests", "offered/s", "200", "503", "other", "p50 ms", "p99 ms", "503 p50 ms", "503 p99 ms"];
        let mut table = Table::new(&head);
        let mut add = |load: &str, what: &str, offered: f64, outcome: &Outcome| {
            table.row(vec![
                load.into(),
                what.into(),
                format!("{offered:.0}"),
                outcome.n_good.to_string(),
                outcome.n_refused.to_string(),
                outcome.n_failed.saturating_sub(outcome.n_refused).to_string(),
                format!("{:.1}", outcome.p50_ms),
                format!("{:.1}", outcome.p99_ms),
                format!("{:.1}", outcome.refused_p50_ms),
                format!("{:.1}", outcome.refused_p99_ms),
            ]);
        };
        let mut notes = String::new();
        if let Some(row) = &self.overload {
            add("overload", "misses", row.offered_per_second, &row.misses);
            add("overload", "cache hits", row.offered_per_second / 10.0, &row.hits);
            add("overload", "/live", 20.0, &row.live);
            let recovered = row.recovery_s.map_or_else(|| "never".into(), |time| format!("after {time:.2} s"));
            let served = row.served_s.map_or_else(|| "never".into(), |time| format!("after {time:.2} s"));
            notes += &format!(
                "\nOverload: capacity {:.1}/s, {:.0} s of ten times that; peak {} MB. After its end the queue was empty after \
                 {:.2} s, a new miss was served {served}, and misses were as quick as before {recovered}. The generator began \
                 99 % of the misses within {:.1} ms of when they were due, which their latencies hold.\n",
                row.capacity_per_second,
                row.duration_s,
                megabytes(row.peak_bytes),
                row.drained_s,
                row.misses.late_p99_ms
            );
        }
        if let Some(row) = &self.eager {
            add("eager", "interactive alone", row.offered_per_second, &row.alone);
            add("eager", "interactive beside eager", row.offered_per_second, &row.beside_eager);
            notes += &format!(
                "\nEager: p99 is {:.2} times that without; {} jobs of ten pictures were done; peak {} MB.\n",
                row.p99_ratio,
                row.n_eager_jobs,
                megabytes(row.peak_bytes)
            );
        }
        table.to_text() + &notes
    }

    /// Uploads, lists and searches, a line a pair of stores.
    pub(crate) fn assets_table(&self) -> Table {
        let mut table = Table::new(&[
            "stores",
            "uploads",
            "failed",
            "file bytes",
            "uploads/s",
            "p50",
            "p99",
            "CPU ms",
            "MB early",
            "MB late",
            "MB peak",
            "list p50",
            "list p99",
            "search p50",
            "search p99",
            "details p50",
            "details p99",
        ]);
        for row in &self.assets {
            let ms = |value: f64| format!("{value:.2}");
            table.row(vec![
                row.stores.clone(),
                row.n_uploads.to_string(),
                row.n_failed.to_string(),
                row.file_bytes.to_string(),
                format!("{:.1}", row.uploads_per_second),
                ms(row.upload.p50_ms),
                ms(row.upload.p99_ms),
                ms(row.cpu_ms),
                megabytes(row.early_bytes),
                megabytes(row.late_bytes),
                megabytes(row.peak_bytes),
                ms(row.list.p50_ms),
                ms(row.list.p99_ms),
                ms(row.search.p50_ms),
                ms(row.search.p99_ms),
                ms(row.details.p50_ms),
                ms(row.details.p99_ms),
            ]);
        }
        table
    }

    pub(crate) fn library_table(&self) -> Table {
        let mut table = Table::new(&[
            "workload",
            "profile",
            "backend",
            "CPU ms",
            "spread",
            "ratio",
            "wall ms",
            "decode",
            "render",
            "encode",
            "bytes",
            "SSIMULACRA2",
            "peak MB",
        ]);
        for row in &self.library {
            table.row(vec![
                row.workload.into(),
                row.profile.into(),
                row.backend.clone(),
                format!("{:.2}", row.cpu_ms.median),
                spread(&row.cpu_ms, 2),
                format!("{:.2}", row.cpu_ratio.median),
                format!("{:.2}", row.wall_ms.median),
                format!("{:.2}", row.decode_ms.median),
                format!("{:.2}", row.render_ms.median),
                format!("{:.2}", row.encode_ms.median),
                row.bytes.to_string(),
                row.ssimulacra2.map_or_else(|| "-".into(), |score| format!("{score:.2}")),
                megabytes(row.peak_extra_bytes),
            ]);
        }
        table
    }
}

fn spread(summary: &Summary, digits: usize) -> String {
    format!("{:.digits$}-{:.digits$}", summary.low, summary.high)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}
