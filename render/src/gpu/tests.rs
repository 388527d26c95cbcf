//! What only the backend itself can see: that nothing of a picture is left on the device.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::plan::bind::BoundPlan;
use crate::plan::geometry::Size;
use crate::plan::step::SurfaceId;

/// A color that nothing else leaves behind.
const LOUD: [u8; 4] = [0xA5, 0x3C, 0xC3, 0x5B];

fn open(options: GpuOptions) -> Option<GpuBackend> {
    const OPT_OUT: &str = "TINTYPE_TEST_NO_GPU";
    if std::env::var(OPT_OUT).is_ok_and(|value| value == "1") {
        eprintln!("left out because {OPT_OUT}=1");
        return None;
    }
    Some(GpuBackend::open(|_| true, options).expect("an adapter is installed"))
}

/// Fades a picture of one color by nothing; `alpha` decides in which form it travels.
fn loud(size: Size, alpha: bool) -> Job {
    let mut color = LOUD;
    if !alpha {
        color[3] = 255;
    }
    let plan = BoundPlan {
        kernels: vec![Kernel::Load { source: 0 }, Kernel::Opacity { input: SurfaceId(0), opacity: 1.0 }],
        sizes: vec![size; 2],
        alphas: vec![alpha; 2],
        output: SurfaceId(1),
    };
    Job { plan: Arc::new(plan), sources: vec![Source::Rgba(Arc::new(Frame::filled(size, color)))] }
}

/// Everything that lies in the arena.
fn arena(backend: &GpuBackend) -> Vec<u8> {
    let owner = backend.owner();
    let parts = owner.parts();
    let running = parts.running.lock();
    let arena = &running.memory.work.as_ref().unwrap().arena;
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let copy = parts.device.raw.create_buffer(&wgpu::BufferDescriptor {
        label: Some("copy"),
        size: arena.size(),
        usage,
        mapped_at_creation: false,
    });
    let mut encoder = parts.device.raw.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(arena, 0, &copy, 0, arena.size());
    let submission = parts.device.queue.submit([encoder.finish()]);
    let mapping = device::Mapping::request(copy.slice(..), wgpu::MapMode::Read);
    parts.device.wait(&mapping, Some(submission)).unwrap();
    copy.slice(..).get_mapped_range().unwrap().to_vec()
}

fn holds(memory: &[u8], color: &[u8]) -> bool {
    memory.windows(color.len()).any(|window| window == color)
}

#[test]
fn a_planted_picture_is_found_without_clearing_and_not_with_it() {
    for (zero_memory, alpha) in [(false, true), (false, false), (true, true), (true, false)] {
        let Some(backend) = open(GpuOptions { zero_memory, ..GpuOptions::default() }) else { return };
        let jobs: Vec<_> = (1..6).map(|side| loud(Size::new(side * 17, side * 9), alpha)).collect();
        assert!(backend.execute(&jobs).iter().all(Result::is_ok));
        let memory = arena(&backend);
        assert!(!memory.is_empty());
        assert_eq!(holds(&memory, &LOUD[..3]), !zero_memory, "zeroing {zero_memory}, alpha {alpha}");
        assert_eq!(memory.iter().all(|byte| *byte == 0), zero_memory);
    }
}

#[test]
fn a_picture_that_windows_share_is_gone_after_the_last_of_them() {
    let size = Size::new(256, 256);
    // The shared picture and two or three outputs of 256 KiB each.
    let Some(backend) = open(GpuOptions { budget_bytes: 3 << 20, ..GpuOptions::default() }) else { return };
    let first = loud(size, true);
    let jobs: Vec<_> = (0..9).map(|_| first.clone()).collect();
    assert!(backend.execute(&jobs).iter().all(Result::is_ok));
    let counters = backend.last_counters();
    assert!(counters.windows > 1, "{counters:?}");
    assert_eq!(counters.bytes_up - counters.bytes_tables, size.pixels() * 4, "it was shared");
    assert!(arena(&backend).iter().all(|byte| *byte == 0));
}

#[test]
fn all_buffers_together_keep_under_the_budget() {
    for budget_bytes in [2_u64 << 20, 5 << 20, 40 << 20] {
        let Some(backend) = open(GpuOptions { budget_bytes, ..GpuOptions::default() }) else { return };
        for round in 0..12_u32 {
            let jobs: Vec<_> = (1..20).map(|side| loud(Size::new(side * 8 + round, 90 + 20 * round), true)).collect();
            let begun = [0, 1].map(|_| backend.owner().parts().begin(&jobs));
            let owner = backend.owner();
            {
                let running = owner.parts().running.lock();
                let flying: u64 = running.flights.iter().map(|(_, flight)| flight.bytes()).sum();
                assert!(running.memory.bytes() + flying <= budget_bytes, "{budget_bytes}, round {round}");
                assert!(running.flights.len() <= GpuOptions::default().slots);
            }
            for number in begun {
                assert!(owner.parts().end(number).iter().all(Result::is_ok), "{budget_bytes}, round {round}");
            }
        }
    }
}

#[test]
fn an_adapter_can_be_opened_anew_after_its_loss() {
    let Some(backend) = open(GpuOptions::default()) else { return };
    let job = [loud(Size::new(20, 10), true)];
    let expected = backend.execute(&job).remove(0).unwrap().into_frame();
    for _ in 0..3 {
        backend.lose();
        assert!(!backend.healthy() && backend.execute(&job)[0].is_err());
        backend.reopen().unwrap();
        assert!(backend.healthy());
        assert!(backend.execute(&job).remove(0).unwrap().into_frame() == expected);
    }
}
