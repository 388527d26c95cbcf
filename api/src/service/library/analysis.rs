//! What an answer is to tell about a picture beside its record (api.md 3.5 and 4.3): computed once, in the eager lane, and
//! kept with the asset until it is overwritten.

use super::LibraryService;
use super::archive_stream::from_delivery_error;
use super::breakpoints::{BreakpointRequest, read_breakpoints};
use super::details::faces;
use super::view;
use crate::domain::{Asset, ResourceType};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use serde_json::{Map, Value};

/// Parameters, and the blocks that they ask for.
const BLOCKS: &[(&str, &[&str])] = &[
    ("colors", &["colors", "predominant", "grayscale", "semi_transparent", "illustration_score"]),
    ("phash", &["phash"]),
    ("image_metadata", &["image_metadata", "grayscale", "semi_transparent", "illustration_score"]),
    ("media_metadata", &["image_metadata"]),
    ("exif", &["exif"]),
    ("quality_analysis", &["quality_analysis"]),
    ("accessibility_analysis", &["accessibility_analysis"]),
    ("cinemagraph_analysis", &["cinemagraph_analysis"]),
];

/// What a call wants to know.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnalysisRequest {
    blocks: Vec<&'static str>,
    faces: bool,
    breakpoints: Vec<BreakpointRequest>,
}

impl AnalysisRequest {
    pub fn read(params: &Params) -> Result<Self, ApiError> {
        let mut blocks = Vec::new();
        for (name, asked) in BLOCKS {
            if params.is_set(name)? {
                blocks.extend(asked.iter().filter(|block| !blocks.contains(*block)).copied().collect::<Vec<_>>());
            }
        }
        Ok(AnalysisRequest { blocks, faces: params.is_set("faces")?, breakpoints: read_breakpoints(params)? })
    }
}

impl LibraryService {
    /// The blocks of an answer that were asked for. Files without pixels have none.
    pub async fn analyze(
        &self,
        caller: &Caller,
        asset: &Asset,
        request: &AnalysisRequest,
    ) -> Result<Map<String, Value>, ApiError> {
        let mut body = Map::new();
        if asset.key.resource_type != ResourceType::Image || asset.placeholder {
            return Ok(body);
        }
        if !request.blocks.is_empty() {
            let known = match request.blocks.iter().all(|name| asset.details.analysis.contains_key(*name)) {
                true => asset.details.analysis.clone(),
                false => self.describe(asset).await?,
            };
            for name in &request.blocks {
                if let Some(value) = known.get(*name) {
                    body.insert((*name).to_owned(), value.clone());
                }
            }
        }
        if request.faces {
            let regions = match faces(asset) {
                known if !known.is_empty() || asset.faces.is_some() => view::regions(known),
                _ => view::regions(&self.parts.eager.find_faces(asset).await.map_err(from_delivery_error)?),
            };
            body.insert("faces".to_owned(), regions);
        }
        if !request.breakpoints.is_empty() {
            let found = self.breakpoints(caller, asset, &request.breakpoints).await?;
            body.insert("responsive_breakpoints".to_owned(), found);
        }
        Ok(body)
    }

    /// Looks at a picture, and keeps what was seen unless it was overwritten meanwhile.
    async fn describe(&self, asset: &Asset) -> Result<Map<String, Value>, ApiError> {
        let found = self.parts.eager.describe(asset).await.map_err(from_delivery_error)?;
        let (version, kept) = (asset.version_id.clone(), found.clone());
        let keep = move |asset: &mut Asset| {
            if asset.version_id == version {
                asset.details.analysis.extend(kept);
            }
            true
        };
        self.parts.library.change_asset(&asset.key, keep).await?;
        Ok(found)
    }
}
