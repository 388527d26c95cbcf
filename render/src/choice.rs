//! Which backend a process uses, and why.
//!
//! An adapter that is chosen first proves itself: a built-in picture goes through a plan with every kernel on it and
//! on the CPU, and both must agree within one step of 255.

mod probe;

use crate::backend::Backend;
use crate::cpu::CpuBackend;
use crate::gpu::{AdapterKind, AdapterSummary, GpuBackend, GpuOptions, OpenError, adapters};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use probe::{ProbeError, prove};

/// What the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RendererMode {
    /// Real hardware where there is some that proves itself, else the CPU.
    #[default]
    Auto,
    /// Real hardware or no start.
    Gpu,
    /// The CPU; no graphics driver is loaded.
    Cpu,
    /// Any adapter, software too, or no start. For tests.
    Software,
}

/// A word that names no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown renderer {0:?}: use auto, gpu, cpu or software")]
pub struct UnknownMode(pub String);

impl FromStr for RendererMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "auto" => Ok(RendererMode::Auto),
            "gpu" => Ok(RendererMode::Gpu),
            "cpu" => Ok(RendererMode::Cpu),
            "software" => Ok(RendererMode::Software),
            _ => Err(UnknownMode(text.to_owned())),
        }
    }
}

impl fmt::Display for RendererMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RendererMode::Auto => "auto",
            RendererMode::Gpu => "gpu",
            RendererMode::Cpu => "cpu",
            RendererMode::Software => "software",
        })
    }
}

impl RendererMode {
    /// Whether the mode takes an adapter.
    pub fn allows(self, adapter: &AdapterSummary) -> bool {
        match self {
            RendererMode::Auto | RendererMode::Gpu => adapter.kind != AdapterKind::Software,
            RendererMode::Cpu => false,
            RendererMode::Software => true,
        }
    }
}

/// What was chosen.
#[derive(Clone)]
pub struct Choice {
    /// The GPU as a backend, if it was chosen; else everything runs on the CPU.
    pub backend: Option<Arc<dyn Backend>>,
    /// The same, for its counters and drills.
    pub gpu: Option<Arc<GpuBackend>>,
    /// One sentence for the log and for `doctor`.
    pub reason: String,
    /// Every adapter that was seen; empty in mode `cpu`, which does not look.
    pub adapters: Vec<AdapterSummary>,
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Choice").field("gpu", &self.gpu).field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl Choice {
    fn cpu(reason: String, adapters: Vec<AdapterSummary>) -> Self {
        Choice { backend: None, gpu: None, reason, adapters }
    }
}

/// Why the demanded backend is not there.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChoiceError {
    /// No adapter of the demanded kind could be opened.
    #[error("renderer {mode} was demanded: {source}")]
    Open { mode: RendererMode, source: OpenError },
    /// The adapter makes wrong pictures.
    #[error("renderer {mode} was demanded, but {adapter} did not prove itself: {source}")]
    Probe { mode: RendererMode, adapter: String, source: ProbeError },
}

/// Chooses a backend. Errors only in the modes that demand an adapter.
pub fn choose(mode: RendererMode, options: GpuOptions) -> Result<Choice, ChoiceError> {
    if mode == RendererMode::Cpu {
        return Ok(Choice::cpu("cpu: demanded".into(), Vec::new()));
    }
    let adapters = adapters();
    match open_proven(mode, options) {
        Ok(gpu) => {
            let gpu = Arc::new(gpu);
            let reason = format!("gpu: {} proved itself against the CPU", gpu.name());
            let backend: Arc<dyn Backend> = gpu.clone();
            Ok(Choice { backend: Some(backend), gpu: Some(gpu), reason, adapters })
        }
        Err(error) if mode == RendererMode::Auto => Ok(Choice::cpu(refusal(&error, &adapters), adapters)),
        Err(error) => Err(error),
    }
}

/// The strongest adapter that proves itself; else the error of the strongest one.
fn open_proven(mode: RendererMode, options: GpuOptions) -> Result<GpuBackend, ChoiceError> {
    let mut unproven: Vec<AdapterSummary> = Vec::new();
    let mut first_error = None;
    loop {
        let allow = |adapter: &AdapterSummary| mode.allows(adapter) && !unproven.contains(adapter);
        let gpu = match GpuBackend::open(allow, options.clone()) {
            Ok(gpu) => gpu,
            Err(source) => return Err(first_error.unwrap_or(ChoiceError::Open { mode, source })),
        };
        let Err(source) = prove(&gpu, &CpuBackend::new()) else { return Ok(gpu) };
        first_error.get_or_insert(ChoiceError::Probe { mode, adapter: gpu.name(), source });
        unproven.push(gpu.adapter().clone());
    }
}

/// Why `auto` stays on the CPU.
fn refusal(error: &ChoiceError, adapters: &[AdapterSummary]) -> String {
    let software: Vec<_> = adapters.iter().filter(|adapter| adapter.kind == AdapterKind::Software).collect();
    match error {
        ChoiceError::Open { source: OpenError::NoAdapter(_), .. } if adapters.is_empty() => {
            "cpu: no driver offers an adapter".into()
        }
        ChoiceError::Open { source: OpenError::NoAdapter(_), .. } => {
            let names: Vec<_> = software.iter().map(|adapter| adapter.name.as_str()).collect();
            format!("cpu: {} would only imitate a GPU on the CPU", names.join(", "))
        }
        ChoiceError::Open { source, .. } => format!("cpu: {source}"),
        ChoiceError::Probe { adapter, source, .. } => format!("cpu: {adapter} did not prove itself: {source}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn modes_are_read_and_printed() {
        for mode in [RendererMode::Auto, RendererMode::Gpu, RendererMode::Cpu, RendererMode::Software] {
            assert_eq!(mode.to_string().parse::<RendererMode>().unwrap(), mode);
        }
        assert!("GPU".parse::<RendererMode>().is_err());
        assert!("".parse::<RendererMode>().is_err());
    }

    #[test]
    fn only_software_mode_takes_a_software_adapter() {
        let adapter = |kind| AdapterSummary {
            name: "an adapter".into(),
            driver: "a driver".into(),
            kind,
            backend: "vulkan".into(),
            max_buffer_bytes: 1,
            max_binding_bytes: 1,
        };
        let kinds = |mode: RendererMode| {
            [
                AdapterKind::Discrete,
                AdapterKind::Integrated,
                AdapterKind::Virtual,
                AdapterKind::Other,
                AdapterKind::Software,
            ]
            .map(|kind| mode.allows(&adapter(kind)))
        };
        assert_eq!(kinds(RendererMode::Auto), [true, true, true, true, false]);
        assert_eq!(kinds(RendererMode::Gpu), [true, true, true, true, false]);
        assert_eq!(kinds(RendererMode::Software), [true; 5]);
        assert_eq!(kinds(RendererMode::Cpu), [false; 5]);
    }
}
