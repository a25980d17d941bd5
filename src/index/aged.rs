//! Ages of recordings in the index, for the retention report.

use sqlx::Row;

use super::{Index, IndexError, id_of};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// A recording that was kept beyond its expiry date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The recording.
    pub id: CallId,
    /// When the recording expired.
    pub expires_at: WallTime,
    /// When the recording was erased; none while it is not.
    pub erased_at: Option<WallTime>,
}

/// Recordings kept at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aged {
    /// Number of recordings not yet erased.
    pub live: u64,
    /// Start of the oldest of them.
    pub oldest_started_at: Option<WallTime>,
    /// Recordings overdue by more than the grace period: the first `most` of them.
    pub overdue: Vec<Overdue>,
    /// Number of overdue recordings.
    pub overdue_total: u64,
}

impl Index {
    /// Recordings kept at `at`: admitted before, not erased by then. A recording is overdue if it should have been
    /// erased before `at` minus the grace period.
    ///
    /// Units: grace in µs. Errors: index unavailable.
    pub async fn aged(&self, at: WallTime, grace_us: i64, most: u32) -> Result<Aged, IndexError> {
        let _turn = self.database.turn_of_search().await?;
        let there = "started_at_us <= $1 AND (erased_at_us IS NULL OR erased_at_us > $1)";
        let all = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT COUNT(*) AS live, MIN(started_at_us) AS oldest,
                 COUNT(CASE WHEN expires_at_us <= $2 THEN 1 END) AS overdue FROM recordings WHERE {there}"
        )))
        .bind(at.as_unix_micros())
        .bind(at.plus_micros(-grace_us).as_unix_micros())
        .fetch_one(&self.database.readers)
        .await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT id, expires_at_us, erased_at_us FROM recordings WHERE {there} AND expires_at_us <= $2
             ORDER BY expires_at_us LIMIT $3"
        )))
        .bind(at.as_unix_micros())
        .bind(at.plus_micros(-grace_us).as_unix_micros())
        .bind(i64::from(most))
        .fetch_all(&self.database.readers)
        .await?;
        let read = |row: &sqlx::any::AnyRow| -> Result<Overdue, sqlx::Error> {
            Ok(Overdue {
                id: id_of(row)?,
                expires_at: WallTime::from_unix_micros(row.try_get("expires_at_us")?),
                erased_at: row.try_get::<Option<i64>, _>("erased_at_us")?.map(WallTime::from_unix_micros),
            })
        };
        Ok(Aged {
            live: all.try_get::<i64, _>("live")? as u64,
            oldest_started_at: all.try_get::<Option<i64>, _>("oldest")?.map(WallTime::from_unix_micros),
            overdue: rows.iter().map(read).collect::<Result<_, _>>()?,
            overdue_total: all.try_get::<i64, _>("overdue")? as u64,
        })
    }
}
