//! `tintype jobs` and `tintype eager` on the catalog of a server.

use super::Site;
use crate::program::{said, tintype};
use crate::whole_app::CHELSEA;
use tintype_api::domain::JobState;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_listed_retried_and_dropped() {
    let site = Site::start().await;
    let data = site.folder.path();
    site.upload(CHELSEA, &[("public_id", "b"), ("notification_url", "http://no-path")]).await;
    site.work().await;
    assert_eq!(site.jobs(JobState::Dead).await.len(), 1, "the test's client refuses the address");
    let list = said(data, &["jobs", "list", "--state", "dead", "--kind", "webhook", "--cloud", "demo"]);
    assert!(list.contains("webhook") && list.contains("1/4") && list.contains("the address is refused"), "{list}");
    let json = said(data, &["jobs", "list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!(json["payload"]["event"], "upload");
    assert!(!said(data, &["jobs", "list", "--state", "waiting"]).contains("webhook"));
    assert!(!tintype(data, &["jobs", "retry"]).status.success(), "not all by mistake");
    let id = json["id"].as_str().unwrap();
    assert_eq!(said(data, &["jobs", "retry", "--id", id]).trim(), "1 dead jobs wait again");
    assert_eq!(site.jobs(JobState::Waiting).await.len(), 1);
    assert_eq!(said(data, &["jobs", "drop", "--all"]).trim(), "1 jobs were dropped");
    assert!(!tintype(data, &["jobs", "list", "--cloud", "nobody"]).status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_begun_and_watched() {
    let site = Site::start().await;
    let data = site.folder.path().to_owned();
    site.upload(CHELSEA, &[("public_id", "p/a")]).await;
    let begin = ["eager", "--cloud", "demo", "-t", "w_10", "-t", "w_11", "--prefix", "p/"];
    assert!(said(&data, &[&begin[..], &["--detach"]].concat()).contains("was begun"));
    let watching = tokio::task::spawn_blocking(move || said(&data, &begin));
    site.work().await;
    // The one that watches may have come after the end; then its batch is a new one.
    let said = loop {
        if watching.is_finished() {
            break watching.await.unwrap();
        }
        site.work().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(said.contains("1 images: 2 pictures done, 0 failed"), "{said}");
    assert_eq!(site.renders().await, 2.0);
    for wrong in [
        &["eager", "--cloud", "demo", "-t", "w_10"][..],
        &["eager", "--cloud", "demo", "-t", "w_x,,", "--all"],
        &["eager", "--cloud", "nobody", "-t", "w_10", "--all"],
        &["eager", "--cloud", "demo", "-t", "w_10", "--all", "--tag", "t"],
    ] {
        assert!(!tintype(site.folder.path(), wrong).status.success(), "{wrong:?}");
    }
}
