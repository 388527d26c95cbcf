//! A file of an upload that lies at a remote address: read through the one client, into the same spool as any other.

use super::spool::Spool;
use super::upload::UploadError;
use crate::fetch::{ContentTypes, RemoteClient};

/// Reads the file into the spool, and gives it back with the file's name. An error leaves nothing behind, because the
/// spool goes with it.
pub(super) async fn receive(
    client: &RemoteClient,
    address: &str,
    mut spool: Spool,
) -> Result<(Spool, String), UploadError> {
    let mut file = client.get(address, spool.max_bytes(), ContentTypes::Any).await?;
    while let Some(piece) = file.next().await? {
        spool.write(piece).await?;
    }
    Ok((spool, file.head.filename.clone()))
}
