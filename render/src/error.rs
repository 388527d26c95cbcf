//! Errors of the renderer, split by whose fault they are.

use std::ops::Range;

/// Result of the renderer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a picture could not be made.
///
/// The text of every variant is safe to show to the client that asked, unless [`Error::is_internal`] says otherwise.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The transformation or the address is malformed. `span` is a byte range of the text that was parsed.
    #[error("{message} (at position {})", span.start)]
    Syntax { message: String, span: Range<usize> },
    /// The text is legal but has no meaning for this picture, for example a crop that lies outside of it.
    #[error("{0}")]
    Semantic(String),
    /// The parameter is part of the language but Tintype does not build it yet. `what` is as written, such as `e_blur`.
    #[error("{what} is not supported by this server yet")]
    Unsupported { what: String },
    /// A layer names an asset that does not exist.
    #[error("Unknown or invalid referenced image {0} of type upload")]
    MissingLayer(String),
    /// A configured ceiling was passed; the message names it with both numbers.
    #[error("{0}")]
    Limit(String),
    /// The source's bytes are not a picture that can be read.
    #[error("{0}")]
    Decode(String),
    /// The encoder refused. Not the client's fault.
    #[error("encoding failed: {0}")]
    Encode(String),
    /// A backend failed in a way that no other backend could mend.
    #[error("rendering failed: {0}")]
    Device(String),
}

impl Error {
    /// A malformed value of a parameter, in the form Cloudinary's clients know: `Invalid width in transformation: abc`.
    pub fn invalid(long_name: &str, value: &str, span: Range<usize>) -> Self {
        Error::Syntax { message: format!("Invalid {long_name} in transformation: {value}"), span }
    }

    /// A parameter that is known but not built.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Error::Unsupported { what: what.into() }
    }

    /// True when the fault is the server's; the text must then stay in the log.
    pub fn is_internal(&self) -> bool {
        matches!(self, Error::Encode(_) | Error::Device(_))
    }
}
