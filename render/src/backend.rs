//! The seam between plans and the hardware that runs them.

use crate::error::Result;
use crate::frame::Frame;
use crate::plan::bind::BoundPlan;
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
}

impl FallbackReason {
    /// Short stable name for counters.
    pub fn label(&self) -> &'static str {
        match self {
            FallbackReason::DeviceLost(_) => "device_lost",
            FallbackReason::TooLarge(_) => "too_large",
            FallbackReason::DeviceError(_) => "device_error",
        }
    }
}

/// What became of one job of a batch.
pub type JobResult = Result<Output, FallbackReason>;

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

    /// False once the device is lost: the backend then refuses every job.
    fn healthy(&self) -> bool {
        true
    }
}
