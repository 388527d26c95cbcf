//! Configuration: flags over `TINTYPE_*` variables over `tintype.toml` over defaults. The only module that reads the
//! environment.

pub mod budget;
pub mod machine;
pub mod remote;
pub mod secret_key;
pub mod source;
pub mod storage;
pub mod table;

use crate::domain::Secret;
use crate::storage::s3::S3Options;
use machine::Machine;
use remote::RemoteConfig;
use source::{Setting, Settings};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
pub use storage::StorageConfig;

/// Why the server cannot start with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("unknown key {key} in {origin}; `tintype config` lists the known ones")]
    UnknownKey { key: String, origin: String },
    #[error("invalid value for {key} (from {origin}): {reason}")]
    InvalidValue { key: &'static str, origin: String, reason: String },
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{} is not valid TOML: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("secret key {}: {reason}", path.display())]
    SecretKey { path: PathBuf, reason: String },
}

/// Where rows are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogConfig {
    /// A file, made when it does not exist.
    Sqlite(PathBuf),
    /// A `postgres://` address, which may hold a password.
    Postgres(Secret),
}

/// Which executor renders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RendererChoice {
    /// Real graphics hardware if there is any, else the CPU.
    Auto,
    /// Real graphics hardware, or no start.
    Gpu,
    Cpu,
    /// Any adapter, software ones too. For tests.
    Software,
}

/// The trade between quality and cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileChoice {
    Quality,
    Fast,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The listener and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    /// Start of every address in answers, without a slash at the end.
    pub public_base_url: String,
    /// Certificate and key, where the server speaks https.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub max_upload_bytes: u64,
    pub request_timeout: Duration,
    /// See [`crate::http::serve::ConnectionLimits`].
    pub answer_timeout: Duration,
    /// Whether parameter signatures of version 1 are accepted.
    pub accept_signature_v1: bool,
}

/// Rendering and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderConfig {
    pub renderer: RendererChoice,
    pub profile: ProfileChoice,
    pub max_source_pixels: u64,
    pub max_output_pixels: u64,
    /// Frames of one animation.
    pub max_animation_frames: usize,
    /// Pixels of all frames of one animation together, before and after a transformation.
    pub max_animation_pixels: u64,
    /// Threads for decoding, encoding and CPU kernels.
    pub threads: usize,
    /// Processor time that writing a first `f_auto` answer may take; zero is no limit, `None` the profile's own.
    pub auto_format_effort: Option<Duration>,
}

/// Admission of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    pub memory_budget_bytes: u64,
    /// Renderings that may wait.
    pub queue_length: usize,
}

/// What is kept in memory, and what caches are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    pub url_cache_bytes: u64,
    /// Most bytes of stored derived pictures; 0 is no limit.
    pub derived_max_bytes: u64,
    pub unversioned_max_age: Duration,
    /// Lifetime of `f_auto` answers of which a better one is being made.
    pub provisional_max_age: Duration,
}

/// Work in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobsConfig {
    /// Jobs of the kind that renders which run at once; 0 leaves all jobs to other processes.
    pub workers: usize,
    /// For how long a job is held without a sign of life of its worker.
    pub lease: Duration,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A filter such as `info` or `tintype_api=debug`.
    pub filter: String,
    pub format: LogFormat,
}

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub data_dir: PathBuf,
    pub catalog: CatalogConfig,
    pub storage: StorageConfig,
    /// Where copies of blobs are kept.
    pub backup: Option<StorageConfig>,
    /// Where blobs lie that were written before the bucket was changed.
    pub former: Option<S3Options>,
    /// Buckets whose objects may be assets without being copied.
    pub external: Vec<S3Options>,
    /// How long copies of deleted originals are kept.
    pub backup_grace: Duration,
    pub secret_key_file: PathBuf,
    /// Cloud that addresses without a cloud name mean.
    pub default_cloud: Option<String>,
    pub http: HttpConfig,
    pub render: RenderConfig,
    pub scheduler: SchedulerConfig,
    pub cache: CacheConfig,
    pub making: MakingConfig,
    pub remote: RemoteConfig,
    pub jobs: JobsConfig,
    pub log: LogConfig,
    settings: Settings,
}

/// Texts, sprites and animations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakingConfig {
    /// Folder of further fonts; empty where there is none.
    pub fonts_dir: PathBuf,
    pub max_pictures: usize,
    pub max_pixels: u64,
}

impl Config {
    /// Reads the environment and the file. `flags` are the keys given on the command line, by name.
    pub fn load(flags: &BTreeMap<String, String>) -> Result<Config, ConfigError> {
        let (env, file) = source::read_environment()?;
        Self::from_sources(
            flags,
            &env,
            file.as_ref().map(|(path, text)| (path.as_path(), text.as_str())),
            &Machine::detect(),
        )
    }

