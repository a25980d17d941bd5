//! Search by number, name, department and time, combined by AND.
//!
//! Each search follows one index, newest first, and reads no more than its page: the last four digits of either
//! party's number, the names, or the list itself. The other conditions are checked row by row. A page begins after
//! the last row of the previous page, at any depth. Totals of departments and days come from counters; others are
//! counted up to a cap.

use sqlx::Row;

use super::conditions::{Along, after, checks, department_and_time, page};
use super::known_names::has_trigrams;
use super::search_terms::{Asked, Found, Number, Query};
use super::statement::Statement;
use super::{Index, IndexError, IndexRow, fold, read};
use optag_core::call::number::normalise;
use optag_core::clock::WallTime;

/// Maximum number of rows counted by an index alone.
pub(super) const COUNTED: i64 = 20_000;
/// Maximum number of rows read to count those that meet the other conditions.
pub(super) const LOOKED_AT: i64 = 5_000;
/// Number of rows with a number from which the search by name is preferred.
const FEW: i64 = 2_000;
/// A day. Units: µs.
pub(super) const DAY_US: i64 = 86_400_000_000;

impl Index {
    /// Finds recordings that are not erased.
    ///
    /// Errors: index unavailable.
    pub async fn search(&self, query: &Query) -> Result<Found, IndexError> {
        let _turn = self.database.turn_of_search().await?;
        let Some((department, within)) = query.within.narrow(query.department.clone()) else {
            return Ok(Found::default());
        };
        let query = &Query { department, within, ..query.clone() };
        let number = match &query.number {
            None => None,
            Some(written) => match self.number(written.reveal()) {
                Some(number) => Some(number),
                // A number without a digit matches nothing.
                None => return Ok(Found::default()),
            },
        };
        let name = query.name.as_ref().map(|name| fold::fold(name.reveal()));
        let asked = Asked { query, number, name };
        let known = match &asked.name {
            Some(name) if self.names_are_filled().await? => Some(name),
            _ => None,
        };
        match (&asked.number, known) {
            (None, Some(name)) => self.along_names(&asked, name).await,
            (Some(_), Some(name)) if has_trigrams(name) && self.count_number(&asked, FEW).await? > FEW => {
                self.along_names(&asked, name).await
            }
            (Some(_), _) => self.along_number(&asked).await,
            (None, None) if asked.name.is_none() && query.verdict.is_none() => self.list(&asked).await,
            (None, None) => self.scan(&asked).await,
        }
    }

    pub(super) fn number(&self, written: &str) -> Option<Number> {
        let digits = written.chars().filter(char::is_ascii_digit).collect();
        normalise(written, &self.country_code).map(|norm| Number { norm, digits })
    }

    /// All rows of a department and time. Deep pages are reached by skipping whole days.
    async fn list(&self, asked: &Asked<'_>) -> Result<Found, IndexError> {
        let days = self.days(asked.query).await?;
        let total = days.iter().map(|(_, live)| live).sum();
        let (mut skip, mut before) = (asked.query.skip, None);
        for (day, live) in days {
            // From the end of the previous page, the first day is not whole.
            if skip < live || asked.query.after.is_some() {
                break;
            }
            skip -= live;
            before = Some(day.saturating_mul(DAY_US));
        }
        let mut rows = Statement::new("SELECT * FROM recordings WHERE erased_at_us IS NULL");
        department_and_time(&mut rows, asked.query, "");
        after(&mut rows, asked.query, "");
        if let Some(before) = before {
            rows.push(" AND started_at_us < ").bind_number(before);
        }
        page(&mut rows, asked.query, skip);
        Ok(Found::page(self.read_rows(rows).await?, asked.query, total, false))
    }

    /// Days that have recordings, latest first, with their number.
    async fn days(&self, query: &Query) -> Result<Vec<(i64, u64)>, IndexError> {
        let mut sql =
            Statement::new("SELECT day, CAST(SUM(live) AS BIGINT) AS live FROM live_counts WHERE live > 0");
        if let Some(department) = &query.department {
            sql.push(" AND department = ").bind_text(department.clone());
        }
        query.within.push(&mut sql, "department");
        let (from, to) = (query.from.map(WallTime::as_unix_micros), query.to.map(WallTime::as_unix_micros));
        if let Some(from) = from {
            sql.push(" AND day >= ").bind_number(from.div_euclid(DAY_US));
        }
        if let Some(to) = to {
            sql.push(" AND day <= ").bind_number(to.div_euclid(DAY_US));
        }
        sql.push(" GROUP BY day ORDER BY day DESC");
        let mut days = Vec::new();
        for row in sql.query().fetch_all(&self.database.readers).await? {
            days.push((row.try_get::<i64, _>("day")?, row.try_get::<i64, _>("live")?.max(0) as u64));
        }
        for (day, live) in &mut days {
            let begins = *day * DAY_US;
            let cut = |at: i64| at > begins && at < begins + DAY_US;
            if from.is_some_and(cut) || to.is_some_and(|to| cut(to) || to == begins) {
                *live = self.count_within(query, begins).await?;
            }
        }
        days.retain(|(_, live)| *live > 0);
        Ok(days)
    }

    async fn count_within(&self, query: &Query, begins: i64) -> Result<u64, IndexError> {
        let mut sql = Statement::new("SELECT COUNT(*) AS total FROM recordings WHERE erased_at_us IS NULL");
        department_and_time(&mut sql, query, "");
        sql.push(" AND started_at_us >= ").bind_number(begins);
        sql.push(" AND started_at_us < ").bind_number(begins + DAY_US);
        Ok(self.total(sql).await? as u64)
    }

    /// A verdict, or a name while the index of names is incomplete: reads the rows of the department and time.
    async fn scan(&self, asked: &Asked<'_>) -> Result<Found, IndexError> {
        let mut count = Statement::new(
            "SELECT COUNT(*) AS total FROM (SELECT 1 AS hit FROM recordings WHERE erased_at_us IS NULL",
        );
        checks(&mut count, asked, "", Along::List);
        count.push(" LIMIT ").bind_number(COUNTED + 1).push(") AS counted");
        let total = self.total(count).await?;
        let mut rows = Statement::new("SELECT * FROM recordings WHERE erased_at_us IS NULL");
        checks(&mut rows, asked, "", Along::List);
        after(&mut rows, asked.query, "");
        page(&mut rows, asked.query, asked.query.skip);
        Ok(Found::page(self.read_rows(rows).await?, asked.query, total as u64, total > COUNTED))
    }

    pub(super) async fn total(&self, sql: Statement) -> Result<i64, IndexError> {
        Ok(sql.query().fetch_one(&self.database.readers).await?.try_get("total")?)
    }

    pub(super) async fn read_rows(&self, sql: Statement) -> Result<Vec<IndexRow>, IndexError> {
        let rows = sql.query().fetch_all(&self.database.readers).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }
}
