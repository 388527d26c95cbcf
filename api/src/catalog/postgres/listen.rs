//! Notifications of the server, over a connection of their own that is made anew whenever it breaks.

use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::{CatalogError, PostgresCatalog, Work};

/// How long after a failure the connection is made anew, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How often a silent connection is asked whether it lives.
const ASK_EVERY: Duration = Duration::from_secs(30);

impl PostgresCatalog {
    /// Calls `on_notice` for every notification on the channel, and once for every connection, because nobody knows what
    /// was missed before it. Ends when it is dropped.
    pub(in crate::catalog) async fn listen(&self, channel: &'static str, on_notice: impl Fn() + Send + Sync) {
        let mut pause = PAUSE.0;
        loop {
            let mut connected = false;
            let outcome = self
                .listen_once(channel, || {
                    connected = true;
                    on_notice();
                })
                .await;
            if let Err(failure) = outcome {
                tracing::warn!(error = %failure.during("listen for notifications"), channel, "it is only polled until it is mended");
            }
            pause = if connected { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Listens until the connection ends.
    async fn listen_once(&self, channel: &'static str, mut on_notice: impl FnMut()) -> Work<()> {
        let (client, mut connection) = self.config.connect(NoTls).await?;
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context)).fuse();
        let ready = Notify::new();
        let talk = talk(&client, channel, &ready);
        tokio::pin!(talk);
        loop {
            tokio::select! {
                outcome = &mut talk => return outcome,
                message = messages.next() => match message {
                    None => return Ok(()),
                    Some(Err(error)) => return Err(error.into()),
                    Some(Ok(AsyncMessage::Notification(_))) => on_notice(),
                    Some(Ok(_)) => {}
                },
                () = ready.notified() => on_notice(),
            }
        }
    }
}

/// Asks for notifications, then now and then whether the server is still there.
async fn talk(client: &Client, channel: &str, ready: &Notify) -> Work<()> {
    client.batch_execute(&format!("LISTEN {channel}")).await?;
    ready.notify_one();
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        let silent = |_| CatalogError::Unavailable("the server does not answer".to_owned());
        tokio::time::timeout(ASK_EVERY, client.simple_query("SELECT 1")).await.map_err(silent)??;
    }
}
