//! Joins, validates and reflects the WGSL sources, and writes the kernel table that `src/lib.rs` includes.
//!
//! What a reader would otherwise have to keep equal by hand is asserted at compile time in the generated code: the
//! layout of every structure that the host writes, and the constants that both sides use.

use naga::proc::Layouter;
use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Expression, Literal, Module, Scalar, StorageAccess, Type, TypeInner};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

type Failure = Box<dyn std::error::Error>;

fn main() {
    println!("cargo::rerun-if-changed=wgsl");
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(failure) = generate() {
        eprintln!("{failure}");
        process::exit(1);
    }
}

fn generate() -> Result<(), Failure> {
    let mut common = String::new();
    for path in sources(Path::new("wgsl/common"))? {
        common.push_str(&fs::read_to_string(path)?);
        common.push('\n');
    }
    let mut table = Table::default();
    for path in sources(Path::new("wgsl"))? {
        let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or("a shader has no name")?.to_owned();
        let source = format!("{common}{}", fs::read_to_string(&path)?);
        let module = naga::front::wgsl::parse_str(&source)
            .map_err(|error| error.emit_to_string_with_path(&source, &format!("common + {}", path.display())))?;
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&module)
            .map_err(|error| error.emit_to_string_with_path(&source, &format!("common + {}", path.display())))?;
        table.add(&name, &source, &module, &info)?;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("kernels.rs"), table.print()?)?;
    Ok(())
}

/// WGSL files directly in a folder, in order of their names.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wgsl") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// What the generated file is printed from.
#[derive(Default)]
struct Table {
    kernels: String,
    names: Vec<String>,
    /// Structures that the host writes, by name.
    layouts: BTreeMap<String, Layout>,
    constants: BTreeMap<String, u32>,
}

#[derive(PartialEq, Clone)]
struct Layout {
    size: u32,
    fields: Vec<(String, u32, String)>,
}

impl Table {
    fn add(&mut self, name: &str, source: &str, module: &Module, info: &ModuleInfo) -> Result<(), Failure> {
        let mut layouter = Layouter::default();
        layouter.update(module.to_ctx())?;
        self.collect_constants(module);
        for (index, entry) in module.entry_points.iter().enumerate() {
            let constant = match entry.name.as_str() {
                "main" => name.to_uppercase(),
                other => format!("{name}_{other}").to_uppercase(),
            };
            let usage = info.get_entry_point(index);
            let mut bindings = String::new();
            for (handle, variable) in module.global_variables.iter() {
                let (Some(binding), AddressSpace::Storage { access }) = (&variable.binding, variable.space) else {
                    return Err(format!("{name}: only storage buffers are bound").into());
                };
                let TypeInner::Array { base, stride, .. } = module.types[variable.ty].inner else {
                    return Err(format!("{name}: every binding is an array").into());
                };
                if let TypeInner::Struct { .. } = module.types[base].inner {
                    self.collect_layout(module, base, &layouter)?;
                }
                if usage[handle] == GlobalUse::empty() {
                    continue;
                }
                let label = variable.name.as_deref().ok_or("a binding has no name")?;
                if binding.group != 0 {
                    return Err(format!("{name}: {label} is not in group 0").into());
                }
                writeln!(
                    bindings,
                    "            Binding {{ index: {}, name: {label:?}, writable: {}, stride: {stride} }},",
                    binding.binding,
                    access.contains(StorageAccess::STORE),
                )?;
            }
            writeln!(
                self.kernels,
                "    KernelSource {{\n        name: {name:?},\n        entry: {:?},\n        workgroup: {:?},\n        \
                 bindings: &[\n{bindings}        ],\n        source: {source:?},\n    }},",
                entry.name, entry.workgroup_size,
            )?;
            self.names.push(constant);
        }
        Ok(())
    }

    /// Named constants of whole numbers; the host tiles by them.
    fn collect_constants(&mut self, module: &Module) {
        for (_, constant) in module.constants.iter() {
            let value = &module.global_expressions[constant.init];
            if let (Some(name), Expression::Literal(Literal::U32(value))) = (&constant.name, value) {
                self.constants.insert(name.clone(), *value);
            }
        }
    }

    fn collect_layout(
        &mut self,
        module: &Module,
        handle: naga::Handle<Type>,
        layouter: &Layouter,
    ) -> Result<(), Failure> {
        let ty = &module.types[handle];
        let (Some(name), TypeInner::Struct { members, .. }) = (&ty.name, &ty.inner) else {
            return Err("only named structures are written by the host".into());
        };
        let mut fields = Vec::new();
        for member in members {
            let field = member.name.clone().ok_or("a field has no name")?;
            let inner = &module.types[member.ty];
            let host = match inner.inner {
                TypeInner::Scalar(Scalar::U32) => "u32".to_owned(),
                TypeInner::Scalar(Scalar::I32) => "i32".to_owned(),
                TypeInner::Scalar(Scalar::F32) => "f32".to_owned(),
                TypeInner::Struct { .. } => {
                    self.collect_layout(module, member.ty, layouter)?;
                    let inner = inner.name.as_deref().ok_or("a structure has no name")?;
                    format!("crate::params::{inner}")
                }
                _ => return Err(format!("{name}.{field}: only u32, i32, f32 and structures of them").into()),
            };
            fields.push((field, member.offset, host));
        }
        let layout = Layout { size: layouter[handle].to_stride(), fields };
        match self.layouts.insert(name.clone(), layout.clone()) {
            Some(other) if other != layout => Err(format!("two structures are called {name}").into()),
            _ => Ok(()),
        }
    }

    fn print(&self) -> Result<String, Failure> {
        let mut text =
            String::from("/// Every kernel, ready to be compiled.\npub const KERNELS: &[KernelSource] = &[\n");
        text.push_str(&self.kernels);
        text.push_str("];\n\n/// Indices into [`KERNELS`].\npub mod kernel {\n");
        for (index, name) in self.names.iter().enumerate() {
            writeln!(text, "    pub const {name}: usize = {index};")?;
        }
        text.push_str("}\n\n/// Constants of the shaders that the host has to know.\npub mod constant {\n");
        for (name, value) in &self.constants {
            writeln!(text, "    pub const {name}: u32 = {value};")?;
        }
        text.push_str("}\n\n/// Structures whose layout was reflected and proved equal to that of `params`: name and size in bytes.\n");
        text.push_str("pub const LAYOUTS: &[(&str, u32)] = &[");
        for (name, layout) in &self.layouts {
            write!(text, "({name:?}, {}), ", layout.size)?;
        }
        text.push_str("];\n\nconst _: () = {\n    use crate::params::*;\n    use std::mem::{offset_of, size_of};\n");
        for (name, layout) in &self.layouts {
            let size = layout.size;
            writeln!(text, "    assert!(size_of::<{name}>() == {size}, \"{name} has another size in WGSL\");")?;
            for (field, offset, host) in &layout.fields {
                writeln!(
                    text,
                    "    assert!(offset_of!({name}, {field}) == {offset}, \"{name}.{field} is elsewhere\");"
                )?;
                writeln!(text, "    let _: fn(&{name}) -> &{host} = |value| &value.{field};")?;
            }
        }
        text.push_str("};\n");
        Ok(text)
    }
}
