//! The S3 server answers 500 and 503, resets and cuts connections, and falls silent, amid uploads and deliveries.

use super::{Load, Server};
use crate::s3::proxy::{Mode, Proxy};
use crate::s3::{SECRET, bucket, server};
use std::sync::atomic::Ordering;
use std::time::Duration;

const FAILING: Duration = Duration::from_secs(3);

fn settings<'a>(endpoint: &'a str, bucket: &'a str) -> [(&'a str, &'a str); 7] {
    [
        ("storage", "s3"),
        ("s3_endpoint", endpoint),
        ("s3_bucket", bucket),
        ("s3_access_key_id", "test"),
        ("s3_secret_access_key", SECRET),
        ("s3_timeout_s", "2"),
        ("url_cache_mb", "1"),
    ]
}

/// Small ones, ones that are streamed, and some that are uploaded in parts.
fn size(n: usize) -> usize {
    match n % 10 {
        3 => 2_000_000,
        7 => 6_000_000,
        _ => 1 + n * 997 % 50_000,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_while_s3_fails() {
    let Some(store) = server() else { return };
    let (bucket, proxy) = (bucket(&store), Proxy::before(&store).await);
    let url = proxy.url();
    let server = Server::start(&settings(&url, &bucket)).await;
    let load = Load::start(&server, size);
    load.go_on(20).await;
    for mode in [
        Mode::AnswerNext(10, 500),
        Mode::AnswerNext(10, 503),
        Mode::Answer(500, "InternalError"),
        Mode::Answer(503, "SlowDown"),
        Mode::Reset,
        Mode::Stall,
        Mode::CutNext(10, 1000),
    ] {
        let before = load.state.refused.load(Ordering::SeqCst);
        proxy.set(mode.clone());
        tokio::time::sleep(FAILING).await;
        let refused = load.state.refused.load(Ordering::SeqCst);
        assert!(proxy.disturbed() > 0, "{mode:?}");
        if matches!(mode, Mode::Answer(..) | Mode::Reset) {
            assert!(refused > before, "{mode:?}: whoever asks is told so");
        }
        proxy.set(Mode::Pass);
        load.go_on(10).await;
    }
    load.finish(&server).await;
    let verified = server.command(&["verify", "--deep"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}
