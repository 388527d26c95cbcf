//! Why uploads are refused.

use super::access::AccessError;
use super::call::ApiError;
use super::chunked::PartError;
use super::naming::InvalidPublicId;
use super::params::ParamError;
use super::pictures::PictureError;
use crate::catalog::CatalogError;
use crate::fetch::FetchError;
use crate::storage::StorageError;
use std::time::Duration;

/// Why an upload is refused.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Param(#[from] ParamError),
    #[error(transparent)]
    PublicId(#[from] InvalidPublicId),
    #[error("Upload preset not found")]
    UnknownPreset,
    #[error("Missing required parameter - file")]
    MissingFile,
    #[error("Empty file")]
    EmptyFile,
    #[error("File size too large. Got {got}. Maximum is {max}.")]
    TooLarge { got: u64, max: u64 },
    #[error("Fetching a file from an address is not supported by this server yet: {0}")]
    Remote(String),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An address for videos got something else.
    #[error("Unsupported video format or file")]
    NotAVideo,
    #[error("{kind} file format {format} not allowed")]
    FormatNotAllowed { kind: &'static str, format: String },
    /// A parameter that only pictures can have.
    #[error("{0} is not supported for files of this kind")]
    OnlyForImages(&'static str),
    #[error("Upload preset must be whitelisted for unsigned uploads")]
    SignedPreset,
    /// A refusal of the library, such as of metadata.
    #[error(transparent)]
    Library(Box<ApiError>),
    #[error(transparent)]
    Part(#[from] PartError),
    /// An entry of `eager` can never be rendered.
    #[error("{0}")]
    Eager(tintype_render::Error),
    #[error("{0}")]
    Picture(#[from] PictureError),
    /// Too many uploads are in progress.
    #[error("the server is busy, try again in {} s", retry_after.as_secs())]
    Busy { retry_after: Duration },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Storage(StorageError),
    #[error("{0}")]
    Internal(String),
}

impl From<ApiError> for UploadError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Upload(error) => error,
            ApiError::Catalog(error) => UploadError::Catalog(error),
            other => UploadError::Library(Box::new(other)),
        }
    }
}

impl UploadError {
    /// Whether the fault is the server's, so that the call may go well later.
    pub fn may_pass(&self) -> bool {
        match self {
            UploadError::Busy { .. }
            | UploadError::Catalog(_)
            | UploadError::Storage(_)
            | UploadError::Internal(_)
            | UploadError::Picture(PictureError::Busy | PictureError::Internal(_)) => true,
            UploadError::Picture(PictureError::Render(error)) => error.is_internal(),
            UploadError::Library(error) => match &**error {
                ApiError::Catalog(_) | ApiError::Storage(_) | ApiError::Internal(_) => true,
                ApiError::Upload(error) => error.may_pass(),
                _ => false,
            },
            _ => false,
        }
    }
}
