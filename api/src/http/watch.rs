//! Clients that do not take their answers: who lets a connection stand still for too long loses it.

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use futures::future::BoxFuture;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio_util::io::InspectWriter;

/// Bytes that are no answer: a client of HTTP/2 that takes nothing can still be sent pings and acknowledgements.
const CHATTER_BYTES: u64 = 1024;

/// What goes on on one connection.
#[derive(Default)]
pub struct Activity {
    /// Requests in the hands of this server, which the client can only wait for.
    busy: AtomicUsize,
    /// How often that number changed.
    changes: AtomicU64,
    written: AtomicU64,
}

impl Activity {
    /// Resolves when the client alone has kept the connection still for as long as `limit`, and for less than twice that.
    pub async fn stalled(&self, limit: Duration) {
        loop {
            let (changes, written) = self.seen();
            tokio::time::sleep(limit).await;
            let (changes_now, written_now) = self.seen();
            let busy = self.busy.load(Ordering::Relaxed) > 0;
            if !busy && changes == changes_now && written_now - written < CHATTER_BYTES {
                return;
            }
        }
    }

    fn seen(&self) -> (u64, u64) {
        (self.changes.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed))
    }
}

/// Marks that the server has something to do.
struct Busy(Arc<Activity>);

impl Busy {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.busy.fetch_add(1, Ordering::Relaxed);
        activity.changes.fetch_add(1, Ordering::Relaxed);
        Busy(activity.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
        self.0.changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// The routes, with every request counted while they work on it.
pub struct Watched {
    routes: TowerToHyperService<Router>,
    activity: Arc<Activity>,
}

impl Watched {
    pub fn new(router: Router, activity: Arc<Activity>) -> Self {
        Watched { routes: TowerToHyperService::new(router), activity }
    }
}

impl Service<Request<Incoming>> for Watched {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let busy = Busy::new(&self.activity);
        let answered = self.routes.call(request);
        Box::pin(async move {
            let response = answered.await?;
            let activity = busy.0.clone();
            drop(busy);
            // What lies in memory is ready whenever the client is.
            if response.body().size_hint().exact().is_some() {
                return Ok(response);
            }
            Ok(response.map(|body| Body::new(Sourced { body, activity, waits: None })))
        })
    }
}

/// A body of which pieces have to be waited for, such as those of a stored file.
struct Sourced {
    body: Body,
    activity: Arc<Activity>,
    waits: Option<Busy>,
}

impl HttpBody for Sourced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_ready() {
            this.waits = None;
        } else if this.waits.is_none() {
            this.waits = Some(Busy::new(&this.activity));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose writes are noted.
pub fn counted<S: AsyncWrite>(stream: S, activity: Arc<Activity>) -> InspectWriter<S, impl FnMut(&[u8])> {
    InspectWriter::new(stream, move |written: &[u8]| {
        activity.written.fetch_add(written.len() as u64, Ordering::Relaxed);
    })
}
