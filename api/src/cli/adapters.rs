//! What `tintype doctor` says of graphics adapters.

use super::print;
use crate::app;
use crate::config::Config;
use std::sync::Arc;
use tintype_render::choice::{Choice, ProvenGpu, calibrate};
use tintype_render::cpu::CpuBackend;
use tintype_render::gpu;

/// Prints every adapter, the choice and why, and what each device that is used was measured to do. Gives the number of
/// problems, and whether there is such a device.
pub(super) fn report(config: &Config) -> (usize, bool) {
    let adapters = gpu::adapters();
    print(if adapters.is_empty() { "adapters: none (no Vulkan driver was found)" } else { "adapters:" });
    for adapter in &adapters {
        let megabytes = adapter.max_binding_bytes >> 20;
        let place = match (adapter.bus.as_str(), adapter.ordinal) {
            ("", 0) => String::new(),
            ("", ordinal) => format!(", number {}", ordinal + 1),
            (bus, _) => format!(", at {bus}"),
        };
        print(&format!(
            "  {:?} {} ({}, {:?}){place}, binds {megabytes} MB",
            adapter.kind, adapter.name, adapter.driver, adapter.backend
        ));
    }
    match app::choose_renderer_of(config) {
        Ok(choice) => {
            print(&format!("renderer: {}", choice.reason));
            describe(&choice);
            (0, !choice.devices.is_empty())
        }
        Err(error) => {
            print(&format!("renderer: PROBLEM: {error}"));
            (1, false)
        }
    }
}

fn describe(choice: &Choice) {
    for (adapter, why) in &choice.refused {
        print(&format!("  not used: {}: {why}", adapter.name));
    }
    for device in &choice.devices {
        let options = device.gpu().options();
        print(&format!(
            "  {}: budget {} MB, {} windows on their way, compiled kernels: {}",
            device.gpu().adapter().name,
            options.budget_bytes >> 20,
            options.slots,
            device.gpu().cache_use()
        ));
        print(&measured(device));
    }
}

/// What decides between device and CPU, measured now where the choice did not need it.
fn measured(device: &Arc<ProvenGpu>) -> String {
    let options = device.gpu().options();
    let (model, role) = match (device.model(), options.clock) {
        (Some(model), _) => (*model, "decides for every batch"),
        (None, Some(clock)) => match calibrate(&**device.gpu(), &CpuBackend::new(), clock, options.cpu_threads) {
            Ok(model) => (model, "the device was demanded and gets everything"),
            Err(reason) => return format!("    calibration failed: {reason}"),
        },
        (None, None) => return "    not measured: there is no clock".into(),
    };
    let lines = model.to_string();
    let lines: Vec<_> = lines.lines().map(|line| format!("    {line}")).collect();
    format!("    calibration ({role}):\n{}", lines.join("\n"))
}
