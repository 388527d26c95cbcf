//! Which public id and which file name an upload gets (api.md 3.3).

use super::params::UploadParams;
use crate::domain::PublicId;
use rand::Rng;

/// Characters of a generated id.
const RANDOM_CHARS: usize = 20;
/// Characters that make a file name unique.
const SUFFIX_CHARS: usize = 6;
/// Longest part of a file name that is kept, in characters.
const MAX_NAME_CHARS: usize = 200;

/// An id that cannot be used, as the caller would see it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("public_id ({0}) is invalid")]
pub struct InvalidPublicId(pub String);

/// Name of an uploaded file: the last part of a path without its extension. Clients send whole local paths.
pub fn stem(filename: &str) -> String {
    let name = filename.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => name,
    };
    stem.chars().filter(|character| !character.is_control()).take(MAX_NAME_CHARS).collect()
}

/// The name that the asset keeps: none when it is to be discarded.
pub fn original_filename(params: &UploadParams, filename: &str) -> String {
    if params.discard_original_filename {
        return String::new();
    }
    stem(params.filename_override.as_deref().unwrap_or(filename))
}

/// The extension of a file name, in lower case; empty when it has none.
pub fn extension(filename: &str) -> String {
    let name = filename.rsplit(['/', '\\']).next().unwrap_or_default();
    match name.rsplit_once('.') {
        Some((stem, extension))
            if !stem.is_empty() && extension.len() <= 16 && extension.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            extension.to_ascii_lowercase()
        }
        _ => String::new(),
    }
}

/// The id of an upload: the one that was asked for, else the file's name, else a random one; below the folder and the
/// prefix. `asset_folder` comes first where the caller wants it there. Ids of raw files that are made here end with the
/// file's extension.
pub fn choose_public_id(
    params: &UploadParams,
    filename: &str,
    asset_folder: &str,
    raw: bool,
) -> Result<PublicId, InvalidPublicId> {
    let made = |name: String| match extension(filename) {
        extension if raw && !extension.is_empty() => format!("{name}.{extension}"),
        _ => name,
    };
    let name = match &params.public_id {
        Some(id) => {
            check(id)?;
            id.clone()
        }
        None if params.use_filename => {
            let name = sanitize(&stem(params.filename_override.as_deref().unwrap_or(filename)));
            made(match (name.is_empty(), params.unique_filename) {
                (true, _) => random(RANDOM_CHARS),
                (false, true) => format!("{name}_{}", random(SUFFIX_CHARS)),
                (false, false) => name,
            })
        }
        None => made(random(RANDOM_CHARS)),
    };
    let mut id = String::new();
    let asset_folder = params.use_asset_folder_as_public_id_prefix.then_some(asset_folder);
    let folder = asset_folder.or(params.folder.as_deref());
    for prefix in [folder, params.public_id_prefix.as_deref()].into_iter().flatten() {
        let prefix = prefix.trim_matches('/');
        if !prefix.is_empty() {
            id.push_str(prefix);
            id.push('/');
        }
    }
    id.push_str(&name);
    check(&id)
}

/// `.` and `..` as a part can be stored but never be asked for: browsers and proxies resolve them.
fn check(id: &str) -> Result<PublicId, InvalidPublicId> {
    let invalid = || InvalidPublicId(id.chars().take(PublicId::MAX_CHARS).collect());
    if id.split('/').any(|part| part == "." || part == "..") {
        return Err(invalid());
    }
    PublicId::new(id).map_err(|_| invalid())
}

/// Letters of any script are kept; what would have to be escaped, or cannot be seen, becomes `_`.
fn sanitize(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '.' => character,
            other if other.is_ascii() || other.is_whitespace() || other.is_control() => '_',
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => '_',
            other => other,
        })
        .collect();
    if safe.chars().all(|character| character == '.') { String::new() } else { safe }
}

