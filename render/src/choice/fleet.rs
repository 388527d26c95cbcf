//! Devices that proved themselves: one, or all of a host as one backend.

use super::cost::CostModel;
use super::probe::prove;
use crate::backend::{Backend, BackendKind, Begun, FallbackReason, Job, JobResult};
use crate::cpu::CpuBackend;
use crate::forecast::Shape;
use crate::gpu::GpuBackend;
use std::sync::Arc;

/// A device that makes the CPU's pixels, and that leaves a batch to the CPU where that is quicker.
#[derive(Debug)]
pub struct ProvenGpu {
    gpu: Arc<GpuBackend>,
    model: Option<CostModel>,
    /// Whether the model decides; a device that was demanded gets everything.
    decides: bool,
}

impl ProvenGpu {
    /// Wraps a device that was proved. With `decides`, the model refuses batches that the CPU does quicker.
    pub fn new(gpu: Arc<GpuBackend>, model: Option<CostModel>, decides: bool) -> Self {
        ProvenGpu { gpu, model, decides }
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<GpuBackend> {
        &self.gpu
    }

    /// What was measured at the start, if there was a clock.
    pub fn model(&self) -> Option<&CostModel> {
        self.model.as_ref()
    }

    /// Whether the batch belongs on the CPU.
    fn refuses(&self, jobs: &[Job]) -> bool {
        let Some(model) = self.model.as_ref().filter(|_| self.decides) else { return false };
        let shapes: Vec<_> = jobs.iter().map(Shape::of).collect();
        // A broken plan is the executor's to refuse.
        let sound = shapes.iter().all(|shape| {
            let plan = &shape.plan;
            plan.sizes.len() == plan.kernels.len()
                && plan.alphas.len() == plan.kernels.len()
                && usize::from(plan.output.0) < plan.kernels.len()
        });
        sound && !model.prefers_device(&shapes)
    }
}

fn left_to_cpu(jobs: &[Job]) -> Vec<JobResult> {
    jobs.iter().map(|_| Err(FallbackReason::CpuQuicker)).collect()
}

impl Backend for ProvenGpu {
    fn kind(&self) -> BackendKind {
        self.gpu.kind()
    }

    fn name(&self) -> String {
        self.gpu.name()
    }

    fn execute(&self, jobs: &[Job]) -> Vec<JobResult> {
        if self.refuses(jobs) { left_to_cpu(jobs) } else { self.gpu.execute(jobs) }
    }

    fn begin(&self, jobs: &[Job]) -> Begun {
        if self.refuses(jobs) { Begun::Done(left_to_cpu(jobs)) } else { self.gpu.begin(jobs) }
    }

    fn end(&self, pending: u64) -> Vec<JobResult> {
        self.gpu.end(pending)
    }

    fn healthy(&self) -> bool {
        self.gpu.healthy()
    }

    /// Opens the adapter anew and lets it prove itself again; a device that fails is given up at once.
    fn revive(&self) -> Result<(), FallbackReason> {
        self.gpu.reopen().map_err(|error| FallbackReason::DeviceLost(error.to_string()))?;
        prove(&*self.gpu, &CpuBackend::new()).map_err(|error| {
            self.gpu.lose();
            FallbackReason::DeviceLost(error.to_string())
        })
    }
}

/// All devices of a host. Whoever has threads for them asks for [`Backend::members`]; others get one that is healthy.
pub struct Fleet {
    members: Vec<Arc<ProvenGpu>>,
}

impl Fleet {
    /// Joins devices.
    pub fn new(members: Vec<Arc<ProvenGpu>>) -> Self {
        Fleet { members }
    }
}

impl Backend for Fleet {
    fn kind(&self) -> BackendKind {
        BackendKind::Gpu
    }

    fn name(&self) -> String {
        self.members.iter().map(|member| member.name()).collect::<Vec<_>>().join(", ")
    }

    fn execute(&self, jobs: &[Job]) -> Vec<JobResult> {
        match self.members.iter().find(|member| member.healthy()) {
            Some(member) => member.execute(jobs),
            None => jobs.iter().map(|_| Err(FallbackReason::DeviceLost("every device is lost".into()))).collect(),
        }
    }

    fn healthy(&self) -> bool {
        self.members.iter().any(|member| member.healthy())
    }

    fn members(&self) -> Vec<Arc<dyn Backend>> {
        self.members.iter().map(|member| Arc::clone(member) as Arc<dyn Backend>).collect()
    }
}
