//! Parameters of an upload: which there are, and what their texts mean (api.md 3.1 and 3.2).

use crate::auth::signature::list_name;
use crate::domain::{AccessMode, DeliveryType, Region};
use crate::jobs::announce::check_url;
use std::collections::BTreeMap;
use tintype_render::language::Format;

/// Most entries of `eager`.
const MAX_EAGER: usize = 50;
/// Most rectangles of one parameter.
const MAX_REGIONS: usize = 500;
/// Most tags, and most pairs of a context.
const MAX_LABELS: usize = 1000;
/// Longest tag, and longest key of a context, in characters.
const MAX_LABEL_CHARS: usize = 255;

/// Parameters that have a meaning here, or that are allowed to have none.
const KNOWN: &[&str] = &[
    "file",
    "api_key",
    "signature",
    "timestamp",
    "cloud_name",
    "resource_type",
    "callback",
    "source",
    "public_id",
    "public_id_prefix",
    "folder",
    "use_filename",
    "unique_filename",
    "filename_override",
    "discard_original_filename",
    "type",
    "overwrite",
    "invalidate",
    "format",
    "allowed_formats",
    "eager",
    "tags",
    "context",
    "faces",
    "colors",
    "phash",
    "exif",
    "image_metadata",
    "media_metadata",
    "quality_analysis",
    "accessibility_analysis",
    "cinemagraph_analysis",
    "responsive_breakpoints",
    "face_coordinates",
    "custom_coordinates",
    "upload_preset",
    "async",
    "eager_async",
    "eager_notification_url",
    "notification_url",
    "batch_id",
    "asset_folder",
    "use_asset_folder_as_public_id_prefix",
    "display_name",
    "use_filename_as_display_name",
    "access_mode",
    "access_control",
    "transformation",
    "metadata",
    "clear_invalid",
    "backup",
    "regions",
    "moderation",
    "return_delete_token",
    "quality_override",
    "headers",
];

/// Parameters of the real service that are not built. They are refused rather than ignored, unless they ask for nothing.
const UNSUPPORTED: &[&str] = &[
    "unique_display_name",
    "raw_convert",
    "categorization",
    "detection",
    "ocr",
    "background_removal",
    "similarity_search",
    "auto_tagging",
    "visual_search",
    "auto_transcription",
    "auto_chaptering",
    "eval",
    "on_success",
    "proxy",
    "manifest_transformation",
    "manifest_json",
    "template",
    "template_vars",
];

/// A parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    #[error("{0} is not supported by this server yet")]
    Unsupported(String),
    /// An add-on that is not there: in the words that clients look for, where there are any.
    #[error("{complaint}: {name} is not supported by this server yet")]
    NoAddOn { name: String, complaint: String },
    #[error("Invalid value {value} for parameter {name}")]
    InvalidValue { name: &'static str, value: String },
    #[error("{name} has more than {max} entries")]
    TooMany { name: &'static str, max: usize },
    #[error("Invalid extension in transformation: {0}")]
    UnknownExtension(String),
}

/// One entry of `eager`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EagerEntry {
    /// As written, including the format: the answer repeats it.
    pub given: String,
    /// The transformation alone; may be empty when only a format was given. Addresses hold it.
    pub transformation: String,
    /// The transformation without names of others: what is rendered.
    pub expanded: String,
    pub extension: EagerExtension,
}

/// What the address of an eager picture ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EagerExtension {
    /// Nothing was written: the original's.
    Original,
    /// A last part such as `/png`.
    Named(Format),
    /// A trailing `/`.
    None,
}

