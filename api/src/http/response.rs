//! From a delivery's answer to HTTP: conditional requests, ranges, cache headers.

use super::error::{HttpError, X_CLD_ERROR, header_text};
use crate::service::deliver_types::{
    CachePolicy, ContentFacts, DeliveryAnswer, DeliveryBody, DeliveryError, FileFacts, StageTiming, VaryOn,
};
use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write;
use std::ops::Range;
use time::OffsetDateTime;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// Tells where the time went and what the picture is.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// How long caches may keep an answer whose address names a version: a month, as the real service says.
const IMMUTABLE_MAX_AGE_S: u64 = 2_592_000;
/// Longest name of a file to save, in characters.
const MAX_FILENAME_CHARS: usize = 200;

const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// What a request asks of the answer beside the picture itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    pub head: bool,
    pub if_none_match: Option<String>,
    pub if_modified_since: Option<String>,
    pub range: Option<String>,
    pub if_range: Option<String>,
}

impl Conditions {
    pub fn read(method: &Method, headers: &HeaderMap) -> Self {
        Conditions {
            head: method == Method::HEAD,
            if_none_match: joined(headers, &IF_NONE_MATCH),
            if_modified_since: joined(headers, &IF_MODIFIED_SINCE),
            range: joined(headers, &RANGE),
            if_range: joined(headers, &IF_RANGE),
        }
    }
}

/// All values of a header as one, `None` without any; bytes that are no visible ASCII make a value invisible.
pub fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    if values.is_empty() { None } else { Some(values.join(", ")) }
}

/// Sends a picture, a part of it, or word that the client's copy is still good.
pub async fn respond(answer: DeliveryAnswer, conditions: &Conditions) -> Response<Body> {
    let length = answer.body.length();
    let etag = format!("\"{}\"", answer.etag);
    let last_modified = http_date(answer.last_modified_s);
    let mut headers = HeaderMap::new();
    insert(&mut headers, ETAG, &etag);
    insert(&mut headers, LAST_MODIFIED, &last_modified);
    insert(&mut headers, CACHE_CONTROL, &cache_control(answer.cache));
    if !answer.vary.is_empty() {
        insert(&mut headers, VARY, &vary(&answer.vary));
    }
    if let Some(timing) = server_timing(&answer.timings, answer.content.as_ref()) {
        insert(&mut headers, SERVER_TIMING, &timing);
    }
    if let Some(warning) = &answer.warning {
        headers.insert(X_CLD_ERROR, header_text(warning));
    }
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if is_unchanged(conditions, &answer.etag, answer.last_modified_s) {
        return build(StatusCode::NOT_MODIFIED, headers, Body::empty());
    }
    insert(&mut headers, CONTENT_TYPE, &answer.content_type);
    if let Some(name) = &answer.attachment {
        insert(&mut headers, CONTENT_DISPOSITION, &content_disposition(name));
    }
    let wanted = match requested_range(conditions, &etag, &last_modified, length) {
        RangeRequest::Whole => None,
        RangeRequest::Part(range) => Some(range),
        RangeRequest::Unsatisfiable => {
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_DISPOSITION);
            insert(&mut headers, CONTENT_RANGE, &format!("bytes */{length}"));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
            return build(StatusCode::RANGE_NOT_SATISFIABLE, headers, Body::empty());
        }
    };
    let status = match &wanted {
        Some(range) => {
            insert(&mut headers, CONTENT_RANGE, &format!("bytes {}-{}/{length}", range.start, range.end - 1));
            StatusCode::PARTIAL_CONTENT
        }
        None => StatusCode::OK,
    };
    let range = wanted.unwrap_or(0..length);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if conditions.head {
        return build(status, headers, Body::empty());
    }
    match open(answer.body, range).await {
        Ok(body) => build(status, headers, body),
        Err(error) => HttpError::from(error).into_delivery_response(),
    }
}

async fn open(body: DeliveryBody, range: Range<u64>) -> Result<Body, DeliveryError> {
    match body {
        DeliveryBody::Bytes(bytes) => {
            // The range was checked against the length of these very bytes, so it fits into memory.
            let range =
                usize::try_from(range.start).unwrap_or(bytes.len())..usize::try_from(range.end).unwrap_or(bytes.len());
            Ok(Body::from(bytes.slice(range)))
        }
        DeliveryBody::Stored(stored) => Ok(Body::from_stream(stored.open(range).await?)),
    }
}

