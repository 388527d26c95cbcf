//! Uploaded originals and how they are addressed.

use std::{collections::BTreeMap, fmt, str::FromStr};

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
    DeliveryType, "type", Upload = "upload", Private = "private", Authenticated = "authenticated"
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
