//! Rules of access of an asset (api.md 2.8): it is open when any of them holds, or when it has none.

use super::library::parse_time;
use crate::domain::{Asset, Timestamp};
use serde_json::Value;

/// Whether an asset is open at a point in time to whoever brings nothing else.
pub fn is_open(asset: &Asset, now: Timestamp) -> bool {
    let rules = &asset.details.access_control;
    rules.is_empty() || rules.iter().any(|rule| holds(rule, now))
}

/// Whether a token opens the asset, by one of its rules.
pub fn takes_token(asset: &Asset) -> bool {
    asset.details.access_control.iter().any(|rule| rule["access_type"] == "token")
}

fn holds(rule: &Value, now: Timestamp) -> bool {
    // A rule that asks for a token keeps the asset shut to whoever brings none.
    rule["access_type"] == "anonymous"
        && bound(rule, "start").is_none_or(|start| start.is_some_and(|start| start <= now))
        && bound(rule, "end").is_none_or(|end| end.is_some_and(|end| now < end))
}

/// A bound that is there; `Some(None)` when it cannot be read.
fn bound(rule: &Value, name: &str) -> Option<Option<Timestamp>> {
    let value = rule.get(name).filter(|value| !value.is_null())?;
    Some(value.as_str().and_then(parse_time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn windows_open_and_close() {
        let at = |seconds| Timestamp::from_unix_seconds(seconds);
        let window =
            json!({ "access_type": "anonymous", "start": "1970-01-01T00:01:00Z", "end": "1970-01-01T00:02:00Z" });
        assert!(
            !holds(&window, at(59)) && holds(&window, at(60)) && holds(&window, at(119)) && !holds(&window, at(120))
        );
        assert!(holds(&json!({ "access_type": "anonymous" }), at(0)));
        assert!(!holds(&json!({ "access_type": "anonymous", "end": "soon" }), at(0)));
        assert!(!holds(&json!({ "access_type": "token" }), at(0)));
    }
}
