//! Search: number, name, department and time, all that are given together.
//!
//! Each search goes along one index, newest first, and no further than its page: the last four digits of
//! either party's number, the trigrams of names (PostgreSQL), or the list itself. The other conditions are looked at on the
//! way. Totals of departments and days come from counters; others are counted up to a cap.

use sqlx::Row;

use super::statement::Statement;
use super::{Index, IndexError, IndexRow, fold, read};
use crate::base::clock::WallTime;
use crate::base::private::Private;
use crate::call::StreamVerdict;
use crate::call::number::normalise;
use crate::call::verdict::VerdictWanted;

/// Digits from which a part of a number is looked for at its end.
pub(super) const PART_DIGITS: usize = 4;
/// Characters from which a part of a name is looked for by its trigrams.
const PART_NAME: usize = 3;
/// Rows that are counted of one index alone.
const COUNTED: i64 = 50_000;
/// Rows that are looked at to count where other conditions must hold too.
const LOOKED_AT: i64 = 5_000;
/// Rows of a number from which a name is rather looked for by its own index.
const FEW: i64 = 2_000;
/// A day. Units: µs.
pub(super) const DAY_US: i64 = 86_400_000_000;

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Number called from or called, in any spelling, or its last digits.
    pub number: Option<Private<String>>,
    /// The caller's name or a part of it.
    pub name: Option<Private<String>>,
    /// Department id.
    pub department: Option<String>,
    /// Earliest start of the call.
    pub from: Option<WallTime>,
    /// First instant that is too late.
    pub to: Option<WallTime>,
    /// What became of one of its streams.
    pub verdict: Option<VerdictWanted>,
    /// Rows to pass over.
    pub skip: u64,
    /// Rows to return at the most.
    pub most: u32,
}

/// Rows of one page, newest first, and how many there are in all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The page.
    pub rows: Vec<IndexRow>,
    /// All matches.
    pub total: u64,
    /// Whether there may be more matches than `total`: they were counted up to a cap.
    pub more: bool,
}

/// A number as asked for.
#[derive(Clone, Debug)]
pub(super) struct Number {
    /// In normal form.
    pub norm: String,
    /// Its digits as written.
    pub digits: String,
}

/// What of a query can be looked up.
struct Asked<'a> {
    query: &'a Query,
    number: Option<Number>,
    name: Option<String>,
}

/// The index that a search goes along.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Along {
    List,
    Name,
    Number,
}

impl Index {
    /// Finds recordings that are not erased.
    ///
    /// Errors: the index does not answer.
    pub async fn search(&self, query: &Query) -> Result<Found, IndexError> {
        let number = match &query.number {
            None => None,
            Some(written) => match self.number(written.reveal()) {
                Some(number) => Some(number),
                // Something without a digit was asked for: nobody has that number.
                None => return Ok(Found::default()),
            },
        };
        let name = query.name.as_ref().map(|name| fold::fold(name.reveal()));
        let asked = Asked { query, number, name };
        let by_trigrams = asked.name.as_ref().is_some_and(|name| name.chars().count() >= PART_NAME)
            && self.database.has_trigrams();
        let along = match (&asked.number, by_trigrams) {
            (Some(_), true) if self.count_number(&asked, FEW).await? > FEW => Along::Name,
            (Some(_), _) => Along::Number,
            (None, true) => Along::Name,
            (None, false) => Along::List,
        };
        match along {
            Along::List if asked.name.is_none() && query.verdict.is_none() => self.list(&asked).await,
            Along::List => self.scan(&asked).await,
            Along::Number => self.along_number(&asked).await,
            Along::Name => self.along_name(&asked).await,
        }
    }

    pub(super) fn number(&self, written: &str) -> Option<Number> {
        let digits = written.chars().filter(char::is_ascii_digit).collect();
        normalise(written, &self.country_code).map(|norm| Number { norm, digits })
    }

    /// Everything of a department and time. A page deep in is reached day by day.
    async fn list(&self, asked: &Asked<'_>) -> Result<Found, IndexError> {
        let days = self.days(asked.query).await?;
        let total = days.iter().map(|(_, live)| live).sum();
        let (mut skip, mut before) = (asked.query.skip, None);
        for (day, live) in days {
            if skip < live {
                break;
            }
            skip -= live;
            before = Some(day.saturating_mul(DAY_US));
        }
        let mut rows = Statement::new("SELECT * FROM recordings WHERE erased_at_us IS NULL");
        self.department_and_time(&mut rows, asked.query, "");
        if let Some(before) = before {
            rows.push(" AND started_at_us < ").bind_number(before);
        }
        page(&mut rows, asked.query.most, skip);
        Ok(Found { rows: self.read_rows(rows).await?, total, more: false })
    }

    /// Days that have recordings, the last first, and how many each.
    async fn days(&self, query: &Query) -> Result<Vec<(i64, u64)>, IndexError> {
        let mut sql =
            Statement::new("SELECT day, CAST(SUM(live) AS BIGINT) AS live FROM live_counts WHERE live > 0");
        if let Some(department) = &query.department {
            sql.push(" AND department = ").bind_text(department.clone());
        }
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
        self.department_and_time(&mut sql, query, "");
        sql.push(" AND started_at_us >= ").bind_number(begins);
        sql.push(" AND started_at_us < ").bind_number(begins + DAY_US);
        Ok(self.total(sql).await? as u64)
    }

