//! Uploaded originals and how they are addressed.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{AssetId, BlobKey, CloudId, InvalidValue, Timestamp, VersionId};

/// Defines an enum whose values are spelled as lowercase words in URLs and rows.
macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident, $words:literal, $($variant:ident = $word:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($variant),+
        }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;

            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(InvalidValue::new($words, "it is not one of the known words")),
                }
            }
        }
    };
}

word_enum!(
    /// What kind of file an asset is.
    ResourceType, "resource type", Image = "image", Video = "video", Raw = "raw"
);
word_enum!(
    /// How an asset may be delivered.
    DeliveryType, "type", Upload = "upload", Private = "private", Authenticated = "authenticated", Text = "text",
    Sprite = "sprite", Multi = "multi"
);
word_enum!(
    /// Who may see an asset of delivery type `upload`.
    AccessMode, "access mode", Public = "public", Authenticated = "authenticated"
);

/// The name of an asset within its cloud and types: at most 255 characters; no control characters, none of
/// `? & # \ % < > +`, no space or `/` at either end; repeated slashes are made one. Case matters and no Unicode
/// normalization is done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicId(String);

impl PublicId {
    pub const MAX_CHARS: usize = 255;

    pub fn new(text: impl Into<String>) -> Result<Self, InvalidValue> {
        let mut text = text.into();
        if text.contains("//") {
            let mut previous = ' ';
            text.retain(|character| {
                let repeated = character == '/' && previous == '/';
                previous = character;
                !repeated
            });
        }
        let wrong = |reason| Err(InvalidValue::new("public_id", reason));
        if text.is_empty() {
            return wrong("it is empty");
        }
        if text.chars().count() > Self::MAX_CHARS {
            return wrong("it is longer than 255 characters");
        }
        if text.starts_with([' ', '/']) || text.ends_with([' ', '/']) {
            return wrong("it begins or ends with a space or a slash");
        }
        if text.chars().any(|character| character.is_control() || "?&#\\%<>+".contains(character)) {
            return wrong("it has a control character or one of ? & # \\ % < > +");
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for PublicId {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::new(text)
    }
}

/// What a delivery URL names, apart from version and format.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AssetKey {
    pub cloud: CloudId,
    pub resource_type: ResourceType,
    pub delivery_type: DeliveryType,
    pub public_id: PublicId,
}

/// Width and height in pixels; both zero for a file without pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PixelSize {
    pub width: u32,
    pub height: u32,
}

/// EXIF orientation, 1 to 8; 1 is upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Orientation(u8);

impl Orientation {
    pub const UPRIGHT: Self = Self(1);

    pub fn new(value: u8) -> Result<Self, InvalidValue> {
        if (1..=8).contains(&value) {
            Ok(Self(value))
        } else {
            Err(InvalidValue::new("orientation", "it must be 1 to 8"))
        }
    }

    pub const fn get(self) -> u8 {
        self.0
    }

    /// Size of an upright picture that is stored with `stored` size in this orientation.
    pub const fn upright(self, stored: PixelSize) -> PixelSize {
        if self.0 >= 5 { PixelSize { width: stored.height, height: stored.width } } else { stored }
    }
}

/// A rectangle `[x, y, width, height]` in pixels of the upright original.
pub type Region = [f64; 4];

/// One uploaded original as it is now; an overwrite changes everything but `id`, `key` and `created_at`.
#[derive(Debug, Clone, PartialEq)]
pub struct Asset {
    pub id: AssetId,
    pub key: AssetKey,
    /// Unix seconds of the upload; on every overwrite at least one more than before.
    pub version: u64,
    pub version_id: VersionId,
    /// Extension-like name of the stored format: `jpg`, `png`.
    pub format: String,
    /// Size as the file stores it, before `orientation` is applied.
    pub stored_size: PixelSize,
    /// Size as it is seen, after `orientation` is applied. This is what API responses call width and height.
    pub upright_size: PixelSize,
    pub orientation: Orientation,
    pub has_alpha: bool,
    /// Size of the file.
    pub bytes: u64,
    /// MD5 of the file, 32 lowercase hexadecimal characters.
    pub etag: String,
    pub blob: BlobKey,
    pub created_at: Timestamp,
    /// When this version was uploaded.
    pub uploaded_at: Timestamp,
    pub original_filename: String,
    pub tags: Vec<String>,
    pub context: BTreeMap<String, String>,
    /// Faces that a detector found; `None` when none has looked at this version yet.
    pub faces: Option<Vec<Region>>,
    /// Faces that the uploader supplied; empty when none were.
    pub face_coordinates: Vec<Region>,
    /// Regions of interest that the uploader supplied.
    pub custom_coordinates: Vec<Region>,
    /// The API key that signed the upload; empty for an unsigned or internal one.
    pub api_key: String,
    pub access_mode: AccessMode,
    /// Where the asset lies in a cloud with dynamic folders; empty at the root.
    pub asset_folder: String,
    pub display_name: String,
    /// Values of structured metadata by the external id of their field.
    pub metadata: Metadata,
    pub details: AssetDetails,
    /// When anything of the asset changed last.
    pub updated_at: Timestamp,
    /// The asset was deleted and can be restored: it is listed but not delivered.
    pub placeholder: bool,
    /// At least one version is kept as a backup.
    pub backed_up: bool,
}

/// Values of structured metadata: texts, whole numbers, or lists of external ids of a data source.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// The state of one kind of moderation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moderation {
    /// `manual`, or the name of a service.
    pub kind: String,
    /// `pending`, `approved`, `rejected`.
    pub status: String,
    /// Unix microseconds.
    pub updated_at: i64,
}

