//! Opaque random identifiers. None of them can be guessed from, or turned back into, a public name.

use std::{fmt, str::FromStr};

use super::InvalidValue;

/// Defines a newtype over a fixed number of lowercase hexadecimal characters.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $words:literal, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Characters in the text form.
            pub const LENGTH: usize = $bytes * 2;

            /// A new identifier from the operating system's seeded generator.
            pub fn random() -> Self {
                Self(hex::encode(rand::random::<[u8; $bytes]>()))
            }

            /// The identifier that `text` spells: exactly [`Self::LENGTH`] lowercase hexadecimal characters.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidValue> {
                let text = text.into();
                let hexadecimal = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if text.len() != Self::LENGTH || !hexadecimal {
                    return Err(InvalidValue::new($words, "not the expected number of lowercase hexadecimal characters"));
                }
                Ok(Self(text))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;

            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                Self::new(text)
            }
        }
    };
}

hex_id!(
    /// Identity of a cloud; its name may change, this never does.
    CloudId, "cloud id", 8
);
hex_id!(
    /// Identity of an asset over all its versions (`asset_id`).
    AssetId, "asset id", 16
);
hex_id!(
    /// Identity of one uploaded content of an asset (`version_id`).
    VersionId, "version id", 16
);
hex_id!(
    /// Identity of stored bytes; where they lie is the blob store's business, see `storage::path_of`.
    BlobKey, "blob key", 16
);
hex_id!(
    /// Identity of a job.
    JobId, "job id", 16
);

impl BlobKey {
    /// Characters at the end of a key that tell its cloud: the first ones of the cloud's id.
    pub const CLOUD_LENGTH: usize = 12;

    /// Before the cloud in a key of what is not bytes but a reference to bytes elsewhere. No other key of a cloud has it.
    const REFERENCE: &str = "000000";

    /// A new key of a cloud. 80 bits of it are random.
    pub fn random_of(cloud: &CloudId) -> Self {
        loop {
            let key = Self::with_end(cloud, "");
            if !key.is_reference() {
                return key;
            }
        }
    }

    /// A new key of a cloud for a reference. 56 bits of it are random.
    pub fn reference_of(cloud: &CloudId) -> Self {
        Self::with_end(cloud, Self::REFERENCE)
    }

    fn with_end(cloud: &CloudId, mark: &str) -> Self {
        let Self(mut text) = Self::random();
        text.truncate(Self::LENGTH - Self::CLOUD_LENGTH - mark.len());
        text.push_str(mark);
        text.extend(cloud.as_str().chars().take(Self::CLOUD_LENGTH));
        Self(text)
    }

    /// Whether the key is one of references. Of those that were made for no cloud one in 16 million is too.
    pub fn is_reference(&self) -> bool {
        self.0[..Self::LENGTH - Self::CLOUD_LENGTH].ends_with(Self::REFERENCE)
    }

    /// The part that tells the cloud: equal for all blobs of a cloud. Random in keys that were made for none.
    pub fn cloud_part(&self) -> &str {
        &self.0[Self::LENGTH - Self::CLOUD_LENGTH..]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_exact_form_is_taken() {
        let key = BlobKey::random();
        assert_eq!(BlobKey::new(key.as_str()).unwrap(), key);
        assert_eq!(key.as_str().len(), 32);
        assert_eq!(CloudId::random().as_str().len(), 16);
        for wrong in ["", "ab", "../../../../../../../../etc/passwd", &"A".repeat(32), &"g".repeat(32), &"a".repeat(33)]
        {
            assert!(BlobKey::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_tells_its_cloud() {
        let cloud = CloudId::new("0123456789abcdef").unwrap();
        let (key, other) = (BlobKey::random_of(&cloud), BlobKey::random_of(&cloud));
        assert_eq!(BlobKey::new(key.as_str()).unwrap(), key);
        assert_eq!(key.cloud_part(), "0123456789ab");
        let reference = BlobKey::reference_of(&cloud);
        assert!(reference.is_reference() && !key.is_reference());
        assert_eq!(reference.cloud_part(), "0123456789ab");
        assert_eq!(BlobKey::new(reference.as_str()).unwrap(), reference);
        assert_ne!(key, other);
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(AssetId::random(), AssetId::random());
    }
}
