//! The time that workers go by. It is handed in, so that tests can let hours pass.

use crate::domain::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Tells the time. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The clock of the system.
    pub fn system() -> Self {
        Clock(Arc::new(Timestamp::now))
    }

    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Clock(Arc::new(now))
    }

    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

/// A point in time after another; held at the end of the range.
pub fn after(time: Timestamp, wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(time.unix_micros().saturating_add(micros))
}

/// A point in time before another.
pub fn before(time: Timestamp, wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(time.unix_micros().saturating_sub(micros))
}

/// How long it is from one point in time to a later one; zero when it is not later.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    let micros = to.unix_micros().saturating_sub(from.unix_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
