//! Nouns of the product and the invariants they keep. Nothing here knows SQL, HTTP or files.

mod account;
mod asset;
mod derived;
mod ids;
mod job;
mod time;
mod usage;

pub use account::{ApiKey, Cloud, CloudName, Secret};
pub use asset::{
    AccessMode, Asset, AssetDetails, AssetKey, AssetVersion, DeliveryType, MadeOf, Metadata, Moderation, NewAsset,
    Orientation, PixelSize, PublicId, Region, ResourceType, SpritePlace,
};
pub use derived::{Derived, DerivedKey};
pub use ids::{AssetId, BlobKey, CloudId, JobId, VersionId};
pub use job::{Job, JobKind, JobState, NewJob};
pub use time::{Day, Timestamp};
pub use usage::{Usage, UsageDelta};

/// A value that does not keep the invariant of its type. The text is safe to show outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is invalid: {reason}")]
pub struct InvalidValue {
    /// The type, in words: `cloud name`, `public_id`.
    pub what: &'static str,
    pub reason: &'static str,
}

impl InvalidValue {
    pub(crate) fn new(what: &'static str, reason: &'static str) -> Self {
        Self { what, reason }
    }
}
