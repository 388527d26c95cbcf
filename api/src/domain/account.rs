//! Clouds (tenants) and the keys that sign for them.

use std::{fmt, str::FromStr};

use rand::Rng;

use super::{CloudId, InvalidValue, Timestamp};

/// First path segments that belong to fixed routes and hence cannot name a cloud.
const RESERVED_NAMES: &[&str] =
    &["v1_1", "v2", "res", "live", "ready", "health", "metrics", "console", "static", "assets", "favicon", "openapi"];

/// The name of a cloud as it stands in URLs: 2 to 63 of `a-z A-Z 0-9 _ -`, beginning with a letter or digit.
/// Case matters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloudName(String);

impl CloudName {
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidValue> {
        let text = text.into();
        if !(2..=63).contains(&text.len()) {
            return Err(InvalidValue::new("cloud name", "it must have 2 to 63 characters"));
        }
        if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return Err(InvalidValue::new("cloud name", "it must begin with a letter or digit"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            return Err(InvalidValue::new("cloud name", "only letters, digits, `_` and `-` are allowed"));
        }
        if RESERVED_NAMES.iter().any(|reserved| text.eq_ignore_ascii_case(reserved)) {
            return Err(InvalidValue::new("cloud name", "this name is reserved for a fixed route"));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CloudName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for CloudName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::new(text)
    }
}

/// One tenant. The id stays when the name changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    pub id: CloudId,
    pub name: CloudName,
    pub created_at: Timestamp,
}

impl Cloud {
    /// A new cloud with a random id, created now.
    pub fn new(name: CloudName) -> Self {
        Self { id: CloudId::random(), name, created_at: Timestamp::now() }
    }
}

/// A secret that signatures are made with. Printing it for debugging shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// 27 random characters of the URL-safe alphabet: 162 bits.
    pub fn random() -> Self {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
        let bytes: [u8; 27] = rand::random();
        Self(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect())
    }

    /// The secret itself: for signing and for showing it to its owner, never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// A key pair of a cloud. `key` is public and unique over all clouds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// 15 decimal digits when made here; imported keys may be any 1 to 64 ASCII letters and digits.
    pub key: String,
    pub secret: Secret,
    pub cloud: CloudId,
    pub enabled: bool,
    pub created_at: Timestamp,
}

impl ApiKey {
    /// A new, enabled pair for `cloud`: 15 random digits, not beginning with zero, and a random secret.
    pub fn random(cloud: CloudId) -> Self {
        let digits = rand::rng().random_range(100_000_000_000_000_u64..=999_999_999_999_999);
        Self { key: digits.to_string(), secret: Secret::random(), cloud, enabled: true, created_at: Timestamp::now() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cloud_names_keep_to_the_alphabet_and_off_fixed_routes() {
        for good in ["demo", "my-cloud_2", "a1", &"x".repeat(63)] {
            assert_eq!(CloudName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a", "-ab", "_ab", "a b", "a/b", "ünder", "v1_1", "Live", &"x".repeat(64)] {
            assert!(CloudName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let key = ApiKey::random(CloudId::random());
        assert!(!format!("{key:?}").contains(key.secret.expose()));
        assert_eq!(key.secret.expose().len(), 27);
        assert!(key.key.len() == 15 && key.key.bytes().all(|byte| byte.is_ascii_digit()));
    }
}
