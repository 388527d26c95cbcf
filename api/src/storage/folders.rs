//! The folders of a file store: sessions of writers, durable placement, listing.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{BlobKey, Result, StorageError, fs::create_folder, path_of};

/// The folder of one opened store's unfinished files. Removed when the store and its last writer are gone.
#[derive(Debug)]
pub(super) struct Session {
    path: PathBuf,
    /// Held locked for as long as the session lives; the system lets go of it when the process ends, however it ends.
    _lock: fs::File,
}

impl Session {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a folder of unfinished blobs could not be removed");
        }
    }
}

/// The tree of one store.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    session: Arc<Session>,
    /// Folders whose names this process knows to be durable. That a folder exists proves nothing: a concurrent writer
    /// may have created it and not yet synced its parent.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Folders {
    pub(super) fn open(root: PathBuf) -> Result<Self> {
        create_all(&root)?;
        let sessions = root.join("tmp");
        create_folder(&sessions)?;
        // Everyone who makes or removes sessions holds this lock, so that no session is seen before it is locked.
        let gate = open_lock(&sessions.join("lock"))?;
        gate.lock().map_err(|error| StorageError::io("lock the folder of unfinished blobs", error))?;
        remove_stale(&sessions)?;
        let path = sessions.join(BlobKey::random().as_str());
        create_folder(&path)?;
        let lock = open_lock(&path.join("lock"))?;
        lock.lock().map_err(|error| StorageError::io("lock a session of the blob folder", error))?;
        Ok(Self { root, session: Arc::new(Session { path, _lock: lock }), durable: Mutex::default() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Gives the finished file its final name, durably. On an error the final name does not exist.
    pub(super) fn place(&self, temporary: &Path, key: &BlobKey) -> Result<()> {
        let target = self.root.join(path_of(key));
        let (Some(folder), Some(parent)) = (target.parent(), target.parent().and_then(Path::parent)) else {
            return Err(StorageError::io("place a blob", io::Error::other("a blob path without two folders")));
        };
        self.ensure_durable(parent, &self.root)?;
        self.ensure_durable(folder, parent)?;
        fs::rename(temporary, &target)
            .map_err(|error| StorageError::io(format!("rename a blob to {}", target.display()), error))?;
        sync_folder(folder).inspect_err(|_| {
            // Without this the caller would see a failure and the store a blob.
            let _ = fs::remove_file(&target);
        })
    }

    fn ensure_durable(&self, folder: &Path, parent: &Path) -> Result<()> {
        if self.durable.lock().contains(folder) {
            return Ok(());
        }
        create_folder(folder)?;
        sync_folder(parent)?;
        self.durable.lock().insert(folder.to_owned());
        Ok(())
    }

    /// At most `limit` keys greater than `after`, ascending. Files that are no blobs are passed over.
    pub(super) fn list(&self, after: Option<&BlobKey>, limit: usize) -> Result<Vec<BlobKey>> {
        let mut keys = Vec::new();
        let after = after.map_or("", BlobKey::as_str);
        for outer in entries(&self.root, 2)? {
            if outer.as_str() < after.get(..2).unwrap_or("") {
                continue;
            }
            for inner in entries(&self.root.join(&outer), 2)? {
                if format!("{outer}{inner}").as_str() < after.get(..4).unwrap_or("") {
                    continue;
                }
                for name in entries(&self.root.join(&outer).join(&inner), BlobKey::LENGTH)? {
                    if keys.len() == limit {
                        return Ok(keys);
                    }
                    if name.as_str() > after && name.starts_with(&format!("{outer}{inner}")) {
                        keys.extend(BlobKey::new(name));
                    }
                }
            }
        }
        Ok(keys)
    }
}

/// Names of `length` hexadecimal characters in a folder, sorted. A folder that is gone has none.
fn entries(folder: &Path, length: usize) -> Result<Vec<String>> {
    let failed = |error| StorageError::io(format!("list {}", folder.display()), error);
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in listing {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string()
            && name.len() == length
            && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Creates `path` and the folders above it, each name made durable in its parent.
fn create_all(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_all(parent)?;
        create_folder(path)?;
        return sync_folder(parent);
    }
    create_folder(path)?;
    sync_folder(Path::new("."))
}

fn sync_folder(path: &Path) -> Result<()> {
    fs::File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| StorageError::io(format!("make folder {} durable", path.display()), error))
}

fn open_lock(path: &Path) -> Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| StorageError::io(format!("open {}", path.display()), error))
}

/// Removes the sessions that nobody holds. The caller holds the lock of `sessions`.
fn remove_stale(sessions: &Path) -> Result<()> {
    for name in entries(sessions, BlobKey::LENGTH)? {
        let session = sessions.join(name);
        let held = open_lock(&session.join("lock")).is_ok_and(|lock| lock.try_lock().is_err());
        if held {
            continue;
        }
        match fs::remove_dir_all(&session) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io(format!("remove unfinished blobs in {}", session.display()), error));
            }
            _ => {}
        }
    }
    Ok(())
}