/// What a picture that the server composed consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MadeOf {
    /// The transformation of the call, as its addresses spell it.
    pub transformation: String,
    /// Start of the names of a sprite's classes.
    pub prefix: String,
    /// Where each picture of a sprite lies; empty for animations.
    pub places: Vec<SpritePlace>,
}

/// One picture of a sprite, in pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpritePlace {
    pub name: String,
    pub width: u32,
    pub height: u32,
    pub x: u32,
    pub y: u32,
}

/// What is known of an asset and seldom asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AssetDetails {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moderation: Vec<Moderation>,
    /// Rules of access as they were given, with their times in ISO form; any that holds opens the asset.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access_control: Vec<serde_json::Value>,
    /// Named regions: points in pixels.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub regions: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub quality_override: String,
    /// Lines that delivery adds to its headers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub headers: String,
    /// Blocks of analysis by their name in answers: `colors`, `phash`, `image_metadata`.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub analysis: serde_json::Map<String, serde_json::Value>,
    /// What a prober found in a video or sound file, by name in answers.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub video: serde_json::Map<String, serde_json::Value>,
    /// What a sprite or an animation was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_of: Option<MadeOf>,
    /// Pages or frames of the file; zero counts as one.
    pub pages: u32,
    /// When single aspects changed, in Unix microseconds, by their name in answers: `tags_updated_at`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub touched: BTreeMap<String, i64>,
}

impl Asset {
    /// The asset that an upload makes where there was `old`, or nothing. It keeps id and creation time; its version
    /// grows by at least one. `None` when the version cannot grow.
    pub fn uploaded(new: &NewAsset, old: Option<&Asset>) -> Option<Asset> {
        let now = u64::try_from(new.uploaded_at.unix_seconds()).unwrap_or(0);
        let version = match old {
            None => now,
            Some(old) => now.max(old.version.checked_add(1)?),
        };
        Some(Asset {
            id: old.map_or_else(AssetId::random, |old| old.id.clone()),
            key: new.key.clone(),
            version,
            version_id: VersionId::random(),
            format: new.format.clone(),
            stored_size: new.stored_size,
            upright_size: new.orientation.upright(new.stored_size),
            orientation: new.orientation,
            has_alpha: new.has_alpha,
            bytes: new.bytes,
            etag: new.etag.clone(),
            blob: new.blob.clone(),
            created_at: old.map_or(new.uploaded_at, |old| old.created_at),
            uploaded_at: new.uploaded_at,
            original_filename: new.original_filename.clone(),
            tags: new.tags.clone(),
            context: new.context.clone(),
            faces: new.faces.clone(),
            face_coordinates: new.face_coordinates.clone(),
            custom_coordinates: new.custom_coordinates.clone(),
            api_key: new.api_key.clone(),
            access_mode: new.access_mode,
            asset_folder: new.asset_folder.clone(),
            display_name: new.display_name.clone(),
            metadata: new.metadata.clone(),
            details: new.details.clone(),
            updated_at: new.uploaded_at,
            placeholder: false,
            backed_up: new.backup || old.is_some_and(|old| old.backed_up),
        })
    }
}

/// What an upload brings; the catalog adds identity and version, see `Catalog::put_asset`.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAsset {
    pub key: AssetKey,
    pub format: String,
    pub stored_size: PixelSize,
    pub orientation: Orientation,
    pub has_alpha: bool,
    pub bytes: u64,
    pub etag: String,
    pub blob: BlobKey,
    pub uploaded_at: Timestamp,
    pub original_filename: String,
    pub tags: Vec<String>,
    pub context: BTreeMap<String, String>,
    pub faces: Option<Vec<Region>>,
    pub face_coordinates: Vec<Region>,
    pub custom_coordinates: Vec<Region>,
    pub api_key: String,
    pub access_mode: AccessMode,
    pub asset_folder: String,
    pub display_name: String,
    pub metadata: Metadata,
    pub details: AssetDetails,
    /// Whether this version is to be kept when it is overwritten or deleted.
    pub backup: bool,
}

/// A version that was kept as a backup.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetVersion {
    pub asset: AssetId,
    pub version_id: VersionId,
    pub version: u64,
    pub blob: BlobKey,
    pub bytes: u64,
    pub uploaded_at: Timestamp,
    pub format: String,
    pub stored_size: PixelSize,
    pub orientation: Orientation,
    pub has_alpha: bool,
    pub etag: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn public_ids_follow_the_rules() {
        assert_eq!(PublicId::new("a//b///c").unwrap().as_str(), "a/b/c");
        assert_eq!(PublicId::new("дом/猫 1.2").unwrap().as_str(), "дом/猫 1.2");
        assert!(PublicId::new("é".repeat(255)).is_ok());
        for bad in ["", "/a", "a/", " a", "a ", "//", "a?b", "a%b", "a\0b", "a\nb", "a+b", &"x".repeat(256)] {
            assert!(PublicId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_go_both_ways() {
        for kind in ResourceType::ALL {
            assert_eq!(kind.as_str().parse::<ResourceType>().unwrap(), *kind);
        }
        assert!("Image".parse::<ResourceType>().is_err());
        assert_eq!("private".parse::<DeliveryType>().unwrap(), DeliveryType::Private);
    }

    #[test]
    fn turned_orientations_swap_the_sides() {
        let stored = PixelSize { width: 3, height: 2 };
        for value in 1..=8 {
            let upright = Orientation::new(value).unwrap().upright(stored);
            assert_eq!(upright.width, if value >= 5 { 2 } else { 3 }, "{value}");
        }
        assert!(Orientation::new(0).is_err() && Orientation::new(9).is_err());
    }
}