    /// A part of a name where no trigrams help, or a verdict: every row of the department and time is looked at.
    async fn scan(&self, asked: &Asked<'_>) -> Result<Found, IndexError> {
        let mut count = Statement::new("SELECT COUNT(*) AS total FROM recordings WHERE erased_at_us IS NULL");
        self.checks(&mut count, asked, "", Along::List);
        let total = self.total(count).await? as u64;
        let mut rows = Statement::new("SELECT * FROM recordings WHERE erased_at_us IS NULL");
        self.checks(&mut rows, asked, "", Along::List);
        page(&mut rows, asked.query.most, asked.query.skip);
        Ok(Found { rows: self.read_rows(rows).await?, total, more: false })
    }

    /// Both parties' numbers, each newest first, as one list.
    async fn along_number(&self, asked: &Asked<'_>) -> Result<Found, IndexError> {
        let most = (asked.query.skip as i64).saturating_add(i64::from(asked.query.most));
        let mut rows = Statement::new("SELECT r.* FROM (SELECT started_at_us, id FROM (");
        for caller in [true, false] {
            rows.push(if caller { "SELECT * FROM (" } else { " UNION ALL SELECT * FROM (" });
            rows.push("SELECT started_at_us, id FROM recordings WHERE erased_at_us IS NULL AND ");
            self.party(&mut rows, asked, caller);
            self.checks(&mut rows, asked, "", Along::Number);
            rows.push(" ORDER BY started_at_us DESC, id DESC LIMIT ").bind_number(most);
            rows.push(if caller { ") AS of_caller" } else { ") AS of_called" });
        }
        rows.push(") AS of_both");
        page(&mut rows, asked.query.most, asked.query.skip);
        rows.push(") AS found JOIN recordings r ON r.id = found.id ORDER BY r.started_at_us DESC, r.id DESC");
        let rows = self.read_rows(rows).await?;
        let alone = asked.name.is_none() && asked.query.department.is_none() && asked.query.verdict.is_none();
        let (total, looked_at, cap) = match alone {
            true => {
                let total = self.count_number(asked, COUNTED).await?;
                (total, total, COUNTED)
            }
            false => {
                let looked_at = self.count_number(asked, LOOKED_AT).await?;
                (self.count_checked(asked).await?, looked_at, LOOKED_AT)
            }
        };
        Ok(Found { rows, total: total as u64, more: looked_at > cap })
    }

    /// How many rows have the number, up to one more than `most` of each party.
    async fn count_number(&self, asked: &Asked<'_>, most: i64) -> Result<i64, IndexError> {
        let mut total = 0;
        for caller in [true, false] {
            let mut sql = Statement::new(
                "SELECT COUNT(*) AS total FROM (SELECT 1 AS hit FROM recordings WHERE erased_at_us IS NULL AND ",
            );
            self.party(&mut sql, asked, caller);
            time(&mut sql, asked.query, "");
            sql.push(" LIMIT ").bind_number(most + 1).push(") AS counted");
            total += self.total(sql).await?;
        }
        Ok(total)
    }

    /// How many of the newest rows with the number meet the other conditions too.
    async fn count_checked(&self, asked: &Asked<'_>) -> Result<i64, IndexError> {
        let mut total = 0;
        for caller in [true, false] {
            let mut sql = Statement::new(
                "SELECT COUNT(*) AS total FROM (SELECT id AS of_id FROM recordings WHERE erased_at_us IS NULL AND ",
            );
            self.party(&mut sql, asked, caller);
            time(&mut sql, asked.query, "");
            sql.push(" ORDER BY started_at_us DESC, id DESC LIMIT ").bind_number(LOOKED_AT);
            sql.push(") AS newest JOIN recordings r ON r.id = newest.of_id WHERE r.erased_at_us IS NULL");
            self.checks(&mut sql, asked, "r.", Along::Number);
            total += self.total(sql).await?;
        }
        Ok(total)
    }

    async fn along_name(&self, asked: &Asked<'_>) -> Result<Found, IndexError> {
        let name = asked.name.as_deref().unwrap_or_default();
        let alone =
            asked.number.is_none() && asked.query.department.is_none() && asked.query.verdict.is_none();
        let mut rows = Statement::new("");
        self.database.named(&mut rows, name, asked.query, |rows| {
            if alone {
                rows.push(" LIMIT ").bind_number(asked.query.most.into());
                rows.push(" OFFSET ").bind_number(asked.query.skip as i64);
            }
        });
        self.checks(&mut rows, asked, "r.", Along::Name);
        rows.push(" ORDER BY r.started_at_us DESC, r.id DESC");
        if !alone {
            rows.push(" LIMIT ").bind_number(asked.query.most.into());
            rows.push(" OFFSET ").bind_number(asked.query.skip as i64);
        }
        let rows = self.read_rows(rows).await?;
        let cap = if alone { COUNTED } else { LOOKED_AT };
        let looked_at = self.total(self.database.count_named(name, asked.query, cap + 1)).await?;
        if alone {
            return Ok(Found { rows, total: looked_at as u64, more: looked_at > cap });
        }
        let mut count = Statement::new("SELECT COUNT(*) AS total FROM (");
        self.database.named(&mut count, name, asked.query, |count| {
            count.push(" LIMIT ").bind_number(LOOKED_AT);
        });
        self.checks(&mut count, asked, "r.", Along::Name);
        count.push(") AS counted");
        Ok(Found { rows, total: self.total(count).await? as u64, more: looked_at > cap })
    }

