//! Routes of the API. The path is decoded once and whole, because one SDK encodes the slashes between its parts; then it is
//! matched part by part (api.md 7).

use super::HttpState;
use super::background;
use super::downloads;
use super::error::HttpError;
use super::form::{self, Files};
use super::provisioning;
use super::upload::{self, json_response, refuse};
use crate::domain::{AssetKey, PublicId};
use crate::service::access::{self, AccessError, Caller};
use crate::service::call::{self, ApiError, Params};
use crate::service::library::{Deletion, LibraryService, Listing, tell};
use crate::service::upload::UploadKind;
use axum::body::Body;
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// First parts of a path that belong to the upload API.
const UPLOAD_ROOTS: &[&str] = &["image", "video", "raw", "auto", "all", "upload", "asset", "delete_by_token"];

/// First parts of a path that belong to the Admin API.
const ADMIN_ROOTS: &[&str] = &[
    "triggers",
    "eager_batches",
    "ping",
    "config",
    "usage",
    "resources",
    "tags",
    "derived_resources",
    "folders",
    "transformations",
    "upload_presets",
    "upload_mappings",
    "streaming_profiles",
    "metadata_fields",
];

/// Answers a call below `/v1_1` or `/v2`.
pub async fn answer(state: &HttpState, parts: &Parts, body: Body) -> Response<Body> {
    match route(state, parts, body).await {
        Ok(response) => response,
        Err(error) => {
            let not_allowed = error.status == StatusCode::METHOD_NOT_ALLOWED;
            let mut response = error.into_api_response();
            if not_allowed {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, OPTIONS"));
            }
            response
        }
    }
}

pub(super) fn unknown(method: &Method, path: &str) -> HttpError {
    let shown: String = path.chars().take(200).collect();
    HttpError::new(StatusCode::NOT_FOUND, format!("{method} {shown} is not supported by this server yet"))
}

async fn route(state: &HttpState, parts: &Parts, body: Body) -> Result<Response<Body>, HttpError> {
    let path = match percent_decode_str(parts.uri.path()).decode_utf8() {
        Ok(path) => path,
        Err(_) => return Err(refuse(body, HttpError::bad_request("The path is not UTF-8")).await),
    };
    let segments: Vec<&str> = path.trim_matches('/').split('/').filter(|segment| !segment.is_empty()).collect();
    if let ["v1_1", "provisioning", "accounts", account, rest @ ..] = segments.as_slice() {
        return provisioning::answer(state, parts, body, account, rest).await;
    }
    let ["v1_1", cloud, rest @ ..] = segments.as_slice() else {
        return Err(refuse(body, unknown(&parts.method, &path)).await);
    };
    match rest {
        ["image", "upload" | "upload_chunked"] => file(state, parts, body, cloud, UploadKind::Image).await,
        ["auto", "upload" | "upload_chunked"] | ["upload"] => file(state, parts, body, cloud, UploadKind::Auto).await,
        ["video", "upload" | "upload_chunked"] => file(state, parts, body, cloud, UploadKind::Video).await,
        ["raw", "upload" | "upload_chunked"] => file(state, parts, body, cloud, UploadKind::Raw).await,
        ["delete_by_token"] | [_, "delete_by_token"] => {
            let found = access::find_cloud(&*state.library.parts().catalog, cloud).await;
            let cloud = match found {
                Ok(cloud) => cloud,
                Err(error) => return Err(refuse(body, error.into()).await),
            };
            let params = read(state, parts, body).await?;
            Ok(json_response(&state.library.delete_by_token(&cloud, &params).await?))
        }
        rest if downloads::is_download(&parts.method, rest) => downloads::answer(state, parts, body, cloud, rest).await,
        [root, action @ ..] if UPLOAD_ROOTS.contains(root) => {
            let header = match authorization(parts) {
                Ok(header) => header,
                Err(error) => return Err(refuse(body, error).await),
            };
            if let Err(error) = state.upload.precheck(cloud, header).await {
                return Err(refuse(body, error.into()).await);
            }
            let call = read(state, parts, body).await?;
            let value = action_call(state, parts, &call, cloud, root, action, &path).await?;
            Ok(json_response(&value))
        }
        [root, ..] if ADMIN_ROOTS.contains(root) => {
            // Who calls is known from the head alone, so that nothing is read for a stranger.
            let caller = match authorize_admin(state, cloud, authorization(parts)).await {
                Ok(caller) => caller,
                Err(error) => return Err(refuse(body, error).await),
            };
            let remaining = state.rate.count(&caller.cloud.id);
            let result = if remaining.exceeded() {
                Err(refuse(body, remaining.error()).await)
            } else {
                admin_call(state, parts, body, &caller, rest, &path).await
            };
            let mut response = match result {
                Ok(value) => json_response(&value),
                Err(error) => error.into_api_response(),
            };
            remaining.add_headers(response.headers_mut());
            Ok(response)
        }
        _ => Err(refuse(body, unknown(&parts.method, &path)).await),
    }
}

