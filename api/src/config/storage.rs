//! Where blobs are kept: the keys of a folder or an S3 server, and the same again for a second store.

use super::ConfigError;
use super::source::Settings;
use crate::domain::Secret;
use crate::storage::s3::{Checksums, S3Options, Timing};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where blobs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageConfig {
    /// A folder, made when it does not exist.
    Folder(PathBuf),
    S3(Box<S3Options>),
}

/// Names of the keys of one server.
struct Keys {
    endpoint: &'static str,
    bucket: &'static str,
    region: &'static str,
    prefix: &'static str,
    access_key_id: &'static str,
    secret_access_key: &'static str,
    path_style: &'static str,
    checksums: &'static str,
    timeout_s: &'static str,
}

const FIRST: Keys = Keys {
    endpoint: "s3_endpoint",
    bucket: "s3_bucket",
    region: "s3_region",
    prefix: "s3_prefix",
    access_key_id: "s3_access_key_id",
    secret_access_key: "s3_secret_access_key",
    path_style: "s3_path_style",
    checksums: "s3_checksums",
    timeout_s: "s3_timeout_s",
};

const BACKUP: Keys = Keys {
    endpoint: "backup_s3_endpoint",
    bucket: "backup_s3_bucket",
    region: "backup_s3_region",
    prefix: "backup_s3_prefix",
    access_key_id: "backup_s3_access_key_id",
    secret_access_key: "backup_s3_secret_access_key",
    path_style: "backup_s3_path_style",
    checksums: "backup_s3_checksums",
    timeout_s: "backup_s3_timeout_s",
};

/// Only read: neither a prefix nor checksums of what is written are of use.
const EXTERNAL: Keys = Keys {
    endpoint: "external_s3_endpoint",
    bucket: "external_s3_buckets",
    region: "external_s3_region",
    prefix: "s3_prefix",
    access_key_id: "external_s3_access_key_id",
    secret_access_key: "external_s3_secret_access_key",
    path_style: "external_s3_path_style",
    checksums: "s3_checksums",
    timeout_s: "external_s3_timeout_s",
};

/// The store of all blobs.
pub(super) fn storage(settings: &Settings, data_dir: &Path) -> Result<StorageConfig, ConfigError> {
    match settings.text("storage") {
        "folder" => Ok(StorageConfig::Folder(data_dir.join("blobs"))),
        "s3" => s3(settings, &FIRST),
        _ => Err(settings.invalid("storage", "must be folder or s3")),
    }
}

/// The store of copies, where there is one.
pub(super) fn backup(settings: &Settings, data_dir: &Path) -> Result<Option<StorageConfig>, ConfigError> {
    let (found, key) = match settings.text("backup") {
        "none" => return Ok(None),
        "folder" => match settings.text("backup_folder") {
            "" => return Err(settings.invalid("backup_folder", "must name a folder when backup is folder")),
            path => (StorageConfig::Folder(PathBuf::from(path)), "backup_folder"),
        },
        "s3" => (s3(settings, &BACKUP)?, BACKUP.bucket),
        _ => return Err(settings.invalid("backup", "must be none, folder or s3")),
    };
    match overlap(&storage(settings, data_dir)?, &found) {
        true => Err(settings.invalid(key, "must lie outside of the storage that it is to back up")),
        false => Ok(Some(found)),
    }
}

/// How long copies of what was deleted stay.
pub(super) fn grace(settings: &Settings) -> Result<Duration, ConfigError> {
    let days: u64 = settings.parse("backup_grace_days", "a number of days")?;
    match days {
        0..=36_500 => Ok(Duration::from_secs(days * 86_400)),
        _ => Err(settings.invalid("backup_grace_days", "must be at most 36500")),
    }
}

/// Whether one place is the other, or lies in it, by their names.
fn overlap(first: &StorageConfig, second: &StorageConfig) -> bool {
    match (first, second) {
        (StorageConfig::Folder(first), StorageConfig::Folder(second)) => {
            let plain = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let (first, second) = (plain(first), plain(second));
            first.starts_with(&second) || second.starts_with(&first)
        }
        (StorageConfig::S3(first), StorageConfig::S3(second)) => {
            let server = |options: &S3Options| options.endpoint.as_deref().map(str::to_ascii_lowercase);
            let folders = |options: &S3Options| {
                options.prefix.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>()
            };
            let (one, other) = (folders(first), folders(second));
            server(first) == server(second)
                && first.bucket == second.bucket
                && (one.starts_with(&other) || other.starts_with(&one))
        }
        _ => false,
    }
}

