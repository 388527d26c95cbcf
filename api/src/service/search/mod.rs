//! Searches for assets and folders (api.md 4.12).

mod aggregate;
mod cursor;
mod entry;
mod folders;
mod public;

use super::access::Caller;
use super::call::{ApiError, Params};
use super::library::{FolderMode, LibraryService};
use crate::catalog::library::{SearchQuery, SortKey};
use crate::domain::Timestamp;
use crate::search::{self, Expression, Filter, NumberColumn, QueryError, Scope, SortColumn};
use serde_json::{Value, json};
use std::time::Instant;

pub use public::{ClientList, SignedSearch};

/// Entries of a page unless the call says otherwise.
const DEFAULT_RESULTS: u32 = 50;
/// Most columns that one search sorts by.
const MAX_SORT: usize = 10;

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        ApiError::BadRequest(error.to_string())
    }
}

/// The expression of a call; without one everything is meant.
fn expression(params: &Params) -> Result<Expression, ApiError> {
    Ok(search::parse(params.text("expression").unwrap_or_default())?)
}

/// What a call wants its results sorted by: names, and whether each goes down.
fn sort_by(params: &Params) -> Result<Vec<(String, bool)>, ApiError> {
    let mut sort: Vec<(String, bool)> = Vec::new();
    for entry in params.json_list("sort_by")? {
        let Value::Object(fields) = &entry else { return Err(ApiError::invalid("sort_by", &entry.to_string())) };
        for (name, direction) in fields {
            let descending = match direction.as_str().map(str::to_ascii_lowercase).as_deref() {
                Some("desc") => true,
                Some("asc") => false,
                _ => return Err(ApiError::invalid("sort_by", &entry.to_string())),
            };
            if !sort.iter().any(|(known, _)| known == name) {
                sort.push((name.clone(), descending));
            }
        }
    }
    if sort.len() > MAX_SORT {
        return Err(ApiError::BadRequest(format!("Too many sort_by. Maximum is {MAX_SORT}.")));
    }
    Ok(sort)
}

fn asset_order(params: &Params) -> Result<Vec<SortKey>, ApiError> {
    let mut keys = Vec::new();
    for (name, descending) in sort_by(params)? {
        // All matches are equally good.
        if name != "score" {
            let column = SortColumn::by_name(&name).ok_or_else(|| ApiError::invalid("sort_by", &name))?;
            keys.push(SortKey { column, descending });
        }
    }
    if keys.is_empty() {
        keys.push(SortKey { column: SortColumn::Number(NumberColumn::CreatedAt), descending: true });
    }
    Ok(keys)
}

impl LibraryService {
    /// `resources/search`
    pub async fn search(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let started = Instant::now();
        let view = self.view(caller).await?;
        let expression = expression(params)?;
        let sort = asset_order(params)?;
        let names: Vec<String> = sort.iter().map(|key| format!("{key:?}")).collect();
        let fingerprint = cursor::fingerprint("assets", &caller.cloud.id, &expression, &names);
        let after = cursor::read_assets(params, &fingerprint, &sort)?;
        // Relative times mean the same on all pages.
        let now = after.as_ref().map_or_else(Timestamp::now, |(now, _)| *now);
        let scope = Scope { now, fixed_folders: view.folder_mode == FolderMode::Fixed };
        let filter = Filter::new(&expression, scope)?;
        let shape = entry::Shape::read(params)?;
        let aggregations = aggregate::read(params)?;
        let query = SearchQuery {
            cloud: caller.cloud.id.clone(),
            filter,
            sort,
            limit: params.max_results(DEFAULT_RESULTS)?,
            after: after.map(|(_, cursor)| cursor),
            aggregates: aggregations.iter().map(|aggregation| aggregation.aggregate.clone()).collect(),
        };
        let page = self.library().search(&query).await?;
        let resources: Vec<Value> = page.assets.iter().map(|asset| shape.entry(&view, asset)).collect();
        let mut answer = json!({ "total_count": page.total, "time": millis(started), "resources": resources });
        if let Some(next) = &page.next {
            answer["next_cursor"] = json!(cursor::write_assets(&fingerprint, now, next));
        }
        if !aggregations.is_empty() {
            answer["aggregations"] = aggregate::answer(&aggregations, &page.counts);
        }
        Ok(answer)
    }
}

fn millis(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
