//! Numbers, sizes and points in time as they are written in expressions.

use time::format_description::well_known::Iso8601;
use time::macros::format_description;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime};

use crate::domain::Timestamp;

/// Most digits of a number that are looked at: further ones before the point make it too large for anything, and those
/// behind it are beyond any resolution.
const MAX_DIGITS: usize = 18;

/// A number times a scale, rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scaled {
    pub floor: i64,
    /// Whether nothing was rounded away.
    pub exact: bool,
}

/// Integers from `low` to `high`, both inclusive; empty where `low` is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub low: i64,
    pub high: i64,
}

/// A decimal number times `scale`. With `sizes` it may end in `kb`, `mb`, `gb`, `tb` or their first letter: 1024 each.
pub(super) fn number(text: &str, scale: u32, sizes: bool) -> Option<Scaled> {
    let lower = text.trim().to_ascii_lowercase();
    let (mut digits, mut unit) = (lower.as_str(), 1_i128);
    if sizes {
        digits = digits.strip_suffix('b').unwrap_or(digits);
        for (letter, power) in [('k', 1), ('m', 2), ('g', 3), ('t', 4)] {
            if let Some(rest) = digits.strip_suffix(letter) {
                (digits, unit) = (rest, 1024_i128.pow(power));
                break;
            }
        }
    }
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if whole.len() > MAX_DIGITS {
        return Some(Scaled { floor: if negative { i64::MIN } else { i64::MAX }, exact: false });
    }
    let kept = &fraction[..fraction.len().min(9)];
    let places = 10_i128.pow(u32::try_from(kept.len()).ok()?);
    let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i128>().ok() };
    let mut value = parse(whole)?.checked_mul(places)?.checked_add(parse(kept)?)?;
    value = value.checked_mul(unit)?.checked_mul(scale.into())?;
    if negative {
        value = -value;
    }
    let floor = value.div_euclid(places);
    let exact = value.rem_euclid(places) == 0 && kept.len() == fraction.len();
    let held = i64::try_from(floor).unwrap_or(if negative { i64::MIN } else { i64::MAX });
    Some(Scaled { floor: held, exact: exact && i128::from(held) == floor })
}

/// A ratio as a decimal number or as `16:9`, in hundred thousandths; ratios are rounded as they are for assets.
pub(super) fn ratio(text: &str) -> Option<Scaled> {
    let Some((width, height)) = text.split_once(':') else { return number(text, 100_000, false) };
    let side = |text: &str| text.trim().parse::<u32>().ok().filter(|side| *side > 0).map(u64::from);
    let (width, height) = (side(width)?, side(height)?);
    let rounded = (width * 200_000 + height) / (2 * height);
    Some(Scaled { floor: i64::try_from(rounded).ok()?, exact: true })
}

/// What a text says about time, in Unix microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// All points in time that the text may mean: a day, a second.
    pub span: Span,
    /// Whether it was measured back from now.
    pub relative: bool,
}

/// `1h`, `4d`, `2w`, `3m` and `1y` back from now (a month has 30 days, a year 365), `2025`, `2025-03`, `2025-03-31`, or
/// ISO 8601 with a time, which is UTC unless it says otherwise.
pub(super) fn moment(text: &str, now: Timestamp) -> Option<Moment> {
    let text = text.trim();
    if let Some(at) = relative(text, now) {
        return Some(Moment { span: Span { low: at, high: at }, relative: true });
    }
    let (start, end) = match calendar(text) {
        Some(span) => span,
        None => {
            let start = instant(text)?;
            // Answers tell whole seconds, so that a whole second is meant.
            let length = if start.rem_euclid(1_000_000) == 0 { 1_000_000 } else { 1 };
            (start, start.checked_add(length)?)
        }
    };
    Some(Moment { span: Span { low: start, high: end.checked_sub(1)? }, relative: false })
}

