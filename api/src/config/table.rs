//! THE table of configuration keys, from which `tintype config`, the help and `deploy/example.env` come.

use std::fmt::Write;

/// What of a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    Open,
    /// An address that may hold a password: scheme, host and path are shown.
    Address,
    /// Nothing of it.
    Whole,
}

/// One key. Its variable is `TINTYPE_` and the name in capitals, its flag `--` and the name with dashes.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    /// Empty means that the default is found at start; the help says how.
    pub default: &'static str,
    pub help: &'static str,
    pub secrecy: Secrecy,
}

const fn key(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, default, help, secrecy: Secrecy::Open }
}

/// Every key, in the order in which it is printed.
pub const KEYS: &[Key] = &[
    key("data_dir", "./tintype-data", "Folder of originals, derivatives and the embedded catalog."),
    key("listen", "127.0.0.1:8080", "Address and port of the server."),
    key(
        "tls_certificate",
        "",
        "File of the certificate and its chain, as PEM: the server then speaks https. It is read again when it changes.",
    ),
    key("tls_key", "", "File of the certificate's private key, as PEM."),
    Key {
        name: "catalog",
        default: "sqlite",
        help: "Where rows are kept: sqlite (a file in data_dir), sqlite:<path> or postgres://<address>.",
        secrecy: Secrecy::Address,
    },
    key("storage", "folder", "Where blobs are kept: folder (blobs in data_dir) or s3."),
    key(
        "s3_endpoint",
        "",
        "Address of the S3 server, such as https://s3.example.com. Default: Amazon's in the region.",
    ),
    key(
        "s3_bucket",
        "",
        "Bucket of all blobs, which must exist; with {cloud} in its name one for each cloud, made when it is needed.",
    ),
    key("s3_region", "us-east-1", "Region that requests to it are signed for."),
    key("s3_prefix", "", "Start of all names in the bucket."),
    key("s3_access_key_id", "", "Name of the access key. Amazon's own variables and instance roles are not read."),
    Key { name: "s3_secret_access_key", default: "", help: "Secret of the access key.", secrecy: Secrecy::Whole },
    key(
        "s3_path_style",
        "auto",
        "true: the bucket stands in the path; false: in the host name; auto: in the path where an endpoint is given.",
    ),
    key(
        "s3_checksums",
        "when_required",
        "when_required (Content-MD5 alone, which every server knows) or when_supported (CRC-32 too).",
    ),
    key("s3_timeout_s", "20", "How long one try of one request may take; all tries together twice that."),
    key(
        "s3_former_bucket",
        "",
        "Bucket that was s3_bucket before, such as the one of all clouds: blobs that lie there are found and deleted there.",
    ),
    key(
        "external_s3_buckets",
        "",
        "Buckets, separated by commas, whose objects `tintype import bucket --in-place` makes assets of; they are only read.",
    ),
    key("external_s3_endpoint", "", "Address of their S3 server. Default: Amazon's in the region."),
    key("external_s3_region", "us-east-1", "Region that requests to it are signed for."),
    key("external_s3_access_key_id", "", "Name of the access key, which needs no right but to list and to read."),
    Key {
        name: "external_s3_secret_access_key",
        default: "",
        help: "Secret of the access key.",
        secrecy: Secrecy::Whole,
    },
    key("external_s3_path_style", "auto", "As s3_path_style."),
    key("external_s3_timeout_s", "20", "How long one try of one request may take; all tries together twice that."),
    key(
        "backup",
        "none",
        "A second store, with a copy of every original and kept version: none, folder or s3. Lost or damaged originals are read from it and brought back.",
    ),
    key("backup_grace_days", "30", "How long the copies of deleted originals are kept."),
    key("backup_folder", "", "Folder of the copies, when backup is folder."),
    key(
        "backup_s3_endpoint",
        "",
        "Address of the S3 server of the copies, such as https://s3.example.com. Default: Amazon's in the region.",
    ),
    key("backup_s3_bucket", "", "Bucket of the copies, as s3_bucket."),
    key("backup_s3_region", "us-east-1", "Region that requests to it are signed for."),
    key("backup_s3_prefix", "", "Start of all names in the bucket."),
    key(
        "backup_s3_access_key_id",
        "",
        "Name of the access key. Amazon's own variables and instance roles are not read.",
    ),
    Key {
        name: "backup_s3_secret_access_key",
        default: "",
        help: "Secret of the access key.",
        secrecy: Secrecy::Whole,
    },
    key(
        "backup_s3_path_style",
        "auto",
        "true: the bucket stands in the path; false: in the host name; auto: in the path where an endpoint is given.",
    ),
    key(
        "backup_s3_checksums",
        "when_required",
        "when_required (Content-MD5 alone, which every server knows) or when_supported (CRC-32 too).",
    ),
    key("backup_s3_timeout_s", "20", "How long one try of one request may take; all tries together twice that."),
    key(
        "secret_key_file",
        "",
        "File of the 32 bytes that encrypt API secrets; made at the first start. Default: secret.key in data_dir.",
    ),
    key(
        "public_base_url",
        "",
        "Start of the addresses in answers, as clients reach this server. Default: http:// and the listening address.",
    ),
    key("default_cloud", "", "Cloud that addresses without a cloud name mean. Default: none."),
    key(
        "renderer",
        "auto",
        "auto, gpu (real graphics hardware or no start), cpu, or software (any adapter, for tests).",
    ),
    key("profile", "quality", "quality (linear-light resampling) or fast (cheapest)."),
    key("max_source_megapixels", "100", "Largest picture that may be uploaded."),
    key("max_output_megapixels", "50", "Largest picture that may be rendered."),
    key("max_animation_frames", "400", "Most frames of an animation that may be uploaded."),
    key(
        "max_animation_megapixels",
        "200",
        "Most pixels of all frames of an animation together, as uploaded and as rendered.",
    ),
    key("max_upload_bytes", "100000000", "Largest file that may be uploaded."),
    key("threads", "", "Threads for decoding, encoding and CPU kernels. Default: one for each core."),
    key(
        "memory_budget_mb",
        "",
        "Memory for renderings, uploads and caches together. Default: three quarters of the container's limit, else half of the memory.",
    ),
    key("queue_length", "256", "Renderings that may wait before the server answers that it is busy."),
    key("url_cache_mb", "32", "Memory for finished answers."),
    key(
        "derived_max_bytes",
        "50000000000",
        "Most bytes of stored derived pictures; beyond it the least recently used go. 0: no limit.",
    ),
    key("unversioned_max_age_s", "3600", "How long caches may keep an answer whose address names no version."),
    key(
        "auto_format_effort_ms",
        "",
        "Processor time that writing a first f_auto answer may take; what is predicted to take longer is answered in the next best format, and made in the background. 0: no limit. Default: 5 in the profile fast, 100 in quality.",
    ),
    key("provisional_max_age_s", "10", "How long caches may keep an f_auto answer in the next best format."),
    key("request_timeout_s", "60", "How long the server may work on one request."),
    key(
        "answer_timeout_s",
        "60",
        "How long an answer may stand still because its client does not take it, and a connection of HTTP/2 be idle.",
    ),
    key(
        "accept_signature_v1",
        "true",
        "Whether upload signatures of version 1 are accepted; old SDKs need it, but it permits smuggled parameters.",
    ),
    key(
        "fonts_dir",
        "",
        "Folder of further fonts for texts (ttf, otf, ttc). Default: none but the embedded Arimo, also called Arial.",
    ),
    key("max_composed_images", "500", "Most pictures of one sprite or animation."),
    key("max_composed_megapixels", "50", "Most pixels of all pictures of one sprite or animation together."),
    key(
        "remote_allow",
        "",
        "Places that may be fetched from beyond the open internet: hosts, *.suffixes, addresses, networks, each but a network also with :port. An allowed host is trusted with any address.",
    ),
    key("remote_deny", "", "Places that are never fetched from, in the form of remote_allow, which they overrule."),
    key("remote_ports", "80,443", "Ports that may be fetched from; remote_allow opens others with host:port."),
    key("remote_max_redirects", "5", "Most redirects of one fetch; from https to http none is followed."),
    key("remote_connect_timeout_s", "5", "How long a name, and each attempt to connect, may take."),
    key("remote_first_byte_timeout_s", "15", "How long a remote server may take to begin its answer."),
    key("remote_idle_timeout_s", "10", "How long a remote server may pause within its answer."),
    key("remote_timeout_s", "50", "How long one fetch may take with all its redirects."),
    key("remote_connections", "64", "Most fetches at once."),
    key("remote_connections_per_host", "16", "Most fetches at once from one host."),
    key("remote_ca_file", "", "File of further trusted authorities for https, as PEM. Default: the public ones only."),
    key(
        "workers",
        "4",
        "Jobs that render in the background at once. 0: none here; `tintype worker` does them in processes of its own.",
    ),
    key("job_lease_s", "30", "How long a job waits for a worker that gives no sign of life before another takes it."),
    key("log", "info", "Least level that is logged, or a filter such as tintype_api=debug."),
    key("log_format", "text", "text or json."),
];

