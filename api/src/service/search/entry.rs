//! One match in the answer of a search.

use crate::domain::{Asset, ResourceType};
use crate::service::call::{ApiError, Params};
use crate::service::library::View;
use crate::service::library::view;
use serde_json::{Map, Value, json};

/// Blocks that are shown where `with_field` names them.
const BLOCKS: &[&str] = &[
    "tags",
    "context",
    "metadata",
    "image_metadata",
    "image_analysis",
    "quality_analysis",
    "accessibility_analysis",
    "moderation",
];
/// What every narrowed entry has, beside its folder.
const BASIC: &[&str] = &["public_id", "asset_id", "created_at", "status", "type", "resource_type"];

/// Which parts of an asset an entry shows.
pub struct Shape {
    blocks: Vec<String>,
    /// Only these and the basic ones, unless empty.
    fields: Vec<String>,
}

impl Shape {
    pub fn read(params: &Params) -> Result<Self, ApiError> {
        let (blocks, fields) = (params.list("with_field"), params.list("fields"));
        if let Some(unknown) = blocks.iter().find(|block| !BLOCKS.contains(&block.as_str())) {
            return Err(ApiError::invalid("with_field", unknown));
        }
        Ok(Shape { blocks, fields })
    }

    pub fn entry(&self, view: &View, asset: &Asset) -> Value {
        let mut body = view.found(asset);
        if self.fields.is_empty() {
            for name in &self.blocks {
                body.insert(name.clone(), block(asset, name));
            }
            return Value::Object(body);
        }
        for name in self.fields.iter().filter(|field| BLOCKS.contains(&field.as_str())) {
            body.insert(name.clone(), block(asset, name));
        }
        let folder = if body.contains_key("folder") { "folder" } else { "asset_folder" };
        let wanted = |name: &str| BASIC.contains(&name) || name == folder || self.fields.iter().any(|f| f == name);
        Value::Object(body.into_iter().filter(|(name, _)| wanted(name)).collect::<Map<_, _>>())
    }
}

/// A block of an asset. Clients read the blocks that they asked for without looking whether they are there.
fn block(asset: &Asset, name: &str) -> Value {
    let analysis = &asset.details.analysis;
    match name {
        "tags" => json!(asset.tags),
        // Without the `custom` around it that other answers have.
        "context" => json!(asset.context),
        "metadata" => Value::Object(asset.metadata.clone()),
        "moderation" => view::moderation(asset, true),
        "image_analysis" => {
            let faces = match asset.face_coordinates.is_empty() {
                false => Some(asset.face_coordinates.as_slice()),
                true => asset.faces.as_deref(),
            };
            let mut body = Map::new();
            if let Some(faces) = faces {
                body.insert("face_count".to_owned(), json!(faces.len()));
                body.insert("faces".to_owned(), view::regions(faces));
            }
            if asset.key.resource_type == ResourceType::Image {
                body.insert("transparent".to_owned(), json!(asset.has_alpha));
            }
            body.insert("etag".to_owned(), json!(asset.etag));
            if let Some(colors) = analysis.get("colors") {
                body.insert("colors".to_owned(), colors.clone());
            }
            Value::Object(body)
        }
        other => analysis.get(other).cloned().unwrap_or_else(|| json!({})),
    }
}
