//! `tintype explain`: the plan of a picture as JSON, which is how a person debugs one.

use super::{load, local, print, runtime};
use crate::app;
use crate::service::deliver::explain_path;
use clap::ArgMatches;
use serde_json::json;
use std::path::Path;
use tintype_render::Limits;
use tintype_render::face::FaceDetector;
use tintype_render::language::canonical;
use tintype_render::pipeline::{self, Request};
use tintype_render::plan::facts::{Measure, Stage};
use tintype_render::plan::{self, Plan};

pub(super) fn explain(arguments: &ArgMatches) -> Result<(), String> {
    let config = load(arguments)?;
    let picture = arguments.get_one::<String>("picture").map_or("", String::as_str);
    let (mut request, sources) = if Path::new(picture).is_file() {
        let local = local::open(arguments, picture, None, app::profile(&config))?;
        (local.request, local.sources)
    } else {
        runtime()?.block_on(async {
            let catalog = app::open_catalog(&config).await.map_err(|error| error.to_string())?;
            let store = app::open_store(&config).await.map_err(|error| error.to_string())?;
            explain_path(catalog, store, picture, &app::limits(&config), app::profile(&config)).await
        })?
    };
    let limits = app::limits(&config);
    let plan = measured_plan(&mut request, &sources, &limits)?;
    let cost = pipeline::cost_bytes(&request, &limits).map_err(|error| error.to_string())?;
    let answer = json!({
        "transformation": canonical(&request.transformation),
        "faces": request.facts.base.faces,
        "memory_bytes": cost,
        "plan": plan,
    });
    print(&serde_json::to_string_pretty(&answer).map_err(|error| error.to_string())?);
    Ok(())
}

/// The plan, looking for faces where it depends on them.
fn measured_plan(request: &mut Request, sources: &[bytes::Bytes], limits: &Limits) -> Result<Plan, String> {
    let text = |error: tintype_render::Error| error.to_string();
    let ids = pipeline::source_ids(request);
    loop {
        match plan::resolve(&request.transformation, &request.facts, &request.purpose, limits).map_err(text)? {
            Stage::Done(plan) => return Ok(plan),
            Stage::Measure(Measure::Faces { source }) => {
                let facts = match ids.get(source).cloned().flatten() {
                    None => &mut request.facts.base,
                    Some(id) => request.facts.layers.get_mut(&id).ok_or("a layer is missing")?,
                };
                let bytes = sources.get(source).ok_or("a source is missing")?;
                let page = if source == 0 { plan::page(&request.transformation).map_err(text)? } else { 0 };
                let detector = FaceDetector::new().map_err(text)?;
                facts.faces = Some(pipeline::find_faces(facts, page, bytes, &detector, limits).map_err(text)?);
            }
        }
    }
}