/// Variables of the same prefix that are not keys: the path of the file, and what tests use.
pub const OTHER_VARIABLES: &[&str] = &["TINTYPE_CONFIG", "TINTYPE_BLESS"];

/// Start of the names of variables that only tests read.
pub const TEST_PREFIX: &str = "TINTYPE_TEST_";

impl Key {
    /// Name of the environment variable.
    pub fn variable(&self) -> String {
        format!("TINTYPE_{}", self.name.to_ascii_uppercase())
    }

    /// Name of the flag, without the leading dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }
}

/// The key of that name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Text of `deploy/example.env`: every variable with its default, as comments.
pub fn example_env() -> String {
    let mut text = String::from(
        "# Every variable of Tintype with its default. Generated from api/src/config/table.rs.\n\
         # Flags win over variables, variables over tintype.toml (or the file that TINTYPE_CONFIG names).\n",
    );
    for key in KEYS {
        let _ = write!(text, "\n# {}\n#{}={}\n", key.help, key.variable(), key.default);
    }
    text
}

/// A paragraph for each key, for `--help`.
pub fn help() -> String {
    let mut text = String::new();
    for key in KEYS {
        let default = if key.default.is_empty() { String::new() } else { format!(" [default: {}]", key.default) };
        let _ = writeln!(text, "  --{:<24} {}{default}", key.flag(), key.help);
    }
    text
}
