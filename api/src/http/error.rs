//! The one map from errors to status, body and headers.

use super::body::BodyError;
use super::form::FormError;
use crate::catalog::CatalogError;
use crate::fetch::FetchError;
use crate::service::access::AccessError;
use crate::service::call::ApiError;
use crate::service::deliver_types::DeliveryError;
use crate::service::pictures::PictureError;
use crate::service::upload::UploadError;
use crate::storage::StorageError;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::json;
use std::time::Duration;

/// Carries the text of an error, in front of any body.
pub const X_CLD_ERROR: HeaderName = HeaderName::from_static("x-cld-error");
/// Longest text of `X-Cld-Error`.
const MAX_HEADER_BYTES: usize = 1000;
/// Longest text in a body.
const MAX_MESSAGE_CHARS: usize = 20_000;
/// When a client may try again while a database or a storage server is gone.
const UNAVAILABLE_RETRY_AFTER: Duration = Duration::from_secs(2);
/// What errors tell caches.
const NO_CACHE: HeaderValue = HeaderValue::from_static("private, no-cache, max-age=0");

/// An error as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    pub status: StatusCode,
    pub message: String,
    pub retry_after: Option<Duration>,
}

impl HttpError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        HttpError { status, message: message.into(), retry_after: None }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Our own fault: the detail goes to the log, the client learns nothing of it.
    pub fn internal(detail: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %detail, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    }

    /// There is no room for what was to be stored.
    fn full(detail: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %detail, "a request failed because the storage is full");
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "The server has no room left for files.")
    }

    /// Something that this server needs cannot be reached now.
    fn unavailable(detail: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %detail, "a request failed for now");
        HttpError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: "The server is temporarily unavailable. Try again later.".to_owned(),
            retry_after: Some(UNAVAILABLE_RETRY_AFTER),
        }
    }

    fn busy(status: StatusCode, retry_after: Duration) -> Self {
        HttpError { status, message: "The server is busy. Try again later.".to_owned(), retry_after: Some(retry_after) }
    }

    /// The answer of an API route: JSON that SDKs understand.
    pub fn into_api_response(self) -> Response<Body> {
        let message: String = self.message.chars().take(MAX_MESSAGE_CHARS).collect();
        let body = json!({ "error": { "message": message } }).to_string();
        self.into_response("application/json", body)
    }

    /// The answer to a request for a picture: short text, for nobody parses it.
    pub fn into_delivery_response(self) -> Response<Body> {
        let mut body: String = self.message.chars().take(MAX_HEADER_BYTES).collect();
        body.push('\n');
        self.into_response("text/plain; charset=utf-8", body)
    }

    fn into_response(self, content_type: &'static str, body: String) -> Response<Body> {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, NO_CACHE);
        headers.insert(X_CLD_ERROR, header_text(&self.message));
        if let Some(time) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(time.as_secs().max(1)));
        }
        response
    }
}

/// A text that may stand in a header: visible ASCII, of bounded length.
pub fn header_text(text: &str) -> HeaderValue {
    let safe: String = text
        .chars()
        .map(|character| match character {
            ' '..='~' => character,
            other if other.is_control() => ' ',
            _ => '?',
        })
        .take(MAX_HEADER_BYTES)
        .collect();
    HeaderValue::from_str(safe.trim()).unwrap_or(HeaderValue::from_static("error"))
}

impl From<FormError> for HttpError {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Upload(error) => error.into(),
            FormError::Body(BodyError::TooLarge(max)) => {
                Self::bad_request(format!("Request body too large. Maximum is {max} bytes."))
            }
            other => Self::bad_request(other.to_string()),
        }
    }
}

impl From<UploadError> for HttpError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Access(error) => error.into(),
            UploadError::Fetch(FetchError::Busy) => Self::busy(StatusCode::TOO_MANY_REQUESTS, Duration::from_secs(2)),
            UploadError::Param(_)
            | UploadError::PublicId(_)
            | UploadError::UnknownPreset
            | UploadError::MissingFile
            | UploadError::EmptyFile
            | UploadError::TooLarge { .. }
            | UploadError::Remote(_)
            | UploadError::NotAVideo
            | UploadError::Fetch(_)
            | UploadError::FormatNotAllowed { .. }
            | UploadError::OnlyForImages(_)
            | UploadError::SignedPreset
            | UploadError::Part(_) => Self::bad_request(error.to_string()),
            UploadError::Library(error) => (*error).into(),
            UploadError::Eager(error) => render_error(&error),
            UploadError::Picture(PictureError::Render(tintype_render::Error::Decode(detail))) => {
                tracing::debug!(%detail, "an upload is no image");
                Self::bad_request("Invalid image file")
            }
            UploadError::Picture(PictureError::Render(error)) => render_error(&error),
            UploadError::Picture(PictureError::Busy) => {
                Self::busy(StatusCode::TOO_MANY_REQUESTS, Duration::from_secs(1))
            }
            UploadError::Busy { retry_after } => Self::busy(StatusCode::TOO_MANY_REQUESTS, retry_after),
            UploadError::Catalog(CatalogError::Unavailable(_)) | UploadError::Storage(StorageError::Unavailable(_)) => {
                Self::unavailable(&error)
            }
            UploadError::Storage(StorageError::Full(_)) => Self::full(&error),
            UploadError::Picture(PictureError::Internal(_))
            | UploadError::Catalog(_)
            | UploadError::Storage(_)
            | UploadError::Internal(_) => Self::internal(&error),
        }
    }
}

