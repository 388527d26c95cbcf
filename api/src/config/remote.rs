//! What the server may fetch from elsewhere, as configured.

use super::ConfigError;
use super::source::Settings;
use crate::fetch::{FetchPolicy, FetchSettings, Rules, Timeouts};
use std::path::PathBuf;
use std::time::Duration;

/// Longest file of authorities that is read.
const MAX_CA_BYTES: u64 = 4 << 20;

/// The client for remote addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteConfig {
    /// Without the authorities, which are in a file.
    pub settings: FetchSettings,
    pub ca_file: Option<PathBuf>,
}

impl RemoteConfig {
    pub(super) fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let policy = FetchPolicy {
            allow: rules(settings, "remote_allow")?,
            deny: rules(settings, "remote_deny")?,
            ports: ports(settings)?,
        };
        let timeouts = Timeouts {
            connect: seconds(settings, "remote_connect_timeout_s")?,
            first_byte: seconds(settings, "remote_first_byte_timeout_s")?,
            idle: seconds(settings, "remote_idle_timeout_s")?,
            total: seconds(settings, "remote_timeout_s")?,
        };
        let number = |key, least, most| number(settings, key, least, most);
        Ok(RemoteConfig {
            settings: FetchSettings {
                policy,
                timeouts,
                max_redirects: number("remote_max_redirects", 0, 20)?,
                max_reads: number("remote_connections", 1, 100_000)?,
                max_reads_per_host: number("remote_connections_per_host", 1, 100_000)?,
                ..FetchSettings::default()
            },
            ca_file: Some(settings.text("remote_ca_file")).filter(|path| !path.is_empty()).map(PathBuf::from),
        })
    }

    /// The settings with the authorities, read from their file.
    pub fn fetch_settings(&self) -> Result<FetchSettings, ConfigError> {
        let mut settings = self.settings.clone();
        if let Some(path) = &self.ca_file {
            let unreadable = |reason: String| ConfigError::Unreadable { path: path.clone(), reason };
            let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
            if size > MAX_CA_BYTES {
                return Err(unreadable("it is larger than 4 MiB".to_owned()));
            }
            settings.authorities_pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        }
        Ok(settings)
    }
}

fn rules(settings: &Settings, key: &'static str) -> Result<Rules, ConfigError> {
    settings
        .text(key)
        .parse()
        .map_err(|error: crate::fetch::rules::InvalidRule| settings.invalid(key, &error.to_string()))
}

fn ports(settings: &Settings) -> Result<Vec<u16>, ConfigError> {
    let texts = settings.text("remote_ports").split(',').map(str::trim).filter(|text| !text.is_empty());
    texts
        .map(|text| text.parse().ok().filter(|port| *port != 0))
        .collect::<Option<Vec<u16>>>()
        .ok_or_else(|| settings.invalid("remote_ports", "must be ports from 1 to 65535 with commas between"))
}

fn number(settings: &Settings, key: &'static str, least: usize, most: usize) -> Result<usize, ConfigError> {
    let value: usize = settings.parse(key, "a number")?;
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(settings.invalid(key, &format!("must be from {least} to {most}")))
}

fn seconds(settings: &Settings, key: &'static str) -> Result<Duration, ConfigError> {
    number(settings, key, 1, 3600).map(|seconds| Duration::from_secs(seconds as u64))
}
