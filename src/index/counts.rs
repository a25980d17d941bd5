//! Counts for those who oversee the recorder: ages, expiries, outcomes.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::statement::Statement;
use super::{Departments, Index, IndexError};
use optag_core::clock::WallTime;

/// Units: µs.
const DAY_US: i64 = 86_400_000_000;

impl Index {
    /// Recordings of these departments that are not erased, by department and whole days since the call.
    ///
    /// Errors: index unavailable.
    pub async fn ages(
        &self,
        at: WallTime,
        within: &Departments,
    ) -> Result<Vec<(String, i64, u64)>, IndexError> {
        let _turn = self.database.turn_of_search().await?;
        // The database divides whole numbers; a clock that went back makes no negative age.
        let mut sql = Statement::new("SELECT department, CASE WHEN started_at_us > ");
        sql.bind_number(at.as_unix_micros()).push(" THEN 0 ELSE (");
        sql.bind_number(at.as_unix_micros())
            .push(&format!(" - started_at_us) / {DAY_US} END AS days, COUNT(*) AS number"));
        sql.push(" FROM recordings WHERE erased_at_us IS NULL");
        within.push(&mut sql, "department");
        sql.push(" GROUP BY 1, 2 ORDER BY 1, 2");
        let rows = sql.query().fetch_all(&self.database.readers).await?;
        let one = |row: &AnyRow| -> Result<_, sqlx::Error> {
            Ok((row.try_get("department")?, row.try_get("days")?, row.try_get::<i64, _>("number")? as u64))
        };
        Ok(rows.iter().map(one).collect::<Result<_, _>>()?)
    }

    /// Recordings of these departments that are not erased and expire from a moment, or whenever before, until another, by
    /// department.
    ///
    /// Errors: index unavailable.
    pub async fn expiring(
        &self,
        from: Option<WallTime>,
        until: WallTime,
        within: &Departments,
    ) -> Result<Vec<(String, u64)>, IndexError> {
        let mut sql =
            Statement::new("SELECT department, COUNT(*) AS number FROM recordings WHERE expires_at_us >= ");
        sql.bind_number(from.map_or(i64::MIN, WallTime::as_unix_micros)).push(" AND expires_at_us < ");
        sql.bind_number(until.as_unix_micros()).push(" AND erased_at_us IS NULL");
        within.push(&mut sql, "department");
        sql.push(" GROUP BY department ORDER BY department");
        let rows = sql.query().fetch_all(&self.database.readers).await?;
        let one = |row: &AnyRow| -> Result<_, sqlx::Error> {
            Ok((row.try_get("department")?, row.try_get::<i64, _>("number")? as u64))
        };
        Ok(rows.iter().map(one).collect::<Result<_, _>>()?)
    }

    /// How the calls that were admitted since a moment ended: department, outcome, cause and number.
    ///
    /// Errors: index unavailable.
    pub async fn outcome_counts(
        &self,
        since: WallTime,
    ) -> Result<Vec<(String, String, String, u64)>, IndexError> {
        let rows = sqlx::query(
            "SELECT department, outcome, cause, COUNT(*) AS number FROM calls WHERE started_at_us >= $1
             GROUP BY department, outcome, cause ORDER BY department, outcome, cause",
        );
        let rows = rows.bind(since.as_unix_micros()).fetch_all(&self.database.readers).await?;
        let one = |row: &AnyRow| -> Result<_, sqlx::Error> {
            let text = |column: &str| row.try_get::<String, _>(column);
            Ok((
                text("department")?,
                text("outcome")?,
                text("cause")?,
                row.try_get::<i64, _>("number")? as u64,
            ))
        };
        Ok(rows.iter().map(one).collect::<Result<_, _>>()?)
    }
}
