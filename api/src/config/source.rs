//! Where values come from, and which of them wins.

use super::ConfigError;
use super::table::{self, KEYS, Key, Secrecy};
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Longest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One value, still text.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    pub value: String,
    pub origin: Origin,
    secrecy: Secrecy,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.secrecy == Secrecy::Open { self.value.as_str() } else { "***" };
        write!(f, "{value} ({})", self.origin)
    }
}

/// A value for every key of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<&'static str, Setting>,
}

impl Settings {
    /// Lays the sources over each other. Names that the table does not have are errors.
    pub fn merge(
        flags: &BTreeMap<String, String>,
        env: &[(String, String)],
        file: Option<(&Path, &str)>,
    ) -> Result<Settings, ConfigError> {
        let mut values: BTreeMap<&'static str, Setting> =
            KEYS.iter().map(|key| (key.name, setting(key, key.default.to_owned(), Origin::Default))).collect();
        if let Some((path, text)) = file {
            for (key, value) in parse_file(path, text)? {
                values.insert(key.name, setting(key, value, Origin::File(path.to_owned())));
            }
        }
        for (variable, value) in env {
            if !variable.starts_with("TINTYPE_")
                || variable.starts_with(table::TEST_PREFIX)
                || table::OTHER_VARIABLES.contains(&variable.as_str())
            {
                continue;
            }
            let key = KEYS.iter().find(|key| key.variable() == *variable).ok_or_else(|| ConfigError::UnknownKey {
                key: variable.clone(),
                origin: "the environment".to_owned(),
            })?;
            // An empty variable is how compose files say "not set".
            if !value.is_empty() {
                values.insert(key.name, setting(key, value.clone(), Origin::Variable(variable.clone())));
            }
        }
        for (name, value) in flags {
            let key = table::find(&name.replace('-', "_"))
                .ok_or_else(|| ConfigError::UnknownKey { key: name.clone(), origin: "the command line".to_owned() })?;
            values.insert(key.name, setting(key, value.clone(), Origin::Flag(key.flag())));
        }
        Ok(Settings { values })
    }

    /// The value of a key of the table.
    pub fn get(&self, key: &'static str) -> &Setting {
        self.values.get(key).expect("every key of the table has a value")
    }

    /// Its text.
    pub fn text(&self, key: &'static str) -> &str {
        &self.get(key).value
    }

    /// All values as TOML with their origins; secrets are hidden.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for key in KEYS {
            let Setting { value, origin, secrecy } = self.get(key.name);
            let value = match secrecy {
                Secrecy::Open => value.clone(),
                Secrecy::Address => hide_password(value),
                // Whether there is one may be known.
                Secrecy::Whole if value.is_empty() => String::new(),
                Secrecy::Whole => "***".to_owned(),
            };
            let value = toml::Value::String(value);
            let _ = writeln!(text, "{} = {value} # {origin}", key.name);
        }
        text
    }
}

fn setting(key: &Key, value: String, origin: Origin) -> Setting {
    Setting { value, origin, secrecy: key.secrecy }
}

/// Hides what an address carries beside its host: a password may stand in the user part or in the query.
fn hide_password(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let rest = match rest.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => rest.to_owned(),
    };
    match rest.split_once('?') {
        Some((before, _)) => format!("{scheme}://{before}?***"),
        None => format!("{scheme}://{rest}"),
    }
}

fn parse_file(path: &Path, text: &str) -> Result<Vec<(&'static Key, String)>, ConfigError> {
    let malformed = |reason: String| ConfigError::Malformed { path: path.to_owned(), reason };
    let table: toml::Table = toml::from_str(text).map_err(|error| malformed(error.message().to_owned()))?;
    table
        .into_iter()
        .map(|(name, value)| {
            let key = table::find(&name)
                .ok_or_else(|| ConfigError::UnknownKey { key: name.clone(), origin: path.display().to_string() })?;
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                _ => return Err(malformed(format!("{name} must be a text, a whole number or a boolean"))),
            };
            Ok((key, value))
        })
        .collect()
}

/// Names and values of variables.
pub type Variables = Vec<(String, String)>;
/// Path and text of the configuration file.
pub type FileText = (PathBuf, String);

/// The process's variables, and the file: the one that `TINTYPE_CONFIG` names, which must exist, or else
/// `tintype.toml` in the working directory if it is there.
pub fn read_environment() -> Result<(Variables, Option<FileText>), ConfigError> {
    let mut env = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("TINTYPE_")) else { continue };
        let value = value.into_string().map_err(|_| ConfigError::Unreadable {
            path: PathBuf::from(name),
            reason: "the variable is not UTF-8".to_owned(),
        })?;
        env.push((name.to_owned(), value));
    }
    let named = env.iter().find(|(name, value)| name == "TINTYPE_CONFIG" && !value.is_empty());
    let path = named.map_or_else(|| PathBuf::from("tintype.toml"), |(_, path)| PathBuf::from(path));
    let file = match std::fs::metadata(&path) {
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(ConfigError::Unreadable { path, reason: error.to_string() }),
        Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
            return Err(ConfigError::Unreadable { path, reason: "it is larger than 1 MiB".to_owned() });
        }
        Ok(_) => match std::fs::read_to_string(&path) {
            Ok(text) => Some((path, text)),
            Err(error) => return Err(ConfigError::Unreadable { path, reason: error.to_string() }),
        },
    };
    Ok((env, file))
}
