//! Which clouds changed: every process keeps facts of clouds in memory, and asks here what it has missed. The numbers are
//! written by triggers in the transaction of each change: on SQLite one row for each cloud (`0006_epochs.sql`), on
//! PostgreSQL one for each transaction (`0009_notes.sql`), so that no commit waits for another one.

use std::collections::{BTreeSet, HashSet};

use futures::FutureExt;

use super::{
    super::{
        Result,
        record::{self, Columns, Value},
        sql::{Channel, Dialect, text},
    },
    Database, Library,
};
use crate::domain::CloudId;

/// Notes beyond one for each cloud that are not worth the work of folding them.
const MOST_NOTES: i64 = 1000;
/// Notes that a reader remembers beyond those that may come again.
const MOST_REMEMBERED: usize = 10_000;

/// How far changes were read. The default is before all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeMark {
    /// No note that is committed later has a lesser number.
    next: i64,
    /// Notes that were read. What is forgotten and read again is taken for a change, which costs but does no harm.
    seen: HashSet<(CloudId, i64)>,
}

impl ChangeMark {
    /// Has the next look read all notes again: another server may answer, whose numbers are others.
    pub fn start_over(&mut self) {
        self.next = 0;
    }
}

impl Library {
    /// The clouds of which anything changed that a delivery may show (assets, definitions, keys, settings, names) since the
    /// last look with this mark, which is moved on. Clouds that are gone are among them, and now and then one that did not
    /// change.
    pub async fn changes_since(&self, mark: &mut ChangeMark) -> Result<BTreeSet<CloudId>> {
        let from = mark.next;
        let (next, notes) = self
            .read("look for changes", move |sql| {
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
                    let (mut next, mut notes) = (from, Vec::new());
                    for row in sql.query(&query, &[Value::Number(from)]).await? {
                        next = row.number(0)?;
                        if let Some(cloud) = row.optional_text(1)? {
                            notes.push((record::parsed::<CloudId>("cloud id", &cloud)?, row.number(2)?));
                        }
                    }
                    Ok((next, notes))
                }
                .boxed()
            })
            .await?;
        let mut changed = BTreeSet::new();
        for (cloud, epoch) in notes {
            if mark.seen.insert((cloud.clone(), epoch)) {
                changed.insert(cloud);
            }
        }
        mark.next = next;
        if mark.seen.len() > MOST_REMEMBERED {
            mark.seen.retain(|(_, epoch)| *epoch >= next);
        }
        Ok(changed)
    }

    /// Makes one note of the many of a cloud. It is a new one: a reader that missed one of the others finds it.
    pub async fn fold_changes(&self) -> Result<()> {
        if !self.has_nodes() {
            return Ok(());
        }
        self.write("fold notes of changes", move |sql| {
            async move {
                let fold = "WITH folded AS (
                        DELETE FROM epochs WHERE (SELECT count(*) - count(DISTINCT cloud) FROM epochs) > ?
                            AND cloud IN (SELECT cloud FROM epochs GROUP BY cloud HAVING count(*) > 1)
                        RETURNING cloud)
                    INSERT INTO epochs (cloud, epoch) SELECT DISTINCT cloud, txid_current() FROM folded";
                sql.execute(fold, &[Value::Number(MOST_NOTES)]).await?;
                Ok(())
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
                let note = match sql.dialect() {
                    Dialect::Sqlite => {
                        "INSERT INTO epochs (cloud, epoch) VALUES (?, (SELECT coalesce(max(epoch), 0) + 1 FROM epochs))
                         ON CONFLICT (cloud) DO UPDATE SET epoch = EXCLUDED.epoch"
                    }
                    Dialect::Postgres => {
                        "INSERT INTO epochs (cloud, epoch) VALUES (?, txid_current())
                         ON CONFLICT (epoch, cloud) DO NOTHING"
                    }
                };
                sql.execute(note, std::slice::from_ref(&cloud)).await?;
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
            Database::Postgres(catalog) => catalog.listen(Channel::Changes.name(), on_change).await,
        }
    }
}