impl From<ApiError> for HttpError {
    fn from(error: ApiError) -> Self {
        let (status, message) = match error {
            ApiError::BadRequest(message) => (StatusCode::BAD_REQUEST, message),
            ApiError::Unauthorized(message) => (StatusCode::UNAUTHORIZED, message),
            ApiError::Forbidden(message) => (StatusCode::FORBIDDEN, message),
            ApiError::NotFound(message) => (StatusCode::NOT_FOUND, message),
            ApiError::Conflict(message) => (StatusCode::CONFLICT, message),
            // What the original answers where an add-on was not bought or a limit of the plan is reached.
            ApiError::NotSubscribed(message) | ApiError::OverQuota(message) => {
                (StatusCode::from_u16(420).unwrap_or(StatusCode::TOO_MANY_REQUESTS), message)
            }
            ApiError::Access(error) => return error.into(),
            ApiError::Upload(error) => return error.into(),
            ApiError::Catalog(CatalogError::Invalid { what, reason }) => {
                (StatusCode::BAD_REQUEST, format!("{what} is invalid: {reason}"))
            }
            ApiError::Catalog(error @ CatalogError::Unavailable(_)) => return Self::unavailable(&error),
            ApiError::Storage(error @ StorageError::Unavailable(_)) => return Self::unavailable(&error),
            ApiError::Storage(error @ StorageError::Full(_)) => return Self::full(&error),
            ApiError::Catalog(error) => return Self::internal(&error),
            ApiError::Storage(error) => return Self::internal(&error),
            ApiError::Internal(detail) => return Self::internal(&detail),
        };
        Self::new(status, message)
    }
}

impl From<AccessError> for HttpError {
    fn from(error: AccessError) -> Self {
        let status = match &error {
            AccessError::Catalog(error @ CatalogError::Unavailable(_)) => return Self::unavailable(error),
            AccessError::Catalog(error) => return Self::internal(error),
            AccessError::Signature(error) if !error.is_unauthorized() => StatusCode::BAD_REQUEST,
            AccessError::MissingKey | AccessError::MissingPreset | AccessError::UnknownPreset => {
                StatusCode::BAD_REQUEST
            }
            AccessError::UnknownCloud(_)
            | AccessError::UnknownKey(_)
            | AccessError::OtherCloud
            | AccessError::WrongSecret
            | AccessError::DisabledKey
            | AccessError::InvalidToken
            | AccessError::MissingHeader
            | AccessError::InvalidHeader(_)
            | AccessError::Signature(_) => StatusCode::UNAUTHORIZED,
        };
        Self::new(status, error.to_string())
    }
}

impl From<DeliveryError> for HttpError {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Invalid(message) => Self::bad_request(message),
            DeliveryError::Unauthorized(message) => Self::new(StatusCode::UNAUTHORIZED, message),
            DeliveryError::NotFound(_) | DeliveryError::Remote(_) => {
                Self::new(StatusCode::NOT_FOUND, error.to_string())
            }
            DeliveryError::Render(error) => render_error(&error),
            DeliveryError::Busy { retry_after } => Self::busy(StatusCode::SERVICE_UNAVAILABLE, retry_after),
            DeliveryError::Unavailable(detail) => Self::unavailable(&detail),
            DeliveryError::Lost { ref detail, .. } => {
                tracing::error!(error = %detail, "an original is lost or damaged");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
            DeliveryError::Internal(detail) => Self::internal(&detail),
        }
    }
}

fn render_error(error: &tintype_render::Error) -> HttpError {
    if error.is_internal() { HttpError::internal(error) } else { HttpError::bad_request(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_texts_are_safe_and_short() {
        assert_eq!(header_text("a\r\nX-Evil: 1 é\u{7f}"), "a  X-Evil: 1 ?");
        assert_eq!(header_text(&"x".repeat(5000)).len(), MAX_HEADER_BYTES);
        assert_eq!(header_text("\n"), "");
    }

    #[test]
    fn our_own_faults_are_not_told() {
        let secret = "password authentication failed for user tintype";
        for error in [
            HttpError::from(DeliveryError::Internal(secret.into())),
            HttpError::from(DeliveryError::Render(tintype_render::Error::Device(secret.into()))),
            HttpError::from(UploadError::Internal(secret.into())),
        ] {
            assert_eq!(error.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(!error.message.contains("tintype"));
        }
        for error in [
            HttpError::from(DeliveryError::from(CatalogError::Unavailable(secret.into()))),
            HttpError::from(DeliveryError::from(StorageError::Unavailable(secret.into()))),
            HttpError::from(UploadError::Storage(StorageError::Unavailable(secret.into()))),
            HttpError::from(ApiError::Catalog(CatalogError::Unavailable(secret.into()))),
            HttpError::from(AccessError::Catalog(CatalogError::Unavailable(secret.into()))),
        ] {
            assert_eq!(
                (error.status, error.retry_after),
                (StatusCode::SERVICE_UNAVAILABLE, Some(UNAVAILABLE_RETRY_AFTER))
            );
            assert!(!error.message.contains("tintype"));
        }
    }

    #[test]
    fn overload_is_503_for_pictures_and_429_for_the_api() {
        let wait = Duration::from_secs(3);
        let delivery = HttpError::from(DeliveryError::Busy { retry_after: wait }).into_delivery_response();
        assert_eq!(delivery.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(delivery.headers()[RETRY_AFTER], "3");
        let api = HttpError::from(UploadError::Busy { retry_after: wait }).into_api_response();
        assert_eq!(api.status(), StatusCode::TOO_MANY_REQUESTS);
    }
}
