//! Accesses to recordings by all nodes. In: entries of the nodes' audit logs. Out: those about one recording. A copy: each
//! node's audit log is the original, and what is lost here is copied from it again.

use sqlx::{Any, Row, Transaction};

use super::{Index, IndexError};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// An entry about a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRow {
    /// Its line.
    pub line: LogLine,
    /// The recording.
    pub recording: CallId,
    /// When.
    pub at: WallTime,
    /// What it says.
    pub content: String,
}

/// A line of a node's audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its number.
    pub sequence: u64,
    /// Its hash.
    pub hash: String,
}

impl Index {
    /// Writes an entry of a node's log; idempotent.
    ///
    /// Errors: not durable.
    pub async fn put_access(&self, node: &str, row: &AccessRow) -> Result<(), IndexError> {
        let mut transaction = self.database.begin().await?;
        put(&mut transaction, node, row).await?;
        Ok(transaction.commit().await?)
    }

    /// Writes entries of a node's log, and that all up to the line `until` are there.
    ///
    /// Errors: not durable; nothing changed.
    pub async fn copy_accesses(
        &self,
        node: &str,
        rows: &[AccessRow],
        until: &LogLine,
    ) -> Result<(), IndexError> {
        let mut transaction = self.database.begin().await?;
        for row in rows {
            put(&mut transaction, node, row).await?;
        }
        sqlx::query(
            "INSERT INTO accesses_copied (node, sequence, entry) VALUES ($1, $2, $3)
             ON CONFLICT (node) DO UPDATE SET sequence = excluded.sequence, entry = excluded.entry",
        )
        .bind(node)
        .bind(until.sequence as i64)
        .bind(&until.hash)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// The line of a node's log up to which its entries are there.
    ///
    /// Errors: index unavailable.
    pub async fn accesses_copied(&self, node: &str) -> Result<Option<LogLine>, IndexError> {
        let row = sqlx::query("SELECT sequence, entry FROM accesses_copied WHERE node = $1").bind(node);
        let Some(row) = row.fetch_optional(&self.database.pool).await? else { return Ok(None) };
        let sequence = row.try_get::<i64, _>("sequence")?.max(0) as u64;
        Ok(Some(LogLine { sequence, hash: row.try_get("entry")? }))
    }

    /// What the entries about a recording say, node by node, each in the order of its log.
    ///
    /// Errors: index unavailable.
    pub async fn accesses_of(&self, recording: CallId) -> Result<Vec<String>, IndexError> {
        let rows = sqlx::query("SELECT content FROM accesses WHERE recording = $1 ORDER BY node, sequence");
        let rows = rows.bind(recording.to_string()).fetch_all(&self.database.pool).await?;
        Ok(rows.iter().map(|row| row.try_get("content")).collect::<Result<_, _>>()?)
    }

    /// Removes entries from before `before`.
    ///
    /// Errors: index unavailable.
    pub async fn forget_accesses(&self, before: WallTime) -> Result<u64, IndexError> {
        let gone = sqlx::query("DELETE FROM accesses WHERE at_us < $1").bind(before.as_unix_micros());
        Ok(gone.execute(&self.database.pool).await?.rows_affected())
    }
}

async fn put(
    transaction: &mut Transaction<'static, Any>,
    node: &str,
    row: &AccessRow,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO accesses (entry, node, sequence, recording, at_us, content)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (entry) DO NOTHING",
    )
    .bind(&row.line.hash)
    .bind(node)
    .bind(row.line.sequence as i64)
    .bind(row.recording.to_string())
    .bind(row.at.as_unix_micros())
    .bind(&row.content)
    .execute(&mut **transaction)
    .await
    .map(drop)
}
