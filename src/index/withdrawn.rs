//! Calls whose consent was withdrawn and whose end nobody wrote down. In: since when to look. Out: those calls.
//!
//! A withdrawal destroys all that the spool has of a call; its outcome waits in memory until the index takes it, and is
//! lost with the process. The order to erase is durable and stands for the call until its outcome is written.

use sqlx::Row;

use super::{CallRow, Index, IndexError, id_of};
use optag_core::call::Outcome;
use optag_core::clock::WallTime;

/// Calls found at a time.
const TOGETHER: i64 = 1_000;

impl Index {
    /// Calls withdrawn before `before` that have no outcome, among the orders that changed since `since`: their outcome,
    /// with the withdrawal as their end.
    ///
    /// Errors: index unavailable.
    pub async fn withdrawn_without_outcome(
        &self,
        since: WallTime,
        before: WallTime,
    ) -> Result<Vec<CallRow>, IndexError> {
        let rows = sqlx::query(
            "SELECT deletion_orders.id, deletion_orders.ordered_at_us,
                 (SELECT MAX(sessions.department) FROM sessions WHERE sessions.call = deletion_orders.id) AS department
             FROM deletion_orders LEFT JOIN calls ON calls.id = deletion_orders.id
             WHERE deletion_orders.cause <> 'expiry' AND deletion_orders.cause = 'withdrawal'
                 AND deletion_orders.changed_at_us >= $1 AND deletion_orders.ordered_at_us < $2 AND calls.id IS NULL
             ORDER BY deletion_orders.id LIMIT $3",
        )
        .bind(since.as_unix_micros())
        .bind(before.as_unix_micros())
        .bind(TOGETHER)
        .fetch_all(&self.database.readers)
        .await?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(CallRow {
                id: id_of(row)?,
                department: row.try_get::<Option<String>, _>("department")?.unwrap_or_default(),
                ended_at: WallTime::from_unix_micros(row.try_get("ordered_at_us")?),
                outcome: Outcome::Withdrawn,
            })
        };
        rows.iter().map(read).collect()
    }
}
