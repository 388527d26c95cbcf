//! Request bodies under limits: pace, time and size.

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::Stream;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// How long a body may take, and how long it may be silent.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Longest pause between two pieces.
    pub idle: Duration,
    /// Longest time for the whole body.
    pub total: Duration,
    /// Bytes of the whole body, with everything around the file.
    pub bytes: u64,
    /// Bytes that a parser may hold back without handing anything on.
    pub unparsed_bytes: u64,
}

/// Why a body cannot be read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the request body arrived too slowly")]
    TooSlow,
    #[error("the request body is larger than {0} bytes")]
    TooLarge(u64),
    #[error("a header of a part is too large")]
    PartHeader,
    #[error("the request body broke off")]
    Broken,
}

struct Inner {
    stream: BodyDataStream,
    idle: Pin<Box<Sleep>>,
    deadline: Pin<Box<Sleep>>,
    limits: BodyLimits,
    received: u64,
    /// What had been received when the parser last handed something on, plus what it handed on since.
    parsed: u64,
    ended: bool,
}

/// A body that several hands may hold: the parser, and whoever drains it after an error.
#[derive(Clone)]
pub struct PacedBody {
    inner: Arc<Mutex<Inner>>,
}

impl PacedBody {
    pub fn new(body: Body, limits: BodyLimits) -> Self {
        let inner = Inner {
            stream: body.into_data_stream(),
            idle: Box::pin(sleep(limits.idle)),
            deadline: Box::pin(sleep(limits.total)),
            limits,
            received: 0,
            parsed: 0,
            ended: false,
        };
        PacedBody { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Notes that the parser handed everything on that it has received so far.
    pub fn progressed(&self) {
        let mut inner = self.inner.lock();
        inner.parsed = inner.received;
    }

    /// A stream for a parser that swallows whatever is ready: it gives one piece at a time and then pretends to have
    /// none, so that the parser hands each piece on before it takes the next.
    pub fn pieces(&self) -> Pieces {
        Pieces { body: self.clone(), gave: false }
    }

    /// Reads on without keeping anything, so that a client that still sends gets to see the answer.
    pub async fn drain(&self, bytes: u64, time: Duration) {
        {
            let mut inner = self.inner.lock();
            inner.limits.unparsed_bytes = u64::MAX;
            inner.limits.bytes = inner.received.saturating_add(bytes);
            inner.deadline = Box::pin(sleep_until(Instant::now() + time));
        }
        let mut pieces = self.pieces();
        while let Some(Ok(_)) = futures::StreamExt::next(&mut pieces).await {}
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let inner = &mut *self.inner.lock();
        if inner.ended {
            return Poll::Ready(None);
        }
        if inner.deadline.as_mut().poll(context).is_ready() {
            inner.ended = true;
            return Poll::Ready(Some(Err(BodyError::TooSlow)));
        }
        let polled = Pin::new(&mut inner.stream).poll_next(context);
        if polled.is_pending() && inner.idle.as_mut().poll(context).is_ready() {
            inner.ended = true;
            return Poll::Ready(Some(Err(BodyError::TooSlow)));
        }
        let result = match ready!(polled) {
            None => {
                inner.ended = true;
                return Poll::Ready(None);
            }
            Some(Err(_)) => Err(BodyError::Broken),
            Some(Ok(piece)) => {
                inner.idle.as_mut().reset(Instant::now() + inner.limits.idle);
                inner.received = inner.received.saturating_add(piece.len() as u64);
                if inner.received > inner.limits.bytes {
                    Err(BodyError::TooLarge(inner.limits.bytes))
                } else if inner.received - inner.parsed > inner.limits.unparsed_bytes.saturating_add(piece.len() as u64)
                {
                    Err(BodyError::PartHeader)
                } else {
                    Ok(piece)
                }
            }
        };
        Poll::Ready(Some(result))
    }
}

/// See [`PacedBody::pieces`].
pub struct Pieces {
    body: PacedBody,
    gave: bool,
}

impl Stream for Pieces {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.gave {
            self.gave = false;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.body.poll(context);
        self.gave = matches!(polled, Poll::Ready(Some(Ok(_))));
        polled
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::StreamExt;
    use futures::stream;
    use std::io;

    const LIMITS: BodyLimits = BodyLimits {
        idle: Duration::from_millis(20),
        total: Duration::from_millis(60),
        bytes: 100,
        unparsed_bytes: 10,
    };

    fn pieces(n: usize, pause: Duration) -> Body {
        let pieces = stream::iter(0..n).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, io::Error>(Bytes::from_static(b"12345"))
        });
        Body::from_stream(pieces)
    }

    async fn read(body: Body, limits: BodyLimits) -> Result<usize, BodyError> {
        let body = PacedBody::new(body, limits);
        let mut pieces = body.pieces();
        let mut received = 0;
        while let Some(piece) = pieces.next().await.transpose()? {
            received += piece.len();
            body.progressed();
        }
        Ok(received)
    }

    #[tokio::test]
    async fn a_silent_or_dripping_client_is_not_waited_for() {
        assert_eq!(read(pieces(3, Duration::ZERO), LIMITS).await, Ok(15));
        assert_eq!(read(pieces(3, Duration::from_secs(60)), LIMITS).await, Err(BodyError::TooSlow));
        assert_eq!(read(pieces(1000, Duration::from_millis(10)), LIMITS).await, Err(BodyError::TooSlow));
    }

    #[tokio::test]
    async fn sizes_are_bounded() {
        assert_eq!(read(pieces(20, Duration::ZERO), LIMITS).await, Ok(100));
        assert_eq!(read(pieces(21, Duration::ZERO), LIMITS).await, Err(BodyError::TooLarge(100)));
        // A parser that hands nothing on may hold two pieces back and is stopped at the fourth at the latest.
        let body = PacedBody::new(pieces(20, Duration::ZERO), LIMITS);
        let results: Vec<_> = body.pieces().take(4).collect().await;
        assert_eq!(results.last(), Some(&Err(BodyError::PartHeader)));
    }

    #[tokio::test]
    async fn draining_ends_with_the_body_or_with_its_limits() {
        let body = PacedBody::new(pieces(1000, Duration::ZERO), LIMITS);
        body.drain(50, Duration::from_secs(5)).await;
        let received = body.inner.lock().received;
        assert!((50..=60).contains(&received), "{received}");
        let body = PacedBody::new(pieces(1000, Duration::from_millis(5)), LIMITS);
        let started = Instant::now();
        body.drain(u64::MAX, Duration::from_millis(30)).await;
        assert!(started.elapsed() < Duration::from_secs(2));
    }
}
