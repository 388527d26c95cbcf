//! The key that encrypts API secrets at rest. It lives in a file of its own, outside the catalog.

use super::ConfigError;
use rand::TryRngCore;
use rand::rngs::OsRng;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

/// Bytes of the key.
pub const KEY_BYTES: usize = 32;

/// Reads the key, or makes one if there is no file. A new file is complete and on disk before the function returns,
/// readable by its owner only.
pub fn load_or_create(path: &Path) -> Result<[u8; KEY_BYTES], ConfigError> {
    let failed = |error: io::Error| ConfigError::SecretKey { path: path.to_owned(), reason: error.to_string() };
    match read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        result => return result.map_err(failed),
    }
    match create(path) {
        // Another process was faster: its key counts.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path).map_err(failed),
        result => result.map_err(failed),
    }
}

fn read(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut bytes = Vec::with_capacity(KEY_BYTES + 1);
    fs::File::open(path)?.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    bytes
        .try_into()
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, format!("the file must hold exactly {KEY_BYTES} bytes")))
}

fn create(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut key = [0; KEY_BYTES];
    OsRng.try_fill_bytes(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    // Written under another name and then linked, so that nobody reads half a key and nobody's key is replaced.
    let temporary = folder.join(format!(".secret-{}-{:016x}", std::process::id(), rand::random::<u64>()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = (|| {
        let mut file = options.open(&temporary)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::hard_link(&temporary, path)
    })();
    let _ = fs::remove_file(&temporary);
    written?;
    fs::File::open(folder)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/secret.key");
        let key = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap(), key);
        assert_ne!(load_or_create(&folder.path().join("other.key")).unwrap(), key);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_file_of_another_length_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 31, 33] {
            let path = folder.path().join("secret.key");
            fs::write(&path, vec![7; length]).unwrap();
            assert!(matches!(load_or_create(&path), Err(ConfigError::SecretKey { .. })), "{length}");
        }
    }
}
