//! Whether a batch is quicker on a device or on the CPU, from what was measured at the start.

use crate::forecast::{Shape, least, n_taps};
use crate::plan::bind::{BoundPlan, Kernel};
use serde::Serialize;
use std::fmt;

/// Kinds of kernels that are measured apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelKind {
    /// Measured by multiplications; all others by pixels of the output.
    Resample,
    Extract,
    Orient,
    Canvas,
    Composite,
    Mask,
    Border,
    Opacity,
}

impl KernelKind {
    /// All kinds, in the order of their index.
    pub const ALL: [KernelKind; 8] = [
        KernelKind::Resample,
        KernelKind::Extract,
        KernelKind::Orient,
        KernelKind::Canvas,
        KernelKind::Composite,
        KernelKind::Mask,
        KernelKind::Border,
        KernelKind::Opacity,
    ];

    /// Stable name.
    pub const fn label(self) -> &'static str {
        match self {
            KernelKind::Resample => "resample",
            KernelKind::Extract => "extract",
            KernelKind::Orient => "orient",
            KernelKind::Canvas => "canvas",
            KernelKind::Composite => "composite",
            KernelKind::Mask => "mask",
            KernelKind::Border => "border",
            KernelKind::Opacity => "opacity",
        }
    }

    /// Kind of a kernel; `None` for a load.
    pub fn of(kernel: &Kernel) -> Option<KernelKind> {
        match kernel {
            Kernel::Load { .. } => None,
            Kernel::Resample { .. } => Some(KernelKind::Resample),
            Kernel::Extract { .. } => Some(KernelKind::Extract),
            Kernel::Orient { .. } => Some(KernelKind::Orient),
            Kernel::Canvas { .. } => Some(KernelKind::Canvas),
            Kernel::Composite { .. } => Some(KernelKind::Composite),
            Kernel::Mask { .. } => Some(KernelKind::Mask),
            Kernel::Border { .. } => Some(KernelKind::Border),
            Kernel::Opacity { .. } => Some(KernelKind::Opacity),
        }
    }
}

/// Work of one kernel in the unit of its kind: multiplications of a pixel for a resampling, else pixels.
pub fn units(plan: &BoundPlan, index: usize) -> u64 {
    match &plan.kernels[index] {
        Kernel::Resample { input, horizontal, vertical, .. } => {
            let across = n_taps(horizontal) * u64::from(plan.size(*input).height);
            across + n_taps(vertical) * u64::from(plan.sizes[index].width)
        }
        _ => plan.sizes[index].pixels(),
    }
}

/// What one backend was measured to take.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Rates {
    /// Nanoseconds for a unit of each kind, in the order of [`KernelKind::ALL`].
    pub unit_ns: [f64; KernelKind::ALL.len()],
    /// Nanoseconds for a byte on its way up, spread into pixels; 0 where nothing travels.
    pub up_ns: f64,
    /// Nanoseconds for a byte on its way down.
    pub down_ns: f64,
    /// Nanoseconds for a batch, however small.
    pub batch_ns: f64,
}

impl Rates {
    /// Predicted nanoseconds for a batch, on one thread or one device.
    pub fn predict_ns(&self, shapes: &[Shape]) -> f64 {
        let kernels = shapes.iter().flat_map(|shape| {
            let plan = &shape.plan;
            plan.kernels.iter().enumerate().filter_map(|(index, kernel)| {
                let kind = KernelKind::of(kernel)?;
                Some(self.unit_ns[kind as usize] * units(plan, index) as f64)
            })
        });
        let moved = least(shapes);
        self.batch_ns + kernels.sum::<f64>() + self.up_ns * moved.up as f64 + self.down_ns * moved.down as f64
    }
}

/// A device against the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CostModel {
    pub device: Rates,
    /// One thread.
    pub cpu: Rates,
    /// Threads that the CPU would use.
    pub cpu_threads: usize,
}

impl CostModel {
    /// Whether the device is at least as quick: the CPU gives every job a thread as long as there are some.
    pub fn prefers_device(&self, shapes: &[Shape]) -> bool {
        let threads = shapes.len().clamp(1, self.cpu_threads.max(1));
        self.device.predict_ns(shapes) <= self.cpu.predict_ns(shapes) / threads as f64
    }
}

impl fmt::Display for CostModel {
    /// For `doctor`: one line a kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_us = |ns: f64| if ns > 0.0 { 1e3 / ns } else { f64::INFINITY };
        writeln!(
            f,
            "upload {:.0} MB/s, readback {:.0} MB/s, {:.0} us a batch",
            per_us(self.device.up_ns),
            per_us(self.device.down_ns),
            self.device.batch_ns / 1e3
        )?;
        for kind in KernelKind::ALL {
            let (device, cpu) = (self.device.unit_ns[kind as usize], self.cpu.unit_ns[kind as usize]);
            let unit = if kind == KernelKind::Resample { "M multiplications/s" } else { "MP/s" };
            let label = kind.label();
            writeln!(f, "{label:<9} {:>8.0} {unit}, one cpu thread {:>8.0}", per_us(device), per_us(cpu))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::Wire;
    use crate::plan::geometry::Size;
    use crate::plan::step::SurfaceId;
    use std::sync::Arc;

    fn fading(side: u32) -> Shape {
        let plan = BoundPlan {
            kernels: vec![Kernel::Load { source: 0 }, Kernel::Opacity { input: SurfaceId(0), opacity: 0.5 }],
            sizes: vec![Size::new(side, side); 2],
            alphas: vec![true; 2],
            output: SurfaceId(1),
        };
        Shape { plan: Arc::new(plan), sources: vec![(Wire::Rgba, u64::from(side))] }
    }

    #[test]
    fn a_prediction_adds_up_what_was_measured() {
        let mut rates = Rates { up_ns: 2.0, down_ns: 3.0, batch_ns: 1000.0, ..Rates::default() };
        rates.unit_ns[KernelKind::Opacity as usize] = 5.0;
        assert!((rates.predict_ns(&[fading(10)]) - (1000.0 + 500.0 + 800.0 + 1200.0)).abs() < 1e-9);
    }

    #[test]
    fn a_small_batch_stays_on_the_cpu_and_a_large_one_does_not() {
        let device = Rates { batch_ns: 100_000.0, unit_ns: [0.1; 8], ..Rates::default() };
        let cpu = Rates { unit_ns: [1.0; 8], ..Rates::default() };
        let model = CostModel { device, cpu, cpu_threads: 4 };
        assert!(!model.prefers_device(&[fading(100)]));
        assert!(model.prefers_device(&[fading(1000)]));
        // Four jobs go to four threads, which the device must beat together.
        let four: Vec<_> = (340..344).map(fading).collect();
        assert!(model.prefers_device(&four[..1]) && !model.prefers_device(&four), "{model:?}");
        assert!(CostModel { cpu_threads: 1, ..model }.prefers_device(&four));
        let text = model.to_string();
        assert!(KernelKind::ALL.iter().all(|kind| text.contains(kind.label())), "{text}");
    }

    #[test]
    fn kinds_are_in_the_order_of_their_index() {
        assert!(KernelKind::ALL.iter().enumerate().all(|(index, kind)| *kind as usize == index));
    }
}
