//! Calls of the Admin API that a cloud makes in one hour.

use super::error::HttpError;
use crate::domain::{CloudId, Timestamp};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use std::collections::HashMap;
use time::OffsetDateTime;
use time::macros::format_description;

const LIMIT: HeaderName = HeaderName::from_static("x-featureratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-featureratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-featureratelimit-reset");
const HOUR_S: i64 = 3600;

/// What clients are told when there is no limit: they compute with these numbers.
const UNLIMITED: u64 = 1_000_000;

/// Counts the calls of each cloud on this node.
#[derive(Debug, Default)]
pub struct AdminRate {
    /// Calls in one hour; zero means any number.
    limit: u64,
    counts: Mutex<HashMap<CloudId, (i64, u64)>>,
}

/// What is left to a cloud of its hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    limit: u64,
    used: u64,
    /// Unix seconds at which the count starts anew.
    reset_s: i64,
    bounded: bool,
}

impl AdminRate {
    /// At most `limit` calls in an hour; zero means any number.
    pub fn new(limit: u64) -> Self {
        AdminRate { limit, counts: Mutex::default() }
    }

    /// Counts a call.
    pub fn count(&self, cloud: &CloudId) -> Remaining {
        self.count_at(cloud, Timestamp::now().unix_seconds())
    }

    fn count_at(&self, cloud: &CloudId, now_s: i64) -> Remaining {
        let hour = now_s.div_euclid(HOUR_S);
        let mut counts = self.counts.lock();
        let (counted, used) = counts.entry(cloud.clone()).or_insert((hour, 0));
        if *counted != hour {
            (*counted, *used) = (hour, 0);
        }
        *used += 1;
        let bounded = self.limit > 0;
        let limit = if bounded { self.limit } else { UNLIMITED };
        Remaining { limit, used: *used, reset_s: (hour + 1) * HOUR_S, bounded }
    }
}

impl Remaining {
    pub fn exceeded(self) -> bool {
        self.bounded && self.used > self.limit
    }

    pub fn error(self) -> HttpError {
        let status = StatusCode::from_u16(420).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
        let reset = OffsetDateTime::from_unix_timestamp(self.reset_s).ok().and_then(|time| time.format(&format).ok());
        let limit = self.limit;
        let reset = reset.unwrap_or_default();
        HttpError::new(
            status,
            format!("Rate Limit Exceeded. Limit of {limit} api operations reached. Try again on {reset}"),
        )
    }

    /// Tells the client; without a limit the numbers are large and do not fall.
    pub fn add_headers(self, headers: &mut HeaderMap) {
        let left = if self.bounded { self.limit.saturating_sub(self.used) } else { self.limit - 1 };
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(left));
        let format =
            format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
        let reset = OffsetDateTime::from_unix_timestamp(self.reset_s).ok().and_then(|time| time.format(&format).ok());
        if let Some(Ok(value)) = reset.map(|text| HeaderValue::from_str(&text)) {
            headers.insert(RESET, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_so_many_calls_and_then_starts_anew() {
        let (rate, cloud) = (AdminRate::new(2), CloudId::random());
        let hour = 1_767_225_600;
        assert!(!rate.count_at(&cloud, hour).exceeded() && !rate.count_at(&cloud, hour + 5).exceeded());
        let third = rate.count_at(&cloud, hour + 3599);
        assert!(third.exceeded());
        assert_eq!(
            third.error().message,
            "Rate Limit Exceeded. Limit of 2 api operations reached. Try again on 2026-01-01 01:00:00 UTC"
        );
        assert_eq!(third.error().status.as_u16(), 420);
        assert!(!rate.count_at(&CloudId::random(), hour).exceeded());
        assert!(!rate.count_at(&cloud, hour + 3600).exceeded());
        let mut headers = HeaderMap::new();
        third.add_headers(&mut headers);
        assert_eq!(headers[REMAINING], "0");
        assert_eq!(headers[RESET], "Thu, 01 Jan 2026 01:00:00 GMT");
        let open = AdminRate::new(0);
        assert!((0..3).all(|_| !open.count_at(&cloud, hour).exceeded()));
    }
}