/// What an upload asks for, typed.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadParams {
    pub public_id: Option<String>,
    pub folder: Option<String>,
    pub public_id_prefix: Option<String>,
    pub use_filename: bool,
    pub unique_filename: bool,
    pub filename_override: Option<String>,
    pub discard_original_filename: bool,
    pub delivery_type: DeliveryType,
    pub overwrite: bool,
    /// Format to convert to before storing.
    pub format: Option<Format>,
    /// Extensions in lower case; empty allows all.
    pub allowed_formats: Vec<String>,
    pub eager: Vec<EagerEntry>,
    pub tags: Vec<String>,
    pub context: BTreeMap<String, String>,
    pub face_coordinates: Vec<Region>,
    pub custom_coordinates: Vec<Region>,
    pub upload_preset: Option<String>,
    /// Whether the whole upload is done after the answer.
    pub is_async: bool,
    /// Whether eager pictures are rendered after the answer.
    pub eager_async: bool,
    /// Who is told of eager pictures that are rendered after the answer, instead of `notification_url`.
    pub eager_notification_url: Option<String>,
    /// Who is told of the upload, instead of those whom the cloud tells.
    pub notification_url: Option<String>,
    /// The client's name of the call: answers and notifications repeat it.
    pub batch_id: Option<String>,
    pub use_asset_folder_as_public_id_prefix: bool,
    pub use_filename_as_display_name: bool,
    pub access_mode: AccessMode,
    /// What is stored is the result of this; empty for the file as it came.
    pub transformation: String,
    /// Whether the version is kept when it is overwritten or deleted; `None` leaves it to the cloud.
    pub backup: Option<bool>,
    pub return_delete_token: bool,
}

/// Whether the real service has a parameter of that name, built here or not.
pub fn is_known(name: &str) -> bool {
    KNOWN.contains(&name) || UNSUPPORTED.contains(&name)
}

impl UploadParams {
    /// Reads parameters as received. Repeated names and `name[]` are one list, joined with commas, exactly as they are
    /// signed.
    pub fn parse(received: &[(String, String)]) -> Result<UploadParams, ParamError> {
        let mut values: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in received.iter().filter(|(_, value)| !value.is_empty()) {
            let joined = values.entry(list_name(name)).or_default();
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(value);
        }
        for (name, value) in &values {
            if UNSUPPORTED.contains(name) && !asks_for_nothing(name, value) {
                return Err(unsupported(name, value));
            }
        }
        let text = |name: &str| values.get(name).cloned();
        let flag = |name: &'static str, default: bool| match values.get(name) {
            None => Ok(default),
            Some(value) => match value.as_str() {
                "1" | "true" => Ok(true),
                "0" | "false" => Ok(false),
                _ => Err(invalid(name, value)),
            },
        };
        let url = |name: &'static str| match values.get(name) {
            Some(url) => match check_url(name, url) {
                Ok(()) => Ok(Some(url.clone())),
                Err(_) => Err(invalid(name, url)),
            },
            None => Ok(None),
        };
        Ok(UploadParams {
            public_id: text("public_id"),
            folder: text("folder"),
            public_id_prefix: text("public_id_prefix"),
            use_filename: flag("use_filename", false)?,
            unique_filename: flag("unique_filename", true)?,
            filename_override: text("filename_override"),
            discard_original_filename: flag("discard_original_filename", false)?,
            delivery_type: match values.get("type") {
                None => DeliveryType::Upload,
                Some(value) => value.parse().map_err(|_| invalid("type", value))?,
            },
            overwrite: flag("overwrite", true)?,
            format: match values.get("format") {
                None => None,
                Some(value) => Some(Format::from_extension(value).ok_or_else(|| {
                    ParamError::Unsupported(format!("format {}", value.chars().take(32).collect::<String>()))
                })?),
            },
            allowed_formats: comma_list("allowed_formats", values.get("allowed_formats"))?
                .into_iter()
                .map(|format| format.to_lowercase())
                .collect(),
            eager: eager(values.get("eager"))?,
            tags: parse_tags(values.get("tags").map(String::as_str).unwrap_or_default())?,
            context: context(values.get("context"))?,
            face_coordinates: regions("face_coordinates", values.get("face_coordinates"))?,
            custom_coordinates: regions("custom_coordinates", values.get("custom_coordinates"))?,
            upload_preset: text("upload_preset"),
            is_async: flag("async", false)?,
            eager_async: flag("eager_async", false)?,
            eager_notification_url: url("eager_notification_url")?,
            notification_url: url("notification_url")?,
            batch_id: text("batch_id"),
            use_asset_folder_as_public_id_prefix: flag("use_asset_folder_as_public_id_prefix", false)?,
            use_filename_as_display_name: flag("use_filename_as_display_name", false)?,
            access_mode: match values.get("access_mode") {
                None => AccessMode::Public,
                Some(value) => value.parse().map_err(|_| invalid("access_mode", value))?,
            },
            transformation: text("transformation").unwrap_or_default(),
            backup: values.contains_key("backup").then(|| flag("backup", false)).transpose()?,
            return_delete_token: flag("return_delete_token", false)?,
        })
        .and_then(|params| flag("invalidate", false).map(|_| params))
    }
}

