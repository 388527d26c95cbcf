//! Text to [`Transformation`]. Every error carries the bytes of the text that caused it.

use super::formats::known_format;
use super::params::{Param, split_part};
use super::percent::decode_lenient;
use super::public_id::excerpt;
use super::transformation::{Component, Format, Transformation};
use crate::error::{Error, Result};
use crate::limits::Limits;

/// Most entries of one `eager` parameter.
const MAX_EAGER_ENTRIES: usize = 100;

/// Reads a chain of components from text that was percent-decoded once, such as `w_400,c_fill/r_20`.
///
/// Empty parts and empty components are ignored. Errors: [`Error::Syntax`] for malformed text, [`Error::Unsupported`] for
/// what the language has but this server does not, [`Error::Limit`] for text beyond `limits`.
pub fn parse(text: &str, limits: &Limits) -> Result<Transformation> {
    if text.len() > limits.transformation_bytes {
        return Err(Error::Limit(format!(
            "Maximum length of a transformation is {} bytes. Requested {} bytes",
            limits.transformation_bytes,
            text.len()
        )));
    }
    let mut transformation = Transformation::default();
    let (mut n_components, mut n_layers, mut start) = (0_usize, 0_usize, 0_usize);
    for segment in text.split('/') {
        if segment.bytes().any(|byte| byte != b',') {
            n_components += 1;
            check_count("components", n_components, limits.components)?;
            let component = parse_component(segment, start)?;
            n_layers += usize::from(component.layer.is_some());
            check_count("layers", n_layers, limits.layers)?;
            if component != Component::default() {
                transformation.components.push(component);
            }
        }
        start += segment.len() + 1;
    }
    Ok(transformation)
}

fn check_count(what: &str, count: usize, most: usize) -> Result<()> {
    if count > most {
        return Err(Error::Limit(format!("Maximum number of {what} of a transformation is {most}")));
    }
    Ok(())
}

/// Reads one component; `start` is its position in the whole text, which the spans of errors count from.
pub fn parse_component(segment: &str, start: usize) -> Result<Component> {
    let mut component = Component::default();
    let mut seen: Vec<(&'static str, &str)> = Vec::new();
    let mut part_start = start;
    for part in segment.split(',') {
        if !part.is_empty() {
            let span = part_start..part_start + part.len();
            let unreadable = || Error::Syntax {
                message: format!("Invalid transformation component - {}", excerpt(segment)),
                span: span.clone(),
            };
            let (row, value) = split_part(part).ok_or_else(unreadable)?;
            let param = Param { row, part, value, start: span.end - value.len() };
            let parse_value = row.parse.ok_or_else(|| param.unsupported())?;
            let repeatable = row.key == "fl";
            match seen.iter().find(|(key, _)| *key == row.key && !repeatable) {
                Some((_, first)) if *first != value => return Err(conflict(row.long_name, first, value, param.start)),
                Some(_) => {}
                None => {
                    let had_layer = component.layer.is_some();
                    parse_value(&param, &mut component)?;
                    if had_layer && matches!(row.key, "l" | "u") {
                        return Err(unreadable());
                    }
                    if !repeatable {
                        seen.push((row.key, value));
                    }
                }
            }
        }
        part_start += part.len() + 1;
    }
    Ok(component)
}

fn conflict(name: &str, first: &str, second: &str, start: usize) -> Error {
    Error::Syntax {
        message: format!("conflicting transformation on {name} {}!={}", excerpt(first), excerpt(second)),
        span: start..start + second.len(),
    }
}

/// Whether a segment of an address is a component: every comma-separated part has a key of the language and a value.
pub fn is_component(segment: &str) -> bool {
    let mut parts = segment.split(',').filter(|part| !part.is_empty()).peekable();
    parts.peek().is_some() && parts.all(|part| split_part(part).is_some())
}

/// Whether some parts of a segment are parameters and others are not, which is a mistake rather than a folder.
pub(super) fn is_broken_component(segment: &str) -> bool {
    let known = |part: &str| split_part(part).is_some();
    let parts = || segment.split(',').filter(|part| !part.is_empty());
    parts().any(known) && !parts().all(known)
}

/// One entry of the `eager` parameter of an upload.
#[derive(Debug, Clone, PartialEq)]
pub struct Eager {
    /// The entry as given, with its format: `w_20/png`.
    pub text: String,
    /// The components as given, without the format: `w_20`. This stands in the address of the derivative.
    pub components: String,
    pub transformation: Transformation,
    pub extension: EagerExtension,
}

/// What an entry of `eager` says of the extension of its derivative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EagerExtension {
    /// Nothing: the original's format.
    Original,
    /// A last component without underscore: `w_20/png`.
    Named(Format),
    /// A slash at the end: `w_20/`.
    Absent,
}

/// Reads `eager`: entries separated by `|`, each a chain of components as it would stand in an address, so it is
/// percent-decoded once here. Spans of errors count from the start of the decoded entry.
pub fn parse_eager(text: &str, limits: &Limits) -> Result<Vec<Eager>> {
    let mut entries = Vec::new();
    for entry in text.split('|').map(str::trim).filter(|entry| !entry.is_empty()) {
        if entries.len() == MAX_EAGER_ENTRIES {
            return Err(Error::Limit(format!("Maximum number of eager transformations is {MAX_EAGER_ENTRIES}")));
        }
        let (components, last) = entry.rsplit_once('/').unwrap_or(("", entry));
        let (components, extension) = match last {
            "" => (components, EagerExtension::Absent),
            name if name.contains('_') => (entry, EagerExtension::Original),
            name => (components, EagerExtension::Named(eager_format(name, entry)?)),
        };
        let transformation = parse(&decode_lenient(components), limits)?;
        entries.push(Eager { text: entry.to_owned(), components: components.to_owned(), transformation, extension });
    }
    Ok(entries)
}

fn eager_format(name: &str, entry: &str) -> Result<Format> {
    match known_format(name) {
        Some(known) => known.writes.ok_or_else(|| Error::unsupported(format!("f_{name}"))),
        None => Err(Error::invalid("extension", &excerpt(name), entry.len() - name.len()..entry.len())),
    }
}