    /// The conditions that the index gone along does not answer.
    fn checks(&self, sql: &mut Statement, asked: &Asked<'_>, of: &str, along: Along) {
        self.department_and_time(sql, asked.query, of);
        verdict(sql, asked.query, of);
        if let (Some(name), true) = (&asked.name, along != Along::Name) {
            let pattern = format!("%{}%", escape(name));
            sql.push(&format!(" AND {of}caller_name_folded LIKE ")).bind_text(pattern).push(" ESCAPE '\\'");
        }
        if let (Some(number), true) = (&asked.number, along != Along::Number) {
            sql.push(" AND (");
            has(sql, number, &format!("{of}caller_number_norm"));
            sql.push(" OR ");
            has(sql, number, &format!("{of}called_number_norm"));
            sql.push(")");
        }
    }

    /// Rows whose caller has the number, or whose called party has it and the caller has not.
    fn party(&self, sql: &mut Statement, asked: &Asked<'_>, caller: bool) {
        let Some(number) = &asked.number else { return };
        self.of_number(sql, number, if caller { "caller_number_norm" } else { "called_number_norm" });
        if !caller {
            sql.push(" AND (caller_number_norm IS NULL OR NOT ");
            has(sql, number, "caller_number_norm");
            sql.push(")");
        }
    }

    /// Rows whose number in this column is the one, by an index.
    pub(super) fn of_number(&self, sql: &mut Statement, number: &Number, column: &str) {
        if number.digits.len() < PART_DIGITS {
            sql.push(&format!("{column} = ")).bind_text(number.norm.clone());
            return;
        }
        let end = |text: &str| text[text.len().saturating_sub(PART_DIGITS)..].to_owned();
        let ends = self.database.last_digits(column);
        sql.push(&format!("{ends} IN (")).bind_text(end(&number.digits));
        if end(&number.norm) != end(&number.digits) {
            sql.push(", ").bind_text(end(&number.norm));
        }
        sql.push(") AND ");
        has(sql, number, column);
    }

    fn department_and_time(&self, sql: &mut Statement, query: &Query, of: &str) {
        if let Some(department) = &query.department {
            sql.push(&format!(" AND {of}department = ")).bind_text(department.clone());
        }
        time(sql, query, of);
    }

    async fn total(&self, sql: Statement) -> Result<i64, IndexError> {
        Ok(sql.query().fetch_one(&self.database.readers).await?.try_get("total")?)
    }

    async fn read_rows(&self, sql: Statement) -> Result<Vec<IndexRow>, IndexError> {
        let rows = sql.query().fetch_all(&self.database.readers).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }
}

fn page(sql: &mut Statement, most: u32, skip: u64) {
    sql.push(" ORDER BY started_at_us DESC, id DESC LIMIT ").bind_number(most.into());
    sql.push(" OFFSET ").bind_number(skip as i64);
}

fn time(sql: &mut Statement, query: &Query, of: &str) {
    if let Some(from) = query.from {
        sql.push(&format!(" AND {of}started_at_us >= ")).bind_number(from.as_unix_micros());
    }
    if let Some(to) = query.to {
        sql.push(&format!(" AND {of}started_at_us < ")).bind_number(to.as_unix_micros());
    }
}

fn verdict(sql: &mut Statement, query: &Query, of: &str) {
    match query.verdict {
        None => {}
        Some(VerdictWanted::AnyFault) => drop(sql.push(&format!(" AND {of}has_fault = 1"))),
        Some(VerdictWanted::Is(StreamVerdict::Ok)) => {
            sql.push(&format!(" AND {of}has_fault = 0 AND {of}verdicts <> ''"));
        }
        Some(VerdictWanted::Is(verdict)) => {
            sql.push(&format!(" AND {of}has_fault = 1 AND {of}verdicts LIKE "));
            sql.bind_text(format!("%,{},%", escape(verdict.name()))).push(" ESCAPE '\\'");
        }
    }
}

/// The number itself, or one that ends with the digits as written.
fn has(sql: &mut Statement, number: &Number, column: &str) {
    sql.push(&format!("({column} = ")).bind_text(number.norm.clone());
    if number.digits.len() >= PART_DIGITS {
        sql.push(&format!(" OR {column} LIKE ")).bind_text(format!("%{}", number.digits));
    }
    sql.push(")");
}

/// Takes the wildcards out of what a user typed.
pub(super) fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