fn asks_for_nothing(name: &str, value: &str) -> bool {
    matches!(value, "0" | "false" | "[]" | "{}") || (name == "raw_convert" && value == "none")
}

/// What the real service says of a value that no add-on knows (api.md 5), and here none knows any.
fn unsupported(name: &str, value: &str) -> ParamError {
    let shown: String = value.chars().take(100).collect();
    let complaint = match name {
        "raw_convert" => "Raw convert is invalid".to_owned(),
        "categorization" => format!("Categorization item {shown} is not valid"),
        "detection" => format!("Detection invalid model '{shown}'"),
        "background_removal" => format!("Background removal {shown} is invalid"),
        _ => return ParamError::Unsupported(name.to_owned()),
    };
    ParamError::NoAddOn { name: name.to_owned(), complaint }
}

fn invalid(name: &'static str, value: &str) -> ParamError {
    ParamError::InvalidValue { name, value: value.chars().take(100).collect() }
}

/// Tags of a comma list: trimmed, without empty entries and duplicates, sorted.
pub fn parse_tags(text: &str) -> Result<Vec<String>, ParamError> {
    let mut tags = comma_list("tags", Some(&text.to_owned()))?;
    tags.sort_unstable();
    Ok(tags)
}

/// Pairs of `k=v|k2=v2`.
pub fn parse_context(text: &str) -> Result<BTreeMap<String, String>, ParamError> {
    context(Some(&text.to_owned()))
}

/// Rectangles of `x,y,w,h|x,y,w,h`.
pub fn parse_regions(name: &'static str, text: &str) -> Result<Vec<Region>, ParamError> {
    regions(name, Some(&text.to_owned()))
}

/// Entries of `eager`.
pub fn parse_eager(text: &str) -> Result<Vec<EagerEntry>, ParamError> {
    eager(Some(&text.to_owned()))
}

/// Trimmed, without empty entries and duplicates, in order.
fn comma_list(name: &'static str, text: Option<&String>) -> Result<Vec<String>, ParamError> {
    let mut list: Vec<String> = Vec::new();
    for entry in text.map(String::as_str).unwrap_or_default().split(',').map(str::trim) {
        if entry.is_empty() || list.iter().any(|known| known == entry) {
            continue;
        }
        check_label(name, entry)?;
        if list.len() == MAX_LABELS {
            return Err(ParamError::TooMany { name, max: MAX_LABELS });
        }
        list.push(entry.to_owned());
    }
    Ok(list)
}

fn check_label(name: &'static str, text: &str) -> Result<(), ParamError> {
    if text.chars().count() > MAX_LABEL_CHARS || text.chars().any(char::is_control) {
        return Err(invalid(name, text));
    }
    Ok(())
}

