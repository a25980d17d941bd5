//! Public keys by which the nodes of an index sign receipts. In: a node's own. Out: all there ever were.

use sqlx::Row;

use super::{Index, IndexError};
use optag_core::clock::WallTime;

impl Index {
    /// Writes a key; one that is there stays as it is.
    ///
    /// Errors: not durable.
    pub async fn put_signing_key(&self, public_key: &str, now: WallTime) -> Result<(), IndexError> {
        sqlx::query("INSERT INTO signing_keys (public_key, since_us) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(public_key)
            .bind(now.as_unix_micros())
            .execute(&self.database.pool)
            .await?;
        Ok(())
    }

    /// All keys, in hexadecimal.
    ///
    /// Errors: index unavailable.
    pub async fn signing_keys(&self) -> Result<Vec<String>, IndexError> {
        let rows = sqlx::query("SELECT public_key FROM signing_keys ORDER BY since_us, public_key");
        let rows = rows.fetch_all(&self.database.pool).await?;
        Ok(rows.iter().map(|row| row.try_get("public_key")).collect::<Result<_, _>>()?)
    }
}