async fn file(
    state: &HttpState,
    parts: &Parts,
    body: Body,
    cloud: &str,
    kind: UploadKind,
) -> Result<Response<Body>, HttpError> {
    if parts.method != Method::POST {
        let message = format!("{} is not allowed here, use POST", parts.method);
        return Err(refuse(body, HttpError::new(StatusCode::METHOD_NOT_ALLOWED, message)).await);
    }
    upload::upload(state, parts, body, cloud, kind).await
}

/// Value of `Authorization`.
pub(super) fn authorization(parts: &Parts) -> Result<Option<&str>, HttpError> {
    let invalid = |_| HttpError::new(StatusCode::UNAUTHORIZED, "Invalid credentials");
    parts.headers.get(AUTHORIZATION).map(|value| value.to_str().map_err(invalid)).transpose()
}

/// Reads the parameters of a call to their end.
pub(super) async fn read(state: &HttpState, parts: &Parts, body: Body) -> Result<Params, HttpError> {
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let form =
        form::read_form(&Files { service: &state.upload, cloud: None }, parts.uri.query(), content_type, body).await?;
    Ok(form.params.into())
}

/// One call of the upload API that brings no file.
async fn action_call(
    state: &HttpState,
    parts: &Parts,
    params: &Params,
    cloud: &str,
    root: &str,
    action: &[&str],
    path: &str,
) -> Result<Value, HttpError> {
    let library = &state.library;
    let catalog = &*library.parts().catalog;
    let cloud = access::find_cloud(catalog, cloud).await?;
    // One SDK sends these two without signing them, with these actions only. Everything else counts, known or not: it
    // could have an effect.
    let labels = matches!(action, ["tags" | "context" | "metadata"]);
    let known = |name: &str| !labels || !matches!(name, "notification_url" | "batch_id");
    let now_s = crate::domain::Timestamp::now().unix_seconds();
    let caller =
        access::authorize(catalog, &cloud, authorization(parts)?, params.pairs(), known, state.signature_policy, now_s)
            .await?;
    if parts.method != Method::POST {
        return Err(HttpError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{} is not allowed here, use POST", parts.method),
        ));
    }
    let caller = &caller;
    tell::check_urls(params)?;
    if (root, action) == ("asset", &["destroy"]) {
        return Ok(library.destroy(caller, None, params).await?);
    }
    let kind = call::resource_type(root)?;
    let value = match action {
        ["rename"] => library.rename(caller, kind, params).await?,
        ["destroy"] => library.destroy(caller, Some(kind), params).await?,
        ["explicit"] => library.explicit(caller, kind, params).await?,
        ["tags"] => library.change_tags(caller, kind, params).await?,
        ["context"] => library.change_context(caller, kind, params).await?,
        ["metadata"] => library.change_metadata(caller, kind, params).await?,
        ["text"] if root == "image" => library.make_text(caller, params).await?,
        ["sprite"] if root == "image" => library.make_sprite(caller, params).await?,
        ["multi"] if root == "image" => library.make_multi(caller, params).await?,
        ["explode"] if root == "image" => library.explode(caller, params).await?,
        _ => return Err(unknown(&parts.method, path)),
    };
    Ok(value)
}

/// One call of the Admin API.
async fn admin_call(
    state: &HttpState,
    parts: &Parts,
    body: Body,
    caller: &Caller,
    rest: &[&str],
    path: &str,
) -> Result<Value, HttpError> {
    let params = read(state, parts, body).await?;
    admin(state, &parts.method, caller, &params, rest).await?.ok_or_else(|| unknown(&parts.method, path))
}

/// The Admin API takes HTTP Basic only.
async fn authorize_admin(
    state: &HttpState,
    cloud: &str,
    authorization: Result<Option<&str>, HttpError>,
) -> Result<Caller, HttpError> {
    let authorization = authorization?;
    let catalog = &*state.library.parts().catalog;
    let cloud = access::find_cloud(catalog, cloud).await?;
    if authorization.is_none() {
        return Err(AccessError::MissingHeader.into());
    }
    Ok(access::authorize(catalog, &cloud, authorization, &[], |_| true, state.signature_policy, 0).await?)
}