/// Where blobs of the store lie that were written before its bucket was changed.
pub(super) fn former(settings: &Settings, storage: &StorageConfig) -> Result<Option<S3Options>, ConfigError> {
    const KEY: &str = "s3_former_bucket";
    match (settings.text(KEY), storage) {
        ("", _) => Ok(None),
        (bucket, StorageConfig::S3(options)) if bucket != options.bucket => {
            S3Options::check_place(bucket, &options.prefix).map_err(|(_, reason)| settings.invalid(KEY, reason))?;
            Ok(Some(S3Options { bucket: bucket.to_owned(), ..(**options).clone() }))
        }
        (_, StorageConfig::S3(_)) => Err(settings.invalid(KEY, "must be another bucket than s3_bucket")),
        (_, StorageConfig::Folder(_)) => Err(settings.invalid(KEY, "is only of use when storage is s3")),
    }
}

/// Buckets whose objects may be assets.
pub(super) fn external(settings: &Settings) -> Result<Vec<S3Options>, ConfigError> {
    let names = settings.text(EXTERNAL.bucket).split(',').map(str::trim).filter(|name| !name.is_empty());
    let one = |name: &str| {
        if name.contains('{') {
            return Err(settings.invalid(EXTERNAL.bucket, "must be names of buckets, separated by commas"));
        }
        server(settings, &EXTERNAL, name.to_owned(), String::new())
    };
    names.map(one).collect()
}

fn needed(settings: &Settings, key: &'static str) -> Result<String, ConfigError> {
    match settings.text(key) {
        "" => Err(settings.invalid(key, "must be given when blobs are kept on an S3 server")),
        text => Ok(text.to_owned()),
    }
}

fn s3(settings: &Settings, keys: &Keys) -> Result<StorageConfig, ConfigError> {
    let (bucket, prefix) = (needed(settings, keys.bucket)?, settings.text(keys.prefix).to_owned());
    Ok(StorageConfig::S3(Box::new(server(settings, keys, bucket, prefix)?)))
}

