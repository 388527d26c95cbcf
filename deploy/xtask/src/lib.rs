//! Tasks for people who work on Tintype: checks that no compiler makes.

pub mod tidy;

use std::path::PathBuf;

/// Top folder of the repository that this program was compiled in.
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
