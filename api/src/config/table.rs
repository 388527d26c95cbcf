//! THE table of configuration keys, from which `tintype config`, the help and `deploy/example.env` come.

use std::fmt::Write;

/// One key. Its variable is `TINTYPE_` and the name in capitals, its flag `--` and the name with dashes.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    /// Empty means that the default is found at start; the help says how.
    pub default: &'static str,
    pub help: &'static str,
    /// True when the value may hold a password.
    pub secret: bool,
}

const fn key(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, default, help, secret: false }
}

/// Every key, in the order in which it is printed.
pub const KEYS: &[Key] = &[
    key("data_dir", "./tintype-data", "Folder of originals, derivatives and the embedded catalog."),
    key("listen", "127.0.0.1:8080", "Address and port of the server."),
    Key {
        name: "catalog",
        default: "sqlite",
        help: "Where rows are kept: sqlite (a file in data_dir), sqlite:<path> or postgres://<address>.",
        secret: true,
    },
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
    key("request_timeout_s", "60", "How long the server may work on one request."),
    key(
        "accept_signature_v1",
        "true",
        "Whether upload signatures of version 1 are accepted; old SDKs need it, but it permits smuggled parameters.",
    ),
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
