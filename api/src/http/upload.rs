//! `upload` of the API: reads the call, hands it to the service, answers in JSON.

use super::HttpState;
use super::body::{BodyLimits, PacedBody};
use super::error::HttpError;
use super::form::{self, Files, Form};
use crate::service::chunked::PartError;
use crate::service::upload::{FilePart, UploadError, UploadKind, UploadRequest, Uploaded};
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// Names all calls that bring parts of one file.
const X_UNIQUE_UPLOAD_ID: HeaderName = HeaderName::from_static("x-unique-upload-id");

/// Takes one file, or a part of one, for a cloud.
pub async fn upload(
    state: &HttpState,
    parts: &Parts,
    body: Body,
    cloud: &str,
    kind: UploadKind,
) -> Result<Response<Body>, HttpError> {
    let authorization = match parts.headers.get(AUTHORIZATION) {
        None => None,
        Some(value) => match value.to_str() {
            Ok(text) => Some(text.to_owned()),
            Err(_) => return Err(refuse(body, HttpError::new(StatusCode::UNAUTHORIZED, "Invalid credentials")).await),
        },
    };
    let part = match file_part(&parts.headers) {
        Ok(part) => part,
        Err(error) => return Err(refuse(body, error).await),
    };
    let known = match state.upload.precheck(cloud, authorization.as_deref()).await {
        Ok(known) => known,
        Err(error) => return Err(refuse(body, error.into()).await),
    };
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let files = Files { service: &state.upload, cloud: Some(&known.id) };
    let Form { params, file, .. } = form::read_form(&files, parts.uri.query(), content_type, body).await?;
    let request = UploadRequest { cloud: cloud.to_owned(), kind, authorization, params, file, part };
    let answer = tokio::time::timeout(state.request_timeout, state.upload.upload(request))
        .await
        .map_err(|_| HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "The upload took too long"))??;
    Ok(json_response(&match answer {
        Uploaded::Done(answer) => answer.to_json(),
        Uploaded::Part(body) | Uploaded::Pending(body) => body,
    }))
}

/// A success: SDKs accept no other status than 200.
pub fn json_response(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// Reads the body away before the answer, because a client that still sends would only see a closed connection.
pub async fn refuse(body: Body, error: HttpError) -> HttpError {
    let limits = BodyLimits {
        idle: Duration::from_secs(5),
        total: Duration::from_secs(10),
        bytes: u64::MAX,
        unparsed_bytes: u64::MAX,
    };
    PacedBody::new(body, limits).drain(256 << 20, Duration::from_secs(10)).await;
    error
}

/// Which part of a file the call carries. A range that covers the whole file, and an upload id without a range, are those
/// of an ordinary upload.
fn file_part(headers: &HeaderMap) -> Result<Option<FilePart>, HttpError> {
    let text = |name: &HeaderName| match headers.get(name).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(HttpError::from(UploadError::from(PartError::Malformed))),
    };
    let Some(range) = text(&CONTENT_RANGE)? else { return Ok(None) };
    let upload_id = text(&X_UNIQUE_UPLOAD_ID)?;
    match FilePart::read(upload_id.unwrap_or("-"), range) {
        Ok(part) if part.is_whole() => Ok(None),
        Ok(part) if upload_id.is_some() => Ok(Some(part)),
        Ok(_) => Err(HttpError::bad_request("Missing required header - X-Unique-Upload-Id")),
        Err(error) => Err(UploadError::from(error).into()),
    }
}
