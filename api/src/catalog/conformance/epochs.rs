//! What is told about changes.

use super::{
    super::{Catalog, library::*},
    clear_garbage, new_cloud, upload,
};
use crate::domain::{ApiKey, CloudId, CloudName, DerivedKey};
use serde_json::json;
use std::time::Duration;

/// Somebody who follows the changes.
struct Reader<'l> {
    library: &'l Library,
    mark: ChangeMark,
}

impl Reader<'_> {
    /// Clouds that changed since the last call.
    async fn changed(&mut self) -> Vec<CloudId> {
        self.library.changes_since(&mut self.mark).await.unwrap().into_iter().collect()
    }
}

pub(super) async fn run(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "epochs").await;
    let other = new_cloud(catalog, "other-epochs").await;
    let mut reader = Reader { library, mark: ChangeMark::default() };
    let all = reader.changed().await;
    assert!(all.contains(&cloud) && all.contains(&other), "the first look shows every cloud");
    assert!(reader.changed().await.is_empty(), "nothing changed");

    let mut blobs = Vec::new();
    let mut last = None;
    for overwrite in [false, true] {
        let put = catalog.put_asset(&upload(&cloud, "a"), overwrite).await.unwrap();
        assert_eq!(reader.changed().await, std::slice::from_ref(&cloud), "an upload");
        blobs.push(put.asset.blob.clone());
        last = Some(put.asset);
    }
    let asset = last.unwrap();
    assert!(catalog.set_faces(&asset.id, &asset.version_id, &[[1.0, 2.0, 3.0, 4.0]]).await.unwrap());
    assert!(reader.changed().await.is_empty(), "faces that were looked for change no picture");
    let refused = upload(&cloud, "a");
    catalog.put_asset(&refused, false).await.unwrap();
    assert!(reader.changed().await.is_empty(), "an upload that was refused");
    blobs.push(refused.blob);

    let kind = DefinitionKind::Transformation;
    library.define(&cloud, kind, "named", json!({ "text": "w_1" })).await.unwrap();
    assert_eq!(reader.changed().await, std::slice::from_ref(&cloud), "a definition");
    library.undefine(&cloud, kind, "named").await.unwrap();
    assert_eq!(reader.changed().await, std::slice::from_ref(&cloud), "no definition");
    let key = ApiKey::random(cloud.clone());
    catalog.add_api_key(&key).await.unwrap();
    assert_eq!(reader.changed().await, std::slice::from_ref(&cloud), "a key");
    library.change_key(&cloud, &key.key, KeyChange::Enable(false), false).await.unwrap();
    assert_eq!(reader.changed().await, std::slice::from_ref(&cloud), "a key that is switched off");
    library.change_key(&cloud, &key.key, KeyChange::Remove, false).await.unwrap();
    assert_eq!(reader.changed().await, std::slice::from_ref(&cloud), "a key that is gone");
    catalog.set_setting(&format!("cloud.{other}"), "{}").await.unwrap();
    assert_eq!(reader.changed().await, std::slice::from_ref(&other), "settings of the other cloud");
    catalog.set_setting("of the server", "1").await.unwrap();
    assert!(reader.changed().await.is_empty(), "no cloud's setting");
    library.rename_cloud(&cloud, &CloudName::new("epochs-renamed").unwrap()).await.unwrap();
    assert_eq!(reader.changed().await, std::slice::from_ref(&cloud), "another name");
    library.note_change(&cloud).await.unwrap();
    assert_eq!(reader.changed().await, std::slice::from_ref(&cloud), "what is noted by hand");
    catalog.delete_asset(&asset.key).await.unwrap();
    assert_eq!(reader.changed().await, std::slice::from_ref(&cloud), "a deletion");
    assert_eq!(library.remove_cloud(&cloud).await.unwrap(), CloudRemoval::Done(Vec::new()));
    assert_eq!(reader.changed().await, std::slice::from_ref(&cloud), "a cloud that is gone is told too");
    let late = library.changes_since(&mut ChangeMark::default()).await.unwrap();
    assert!(late.contains(&cloud), "also to those who look later");
    reader.mark.start_over();
    assert!(reader.changed().await.is_empty(), "who starts over knows what he has seen");
    many_changes_are_folded(library, &other).await;
    clear_garbage(catalog, &blobs).await;
    renderings_are_claimed(library).await;
}

/// Whoever looked before, between or after sees that the cloud changed.
async fn many_changes_are_folded(library: &Library, cloud: &CloudId) {
    let (mut before, mut between) = (ChangeMark::default(), ChangeMark::default());
    library.changes_since(&mut before).await.unwrap();
    for n in 0..1100 {
        if n == 1050 {
            assert!(library.changes_since(&mut between).await.unwrap().contains(cloud));
        }
        library.note_change(cloud).await.unwrap();
    }
    library.fold_changes().await.unwrap();
    for mark in [&mut before, &mut between, &mut ChangeMark::default()] {
        assert!(library.changes_since(mark).await.unwrap().contains(cloud));
        assert!(library.changes_since(mark).await.unwrap().is_empty(), "nothing changed");
    }
}

async fn renderings_are_claimed(library: &Library) {
    let hour = Duration::from_secs(3600);
    let (key, other) = (DerivedKey::from_digest([1; 32]), DerivedKey::from_digest([2; 32]));
    let claim = async |key, holder, lease| library.claim_rendering(key, holder, lease).await.unwrap();
    assert!(claim(&key, "one", hour).await && claim(&key, "one", hour).await, "again by the same holder");
    assert_eq!(claim(&key, "two", hour).await, !library.has_nodes());
    assert!(claim(&other, "two", Duration::ZERO).await && claim(&other, "one", hour).await, "its time was over");
    library.forget_renderings().await.unwrap();
    assert_eq!(claim(&key, "two", hour).await, !library.has_nodes(), "its time is not over");
    library.release_rendering(&key, "two").await.unwrap();
    assert_eq!(claim(&key, "two", hour).await, !library.has_nodes(), "only the holder takes a claim back");
    library.release_rendering(&key, "one").await.unwrap();
    assert!(claim(&key, "two", hour).await);
}
