//! Which rows name which blobs: what an inventory of the blob store is compared with.

use std::collections::BTreeSet;

use futures::FutureExt;

use super::{
    super::{
        Result,
        record::{self, Columns, Value},
        sql::{Record, text},
    },
    Library, assets, blobs, removal,
};
use crate::domain::{AssetId, BlobKey, CloudId, Timestamp, VersionId};

/// What kind of row names a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// The present content of an asset.
    Original,
    /// A version that is kept as a backup.
    Version,
    /// A derived picture.
    Derived,
    /// A part of a file that is not complete.
    Part,
}

impl Holder {
    pub const ALL: [Self; 4] = [Self::Original, Self::Version, Self::Derived, Self::Part];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Version => "version",
            Self::Derived => "derived",
            Self::Part => "part",
        }
    }

    /// Rows behind a place. Columns: text and number of the place, cloud's id and name, blob, length, MD5, and what
    /// people call the row. Placeholders are left out: their blob is that of a version.
    const fn query(self) -> &'static str {
        match self {
            Self::Original => {
                "SELECT a.id, a.version_id, a.bytes, c.id, c.name, a.blob, a.bytes, a.etag,
                        a.resource_type || '/' || a.delivery_type || '/' || a.public_id
                 FROM assets a JOIN clouds c ON c.id = a.cloud
                 WHERE NOT a.placeholder AND (a.id, a.version_id) > (?, ?) ORDER BY a.id, a.version_id LIMIT ?"
            }
            Self::Version => {
                "SELECT v.asset, v.version_id, v.version, c.id, c.name, v.blob, v.bytes, v.etag,
                        a.resource_type || '/' || a.delivery_type || '/' || a.public_id
                 FROM asset_versions v JOIN assets a ON a.id = v.asset JOIN clouds c ON c.id = a.cloud
                 WHERE (v.asset, v.version_id) > (?, ?) ORDER BY v.asset, v.version_id LIMIT ?"
            }
            Self::Derived => {
                "SELECT d.key, d.version_id, d.bytes, c.id, c.name, d.blob, d.bytes, d.etag,
                        a.resource_type || '/' || a.delivery_type || '/' || d.transformation || '/' || a.public_id
                 FROM derived d JOIN assets a ON a.id = d.asset JOIN clouds c ON c.id = a.cloud
                 WHERE (d.key, d.version_id) > (?, ?) ORDER BY d.key, d.version_id LIMIT ?"
            }
            Self::Part => {
                "SELECT k.upload, '', k.first_byte, '', '', k.blob, k.last_byte - k.first_byte + 1, '', k.upload
                 FROM chunks k WHERE (k.upload, k.first_byte) > (?, ?) ORDER BY k.upload, k.first_byte LIMIT ?"
            }
        }
    }
}

/// Where a list of rows goes on. Its parts are the primary key; what a kind of row has not is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowCursor {
    id: String,
    second: String,
    number: i64,
}

/// A row and the blob that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedBlob {
    pub holder: Holder,
    pub blob: BlobKey,
    /// Length of the blob by the row.
    pub bytes: u64,
    /// MD5 in hexadecimal, where the row has one.
    pub md5: Option<String>,
    /// `None` for parts.
    pub cloud: Option<CloudId>,
    /// Empty for parts.
    pub cloud_name: String,
    /// What people call it: `image/upload/<public id>`, or the upload's id.
    pub name: String,
    pub place: RowCursor,
}

/// An entry of the garbage list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    pub place: i64,
    pub blob: BlobKey,
    pub since: Timestamp,
}

fn read(holder: Holder, row: &Record) -> Result<NamedBlob> {
    let (cloud, md5) = (row.text(3)?, row.text(7)?);
    Ok(NamedBlob {
        holder,
        place: RowCursor { id: row.text(0)?, second: row.text(1)?, number: row.number(2)? },
        cloud: if cloud.is_empty() { None } else { Some(record::parsed("cloud id", &cloud)?) },
        cloud_name: row.text(4)?,
        blob: record::parsed("blob key", &row.text(5)?)?,
        bytes: record::unsigned("size of the file", row.number(6)?)?,
        md5: Some(md5).filter(|md5| !md5.is_empty()),
        name: row.text(8)?,
    })
}

