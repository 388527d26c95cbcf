//! The catalog as lines of JSON that both databases write and read alike: one list of values for each row, one header for
//! each table. What a server makes again by itself (derived pictures, indexes) or what is only on its way (jobs, parts,
//! garbage) is left out. API secrets stay sealed.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::FutureExt;
use serde_json::{Value as Json, json};

use super::{
    super::{
        CatalogError, Result,
        record::{self, Columns, Value},
        sql::{Record, Sql, marks, rows_of_marks, text},
    },
    Library, assets, blobs,
};
use crate::domain::{AssetId, BlobKey};

/// Rows of one page.
const PAGE: i64 = 500;
/// Rows that one statement inserts.
const CHUNK: usize = 100;
/// Settings that belong to a database and not to what is in it.
const OWN_SETTINGS: [&str; 2] = ["index_revision", Library::RESTORE_SETTING];
/// Name of the list of blobs that stands beside the tables: key, length, MD5.
pub const BLOBS: &str = "blobs";

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    OptionalText,
    Number,
    Flag,
    Bytes,
}
use Kind::{Bytes, Flag, Number, OptionalText, Text};

struct Table {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
    /// How many of the first columns are the primary key.
    key: usize,
}

/// In the order in which rows need each other.
const TABLES: &[Table] = &[
    Table { name: "clouds", key: 1, columns: &[("id", Text), ("name", Text), ("created_at", Number)] },
    Table {
        name: "api_keys",
        key: 1,
        columns: &[
            ("key", Text),
            ("cloud", Text),
            ("sealed_secret", Bytes),
            ("enabled", Flag),
            ("created_at", Number),
            ("name", Text),
            ("updated_at", Number),
        ],
    },
    Table { name: "settings", key: 1, columns: &[("name", Text), ("value", Text)] },
    Table {
        name: "usage",
        key: 2,
        columns: &[
            ("cloud", Text),
            ("day", Number),
            ("transformations", Number),
            ("bandwidth_bytes", Number),
            ("requests", Number),
        ],
    },
    Table {
        name: "folders",
        key: 2,
        columns: &[
            ("cloud", Text),
            ("path", Text),
            ("parent", Text),
            ("name", Text),
            ("external_id", Text),
            ("created_at", Number),
        ],
    },
    Table {
        name: "definitions",
        key: 3,
        columns: &[
            ("cloud", Text),
            ("kind", Text),
            ("name", Text),
            ("body", Text),
            ("created_at", Number),
            ("updated_at", Number),
        ],
    },
    Table {
        name: "assets",
        key: 1,
        columns: &[
            ("id", Text),
            ("cloud", Text),
            ("resource_type", Text),
            ("delivery_type", Text),
            ("public_id", Text),
            ("version", Number),
            ("version_id", Text),
            ("format", Text),
            ("stored_width", Number),
            ("stored_height", Number),
            ("orientation", Number),
            ("has_alpha", Flag),
            ("bytes", Number),
            ("etag", Text),
            ("blob", Text),
            ("created_at", Number),
            ("uploaded_at", Number),
            ("original_filename", Text),
            ("tags", Text),
            ("context", Text),
            ("faces", OptionalText),
            ("face_coordinates", Text),
            ("custom_coordinates", Text),
            ("api_key", Text),
            ("access_mode", Text),
            ("asset_folder", Text),
            ("display_name", Text),
            ("metadata", Text),
            ("details", Text),
            ("updated_at", Number),
            ("placeholder", Flag),
            ("backed_up", Flag),
            ("pages", Number),
            ("duration_ms", Number),
        ],
    },
    Table {
        name: "asset_versions",
        key: 2,
        columns: &[
            ("asset", Text),
            ("version_id", Text),
            ("version", Number),
            ("blob", Text),
            ("bytes", Number),
            ("uploaded_at", Number),
            ("format", Text),
            ("stored_width", Number),
            ("stored_height", Number),
            ("orientation", Number),
            ("has_alpha", Flag),
            ("etag", Text),
        ],
    },
    Table { name: "relations", key: 2, columns: &[("asset", Text), ("other", Text), ("created_at", Number)] },
];

/// The tables of a backup, in the order in which they are read back.
pub const TABLES_OF_BACKUP: [&str; 9] = {
    let mut names = [""; 9];
    let mut index = 0;
    while index < names.len() {
        names[index] = TABLES[index].name;
        index += 1;
    }
    names
};
const _: () = assert!(TABLES_OF_BACKUP.len() == TABLES.len());

