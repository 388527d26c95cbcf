//! Routes of the Admin API about work in the background: triggers, and eager batches, which are an extension of ours.

use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use crate::service::library::LibraryService;
use axum::http::Method;
use serde_json::Value;

/// Answers a call; `None` when there is no such route.
pub async fn answer(
    library: &LibraryService,
    method: &Method,
    caller: &Caller,
    params: &Params,
    path: &[&str],
) -> Result<Option<Value>, ApiError> {
    let value = match (method.as_str(), path) {
        ("GET", ["triggers"]) => library.triggers(caller, params).await?,
        ("POST", ["triggers"]) => library.create_trigger(caller, params).await?,
        ("PUT", ["triggers", id]) => library.update_trigger(caller, id, params).await?,
        ("DELETE", ["triggers", id]) => library.delete_trigger(caller, id).await?,
        ("GET", ["eager_batches"]) => library.batches(caller, params).await?,
        ("POST", ["eager_batches"]) => library.start_batch(caller, params).await?,
        ("GET", ["eager_batches", id]) => library.batch(caller, id).await?,
        ("DELETE", ["eager_batches", id]) => library.stop_batch(caller, id).await?,
        _ => return Ok(None),
    };
    Ok(Some(value))
}
