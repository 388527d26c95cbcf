//! Adapters, the device that is opened on one of them, and its loss.

use crate::backend::FallbackReason;
use parking_lot::Mutex;
use serde::Serialize;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long one wait for the device lasts before its loss is looked for.
const WAIT_SLICE: Duration = Duration::from_millis(50);

/// What stands behind an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdapterKind {
    /// A card with its own memory.
    Discrete,
    /// Shares the memory of the CPU.
    Integrated,
    /// Lent by a hypervisor.
    Virtual,
    /// The driver does not say.
    Other,
    /// The CPU pretends: lavapipe, WARP, SwiftShader.
    Software,
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AdapterKind::Discrete => "discrete",
            AdapterKind::Integrated => "integrated",
            AdapterKind::Virtual => "virtual",
            AdapterKind::Other => "other",
            AdapterKind::Software => "software",
        })
    }
}

/// What is known of an adapter before a device is opened on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdapterSummary {
    pub name: String,
    /// Driver and its version.
    pub driver: String,
    pub kind: AdapterKind,
    /// The graphics interface, such as `vulkan`.
    pub backend: String,
    /// Place on the bus, such as `0000:01:00.0`; empty where the driver does not say.
    pub bus: String,
    /// Number among the adapters that are otherwise the same, so that two cards of one make are told apart.
    pub ordinal: u32,
    /// Largest buffer.
    pub max_buffer_bytes: u64,
    /// Largest part of a buffer that a kernel can reach, which bounds the arena.
    pub max_binding_bytes: u64,
}

impl AdapterSummary {
    fn of(adapter: &wgpu::Adapter) -> Self {
        let (about, limits) = (adapter.get_info(), adapter.limits());
        let kind = match about.device_type {
            wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
            wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
            wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
            wgpu::DeviceType::Other => AdapterKind::Other,
            wgpu::DeviceType::Cpu => AdapterKind::Software,
        };
        let kind = if is_software_name(&about.name) { AdapterKind::Software } else { kind };
        AdapterSummary {
            driver: format!("{} {}", about.driver, about.driver_info).trim().to_owned(),
            name: about.name,
            kind,
            backend: about.backend.to_string(),
            bus: about.device_pci_bus_id,
            ordinal: 0,
            max_buffer_bytes: limits.max_buffer_size,
            max_binding_bytes: limits.max_storage_buffer_binding_size,
        }
    }
}

impl AdapterSummary {
    /// Whether both are the same piece of hardware, as far as drivers tell. The place on the bus says it best, because
    /// the order changes when another card goes away.
    pub fn is_same(&self, other: &AdapterSummary) -> bool {
        let alike = (&self.name, &self.backend, &self.bus) == (&other.name, &other.backend, &other.bus);
        alike && (!self.bus.is_empty() || self.ordinal == other.ordinal)
    }
}

/// Numbers adapters that are otherwise the same.
fn number(summaries: &mut [&mut AdapterSummary]) {
    for index in 1..summaries.len() {
        let (before, rest) = summaries.split_at_mut(index);
        let alike = |other: &&mut AdapterSummary| {
            (&other.name, &other.backend, &other.bus) == (&rest[0].name, &rest[0].backend, &rest[0].bus)
        };
        rest[0].ordinal = before.iter().filter(|other| alike(other)).count() as u32;
    }
}

/// Some software drivers report another kind.
fn is_software_name(name: &str) -> bool {
    let name = name.to_lowercase();
    ["llvmpipe", "lavapipe", "swiftshader", "basic render driver"].iter().any(|known| name.contains(known))
}

/// Why no device could be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No driver offers an adapter, or none of those that exist was allowed.
    #[error("no adapter: {0}")]
    NoAdapter(String),
    /// The adapter refused a device or a kernel.
    #[error("adapter {name} failed: {what}")]
    Failed { name: String, what: String },
}

/// Every adapter that a driver offers, the strongest kind first. Empty where there is no driver; never panics.
pub fn adapters() -> Vec<AdapterSummary> {
    enumerate().into_iter().map(|(summary, _)| summary).collect()
}

