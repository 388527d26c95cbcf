//! What a second store is to hold. Runs last: from here on the catalog has copies made.

use super::{
    super::{Catalog, library::*},
    new_cloud, rendered, upload,
};
use crate::domain::{BlobKey, CloudId, JobState, NewAsset, Timestamp};

pub(super) async fn run(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "copies").await;
    let before = catalog.put_asset(&upload(&cloud, "before"), false).await.unwrap().asset;
    assert!(!library.is_copied(&before.blob).await.unwrap());
    assert_eq!(jobs(library, &cloud).await, [] as [String; 0], "nobody asked for copies yet");
    library.keep_copies();
    originals_get_one_job(catalog, library, &cloud).await;
    the_deleted_wait(catalog, library, &cloud).await;
    copies_are_noted(library, &before.blob).await;
    assert_eq!(library.original_of(&before.blob).await.unwrap().unwrap().bytes, before.bytes);
}

/// Unique keys of waiting jobs, which tell the blobs.
async fn jobs(library: &Library, cloud: &CloudId) -> Vec<String> {
    let filter = JobFilter { states: vec![JobState::Waiting], ..JobFilter::default() };
    let jobs = library.jobs(&filter, 1000, None).await.unwrap().jobs;
    let mut keys: Vec<String> = jobs
        .into_iter()
        .filter(|job| job.cloud == *cloud && job.kind == COPY_JOB)
        .map(|job| {
            assert!(job.priority > 0 && job.max_attempts > 100);
            assert_eq!(job.payload["deep"], job.unique_key.starts_with("mend:"));
            assert!(job.unique_key.ends_with(job.payload["blob"].as_str().unwrap()));
            job.unique_key
        })
        .collect();
    keys.sort();
    keys
}

async fn originals_get_one_job(catalog: &dyn Catalog, library: &Library, cloud: &CloudId) {
    let mut new = NewAsset { backup: true, ..upload(cloud, "one") };
    let first = catalog.put_asset(&new, false).await.unwrap().asset;
    let first_job = format!("copy:{}", first.blob);
    assert_eq!(jobs(library, cloud).await, std::slice::from_ref(&first_job));
    let original = library.original_of(&first.blob).await.unwrap().unwrap();
    assert_eq!((&original.cloud, original.bytes, original.md5.as_ref()), (cloud, first.bytes, Some(&first.etag)));
    assert!(library.is_copied(&first.blob).await.unwrap());

    // The same row again, a derived picture, another name: nothing new to copy.
    assert_eq!(catalog.put_asset(&new, false).await.unwrap().freed_blobs, []);
    let derived = rendered(&first, 1);
    catalog.put_derived(&derived).await.unwrap();
    assert_eq!(library.original_of(&derived.blob).await.unwrap(), None);
    let to = super::key(cloud, "renamed");
    assert!(matches!(library.rename(&first.key, &to, false, true).await.unwrap(), Renamed::Done { .. }));
    assert_eq!(jobs(library, cloud).await, std::slice::from_ref(&first_job));

    // An upload that is not to replace what is there: its blob is garbage and is not copied.
    new.key = to;
    let refused = NewAsset { blob: BlobKey::random(), ..new.clone() };
    assert_eq!(catalog.put_asset(&refused, false).await.unwrap().freed_blobs, std::slice::from_ref(&refused.blob));
    assert!(!library.is_copied(&refused.blob).await.unwrap());

    // Overwritten, with the old content kept as a version: both are originals.
    new.blob = BlobKey::random();
    let second = catalog.put_asset(&new, true).await.unwrap();
    assert_eq!(second.freed_blobs, []);
    let mut both = [first_job, format!("copy:{}", new.blob)];
    both.sort();
    assert_eq!(jobs(library, cloud).await, both);
    assert!(library.original_of(&first.blob).await.unwrap().is_some());
    let end_of_time = Timestamp::from_unix_micros(i64::MAX);
    assert_eq!(library.copies_freed_until(end_of_time, 10).await.unwrap(), []);

    // Bringing back is another work than copying, and is wanted once.
    let mend = copy_job(&original, true, Timestamp::now());
    assert!(library.enqueue_jobs(vec![mend.clone()], Timestamp::now()).await.unwrap()[0].fresh);
    let again = copy_job(&original, true, Timestamp::now());
    assert!(!library.enqueue_jobs(vec![again], Timestamp::now()).await.unwrap()[0].fresh);
    assert_eq!(jobs(library, cloud).await.len(), 3);
}

async fn the_deleted_wait(catalog: &dyn Catalog, library: &Library, cloud: &CloudId) {
    let gone = catalog.put_asset(&upload(cloud, "gone"), false).await.unwrap().asset;
    let start = Timestamp::from_unix_micros(Timestamp::now().unix_micros() - 1);
    assert!(catalog.delete_asset(&gone.key).await.unwrap().is_some());
    let end_of_time = Timestamp::from_unix_micros(i64::MAX);
    let freed = std::slice::from_ref(&gone.blob);
    assert_eq!(library.copies_freed_until(start, 10).await.unwrap(), [], "not freed before it was");
    assert_eq!(library.copies_freed_until(end_of_time, 10).await.unwrap(), freed);
    assert_eq!(library.original_of(&gone.blob).await.unwrap(), None);

    // The row comes back, as from a backup: its copy is one of an original again.
    let back = NewAsset { blob: gone.blob.clone(), ..upload(cloud, "back") };
    let back = catalog.put_asset(&back, false).await.unwrap().asset;
    assert_eq!(library.copies_freed_until(end_of_time, 10).await.unwrap(), []);
    let n_jobs = jobs(library, cloud).await.len();
    library.forget_copies(freed).await.unwrap();
    assert!(library.is_copied(&gone.blob).await.unwrap(), "it is no copy of something deleted");
    assert_eq!(jobs(library, cloud).await.len(), n_jobs, "its first job still waits");

    assert!(catalog.delete_asset(&back.key).await.unwrap().is_some());
    library.forget_copies(freed).await.unwrap();
    assert!(!library.is_copied(&gone.blob).await.unwrap());
    assert_eq!(library.copies_freed_until(end_of_time, 10).await.unwrap(), []);
}

/// `old` was uploaded when there was no second store.
async fn copies_are_noted(library: &Library, old: &BlobKey) {
    let stray = BlobKey::random();
    let both = [old.clone(), stray.clone()];
    let found = library.look_at_copies(&both).await.unwrap();
    assert_eq!((found.of_originals, found.of_deleted, &*found.strays), (1, 0, std::slice::from_ref(&stray)));
    let mut fresh = library.note_copies(&both).await.unwrap();
    fresh.sort();
    let mut expected = both.to_vec();
    expected.sort();
    assert_eq!(fresh, expected);
    assert_eq!(library.note_copies(&both).await.unwrap(), []);
    assert_eq!(library.note_copies(&[]).await.unwrap(), []);
    let found = library.look_at_copies(&both).await.unwrap();
    assert_eq!((found.of_originals, found.of_deleted, found.strays.len()), (1, 1, 0));
    let end_of_time = Timestamp::from_unix_micros(i64::MAX);
    assert_eq!(library.copies_freed_until(end_of_time, 10).await.unwrap(), [stray]);
}
