//! Compiled kernels of graphics adapters, kept as files in the data folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_render::gpu::{PipelineCacheStore, PipelineCaches};

/// A folder with one file for each adapter, driver and set of kernels. What cannot be read or written costs time at the
/// next start, and a line in the log.
#[derive(Debug)]
pub struct PipelineFiles {
    folder: PathBuf,
}

/// Larger files are none of ours.
const MOST_BYTES: u64 = 64 << 20;

impl PipelineFiles {
    /// Keeps files below `data_dir`.
    pub fn caches(data_dir: &Path) -> PipelineCaches {
        PipelineCaches(Arc::new(PipelineFiles { folder: data_dir.join("kernels") }))
    }

    /// The file of a key, which is a plain name.
    fn path(&self, key: &str) -> Option<PathBuf> {
        let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        plain.then(|| self.folder.join(key))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        // Another process may start at the same time: each writes a file of its own and renames it.
        let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
        let result = std::fs::write(&unfinished, bytes).and_then(|()| std::fs::rename(&unfinished, path));
        if result.is_err() {
            let _ = std::fs::remove_file(&unfinished);
        }
        result
    }
}

impl PipelineCacheStore for PipelineFiles {
    fn load(&self, key: &str) -> Option<Vec<u8>> {
        let path = self.path(key)?;
        let length = std::fs::metadata(&path).ok()?.len();
        if length > MOST_BYTES {
            return None;
        }
        std::fs::read(path).inspect_err(|error| tracing::warn!(%error, key, "kept kernels cannot be read")).ok()
    }

    fn save(&self, key: &str, bytes: &[u8]) {
        let Some(path) = self.path(key) else { return };
        if let Err(error) = self.write(&path, bytes) {
            tracing::warn!(%error, path = %path.display(), "compiled kernels cannot be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_no_key_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let PipelineCaches(files) = PipelineFiles::caches(folder.path());
        assert_eq!(files.load("vulkan-10de-1"), None);
        files.save("vulkan-10de-1", b"kernels");
        files.save("vulkan-10de-1", b"newer kernels");
        assert_eq!(files.load("vulkan-10de-1").as_deref(), Some(&b"newer kernels"[..]));
        for key in ["", "../secret", "a/b", "a.b"] {
            files.save(key, b"x");
            assert_eq!(files.load(key), None, "{key}");
        }
        let left: Vec<_> = std::fs::read_dir(folder.path().join("kernels")).unwrap().collect();
        assert_eq!(left.len(), 1, "no unfinished file is left");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kernels"), b"a file").unwrap();
        let PipelineCaches(files) = PipelineFiles::caches(folder.path());
        files.save("key", b"kernels");
        assert_eq!(files.load("key"), None);
    }
}
