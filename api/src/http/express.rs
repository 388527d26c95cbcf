//! The short way of pictures that lie in memory: past the router, with heads that were put together once.
//!
//! It answers GET and HEAD of finished answers without conditions and ranges, and everything else not at all: that goes
//! the ordinary way, whose answers these are, byte for byte (but for the request's id and the date).

use super::response::{joined_text, whole_picture_head};
use super::{MAX_ADDRESS_BYTES, X_REQUEST_ID, add_common_headers, log_request, request_id};
use crate::service::deliver_types::{Deliver, KeptAnswer};
use axum::body::Body;
use axum::http::header::{ACCEPT, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};
use axum::http::{HeaderMap, Method, Request, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// The body of any answer of the server.
#[derive(Debug)]
pub enum AnswerBody {
    /// In memory and whole; `None` once it was sent, and for HEAD.
    Kept(Option<Bytes>),
    Routed(Body),
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            AnswerBody::Kept(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            AnswerBody::Routed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Kept(bytes) => bytes.is_none(),
            AnswerBody::Routed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Kept(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            AnswerBody::Routed(body) => body.size_hint(),
        }
    }
}

/// Answers from memory.
#[derive(Clone)]
pub struct Express {
    deliver: Arc<dyn Deliver>,
}

impl Express {
    pub fn new(deliver: Arc<dyn Deliver>) -> Self {
        Express { deliver }
    }

    /// The answer, if the request is a plain one for a picture that is at hand.
    pub fn answer<B>(&self, request: &Request<B>) -> Option<Response<AnswerBody>> {
        let head = match *request.method() {
            Method::GET => false,
            Method::HEAD => true,
            _ => return None,
        };
        let headers = request.headers();
        if [RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE].iter().any(|name| headers.contains_key(name)) {
            return None;
        }
        let (path, query) = (request.uri().path(), request.uri().query());
        if path.len() + query.map_or(0, str::len) > MAX_ADDRESS_BYTES {
            return None;
        }
        let started = tracing::enabled!(target: "tintype_api::http", tracing::Level::DEBUG).then(Instant::now);
        let kept = self.deliver.kept(path, joined_text(headers, &ACCEPT).as_deref(), head)?;
        let id = request_id();
        let mut response = Response::new(AnswerBody::Kept((!head).then(|| kept.bytes.clone())));
        *response.headers_mut() = prepared_head(&kept).clone();
        if let Some(place) = response.headers_mut().get_mut(X_REQUEST_ID) {
            *place = id.clone();
        }
        if let Some(started) = started {
            log_request(&id, request.method(), path, response.status(), started.elapsed());
        }
        Some(response)
    }
}

/// The head of a kept answer, put together by its first request. The id in it is of no request.
fn prepared_head(kept: &KeptAnswer) -> &HeaderMap {
    let head = kept.head.get_or_init(|| {
        let mut head = whole_picture_head(kept);
        add_common_headers(&mut head, &request_id());
        Box::new(head)
    });
    // Nothing else is ever put there.
    head.downcast_ref::<HeaderMap>().unwrap_or(&EMPTY)
}

static EMPTY: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