/// `k=v|k2=v2`, with `\=` and `\|` for the signs themselves.
fn context(text: Option<&String>) -> Result<BTreeMap<String, String>, ParamError> {
    let mut map = BTreeMap::new();
    let Some(text) = text else { return Ok(map) };
    for pair in split_unescaped(text, '|') {
        if pair.trim().is_empty() {
            continue;
        }
        let mut parts = split_unescaped(&pair, '=').into_iter();
        let key = unescape(&parts.next().unwrap_or_default());
        let rest: Vec<String> = parts.collect();
        let key = key.trim();
        if key.is_empty() || rest.is_empty() {
            return Err(invalid("context", &pair));
        }
        check_label("context", key)?;
        let value = unescape(&rest.join("="));
        if value.contains('\0') {
            return Err(invalid("context", &pair));
        }
        if map.len() == MAX_LABELS {
            return Err(ParamError::TooMany { name: "context", max: MAX_LABELS });
        }
        map.insert(key.to_owned(), value);
    }
    Ok(map)
}

/// Pieces with their backslashes kept.
fn split_unescaped(text: &str, separator: char) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == separator {
            pieces.push(String::new());
            continue;
        }
        let piece = pieces.last_mut().expect("there is always a piece");
        piece.push(character);
        if character == '\\' {
            piece.extend(characters.next());
        }
    }
    pieces
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some('=' | '|')) => plain.extend(characters.next()),
            _ => plain.push(character),
        }
    }
    plain
}

/// `x,y,w,h|x,y,w,h` in pixels.
fn regions(name: &'static str, text: Option<&String>) -> Result<Vec<Region>, ParamError> {
    let mut regions = Vec::new();
    for entry in text.map(String::as_str).unwrap_or_default().split('|').map(str::trim) {
        if entry.is_empty() {
            continue;
        }
        let numbers: Option<Vec<f64>> = entry
            .split(',')
            .map(|number| number.trim().parse::<f64>().ok().filter(|number| (0.0..=1e6).contains(number)))
            .collect();
        let region: Option<Region> = numbers.and_then(|numbers| numbers.try_into().ok());
        match region {
            Some(region) if region[2] > 0.0 && region[3] > 0.0 => regions.push(region),
            _ => return Err(invalid(name, entry)),
        }
        if regions.len() > MAX_REGIONS {
            return Err(ParamError::TooMany { name, max: MAX_REGIONS });
        }
    }
    Ok(regions)
}

