//! Routes of the upload API that answer with a file: archives and signed downloads (api.md 2.7 and 3.16).

use super::HttpState;
use super::api;
use super::error::HttpError;
use super::response::{self, Conditions};
use super::upload::{json_response, refuse};
use crate::domain::Timestamp;
use crate::service::access::{self, Caller};
use crate::service::call::{self, ApiError, Params};
use crate::service::library::{Made, tell};
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode};

/// Whether a path below a cloud belongs here.
pub fn is_download(rest: &[&str]) -> bool {
    matches!(
        rest,
        ["download_backup"] | ["image", "sprite" | "multi"] | [_, "download" | "generate_archive" | "download_tag.zip"]
    )
}

/// Answers a call to one of these paths.
pub async fn answer(
    state: &HttpState,
    parts: &Parts,
    body: Body,
    cloud: &str,
    rest: &[&str],
) -> Result<Response<Body>, HttpError> {
    let archive = matches!(rest, [_, "generate_archive"]);
    let made = match rest {
        ["image", "sprite"] => Some(Made::Sprite),
        ["image", "multi"] => Some(Made::Multi),
        _ => None,
    };
    let may_store = archive || made.is_some();
    let allowed = parts.method == Method::GET || (may_store && parts.method == Method::POST);
    if !allowed {
        let message = format!("{} is not allowed here, use GET", parts.method);
        return Err(refuse(body, HttpError::new(StatusCode::METHOD_NOT_ALLOWED, message)).await);
    }
    let header = match api::authorization(parts) {
        Ok(header) => header,
        Err(error) => return Err(refuse(body, error).await),
    };
    if let Err(error) = state.upload.precheck(cloud, header).await {
        return Err(refuse(body, error.into()).await);
    }
    let params = api::read(state, parts, body).await?;
    let caller = authorize(state, cloud, header, &params).await?;
    let library = &state.library;
    if let Some(action) = made {
        return match params.text("mode") {
            Some("download") => {
                let answer = library.download_made(&caller, &params, action).await?;
                Ok(response::respond(answer, &Conditions::read(&parts.method, &parts.headers)).await)
            }
            // An address alone must change nothing.
            None if parts.method == Method::GET => Err(ApiError::missing_param("mode").into()),
            None => {
                tell::check_urls(&params)?;
                let answer = match action {
                    Made::Sprite => library.make_sprite(&caller, &params).await?,
                    _ => library.make_multi(&caller, &params).await?,
                };
                Ok(json_response(&answer))
            }
            Some(other) => Err(ApiError::invalid("mode", other).into()),
        };
    }
    match rest {
        ["download_backup"] => {
            let answer = library.download_backup(&caller, &params).await?;
            Ok(response::respond(answer, &Conditions::read(&parts.method, &parts.headers)).await)
        }
        [kind, "download"] => {
            let answer = library.download(&caller, call::resource_type(kind)?, &params).await?;
            Ok(response::respond(answer, &Conditions::read(&parts.method, &parts.headers)).await)
        }
        [kind, "download_tag.zip"] => {
            let tag = params.required("tag")?.to_owned();
            let mut pairs = vec![("tags".to_owned(), tag)];
            for (name, value) in params.pairs() {
                match name.as_str() {
                    "transformation" => pairs.push(("transformations".to_owned(), value.clone())),
                    "type" => pairs.push((name.clone(), value.clone())),
                    _ => {}
                }
            }
            download_archive(state, &caller, kind, &pairs.into()).await
        }
        [kind, ..] => match params.text("mode") {
            Some("download") => download_archive(state, &caller, kind, &params).await,
            None if parts.method == Method::GET => download_archive(state, &caller, kind, &params).await,
            // An address alone must change nothing.
            Some("create") if parts.method == Method::GET => {
                Err(HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "GET is not allowed here, use POST"))
            }
            None | Some("create") => Ok(json_response(&library.create_archive(&caller, kind, &params).await?)),
            Some(other) => Err(ApiError::invalid("mode", other).into()),
        },
        [] => Err(HttpError::new(StatusCode::NOT_FOUND, "Not found")),
    }
}

/// Who calls. An address with `expires_at` holds until then, others for an hour from their timestamp.
async fn authorize(state: &HttpState, cloud: &str, header: Option<&str>, params: &Params) -> Result<Caller, HttpError> {
    let catalog = &*state.library.parts().catalog;
    let cloud = access::find_cloud(catalog, cloud).await?;
    let mut now_s = Timestamp::now().unix_seconds();
    if let Some(end) = params.number("expires_at")? {
        if end < now_s {
            return Err(HttpError::bad_request("Stale request - the address has expired"));
        }
        // `expires_at` is signed like everything else, and takes the place of the age of the timestamp.
        now_s = now_s.min(params.number("timestamp")?.unwrap_or(now_s));
    }
    Ok(access::authorize(catalog, &cloud, header, params.pairs(), |_| true, state.signature_policy, now_s).await?)
}

async fn download_archive(
    state: &HttpState,
    caller: &Caller,
    kind: &str,
    params: &Params,
) -> Result<Response<Body>, HttpError> {
    let archive = state.library.plan_archive(caller, kind, params).await?;
    let name = archive.name.as_str().rsplit('/').next().unwrap_or_default();
    let disposition = HeaderValue::from_str(&response::content_disposition(name));
    let content_type = HeaderValue::from_static(archive.format.content_type());
    let mut response = Response::new(Body::from_stream(state.library.archive_stream(archive)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if let Ok(disposition) = disposition {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}