fn server(settings: &Settings, keys: &Keys, bucket: String, prefix: String) -> Result<S3Options, ConfigError> {
    let needed = |key: &'static str| needed(settings, key);
    let endpoint = match settings.text(keys.endpoint).trim_end_matches('/') {
        "" => None,
        text => {
            let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            let plain = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
            if !host.is_some_and(|host| plain(host) && !host.contains(['?', '#', '@', '"', '\\'])) {
                return Err(settings.invalid(keys.endpoint, "must be http://… or https://… without user and query"));
            }
            Some(text.to_owned())
        }
    };
    S3Options::check_place(&bucket, &prefix)
        .map_err(|(is_prefix, reason)| settings.invalid(if is_prefix { keys.prefix } else { keys.bucket }, reason))?;
    let seconds: u64 = settings.parse(keys.timeout_s, "a number of seconds")?;
    if !(1..=600).contains(&seconds) {
        return Err(settings.invalid(keys.timeout_s, "must be from 1 to 600"));
    }
    Ok(S3Options {
        path_style: match settings.text(keys.path_style) {
            "auto" => endpoint.is_some(),
            _ => settings.parse(keys.path_style, "auto, true or false")?,
        },
        endpoint,
        region: needed(keys.region)?,
        bucket,
        prefix,
        access_key_id: needed(keys.access_key_id)?,
        secret_access_key: Secret::new(needed(keys.secret_access_key)?),
        checksums: match settings.text(keys.checksums) {
            "when_required" => Checksums::WhenRequired,
            "when_supported" => Checksums::WhenSupported,
            _ => return Err(settings.invalid(keys.checksums, "must be when_required or when_supported")),
        },
        timing: Timing { attempt: Duration::from_secs(seconds), ..Timing::default() },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::{Config, ConfigError, machine::Machine};
    use super::*;

    const SERVER: [(&str, &str); 5] = [
        ("storage", "s3"),
        ("s3_endpoint", "https://s3.example.com/"),
        ("s3_bucket", "pictures"),
        ("s3_access_key_id", "id"),
        ("s3_secret_access_key", "ge://heim@x"),
    ];

    fn load(more: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let flags = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let machine = Machine { threads: 3, memory_bytes: 4 << 30, container_bytes: None };
        Config::from_sources(&flags, &[], None, &machine)
    }

    fn with(more: &[(&str, &'static str)]) -> Result<Config, ConfigError> {
        load(&SERVER.iter().chain(more).copied().collect::<Vec<_>>())
    }

    #[test]
    fn a_folder_is_the_default() {
        let config = load(&[]).unwrap();
        assert_eq!(config.storage, StorageConfig::Folder(PathBuf::from("./tintype-data/blobs")));
        assert_eq!(config.backup, None);
        let config = load(&[("backup", "folder"), ("backup_folder", "/mnt/copies")]).unwrap();
        assert_eq!(config.backup, Some(StorageConfig::Folder(PathBuf::from("/mnt/copies"))));
    }

    #[test]
    fn an_s3_server_and_its_secret() {
        let config = with(&[("s3_prefix", "a/b"), ("s3_timeout_s", "7")]).unwrap();
        let StorageConfig::S3(options) = &config.storage else { panic!("{:?}", config.storage) };
        assert_eq!(options.endpoint.as_deref(), Some("https://s3.example.com"));
        assert!(options.path_style);
        assert_eq!((&*options.bucket, &*options.prefix, &*options.region), ("pictures", "a/b", "us-east-1"));
        assert_eq!(options.secret_access_key.expose(), "ge://heim@x");
        assert_eq!(options.timing.attempt, Duration::from_secs(7));
        let shown = format!("{config:?}\n{}", config.print());
        assert!(!shown.contains("heim"), "{shown}");
        assert!(shown.contains("s3_secret_access_key = \"***\""), "{shown}");
        assert!(shown.contains("s3_bucket = \"pictures\""), "{shown}");
    }

    #[test]
    fn a_second_store_is_not_the_first() {
        let refused = |more: &[(&str, &str)]| match load(more) {
            Ok(config) => {
                assert!(config.backup.is_some());
                None
            }
            Err(ConfigError::InvalidValue { key, .. }) => Some(key),
            Err(other) => panic!("{other:?}"),
        };
        let folder = |path| refused(&[("data_dir", "/data"), ("backup", "folder"), ("backup_folder", path)]);
        for path in ["/data/blobs", "/data/blobs/", "/data/./blobs", "/data", "/data/blobs/copies", "/"] {
            assert_eq!(folder(path), Some("backup_folder"), "{path}");
        }
        for path in ["/data/blobs2", "/data/copies", "copies"] {
            assert_eq!(folder(path), None, "{path}");
        }
        let s3 = |endpoint, bucket, first_prefix, prefix| {
            let backup = [
                ("backup", "s3"),
                ("backup_s3_endpoint", endpoint),
                ("backup_s3_bucket", bucket),
                ("backup_s3_prefix", prefix),
                ("backup_s3_access_key_id", "id"),
                ("backup_s3_secret_access_key", "secret"),
                ("s3_prefix", first_prefix),
            ];
            refused(&[&SERVER[..], &backup[..]].concat())
        };
        let here = "https://S3.example.com";
        for (first, second) in [("", ""), ("", "copies"), ("a/b", "a/b/"), ("a/b", "a"), ("a", "a/b/c")] {
            assert_eq!(s3(here, "pictures", first, second), Some("backup_s3_bucket"), "{first} {second}");
        }
        for (first, second) in [("a", "b"), ("a", "ab"), ("a/b", "a/c")] {
            assert_eq!(s3(here, "pictures", first, second), None, "{first} {second}");
        }
        assert_eq!(s3(here, "copies", "", ""), None);
        assert_eq!(s3("https://s3.example.org", "pictures", "", ""), None);
    }

    #[test]
    fn the_time_of_grace_is_limited() {
        assert_eq!(load(&[]).unwrap().backup_grace, Duration::from_secs(30 * 86_400));
        assert_eq!(load(&[("backup_grace_days", "0")]).unwrap().backup_grace, Duration::ZERO);
        for wrong in ["36501", "-1", "long"] {
            let refused = load(&[("backup_grace_days", wrong)]);
            assert!(matches!(refused, Err(ConfigError::InvalidValue { key: "backup_grace_days", .. })), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (key, value) in [
            ("storage", "tape"),
            ("s3_bucket", ""),
            ("s3_bucket", "a b"),
            ("s3_prefix", "../x"),
            ("s3_endpoint", "s3.example.com"),
            ("s3_endpoint", "https://id:secret@s3.example.com"),
            ("s3_access_key_id", ""),
            ("s3_secret_access_key", ""),
            ("s3_region", ""),
            ("s3_path_style", "perhaps"),
            ("s3_checksums", "md4"),
            ("s3_timeout_s", "0"),
            ("backup", "tape"),
            ("backup_folder", ""),
            ("s3_former_bucket", "a b"),
            ("s3_former_bucket", "pictures"),
            ("external_s3_buckets", "a b"),
            ("external_s3_buckets", "pic-{cloud}"),
        ] {
            let found = match key {
                "backup_folder" => with(&[("backup", "folder"), (key, value)]),
                "external_s3_buckets" => with(&[
                    ("external_s3_access_key_id", "id"),
                    ("external_s3_secret_access_key", "secret"),
                    (key, value),
                ]),
                _ => with(&[(key, value)]),
            };
            match found {
                Err(ConfigError::InvalidValue { key: named, .. }) => assert_eq!(named, key),
                other => panic!("{key}={value}: {other:?}"),
            }
        }
        assert!(matches!(
            load(&[("s3_former_bucket", "old")]),
            Err(ConfigError::InvalidValue { key: "s3_former_bucket", .. })
        ));
        let config = with(&[("s3_bucket", "p-{cloud}"), ("s3_former_bucket", "pictures")]).unwrap();
        assert_eq!(config.former.unwrap().bucket, "pictures");
        assert!(matches!(load(&[("backup", "s3")]), Err(ConfigError::InvalidValue { key: "backup_s3_bucket", .. })));
    }
}
