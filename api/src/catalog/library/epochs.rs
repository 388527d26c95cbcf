//! Which clouds changed: every process keeps facts of clouds in memory, and asks here what it has missed. The numbers are
//! written by triggers (`0006_epochs.sql`) in the transaction of each change.

use futures::FutureExt;

use super::{
    super::{
        Result,
        record::{self, Columns, Value},
        sql::{Dialect, text},
    },
    Database, Library,
};
use crate::domain::CloudId;

/// The channel of notices about changes, which the triggers name too.
const CHANNEL: &str = "tintype_changes";

/// How far changes were read. The default is before all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeMark(i64);

/// Answer to [`Library::changes_since`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Clouds with a number that is another one after each change; clouds that are gone are among them. A cloud may come
    /// again although it did not change: then the number is the same.
    pub epochs: Vec<(CloudId, i64)>,
    /// Where to go on. No change that is committed later lies before it.
    pub next: ChangeMark,
}

impl Library {
    /// The clouds of which anything changed that a delivery may show: assets, definitions, keys, settings, names.
    pub async fn changes_since(&self, mark: ChangeMark) -> Result<Changes> {
        self.read("look for changes", move |sql| {
            async move {
                let next = match sql.dialect() {
                    // There is one writer, who counts.
                    Dialect::Sqlite => "SELECT coalesce(max(epoch), 0) + 1 AS mark FROM epochs",
                    // All older transactions have ended, and this statement sees what they did.
                    Dialect::Postgres => "SELECT txid_snapshot_xmin(txid_current_snapshot()) AS mark",
                };
                let query = format!(
                    "SELECT present.mark, epochs.cloud, epochs.epoch FROM ({next}) AS present
                     LEFT JOIN epochs ON epochs.epoch >= ?"
                );
                let rows = sql.query(&query, &[Value::Number(mark.0)]).await?;
                let mut changes = Changes { epochs: Vec::new(), next: mark };
                for row in rows {
                    changes.next = ChangeMark(row.number(0)?);
                    if let Some(cloud) = row.optional_text(1)? {
                        changes.epochs.push((record::parsed("cloud id", &cloud)?, row.number(2)?));
                    }
                }
                Ok(changes)
            }
            .boxed()
        })
        .await
    }

    /// Notes a change that no row with a trigger shows, such as the deletion of derived pictures.
    pub async fn note_change(&self, cloud: &CloudId) -> Result<()> {
        let cloud = text(cloud.as_str());
        self.write("note a change", move |sql| {
            async move {
                let (epoch, notice) = match sql.dialect() {
                    Dialect::Sqlite => ("(SELECT coalesce(max(epoch), 0) + 1 FROM epochs)", None),
                    Dialect::Postgres => ("txid_current()", Some(format!("SELECT pg_notify('{CHANNEL}', '')::text"))),
                };
                let query = format!(
                    "INSERT INTO epochs (cloud, epoch) VALUES (?, {epoch})
                     ON CONFLICT (cloud) DO UPDATE SET epoch = EXCLUDED.epoch"
                );
                sql.execute(&query, std::slice::from_ref(&cloud)).await?;
                if let Some(notice) = notice {
                    sql.query(&notice, &[]).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// Calls `on_change` whenever any cloud changed, for as long as it is polled. Calls may come for nothing, and some may
    /// be missing: who needs to be sure looks now and then.
    pub async fn listen_for_changes(&self, on_change: impl Fn() + Send + Sync) {
        match &self.database {
            Database::Sqlite(_) => std::future::pending().await,
            Database::Postgres(catalog) => catalog.listen(CHANNEL, on_change).await,
        }
    }
}