impl Library {
    /// At most `limit` rows of a kind with their blobs, in the order of their keys. Fewer mean that there are no more.
    pub async fn named_blobs(&self, holder: Holder, after: Option<RowCursor>, limit: u32) -> Result<Vec<NamedBlob>> {
        self.read("list blobs of rows", move |sql| {
            async move {
                let after = after.unwrap_or(RowCursor { id: String::new(), second: String::new(), number: -1 });
                let second = if holder == Holder::Part { Value::Number(after.number) } else { text(after.second) };
                let values = [text(after.id), second, Value::Number(limit.into())];
                sql.query(holder.query(), &values).await?.iter().map(|row| read(holder, row)).collect()
            }
            .boxed()
        })
        .await
    }

    /// Those of some blobs that neither a row nor the garbage list names.
    pub async fn unknown_blobs(&self, blobs: &[BlobKey]) -> Result<Vec<BlobKey>> {
        let blobs = blobs.to_vec();
        self.read("look for rows of blobs", move |sql| async move { blobs::unknown(sql, &blobs).await }.boxed()).await
    }

    /// Puts those of some blobs that no row names on the garbage list, and takes the others off it. Gives the former:
    /// they may be deleted from the store and then forgotten.
    pub async fn disown_blobs(&self, blobs: &[BlobKey]) -> Result<Vec<BlobKey>> {
        let blobs: BTreeSet<_> = blobs.iter().cloned().collect();
        self.write("disown blobs", move |sql| async move { blobs::settle(sql, blobs).await }.boxed()).await
    }

    /// At most `limit` entries of the garbage list behind a place, longest waiting first.
    pub async fn garbage_list(&self, after: Option<i64>, limit: u32) -> Result<Vec<Garbage>> {
        self.read("list garbage", move |sql| {
            async move {
                let query = "SELECT place, blob, since FROM garbage WHERE place > ? ORDER BY place LIMIT ?";
                let values = [Value::Number(after.unwrap_or(i64::MIN)), Value::Number(limit.into())];
                let read = |row: &Record| {
                    Ok(Garbage {
                        place: row.number(0)?,
                        blob: record::parsed("blob key", &row.text(1)?)?,
                        since: Timestamp::from_unix_micros(row.number(2)?),
                    })
                };
                sql.query(query, &values).await?.iter().map(read).collect()
            }
            .boxed()
        })
        .await
    }

    /// Removes a row whose blob is lost, if it still names that blob: of an asset with backups a placeholder stays, and
    /// with a part goes its whole unfinished file. Gives the blobs that no row names any longer, `None` when the row has
    /// changed meanwhile.
    pub async fn drop_row(&self, named: &NamedBlob) -> Result<Option<Vec<BlobKey>>> {
        let RowCursor { id, second, .. } = named.place.clone();
        let blob = named.blob.clone();
        match named.holder {
            Holder::Part => self.forget_chunks(&id).await.map(Some),
            Holder::Derived => {
                self.write("drop a derived picture", move |sql| {
                    async move {
                        let delete = "DELETE FROM derived WHERE key = ? AND blob = ? RETURNING blob";
                        let rows = sql.query(delete, &[text(id), text(blob.as_str())]).await?;
                        if rows.is_empty() {
                            return Ok(None);
                        }
                        blobs::settle(sql, BTreeSet::from([blob])).await.map(Some)
                    }
                    .boxed()
                })
                .await
            }
            Holder::Original => {
                let id: AssetId = record::parsed("asset id", &id)?;
                self.write("drop an asset", move |sql| {
                    async move {
                        let Some(asset) = assets::find_by_id(sql, &id).await? else { return Ok(None) };
                        let locked = assets::lock_by_id(sql, &asset.key.cloud, &id).await?;
                        let Some(asset) = locked.filter(|asset| !asset.placeholder && asset.blob == blob) else {
                            return Ok(None);
                        };
                        // A version may have kept the same lost blob.
                        let delete = "DELETE FROM asset_versions WHERE asset = ? AND blob = ?";
                        sql.execute(delete, &[text(id.as_str()), text(blob.as_str())]).await?;
                        let (_, touched) = removal::remove(sql, &asset).await?;
                        blobs::settle(sql, touched).await.map(Some)
                    }
                    .boxed()
                })
                .await
            }
            Holder::Version => {
                let Some(cloud) = &named.cloud else { return Ok(None) };
                let (asset, version): (AssetId, VersionId) =
                    (record::parsed("asset id", &id)?, record::parsed("version id", &second)?);
                let dropped = self.delete_versions(cloud, &asset, &[version]).await?;
                Ok(dropped.filter(|(found, _)| found == &[true]).map(|(_, freed)| freed))
            }
        }
    }
}
