//! Which backend a process uses, and why.
//!
//! An adapter that is chosen first proves itself: a built-in picture goes through a plan with every kernel on it and
//! on the CPU, and both must agree within one step of 255. All adapters of the strongest kind that do are used. In mode
//! `auto` they are also measured, and leave to the CPU what that does quicker.

mod calibrate;
mod cost;
mod fleet;
mod probe;

use crate::backend::Backend;
use crate::cpu::CpuBackend;
use crate::gpu::{AdapterKind, AdapterSummary, GpuBackend, GpuOptions, OpenError, adapters};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use calibrate::calibrate;
pub use cost::{CostModel, KernelKind, Rates};
pub use fleet::{Fleet, ProvenGpu};
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
    /// The strongest of its devices, for its counters and drills.
    pub gpu: Option<Arc<GpuBackend>>,
    /// All of its devices, strongest first.
    pub devices: Vec<Arc<ProvenGpu>>,
    /// Adapters that were allowed but are not used, and why.
    pub refused: Vec<(AdapterSummary, String)>,
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
    /// The CPU, for a reason that was found elsewhere, such as in a probe that runs in its own process.
    pub fn cpu_only(reason: &str) -> Self {
        Choice::cpu(reason.to_owned(), Vec::new())
    }

    fn cpu(reason: String, adapters: Vec<AdapterSummary>) -> Self {
        Choice { backend: None, gpu: None, devices: Vec::new(), refused: Vec::new(), reason, adapters }
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
    match open_proven(mode, &options, &adapters) {
        Ok((devices, refused)) => {
            let names: Vec<_> = devices.iter().map(|device| device.name()).collect();
            let reason = format!("gpu: {} proved itself against the CPU", names.join(", "));
            let gpu = devices.first().map(|device| Arc::clone(device.gpu()));
            let backend: Arc<dyn Backend> = match devices.as_slice() {
                [device] => Arc::clone(device) as Arc<dyn Backend>,
                devices => Arc::new(Fleet::new(devices.to_vec())),
            };
            Ok(Choice { backend: Some(backend), gpu, devices, refused, reason, adapters })
        }
        Err(error) if mode == RendererMode::Auto => Ok(Choice::cpu(refusal(&error, &adapters), adapters)),
        Err(error) => Err(error),
    }
}

type Proven = (Vec<Arc<ProvenGpu>>, Vec<(AdapterSummary, String)>);

/// All adapters of the strongest kind of which one proves itself; else the error of the strongest one.
fn open_proven(mode: RendererMode, options: &GpuOptions, adapters: &[AdapterSummary]) -> Result<Proven, ChoiceError> {
    let allowed: Vec<&AdapterSummary> = adapters.iter().filter(|adapter| mode.allows(adapter)).collect();
    let hardware = distinct(allowed.iter().copied());
    let (mut devices, mut refused, mut first_error) = (Vec::<Arc<ProvenGpu>>::new(), Vec::new(), None);
    for adapter in &allowed {
        let open = |device: &Arc<ProvenGpu>| same_hardware(device.gpu().adapter(), adapter);
        if devices.iter().any(open) {
            refused.push(((*adapter).clone(), "it is used through another interface".to_owned()));
            continue;
        }
        if devices.first().is_some_and(|device| device.gpu().adapter().kind != adapter.kind) {
            refused.push(((*adapter).clone(), "there is a stronger kind".to_owned()));
            continue;
        }
        // Buffers of all devices are made of one budget.
        let rivals = hardware.iter().filter(|other| other.kind == adapter.kind).count() as u64;
        let options = GpuOptions { budget_bytes: options.budget_bytes / rivals.max(1), ..options.clone() };
        match open_one(mode, adapter, options) {
            Ok(device) => devices.push(Arc::new(device)),
            Err(error) => {
                refused.push(((*adapter).clone(), error.to_string()));
                first_error.get_or_insert(error);
            }
        }
    }
    match (devices.is_empty(), first_error) {
        (false, _) => Ok((devices, refused)),
        (true, Some(error)) => Err(error),
        (true, None) => {
            let source = match GpuBackend::open(|adapter| mode.allows(adapter), options.clone()) {
                Err(source) => source,
                // It appeared between the two looks; the next start finds it.
                Ok(gpu) => OpenError::NoAdapter(format!("{} appeared late", gpu.name())),
            };
            Err(ChoiceError::Open { mode, source })
        }
    }
}

/// One entry for every piece of hardware: some are offered by more than one graphics interface.
fn distinct<'a>(adapters: impl Iterator<Item = &'a AdapterSummary>) -> Vec<&'a AdapterSummary> {
    let mut distinct: Vec<&AdapterSummary> = Vec::new();
    for adapter in adapters {
        if !distinct.iter().any(|other| same_hardware(other, adapter)) {
            distinct.push(adapter);
        }
    }
    distinct
}

/// Whether both are known to be on one place of the bus.
fn same_hardware(one: &AdapterSummary, other: &AdapterSummary) -> bool {
    !one.bus.is_empty() && one.bus == other.bus
}

/// Opens an adapter, lets it prove itself, and measures it where that decides anything.
fn open_one(mode: RendererMode, adapter: &AdapterSummary, options: GpuOptions) -> Result<ProvenGpu, ChoiceError> {
    let (clock, cpu_threads) = (options.clock, options.cpu_threads);
    let gpu = GpuBackend::open(|found| found.is_same(adapter), options)
        .map_err(|source| ChoiceError::Open { mode, source })?;
    let cpu = CpuBackend::new();
    let unproven = |source| ChoiceError::Probe { mode, adapter: gpu.name(), source };
    prove(&gpu, &cpu).map_err(unproven)?;
    let decides = mode == RendererMode::Auto;
    let model = match clock.filter(|_| decides) {
        Some(clock) => {
            Some(calibrate(&gpu, &cpu, clock, cpu_threads).map_err(|reason| unproven(ProbeError::Refused(reason)))?)
        }
        None => None,
    };
    Ok(ProvenGpu::new(Arc::new(gpu), model, decides))
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
    fn hardware_behind_two_interfaces_is_one_and_equal_cards_are_two() {
        let adapter = |backend: &str, bus: &str, ordinal| AdapterSummary {
            name: "a card".into(),
            driver: "a driver".into(),
            kind: AdapterKind::Discrete,
            backend: backend.into(),
            bus: bus.into(),
            ordinal,
            max_buffer_bytes: 1,
            max_binding_bytes: 1,
        };
        let found = [
            adapter("vulkan", "01", 0),
            adapter("dx12", "01", 0),
            adapter("vulkan", "02", 0),
            adapter("metal", "", 0),
            adapter("metal", "", 1),
        ];
        let kept = distinct(found.iter());
        assert_eq!(kept, [&found[0], &found[2], &found[3], &found[4]]);
    }

    #[test]
    fn only_software_mode_takes_a_software_adapter() {
        let adapter = |kind| AdapterSummary {
            name: "an adapter".into(),
            driver: "a driver".into(),
            kind,
            backend: "vulkan".into(),
            bus: String::new(),
            ordinal: 0,
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
