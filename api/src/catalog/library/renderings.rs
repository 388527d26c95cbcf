//! Which node renders what: a row for each derived picture that is being made, for a stated time. Rows are hints, which no
//! crash of the database needs to preserve.

use std::time::Duration;

use futures::FutureExt;

use super::{
    super::{Result, record::Value, sql::text},
    Database, Library,
};
use crate::domain::DerivedKey;

/// Now, in microseconds, by the one clock that all nodes share.
const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT";

impl Library {
    /// Whether several nodes may work on the catalog, so that asking who renders is of use.
    pub fn has_nodes(&self) -> bool {
        matches!(self.database, Database::Postgres(_))
    }

    /// Notes for the time of `lease` that `holder` renders a picture. False when another one does. Where there is one node
    /// it always may.
    pub async fn claim_rendering(&self, key: &DerivedKey, holder: &str, lease: Duration) -> Result<bool> {
        if !self.has_nodes() {
            return Ok(true);
        }
        let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
        let values = [text(key.as_str()), text(holder), Value::Number(lease)];
        self.write("claim a rendering", move |sql| {
            async move {
                let claim = format!(
                    "INSERT INTO renderings (key, holder, until) VALUES (?, ?, {NOW} + ?)
                     ON CONFLICT (key) DO UPDATE SET holder = EXCLUDED.holder, until = EXCLUDED.until
                     WHERE renderings.holder = EXCLUDED.holder OR renderings.until <= {NOW}"
                );
                Ok(sql.execute(&claim, &values).await? == 1)
            }
            .boxed()
        })
        .await
    }

    /// Takes a claim back.
    pub async fn release_rendering(&self, key: &DerivedKey, holder: &str) -> Result<()> {
        if !self.has_nodes() {
            return Ok(());
        }
        let values = [text(key.as_str()), text(holder)];
        self.write("release a rendering", move |sql| {
            async move {
                sql.execute("DELETE FROM renderings WHERE key = ? AND holder = ?", &values).await?;
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// Forgets claims whose time is over.
    pub async fn forget_renderings(&self) -> Result<()> {
        if !self.has_nodes() {
            return Ok(());
        }
        self.write("forget renderings", move |sql| {
            async move {
                sql.execute(&format!("DELETE FROM renderings WHERE until <= {NOW}"), &[]).await?;
                Ok(())
            }
            .boxed()
        })
        .await
    }
}
