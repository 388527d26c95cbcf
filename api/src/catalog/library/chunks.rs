//! Uploads that come in chunks: which bytes have arrived, and where they lie.

use std::collections::BTreeSet;

use futures::FutureExt;
use serde_json::Value as Json;

use super::{
    super::{
        CatalogError, Result,
        record::{self, Columns, Value},
        sql::{Record, Sql, text},
    },
    Library, blobs,
};
use crate::domain::{BlobKey, CloudId, Timestamp, VersionId};

/// Most chunks of one upload.
const MAX_CHUNKS: usize = 10_000;

/// One received chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub first_byte: u64,
    /// Inclusive.
    pub last_byte: u64,
    pub blob: BlobKey,
}

/// What became of a chunk.
#[derive(Debug, Clone, PartialEq)]
pub enum ChunkOutcome {
    /// The file is not complete. `body` is what was noted with the first chunk.
    Incomplete { id: String, body: Json, received: u64, freed_blobs: Vec<BlobKey> },
    /// All bytes are there, and this caller is to join them; others are told [`ChunkOutcome::Busy`] until it is done.
    Complete { id: String, body: Json, chunks: Vec<Chunk>, total: u64, freed_blobs: Vec<BlobKey> },
    /// Another call is joining the chunks.
    Busy,
    /// The chunk lies across another one, or there are too many.
    Overlap,
}

fn number(what: &'static str, number: u64) -> Result<Value> {
    Ok(Value::Number(record::number(what, number)?))
}

fn read_chunk(row: &Record) -> Result<Chunk> {
    Ok(Chunk {
        first_byte: record::unsigned("first byte", row.number(0)?)?,
        last_byte: record::unsigned("last byte", row.number(1)?)?,
        blob: record::parsed("blob key", &row.text(2)?)?,
    })
}

async fn chunks_of(sql: &mut dyn Sql, id: &str) -> Result<Vec<Chunk>> {
    let query = "SELECT first_byte, last_byte, blob FROM chunks WHERE upload = ? ORDER BY first_byte";
    sql.query(query, &[text(id)]).await?.iter().map(read_chunk).collect()
}

impl Library {
    /// Records a durable chunk of the upload that a client calls `upload_id`. `total` is the size of the file where the
    /// client knows it. `body` is kept with the first chunk that arrives. A chunk that arrives twice replaces itself.
    pub async fn add_chunk(
        &self,
        cloud: &CloudId,
        upload_id: &str,
        chunk: Chunk,
        total: Option<u64>,
        body: Json,
    ) -> Result<ChunkOutcome> {
        let (cloud, upload_id) = (cloud.clone(), record::text("an upload id", upload_id)?);
        self.write("record a chunk", move |sql| {
            async move { add(sql, &cloud, &upload_id, chunk, total, body).await }.boxed()
        })
        .await
    }

    /// Forgets a chunked upload with its chunks; gives the blobs that no row names any longer.
    pub async fn forget_chunks(&self, id: &str) -> Result<Vec<BlobKey>> {
        let id = id.to_owned();
        self.write("forget chunks", move |sql| async move { forget(sql, &id).await }.boxed()).await
    }

    /// The chunks of an upload, in order; none once it was forgotten.
    pub async fn chunks(&self, id: &str) -> Result<Vec<Chunk>> {
        let id = id.to_owned();
        self.read("read chunks", move |sql| async move { chunks_of(sql, &id).await }.boxed()).await
    }