fn build(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn cache_control(policy: CachePolicy) -> String {
    match policy {
        CachePolicy::Immutable => format!("public, no-transform, immutable, max-age={IMMUTABLE_MAX_AGE_S}"),
        CachePolicy::Revalidate { max_age } => {
            let seconds = max_age.as_secs();
            format!("public, no-transform, max-age={seconds}, stale-while-revalidate={seconds}")
        }
        // Nobody should be shown it once it is old, also if the address names a version.
        CachePolicy::Provisional { max_age } => format!("public, no-transform, max-age={}", max_age.as_secs()),
        CachePolicy::Private { max_age } => format!("private, no-transform, max-age={}", max_age.as_secs()),
    }
}

fn vary(on: &[VaryOn]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for header in on {
        let more: &[&str] = match header {
            VaryOn::Accept => &["Accept"],
            VaryOn::SaveData => &["Save-Data"],
            VaryOn::Dpr => &["DPR", "Sec-CH-DPR"],
            VaryOn::Width => &["Width", "Sec-CH-Width"],
            VaryOn::ViewportWidth => &["Viewport-Width", "Sec-CH-Viewport-Width"],
        };
        names.extend(more.iter().filter(|name| !names.contains(name)).copied().collect::<Vec<_>>());
    }
    names.join(", ")
}

fn server_timing(timings: &[StageTiming], content: Option<&ContentFacts>) -> Option<String> {
    let mut text = String::new();
    for StageTiming { stage, duration, description } in timings {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{stage};dur={:.3}", duration.as_secs_f64() * 1e3);
        if let Some(description) = description {
            let _ = write!(text, ";desc=\"{description}\"");
        }
    }
    if let Some(ContentFacts { file, original }) = content {
        let separator = if text.is_empty() { "" } else { ", " };
        let FileFacts { width, height, bytes, format, created_s } = file;
        let _ = write!(
            text,
            "{separator}content-info;desc=\"width={width},height={height},bytes={bytes},format=\\\"{format}\\\",o=1,crt={created_s}"
        );
        if let Some(FileFacts { width, height, bytes, format, created_s }) = original {
            let _ = write!(
                text,
                ",owidth={width},oheight={height},obytes={bytes},oformat=\\\"{format}\\\",ocrt={created_s}"
            );
        }
        text.push('"');
    }
    if text.is_empty() { None } else { Some(text) }
}

pub(super) fn content_disposition(name: &str) -> String {
    let name: String = name.chars().filter(|character| !character.is_control()).take(MAX_FILENAME_CHARS).collect();
    let plain: String = name
        .chars()
        .map(|character| match character {
            '"' | '\\' | '/' | '%' => '_',
            ' '..='~' => character,
            _ => '_',
        })
        .collect();
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(&name, NON_ALPHANUMERIC))
}

pub(super) fn http_date(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(HTTP_DATE).ok())
        .unwrap_or_else(|| "Thu, 01 Jan 1970 00:00:00 GMT".to_owned())
}

fn parse_http_date(text: &str) -> Option<i64> {
    PrimitiveDateTime::parse(text.trim(), HTTP_DATE).ok().map(|time| time.assume_utc().unix_timestamp())
}

/// A date counts only without an entity tag, which is the stricter of the two.
fn is_unchanged(conditions: &Conditions, etag: &str, last_modified_s: i64) -> bool {
    if let Some(tags) = &conditions.if_none_match {
        return tags.split(',').map(str::trim).any(|tag| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag == "*" || tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) == Some(etag)
        });
    }
    conditions.if_modified_since.as_deref().and_then(parse_http_date).is_some_and(|since| last_modified_s <= since)
}

#[derive(Debug, PartialEq, Eq)]
enum RangeRequest {
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
}

