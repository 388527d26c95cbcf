//! A timer for connections that reads many heads: it enters the runtime's timer wheel once in a timeout, not once a head.
//!
//! Hyper asks for a new deadline for every head that it waits for, and gives it up when the head is there. A deadline that
//! only moves into the future need not be moved in the wheel each time: the one entry of the connection fires at the oldest
//! deadline, finds that the present one is later, and is set again.

use hyper::rt::{Sleep, Timer};
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The timer of one connection that waits for one thing at a time. Deadlines are met exactly, never early.
#[derive(Clone, Default)]
pub struct ConnectionTimer {
    /// The entry in the wheel, once there is one.
    entry: Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>,
}

impl Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(ConnectionSleep { deadline: deadline.into(), timer: self.clone() })
    }
}

struct ConnectionSleep {
    deadline: tokio::time::Instant,
    timer: ConnectionTimer,
}

impl Sleep for ConnectionSleep {}

impl Future for ConnectionSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut entry = self.timer.entry.lock();
        let entry = entry.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.deadline)));
        if entry.deadline() > self.deadline {
            entry.as_mut().reset(self.deadline);
        }
        loop {
            std::task::ready!(entry.as_mut().poll(context));
            if entry.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            // It was set for an earlier head, which arrived in time.
            entry.as_mut().reset(self.deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn is_over(sleep: &mut Pin<Box<dyn Sleep>>) -> bool {
        sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test]
    async fn a_later_deadline_takes_over_the_entry_of_an_earlier_one() {
        let timer = ConnectionTimer::default();
        let started = Instant::now();
        let mut first = timer.sleep(Duration::from_millis(20));
        assert!(!is_over(&mut first));
        drop(first);
        timer.sleep(Duration::from_millis(120)).await;
        assert!(started.elapsed() >= Duration::from_millis(120));
    }

    #[tokio::test]
    async fn an_earlier_deadline_is_met_and_one_in_the_past_is_over() {
        let timer = ConnectionTimer::default();
        let mut late = timer.sleep(Duration::from_secs(3600));
        assert!(!is_over(&mut late));
        drop(late);
        timer.sleep(Duration::from_millis(5)).await;
        timer.sleep_until(Instant::now()).await;
    }
}
