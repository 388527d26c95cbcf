//! Pictures: a request becomes a plain question, the plain answer a response.

use super::HttpState;
use super::error::HttpError;
use super::response::{Conditions, joined, respond};
use crate::service::deliver_types::DeliveryRequest;
use axum::body::Body;
use axum::http::header::{ACCEPT, ALLOW, COOKIE, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode};

/// Longest path and query.
const MAX_ADDRESS_BYTES: usize = 8 << 10;

/// Answers GET and HEAD of any path that no fixed route has.
pub async fn deliver(state: &HttpState, parts: &Parts) -> Response<Body> {
    match try_deliver(state, parts).await {
        Ok(response) => response,
        Err(error) => {
            let not_allowed = error.status == StatusCode::METHOD_NOT_ALLOWED;
            let mut response = error.into_delivery_response();
            if not_allowed {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
            }
            response
        }
    }
}

async fn try_deliver(state: &HttpState, parts: &Parts) -> Result<Response<Body>, HttpError> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(HttpError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} is not allowed here", parts.method)));
    }
    let (path, query) = (parts.uri.path(), parts.uri.query());
    if path.len() + query.map_or(0, str::len) > MAX_ADDRESS_BYTES {
        return Err(HttpError::bad_request(format!("The address is longer than {MAX_ADDRESS_BYTES} bytes")));
    }
    let conditions = Conditions::read(&parts.method, &parts.headers);
    let request = DeliveryRequest {
        path: path.to_owned(),
        query: query.map(str::to_owned),
        host: joined(&parts.headers, &HOST).or_else(|| parts.uri.host().map(str::to_owned)),
        accept: joined(&parts.headers, &ACCEPT),
        cookie: joined(&parts.headers, &COOKIE),
        head: conditions.head,
    };
    let answer = tokio::time::timeout(state.request_timeout, state.deliver.deliver(request))
        .await
        .map_err(|_| HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "The picture took too long"))??;
    Ok(respond(answer, &conditions).await)
}
