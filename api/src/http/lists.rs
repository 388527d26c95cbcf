//! Lists on the delivery host: `/{cloud}/search/{signature}/{ttl}/{query}[/{cursor}]` and
//! `/{cloud}/{image|video|raw|any}/list/{tag}.json`.

use super::HttpState;
use super::error::HttpError;
use super::upload::json_response;
use crate::service::search::{ClientList, SignedSearch};
use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// Longest path.
const MAX_PATH_BYTES: usize = 32 << 10;
/// Seconds that caches may keep the list of a tag.
const LIST_TTL_S: u64 = 60;

enum Wanted {
    Search(SignedSearch),
    List(ClientList),
}

/// Answers the address of a list; `None` for all others.
pub async fn answer(state: &HttpState, parts: &Parts) -> Option<Response<Body>> {
    let wanted = read(parts.uri.path())?;
    if parts.method != Method::GET && parts.method != Method::HEAD {
        let message = format!("{} is not allowed here", parts.method);
        let mut response = HttpError::new(StatusCode::METHOD_NOT_ALLOWED, message).into_api_response();
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        return Some(response);
    }
    let mut response = match tokio::time::timeout(state.request_timeout, answered(state, wanted)).await {
        Ok(Ok((value, ttl))) => {
            let mut response = json_response(&value);
            if let Ok(value) = HeaderValue::from_str(&format!("max-age={ttl}")) {
                response.headers_mut().insert(CACHE_CONTROL, value);
            }
            response
        }
        Ok(Err(error)) => error.into_api_response(),
        Err(_) => HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "The search took too long").into_api_response(),
    };
    if parts.method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    Some(response)
}

async fn answered(state: &HttpState, wanted: Wanted) -> Result<(Value, u64), HttpError> {
    Ok(match wanted {
        Wanted::Search(search) => state.library.signed_search(&search).await?,
        Wanted::List(list) => (state.library.client_list(&list).await?, LIST_TTL_S),
    })
}

/// The list that a path means. A signature and a number of seconds tell a search from a public id, and `list` is no type
/// of delivery.
fn read(path: &str) -> Option<Wanted> {
    if path.len() > MAX_PATH_BYTES {
        return None;
    }
    let raw: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let segments: Vec<_> =
        raw.iter().map(|part| percent_decode_str(part).decode_utf8()).collect::<Result<_, _>>().ok()?;
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    match segments.as_slice() {
        [cloud, "search", signature, ttl, query, rest @ ..]
            if rest.len() <= 1
                && signature.len() == 64
                && signature.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !ttl.is_empty()
                && ttl.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            Some(Wanted::Search(SignedSearch {
                cloud: (*cloud).to_owned(),
                signature: signature.to_ascii_lowercase(),
                ttl: (*ttl).to_owned(),
                query: (*query).to_owned(),
                cursor: rest.first().filter(|cursor| !cursor.is_empty()).map(|cursor| (*cursor).to_owned()),
            }))
        }
        [cloud, kind @ ("image" | "video" | "raw" | "any"), "list", rest @ ..] => {
            let signature = rest.first().and_then(|part| part.strip_prefix("s--")?.strip_suffix("--"));
            let rest = if signature.is_some() { &rest[1..] } else { rest };
            let is_version = |part: &str| {
                part.strip_prefix('v').is_some_and(|v| !v.is_empty() && v.bytes().all(|byte| byte.is_ascii_digit()))
            };
            let rest = if rest.len() > 1 && is_version(rest[0]) { &rest[1..] } else { rest };
            let tag = rest.join("/");
            let tag = tag.strip_suffix(".json").filter(|tag| !tag.is_empty())?;
            Some(Wanted::List(ClientList {
                cloud: (*cloud).to_owned(),
                resource_type: kind.parse().ok(),
                signature: signature.map(str::to_owned),
                tag: tag.to_owned(),
            }))
        }
        _ => None,
    }
}