/// A single range of bytes. Several ranges, other units and malformed texts are ignored, as RFC 9110 permits.
fn requested_range(conditions: &Conditions, etag: &str, last_modified: &str, length: u64) -> RangeRequest {
    let Some(text) = conditions.range.as_deref().filter(|_| !conditions.head) else { return RangeRequest::Whole };
    if conditions.if_range.as_deref().is_some_and(|expected| expected != etag && expected != last_modified) {
        return RangeRequest::Whole;
    }
    let Some((first, last)) = text.trim().strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
        return RangeRequest::Whole;
    };
    let number = |text: &str| {
        if text.is_empty() {
            Ok(None)
        } else if text.len() <= 19 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse::<u64>().map(Some).map_err(|_| ())
        } else {
            Err(())
        }
    };
    match (number(first.trim()), number(last.trim())) {
        (Ok(Some(first)), Ok(last)) if last.is_none_or(|last| last >= first) => {
            if first >= length {
                return RangeRequest::Unsatisfiable;
            }
            RangeRequest::Part(first..last.map_or(length, |last| last.saturating_add(1).min(length)))
        }
        (Ok(None), Ok(Some(suffix))) => {
            if suffix == 0 || length == 0 {
                return RangeRequest::Unsatisfiable;
            }
            RangeRequest::Part(length.saturating_sub(suffix)..length)
        }
        _ => RangeRequest::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_go_both_ways() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse_http_date("yesterday"), None);
    }

    #[test]
    fn ranges_follow_the_rfc() {
        let ask = |text: &str, length| {
            let conditions = Conditions { range: Some(text.to_owned()), ..Conditions::default() };
            requested_range(&conditions, "\"e\"", "date", length)
        };
        assert_eq!(ask("bytes=0-0", 10), RangeRequest::Part(0..1));
        assert_eq!(ask("bytes=2-", 10), RangeRequest::Part(2..10));
        assert_eq!(ask("bytes=2-99", 10), RangeRequest::Part(2..10));
        assert_eq!(ask("bytes=-3", 10), RangeRequest::Part(7..10));
        assert_eq!(ask("bytes=-30", 10), RangeRequest::Part(0..10));
        assert_eq!(ask("bytes=10-", 10), RangeRequest::Unsatisfiable);
        assert_eq!(ask("bytes=-0", 10), RangeRequest::Unsatisfiable);
        assert_eq!(ask("bytes=0-", 0), RangeRequest::Unsatisfiable);
        for ignored in ["bytes=5-2", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "rows=0-1", "bytes", "bytes=+1-2"] {
            assert_eq!(ask(ignored, 10), RangeRequest::Whole, "{ignored}");
        }
        let with = |if_range: &str| {
            let range = Some("bytes=0-0".to_owned());
            let conditions = Conditions { range, if_range: Some(if_range.to_owned()), ..Conditions::default() };
            requested_range(&conditions, "\"e\"", "date", 10)
        };
        assert_eq!(with("\"e\""), RangeRequest::Part(0..1));
        assert_eq!(with("date"), RangeRequest::Part(0..1));
        assert_eq!(with("\"other\""), RangeRequest::Whole);
    }

    #[test]
    fn a_copy_is_good_by_tag_before_date() {
        let by_tag = |tags: &str| {
            let conditions = Conditions {
                if_none_match: Some(tags.to_owned()),
                if_modified_since: Some(http_date(2_000_000_000)),
                ..Conditions::default()
            };
            is_unchanged(&conditions, "abc", 1_000)
        };
        assert!(by_tag("\"abc\"") && by_tag("\"x\", W/\"abc\"") && by_tag("*"));
        assert!(!by_tag("\"x\"") && !by_tag("abc"));
        let by_date = |since: i64| {
            let conditions = Conditions { if_modified_since: Some(http_date(since)), ..Conditions::default() };
            is_unchanged(&conditions, "abc", 1_000)
        };
        assert!(by_date(1_000) && by_date(1_001) && !by_date(999));
    }

    #[test]
    fn headers_are_written_as_clients_scrape_them() {
        assert_eq!(cache_control(CachePolicy::Immutable), "public, no-transform, immutable, max-age=2592000");
        let hour = Duration::from_secs(3600);
        assert_eq!(
            cache_control(CachePolicy::Revalidate { max_age: hour }),
            "public, no-transform, max-age=3600, stale-while-revalidate=3600"
        );
        let soon = Duration::from_secs(10);
        assert_eq!(cache_control(CachePolicy::Provisional { max_age: soon }), "public, no-transform, max-age=10");
        assert_eq!(vary(&[VaryOn::Accept, VaryOn::Dpr, VaryOn::Accept]), "Accept, DPR, Sec-CH-DPR");
        let file = FileFacts { width: 4, height: 3, bytes: 9, format: "webp".into(), created_s: 7 };
        let original = FileFacts { width: 40, height: 30, bytes: 90, format: "jpg".into(), created_s: 5 };
        let timing = StageTiming { stage: "render", duration: Duration::from_micros(1500), description: Some("gpu") };
        assert_eq!(
            server_timing(&[timing], Some(&ContentFacts { file, original: Some(original) })).as_deref(),
            Some(
                r#"render;dur=1.500;desc="gpu", content-info;desc="width=4,height=3,bytes=9,format=\"webp\",o=1,crt=7,owidth=40,oheight=30,obytes=90,oformat=\"jpg\",ocrt=5""#
            )
        );
        assert_eq!(server_timing(&[], None), None);
        assert_eq!(content_disposition("a b.jpg"), "attachment; filename=\"a b.jpg\"");
        assert_eq!(
            content_disposition("ü\"\r\n.jpg"),
            "attachment; filename=\"__.jpg\"; filename*=UTF-8''%C3%BC%22%2Ejpg"
        );
    }
}