/// Entries separated by `|`; a last part without `_` is a format, a trailing `/` means no extension.
fn eager(text: Option<&String>) -> Result<Vec<EagerEntry>, ParamError> {
    let mut entries = Vec::new();
    for given in text.map(String::as_str).unwrap_or_default().split('|').map(str::trim) {
        if given.is_empty() {
            continue;
        }
        if entries.len() == MAX_EAGER {
            return Err(ParamError::TooMany { name: "eager", max: MAX_EAGER });
        }
        let (transformation, extension) = match given.strip_suffix('/') {
            Some(rest) => (rest, EagerExtension::None),
            None => {
                let (rest, last) = given.rsplit_once('/').unwrap_or(("", given));
                if last.contains('_') {
                    (given, EagerExtension::Original)
                } else {
                    let format = Format::from_extension(last)
                        .ok_or_else(|| ParamError::UnknownExtension(last.chars().take(32).collect()))?;
                    (rest, EagerExtension::Named(format))
                }
            }
        };
        entries.push(EagerEntry {
            given: given.to_owned(),
            transformation: transformation.to_owned(),
            expanded: transformation.to_owned(),
            extension,
        });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(received: &[(&str, &str)]) -> Result<UploadParams, ParamError> {
        let received: Vec<(String, String)> =
            received.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        UploadParams::parse(&received)
    }

    #[test]
    fn defaults_are_those_of_the_specification() {
        let params = parse(&[]).unwrap();
        assert!(params.overwrite && params.unique_filename && !params.use_filename);
        assert_eq!(params.delivery_type, DeliveryType::Upload);
        assert_eq!(params.public_id, None);
    }

    #[test]
    fn lists_are_joined_trimmed_and_deduplicated() {
        let params = parse(&[("tags[]", " a ,b"), ("tags[]", "c"), ("tags", "a,,d")]).unwrap();
        assert_eq!(params.tags, ["a", "b", "c", "d"]);
        assert!(parse(&[("tags", &"x".repeat(256))]).is_err());
        let many: Vec<String> = (0..=MAX_LABELS).map(|number| number.to_string()).collect();
        assert!(matches!(parse(&[("tags", &many.join(","))]), Err(ParamError::TooMany { .. })));
        assert!(parse(&[("tags", &many[1..].join(","))]).is_ok());
    }

    #[test]
    fn a_context_keeps_escaped_signs() {
        let params = parse(&[("context", r"alt=a\=b\|c|caption=x=y|path=c:\dir|empty=")]).unwrap();
        let pairs: Vec<(&str, &str)> = params.context.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(pairs, [("alt", "a=b|c"), ("caption", "x=y"), ("empty", ""), ("path", r"c:\dir")]);
        assert!(parse(&[("context", "alone")]).is_err());
        assert!(parse(&[("context", "=value")]).is_err());
        assert!(parse(&[("context", r"trailing\")]).is_err());
    }

    #[test]
    fn eager_entries_carry_their_format() {
        let params = parse(&[("eager", "c_fill,w_100|w_20/png|w_5,h_5/a_90/|f_auto,q_auto")]).unwrap();
        let seen: Vec<(&str, &str, EagerExtension)> =
            params.eager.iter().map(|entry| (&*entry.given, &*entry.transformation, entry.extension)).collect();
        assert_eq!(
            seen,
            [
                ("c_fill,w_100", "c_fill,w_100", EagerExtension::Original),
                ("w_20/png", "w_20", EagerExtension::Named(Format::Png)),
                ("w_5,h_5/a_90/", "w_5,h_5/a_90", EagerExtension::None),
                ("f_auto,q_auto", "f_auto,q_auto", EagerExtension::Original),
            ]
        );
        assert_eq!(parse(&[("eager", "w_20/xyz")]), Err(ParamError::UnknownExtension("xyz".into())));
        assert!(matches!(parse(&[("eager", &"w_1|".repeat(MAX_EAGER + 1))]), Err(ParamError::TooMany { .. })));
    }

    #[test]
    fn coordinates_are_rectangles() {
        let params = parse(&[("face_coordinates", "1,2,3,4|5,6.5,7,8"), ("faces", "1")]).unwrap();
        assert_eq!(params.face_coordinates, [[1.0, 2.0, 3.0, 4.0], [5.0, 6.5, 7.0, 8.0]]);
        for text in ["1,2,3", "1,2,3,4,5", "a,b,c,d", "1,2,0,4", "-1,2,3,4", "1,2,NaN,4", "1,2,inf,4", "1,2,3,1e9"] {
            assert!(parse(&[("custom_coordinates", text)]).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_built_is_refused_unless_it_asks_for_nothing() {
        for name in UNSUPPORTED {
            let refusal = parse(&[(name, "1")]).unwrap_err().to_string();
            assert!(refusal.ends_with(&format!("{name} is not supported by this server yet")), "{refusal}");
            assert!(parse(&[(name, "")]).is_ok() && parse(&[(name, "false")]).is_ok() && parse(&[(name, "0")]).is_ok());
            assert!(is_known(name));
        }
        let refusal = parse(&[("detection", "x")]).unwrap_err().to_string();
        assert_eq!(refusal, "Detection invalid model 'x': detection is not supported by this server yet");
        assert!(parse(&[("access_mode", "public")]).is_ok());
        assert!(parse(&[("novelty", "1")]).is_ok() && !is_known("novelty"));
        assert!(parse(&[("format", "heic")]).is_err());
        assert!(parse(&[("overwrite", "maybe")]).is_err());
        assert!(parse(&[("type", "fetch")]).is_err());
    }
}
