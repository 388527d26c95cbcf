//! Looking at an asset: renderings that are measured and not kept, and what a picture tells about itself.

use super::derive::{DeriveError, Deriver, Known};
use crate::domain::{Asset, PixelSize, Region};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tintype_render::analyze::{self, Analysis, ColorblindAccess};
use tintype_render::codec;
use tintype_render::language::{self, Format, Transformation};
use tintype_render::plan::facts::Purpose;
use tintype_render::plan::geometry::Rect;
use tintype_render::plan::step::Demand;
use tintype_scheduler::Lane;

/// A rendering that nobody keeps.
#[derive(Debug, Clone)]
pub struct Look {
    pub bytes: Bytes,
    pub format: Format,
    pub size: PixelSize,
    /// Faces of the original, where they were looked for.
    pub faces: Option<Vec<Region>>,
}

/// Transformation under which faces are looked for: the least that needs them.
const FACES: &str = "c_thumb,g_faces,w_16,h_16";
/// Most frames of an animation that are compared, and their longest side in pixels.
const MOTION_FRAMES: u32 = 8;
const MOTION_SIDE: u32 = 128;

impl Deriver {
    /// Renders a picture in the eager lane, or finds it, and keeps nothing.
    pub(super) async fn look(
        &self,
        asset: &Asset,
        transformation: Arc<Transformation>,
        purpose: Purpose,
    ) -> Result<Look, DeriveError> {
        match self.look_up(asset, transformation, purpose, Lane::Eager).await? {
            Known::Kept(picture) => {
                Ok(Look { bytes: picture.bytes, format: picture.format, size: picture.size, faces: None })
            }
            Known::Wanted(wanted) => {
                let rendered = match &wanted.fresh {
                    Some(rendered) => rendered.clone(),
                    None => self.submit(&wanted).await?,
                };
                let faces =
                    rendered.found.iter().find(|found| found.layer.is_none()).map(|found| {
                        found.faces.iter().map(|face| [face.x, face.y, face.width, face.height]).collect()
                    });
                let size = rendered.picture.size;
                Ok(Look {
                    bytes: rendered.picture.bytes.clone(),
                    format: rendered.picture.format,
                    size: PixelSize { width: size.width, height: size.height },
                    faces,
                })
            }
        }
    }

    /// Faces that the detector finds, recorded with the asset; those that are known already are not looked for again.
    pub(super) async fn find_faces(&self, asset: &Asset) -> Result<Vec<Region>, DeriveError> {
        if let Some(faces) = &asset.faces {
            return Ok(faces.clone());
        }
        // Supplied coordinates would keep the detector from looking.
        let bare = Asset { face_coordinates: vec![], ..asset.clone() };
        let transformation = Arc::new(language::parse(FACES, self.limits())?);
        let purpose = Purpose { extension: Some(Format::Png), ..Purpose::default() };
        let faces = self.look(&bare, transformation, purpose).await?.faces.unwrap_or_default();
        self.record_faces(asset, &faces).await?;
        Ok(faces)
    }

    /// Frames of an animation, evenly spread and reduced; of a still picture none.
    async fn frames(&self, asset: &Asset) -> Result<Vec<Bytes>, DeriveError> {
        let count = asset.details.pages.min(MOTION_FRAMES);
        let mut frames = Vec::new();
        for number in 0..if count > 1 { count } else { 0 } {
            let page = number * asset.details.pages / count + 1;
            let text = format!("pg_{page}/c_limit,w_{MOTION_SIDE},h_{MOTION_SIDE}");
            let transformation = Arc::new(language::parse(&text, self.limits())?);
            let purpose = Purpose { extension: Some(Format::Png), ..Purpose::default() };
            frames.push(self.look(asset, transformation, purpose).await?.bytes);
        }
        Ok(frames)
    }

    /// All blocks of analysis of a picture, by their names in answers.
    pub(super) async fn describe(&self, asset: &Asset) -> Result<Map<String, Value>, DeriveError> {
        let text = format!("c_limit,w_{side},h_{side}", side = analyze::SIDE);
        let transformation = Arc::new(language::parse(&text, self.limits())?);
        let purpose = Purpose { extension: Some(Format::Png), ..Purpose::default() };
        let small = self.look(asset, transformation, purpose).await?;
        let frames = self.frames(asset).await?;
        let original = self.original(asset).await?;
        let limits = self.limits().clone();
        // The reduced pictures decoded, and all files.
        let side = u64::from(analyze::SIDE);
        let motion_side = u64::from(MOTION_SIDE);
        let of_frames: u64 = frames.iter().map(|frame| motion_side * motion_side * 4 + frame.len() as u64).sum();
        let cost = side * side * 4 + original.len() as u64 + small.bytes.len() as u64 + of_frames;
        let task = move || -> Result<_, tintype_render::Error> {
            let whole = |bytes: &Bytes| -> Result<_, tintype_render::Error> {
                let size = codec::probe(bytes, &limits)?.size;
                let demand = Demand { size, scale: 1.0, region: Rect::whole(size) };
                Ok(codec::decode(bytes, &demand, &limits)?.0)
            };
            let frames = frames.iter().map(whole).collect::<Result<Vec<_>, _>>()?;
            let motion = analyze::cinemagraph_score(&frames);
            Ok((analyze::analyze(&whole(&small.bytes)?), motion, codec::exif_fields(&original)))
        };
        let (found, motion, exif) = self.run(cost, task).await??;
        Ok(blocks(&found, motion, exif))
    }
}

fn blocks(found: &Analysis, motion: f64, exif: Vec<(String, String)>) -> Map<String, Value> {
    let colors: Vec<Value> = found.colors.iter().map(|share| json!([share.color, share.percent])).collect();
    let exif: Map<String, Value> = exif.into_iter().map(|(name, value)| (name, json!(value))).collect();
    let mut blocks = Map::new();
    for (name, value) in [
        ("colors", json!(colors)),
        ("predominant", json!({ "google": found.google, "cloudinary": found.cloudinary })),
        ("phash", json!(format!("{:016x}", found.phash))),
        ("quality_analysis", json!({ "focus": found.focus })),
        ("cinemagraph_analysis", json!({ "cinemagraph_score": motion })),
        ("accessibility_analysis", accessibility(&found.colorblind)),
        ("illustration_score", json!(found.illustration)),
        ("grayscale", json!(found.grayscale)),
        ("semi_transparent", json!(found.semi_transparent)),
        ("image_metadata", Value::Object(exif.clone())),
        ("exif", Value::Object(exif)),
    ] {
        blocks.insert(name.to_owned(), value);
    }
    blocks
}

fn accessibility(found: &ColorblindAccess) -> Value {
    let pair: &[String] = found.most_indistinct_pair.as_ref().map_or(&[], |pair| pair);
    json!({
        "colorblind_accessibility_analysis": {
            "distinct_edges": found.distinct_edges,
            "distinct_colors": found.distinct_colors,
            "most_indistinct_pair": pair,
        },
        "colorblind_accessibility_score": found.score,
    })
}
