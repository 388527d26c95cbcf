//! Prints the time of one resampling on one thread, best and median of many runs.

use std::sync::Arc;
use std::time::Instant;
use tintype_render::backend::{Backend, Job, Source};
use tintype_render::cpu::CpuBackend;
use tintype_render::frame::Frame;
use tintype_render::plan::bind::{BoundPlan, Kernel};
use tintype_render::plan::geometry::Size;
use tintype_render::plan::step::{Filter, Light, SurfaceId};
use tintype_render::plan::weights::{Axis, Weights};

const RUNS: usize = 25;

fn weights(input: u32, scaled_length: u32) -> Arc<Weights> {
    let axis = Axis {
        region_start: 0.0,
        region_length: f64::from(input),
        input_start: 0,
        input_end: input,
        scaled_length,
        window_start: 0,
        window_length: scaled_length,
    };
    Arc::new(axis.weights(Filter::Lanczos3))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cases =
        [((1008, 756), (400, 300)), ((2016, 1512), (400, 300)), ((1600, 1200), (800, 600)), ((4032, 3024), (400, 300))];
    for backend in [CpuBackend::new(), CpuBackend::portable()] {
        println!("{}", backend.name());
        for ((width, height), (to_width, to_height)) in cases {
            for (light, alpha) in
                [(Light::Encoded, false), (Light::Linear, false), (Light::Encoded, true), (Light::Linear, true)]
            {
                let (from, to) = (Size::new(width, height), Size::new(to_width, to_height));
                let mut noise = 1_u32;
                let pixels = (0..from.pixels() * 4)
                    .map(|i| {
                        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        if i % 4 == 3 && !alpha { 255 } else { (noise >> 24) as u8 }
                    })
                    .collect();
                let resample = Kernel::Resample {
                    input: SurfaceId(0),
                    horizontal: weights(width, to_width),
                    vertical: weights(height, to_height),
                    light,
                    chroma: None,
                };
                let plan = BoundPlan {
                    kernels: vec![Kernel::Load { source: 0 }, resample],
                    sizes: vec![from, to],
                    alphas: vec![alpha; 2],
                    output: SurfaceId(1),
                };
                let source = Source::Rgba(Arc::new(Frame::new(from, alpha, pixels)?));
                let jobs = [Job { plan: Arc::new(plan), sources: vec![source] }];
                let mut times = Vec::new();
                for _ in 0..RUNS {
                    let start = Instant::now();
                    let results = backend.execute(&jobs);
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                    for result in results {
                        result?;
                    }
                }
                times.sort_by(f64::total_cmp);
                let (best, median) = (times[0], times[RUNS / 2]);
                println!("{from} to {to} {light:?} alpha={alpha}: best {best:.2} ms, median {median:.2} ms");
            }
        }
    }
    Ok(())
}
