//! Routes below `/v1_1/provisioning/accounts`.

use super::HttpState;
use super::api::{authorization, read, unknown};
use super::error::HttpError;
use super::upload::{json_response, refuse};
use crate::service::provisioning;
use crate::service::tenants::Tenants;
use axum::body::Body;
use axum::http::Response;
use axum::http::request::Parts;

/// Answers a call for an account. Nothing is read for a stranger.
pub(super) async fn answer(
    state: &HttpState,
    parts: &Parts,
    body: Body,
    account: &str,
    rest: &[&str],
) -> Result<Response<Body>, HttpError> {
    let of = state.library.parts();
    let proven = match authorization(parts) {
        Ok(header) => provisioning::authorize(&*of.catalog, account, header).await.map_err(HttpError::from),
        Err(error) => Err(error),
    };
    if let Err(error) = proven {
        return Err(refuse(body, error).await);
    }
    let params = read(state, parts, body).await?;
    let tenants = Tenants { catalog: of.catalog.clone(), library: of.library.clone() };
    let Some((value, effects)) = provisioning::answer(&tenants, parts.method.as_str(), rest, &params).await? else {
        return Err(unknown(&parts.method, parts.uri.path()));
    };
    if let Some(cloud) = &effects.changed {
        state.library.after_change(cloud, &effects.freed).await;
    }
    Ok(json_response(&value))
}
