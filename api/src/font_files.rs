//! Fonts that an operator puts into a folder.

use crate::app::AppError;
use std::fs;
use std::path::Path;

/// The font files of a folder, by name; a folder that is named must be there. No name, no files.
pub fn read(folder: &Path) -> Result<Vec<Vec<u8>>, AppError> {
    if folder.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error| AppError::Fonts { folder: folder.to_owned(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        if matches!(extension.as_deref(), Some("ttf" | "otf" | "ttc" | "otc")) {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| fs::read(path).map_err(failed)).collect()
}
