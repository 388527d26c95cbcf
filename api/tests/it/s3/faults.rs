//! The S3 server answers 500 or 503, too slowly, or not at all: a wait within bounds, a clear error, and recovery.

use super::proxy::{Mode, Proxy};
use super::{SECRET, bucket, content, open, options, put, server, unfinished};
use std::time::{Duration, Instant};
use tintype_api::storage::s3::{S3Options, Timing};
use tintype_api::storage::{BlobStore, S3Store, StorageError};

/// What an error must say and must not say.
fn assert_clear(error: &StorageError, bucket: &str) {
    let text = error.to_string();
    assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    assert!(text.contains(bucket) && text.contains("127.0.0.1"), "{text}");
    assert!(!format!("{text}{error:?}").contains(SECRET), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_server_is_waited_for_within_bounds_and_comes_back() {
    let Some(server) = server() else { return };
    let (bucket, proxy) = (bucket(&server), Proxy::before(&server).await);
    let store = open(options(&proxy.url(), &bucket)).await;
    let small = content(1000);
    let key = put(&store, &small).await;
    for mode in [Mode::Answer(503, "SlowDown"), Mode::Answer(500, "InternalError"), Mode::Reset] {
        proxy.set(mode.clone());
        let read = store.read(&key).await.unwrap_err();
        assert_clear(&read, &bucket);
        let tries = proxy.disturbed();
        assert!((2..=4).contains(&tries), "{mode:?}: {tries} tries");
        assert_clear(&store.size(&key).await.unwrap_err(), &bucket);
        assert_clear(&store.delete(&key).await.unwrap_err(), &bucket);
        assert_clear(&store.delete_all(std::slice::from_ref(&key)).await.unwrap_err(), &bucket);
        assert_clear(&store.list(None, 1).await.unwrap_err(), &bucket);
        let mut writer = store.create().await.unwrap();
        writer.write(small.clone()).await.unwrap();
        assert_clear(&writer.commit().await.unwrap_err(), &bucket);
        proxy.set(Mode::Pass);
        assert!(store.read(&key).await.unwrap() == small, "after {mode:?}");
        assert_eq!(
            store.list(None, 9).await.unwrap(),
            std::slice::from_ref(&key),
            "after {mode:?}: no blob came of a failed write"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_failures_are_not_noticed() {
    let Some(server) = server() else { return };
    let proxy = Proxy::before(&server).await;
    let options = options(&proxy.url(), &bucket(&server));
    // Connections that the proxy has just closed may cost tries too.
    let timing = Timing { attempts: 10, ..options.timing.clone() };
    let store = open(S3Options { timing, ..options }).await;
    for status in [500, 503] {
        for length in [1000, 12_000_000] {
            let content = content(length);
            proxy.set(Mode::Pass);
            proxy.set(Mode::AnswerNext(2, status));
            let key = put(&store, &content).await;
            assert_eq!(proxy.disturbed(), 2);
            proxy.set(Mode::AnswerNext(2, status));
            assert!(store.read(&key).await.unwrap() == content, "{status} {length}");
            assert_eq!(proxy.disturbed(), 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_goes_on() {
    let Some(server) = server() else { return };
    let proxy = Proxy::before(&server).await;
    let store = open(options(&proxy.url(), &bucket(&server))).await;
    let content = content(3_000_000);
    let key = put(&store, &content).await;
    proxy.set(Mode::CutNext(3, 700_000));
    assert!(store.read(&key).await.unwrap() == content);
    assert_eq!(proxy.disturbed(), 3);
    proxy.set(Mode::CutNext(1, 500_000));
    let part = store.open(&key, Some(1_000_000..2_500_000)).await.unwrap().collect().await.unwrap();
    assert!(part == content.slice(1_000_000..2_500_000));
    assert_eq!(proxy.disturbed(), 1);
    // Forever is too often.
    proxy.set(Mode::CutNext(usize::MAX, 200_000));
    let error = store.read(&key).await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_given_up() {
    let Some(server) = server() else { return };
    let (bucket, proxy) = (bucket(&server), Proxy::before(&server).await);
    let key = put(&open(options(&proxy.url(), &bucket)).await, &content(1000)).await;
    let patient = options(&proxy.url(), &bucket);
    let store = open(patient.clone()).await;
    let hasty =
        S3Options { timing: Timing { attempt: Duration::from_millis(700), ..patient.timing.clone() }, ..patient };
    // Opening must succeed before the disturbance, and even that may take too long on a busy machine.
    let until = Instant::now() + Duration::from_secs(60);
    let hasty = loop {
        match S3Store::open(hasty.clone()).await {
            Ok(store) => break store,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    };
    proxy.set(Mode::Stall);
    assert_clear(&hasty.read(&key).await.unwrap_err(), &bucket);
    let mut writer = hasty.create().await.unwrap();
    writer.write(content(10)).await.unwrap();
    assert_clear(&writer.commit().await.unwrap_err(), &bucket);
    proxy.set(Mode::Pass);
    assert!(store.read(&key).await.unwrap() == content(1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_fails_amid_its_parts_leaves_nothing() {
    let Some(server) = server() else { return };
    let (bucket, proxy) = (bucket(&server), Proxy::before(&server).await);
    let store = open(options(&proxy.url(), &bucket)).await;
    let mut writer = store.create().await.unwrap();
    writer.write(content(6_000_000)).await.unwrap();
    assert_eq!(unfinished(&server, &bucket), 1);
    proxy.set(Mode::Answer(503, "SlowDown"));
    let mut failed = None;
    for _ in 0..10 {
        if let Err(error) = writer.write(content(6_000_000)).await {
            failed = Some(error);
            break;
        }
    }
    assert_clear(&failed.expect("a write fails before many parts wait"), &bucket);
    assert!(writer.write(content(1)).await.is_err(), "a writer does not go on after an error");
    proxy.set(Mode::Pass);
    assert!(writer.commit().await.is_err());
    assert!(store.list(None, 1).await.unwrap().is_empty());
    let until = Instant::now() + Duration::from_secs(60);
    while unfinished(&server, &bucket) > 0 {
        assert!(Instant::now() < until, "the upload was not aborted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_says_in_one_sentence_what_is_wrong() {
    let Some(server) = server() else { return };
    let proxy = Proxy::before(&server).await;
    let missing = S3Store::open(options(&server, "no-such-bucket-here")).await.err().unwrap();
    let text = missing.to_string();
    assert!(text.contains("no-such-bucket-here") && text.contains("no such bucket"), "{text}");

    for (status, code) in [(403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch"), (401, "Unauthorized")] {
        proxy.set(Mode::Answer(status, code));
        let denied = S3Store::open(options(&proxy.url(), "some-bucket")).await.err().unwrap();
        let text = denied.to_string();
        assert!(matches!(denied, StorageError::Denied(_)), "{denied:?}");
        assert!(text.contains("some-bucket") && text.contains(code) && !text.contains(SECRET), "{text}");
        assert_eq!(proxy.disturbed(), 1, "what is denied is not asked again");
    }

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = S3Store::open(options(&format!("http://{nobody}"), "some-bucket")).await.err().unwrap();
    assert_clear(&unreachable, "some-bucket");
    assert!(!unreachable.to_string().contains('\n'), "{unreachable}");
}