impl Table {
    fn names(&self, count: usize) -> String {
        self.columns[..count].iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// Takes the name of a table or [`BLOBS`] and one line of it without its end. A table's first line is its header.
pub type RowSink = Box<dyn FnMut(&'static str, String) -> std::io::Result<()> + Send>;

fn written(result: std::io::Result<()>) -> Result<()> {
    result.map_err(|error| CatalogError::Internal { operation: "export", detail: error.to_string() })
}

fn invalid<T>(reason: &'static str) -> Result<T> {
    Err(CatalogError::Invalid { what: "a line of the backup", reason })
}

fn value_to_json(row: &Record, column: usize, kind: Kind) -> Result<Json> {
    Ok(match kind {
        Text => Json::String(row.text(column)?),
        OptionalText => row.optional_text(column)?.map_or(Json::Null, Json::String),
        Number => Json::from(row.number(column)?),
        Flag => Json::Bool(row.flag(column)?),
        Bytes => Json::String(STANDARD.encode(row.bytes(column)?)),
    })
}

fn value_from_json(value: Json, kind: Kind) -> Result<Value> {
    let checked = |text: String| record::text("a text of the backup", &text);
    match (kind, value) {
        (Text, Json::String(text)) => Ok(Value::Text(checked(text)?)),
        (OptionalText, Json::Null) => Ok(Value::OptionalText(None)),
        (OptionalText, Json::String(text)) => Ok(Value::OptionalText(Some(checked(text)?))),
        (Number, Json::Number(number)) => match number.as_i64() {
            Some(number) => Ok(Value::Number(number)),
            None => invalid("a number is no integer of 64 bits"),
        },
        (Flag, Json::Bool(flag)) => Ok(Value::Flag(flag)),
        (Bytes, Json::String(text)) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Value::Bytes(bytes)),
            Err(_) => invalid("its bytes are no base64"),
        },
        _ => invalid("a value has another type than its column"),
    }
}

/// Gives all rows of a table, in the order of its key.
async fn export_table(sql: &mut dyn Sql, table: &'static Table, sink: &mut RowSink) -> Result<()> {
    let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    written(sink(table.name, json!({ "table": table.name, "columns": columns }).to_string()))?;
    let (all, key) = (table.names(table.columns.len()), table.names(table.key));
    let first = format!("SELECT {all} FROM {} ORDER BY {key} LIMIT ?", table.name);
    let next =
        format!("SELECT {all} FROM {} WHERE ({key}) > ({}) ORDER BY {key} LIMIT ?", table.name, marks(table.key));
    let mut after: Vec<Value> = Vec::new();
    loop {
        let query = if after.is_empty() { &first } else { &next };
        after.push(Value::Number(PAGE));
        let rows = sql.query(query, &after).await?;
        for row in &rows {
            let values = table.columns.iter().enumerate().map(|(column, (_, kind))| value_to_json(row, column, *kind));
            written(sink(table.name, Json::Array(values.collect::<Result<_>>()?).to_string()))?;
        }
        let Some(last) = rows.last().filter(|_| rows.len() as i64 == PAGE) else { return Ok(()) };
        after = last.0[..table.key].to_vec();
    }
}

/// Gives the blobs of originals and kept versions, each once, in the order of their keys.
async fn export_blobs(sql: &mut dyn Sql, sink: &mut RowSink) -> Result<()> {
    let query = "SELECT blob, bytes, etag FROM (SELECT blob, bytes, etag FROM assets
                     WHERE NOT placeholder AND blob > ? ORDER BY blob LIMIT ?) AS present
                 UNION SELECT blob, bytes, etag FROM (SELECT blob, bytes, etag FROM asset_versions
                     WHERE blob > ? ORDER BY blob LIMIT ?) AS kept
                 ORDER BY 1 LIMIT ?";
    let mut after = String::new();
    loop {
        let (start, limit) = (text(after.as_str()), Value::Number(PAGE));
        let rows = sql.query(query, &[start.clone(), limit.clone(), start, limit.clone(), limit]).await?;
        for row in &rows {
            let blob = row.text(0)?;
            if blob != after {
                written(sink(BLOBS, json!([blob, row.number(1)?, row.text(2)?]).to_string()))?;
            }
            after = blob;
        }
        // Rows that name one blob are one here, so that a page that is not full need not be the last.
        if rows.is_empty() {
            return Ok(());
        }
    }
}

/// A table as its header in a backup describes it.
pub struct ImportTable {
    table: &'static Table,
    /// Positions of the backup's columns in the table.
    columns: Vec<usize>,
}

