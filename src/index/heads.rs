//! The heads of deletion logs, as last recorded in the index.

use sqlx::Row;

use super::{Index, IndexError};

impl Index {
    /// Number of entries and hash of `node`'s deletion log, as last recorded.
    ///
    /// Errors: index unavailable.
    pub async fn deletion_head(&self, node: &str) -> Result<Option<(u64, String)>, IndexError> {
        let row = sqlx::query("SELECT entries, hash FROM deletion_heads WHERE node = $1")
            .bind(node)
            .fetch_optional(&self.database.readers)
            .await?;
        let read = |row: sqlx::any::AnyRow| -> Result<_, sqlx::Error> {
            Ok((row.try_get::<i64, _>("entries")? as u64, row.try_get("hash")?))
        };
        Ok(row.map(read).transpose()?)
    }

    /// Records the head of `node`'s deletion log.
    ///
    /// Errors: not durable.
    pub async fn set_deletion_head(&self, node: &str, entries: u64, hash: &str) -> Result<(), IndexError> {
        sqlx::query(
            "INSERT INTO deletion_heads (node, entries, hash) VALUES ($1, $2, $3)
             ON CONFLICT (node) DO UPDATE SET entries = excluded.entries, hash = excluded.hash",
        )
        .bind(node)
        .bind(entries as i64)
        .bind(hash)
        .execute(&self.database.pool)
        .await?;
        Ok(())
    }
}
