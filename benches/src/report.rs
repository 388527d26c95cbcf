//! What a run found, for people and for programs.

use crate::kernels::KernelRow;
use crate::library::LibraryRow;
use crate::load::Outcome;
use crate::measure::Summary;
use crate::served::ServerRow;
use crate::stress::{EagerRow, OverloadRow};
use crate::table::Table;
use serde::Serialize;

/// The machine that was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    pub cpu: String,
    pub n_cores: usize,
    pub memory_bytes: u64,
    pub system: String,
    /// Backends with the names of their adapters.
    pub backends: Vec<String>,
}

impl Host {
    /// Reads what the system tells; what it does not tell is "unknown" or 0.
    pub fn detect(backends: Vec<String>) -> Host {
        let line_of = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            line.map(|rest| rest.trim_matches([' ', '\t', ':', '=', '"']).to_owned())
        };
        let kilobytes = line_of("/proc/meminfo", "MemTotal:").unwrap_or_default();
        Host {
            cpu: line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
            n_cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: kilobytes.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0_u64) * 1024,
            system: line_of("/etc/os-release", "PRETTY_NAME").unwrap_or_else(|| std::env::consts::OS.into()),
            backends,
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`]
    pub schema: u32,
    pub version: &'static str,
    /// Of the source that the program was built from, or `unknown`.
    pub commit: &'static str,
    pub host: Host,
    pub rounds: usize,
    pub load_s: f64,
    /// What a plain copy reads and writes a second; 0 where it was not measured.
    pub copy_bytes_per_second: f64,
    pub kernels: Vec<KernelRow>,
    pub library: Vec<LibraryRow>,
    pub servers: Vec<ServerRow>,
    pub overload: Option<OverloadRow>,
    pub eager: Option<EagerRow>,
}

/// Changes whenever a field of the JSON changes its name or its meaning.
pub const SCHEMA: u32 = 2;

impl Report {
    /// Tables as Markdown.
    pub fn to_text(&self) -> String {
        let host = &self.host;
        let mut text = format!(
            "{} x {}, {:.1} GiB, {}; {}; {} interleaved rounds, median (least-most)\n",
            host.n_cores,
            host.cpu,
            host.memory_bytes as f64 / f64::from(1 << 30),
            host.system,
            host.backends.join("; "),
            self.rounds
        );
        if !self.kernels.is_empty() {
            let copied = self.copy_bytes_per_second / 1e9;
            text += &format!("\nKernels; a copy moves {copied:.1} GB a second here\n\n");
            text += &self.kernel_table().to_text();
        }
        if !self.library.is_empty() {
            text += "\nLibrary calls, milliseconds; the ratio is CPU time against the first line of the workload\n\n";
            text += &self.library_table().to_text();
        }
        if !self.servers.is_empty() {
            text += "\nOver HTTP\n\n";
            text += &self.server_table().to_text();
        }
        if self.overload.is_some() || self.eager.is_some() {
            text += "\nToo much at once\n\n";
            text += &self.stress_text();
        }
        for row in self.servers.iter().filter(|row| row.n_failed > 0) {
            let why = row.first_failure.as_deref().unwrap_or("unknown");
            text += &format!("\n{} {} {}: first failure: {why}\n", row.workload, row.profile, row.renderer);
        }
        text
    }

    pub(crate) fn library_text(&self) -> String {
        self.library_table().to_text()
    }

    pub(crate) fn server_text(&self) -> String {
        self.server_table().to_text()
    }

    fn kernel_table(&self) -> Table {
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
            notes += &format!(
                "\nOverload: capacity {:.1}/s, {:.0} s of ten times that; peak {} MB; misses as quick as before {recovered}.\n",
                row.capacity_per_second,
                row.duration_s,
                megabytes(row.peak_bytes)
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

    fn library_table(&self) -> Table {
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

    fn server_table(&self) -> Table {
        let mut table = Table::new(&[
            "workload",
            "profile",
            "renderer",
            "requests/s",
            "spread",
            "p50 ms",
            "p99 ms",
            "CPU ms",
            "peak MB",
            "bytes",
            "failed",
        ]);
        for row in &self.servers {
            table.row(vec![
                row.workload.into(),
                row.profile.into(),
                row.renderer.clone(),
                format!("{:.1}", row.per_second.median),
                spread(&row.per_second, 1),
                format!("{:.2}", row.p50_ms.median),
                format!("{:.2}", row.p99_ms.median),
                format!("{:.3}", row.cpu_ms.median),
                megabytes(row.peak_bytes),
                format!("{:.0}", row.mean_bytes),
                row.n_failed.to_string(),
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
