//! The kernel table compiled for one device.

use super::cache::PipelineCache;
use super::device::Device;
use crate::backend::FallbackReason;
use tintype_shaders::{KERNELS, KernelSource};

/// One kernel, ready to be dispatched.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub kernel: &'static KernelSource,
    pub raw: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    /// Binds the buffers that the kernel names. Errors when it names one that is not there.
    pub fn bind<'a>(
        &self,
        device: &wgpu::Device,
        resource: impl Fn(&str) -> Option<wgpu::BindingResource<'a>>,
    ) -> Result<wgpu::BindGroup, FallbackReason> {
        let entries = self.kernel.bindings.iter().map(|binding| {
            let resource = resource(binding.name)?;
            Some(wgpu::BindGroupEntry { binding: binding.index, resource })
        });
        let entries: Option<Vec<_>> = entries.collect();
        let entries = entries.ok_or_else(|| {
            FallbackReason::DeviceError(format!("kernel {} names an unknown binding", self.kernel.name))
        })?;
        Ok(device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.kernel.name),
            layout: &self.layout,
            entries: &entries,
        }))
    }
}

/// Compiles every kernel, in the order of the table.
pub(super) fn compile(device: &Device, cache: &PipelineCache) -> Result<Vec<Pipeline>, FallbackReason> {
    let cache = cache.raw.as_ref();
    KERNELS.iter().map(|kernel| device.scoped(|| Ok(pipeline(&device.raw, kernel, cache)))).collect()
}

fn pipeline(device: &wgpu::Device, kernel: &'static KernelSource, cache: Option<&wgpu::PipelineCache>) -> Pipeline {
    let label = Some(kernel.name);
    let entries: Vec<_> = kernel.bindings.iter().map(layout_entry).collect();
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(&layout)],
        ..wgpu::PipelineLayoutDescriptor::default()
    });
    let source = wgpu::ShaderSource::Wgsl(kernel.source.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
    let raw = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some(kernel.entry),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache,
    });
    Pipeline { kernel, raw, layout }
}

fn layout_entry(binding: &tintype_shaders::Binding) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding: binding.index,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only: !binding.writable },
            has_dynamic_offset: false,
            min_binding_size: std::num::NonZeroU64::new(u64::from(binding.stride)),
        },
        count: None,
    }
}