    /// Keeps an upload at least until [`Library::expire_chunks`] is called with a later time than `until`.
    pub async fn hold_chunks(&self, id: &str, until: Timestamp) -> Result<()> {
        let id = id.to_owned();
        self.write("hold chunks", move |sql| {
            async move {
                let values = [Value::Number(until.unix_micros()), text(id)];
                sql.execute("UPDATE chunked_uploads SET updated_at = ? WHERE id = ?", &values).await?;
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// Lets another call join the chunks, after joining failed.
    pub async fn release_chunks(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.write("release chunks", move |sql| {
            async move {
                let query = "SELECT body FROM chunked_uploads WHERE id = ?";
                let rows = sql.query(query, &[text(id.as_str())]).await?;
                let Some(row) = rows.first() else { return Ok(()) };
                let mut state = State::read(row)?;
                state.joining = None;
                let values = [Value::Text(state.print()), text(id)];
                sql.execute("UPDATE chunked_uploads SET body = ? WHERE id = ?", &values).await?;
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// Forgets at most `limit` uploads to which nothing was added since `before`.
    pub async fn expire_chunks(&self, before: Timestamp, limit: u32) -> Result<(u64, Vec<BlobKey>)> {
        self.write("expire chunks", move |sql| {
            async move {
                let query = "SELECT id FROM chunked_uploads WHERE updated_at < ? ORDER BY updated_at LIMIT ?";
                let rows =
                    sql.query(query, &[Value::Number(before.unix_micros()), Value::Number(limit.into())]).await?;
                let mut freed = Vec::new();
                for row in &rows {
                    freed.extend(forget(sql, &row.text(0)?).await?);
                }
                Ok((rows.len() as u64, freed))
            }
            .boxed()
        })
        .await
    }
}

/// What is kept of an upload besides its chunks.
struct State {
    body: Json,
    total: Option<u64>,
    /// Unix microseconds at which a call began to join the chunks.
    joining: Option<i64>,
}

/// A call that joins chunks has this long before another one may.
const JOIN_MICROS: i64 = 15 * 60 * 1_000_000;

impl State {
    fn read(row: &Record) -> Result<Self> {
        let corrupt = |error: serde_json::Error| CatalogError::Corrupt(format!("a chunked upload: {error}"));
        let mut whole: Json = serde_json::from_str(&row.text(0)?).map_err(corrupt)?;
        Ok(State { total: whole["total"].as_u64(), joining: whole["joining"].as_i64(), body: whole["body"].take() })
    }

    fn print(&self) -> String {
        serde_json::json!({ "body": self.body, "total": self.total, "joining": self.joining }).to_string()
    }
}

async fn add(
    sql: &mut dyn Sql,
    cloud: &CloudId,
    upload_id: &str,
    chunk: Chunk,
    total: Option<u64>,
    body: Json,
) -> Result<ChunkOutcome> {
    let now = Timestamp::now().unix_micros();
    let new = State { body, total, joining: None };
    let insert = "INSERT INTO chunked_uploads (cloud, upload_id, id, body, created_at, updated_at)
                  VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (cloud, upload_id) DO NOTHING";
    let values = [
        text(cloud.as_str()),
        text(upload_id),
        text(VersionId::random().as_str()),
        Value::Text(record::text("a chunked upload", &new.print())?),
        Value::Number(now),
        Value::Number(now),
    ];
    sql.execute(insert, &values).await?;
    let query =
        format!("SELECT body, id FROM chunked_uploads WHERE cloud = ? AND upload_id = ?{}", sql.dialect().for_update());
    let rows = sql.query(&query, &[text(cloud.as_str()), text(upload_id)]).await?;
    let row = rows.first().ok_or_else(|| CatalogError::Unavailable("the upload was forgotten".to_owned()))?;
    let mut state = State::read(row)?;
    let id = row.text(1)?;
    let mut touched = BTreeSet::from([chunk.blob.clone()]);
    if state.joining.is_some_and(|since| now.saturating_sub(since) < JOIN_MICROS) {
        blobs::settle(sql, touched).await?;
        return Ok(ChunkOutcome::Busy);
    }
    let known = chunks_of(sql, &id).await?;
    let same = |other: &&Chunk| (other.first_byte, other.last_byte) == (chunk.first_byte, chunk.last_byte);
    if let Some(old) = known.iter().find(same) {
        touched.insert(old.blob.clone());
        sql.execute(
            "DELETE FROM chunks WHERE upload = ? AND first_byte = ?",
            &[text(id.as_str()), number("first byte", chunk.first_byte)?],
        )
        .await?;
    } else if known.len() >= MAX_CHUNKS
        || known.iter().any(|other| other.first_byte <= chunk.last_byte && chunk.first_byte <= other.last_byte)
    {
        blobs::settle(sql, touched).await?;
        return Ok(ChunkOutcome::Overlap);
    }
    let values = [
        text(id.as_str()),
        number("first byte", chunk.first_byte)?,
        number("last byte", chunk.last_byte)?,
        text(chunk.blob.as_str()),
    ];
    sql.execute("INSERT INTO chunks (upload, first_byte, last_byte, blob) VALUES (?, ?, ?, ?)", &values).await?;
    state.total = total.or(state.total);
    let chunks = chunks_of(sql, &id).await?;
    let mut end = 0;
    let whole = chunks.iter().all(|chunk| {
        let follows = chunk.first_byte == end;
        end = chunk.last_byte.saturating_add(1);
        follows
    });
    let complete = whole && state.total == Some(end);
    state.joining = complete.then_some(now);
    let values = [Value::Text(state.print()), Value::Number(now), text(id.as_str())];
    sql.execute("UPDATE chunked_uploads SET body = ?, updated_at = ? WHERE id = ?", &values).await?;
    let freed_blobs = blobs::settle(sql, touched).await?;
    Ok(if complete {
        ChunkOutcome::Complete { id, body: state.body, chunks, total: end, freed_blobs }
    } else {
        let received = chunks.iter().map(|chunk| chunk.last_byte - chunk.first_byte + 1).sum();
        ChunkOutcome::Incomplete { id, body: state.body, received, freed_blobs }
    })
}

async fn forget(sql: &mut dyn Sql, id: &str) -> Result<Vec<BlobKey>> {
    let rows = sql.query("DELETE FROM chunks WHERE upload = ? RETURNING blob", &[text(id)]).await?;
    let touched = rows.iter().map(record::read_blob).collect::<Result<BTreeSet<_>>>()?;
    sql.execute("DELETE FROM chunked_uploads WHERE id = ?", &[text(id)]).await?;
    blobs::settle(sql, touched).await
}