/// What became of some rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Imported {
    pub inserted: u64,
    /// Rows that were here already, as they are now.
    pub present: u64,
    /// Rows whose blob is lost, or that belong to such a row.
    pub left_out: u64,
}

impl ImportTable {
    /// Reads a header. A column that this program does not know was written by a newer one.
    pub fn new(header: &str) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Header {
            table: String,
            columns: Vec<String>,
        }
        let Ok(header) = serde_json::from_str::<Header>(header) else { return invalid("it is no header of a table") };
        let newer = "it names a table or column that this program does not know; a newer program must restore it";
        let Some(table) = TABLES.iter().find(|table| table.name == header.table) else { return invalid(newer) };
        let mut columns = Vec::new();
        for name in &header.columns {
            match table.columns.iter().position(|(known, _)| known == name) {
                Some(position) => columns.push(position),
                None => return invalid(newer),
            }
        }
        if !(0..table.key).all(|column| columns.contains(&column)) {
            return invalid("its header lacks columns");
        }
        Ok(ImportTable { table, columns })
    }

    fn row(&self, line: &str) -> Result<Vec<Value>> {
        let Ok(values) = serde_json::from_str::<Vec<Json>>(line) else { return invalid("it is no list of values") };
        if values.len() != self.columns.len() {
            return invalid("it has another number of values than its header");
        }
        let kinds = self.columns.iter().map(|column| self.table.columns[*column].1);
        values.into_iter().zip(kinds).map(|(value, kind)| value_from_json(value, kind)).collect()
    }

    /// The text of a column in a row of the backup.
    fn text<'r>(&self, row: &'r [Value], name: &str) -> Option<&'r str> {
        let column = self.columns.iter().position(|column| self.table.columns[*column].0 == name)?;
        match row.get(column) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// Those of some ids that a table has.
async fn known(sql: &mut dyn Sql, table: &str, ids: BTreeSet<String>) -> Result<HashSet<String>> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let query = format!("SELECT id FROM {table} WHERE id IN ({})", marks(ids.len()));
    let ids: Vec<Value> = ids.into_iter().map(Value::Text).collect();
    sql.query_once(&query, &ids).await?.iter().map(|row| row.text(0)).collect()
}

async fn import_chunk(
    sql: &mut dyn Sql,
    table: &ImportTable,
    lines: &[String],
    absent: &HashSet<BlobKey>,
) -> Result<Imported> {
    let mut rows = lines.iter().map(|line| table.row(line)).collect::<Result<Vec<_>>>()?;
    let (name, all) = (table.table.name, rows.len());
    if name == "settings" {
        rows.retain(|row| !table.text(row, "name").is_some_and(|name| OWN_SETTINGS.contains(&name)));
    }
    let hidden = all - rows.len();
    // Rows of lost blobs would only be rows that answer with errors.
    rows.retain(|row| {
        let blob = table.text(row, "blob").and_then(|blob| BlobKey::new(blob).ok());
        !blob.is_some_and(|blob| absent.contains(&blob))
    });
    if matches!(name, "asset_versions" | "relations") {
        let of = |row: &[Value], column| table.text(row, column).map(str::to_owned);
        let ids = rows.iter().flat_map(|row| [of(row, "asset"), of(row, "other")]).flatten().collect();
        let known = known(sql, "assets", ids).await?;
        let here = |row: &[Value], column| of(row, column).is_none_or(|id| known.contains(&id));
        rows.retain(|row| here(row, "asset") && here(row, "other"));
    }
    let left_out = (all - hidden - rows.len()) as u64;
    if rows.is_empty() {
        return Ok(Imported { left_out, ..Imported::default() });
    }
    let columns: Vec<&str> = table.columns.iter().map(|column| table.table.columns[*column].0).collect();
    let insert = format!(
        "INSERT INTO {name} ({}) VALUES {} ON CONFLICT DO NOTHING RETURNING {}",
        columns.join(", "),
        rows_of_marks(rows.len(), columns.len()),
        table.table.columns[0].0
    );
    let values: Vec<Value> = rows.iter().flatten().cloned().collect();
    let inserted = sql.query_once(&insert, &values).await?;
    match name {
        "clouds" => {
            let ids: BTreeSet<String> =
                rows.iter().filter_map(|row| table.text(row, "id").map(str::to_owned)).collect();
            if known(sql, "clouds", ids.clone()).await?.len() < ids.len() {
                return Err(CatalogError::Conflict("the name of a cloud of the backup"));
            }
        }
        "assets" => {
            for row in &inserted {
                let id: AssetId = record::parsed("asset id", &row.text(0)?)?;
                if let Some(asset) = assets::find_by_id(sql, &id).await? {
                    assets::index(sql, &asset, true).await?;
                }
            }
        }
        _ => {}
    }
    // A blob that waits for its deletion may have a row again; one whose row was not taken has none.
    let touched = rows.iter().filter_map(|row| BlobKey::new(table.text(row, "blob")?).ok()).collect();
    blobs::settle(sql, touched).await?;
    let inserted = inserted.len() as u64;
    Ok(Imported { inserted, present: rows.len() as u64 - inserted, left_out })
}