/// Answers a call of the Admin API; `None` when there is no such route.
async fn admin(
    state: &HttpState,
    method: &Method,
    caller: &Caller,
    params: &Params,
    rest: &[&str],
) -> Result<Option<Value>, ApiError> {
    let library = &state.library;
    tell::check_urls(params)?;
    let value = match (method.as_str(), rest) {
        ("GET", ["ping"]) => {
            library.parts().catalog.ping().await?;
            json!({ "status": "ok" })
        }
        ("GET", ["config"]) => library.config(caller, params).await?,
        ("GET", ["usage"]) => library.usage(caller, params.text("date")).await?,
        ("GET", ["usage", date]) => library.usage(caller, Some(date)).await?,
        ("GET", ["tags", kind]) => library.tags(caller, call::resource_type(kind)?, params).await?,
        ("DELETE", ["derived_resources"]) => library.delete_derived(caller, params).await?,
        (_, ["triggers" | "eager_batches", ..]) => {
            return background::answer(library, method, caller, params, rest).await;
        }
        (_, ["resources", rest @ ..]) => return resources(state, method, caller, params, rest).await,
        (_, ["folders", rest @ ..]) => return folders(state, method, caller, params, rest).await,
        _ => return definitions(library, method, caller, params, rest).await,
    };
    Ok(Some(value))
}

