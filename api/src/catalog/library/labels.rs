//! The tags of a cloud.

use futures::FutureExt;

use super::{
    super::{
        Result,
        record::{Columns, Value},
        sql::text,
    },
    Library,
    filter::LAST_CHARACTER,
    terms,
};
use crate::domain::{CloudId, ResourceType};

/// One page of a cloud's tags, in the order of their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPage {
    pub tags: Vec<String>,
    /// Whether there are more.
    pub more: bool,
}

impl Library {
    /// At most `limit` tags that assets of a type carry, from behind `after` on.
    pub async fn tags(
        &self,
        cloud: &CloudId,
        resource_type: ResourceType,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> Result<TagPage> {
        let (cloud, prefix, after) = (cloud.clone(), prefix.to_owned(), after.to_owned());
        self.read("list tags", move |sql| {
            async move {
                let query = "SELECT DISTINCT name FROM labels
                             WHERE cloud = ? AND kind = ? AND resource_type = ? AND name >= ? AND name < ? AND name > ?
                             ORDER BY name LIMIT ?";
                let end = format!("{prefix}{LAST_CHARACTER}");
                let values = [
                    text(cloud.as_str()),
                    text(terms::TAG),
                    text(resource_type.as_str()),
                    text(prefix),
                    text(end),
                    text(after),
                    Value::Number(i64::from(limit) + 1),
                ];
                let rows = sql.query(query, &values).await?;
                let more = rows.len() > limit as usize;
                let tags = rows.iter().take(limit as usize).map(|row| row.text(0)).collect::<Result<_>>()?;
                Ok(TagPage { tags, more })
            }
            .boxed()
        })
        .await
    }
}
