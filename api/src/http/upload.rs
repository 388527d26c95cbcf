//! `upload` of the API: reads the call, hands it to the service, answers in JSON.

use super::HttpState;
use super::body::{BodyLimits, PacedBody};
use super::error::HttpError;
use super::form::{self, Form};
use crate::service::upload::{UploadKind, UploadRequest};
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// Takes one file for a cloud.
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
    if is_chunk(&parts.headers) {
        let error = HttpError::bad_request("Chunked uploads are not supported by this server yet");
        return Err(refuse(body, error).await);
    }
    if let Err(error) = state.upload.precheck(cloud, authorization.as_deref()).await {
        return Err(refuse(body, error.into()).await);
    }
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Form { params, file, .. } = form::read_form(&state.upload, parts.uri.query(), content_type, body).await?;
    let request = UploadRequest { cloud: cloud.to_owned(), kind, authorization, params, file };
    let answer = tokio::time::timeout(state.request_timeout, state.upload.upload(request))
        .await
        .map_err(|_| HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "The upload took too long"))??;
    Ok(json_response(&answer.to_json()))
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

/// Whether the call carries only a part of a file. A range that covers the whole file is an ordinary upload.
fn is_chunk(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_RANGE) else { return false };
    let whole = value.to_str().ok().and_then(|text| {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last, total): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, total.parse().ok()?);
        Some(first == 0 && last.checked_add(1)? == total)
    });
    whole != Some(true)
}
