//! Signals of the process.

use tokio::signal::unix::{Signal, SignalKind, signal};

fn caught(kind: SignalKind) -> Option<Signal> {
    signal(kind).inspect_err(|error| tracing::warn!(%error, "a signal cannot be caught")).ok()
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Done when the process is asked to stop.
pub(crate) async fn stop() {
    let (mut terminate, mut interrupt) = (caught(SignalKind::terminate()), caught(SignalKind::interrupt()));
    tokio::select! {
        () = next(&mut terminate) => {}
        () = next(&mut interrupt) => {}
    }
}

/// Keeps SIGHUP from ending the process, for ever: what it asks for, reading settings anew, is done for certificates only
/// (`http/tls.rs`). From the call on, not from the first poll.
pub(crate) fn outlive_hangups(has_certificate: bool) -> impl Future<Output = ()> + Send + 'static {
    let mut hangups = caught(SignalKind::hangup());
    async move {
        loop {
            next(&mut hangups).await;
            let what = if has_certificate { "the certificate is looked at" } else { "nothing is read anew" };
            tracing::info!("SIGHUP: {what}; settings are read at the start");
        }
    }
}
