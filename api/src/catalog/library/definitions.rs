//! Named things of a cloud whose content is a JSON object.

use futures::FutureExt;
use serde_json::Value as Json;

use super::{
    super::{
        CatalogError, Result,
        record::{self, Columns, Value},
        sql::{Record, marks, text},
    },
    Library,
    filter::LAST_CHARACTER,
};
use crate::domain::{CloudId, Timestamp};

/// What a definition defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DefinitionKind {
    UploadPreset,
    /// A named transformation, or an unnamed one with attributes of its own.
    Transformation,
    UploadMapping,
    MetadataField,
    MetadataRule,
    StreamingProfile,
    Trigger,
}

impl DefinitionKind {
    const fn as_str(self) -> &'static str {
        match self {
            DefinitionKind::UploadPreset => "upload_preset",
            DefinitionKind::Transformation => "transformation",
            DefinitionKind::UploadMapping => "upload_mapping",
            DefinitionKind::MetadataField => "metadata_field",
            DefinitionKind::MetadataRule => "metadata_rule",
            DefinitionKind::StreamingProfile => "streaming_profile",
            DefinitionKind::Trigger => "trigger",
        }
    }
}

/// One definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    pub name: String,
    /// A JSON object.
    pub body: Json,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One page of definitions, ordered by the bytes of their names.
#[derive(Debug, Clone, PartialEq)]
pub struct DefinitionPage {
    pub definitions: Vec<Definition>,
    /// Whether there are more.
    pub more: bool,
}

const COLUMNS: &str = "name, body, created_at, updated_at";

fn read(row: &Record) -> Result<Definition> {
    Ok(Definition {
        name: row.text(0)?,
        body: serde_json::from_str(&row.text(1)?)
            .map_err(|error| CatalogError::Corrupt(format!("a definition: {error}")))?,
        created_at: Timestamp::from_unix_micros(row.number(2)?),
        updated_at: Timestamp::from_unix_micros(row.number(3)?),
    })
}

impl Library {
    /// Adds a definition: false when its name is taken.
    pub async fn define(&self, cloud: &CloudId, kind: DefinitionKind, name: &str, body: Json) -> Result<bool> {
        let values = vec![
            text(cloud.as_str()),
            text(kind.as_str()),
            Value::Text(record::text("a name", name)?),
            Value::Text(record::text("a definition", &body.to_string())?),
        ];
        self.write("add a definition", move |sql| {
            async move {
                let mut values = values;
                let now = Value::Number(Timestamp::now().unix_micros());
                values.extend([now.clone(), now]);
                let insert = "INSERT INTO definitions (cloud, kind, name, body, created_at, updated_at)
                              VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (cloud, kind, name) DO NOTHING";
                Ok(sql.execute(insert, &values).await? == 1)
            }
            .boxed()
        })
        .await
    }

    pub async fn definition(&self, cloud: &CloudId, kind: DefinitionKind, name: &str) -> Result<Option<Definition>> {
        let (cloud, name) = (cloud.clone(), name.to_owned());
        self.read("find a definition", move |sql| {
            async move {
                let query = format!("SELECT {COLUMNS} FROM definitions WHERE cloud = ? AND kind = ? AND name = ?");
                let rows = sql.query(&query, &[text(cloud.as_str()), text(kind.as_str()), text(name)]).await?;
                rows.first().map(read).transpose()
            }
            .boxed()
        })
        .await
    }

    /// The definition with the longest of these names.
    pub async fn longest_definition(
        &self,
        cloud: &CloudId,
        kind: DefinitionKind,
        names: &[&str],
    ) -> Result<Option<Definition>> {
        let mut values = vec![text(cloud.as_str()), text(kind.as_str())];
        values.extend(names.iter().map(|name| text(*name)));
        let query = format!(
            "SELECT {COLUMNS} FROM definitions WHERE cloud = ? AND kind = ? AND name IN ({})
             ORDER BY length(name) DESC LIMIT 1",
            marks(names.len())
        );
        self.read("find a definition among several", move |sql| {
            async move { sql.query_once(&query, &values).await?.first().map(read).transpose() }.boxed()
        })
        .await
    }

    /// At most `limit` definitions whose names have a beginning, from behind `after` on.
    pub async fn definitions(
        &self,
        cloud: &CloudId,
        kind: DefinitionKind,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> Result<DefinitionPage> {
        let (cloud, prefix, after) = (cloud.clone(), prefix.to_owned(), after.to_owned());
        self.read("list definitions", move |sql| {
            async move {
                let query = format!(
                    "SELECT {COLUMNS} FROM definitions
                     WHERE cloud = ? AND kind = ? AND name >= ? AND name < ? AND name > ? ORDER BY name LIMIT ?"
                );
                let end = format!("{prefix}{LAST_CHARACTER}");
                let values = [
                    text(cloud.as_str()),
                    text(kind.as_str()),
                    text(prefix),
                    text(end),
                    text(after),
                    Value::Number(i64::from(limit) + 1),
                ];
                let rows = sql.query(&query, &values).await?;
                let more = rows.len() > limit as usize;
                let definitions = rows.iter().take(limit as usize).map(read).collect::<Result<_>>()?;
                Ok(DefinitionPage { definitions, more })
            }
            .boxed()
        })
        .await
    }

    /// Changes a definition in one transaction; `None` when there is none, else what `change` answers. An error of
    /// `change` leaves it as it was.
    pub async fn redefine<E: Send + 'static>(
        &self,
        cloud: &CloudId,
        kind: DefinitionKind,
        name: &str,
        change: impl FnOnce(&mut Json) -> std::result::Result<(), E> + Clone + Send + 'static,
    ) -> Result<Option<std::result::Result<Json, E>>> {
        let (cloud, name) = (cloud.clone(), name.to_owned());
        self.write("change a definition", move |sql| {
            async move {
                let query = format!(
                    "SELECT {COLUMNS} FROM definitions WHERE cloud = ? AND kind = ? AND name = ?{}",
                    sql.dialect().for_update()
                );
                let key = [text(cloud.as_str()), text(kind.as_str()), text(name)];
                let rows = sql.query(&query, &key).await?;
                let Some(mut definition) = rows.first().map(read).transpose()? else { return Ok(None) };
                if let Err(error) = change(&mut definition.body) {
                    return Ok(Some(Err(error)));
                }
                let mut values = vec![
                    Value::Text(record::text("a definition", &definition.body.to_string())?),
                    Value::Number(Timestamp::now().unix_micros()),
                ];
                values.extend(key);
                let update =
                    "UPDATE definitions SET body = ?, updated_at = ? WHERE cloud = ? AND kind = ? AND name = ?";
                sql.execute(update, &values).await?;
                Ok(Some(Ok(definition.body)))
            }
            .boxed()
        })
        .await
    }

    /// Removes a definition: false when there is none.
    pub async fn undefine(&self, cloud: &CloudId, kind: DefinitionKind, name: &str) -> Result<bool> {
        let (cloud, name) = (cloud.clone(), name.to_owned());
        self.write("remove a definition", move |sql| {
            async move {
                let delete = "DELETE FROM definitions WHERE cloud = ? AND kind = ? AND name = ?";
                Ok(sql.execute(delete, &[text(cloud.as_str()), text(kind.as_str()), text(name)]).await? == 1)
            }
            .boxed()
        })
        .await
    }
}
