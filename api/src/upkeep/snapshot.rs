//! The folder of a backup: `blobs/` with the files of all snapshots, each once, and `snapshots/<time>/` with one file of
//! JSON lines for each table. The manifest of a snapshot is written last; without it there is no snapshot.

use super::UpkeepError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Version of this layout.
pub const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
/// Longest line that is read back.
const MOST_LINE_BYTES: u64 = 64 << 20;

/// What one file of a snapshot must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Lines, the header too.
    pub lines: u64,
    pub sha256: String,
}

/// What a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub tintype_backup: u32,
    pub program: String,
    pub created_at: String,
    /// Kind of the database that it was taken from.
    pub catalog: String,
    /// By this the secret key is known that opens the API secrets, in hexadecimal.
    pub key_check: String,
    pub files: BTreeMap<String, FileFacts>,
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> UpkeepError {
    let path = path.to_owned();
    move |error| UpkeepError::File { path, error }
}

pub(super) fn create_folder(path: &Path) -> Result<(), UpkeepError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path))
}

pub(super) fn sync_folder(path: &Path) -> Result<(), UpkeepError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed(path))
}

/// A file of lines that is being written.
pub struct LineWriter {
    file: BufWriter<File>,
    hash: Sha256,
    lines: u64,
}

impl LineWriter {
    /// A new file that only its owner may read.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(LineWriter { file: BufWriter::new(file), hash: Sha256::new(), lines: 0 })
    }

    pub fn write(&mut self, line: &str) -> io::Result<()> {
        for bytes in [line.as_bytes(), b"\n"] {
            self.hash.update(bytes);
            self.file.write_all(bytes)?;
        }
        self.lines += 1;
        Ok(())
    }

    /// Makes the file durable.
    pub fn finish(self) -> io::Result<FileFacts> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(FileFacts { lines: self.lines, sha256: hex::encode(self.hash.finalize()) })
    }
}

/// Lines of a file, one after the other, without their ends.
pub struct LineReader {
    path: PathBuf,
    file: BufReader<File>,
}

impl LineReader {
    pub fn open(path: &Path) -> Result<Self, UpkeepError> {
        Ok(LineReader { path: path.to_owned(), file: BufReader::new(File::open(path).map_err(failed(path))?) })
    }

    pub fn next_line(&mut self) -> Result<Option<String>, UpkeepError> {
        let mut line = String::new();
        let read = io::Read::take(&mut self.file, MOST_LINE_BYTES).read_line(&mut line).map_err(failed(&self.path))?;
        if read == 0 {
            return Ok(None);
        }
        match line.pop() {
            Some('\n') => Ok(Some(line)),
            _ => Err(UpkeepError::Refused(format!("{} ends within a line", self.path.display()))),
        }
    }
}

/// One snapshot of a folder.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub name: String,
    pub folder: PathBuf,
}

impl Snapshot {
    /// Every snapshot of a backup's folder, oldest first, also those without a manifest.
    pub fn all(root: &Path) -> Result<Vec<Snapshot>, UpkeepError> {
        let folder = root.join("snapshots");
        let listing = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listing => listing.map_err(failed(&folder))?,
        };
        let mut all = Vec::new();
        for entry in listing {
            let entry = entry.map_err(failed(&folder))?;
            if let Ok(name) = entry.file_name().into_string() {
                all.push(Snapshot { name, folder: entry.path() });
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    pub fn is_finished(&self) -> bool {
        self.folder.join(MANIFEST).is_file()
    }

    pub fn file(&self, table: &str) -> PathBuf {
        self.folder.join(format!("{table}.jsonl"))
    }

    /// Ends the snapshot: everything else of it is durable by now.
    pub fn finish(&self, manifest: &Manifest) -> Result<(), UpkeepError> {
        let (path, temporary) = (self.folder.join(MANIFEST), self.folder.join("manifest.tmp"));
        let text = serde_json::to_string_pretty(manifest).map_err(|error| UpkeepError::Refused(error.to_string()))?;
        let mut file = LineWriter::create(&temporary).map_err(failed(&temporary))?;
        file.write(&text).and_then(|()| file.finish().map(drop)).map_err(failed(&temporary))?;
        fs::rename(&temporary, &path).map_err(failed(&path))?;
        sync_folder(&self.folder)
    }

    /// Reads the manifest. [`UpkeepError::Refused`] where there is none, or one of a newer program.
    pub fn manifest(&self) -> Result<Manifest, UpkeepError> {
        let path = self.folder.join(MANIFEST);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(UpkeepError::Refused(format!("the backup {} was not finished", self.name)));
            }
            text => text.map_err(failed(&path))?,
        };
        let manifest: Manifest = serde_json::from_str(&text)
            .map_err(|error| UpkeepError::Refused(format!("{} is no manifest: {error}", path.display())))?;
        if manifest.tintype_backup > VERSION {
            return Err(UpkeepError::Refused("the backup was written by a newer program".to_owned()));
        }
        Ok(manifest)
    }

    /// Compares the files with the manifest, so that nothing is restored from a damaged one.
    pub fn check(&self, manifest: &Manifest) -> Result<(), UpkeepError> {
        for (table, facts) in &manifest.files {
            let path = self.file(table);
            let (mut reader, mut hash, mut lines) = (LineReader::open(&path)?, Sha256::new(), 0);
            while let Some(line) = reader.next_line()? {
                hash.update(line.as_bytes());
                hash.update(b"\n");
                lines += 1;
            }
            if lines != facts.lines || hex::encode(hash.finalize()) != facts.sha256 {
                return Err(UpkeepError::Refused(format!("{} is not as it was written", path.display())));
            }
        }
        Ok(())
    }

    /// Removes the snapshot; after the first step it counts as unfinished.
    pub fn remove(&self) -> Result<(), UpkeepError> {
        let manifest = self.folder.join(MANIFEST);
        match fs::remove_file(&manifest) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&manifest)(error)),
            _ => {}
        }
        sync_folder(&self.folder)?;
        fs::remove_dir_all(&self.folder).map_err(failed(&self.folder))
    }
}
