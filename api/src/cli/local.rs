//! Rendering local files with the same planner, backends and codecs as the server.

use crate::app::choose_renderer;
use crate::config::RendererChoice;
use crate::demo::SAMPLES;
use crate::service::animate;
use bytes::Bytes;
use clap::ArgMatches;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tintype_render::backend::Backend;
use tintype_render::cpu::CpuBackend;
use tintype_render::face::FaceDetector;
use tintype_render::language::{self, Format, Transformation};
use tintype_render::pipeline::{self, Request};
use tintype_render::plan::facts::{AcceptClass, Facts, Profile, Purpose, SourceFacts};
use tintype_render::{Limits, codec};

/// Bytes of the GPU's arena for one local picture.
const GPU_BUDGET_BYTES: u64 = 1 << 30;

/// A local file and the layers that its transformation names.
pub(super) struct Local {
    pub request: Request,
    /// In the order of `pipeline::source_ids`.
    pub sources: Vec<Bytes>,
}

/// Reads everything that rendering a file needs. `output` decides the format unless `f_` does.
pub(super) fn open(
    arguments: &ArgMatches,
    input: &str,
    output: Option<&str>,
    profile: Profile,
) -> Result<Local, String> {
    let limits = Limits::default();
    let text = arguments.get_one::<String>("transformation").map_or("", String::as_str);
    let transformation = language::parse(text, &limits).map_err(|error| error.to_string())?;
    let extension = match output.and_then(|path| Path::new(path).extension()) {
        None => None,
        Some(extension) => {
            let extension = extension.to_string_lossy();
            Some(Format::from_extension(&extension).ok_or_else(|| format!("{extension} files cannot be written"))?)
        }
    };
    let base = read(input)?;
    let pages = codec::probe(&base, &limits).map_err(|error| format!("{input}: {error}"))?.pages;
    if animate::moving(&transformation, pages, extension.or(Some(Format::Gif))).is_some() && output.is_some() {
        return Err(format!("{input} is an animation of {pages} frames; name one of them with pg_1 to pg_{pages}"));
    }
    let layers = layers(arguments, &transformation)?;
    let facts = Facts {
        base: facts(&base, input, &limits)?,
        layers: layers
            .iter()
            .map(|(id, bytes)| Ok((id.clone(), facts(bytes, id, &limits)?)))
            .collect::<Result<_, String>>()?,
    };
    // A file has no client whose Accept header could be asked; f_auto falls back to what everybody reads.
    let purpose = Purpose { profile, extension, accept: AcceptClass::default() };
    let request = Request { transformation: Arc::new(transformation), facts, purpose };
    let sources = pipeline::source_ids(&request)
        .into_iter()
        .map(|id| match id {
            None => Ok(base.clone()),
            Some(id) => layers.get(&id).cloned().ok_or_else(|| format!("the layer {id} was not given")),
        })
        .collect::<Result<_, String>>()?;
    Ok(Local { request, sources })
}

fn read(path: &str) -> Result<Bytes, String> {
    std::fs::read(path).map(Bytes::from).map_err(|error| format!("cannot read {path}: {error}"))
}

fn layers(arguments: &ArgMatches, transformation: &Transformation) -> Result<BTreeMap<String, Bytes>, String> {
    let mut given = BTreeMap::new();
    for pair in arguments.get_many::<String>("layer").unwrap_or_default() {
        let (id, path) = pair.split_once('=').ok_or_else(|| format!("--layer {pair}: write ID=FILE"))?;
        given.insert(id.to_owned(), path.to_owned());
    }
    let mut layers = BTreeMap::new();
    for id in transformation.layer_ids() {
        let bytes = match given.get(id) {
            Some(path) => read(path)?,
            None => match SAMPLES.iter().find(|(sample, ..)| *sample == id) {
                Some((.., bytes)) => Bytes::from_static(bytes),
                None => return Err(format!("the layer {id} is not known; give it with --layer {id}=FILE")),
            },
        };
        layers.insert(id.to_owned(), bytes);
    }
    Ok(layers)
}

fn facts(bytes: &[u8], name: &str, limits: &Limits) -> Result<SourceFacts, String> {
    // Only the pixels of a GIF tell for certain whether it is opaque.
    let found = codec::verify(bytes, limits).map_err(|error| format!("{name}: {error}"))?;
    Ok(SourceFacts {
        size: found.size,
        orientation: found.orientation,
        format: found.format,
        has_alpha: found.has_alpha,
        faces: None,
        custom: vec![],
    })
}

/// `tintype render`
pub(super) fn render(arguments: &ArgMatches) -> Result<(), String> {
    let word = |name: &str| arguments.get_one::<String>(name).map_or("", String::as_str);
    let (input, output) = (word("input"), word("output"));
    let profile = if word("profile") == "fast" { Profile::Fast } else { Profile::Quality };
    let local = open(arguments, input, Some(output), profile)?;
    let limits = Limits::default();
    let text = |error: tintype_render::Error| error.to_string();
    let detector = FaceDetector::new().map_err(text)?;
    let prepared = pipeline::prepare(&local.request, &local.sources, &detector, &limits).map_err(text)?;
    let chosen = choose_renderer(renderer(word("renderer")), GPU_BUDGET_BYTES).map_err(|error| error.to_string())?;
    let jobs = [prepared.job];
    let mut rendered = chosen.backend.as_ref().map(|gpu| gpu.execute(&jobs).remove(0));
    let mut by = "gpu";
    if !matches!(rendered, Some(Ok(_))) {
        if let Some(Err(reason)) = &rendered {
            eprintln!("tintype: the GPU did not render it ({reason}), the CPU does");
        }
        by = "cpu";
        rendered = Some(CpuBackend::new().execute(&jobs).remove(0));
    }
    let result = match rendered {
        Some(Ok(result)) => result,
        Some(Err(reason)) => return Err(reason.to_string()),
        None => return Err("nothing rendered".into()),
    };
    let picture = pipeline::finish(result, &prepared.encoding, &limits).map_err(text)?;
    std::fs::write(output, &picture.bytes).map_err(|error| format!("cannot write {output}: {error}"))?;
    let quality = picture.quality.map_or(String::new(), |quality| format!(", quality {quality}"));
    super::print(&format!(
        "{output}: {} {}, {} bytes{quality}, rendered by the {by}",
        picture.size,
        picture.format.extension(),
        picture.bytes.len()
    ));
    Ok(())
}

pub(super) fn renderer(word: &str) -> RendererChoice {
    match word {
        "gpu" => RendererChoice::Gpu,
        "cpu" => RendererChoice::Cpu,
        "software" => RendererChoice::Software,
        _ => RendererChoice::Auto,
    }
}
