//! Requests of callers, shared by all nodes. In: new cases, and cases as a step leaves them. Out: rows, and whether a step
//! was the first one from its revision: of several at once, on whichever nodes, one is. What the columns mean is up to
//! `cases`.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::statement::{Statement, storable};
use super::{Departments, Index, IndexError};
use optag_core::clock::WallTime;
use optag_core::private::Private;

/// A case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseRow {
    /// Year and running number; empty until it is written.
    pub number: String,
    /// By which the same form sent twice opens one case.
    pub open_key: Option<String>,
    /// Department id; empty: of all departments.
    pub department: String,
    /// State.
    pub state: String,
    /// Grows with every step.
    pub revision: i64,
    /// What was asked for.
    pub asked: String,
    /// Day of receipt, as `2026-11-24`.
    pub received_on: String,
    /// Last day of the time limit.
    pub due_on: String,
    /// End of that day.
    pub due_at: WallTime,
    /// Whether the time limit was extended.
    pub extended: bool,
    /// Who opened it.
    pub opened_by: String,
    /// When.
    pub opened_at: WallTime,
    /// What was decided.
    pub decision: Option<String>,
    /// Ground of a refusal.
    pub ground: Option<String>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<WallTime>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// When.
    pub closed_at: Option<WallTime>,
    /// What became of how many recordings, JSON.
    pub counts: String,
    /// The step that led to this revision.
    pub last_step: String,
    /// Personal data, JSON; empty once closed.
    pub content: Private<String>,
}

/// Which cases are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaseQuery {
    /// Departments; cases of all departments only where all are covered.
    pub within: Departments,
    /// States; none of them: all.
    pub states: Vec<String>,
    /// Number of the last case of the page before.
    pub after: Option<String>,
    /// Maximum number of rows.
    pub most: i64,
}

/// Numbers of cases that are not closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaseCounts {
    /// All of them.
    pub open: u64,
    /// Those whose time limit is over.
    pub overdue: u64,
}

const COLUMNS: &str = "number, open_key, department, state, revision, asked, received_on, due_on, due_at_us, extended,
    opened_by, opened_at_us, decision, ground, decided_by, decided_at_us, closed_by, closed_at_us, counts, last_step,
    content";

impl Index {
    /// Writes a new case under the next number of `year`; where one has its key already, that one.
    ///
    /// Errors: not durable.
    pub async fn open_case(&self, row: &CaseRow, year: i16) -> Result<CaseRow, IndexError> {
        let mut transaction = self.database.begin().await?;
        // First of all, so that no other one comes in between: the row of the year is locked from here on.
        let next = sqlx::query(
            "INSERT INTO case_numbers (year, last) VALUES ($1, 1)
             ON CONFLICT (year) DO UPDATE SET last = case_numbers.last + 1 RETURNING last",
        );
        let next = next.bind(i64::from(year)).fetch_one(&mut *transaction).await?;
        if let Some(key) = &row.open_key {
            let known = sqlx::query("SELECT * FROM cases WHERE open_key = $1").bind(key.clone());
            if let Some(known) = known.fetch_optional(&mut *transaction).await? {
                return Ok(read(&known)?);
            }
        }
        let row =
            CaseRow { number: format!("{year:04}-{:04}", next.try_get::<i64, _>("last")?), ..row.clone() };
        let mut sql = Statement::new(&format!("INSERT INTO cases ({COLUMNS}) VALUES ("));
        bind_all(&mut sql, &row);
        sql.push(")");
        sql.query().execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(row)
    }

    /// The case of a number.
    ///
    /// Errors: index unavailable.
    pub async fn case(&self, number: &str) -> Result<Option<CaseRow>, IndexError> {
        let row = sqlx::query("SELECT * FROM cases WHERE number = $1").bind(storable(number.to_owned()));
        Ok(row.fetch_optional(&self.database.pool).await?.as_ref().map(read).transpose()?)
    }

    /// Writes a case as a step leaves it, if it still has the revision `from`. Returns whether it had.
    ///
    /// Errors: it may not be durable.
    pub async fn put_case(&self, row: &CaseRow, from: i64) -> Result<bool, IndexError> {
        let mut sql = Statement::new("UPDATE cases SET open_key = ");
        sql.bind_optional(row.open_key.clone());
        for (column, text) in [
            ("state", &row.state),
            ("due_on", &row.due_on),
            ("counts", &row.counts),
            ("last_step", &row.last_step),
            ("content", row.content.reveal()),
        ] {
            sql.push(&format!(", {column} = ")).bind_text(text.clone());
        }
        for (column, text) in [
            ("decision", &row.decision),
            ("ground", &row.ground),
            ("decided_by", &row.decided_by),
            ("closed_by", &row.closed_by),
        ] {
            sql.push(&format!(", {column} = ")).bind_optional(text.clone());
        }
        sql.push(", revision = ").bind_number(row.revision);
        sql.push(", due_at_us = ").bind_number(row.due_at.as_unix_micros());
        sql.push(", extended = ").bind_number(i64::from(row.extended));
        for (column, at) in [("decided_at_us", row.decided_at), ("closed_at_us", row.closed_at)] {
            sql.push(&format!(", {column} = ")).bind_optional_number(at.map(WallTime::as_unix_micros));
        }
        sql.push(" WHERE number = ").bind_text(row.number.clone());
        sql.push(" AND revision = ").bind_number(from);
        Ok(sql.query().execute(&self.database.pool).await?.rows_affected() == 1)
    }