fn relative(text: &str, now: Timestamp) -> Option<i64> {
    let unit = text.chars().last()?;
    let seconds: i64 = match unit {
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        'm' => 30 * 86_400,
        'y' => 365 * 86_400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros = digits.parse::<i64>().ok()?.saturating_mul(seconds).saturating_mul(1_000_000);
    Some(now.unix_micros().saturating_sub(micros))
}

/// A year, a month or a day, from its first moment up to the first one behind it.
fn calendar(text: &str) -> Option<(i64, i64)> {
    let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    let (first, next) = match parts.as_slice() {
        [year] if digits(year, 4) => {
            let first = Date::from_calendar_date(year.parse().ok()?, Month::January, 1).ok()?;
            (first, Date::from_calendar_date(first.year() + 1, Month::January, 1).ok()?)
        }
        [year, month] if digits(year, 4) && digits(month, 2) => {
            let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
            let first = Date::from_calendar_date(year.parse().ok()?, month, 1).ok()?;
            let next_year = first.year() + i32::from(month == Month::December);
            (first, Date::from_calendar_date(next_year, month.next(), 1).ok()?)
        }
        _ => {
            let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
            (day, day.next_day()?)
        }
    };
    let micros = |date: Date| date.midnight().assume_utc().unix_timestamp().checked_mul(1_000_000);
    Some((micros(first)?, micros(next)?))
}

fn instant(text: &str) -> Option<i64> {
    let text = text.replacen(' ', "T", 1);
    let parsed = OffsetDateTime::parse(&text, &Iso8601::DEFAULT)
        .or_else(|_| PrimitiveDateTime::parse(&text, &Iso8601::DEFAULT).map(PrimitiveDateTime::assume_utc));
    i64::try_from(parsed.ok()?.unix_timestamp_nanos() / 1000).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_have_units_and_fractions() {
        let exact = |floor| Some(Scaled { floor, exact: true });
        assert_eq!(number("0010", 1, false), exact(10));
        assert_eq!(number("-3", 1, false), exact(-3));
        assert_eq!(number("1.50", 100_000, false), exact(150_000));
        assert_eq!(number("1.5", 1, false), Some(Scaled { floor: 1, exact: false }));
        assert_eq!(number("-1.5", 1, false), Some(Scaled { floor: -2, exact: false }));
        assert_eq!(number("1.5KB", 1, true), exact(1536));
        assert_eq!((number("1m", 1, true), number("1mb", 1, true)), (exact(1 << 20), exact(1 << 20)));
        assert_eq!((number("2gb", 1, true), number("7b", 1, true)), (exact(2 << 30), exact(7)));
        assert_eq!(number("1m", 1, false), None);
        assert_eq!(number(&"9".repeat(400), 1, true).unwrap().floor, i64::MAX);
        assert_eq!(number(&format!("-{}", "9".repeat(18)), 100_000, true).unwrap().floor, i64::MIN);
        assert_eq!(number("999999999999999999t", 100_000, true).unwrap().floor, i64::MAX);
        for wrong in ["", "-", ".5", "1e3", "kb", "0x1", "１", "1 2", "--1"] {
            assert_eq!(number(wrong, 1, true), None, "{wrong}");
        }
    }

    #[test]
    fn ratios_have_two_forms() {
        assert_eq!(ratio("16:9"), Some(Scaled { floor: 177_778, exact: true }));
        assert_eq!(ratio("1.49953"), Some(Scaled { floor: 149_953, exact: true }));
        assert!(ratio("16:0").is_none() && ratio("a:b").is_none() && ratio("1:2:3").is_none());
    }

    #[test]
    fn moments_are_as_long_as_what_was_written() {
        let now = Timestamp::from_unix_seconds(1_700_000_000);
        let span = |text: &str| {
            let Span { low, high } = moment(text, now).unwrap().span;
            (low as f64 / 1e6, (high + 1 - low) as f64 / 1e6)
        };
        assert_eq!(span("1970-01-03"), (172_800.0, 86_400.0));
        assert_eq!(span("1970-02"), (31.0 * 86_400.0, 28.0 * 86_400.0));
        assert_eq!(span("1971-12"), (699.0 * 86_400.0, 31.0 * 86_400.0));
        assert_eq!(span("1971"), (365.0 * 86_400.0, 365.0 * 86_400.0));
        assert_eq!(span("2023-11-14T22:13:20Z"), (1.7e9, 1.0));
        assert_eq!(span("2023-11-14T23:13:20+01:00"), (1.7e9, 1.0));
        assert_eq!(span("2023-11-14 22:13:20"), (1.7e9, 1.0));
        assert_eq!(span("2023-11-14T22:13:20.5Z").0, 1_700_000_000.5);
        for (text, seconds) in [("1h", 3600), ("4d", 345_600), ("2w", 1_209_600), ("3m", 7_776_000), ("1y", 31_536_000)]
        {
            let moment = moment(text, now).unwrap();
            assert!(moment.relative, "{text}");
            assert_eq!(moment.span.low, (1_700_000_000 - seconds) * 1_000_000, "{text}");
        }
        for wrong in ["", "d", "1x", "-1d", "9999999999d", "2025-13", "2025-02-30", "yesterday", "9999-12-31", "é"] {
            assert_eq!(moment(wrong, now), None, "{wrong}");
        }
    }
}
