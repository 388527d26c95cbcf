//! What must hold of the source as text: the walls between modules, the size and the form of files, the twins.

mod files;
mod paths;
mod tree;
mod twins;
mod walls;

pub use tree::{Tree, load};

use std::fmt;
use std::io;
use std::path::Path;

/// Whether a finding stops the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Fault,
    Warning,
}

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// Path below the top of the repository, with `/`.
    pub path: String,
    /// Counted from 1; 0 means the file as a whole.
    pub line: usize,
    pub message: String,
}

impl Finding {
    fn fault(path: &str, line: usize, message: impl Into<String>) -> Self {
        Finding { severity: Severity::Fault, path: path.to_owned(), line, message: message.into() }
    }

    fn warning(path: &str, line: usize, message: impl Into<String>) -> Self {
        Finding { severity: Severity::Warning, ..Self::fault(path, line, message) }
    }

    /// Whether this stops the build.
    pub fn is_fault(&self) -> bool {
        self.severity == Severity::Fault
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.is_fault() { "" } else { "warning: " };
        match self.line {
            0 => write!(formatter, "{}: {severity}{}", self.path, self.message),
            line => write!(formatter, "{}:{line}: {severity}{}", self.path, self.message),
        }
    }
}

/// Checks every rule on the repository at `top`. Errors: a file or a folder that cannot be read.
pub fn check(top: &Path) -> io::Result<Vec<Finding>> {
    Ok(check_tree(&load(top)?))
}

/// Checks every rule on files in memory, sorted by path and line.
pub fn check_tree(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    files::check(tree, &mut findings);
    twins::check(tree, &mut findings);
    walls::check(tree, &mut findings);
    findings.sort_by(|one, other| (&one.path, one.line).cmp(&(&other.path, other.line)));
    findings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Messages of the faults in a tree of the given files.
    pub fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of(files);
        check_tree(&tree).iter().filter(|finding| finding.is_fault()).map(ToString::to_string).collect()
    }

    #[test]
    fn the_repository_is_tidy() {
        let findings = check(&crate::repository()).unwrap();
        for warning in findings.iter().filter(|finding| !finding.is_fault()) {
            println!("{warning}");
        }
        let faults: Vec<String> =
            findings.iter().filter(|finding| finding.is_fault()).map(ToString::to_string).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn the_repository_was_really_read() {
        let tree = load(&crate::repository()).unwrap();
        for path in ["Cargo.toml", "render/src/lib.rs", "shaders/wgsl/resample.wgsl", "deploy/xtask/src/tidy/mod.rs"] {
            assert!(tree.text(path).is_some(), "{path}");
        }
        assert!(!tree.paths().any(|path| path.starts_with("target/")));
    }
}
