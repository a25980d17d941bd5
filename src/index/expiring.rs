//! Expired recordings, and the database's clock: for the sweeper, which trusts no single clock.

use sqlx::Row;

use super::{Index, IndexError};
use optag_core::clock::WallTime;

impl Index {
    /// Recordings that expired after `after` and by `now`, of calls admitted since `since`: their number, and when
    /// the first of them expired.
    ///
    /// Errors: index unavailable.
    pub async fn newly_due(
        &self,
        after: Option<WallTime>,
        now: WallTime,
        since: Option<WallTime>,
    ) -> Result<(u64, Option<WallTime>), IndexError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS due, MIN(expires_at_us) AS first FROM recordings
             WHERE erased_at_us IS NULL AND expires_at_us > $1 AND expires_at_us <= $2 AND started_at_us >= $3",
        )
        .bind(after.map_or(i64::MIN, WallTime::as_unix_micros))
        .bind(now.as_unix_micros())
        .bind(since.map_or(i64::MIN, WallTime::as_unix_micros))
        .fetch_one(&self.database.pool)
        .await?;
        let first: Option<i64> = row.try_get("first")?;
        Ok((row.try_get::<i64, _>("due")? as u64, first.map(WallTime::from_unix_micros)))
    }

    /// Number of recordings that are not erased.
    ///
    /// Errors: index unavailable.
    pub async fn live(&self) -> Result<u64, IndexError> {
        let row = sqlx::query("SELECT COUNT(*) AS live FROM recordings WHERE erased_at_us IS NULL");
        Ok(row.fetch_one(&self.database.pool).await?.try_get::<i64, _>("live")? as u64)
    }

    /// The clock of the database's machine; none for a local file.
    ///
    /// Errors: index unavailable.
    pub async fn clock(&self) -> Result<Option<WallTime>, IndexError> {
        if !self.database.has_clock() {
            return Ok(None);
        }
        let asked = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS now_us";
        let row = sqlx::query(asked).fetch_one(&self.database.pool).await?;
        Ok(Some(WallTime::from_unix_micros(row.try_get("now_us")?)))
    }
}
