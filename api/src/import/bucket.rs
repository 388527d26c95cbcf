//! Objects of a bucket that is not one of ours.

use super::{Failure, Item, ItemFile, Items, folder_params, named};
use crate::domain::{BlobKey, DeliveryType};
use crate::storage::Reference;
use crate::storage::s3::{Bucket, Object};
use futures::{StreamExt, stream};
use std::sync::Arc;

/// All objects whose name begins with the bucket's prefix, in the order of their names. Public ids are what follows the
/// prefix, with `prefix` before it. Objects that are used in place stay where they are, and are only referred to.
pub fn objects(bucket: Bucket, prefix: &str, dynamic_folders: bool, in_place: bool) -> Items {
    let prefix = prefix.to_owned();
    let bucket = Arc::new(bucket);
    let pages = stream::unfold(Some(None), {
        let bucket = bucket.clone();
        move |state: Option<Option<String>>| {
            let bucket = bucket.clone();
            async move {
                match bucket.page(state?.as_deref()).await {
                    Ok(page) => Some((Ok(page.objects), page.next.map(Some))),
                    Err(error) => {
                        let failure = Failure { what: bucket.name().to_owned(), reason: error.to_string() };
                        Some((Err(failure), None))
                    }
                }
            }
        }
    });
    let items = pages.flat_map(move |page| {
        let found: Vec<Result<Item, Failure>> = match page {
            Err(failure) => vec![Err(failure)],
            Ok(objects) => objects
                .into_iter()
                .filter_map(|object| item(&bucket, object, &prefix, dynamic_folders, in_place))
                .map(Ok)
                .collect(),
        };
        stream::iter(found)
    });
    Box::pin(items)
}

/// The item of an object; none where the name only marks a folder.
fn item(bucket: &Arc<Bucket>, object: Object, prefix: &str, dynamic: bool, in_place: bool) -> Option<Item> {
    let path = object.name.strip_prefix(bucket.prefix()).unwrap_or(&object.name).trim_start_matches('/').to_owned();
    if path.is_empty() || path.ends_with('/') {
        return None;
    }
    let (resource_type, public_id) = named(&path, prefix);
    let reference = in_place.then(|| Reference {
        bucket: bucket.name().to_owned(),
        object: object.name.clone(),
        etag: object.etag,
        bytes: object.bytes,
    });
    let (bucket, name, unchanged) = (bucket.clone(), object.name, reference.clone());
    Some(Item {
        params: folder_params(&public_id, dynamic),
        file: ItemFile::Object(Arc::new(move || {
            let (bucket, name, unchanged) = (bucket.clone(), name.clone(), unchanged.clone());
            Box::pin(async move {
                let opened = match unchanged {
                    None => bucket.open(&name).await,
                    Some(Reference { etag, bytes, .. }) => {
                        bucket.open_unchanged(&BlobKey::random(), &name, &etag, 0..bytes).await
                    }
                };
                opened.map_err(|error| error.to_string())
            })
        })),
        reference,
        resource_type,
        delivery_type: DeliveryType::Upload,
        filename: path.rsplit('/').next().unwrap_or_default().to_owned(),
        public_id,
        bytes: Some(object.bytes),
        md5: object.md5,
    })
}
