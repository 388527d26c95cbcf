//! The CPU backend: production code where there is no GPU, and the reference for it where there is.
//!
//! One file per kernel. Runs on the calling thread; whoever wants more cores runs more jobs.

mod border;
mod canvas;
mod composite;
mod coverage;
mod extract;
mod feed;
mod mask;
mod opacity;
mod orient;
mod planar;
mod resample;
mod surfaces;
mod transfer;

pub use surfaces::peak_bytes;

use crate::backend::{Backend, BackendKind, FallbackReason, Job, JobResult, Output, Source};
use crate::bands::PlaneBands;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::lanes::Instructions;
use crate::plan::bind::Kernel;
use crate::plan::geometry::Orientation;

use std::sync::Arc;
use surfaces::{Surface, Surfaces};

/// A frame turned upright: every pixel moved exactly.
pub fn turn(frame: &Frame, orientation: Orientation) -> Result<Frame> {
    let size = orientation.apply_size(frame.size());
    orient::orient(frame, size, orientation, frame.has_alpha()).map_err(Error::Device)
}

/// A source that is decoded while it is read, and who wants to know how much of it is held.
struct Coming<'a> {
    bands: &'a mut dyn PlaneBands,
    held: &'a mut dyn FnMut(u64),
}

/// Runs bound plans on the processor.
#[derive(Debug, Clone, Copy)]
pub struct CpuBackend {
    instructions: Instructions,
}

impl Default for CpuBackend {
    fn default() -> Self {
        CpuBackend::new()
    }
}

impl CpuBackend {
    /// With the best instructions that this processor has.
    pub fn new() -> Self {
        CpuBackend { instructions: Instructions::detect() }
    }

    /// Without any instruction that not every processor has; for tests and for bisecting a mismatch.
    pub const fn portable() -> Self {
        CpuBackend { instructions: Instructions::Portable }
    }

    /// Runs one job. Errors when the job is malformed, never panics.
    pub fn run(&self, job: &Job) -> JobResult {
        self.walk(job, None).map_err(FallbackReason::DeviceError)
    }

    /// Runs a job whose first source is decoded while it is resampled, so that only some of its rows are held at once; what
    /// `job` holds in its place is not looked at. `None` when more than one step reads it, or when it is damaged.
    pub fn run_bands(&self, job: &Job, first: &mut dyn PlaneBands, held: &mut dyn FnMut(u64)) -> Option<Output> {
        if !surfaces::is_read_once(&job.plan, 0) {
            return None;
        }
        self.walk(job, Some(Coming { bands: first, held })).ok()
    }

    fn walk(&self, job: &Job, mut coming: Option<Coming<'_>>) -> Result<Output, String> {
        let plan = &*job.plan;
        surfaces::check(plan)?;
        let mut surfaces = Surfaces::new(plan);
        for (index, kernel) in plan.kernels.iter().enumerate() {
            if surfaces.is_needed(index) {
                let surface = self.kernel(job, kernel, index, &mut surfaces, coming.as_mut())?;
                surfaces.put(index, surface)?;
            }
        }
        surfaces.finish()
    }

    fn kernel(
        &self,
        job: &Job,
        kernel: &Kernel,
        index: usize,
        surfaces: &mut Surfaces<'_>,
        coming: Option<&mut Coming<'_>>,
    ) -> Result<Surface, String> {
        let (size, alpha) = (job.plan.sizes[index], job.plan.alphas[index]);
        let frame = match *kernel {
            Kernel::Load { source } => {
                return match job.sources.get(source) {
                    Some(_)
                        if source == 0
                            && let Some(coming) = coming =>
                    {
                        Ok(Surface::Coming(coming.bands.layout().size))
                    }
                    Some(Source::Rgba(frame)) => Ok(Surface::Shared(Arc::clone(frame))),
                    Some(Source::Planar(planes)) => Ok(Surface::Planar(Arc::clone(planes))),
                    None => Err(format!("source {source} is missing")),
                };
            }
            Kernel::Resample { input, ref horizontal, ref vertical, light, chroma: Some(ref chroma) }
                if surfaces.is_coming(input) =>
            {
                let Coming { bands, held } = coming.ok_or("nothing is coming")?;
                match planar::resample_bands(self.instructions, *bands, horizontal, vertical, light, chroma, *held)? {
                    planar::Resampled::Frame(frame) => frame,
                    planar::Resampled::Planes(planes) => return Ok(Surface::Planar(Arc::new(planes))),
                }
            }
            Kernel::Resample { input, ref horizontal, ref vertical, light, chroma: Some(ref chroma) }
                if surfaces.planes(input).is_some() =>
            {
                let planes = surfaces.planes(input).ok_or("the planes are gone")?;
                match planar::resample(self.instructions, planes, horizontal, vertical, light, chroma)? {
                    planar::Resampled::Frame(frame) => frame,
                    planar::Resampled::Planes(planes) => return Ok(Surface::Planar(Arc::new(planes))),
                }
            }
            Kernel::Resample { input, ref horizontal, ref vertical, light, .. } => {
                let input = surfaces.get(input)?;
                resample::resample(self.instructions, input, alpha, horizontal, vertical, light)?
            }
            Kernel::Extract { input, x, y } => extract::extract(surfaces.get(input)?, size, x, y, alpha)?,
            Kernel::Orient { input, orientation } => orient::orient(surfaces.get(input)?, size, orientation, alpha)?,
            Kernel::Canvas { input, left, top, fill } => canvas::canvas(surfaces.get(input)?, size, left, top, fill),
            Kernel::Composite { base, layer, left, top, opacity } => {
                let mut base = surfaces.take(base, index, alpha)?;
                composite::composite(&mut base, surfaces.get(layer)?, left, top, opacity);
                base
            }
            Kernel::Mask { input, outline } => {
                let mut frame = surfaces.take(input, index, alpha)?;
                mask::mask(&mut frame, outline);
                frame
            }
            Kernel::Border { input, width, color, outline } => {
                border::border(surfaces.get(input)?, size, width, color, outline, alpha)?
            }
            Kernel::Opacity { input, opacity } => {
                let mut frame = surfaces.take(input, index, alpha)?;
                opacity::opacity(&mut frame, opacity);
                frame
            }
        };
        Ok(Surface::Owned(frame))
    }
}

impl Backend for CpuBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Cpu
    }

    fn name(&self) -> String {
        match self.instructions {
            Instructions::Portable => "cpu".into(),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => "cpu (AVX2, FMA)".into(),
        }
    }

    fn execute(&self, jobs: &[Job]) -> Vec<JobResult> {
        jobs.iter().map(|job| self.run(job)).collect()
    }
}
