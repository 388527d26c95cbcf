//! Faces of originals, and the plain listing. What else is asked of originals is asked by the library.

use rusqlite::Transaction;

use super::{
    super::{
        AssetCursor, AssetPage,
        record::{self, ASSET_COLUMNS},
    },
    Work,
};

pub(super) fn set_faces(transaction: &Transaction<'_>, id: &str, version_id: &str, faces: &str) -> Work<bool> {
    let mut statement = transaction.prepare_cached("UPDATE assets SET faces = ? WHERE id = ? AND version_id = ?")?;
    Ok(statement.execute([faces, id, version_id])? == 1)
}

pub(super) fn list(
    transaction: &Transaction<'_>,
    cloud: &str,
    limit: u32,
    after: Option<AssetCursor>,
) -> Work<AssetPage> {
    let sql = format!(
        "SELECT {ASSET_COLUMNS} FROM assets WHERE cloud = ? AND (public_id, id) > (?, ?) ORDER BY public_id, id LIMIT ?"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    // A public id is never empty, so that the empty text lies before all of them.
    let (public_id, id) = after.as_ref().map_or(("", ""), |after| (after.public_id.as_str(), after.id.as_str()));
    let mut rows = statement.query((cloud, public_id, id, i64::from(limit) + 1))?;
    let mut assets = Vec::new();
    while let Some(row) = rows.next()? {
        assets.push(record::read_asset(row)?);
    }
    Ok(record::page(assets, limit, after))
}
