//! Related assets: pairs, which hold both ways.

use futures::FutureExt;

use super::{
    super::{
        Result,
        record::{self, ASSET_COLUMNS, Value},
        sql::text,
    },
    Library,
};
use crate::domain::{Asset, AssetId, CloudId, Timestamp};

impl Library {
    /// Relates two assets of a cloud: false when they were related already.
    pub async fn relate(&self, asset: &AssetId, other: &AssetId) -> Result<bool> {
        let (asset, other) = (asset.clone(), other.clone());
        self.write("relate assets", move |sql| {
            async move {
                let insert = "INSERT INTO relations (asset, other, created_at) VALUES (?, ?, ?), (?, ?, ?)
                              ON CONFLICT (asset, other) DO NOTHING";
                let now = Value::Number(Timestamp::now().unix_micros());
                let (one, two) = (text(asset.as_str()), text(other.as_str()));
                let values = [one.clone(), two.clone(), now.clone(), two, one, now];
                Ok(sql.execute(insert, &values).await? > 0)
            }
            .boxed()
        })
        .await
    }

    /// Ends a relation: false when there was none.
    pub async fn unrelate(&self, asset: &AssetId, other: &AssetId) -> Result<bool> {
        let (asset, other) = (asset.clone(), other.clone());
        self.write("unrelate assets", move |sql| {
            async move {
                let delete = "DELETE FROM relations WHERE (asset = ? AND other = ?) OR (asset = ? AND other = ?)";
                let (one, two) = (text(asset.as_str()), text(other.as_str()));
                Ok(sql.execute(delete, &[one.clone(), two.clone(), two, one]).await? > 0)
            }
            .boxed()
        })
        .await
    }

    /// At most `limit` assets that are related to one, by their ids, from behind `after` on; and whether there are more.
    pub async fn related(
        &self,
        cloud: &CloudId,
        asset: &AssetId,
        after: &str,
        limit: u32,
    ) -> Result<(Vec<Asset>, bool)> {
        let (cloud, asset, after) = (cloud.clone(), asset.clone(), after.to_owned());
        self.read("list related assets", move |sql| {
            async move {
                let query = format!(
                    "SELECT {ASSET_COLUMNS} FROM assets
                     WHERE cloud = ? AND id IN (SELECT other FROM relations WHERE asset = ?) AND id > ?
                     ORDER BY id LIMIT ?"
                );
                let values =
                    [text(cloud.as_str()), text(asset.as_str()), text(after), Value::Number(i64::from(limit) + 1)];
                let rows = sql.query(&query, &values).await?;
                let more = rows.len() > limit as usize;
                let assets = rows.iter().take(limit as usize).map(record::read_asset).collect::<Result<_>>()?;
                Ok((assets, more))
            }
            .boxed()
        })
        .await
    }
}
