//! Which bucket and which name a blob has.

use super::super::{BlobKey, path_of};

/// What stands in a bucket's name for the cloud.
const CLOUD: &str = "{cloud}";

/// The bucket or buckets of a store, and the start of all names in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    bucket: String,
    /// Empty, or ending with a slash.
    prefix: String,
}

impl Place {
    /// From a bucket that may contain `{cloud}` and a prefix; the error says what is wrong with them.
    pub(super) fn new(bucket: &str, prefix: &str) -> Result<Self, &'static str> {
        let name = bucket.replacen(CLOUD, &"0".repeat(BlobKey::CLOUD_LENGTH), 1);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if !(3..=63).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(
                "must be the name of a bucket: 3 to 63 letters, digits, dashes and dots; {cloud} may stand in it \
                        once, for 12 characters that tell the cloud",
            );
        }
        let prefix = prefix.trim_matches('/');
        let clean = prefix.split('/').all(|part| !matches!(part, "." | "..") && part.bytes().all(plain));
        if prefix.len() > 512 || !clean {
            return Err("must be at most 512 letters, digits, dashes, dots, underscores and slashes");
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { bucket: bucket.to_owned(), prefix })
    }

    /// Whether each cloud has a bucket of its own.
    pub(super) fn is_per_cloud(&self) -> bool {
        self.bucket.contains(CLOUD)
    }

    /// The name as it was configured.
    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn bucket_of(&self, key: &BlobKey) -> String {
        self.bucket.replacen(CLOUD, key.cloud_part(), 1)
    }

    /// Whether a bucket is one of a cloud.
    pub(super) fn is_of_a_cloud(&self, bucket: &str) -> bool {
        let Some((before, after)) = self.bucket.split_once(CLOUD) else { return false };
        let cloud = bucket.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        cloud.is_some_and(|cloud| {
            cloud.len() == BlobKey::CLOUD_LENGTH && cloud.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    }

    pub(super) fn name_of(&self, key: &BlobKey) -> String {
        format!("{}{}", self.prefix, path_of(key))
    }

    /// The key of a name that a blob has; other names are none of ours.
    pub(super) fn key_of(&self, name: &str) -> Option<BlobKey> {
        let key = BlobKey::new(name.rsplit('/').next()?).ok()?;
        (self.name_of(&key) == name).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::CloudId;

    #[test]
    fn names_lead_to_keys_and_back() {
        for prefix in ["", "a", "/a/b/"] {
            let place = Place::new("bucket", prefix).unwrap();
            let key = BlobKey::random();
            assert_eq!(place.key_of(&place.name_of(&key)), Some(key.clone()));
            assert_eq!(place.bucket_of(&key), "bucket");
            assert_eq!(place.key_of(&format!("x{}", place.name_of(&key))), None);
            assert_eq!(place.key_of(&format!("{}00/00/{key}", place.prefix())), None, "not where it belongs");
        }
    }

    #[test]
    fn a_cloud_has_its_bucket() {
        let place = Place::new("img-{cloud}-x", "").unwrap();
        let cloud = CloudId::new("0123456789abcdef").unwrap();
        assert_eq!(place.bucket_of(&BlobKey::random_of(&cloud)), "img-0123456789ab-x");
        assert!(place.is_of_a_cloud("img-0123456789ab-x"));
        for other in ["img-0123456789ab", "img-0123456789-x", "img-0123456789AB-x", "mg-0123456789ab-x"] {
            assert!(!place.is_of_a_cloud(other), "{other}");
        }
    }

    #[test]
    fn strange_names_are_refused() {
        for (bucket, prefix) in [
            ("", ""),
            ("ab", ""),
            ("a b c", ""),
            ("a/b", ""),
            ("{cloud}{cloud}", ""),
            ("abc", "a b"),
            ("abc", "a/../b"),
            ("abc", "?"),
        ] {
            assert!(Place::new(bucket, prefix).is_err(), "{bucket} {prefix}");
        }
    }
}