impl Library {
    /// Name of the setting that says which backup is being restored into this catalog.
    pub const RESTORE_SETTING: &'static str = "restore_under_way";

    /// Gives everything that a backup holds, as it is at one moment. Returns the value by which the key of the API
    /// secrets is known again, see [`super::super::fits`].
    pub async fn export(&self, mut sink: RowSink) -> Result<Vec<u8>> {
        self.snapshot("export", move |sql| {
            async move {
                let rows = sql.query("SELECT sealed FROM key_check", &[]).await?;
                let Some(row) = rows.first() else {
                    return Err(CatalogError::Corrupt("it does not say which key it belongs to".to_owned()));
                };
                let key_check = row.bytes(0)?;
                for table in TABLES {
                    export_table(sql, table, &mut sink).await?;
                }
                export_blobs(sql, &mut sink).await?;
                Ok(key_check)
            }
            .boxed()
        })
        .await
    }

    /// Inserts rows of a backup. What is here under the same key stays as it is, so that rows may be imported again.
    pub async fn import_rows(
        &self,
        table: &Arc<ImportTable>,
        lines: Vec<String>,
        absent: &Arc<HashSet<BlobKey>>,
    ) -> Result<Imported> {
        let (table, absent) = (table.clone(), absent.clone());
        self.write("import", move |sql| {
            async move {
                let mut sum = Imported::default();
                for chunk in lines.chunks(CHUNK) {
                    let Imported { inserted, present, left_out } = import_chunk(sql, &table, chunk, &absent).await?;
                    sum.inserted += inserted;
                    sum.present += present;
                    sum.left_out += left_out;
                }
                Ok(sum)
            }
            .boxed()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::catalog::sqlite::SqliteCatalog;

    /// Tables that a backup leaves out on purpose.
    const LEFT_OUT: [&str; 11] = [
        "chunked_uploads",
        "chunks",
        "copies",
        "derived",
        "epochs",
        "garbage",
        "jobs",
        "key_check",
        "labels",
        "migrations",
        "words",
    ];

    /// A new column or table must come with its place in the backup.
    #[tokio::test]
    async fn every_column_is_exported_or_left_out_on_purpose() {
        let catalog = SqliteCatalog::in_memory().await.unwrap();
        let query = "SELECT t.name, c.name FROM pragma_table_list AS t JOIN pragma_table_xinfo(t.name) AS c
                     WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_%' AND c.hidden = 0";
        let rows = catalog
            .session("look", false, move |sql| async move { sql.query(query, &[]).await }.boxed())
            .await
            .unwrap();
        let mut columns: BTreeSet<(String, String)> =
            rows.iter().map(|row| (row.text(0).unwrap(), row.text(1).unwrap())).collect();
        assert!(columns.len() > 100);
        for table in TABLES {
            for (column, _) in table.columns {
                assert!(columns.remove(&(table.name.to_owned(), (*column).to_owned())), "{}.{column}", table.name);
            }
        }
        columns.retain(|(table, _)| !LEFT_OUT.contains(&table.as_str()));
        assert_eq!(columns, BTreeSet::new());
    }

    #[test]
    fn what_is_no_backup_is_refused() {
        for header in ["", "{}", r#"{"table":"plants","columns":[]}"#, r#"{"table":"clouds","columns":["id","color"]}"#]
        {
            assert!(ImportTable::new(header).is_err(), "{header}");
        }
        assert!(ImportTable::new(r#"{"table":"clouds","columns":["name"]}"#).is_err(), "no key");
        let table = ImportTable::new(r#"{"table":"clouds","columns":["id","created_at"]}"#).unwrap();
        assert_eq!(table.row(r#"["a",7]"#).unwrap(), [text("a"), Value::Number(7)]);
        for line in ["", "[]", r#"["a"]"#, r#"["a","7"]"#, r#"["a",7.5]"#, r#"["a\u0000",7]"#] {
            assert!(table.row(line).is_err(), "{line}");
        }
    }
}
