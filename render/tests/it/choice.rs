//! Which renderer a process gets, on a machine with at least a software adapter.

use crate::gpu::shared;
use tintype_render::backend::Backend;
use tintype_render::choice::{ChoiceError, ProbeError, RendererMode, choose, prove};
use tintype_render::cpu::CpuBackend;
use tintype_render::gpu::{AdapterKind, GpuOptions};

#[test]
fn the_adapter_proves_itself_with_every_kernel() {
    let Some(backend) = shared("the probe") else { return };
    assert_eq!(prove(backend, &CpuBackend::new()), Ok(()));
}

#[test]
fn software_mode_takes_what_there_is_and_says_so() {
    if shared("software mode").is_none() {
        return;
    }
    let choice = choose(RendererMode::Software, GpuOptions::default()).expect("an adapter is installed");
    let gpu = choice.gpu.expect("software mode takes any adapter");
    assert!(choice.backend.is_some_and(|backend| backend.name() == gpu.name() && backend.healthy()));
    assert!(choice.reason.contains(&gpu.adapter().name), "{}", choice.reason);
    assert!(choice.adapters.contains(gpu.adapter()));
}

#[test]
fn auto_and_gpu_refuse_to_imitate_a_gpu_on_the_cpu() {
    let Some(backend) = shared("refusal of software adapters") else { return };
    if backend.adapter().kind != AdapterKind::Software {
        eprintln!("left out because there is real hardware: refusal of software adapters");
        return;
    }
    let choice = choose(RendererMode::Auto, GpuOptions::default()).expect("auto always has the CPU");
    assert!(choice.gpu.is_none() && choice.backend.is_none());
    assert!(choice.reason.contains(&backend.adapter().name), "{}", choice.reason);
    assert!(!choice.adapters.is_empty());
    let demanded = choose(RendererMode::Gpu, GpuOptions::default());
    assert!(matches!(demanded, Err(ChoiceError::Open { mode: RendererMode::Gpu, .. })), "{demanded:?}");
}

#[test]
fn cpu_mode_looks_at_no_adapter() {
    let choice = choose(RendererMode::Cpu, GpuOptions::default()).expect("the CPU is always there");
    assert!(choice.gpu.is_none() && choice.adapters.is_empty());
    assert_eq!(choice.reason, "cpu: demanded");
}

#[test]
fn a_lost_device_does_not_prove_itself() {
    let Some(backend) = crate::gpu::open("the probe on a lost device", GpuOptions::default()) else { return };
    backend.lose();
    assert!(matches!(prove(&backend, &CpuBackend::new()), Err(ProbeError::Refused(_))));
}