fn random(length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut generator = rand::rng();
    (0..length).map(|_| char::from(ALPHABET[generator.random_range(0..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn params(received: &[(&str, &str)]) -> UploadParams {
        let received: Vec<(String, String)> =
            received.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        UploadParams::parse(&received).unwrap()
    }

    fn choose(received: &[(&str, &str)], filename: &str) -> Result<String, InvalidPublicId> {
        choose_public_id(&params(received), filename, "", false).map(|id| id.as_str().to_owned())
    }

    #[test]
    fn stems_are_base_names_without_extension() {
        for (filename, expected) in [
            ("/home/a/IMG_0042.jpg", "IMG_0042"),
            (r"C:\pictures\cat.png", "cat"),
            ("archive.tar.gz", "archive.tar"),
            (".hidden", ".hidden"),
            ("stream", "stream"),
            ("", ""),
            ("a\0b.png", "ab"),
        ] {
            assert_eq!(stem(filename), expected, "{filename}");
        }
    }

    #[test]
    fn an_id_is_given_derived_or_random() {
        let random = choose(&[], "cat.jpg").unwrap();
        assert!(random.len() == 20 && random.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        assert_ne!(random, choose(&[], "cat.jpg").unwrap());
        assert_eq!(choose(&[("public_id", "cat.jpg"), ("use_filename", "1")], "x.png").unwrap(), "cat.jpg");
        assert_eq!(choose(&[("use_filename", "1"), ("unique_filename", "0")], "/a/b c(1).png").unwrap(), "b_c_1_");
        assert_eq!(
            choose(&[("use_filename", "1"), ("unique_filename", "0")], "üni_näme_lögö.png").unwrap(),
            "üni_näme_lögö"
        );
        let unique = choose(&[("use_filename", "1")], "cat.jpg").unwrap();
        assert!(unique.starts_with("cat_") && unique.len() == 10, "{unique}");
        let overridden = [("use_filename", "1"), ("unique_filename", "0"), ("filename_override", "dog.jpg")];
        assert_eq!(choose(&overridden, "cat.jpg").unwrap(), "dog");
        assert_eq!(choose(&[("use_filename", "1")], "").unwrap().len(), 20);
        assert_eq!(choose(&[("use_filename", "1"), ("unique_filename", "0")], "...jpg").unwrap().len(), 20);
    }

    #[test]
    fn ids_of_raw_files_hold_the_extension() {
        let raw = |received: &[(&str, &str)], filename: &str| {
            choose_public_id(&params(received), filename, "in", true).unwrap().as_str().to_owned()
        };
        assert!(raw(&[], "/a/notes.TXT").ends_with(".txt"));
        assert_eq!(raw(&[("use_filename", "1"), ("unique_filename", "0")], "a b.tar.gz"), "a_b.tar.gz");
        assert_eq!(raw(&[("public_id", "x"), ("use_asset_folder_as_public_id_prefix", "1")], "a.txt"), "in/x");
    }

    #[test]
    fn folder_and_prefix_come_before_the_id() {
        let all = [("folder", "/a/b/"), ("public_id_prefix", "p"), ("public_id", "c//d")];
        assert_eq!(choose(&all, "").unwrap(), "a/b/p/c/d");
        assert!(choose(&[("folder", "a")], "").unwrap().starts_with("a/"));
    }

    #[test]
    fn ids_that_cannot_be_addressed_are_refused() {
        for id in ["../a", "a/../b", "a/.", "/a", "a/", " a", "a?b", "a#b", "a%2fb", "a\\b", "a<b", "a+b", "a\nb"] {
            assert_eq!(choose(&[("public_id", id)], ""), Err(InvalidPublicId(id.to_owned())), "{id}");
        }
        assert!(choose(&[("folder", ".."), ("public_id", "a")], "").is_err());
        assert!(choose(&[("folder", "a?")], "").is_err());
        assert!(choose(&[("public_id", &"x".repeat(256))], "").is_err());
        assert!(choose(&[("public_id", &"x".repeat(255))], "").is_ok());
        assert!(choose(&[("public_id", &"x".repeat(255)), ("folder", "a")], "").is_err());
    }

    #[test]
    fn a_file_name_is_kept_replaced_or_discarded() {
        assert_eq!(original_filename(&params(&[]), "/tmp/cat.jpg"), "cat");
        assert_eq!(original_filename(&params(&[("filename_override", "dog.png")]), "cat.jpg"), "dog");
        assert_eq!(original_filename(&params(&[("discard_original_filename", "1")]), "cat.jpg"), "");
    }
}