/// Adapters with what is known of them, the strongest kind first.
fn enumerate() -> Vec<(AdapterSummary, wgpu::Adapter)> {
    // GLES is not compiled in, because it would silently stand in for a missing driver with software.
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let found = guarded(|| {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        descriptor.flags = wgpu::InstanceFlags::empty();
        let instance = wgpu::Instance::new(descriptor);
        let adapters = pollster::block_on(instance.enumerate_adapters(backends));
        adapters.into_iter().map(|adapter| (AdapterSummary::of(&adapter), adapter)).collect::<Vec<_>>()
    });
    let mut found = found.unwrap_or_else(|message| {
        tracing::warn!(message, "looking for adapters failed");
        Vec::new()
    });
    found.sort_by_key(|(summary, _)| summary.kind);
    number(&mut found.iter_mut().map(|(summary, _)| summary).collect::<Vec<_>>());
    found
}

/// Runs calls into wgpu. Some of its functions, such as a wait during which a driver reports loss, panic by design.
pub(super) fn guarded<T>(calls: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(calls)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("panic in the driver's bindings").to_owned()
    })
}

/// Whether, and why, a device is gone.
#[derive(Debug, Default)]
struct Loss {
    lost: AtomicBool,
    reason: Mutex<String>,
}

impl Loss {
    fn set(&self, reason: &str) {
        let mut first = self.reason.lock();
        if !self.lost.load(Ordering::Acquire) {
            reason.clone_into(&mut first);
        }
        self.lost.store(true, Ordering::Release);
    }
}

/// An open device, used by one thread at a time; only its loss may come from any thread.
#[derive(Debug)]
pub(super) struct Device {
    pub summary: AdapterSummary,
    pub raw: wgpu::Device,
    pub queue: wgpu::Queue,
    pub limits: wgpu::Limits,
    /// Name of its compiled kernels.
    pub cache_key: String,
    loss: Arc<Loss>,
    /// Set when the device stopped answering, so that waiting for it again would take forever.
    hung: AtomicBool,
    /// Slices of waiting after which the device counts as hung.
    wait_slices: u32,
}

impl Device {
    /// Opens the first allowed adapter that gives a device.
    pub fn open(allow: &dyn Fn(&AdapterSummary) -> bool, timeout: Duration) -> Result<Self, OpenError> {
        let found = enumerate();
        let names: Vec<_> = found.iter().map(|(summary, _)| format!("{} ({})", summary.name, summary.kind)).collect();
        let mut failure = OpenError::NoAdapter(match names.as_slice() {
            [] => "no driver offers one".to_owned(),
            names => format!("none is allowed of {}", names.join(", ")),
        });
        for (summary, adapter) in found.into_iter().filter(|(summary, _)| allow(summary)) {
            let name = summary.name.clone();
            match guarded(|| Self::request(summary, &adapter, timeout)) {
                Ok(Ok(device)) => return Ok(device),
                Ok(Err(what)) | Err(what) => failure = OpenError::Failed { name, what },
            }
        }
        Err(failure)
    }

