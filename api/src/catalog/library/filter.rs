//! Lists of assets by one criterion, in the order of their creation.

use futures::FutureExt;

use super::{
    super::{
        Result,
        record::{self, ASSET_COLUMNS, Columns, Value},
        sql::{marks, text},
    },
    Library, terms,
};
use crate::domain::{Asset, AssetId, CloudId, DeliveryType, ResourceType, Timestamp};

/// What behind any text with this beginning is at least: no character of a public id is beyond.
pub(super) const LAST_CHARACTER: char = '\u{10FFFF}';

/// Which assets of a cloud are listed. Placeholders never are, unless they are named.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetFilter {
    pub cloud: CloudId,
    pub resource_type: Option<ResourceType>,
    pub delivery_type: Option<DeliveryType>,
    pub selection: Selection,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// Begin at this point in time, in the direction of the list.
    pub start_at: Option<Timestamp>,
}

/// By what they are selected.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    All,
    /// Beginning of the public id.
    Prefix(String),
    PublicIds(Vec<String>),
    AssetIds(Vec<AssetId>),
    Tag(String),
    /// A key of the context, with any or one value.
    Context {
        key: String,
        value: Option<String>,
    },
    Moderation {
        kind: String,
        status: String,
    },
    /// Exactly this `asset_folder`.
    AssetFolder(String),
    /// This `asset_folder` or one below it.
    AssetFolderTree(String),
}

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryCursor {
    pub created_at: Timestamp,
    pub id: AssetId,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct LibraryPage {
    pub assets: Vec<Asset>,
    /// `None` on the last page.
    pub next: Option<LibraryCursor>,
}

/// A condition on `assets`, with the values of its marks.
pub(super) struct Condition {
    pub sql: String,
    pub values: Vec<Value>,
}

impl AssetFilter {
    /// All assets of a cloud, newest first.
    pub fn all(cloud: CloudId) -> Self {
        AssetFilter {
            cloud,
            resource_type: None,
            delivery_type: None,
            selection: Selection::All,
            ascending: false,
            start_at: None,
        }
    }

    pub(super) fn condition(&self) -> Condition {
        let mut sql = "cloud = ?".to_owned();
        let mut values = vec![text(self.cloud.as_str())];
        if let Some(kind) = self.resource_type {
            sql.push_str(" AND resource_type = ?");
            values.push(text(kind.as_str()));
        }
        if let Some(kind) = self.delivery_type {
            sql.push_str(" AND delivery_type = ?");
            values.push(text(kind.as_str()));
        }
        let mut also = |condition: &str, more: Vec<Value>| {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.extend(more);
        };
        let named = match &self.selection {
            Selection::All => false,
            Selection::Prefix(prefix) => {
                let end = format!("{prefix}{LAST_CHARACTER}");
                also("public_id >= ? AND public_id < ?", vec![text(prefix.as_str()), text(end)]);
                false
            }
            Selection::PublicIds(ids) => {
                let condition = format!("public_id IN ({})", marks(ids.len()));
                also(&condition, ids.iter().map(|id| text(id.as_str())).collect());
                true
            }
            Selection::AssetIds(ids) => {
                let condition = format!("id IN ({})", marks(ids.len()));
                also(&condition, ids.iter().map(|id| text(id.as_str())).collect());
                true
            }
            Selection::Tag(tag) => {
                let of = vec![text(self.cloud.as_str()), text(terms::TAG), text(terms::indexed(tag))];
                also("id IN (SELECT asset FROM labels WHERE cloud = ? AND kind = ? AND name = ?)", of);
                false
            }
            Selection::Context { key, value } => {
                let mut of = vec![text(self.cloud.as_str()), text(terms::CONTEXT), text(terms::indexed(key))];
                let condition = match value {
                    None => "id IN (SELECT asset FROM labels WHERE cloud = ? AND kind = ? AND name = ?)",
                    Some(value) => {
                        of.push(text(terms::indexed(value)));
                        "id IN (SELECT asset FROM labels WHERE cloud = ? AND kind = ? AND name = ? AND value = ?)"
                    }
                };
                also(condition, of);
                false
            }
            Selection::Moderation { kind, status } => {
                let of = vec![
                    text(self.cloud.as_str()),
                    text(terms::MODERATION),
                    text(kind.as_str()),
                    text(status.as_str()),
                ];
                let condition =
                    "id IN (SELECT asset FROM labels WHERE cloud = ? AND kind = ? AND name = ? AND value = ?)";
                also(condition, of);
                false
            }
            Selection::AssetFolder(folder) => {
                also("asset_folder = ?", vec![text(folder.as_str())]);
                false
            }
            Selection::AssetFolderTree(folder) => {
                let (start, end) = (format!("{folder}/"), format!("{folder}/{LAST_CHARACTER}"));
                let of = vec![text(folder.as_str()), text(start), text(end)];
                also("(asset_folder = ? OR (asset_folder >= ? AND asset_folder < ?))", of);
                false
            }
        };
        if let Some(start) = self.start_at {
            sql.push_str(if self.ascending { " AND created_at >= ?" } else { " AND created_at <= ?" });
            values.push(Value::Number(start.unix_micros()));
        }
        if !named {
            sql.push_str(" AND placeholder = ?");
            values.push(Value::Flag(false));
        }
        Condition { sql, values }
    }
}

impl Library {
    /// At most `limit` assets of a list.
    pub async fn list(&self, filter: &AssetFilter, limit: u32, after: Option<LibraryCursor>) -> Result<LibraryPage> {
        let filter = filter.clone();
        self.read("list assets", move |sql| {
            async move {
                let Condition { sql: mut condition, mut values } = filter.condition();
                let (sign, order) = if filter.ascending { (">", "ASC") } else { ("<", "DESC") };
                if let Some(after) = after {
                    condition.push_str(&format!(" AND (created_at, id) {sign} (?, ?)"));
                    values.extend([Value::Number(after.created_at.unix_micros()), text(after.id.as_str())]);
                }
                values.push(Value::Number(i64::from(limit) + 1));
                let query = format!(
                    "SELECT {ASSET_COLUMNS} FROM assets WHERE {condition}
                     ORDER BY created_at {order}, id {order} LIMIT ?"
                );
                let listed = matches!(filter.selection, Selection::PublicIds(_) | Selection::AssetIds(_));
                let rows =
                    if listed { sql.query_once(&query, &values).await? } else { sql.query(&query, &values).await? };
                let more = rows.len() > limit as usize;
                let assets =
                    rows.iter().take(limit as usize).map(record::read_asset).collect::<Result<Vec<Asset>>>()?;
                let next = assets
                    .last()
                    .filter(|_| more)
                    .map(|last| LibraryCursor { created_at: last.created_at, id: last.id.clone() });
                Ok(LibraryPage { assets, next })
            }
            .boxed()
        })
        .await
    }

    /// How many assets a list has.
    pub async fn count(&self, filter: &AssetFilter) -> Result<u64> {
        let filter = filter.clone();
        self.read("count assets", move |sql| {
            async move {
                let Condition { sql: condition, values } = filter.condition();
                let rows = sql.query_once(&format!("SELECT count(*) FROM assets WHERE {condition}"), &values).await?;
                let count = rows.first().map(|row| row.number(0)).transpose()?.unwrap_or(0);
                Ok(count.unsigned_abs())
            }
            .boxed()
        })
        .await
    }
}
