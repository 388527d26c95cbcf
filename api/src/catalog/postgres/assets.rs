//! The plain listing of originals. What else is asked of them is asked by the library.

use super::{
    super::{
        AssetCursor, AssetPage, Result,
        record::{self, ASSET_COLUMNS},
    },
    PostgresCatalog, Work,
};
use crate::domain::CloudId;

pub(super) async fn list(
    catalog: &PostgresCatalog,
    cloud: &CloudId,
    limit: u32,
    after: Option<&AssetCursor>,
) -> Result<AssetPage> {
    let sql = format!(
        "SELECT {ASSET_COLUMNS} FROM assets WHERE cloud = $1 AND (public_id, id) > ($2, $3)
         ORDER BY public_id, id LIMIT $4"
    );
    // A public id is never empty, so that the empty text lies before all of them.
    let (public_id, id) = after.map_or(("", ""), |after| (after.public_id.as_str(), after.id.as_str()));
    let wanted = i64::from(limit) + 1;
    let rows = catalog.query("list assets", &sql, &[&cloud.as_str(), &public_id, &id, &wanted]).await?;
    let assets = rows.iter().map(record::read_asset).collect::<Work<_>>();
    Ok(record::page(assets.map_err(|failure| failure.during("list assets"))?, limit, after.cloned()))
}