    fn request(summary: AdapterSummary, adapter: &wgpu::Adapter, timeout: Duration) -> Result<Self, String> {
        // The default limits bind far less than real adapters do.
        let limits = adapter.limits();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("tintype"),
            required_limits: limits.clone(),
            required_features: adapter.features() & wgpu::Features::PIPELINE_CACHE,
            ..wgpu::DeviceDescriptor::default()
        };
        let (raw, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| error.to_string())?;
        let loss = Arc::new(Loss::default());
        let told = Arc::clone(&loss);
        raw.set_device_lost_callback(move |reason, message| told.set(&format!("{reason:?} {message}")));
        // Without a handler an error outside of a scope would end the process.
        raw.on_uncaptured_error(Arc::new(|error: wgpu::Error| tracing::error!(%error, "uncaptured device error")));
        let slices = timeout.as_millis().div_ceil(WAIT_SLICE.as_millis()).clamp(1, u128::from(u32::MAX));
        let cache_key = super::cache::key(&adapter.get_info());
        let hung = AtomicBool::new(false);
        Ok(Device { summary, raw, queue, limits, cache_key, loss, hung, wait_slices: slices as u32 })
    }

    /// Gives the device up from any thread; a batch that runs ends soon.
    pub fn lose(&self, reason: &str) {
        // The mark comes first: whoever then fails for the lack of a device finds the reason.
        self.loss.set(reason);
        if let Err(message) = guarded(|| self.raw.destroy()) {
            tracing::warn!(message, "destroying the device failed");
        }
    }

    /// Whether the device can be taken down without waiting for work that may never end.
    pub fn can_be_dropped(&self) -> bool {
        let idle = || matches!(self.raw.poll(wgpu::PollType::Poll), Ok(wgpu::PollStatus::QueueEmpty));
        !self.hung.load(Ordering::Acquire) || guarded(idle).unwrap_or(false)
    }

    /// The reason, once the device is lost.
    pub fn lost(&self) -> Option<FallbackReason> {
        self.loss.lost.load(Ordering::Acquire).then(|| FallbackReason::DeviceLost(self.loss.reason.lock().clone()))
    }

    /// Runs calls and turns whatever goes wrong in them into a reason.
    pub fn scoped<T>(&self, calls: impl FnOnce() -> Result<T, FallbackReason>) -> Result<T, FallbackReason> {
        let filters = [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation];
        let scopes = filters.map(|filter| self.raw.push_error_scope(filter));
        let result = calls();
        let errors = scopes.map(Some).into_iter().rev().flatten().filter_map(|scope| pollster::block_on(scope.pop()));
        let error = errors.last();
        match (self.lost(), error) {
            (Some(lost), _) => Err(lost),
            (None, Some(error)) => Err(FallbackReason::DeviceError(error.to_string())),
            (None, None) => result,
        }
    }

    /// Waits until a mapping is there, which it is when a submission is done, or else all. Bounded: a device that does
    /// not answer is given up.
    pub fn wait(&self, mapping: &Mapping, submission: Option<wgpu::SubmissionIndex>) -> Result<(), FallbackReason> {
        for _ in 0..self.wait_slices {
            let wait = wgpu::PollType::Wait { submission_index: submission.clone(), timeout: Some(WAIT_SLICE) };
            match self.raw.poll(wait) {
                Ok(_) | Err(wgpu::PollError::Timeout) => {}
                Err(error) => return Err(FallbackReason::DeviceError(error.to_string())),
            }
            let answer = mapping.answer();
            if let Some(Ok(())) = answer {
                return Ok(());
            }
            if let Some(lost) = self.lost() {
                return Err(lost);
            }
            if let Some(Err(message)) = answer {
                return Err(FallbackReason::DeviceError(message));
            }
        }
        self.hung.store(true, Ordering::Release);
        self.lose("no answer in time");
        Err(FallbackReason::DeviceLost("no answer in time".into()))
    }
}

/// A mapping that was asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Mapping(Arc<Mutex<Option<Result<(), String>>>>);

impl Mapping {
    /// Asks for a part of a buffer.
    pub fn request(slice: wgpu::BufferSlice<'_>, mode: wgpu::MapMode) -> Self {
        let mapping = Mapping::default();
        let answered = Arc::clone(&mapping.0);
        slice.map_async(mode, move |result| *answered.lock() = Some(result.map_err(|error| error.to_string())));
        mapping
    }

    fn answer(&self) -> Option<Result<(), String>> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_of_the_bindings_becomes_a_message() {
        assert_eq!(guarded(|| 3), Ok(3));
        #[allow(clippy::panic)]
        let caught = guarded(|| -> u32 { panic!("device {}", "gone") });
        assert_eq!(caught, Err("device gone".into()));
    }

    #[test]
    fn the_first_reason_of_a_loss_is_kept() {
        let loss = Loss::default();
        loss.set("first");
        loss.set("second");
        assert!(loss.lost.load(Ordering::Acquire));
        assert_eq!(*loss.reason.lock(), "first");
    }

    #[test]
    fn two_cards_of_one_make_are_told_apart() {
        let card = |bus: &str| AdapterSummary {
            name: "a card".into(),
            driver: "a driver".into(),
            kind: AdapterKind::Discrete,
            backend: "vulkan".into(),
            bus: bus.into(),
            ordinal: 0,
            max_buffer_bytes: 1,
            max_binding_bytes: 1,
        };
        let mut cards = [card(""), card(""), card("0000:01:00.0"), card("0000:02:00.0"), card("")];
        number(&mut cards.iter_mut().collect::<Vec<_>>());
        assert_eq!(cards.each_ref().map(|card| card.ordinal), [0, 1, 0, 0, 2]);
        for (i, a) in cards.iter().enumerate() {
            for (j, b) in cards.iter().enumerate() {
                assert_eq!(a.is_same(b), i == j, "{a:?} {b:?}");
            }
        }
        // A card that is where it was is the same, however many others have gone.
        let moved = AdapterSummary { ordinal: 3, ..cards[2].clone() };
        assert!(moved.is_same(&cards[2]));
    }

    #[test]
    fn software_drivers_are_known_by_name() {
        assert!(is_software_name("llvmpipe (LLVM 15.0.6, 256 bits)"));
        assert!(is_software_name("Microsoft Basic Render Driver"));
        assert!(!is_software_name("NVIDIA GeForce RTX 4090"));
    }
}
