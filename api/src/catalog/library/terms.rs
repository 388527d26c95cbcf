//! What an asset is found by: its labels, and the words of its texts.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::{domain::Asset, search::words_of};

/// Longest text that is looked up whole, in bytes; of longer ones a beginning and a digest are.
const MAX_VALUE_BYTES: usize = 200;

/// Kinds of labels.
pub(in crate::catalog) const TAG: &str = "tag";
pub(in crate::catalog) const CONTEXT: &str = "context";
pub(in crate::catalog) const METADATA: &str = "metadata";
pub(in crate::catalog) const MODERATION: &str = "moderation";

/// One row of `labels`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::catalog) struct Label {
    pub kind: &'static str,
    pub name: String,
    pub value: String,
    pub number: Option<i64>,
}

/// A text as it stands in the index: equal texts are equal there, and different ones differ.
pub(in crate::catalog) fn indexed(text: &str) -> String {
    if text.len() <= MAX_VALUE_BYTES {
        return text.to_owned();
    }
    let mut end = 128;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}\u{1}{}", &text[..end], hex::encode(Sha256::digest(text.as_bytes())))
}

/// All labels of an asset, each once.
pub(in crate::catalog) fn labels(asset: &Asset) -> BTreeSet<Label> {
    let label =
        |kind, name: &str, value: &str, number| Label { kind, name: indexed(name), value: indexed(value), number };
    let mut labels: BTreeSet<Label> = asset.tags.iter().map(|tag| label(TAG, tag, "", None)).collect();
    labels.extend(asset.context.iter().map(|(key, value)| label(CONTEXT, key, value, None)));
    for (field, value) in &asset.metadata {
        match value {
            serde_json::Value::String(text) => {
                labels.insert(label(METADATA, field, text, None));
            }
            serde_json::Value::Number(number) => {
                labels.insert(label(METADATA, field, &number.to_string(), number.as_i64()));
            }
            serde_json::Value::Array(entries) => {
                labels.extend(
                    entries.iter().filter_map(|entry| entry.as_str()).map(|entry| label(METADATA, field, entry, None)),
                );
            }
            _ => {}
        }
    }
    labels.extend(asset.details.moderation.iter().map(|state| label(MODERATION, &state.kind, &state.status, None)));
    labels
}

/// The field of words in one value of the context or the metadata.
fn part(field: &str, key: &str) -> String {
    indexed(&format!("{field}.{key}"))
}

/// All words of an asset with the field that each stands in.
pub(in crate::catalog) fn words(asset: &Asset) -> BTreeSet<(String, String)> {
    let public_id = asset.key.public_id.as_str();
    let (folder, filename) = public_id.rsplit_once('/').unwrap_or(("", public_id));
    let shown = if asset.display_name.is_empty() { filename } else { &asset.display_name };
    let mut words = BTreeSet::new();
    let mut add = |field: &str, text: &str| words.extend(words_of(text).map(|word| (word, field.to_owned())));
    add("public_id", public_id);
    add("filename", filename);
    add("folder", folder);
    add("display_name", shown);
    add("asset_folder", &asset.asset_folder);
    asset.tags.iter().for_each(|tag| add("tags", tag));
    asset.context.iter().for_each(|(key, value)| add(&part("context", key), value));
    for (field, value) in &asset.metadata {
        match value {
            serde_json::Value::String(text) => add(&part("metadata", field), text),
            serde_json::Value::Array(entries) => {
                entries
                    .iter()
                    .filter_map(|entry| entry.as_str())
                    .for_each(|entry| add(&part("metadata", field), entry));
            }
            _ => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::MAX_WORD_CHARS;

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let words: Vec<String> = words_of("Trips/Lake-2024_ÄRGER (1).jpg").collect();
        assert_eq!(words, ["trips", "lake", "2024", "ärger", "1", "jpg"]);
        assert_eq!(words_of(&"x".repeat(100)).next().map(|word| word.len()), Some(MAX_WORD_CHARS));
    }

    #[test]
    fn long_texts_keep_their_difference() {
        let (one, other) = (format!("{}a", "é".repeat(150)), format!("{}b", "é".repeat(150)));
        assert_ne!(indexed(&one), indexed(&other));
        assert!(indexed(&one).len() <= MAX_VALUE_BYTES && indexed("short") == "short");
    }
}