    /// The same from given sources: flags, variables with their full names, path and text of the file.
    pub fn from_sources(
        flags: &BTreeMap<String, String>,
        env: &[(String, String)],
        file: Option<(&Path, &str)>,
        machine: &Machine,
    ) -> Result<Config, ConfigError> {
        let settings = Settings::merge(flags, env, file)?;
        let data_dir = PathBuf::from(settings.text("data_dir"));
        let listen: SocketAddr = settings.parse("listen", "an address such as 127.0.0.1:8080")?;
        let max_upload_bytes = settings.parse("max_upload_bytes", "a number of bytes")?;
        let storage = storage::storage(&settings, &data_dir)?;
        let config = Config {
            catalog: catalog(&settings, &data_dir)?,
            former: storage::former(&settings, &storage)?,
            external: storage::external(&settings)?,
            storage,
            backup: storage::backup(&settings, &data_dir)?,
            backup_grace: storage::grace(&settings)?,
            secret_key_file: match settings.text("secret_key_file") {
                "" => data_dir.join("secret.key"),
                path => PathBuf::from(path),
            },
            default_cloud: Some(settings.text("default_cloud")).filter(|cloud| !cloud.is_empty()).map(str::to_owned),
            http: HttpConfig {
                listen,
                public_base_url: public_base_url(&settings, listen)?,
                tls: tls(&settings)?,
                max_upload_bytes,
                request_timeout: Duration::from_secs(settings.parse("request_timeout_s", "a number of seconds")?),
                answer_timeout: Duration::from_secs(settings.parse("answer_timeout_s", "a number of seconds")?),
                accept_signature_v1: settings.parse("accept_signature_v1", "true or false")?,
            },
            render: RenderConfig {
                renderer: settings.parse("renderer", "auto, gpu, cpu or software")?,
                profile: settings.parse("profile", "quality or fast")?,
                max_source_pixels: megapixels(&settings, "max_source_megapixels")?,
                max_output_pixels: megapixels(&settings, "max_output_megapixels")?,
                max_animation_frames: settings.parse("max_animation_frames", "a number of frames")?,
                max_animation_pixels: megapixels(&settings, "max_animation_megapixels")?,
                threads: match settings.text("threads") {
                    "" => machine.threads,
                    _ => settings.parse("threads", "a number of threads")?,
                },
                auto_format_effort: match settings.text("auto_format_effort_ms") {
                    "" => None,
                    _ => Some(Duration::from_millis(
                        settings.parse("auto_format_effort_ms", "a number of milliseconds")?,
                    )),
                },
            },
            scheduler: SchedulerConfig {
                memory_budget_bytes: match settings.text("memory_budget_mb") {
                    "" => machine.memory_budget_bytes(),
                    _ => megabytes(&settings, "memory_budget_mb")?,
                },
                queue_length: settings.parse("queue_length", "a number of renderings")?,
            },
            cache: CacheConfig {
                url_cache_bytes: megabytes(&settings, "url_cache_mb")?,
                derived_max_bytes: settings.parse("derived_max_bytes", "a number of bytes")?,
                unversioned_max_age: Duration::from_secs(
                    settings.parse("unversioned_max_age_s", "a number of seconds")?,
                ),
                provisional_max_age: Duration::from_secs(
                    settings.parse("provisional_max_age_s", "a number of seconds")?,
                ),
            },
            making: MakingConfig {
                fonts_dir: PathBuf::from(settings.text("fonts_dir")),
                max_pictures: settings.parse("max_composed_images", "a number of pictures")?,
                max_pixels: megapixels(&settings, "max_composed_megapixels")?,
            },
            remote: RemoteConfig::read(&settings)?,
            jobs: JobsConfig {
                workers: settings.parse("workers", "a number of jobs")?,
                lease: Duration::from_secs(settings.parse("job_lease_s", "a number of seconds")?),
            },
            log: LogConfig {
                filter: settings.text("log").to_owned(),
                format: settings.parse("log_format", "text or json")?,
            },
            data_dir,
            settings,
        };
        config.validate()?;
        Ok(config)
    }

    /// How the memory is shared out.
    pub fn memory(&self, has_gpu: bool) -> budget::MemoryBudget {
        budget::MemoryBudget::split(self.scheduler.memory_budget_bytes, self.cache.url_cache_bytes, has_gpu)
    }

