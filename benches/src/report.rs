//! What a run found, for people and for programs.

use crate::library::LibraryRow;
use crate::measure::Summary;
use crate::served::ServerRow;
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
    pub host: Host,
    pub rounds: usize,
    pub library: Vec<LibraryRow>,
    pub servers: Vec<ServerRow>,
}

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
        if !self.library.is_empty() {
            text += "\nLibrary calls, milliseconds; the ratio is CPU time against the first line of the workload\n\n";
            text += &self.library_table().to_text();
        }
        if !self.servers.is_empty() {
            text += "\nOver HTTP\n\n";
            text += &self.server_table().to_text();
        }
        for row in self.servers.iter().filter(|row| row.n_failed > 0) {
            let why = row.first_failure.as_deref().unwrap_or("unknown");
            text += &format!("\n{} {} {}: first failure: {why}\n", row.workload, row.profile, row.renderer);
        }
        text
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
