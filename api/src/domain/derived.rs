//! Rendered pictures that are kept.

use std::{fmt, str::FromStr};

use super::{AssetId, BlobKey, InvalidValue, PixelSize, Timestamp, VersionId};

/// Identity of a derived picture: the SHA-256 of everything that decides its bytes, as 64 lowercase hexadecimal
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DerivedKey(String);

impl DerivedKey {
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(hex::encode(digest))
    }

    pub fn new(text: impl Into<String>) -> Result<Self, InvalidValue> {
        let text = text.into();
        if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidValue::new("derived key", "it is not 64 lowercase hexadecimal characters"));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DerivedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for DerivedKey {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::new(text)
    }
}

/// One rendered and stored picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    pub key: DerivedKey,
    pub asset: AssetId,
    /// The version of the asset that it was rendered from; a row is kept only while this is the current one.
    pub version_id: VersionId,
    /// Canonical text of the transformation.
    pub transformation: String,
    pub format: String,
    pub size: PixelSize,
    pub bytes: u64,
    /// MD5 of the file, 32 lowercase hexadecimal characters.
    pub etag: String,
    pub blob: BlobKey,
    pub created_at: Timestamp,
    pub last_used_at: Timestamp,
    pub renderer_revision: u32,
    /// The rendering profile: `exact`, `balanced`.
    pub profile: String,
    /// What rendered it: `cpu`, `gpu`.
    pub backend: String,
    /// Quality that the encoder was given, 1 to 100; `None` for a lossless format.
    pub quality: Option<u8>,
    pub has_alpha: bool,
}
