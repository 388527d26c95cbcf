//! What a run found, for people and for programs.

use crate::assets::AssetsRow;
use crate::devices::{AdapterRow, BatchRow};
use crate::kernels::{KernelRow, MemoryBandwidth};
use crate::library::LibraryRow;
use crate::served::ServerRow;
use crate::stress::{EagerRow, OverloadRow};
use crate::tables::{OPEN_TITLE, STATES_TITLE, state_notes};
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
    pub memory: MemoryBandwidth,
    pub adapters: Vec<AdapterRow>,
    /// Why rows have no figure of the paper model, where they have none.
    pub no_expectation: Option<String>,
    pub kernels: Vec<KernelRow>,
    /// Workloads as batches on devices; decoding and encoding are not in them.
    pub batches: Vec<BatchRow>,
    pub library: Vec<LibraryRow>,
    pub servers: Vec<ServerRow>,
    pub overload: Option<OverloadRow>,
    pub eager: Option<EagerRow>,
    pub assets: Vec<AssetsRow>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// Changes whenever a field of the JSON changes its name or its meaning.
pub const SCHEMA: u32 = 4;

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
        text += &format!("{}\n", self.memory_text());
        if !self.adapters.is_empty() {
            text += "\nAdapters, as calibration at the start measures them\n\n";
            text += &self.adapter_table().to_text();
            text += "\nKernels by the same measurement, in millions a second: multiplications of a pixel for resampling, pixels for \
                all others\n\n";
            text += &self.rate_table().to_text();
        }
        if !self.kernels.is_empty() {
            text += "\nKernels\n\n";
            text += &self.kernel_table().to_text();
        }
        if !self.batches.is_empty() {
            text += "\nBatches on devices: upload, kernels and readback, without decoding and encoding\n\n";
            text += &self.batch_table().to_text();
        }
        if let Some(why) = self.no_expectation.as_ref().filter(|_| !self.library.is_empty()) {
            text += &format!("\nMeasured over expected: {why}\n");
        }
        if !self.library.is_empty() {
            text += "\nLibrary calls, milliseconds; the ratio is CPU time against the first line of the workload\n\n";
            text += &self.library_table().to_text();
        }
        if !self.servers.is_empty() {
            text += "\nOver HTTP: closed loops, and one answer of every original against the reference\n\n";
            text += &self.server_table().to_text();
            text += &format!("\n{OPEN_TITLE}\n\n");
            text += &self.open_table().to_text();
            text += &format!("\n{STATES_TITLE}\n\n");
            text += &self.state_table().to_text();
            text += &format!("\n{}\n", state_notes());
        }
        if self.overload.is_some() || self.eager.is_some() {
            text += "\nToo much at once\n\n";
            text += &self.stress_text();
        }
        if !self.assets.is_empty() {
            text +=
                "\nThe media library: small uploads at 16 connections, then one read after the other; milliseconds\n\n";
            text += &self.assets_table().to_text();
        }
        for row in self.assets.iter().filter(|row| row.n_failed > 0) {
            text += &format!(
                "\nassets on {}: first failure: {}\n",
                row.stores,
                row.first_failure.as_deref().unwrap_or("unknown")
            );
        }
        for row in self.servers.iter().filter(|row| row.n_failed > 0) {
            let why = row.first_failure.as_deref().unwrap_or("unknown");
            text += &format!("\n{} {} {}: first failure: {why}\n", row.workload, row.profile, row.renderer);
        }
        for note in &self.notes {
            text += &format!("\n{note}\n");
        }
        text
    }
}
