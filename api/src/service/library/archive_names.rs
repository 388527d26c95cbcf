//! Names of the files in an archive (api.md 3.16).

use crate::domain::{Asset, ResourceType};
use crate::service::params::EagerEntry;
use std::collections::HashSet;

/// Longest transformation in a name, in characters, which are ASCII.
const MAX_TRANSFORMATION_CHARS: usize = 150;

/// How files are named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Naming {
    /// Without the folders of the public id.
    pub flatten_folders: bool,
    /// `name_transformation.ext` instead of `name/transformation.ext`.
    pub flatten_transformations: bool,
    pub skip_transformation_name: bool,
    /// The name of the uploaded file instead of the last part of the public id.
    pub use_original_filename: bool,
}

/// The names of one archive: no two are equal, also where upper and lower case are one.
#[derive(Debug, Default)]
pub struct Names {
    naming: Naming,
    used: HashSet<String>,
}

impl Names {
    pub fn new(naming: Naming) -> Self {
        Names { naming, used: HashSet::new() }
    }

    /// Name of the next file. `extension` is that of its bytes, or empty.
    pub fn next(&mut self, asset: &Asset, entry: Option<&EagerEntry>, extension: &str) -> String {
        let base = self.base(asset, extension);
        let ending = if extension.is_empty() { String::new() } else { format!(".{extension}") };
        let base = match entry.map(|entry| file_name_of(&entry.transformation)).filter(|text| !text.is_empty()) {
            Some(text) if !self.naming.skip_transformation_name => {
                let separator = if self.naming.flatten_transformations { '_' } else { '/' };
                format!("{base}{separator}{text}")
            }
            _ => base,
        };
        let mut name = format!("{base}{ending}");
        let mut count = 0_u32;
        while !self.used.insert(name.to_lowercase()) {
            count += 1;
            name = format!("{base}_{count}{ending}");
        }
        name
    }

    fn base(&self, asset: &Asset, extension: &str) -> String {
        let public_id = asset.key.public_id.as_str();
        // Public ids of raw files hold their extension.
        let public_id = match asset.key.resource_type {
            ResourceType::Raw if !extension.is_empty() => {
                public_id.strip_suffix(extension).and_then(|rest| rest.strip_suffix('.')).unwrap_or(public_id)
            }
            _ => public_id,
        };
        let mut parts: Vec<String> = public_id.split('/').map(safe).collect();
        if self.naming.use_original_filename
            && !asset.original_filename.is_empty()
            && let Some(last) = parts.last_mut()
        {
            *last = safe(&asset.original_filename);
        }
        match parts.last() {
            Some(last) if self.naming.flatten_folders => last.clone(),
            _ => parts.join("/"),
        }
    }
}

/// A part of a path that stays below the folder in which the archive is unpacked, on every system.
fn safe(part: &str) -> String {
    let text: String =
        part.chars()
            .map(|c| {
                if c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|') {
                    '_'
                } else {
                    c
                }
            })
            .collect();
    match text.as_str() {
        "" | "." | ".." => "_".to_owned(),
        _ => text,
    }
}

/// A transformation as a name: its components are joined, and signs that no file system likes are replaced.
fn file_name_of(transformation: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ',' | '.') { c } else { '_' };
    transformation.chars().map(plain).take(MAX_TRANSFORMATION_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_leaves_the_folder() {
        assert_eq!([safe(".."), safe("."), safe(""), safe("a\\..\\b"), safe("c:d")], ["_", "_", "_", "a_.._b", "c_d"]);
        assert_eq!(safe("..a é"), "..a é");
        assert_eq!(file_name_of("c_fill,w_0.5/e_blur:300"), "c_fill,w_0.5_e_blur_300");
        assert_eq!(file_name_of(&"w_1/".repeat(200)).len(), MAX_TRANSFORMATION_CHARS);
    }
}