/// Named things of a cloud.
async fn definitions(
    library: &LibraryService,
    method: &Method,
    caller: &Caller,
    params: &Params,
    rest: &[&str],
) -> Result<Option<Value>, ApiError> {
    let value = match (method.as_str(), rest) {
        ("GET", ["transformations"]) => library.transformations(caller, params).await?,
        ("POST", ["transformations"]) => library.create_transformation(caller, params).await?,
        ("PUT", ["transformations"]) => library.update_transformation(caller, params).await?,
        ("DELETE", ["transformations"]) => library.delete_transformation(caller, params).await?,
        ("GET", ["upload_presets"]) => library.presets(caller, params).await?,
        ("POST", ["upload_presets"]) => library.create_preset(caller, params).await?,
        ("GET", ["upload_presets", name]) => library.preset(caller, name).await?,
        ("PUT", ["upload_presets", name]) => library.update_preset(caller, name, params).await?,
        ("DELETE", ["upload_presets", name]) => library.delete_preset(caller, name).await?,
        ("GET", ["upload_mappings"]) => library.mappings(caller, params).await?,
        ("POST", ["upload_mappings"]) => library.create_mapping(caller, params).await?,
        ("PUT", ["upload_mappings"]) => library.update_mapping(caller, params).await?,
        ("DELETE", ["upload_mappings"]) => library.delete_mapping(caller, params).await?,
        ("GET", ["streaming_profiles"]) => library.streaming_profiles(caller).await?,
        ("POST", ["streaming_profiles"]) => library.create_streaming_profile(caller, params).await?,
        ("GET", ["streaming_profiles", name]) => library.streaming_profile(caller, name).await?,
        ("PUT", ["streaming_profiles", name]) => library.update_streaming_profile(caller, name, params).await?,
        ("DELETE", ["streaming_profiles", name]) => library.delete_streaming_profile(caller, name).await?,
        ("GET", ["metadata_fields"]) => library.fields(caller).await?,
        ("POST", ["metadata_fields"]) => library.create_field(caller, params).await?,
        ("PUT", ["metadata_fields", "order"]) => library.order_fields(caller, params).await?,
        ("GET", ["metadata_fields", id]) => library.field(caller, id).await?,
        ("PUT", ["metadata_fields", id]) => library.update_field(caller, id, params).await?,
        ("DELETE", ["metadata_fields", id]) => library.delete_field(caller, id).await?,
        ("PUT", ["metadata_fields", id, "datasource"]) => library.update_datasource(caller, id, params).await?,
        ("DELETE", ["metadata_fields", id, "datasource"]) => {
            library.set_datasource_state(caller, id, params, false).await?
        }
        ("POST", ["metadata_fields", id, "datasource_restore"]) => {
            library.set_datasource_state(caller, id, params, true).await?
        }
        ("POST", ["metadata_fields", id, "datasource", "order"]) => {
            library.order_datasource(caller, id, params).await?
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

async fn folders(
    state: &HttpState,
    method: &Method,
    caller: &Caller,
    params: &Params,
    rest: &[&str],
) -> Result<Option<Value>, ApiError> {
    let library = &state.library;
    let path = rest.join("/");
    let value = match (method.as_str(), path.as_str()) {
        ("POST" | "GET", "search") => library.search_folders(caller, params).await?,
        (_, "search") => return Ok(None),
        ("GET", path) => library.folders(caller, path, params).await?,
        (_, "") => return Ok(None),
        ("POST", path) => library.create_folder(caller, path).await?,
        ("PUT", path) => library.move_folder(caller, path, params).await?,
        ("DELETE", path) => library.remove_folder(caller, path).await?,
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// The key of an asset whose public id stands in a path.
fn asset_key(caller: &Caller, kind: &str, delivery_type: &str, id: &[&str]) -> Result<AssetKey, ApiError> {
    let text = id.join("/");
    Ok(AssetKey {
        cloud: caller.cloud.id.clone(),
        resource_type: call::resource_type(kind)?,
        delivery_type: call::delivery_type(delivery_type)?,
        public_id: PublicId::new(text.as_str()).map_err(|_| ApiError::missing_resource(&text))?,
    })
}

async fn resources(
    state: &HttpState,
    method: &Method,
    caller: &Caller,
    params: &Params,
    rest: &[&str],
) -> Result<Option<Value>, ApiError> {
    let library = &state.library;
    let kind = |text: &str| call::resource_type(text);
    let value = match (method.as_str(), rest) {
        ("GET", []) => library.resource_types(),
        ("DELETE", []) => library.delete(caller, Deletion::AssetIds, params).await?,
        ("GET", ["by_asset_ids"]) => library.list(caller, Listing::AssetIds, params).await?,
        ("GET", ["by_asset_folder"]) => library.list(caller, Listing::AssetFolder, params).await?,
        ("POST" | "GET", ["search"]) => library.search(caller, params).await?,
        (_, ["visual_search"]) => {
            return Err(ApiError::Forbidden("Visual search is not supported by this server".to_owned()));
        }
        ("POST", ["restore"]) => library.restore(caller, None, params).await?,
        ("DELETE", ["backup", id]) => library.delete_versions(caller, id, params).await?,
        ("POST" | "DELETE", ["related_assets", id @ ..]) => {
            let asset = match id {
                [kind, delivery_type, id @ ..] if !id.is_empty() => {
                    library.asset(&asset_key(caller, kind, delivery_type, id)?).await?
                }
                [id] => library.asset_by_id(&caller.cloud.id, id).await?,
                _ => return Ok(None),
            };
            library.relate(caller, &asset, params, method == Method::POST).await?
        }
        ("GET", [kind @ ("image" | "video" | "raw")]) => {
            library.list(caller, Listing::Typed(call::resource_type(kind)?, None), params).await?
        }
        ("GET", [kind_text @ ("image" | "video" | "raw"), "tags", tag @ ..]) if !tag.is_empty() => {
            library.list(caller, Listing::Tag(kind(kind_text)?, tag.join("/")), params).await?
        }
        ("DELETE", [kind_text @ ("image" | "video" | "raw"), "tags", tag @ ..]) if !tag.is_empty() => {
            library.delete(caller, Deletion::Tag(kind(kind_text)?, tag.join("/")), params).await?
        }
        ("GET", [kind_text @ ("image" | "video" | "raw"), "context"]) => {
            library.list(caller, Listing::Context(kind(kind_text)?), params).await?
        }
        ("GET", [kind_text @ ("image" | "video" | "raw"), "moderations", name, status]) => {
            let listing = Listing::Moderation(kind(kind_text)?, (*name).to_owned(), (*status).to_owned());
            library.list(caller, listing, params).await?
        }
        ("GET", [kind_text @ ("image" | "video" | "raw"), delivery_type]) => {
            let listing = Listing::Typed(kind(kind_text)?, Some(call::delivery_type(delivery_type)?));
            library.list(caller, listing, params).await?
        }
        ("DELETE", [kind_text @ ("image" | "video" | "raw"), delivery_type]) => {
            let deletion = Deletion::Typed(kind(kind_text)?, call::delivery_type(delivery_type)?);
            library.delete(caller, deletion, params).await?
        }
        ("POST", [kind_text @ ("image" | "video" | "raw"), delivery_type, "restore"]) => {
            let typed = Some((kind(kind_text)?, call::delivery_type(delivery_type)?));
            library.restore(caller, typed, params).await?
        }
        ("POST", [kind_text @ ("image" | "video" | "raw"), "publish_resources"]) => {
            library.publish(caller, kind(kind_text)?, params).await?
        }
        ("POST", [kind_text @ ("image" | "video" | "raw"), delivery_type, "update_access_mode"]) => {
            library.update_access_mode(caller, kind(kind_text)?, call::delivery_type(delivery_type)?, params).await?
        }
        ("GET", [kind @ ("image" | "video" | "raw"), delivery_type, id @ ..]) => {
            let asset = library.asset(&asset_key(caller, kind, delivery_type, id)?).await?;
            library.details(caller, &asset, params).await?
        }
        ("POST", [kind @ ("image" | "video" | "raw"), delivery_type, id @ ..]) if !id.is_empty() => {
            library.update(caller, &asset_key(caller, kind, delivery_type, id)?, params).await?
        }
        ("GET", [id]) => {
            let asset = library.asset_by_id(&caller.cloud.id, id).await?;
            library.details(caller, &asset, params).await?
        }
        ("PUT", [id]) => {
            let asset = library.asset_by_id(&caller.cloud.id, id).await?;
            library.update(caller, &asset.key, params).await?
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}
