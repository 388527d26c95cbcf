//! HTTP: routes, limits and headers. The only folder that knows axum.

pub mod api;
pub mod background;
pub mod body;
pub mod data_uri;
pub mod delivery;
pub mod downloads;
pub mod error;
pub mod express;
pub mod form;
pub mod lists;
pub mod openapi;
pub mod provisioning;
pub mod rate;
pub mod response;
pub mod serve;
pub mod tls;
pub mod upload;
pub mod watch;

use crate::auth::signature::SignaturePolicy;
use crate::service::deliver_types::Deliver;
use crate::service::library::LibraryService;
use crate::service::upload::UploadService;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_TYPE, HeaderName,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use error::HttpError;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names one request, in the answer and in the log.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// Text of `/metrics`, in the format of Prometheus.
pub trait MetricsText: Send + Sync {
    fn render(&self) -> String;
}

/// What the routes need.
#[derive(Clone)]
pub struct HttpState {
    pub upload: UploadService,
    pub library: LibraryService,
    pub rate: Arc<rate::AdminRate>,
    pub signature_policy: SignaturePolicy,
    pub deliver: Arc<dyn Deliver>,
    pub metrics: Arc<dyn MetricsText>,
    /// How long the server may work on one request after it has read it.
    pub request_timeout: Duration,
}

/// All routes. There is one handler, because paths of the API are decoded before they are matched and those of
/// delivery never are.
pub fn router(state: HttpState) -> Router {
    Router::new().fallback(handle).with_state(state)
}

async fn handle(State(state): State<HttpState>, request: Request) -> Response<Body> {
    let started = Instant::now();
    let id = hex::encode(rand::random::<[u8; 16]>());
    let (parts, body) = request.into_parts();
    let mut response = match AssertUnwindSafe(route(&state, &parts, body)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => HttpError::internal(&"a handler panicked").into_api_response(),
    };
    add_common_headers(&mut response, Some(&id));
    tracing::debug!(
        request.id = %id,
        method = %parts.method,
        path = %without_signature(parts.uri.path()),
        status = response.status().as_u16(),
        duration_ms = started.elapsed().as_secs_f64() * 1e3,
        "request"
    );
    response
}

async fn route(state: &HttpState, parts: &Parts, body: Body) -> Response<Body> {
    if parts.method == Method::OPTIONS {
        return preflight();
    }
    let path = parts.uri.path();
    match path {
        "/live" => fixed(parts, "text/plain; charset=utf-8", || "ok\n".to_owned()),
        "/openapi.json" => fixed(parts, "application/json", || {
            format!("{:#}\n", openapi::document(&state.library.parts().public_base_url))
        }),
        "/openapi" => fixed(parts, "text/html; charset=utf-8", openapi::page),
        "/metrics" => fixed(parts, "text/plain; version=0.0.4; charset=utf-8", || state.metrics.render()),
        _ => match path.strip_prefix("/v1_1").or_else(|| path.strip_prefix("/v2")) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => api::answer(state, parts, body).await,
            _ => match lists::answer(state, parts).await {
                Some(response) => response,
                None => delivery::deliver(state, parts).await,
            },
        },
    }
}

/// A text that is neither a picture nor part of the API.
fn fixed(parts: &Parts, content_type: &'static str, text: impl FnOnce() -> String) -> Response<Body> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "use GET").into_delivery_response();
    }
    let mut response = Response::new(Body::from(text()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS, HEAD"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "Content-Type, X-Requested-With, X-Unique-Upload-Id, Content-Range, Authorization, Cache-Control, Range, \
             If-None-Match, If-Modified-Since",
        ),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

fn add_common_headers(response: &mut Response<Body>, request_id: Option<&str>) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "X-Cld-Error, X-Request-Id, Content-Length, Content-Range, Content-Disposition, ETag, Server-Timing",
        ),
    );
    headers.insert(TIMING_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(Ok(value)) = request_id.map(HeaderValue::from_str) {
        headers.insert(X_REQUEST_ID, value);
    }
}

/// The log keeps no signatures.
fn without_signature(path: &str) -> String {
    path.split('/')
        .map(|part| if part.starts_with("s--") && part.ends_with("--") { "s--…--" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}
