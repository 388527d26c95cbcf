//! The files of the repository, read once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Files that are looked into; of all others only the name counts.
const TEXT_EXTENSIONS: &[&str] = &["rs", "wgsl", "md", "sh", "py", "toml"];

/// Paths below the top, with `/`, and the text of those that are text.
#[derive(Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Every path.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The text of a file; `None` when there is no such file or it is no text.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether a path exists.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Path and text of the files with one of these extensions.
    pub fn texts<'a>(&'a self, extensions: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files.iter().filter_map(|(path, text)| {
            extensions.contains(&extension(path)).then_some(())?;
            Some((path.as_str(), text.as_deref()?))
        })
    }

    /// A tree that exists in memory only.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned()))).collect();
        Tree { files }
    }
}

/// What follows the last dot of a path, or nothing.
pub fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Reads the tree at `top`, without what `.gitignore` names there. Errors: a file or a folder that cannot be read.
pub fn load(top: &Path) -> io::Result<Tree> {
    let ignored = Ignored::read(top)?;
    let mut tree = Tree::default();
    walk(top, "", &ignored, &mut tree)?;
    Ok(tree)
}

/// The two forms of lines that our `.gitignore` has: `/name` at the top and `*.extension` anywhere.
#[derive(Default)]
struct Ignored {
    names: Vec<String>,
    extensions: Vec<String>,
}

impl Ignored {
    fn read(top: &Path) -> io::Result<Self> {
        let mut ignored = Ignored { names: vec![".git".to_owned()], extensions: Vec::new() };
        let text = match fs::read_to_string(top.join(".gitignore")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('/') {
                ignored.names.push(name.trim_end_matches('/').to_owned());
            } else if let Some(extension) = line.strip_prefix("*.") {
                ignored.extensions.push(extension.to_owned());
            }
        }
        Ok(ignored)
    }

    fn skips(&self, path: &str) -> bool {
        self.names.iter().any(|name| name == path) || self.extensions.iter().any(|known| known == extension(path))
    }
}

fn walk(folder: &Path, prefix: &str, ignored: &Ignored, tree: &mut Tree) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if ignored.skips(&path) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "__pycache__" {
                walk(&entry.path(), &format!("{path}/"), ignored, tree)?;
            }
        } else {
            let is_text = TEXT_EXTENSIONS.contains(&extension(&path)) || path == "Makefile";
            let text = if is_text { Some(fs::read_to_string(entry.path())?) } else { None };
            tree.files.insert(path, text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_git_ignores_is_not_read() {
        let top = std::env::temp_dir().join(format!("tintype-tidy-{}", std::process::id()));
        fs::create_dir_all(top.join("target")).unwrap();
        fs::create_dir_all(top.join("a/target")).unwrap();
        for path in ["target/x.rs", "a/target/y.rs", "a/z.swp", "a/p.png"] {
            fs::write(top.join(path), [0xff, 0xfe]).unwrap();
        }
        fs::write(top.join("a/target/y.rs"), "fn main() {}").unwrap();
        fs::write(top.join(".gitignore"), "/target\n*.swp\n").unwrap();
        let tree = load(&top);
        fs::remove_dir_all(&top).unwrap();
        let tree = tree.unwrap();
        assert_eq!(tree.paths().collect::<Vec<_>>(), [".gitignore", "a/p.png", "a/target/y.rs"]);
        assert_eq!(tree.text("a/p.png"), None);
        assert_eq!(tree.text("a/target/y.rs"), Some("fn main() {}"));
    }

    #[test]
    fn extensions_belong_to_names() {
        assert_eq!(extension("a.b/c"), "");
        assert_eq!(extension("a/b.tar.gz"), "gz");
        assert_eq!(extension("Makefile"), "");
    }
}
