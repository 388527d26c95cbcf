//! What an upload needs from the renderer. Implemented where the renderer and the scheduler are joined.

use super::deliver_types::DeliveryError;
use super::params::EagerEntry;
use crate::domain::{Asset, Cloud, Orientation, PixelSize, Region};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};
use tintype_render::language::Format;

/// What a file turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureFacts {
    pub format: Format,
    /// As the file stores it, before `orientation`.
    pub stored_size: PixelSize,
    pub orientation: Orientation,
    pub has_alpha: bool,
    /// Pages of the file, frames of an animation.
    pub pages: u32,
}

/// Why a picture could not be inspected or converted.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The renderer refused; whose fault it is follows from the error.
    #[error(transparent)]
    Render(#[from] tintype_render::Error),
    /// Everything is in use.
    #[error("the server is busy")]
    Busy,
    /// Ours. The text is for the log.
    #[error("{0}")]
    Internal(String),
}

/// Looks into uploaded files.
#[async_trait]
pub trait Pictures: Send + Sync {
    /// Reads the header and makes sure that the pixels can be decoded.
    async fn inspect(&self, bytes: Bytes) -> Result<PictureFacts, PictureError>;

    /// The picture under a transformation (which may be empty) in a format, upright, at the quality that eager pictures
    /// get; and the extension of the format that it has.
    async fn convert(&self, bytes: Bytes, transformation: &str, format: Format) -> Result<Bytes, PictureError>;
}

/// A rendered eager picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EagerPicture {
    pub width: u32,
    pub height: u32,
    pub bytes: u64,
    /// Extension of the actual format.
    pub format: String,
}

/// A rendered picture with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadePicture {
    pub bytes: Bytes,
    pub format: Format,
    /// MD5 of the bytes in hexadecimal.
    pub etag: String,
}

/// Renders what an upload wants to have ready.
#[async_trait]
pub trait Eager: Send + Sync {
    /// Refuses what can never be rendered, before anything of the upload is stored.
    fn check(&self, entry: &EagerEntry) -> Result<(), tintype_render::Error>;

    /// Renders and keeps every entry, so that delivery finds it; one result for each, in order. The asset is stored.
    async fn render(
        &self,
        cloud: &Cloud,
        asset: &Asset,
        entries: &[EagerEntry],
    ) -> Vec<Result<EagerPicture, DeliveryError>>;

    /// One picture, rendered in the same lane and kept like those, unless it is there already; `None` when the original as
    /// it is was asked for.
    async fn picture(
        &self,
        cloud: &Cloud,
        asset: &Asset,
        entry: &EagerEntry,
    ) -> Result<Option<MadePicture>, DeliveryError>;

    /// As [`Eager::render`] for one entry, but nothing is kept.
    async fn measure(&self, asset: &Asset, entry: &EagerEntry) -> Result<EagerPicture, DeliveryError>;

    /// Faces that the detector finds in the original, recorded with the asset.
    async fn find_faces(&self, asset: &Asset) -> Result<Vec<Region>, DeliveryError>;

    /// Blocks of analysis by their names in answers: `colors`, `predominant`, `phash`, `quality_analysis`, `exif`,
    /// `image_metadata`, `grayscale`, `semi_transparent`.
    async fn describe(&self, asset: &Asset) -> Result<Map<String, Value>, DeliveryError>;
}