    /// Limits between and within values that parsing alone does not see.
    fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds: bool, key: &'static str, reason: &str| {
            if holds { Ok(()) } else { Err(self.settings.invalid(key, reason)) }
        };
        check(!self.data_dir.as_os_str().is_empty(), "data_dir", "must not be empty")?;
        check(self.http.max_upload_bytes >= 1, "max_upload_bytes", "must be at least 1")?;
        check(
            (1..=86_400).contains(&self.http.request_timeout.as_secs()),
            "request_timeout_s",
            "must be from 1 to 86400",
        )?;
        check(
            (1..=86_400).contains(&self.http.answer_timeout.as_secs()),
            "answer_timeout_s",
            "must be from 1 to 86400",
        )?;
        check((1..=1024).contains(&self.render.threads), "threads", "must be from 1 to 1024")?;
        check(self.scheduler.memory_budget_bytes >= 64 << 20, "memory_budget_mb", "must be at least 64")?;
        check((1..=1_000_000).contains(&self.scheduler.queue_length), "queue_length", "must be from 1 to 1000000")?;
        check(
            self.cache.url_cache_bytes <= self.scheduler.memory_budget_bytes / 2,
            "url_cache_mb",
            "must be at most half of memory_budget_mb",
        )?;
        check(
            self.cache.unversioned_max_age.as_secs() <= 31_536_000,
            "unversioned_max_age_s",
            "must be at most 31536000",
        )?;
        check(self.jobs.workers <= 1024, "workers", "must be at most 1024")?;
        check((1..=3600).contains(&self.jobs.lease.as_secs()), "job_lease_s", "must be from 1 to 3600")?;
        check(
            self.cache.provisional_max_age.as_secs() <= 3600,
            "provisional_max_age_s",
            "must be at most 3600: a better picture waits",
        )?;
        check(!self.log.filter.is_empty(), "log", "must not be empty")?;
        if let Some(cloud) = &self.default_cloud {
            check(!cloud.contains('/') && cloud.len() <= 255, "default_cloud", "must be the name of a cloud")?;
        }
        Ok(())
    }

    /// Every key with its value and origin, as TOML, secrets hidden: what `tintype config` prints.
    pub fn print(&self) -> String {
        self.settings.print()
    }
}

fn catalog(settings: &Settings, data_dir: &Path) -> Result<CatalogConfig, ConfigError> {
    let text = settings.text("catalog");
    if text.is_empty() || text == "sqlite" {
        return Ok(CatalogConfig::Sqlite(data_dir.join("catalog.sqlite")));
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(CatalogConfig::Postgres(Secret::new(text)));
    }
    match text.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => Ok(CatalogConfig::Sqlite(PathBuf::from(path))),
        _ => Err(settings.invalid("catalog", "must be sqlite, sqlite:<path> or postgres://<address>")),
    }
}

fn tls(settings: &Settings) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
    match (settings.text("tls_certificate"), settings.text("tls_key")) {
        ("", "") => Ok(None),
        ("", _) => Err(settings.invalid("tls_certificate", "must be given where tls_key is")),
        (_, "") => Err(settings.invalid("tls_key", "must be given where tls_certificate is")),
        (certificate, key) => Ok(Some((PathBuf::from(certificate), PathBuf::from(key)))),
    }
}

fn public_base_url(settings: &Settings, listen: SocketAddr) -> Result<String, ConfigError> {
    let text = settings.text("public_base_url").trim_end_matches('/');
    if text.is_empty() {
        // An unspecified address is where the server listens, not where a client would go. A loopback one is kept as it
        // is: `localhost` may lead a client to the other protocol's loopback, where nobody listens.
        let scheme = if settings.text("tls_certificate").is_empty() { "http" } else { "https" };
        return Ok(if listen.ip().is_unspecified() {
            format!("{scheme}://localhost:{}", listen.port())
        } else {
            format!("{scheme}://{listen}")
        });
    }
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest)
            if !rest.is_empty()
                && !rest.contains(['?', '#', '\\', '"'])
                && rest.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(settings.invalid("public_base_url", "must be http://… or https://… without a query")),
    }
}

fn megapixels(settings: &Settings, key: &'static str) -> Result<u64, ConfigError> {
    let value: u64 = settings.parse(key, "a number of megapixels")?;
    if (1..=10_000).contains(&value) {
        Ok(value * 1_000_000)
    } else {
        Err(settings.invalid(key, "must be from 1 to 10000"))
    }
}

fn megabytes(settings: &Settings, key: &'static str) -> Result<u64, ConfigError> {
    let value: u64 = settings.parse(key, "a number of megabytes")?;
    if value <= 1 << 24 { Ok(value << 20) } else { Err(settings.invalid(key, "must be at most 16777216")) }
}

impl FromStr for RendererChoice {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(RendererChoice::Auto),
            "gpu" => Ok(RendererChoice::Gpu),
            "cpu" => Ok(RendererChoice::Cpu),
            "software" => Ok(RendererChoice::Software),
            _ => Err(()),
        }
    }
}

impl FromStr for ProfileChoice {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "quality" => Ok(ProfileChoice::Quality),
            "fast" => Ok(ProfileChoice::Fast),
            _ => Err(()),
        }
    }
}

impl FromStr for LogFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(()),
        }
    }
}

impl Settings {
    fn parse<T: FromStr>(&self, key: &'static str, expected: &str) -> Result<T, ConfigError> {
        self.text(key).trim().parse().map_err(|_| self.invalid(key, &format!("must be {expected}")))
    }

    fn invalid(&self, key: &'static str, reason: &str) -> ConfigError {
        let Setting { origin, .. } = self.get(key);
        ConfigError::InvalidValue { key, origin: origin.to_string(), reason: reason.to_owned() }
    }
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
