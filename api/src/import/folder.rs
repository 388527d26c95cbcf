//! Files below a folder.

use super::{Failure, Item, ItemFile, Items, folder_params, named};
use crate::domain::DeliveryType;
use futures::stream;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is still to be looked at, the next one last.
enum Entry {
    Folder(PathBuf),
    File(PathBuf, u64),
    Unreadable(PathBuf, io::Error),
}

/// All files below `root`, folder by folder in the order of their names. What is hidden is passed over, and links are not
/// followed. Public ids are paths below `root`, with `prefix` before them.
pub fn files(root: &Path, prefix: &str, dynamic_folders: bool) -> Items {
    let start = vec![Entry::Folder(root.to_owned())];
    let (root, prefix) = (root.to_owned(), prefix.to_owned());
    let found = stream::unfold(start, move |mut open| {
        let (root, prefix) = (root.clone(), prefix.clone());
        async move {
            loop {
                let result = match open.pop()? {
                    Entry::Folder(folder) => {
                        let listed = tokio::task::spawn_blocking(move || {
                            let listed = list(&folder);
                            (folder, listed)
                        });
                        match listed.await {
                            Ok((_, Ok(entries))) => {
                                open.extend(entries.into_iter().rev());
                                continue;
                            }
                            Ok((folder, Err(error))) => Err(failure(&folder, &error)),
                            Err(error) => Err(failure(&root, &error)),
                        }
                    }
                    Entry::Unreadable(path, error) => Err(failure(&path, &error)),
                    Entry::File(path, bytes) => item(&root, path, bytes, &prefix, dynamic_folders),
                };
                return Some((result, open));
            }
        }
    });
    Box::pin(found)
}

fn failure(path: &Path, reason: &dyn std::fmt::Display) -> Failure {
    Failure { what: path.display().to_string(), reason: reason.to_string() }
}

/// The entries of one folder by name.
fn list(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let visible = entries.into_iter().filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    Ok(visible
        .filter_map(|entry| match entry.metadata() {
            // The metadata is the entry's own: that of a link is a link's.
            Ok(found) if found.is_dir() => Some(Entry::Folder(entry.path())),
            Ok(found) if found.is_file() => Some(Entry::File(entry.path(), found.len())),
            Ok(_) => None,
            Err(error) => Some(Entry::Unreadable(entry.path(), error)),
        })
        .collect())
}

fn item(root: &Path, path: PathBuf, bytes: u64, prefix: &str, dynamic: bool) -> Result<Item, Failure> {
    let below = path.strip_prefix(root).unwrap_or(&path);
    let Some(text) = below.to_str() else { return Err(failure(&path, &"its name is not UTF-8")) };
    let filename = text.rsplit('/').next().unwrap_or(text).to_owned();
    let (resource_type, public_id) = named(text, prefix);
    Ok(Item {
        params: folder_params(&public_id, dynamic),
        file: ItemFile::Path(path),
        resource_type,
        delivery_type: DeliveryType::Upload,
        public_id,
        filename,
        bytes: Some(bytes),
        md5: None,
        reference: None,
    })
}
