//! Several devices, their return after a loss, compiled kernels that are kept, and the choice between GPU and CPU.

use crate::gpu::{open, pictures, shared};
use crate::random_plan::random_job;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tintype_render::backend::{Backend, FallbackReason, Job};
use tintype_render::choice::{CostModel, Fleet, KernelKind, ProvenGpu, Rates, calibrate};
use tintype_render::cpu::CpuBackend;
use tintype_render::gpu::{AdapterKind, CacheUse, Clock, GpuBackend, GpuOptions, PipelineCacheStore, PipelineCaches};

fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn proven(what: &str) -> Option<Arc<ProvenGpu>> {
    Some(Arc::new(ProvenGpu::new(Arc::new(open(what, GpuOptions::default())?), None, false)))
}

fn jobs() -> Vec<Job> {
    (30..40).map(random_job).collect()
}

#[test]
fn the_loss_of_one_device_leaves_the_other_and_it_comes_back_with_its_proof() {
    let what = "two devices";
    let (Some(one), Some(two)) = (proven(what), proven(what)) else { return };
    let fleet = Fleet::new(vec![one.clone(), two.clone()]);
    let expected = pictures(&*one, &jobs());
    assert_eq!(fleet.members().len(), 2);
    one.gpu().lose();
    assert!(fleet.healthy() && !fleet.members()[0].healthy());
    assert!(pictures(&fleet, &jobs()) == expected);
    assert!(one.gpu().last_counters().jobs >= 10 && two.gpu().last_counters().jobs == 10);
    two.gpu().lose();
    assert!(!fleet.healthy());
    assert!(fleet.execute(&jobs()).iter().all(|answer| matches!(answer, Err(FallbackReason::DeviceLost(_)))));
    assert_eq!(fleet.members()[0].revive(), Ok(()));
    assert!(fleet.healthy());
    assert!(pictures(&fleet, &jobs()) == expected);
}

#[test]
fn a_batch_that_was_begun_before_the_loss_is_answered_and_forgotten_after_the_return() {
    let Some(device) = proven("a batch across a loss") else { return };
    let tintype_render::backend::Begun::Pending(number) = device.begin(&jobs()) else { panic!("it begins") };
    device.gpu().lose();
    device.revive().expect("the adapter is still there");
    assert!(device.end(number).is_empty(), "the batch was the old device's");
    pictures(&*device, &jobs());
}

#[derive(Default)]
struct Shelf {
    kept: Mutex<HashMap<String, Vec<u8>>>,
    saves: Mutex<u32>,
}

impl PipelineCacheStore for Shelf {
    fn load(&self, key: &str) -> Option<Vec<u8>> {
        self.kept.lock().unwrap().get(key).cloned()
    }

    fn save(&self, key: &str, bytes: &[u8]) {
        *self.saves.lock().unwrap() += 1;
        self.kept.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
    }
}

#[test]
fn compiled_kernels_are_kept_used_and_ignored_when_damaged() {
    let shelf = Arc::new(Shelf::default());
    let options = || GpuOptions { pipeline_caches: Some(PipelineCaches(shelf.clone())), ..GpuOptions::default() };
    let saves = || *shelf.saves.lock().unwrap();
    let Some(first) = open("kept kernels", options()) else { return };
    let expected = pictures(&first, &jobs());
    if first.cache_use() == CacheUse::Unsupported {
        eprintln!("left out because the driver has no pipeline cache: kept kernels");
        return;
    }
    assert_eq!((first.cache_use(), saves()), (CacheUse::Absent, 1));
    let key = shelf.kept.lock().unwrap().keys().next().unwrap().clone();
    assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{key} is no name of a file");
    let opened = |expect: CacheUse, expect_saves| {
        let backend = open("kept kernels", options()).unwrap();
        assert_eq!((backend.cache_use(), saves()), (expect, expect_saves));
        assert!(pictures(&backend, &jobs()) == expected);
    };
    opened(CacheUse::Used, 1);
    shelf.kept.lock().unwrap().get_mut(&key).unwrap()[40] ^= 4;
    opened(CacheUse::Ignored, 2);
    opened(CacheUse::Used, 2);
    shelf.kept.lock().unwrap().insert(key.clone(), Vec::new());
    opened(CacheUse::Ignored, 3);
    assert_eq!(open("kernels that nobody keeps", GpuOptions::default()).unwrap().cache_use(), CacheUse::Off);
}

#[test]
fn calibration_measures_every_kernel_on_both_sides() {
    let Some(backend) = shared("calibration") else { return };
    let model = calibrate(backend, &CpuBackend::new(), Clock(now), 2).expect("both take every job");
    for rates in [&model.device, &model.cpu] {
        assert!(rates.unit_ns.iter().all(|ns| ns.is_finite() && *ns > 0.0), "{model:?}");
    }
    assert!(model.device.batch_ns > 0.0 && model.device.up_ns >= 0.0 && model.device.down_ns >= 0.0, "{model:?}");
    let text = model.to_string();
    assert!(text.contains("upload") && KernelKind::ALL.iter().all(|kind| text.contains(kind.label())), "{text}");
    eprintln!("{text}");
}

/// A model by which one side takes so many nanoseconds for everything, and the other ten times as many.
fn model(device_ns: f64, cpu_ns: f64) -> CostModel {
    let rates = |ns| Rates { unit_ns: [ns; 8], ..Rates::default() };
    CostModel { device: rates(device_ns), cpu: rates(cpu_ns), cpu_threads: 1 }
}

#[test]
fn a_batch_goes_where_it_is_quicker_unless_the_device_was_demanded() {
    let Some(gpu) = open("the choice for a batch", GpuOptions::default()) else { return };
    let gpu = Arc::new(gpu);
    let backend = |model, decides| ProvenGpu::new(gpu.clone(), Some(model), decides);
    let slow = backend(model(10.0, 1.0), true);
    let answers = slow.execute(&jobs());
    assert_eq!(answers.len(), jobs().len());
    assert!(answers.iter().all(|answer| matches!(answer, Err(FallbackReason::CpuQuicker))));
    assert_eq!(FallbackReason::CpuQuicker.label(), "cpu_quicker");
    assert_eq!(gpu.total_counters().jobs, 0);
    let expected = pictures(&backend(model(1.0, 10.0), true), &jobs());
    assert!(pictures(&backend(model(10.0, 1.0), false), &jobs()) == expected);
    // A broken plan is refused by the device, not costed.
    let mut broken = random_job(3);
    broken.plan = Arc::new({
        let mut plan = (*broken.plan).clone();
        plan.sizes.pop();
        plan
    });
    assert!(matches!(slow.execute(&[broken])[..], [Err(FallbackReason::DeviceError(_))]));
}

#[test]
fn an_adapter_is_found_again_by_what_it_is() {
    let Some(backend) = shared("identity of adapters") else { return };
    let seen = tintype_render::gpu::adapters();
    let same: Vec<_> = seen.iter().filter(|adapter| adapter.is_same(backend.adapter())).collect();
    assert_eq!(same.len(), 1, "{seen:?}");
    let again = GpuBackend::open(|adapter| adapter.is_same(backend.adapter()), GpuOptions::default()).unwrap();
    assert_eq!(again.adapter(), backend.adapter());
    assert!(matches!(again.adapter().kind, AdapterKind::Software) || !again.adapter().name.is_empty());
}
