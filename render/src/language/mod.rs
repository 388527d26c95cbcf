//! The transformation language and the addresses of delivered pictures: text in, typed values out. Never sees a plan.

pub mod address;
mod color;
mod compatibility;
pub mod formats;
mod number;
pub mod params;
mod parse;
pub mod percent;
mod print;
mod public_id;
pub mod transformation;
mod values;
mod vocabulary;

pub use address::{Address, AddressError, build_path, parse_address};
pub use compatibility::compatibility_markdown;
pub use formats::known_format;
pub use parse::{Eager, EagerExtension, is_component, parse, parse_component, parse_eager};
pub use print::canonical;
pub use public_id::{MAX_PUBLIC_ID_CHARS, PublicIdError, validate_public_id};
pub use transformation::*;

impl Format {
    /// The format with this extension or alias, if it can be written.
    pub fn from_extension(extension: &str) -> Option<Format> {
        known_format(extension)?.writes
    }
}

/// Whether an extension names any format of the language, built or not.
pub fn is_known_extension(extension: &str) -> bool {
    known_format(extension).is_some()
}
