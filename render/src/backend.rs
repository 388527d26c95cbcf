//! The seam between plans and the hardware that runs them.

use crate::error::Result;
use crate::frame::Frame;
use crate::plan::bind::BoundPlan;
use crate::plan::geometry::Size;
use crate::planes::Planes;
use std::fmt;
use std::sync::Arc;

/// Pixels as a decoder hands them over.
///
/// Coefficient, compressed and resident sources join this list when the steps that read them are built.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Source {
    /// Straight 8-bit sRGB with alpha.
    Rgba(Arc<Frame>),
    /// What a JPEG holds. Only resampling reads it.
    Planar(Arc<Planes>),
}

impl Source {
    /// Width and height of the picture in pixels.
    pub fn size(&self) -> Size {
        match self {
            Source::Rgba(frame) => frame.size(),
            Source::Planar(planes) => planes.size(),
        }
    }

    /// Whether any pixel may be other than opaque.
    pub fn has_alpha(&self) -> bool {
        match self {
            Source::Rgba(frame) => frame.has_alpha(),
            Source::Planar(_) => false,
        }
    }
}

/// Pixels as an encoder takes them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Output {
    /// Straight 8-bit sRGB with alpha.
    Rgba(Frame),
    /// What a JPEG is to hold. Made only where the plan says so and the source was in planes.
    Planar(Planes),
}

impl Output {
    /// The picture, as pixels.
    pub fn into_frame(self) -> Frame {
        match self {
            Output::Rgba(frame) => frame,
            Output::Planar(planes) => planes.to_frame(),
        }
    }
}

/// One picture to be made.
#[derive(Debug, Clone)]
pub struct Job {
    pub plan: Arc<BoundPlan>,
    /// `sources[i]` belongs to `Kernel::Load { source: i }`; its size is that of the bound surface.
    pub sources: Vec<Source>,
}

/// Which kind of hardware a backend runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendKind {
    Cpu,
    Gpu,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BackendKind::Cpu => "cpu",
            BackendKind::Gpu => "gpu",
        })
    }
}

/// Why a backend did not run a job, so that another one has to.
///
/// [`FallbackReason::label`] is the metric label; it never holds anything from a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FallbackReason {
    /// The device was lost before or while the batch ran. The backend is of no further use.
    #[error("device lost: {0}")]
    DeviceLost(String),
    /// The job does not fit under a limit of the adapter or of the memory budget.
    #[error("job does not fit: {0}")]
    TooLarge(String),
    /// The device reported an error other than loss.
    #[error("device error: {0}")]
    DeviceError(String),
    /// By what was measured at the start, the CPU is quicker with this batch.
    #[error("the cpu is quicker with this batch")]
    CpuQuicker,
}

impl FallbackReason {
    /// Short stable name for counters.
    pub fn label(&self) -> &'static str {
        match self {
            FallbackReason::DeviceLost(_) => "device_lost",
            FallbackReason::TooLarge(_) => "too_large",
            FallbackReason::DeviceError(_) => "device_error",
            FallbackReason::CpuQuicker => "cpu_quicker",
        }
    }
}

/// What became of one job of a batch.
pub type JobResult = Result<Output, FallbackReason>;

/// A batch that was begun: see [`Backend::begin`].
#[derive(Debug)]
pub enum Begun {
    /// The answers are there already.
    Done(Vec<JobResult>),
    /// [`Backend::end`] gives them for this number.
    Pending(u64),
}

/// Something that runs bound plans. Implementations never panic on any plan that [`crate::plan`] makes.
pub trait Backend: Send + Sync {
    /// Kind of hardware.
    fn kind(&self) -> BackendKind;

    /// Name for logs and `doctor`, such as the adapter's.
    fn name(&self) -> String;

    /// Runs many jobs of different sizes, in one submission where the hardware has such a thing.
    ///
    /// The answer has one entry per job, in order. A job that could not run here says why; the others are not harmed.
    fn execute(&self, jobs: &[Job]) -> Vec<JobResult>;

    /// Begins a batch without waiting for it, so that the next one can be staged meanwhile. Batches are to be ended in
    /// the order in which they were begun.
    ///
    /// A backend that has nothing to gain from it does everything here.
    fn begin(&self, jobs: &[Job]) -> Begun {
        Begun::Done(self.execute(jobs))
    }

    /// Waits for a batch that is pending, and gives one entry per job, in order; nothing when there is no such batch.
    fn end(&self, pending: u64) -> Vec<JobResult> {
        let _ = pending;
        Vec::new()
    }

    /// False once the device is lost: the backend then refuses every job until it was revived.
    fn healthy(&self) -> bool {
        true
    }

    /// Tries to get a lost device back, and to have it prove itself. Blocks; a batch that is pending is gone.
    fn revive(&self) -> Result<(), FallbackReason> {
        Err(FallbackReason::DeviceLost("the backend cannot be revived".into()))
    }

    /// The backends that this one stands for, each with hardware of its own; none when it is one itself.
    fn members(&self) -> Vec<Arc<dyn Backend>> {
        Vec::new()
    }
}