    /// Removes what a closed case said before from where the database keeps old versions.
    ///
    /// Errors: it is still in a file of the database; to be retried.
    pub async fn forget_closed_cases(&self) -> Result<(), IndexError> {
        self.database.forget_overwritten().await
    }

    /// Cases, the most urgent first.
    ///
    /// Errors: index unavailable.
    pub async fn cases(&self, query: &CaseQuery) -> Result<Vec<CaseRow>, IndexError> {
        let mut sql = Statement::new("SELECT * FROM cases WHERE 1 = 1");
        query.within.push(&mut sql, "department");
        if !query.within.are_all() {
            // No list of departments covers the cases of all, not even an empty one.
            sql.push(" AND department <> ''");
        }
        if !query.states.is_empty() {
            sql.push(" AND state IN (").bind_list(query.states.iter().cloned()).push(")");
        }
        if let Some(after) = &query.after {
            sql.push(" AND (due_at_us > (SELECT due_at_us FROM cases WHERE number = ")
                .bind_text(after.clone());
            sql.push(") OR due_at_us = (SELECT due_at_us FROM cases WHERE number = ")
                .bind_text(after.clone());
            sql.push(") AND number > ").bind_text(after.clone()).push(")");
        }
        sql.push(" ORDER BY due_at_us, number LIMIT ").bind_number(query.most);
        let rows = sql.query().fetch_all(&self.database.pool).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// How many cases are not closed, and how many of them are overdue.
    ///
    /// Errors: index unavailable.
    pub async fn case_counts(&self, now: WallTime) -> Result<CaseCounts, IndexError> {
        let count = sqlx::query(
            "SELECT COUNT(*) AS all_open, COALESCE(SUM(CASE WHEN due_at_us < $1 THEN 1 ELSE 0 END), 0) AS late
             FROM cases WHERE state IN ('open', 'decided')",
        );
        let row = count.bind(now.as_unix_micros()).fetch_one(&self.database.pool).await?;
        let number = |column: &str| row.try_get::<i64, _>(column).map(|number| number.max(0) as u64);
        Ok(CaseCounts { open: number("all_open")?, overdue: number("late")? })
    }
}

/// The values of [`COLUMNS`], in their order.
fn bind_all(sql: &mut Statement, row: &CaseRow) {
    let time = |at: Option<WallTime>| at.map(WallTime::as_unix_micros);
    sql.bind_text(row.number.clone()).push(", ").bind_optional(row.open_key.clone()).push(", ");
    sql.bind_text(row.department.clone()).push(", ").bind_text(row.state.clone()).push(", ");
    sql.bind_number(row.revision).push(", ").bind_text(row.asked.clone()).push(", ");
    sql.bind_text(row.received_on.clone()).push(", ").bind_text(row.due_on.clone()).push(", ");
    sql.bind_number(row.due_at.as_unix_micros()).push(", ").bind_number(i64::from(row.extended)).push(", ");
    sql.bind_text(row.opened_by.clone()).push(", ").bind_number(row.opened_at.as_unix_micros()).push(", ");
    sql.bind_optional(row.decision.clone()).push(", ").bind_optional(row.ground.clone()).push(", ");
    sql.bind_optional(row.decided_by.clone())
        .push(", ")
        .bind_optional_number(time(row.decided_at))
        .push(", ");
    sql.bind_optional(row.closed_by.clone()).push(", ").bind_optional_number(time(row.closed_at)).push(", ");
    sql.bind_text(row.counts.clone()).push(", ").bind_text(row.last_step.clone()).push(", ");
    sql.bind_text(row.content.reveal().clone());
}

fn read(row: &AnyRow) -> Result<CaseRow, sqlx::Error> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let given = |column: &str| row.try_get::<Option<String>, _>(column);
    let time = |column: &str| row.try_get(column).map(WallTime::from_unix_micros);
    let given_time =
        |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(WallTime::from_unix_micros));
    Ok(CaseRow {
        number: text("number")?,
        open_key: given("open_key")?,
        department: text("department")?,
        state: text("state")?,
        revision: row.try_get("revision")?,
        asked: text("asked")?,
        received_on: text("received_on")?,
        due_on: text("due_on")?,
        due_at: time("due_at_us")?,
        extended: row.try_get::<i64, _>("extended")? != 0,
        opened_by: text("opened_by")?,
        opened_at: time("opened_at_us")?,
        decision: given("decision")?,
        ground: given("ground")?,
        decided_by: given("decided_by")?,
        decided_at: given_time("decided_at_us")?,
        closed_by: given("closed_by")?,
        closed_at: given_time("closed_at_us")?,
        counts: text("counts")?,
        last_step: text("last_step")?,
        content: text("content")?.into(),
    })
}
