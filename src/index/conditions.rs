//! SQL conditions of a search: which of them an index answers, and which are checked row by row.

use super::search_terms::{Asked, Number, Position, Query};
use super::statement::Statement;
use crate::index::database::{Database, Kind};
use optag_core::call::StreamVerdict;
use optag_core::call::verdict::VerdictWanted;

/// Minimum number of digits for a suffix match.
pub(super) const PART_DIGITS: usize = 4;

/// The condition that the chosen index answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Along {
    List,
    Name,
    Number,
}

/// Adds the conditions that the chosen index does not answer. `of` is the row's alias with its dot.
pub(super) fn checks(sql: &mut Statement, asked: &Asked<'_>, of: &str, along: Along) {
    match (&asked.query.department, along) {
        // Keeps a planner without statistics from scanning the department's index instead.
        (Some(department), Along::Number) => {
            sql.push(&format!(" AND COALESCE({of}department, '') = ")).bind_text(department.clone());
            time(sql, asked.query, of);
        }
        (None, Along::Number) => {
            asked.query.within.push(sql, &format!("COALESCE({of}department, '')"));
            time(sql, asked.query, of);
        }
        _ => department_and_time(sql, asked.query, of),
    }
    verdict(sql, asked.query, of);
    if let (Some(name), true) = (&asked.name, along != Along::Name) {
        has_part(sql.push(" AND "), &format!("{of}caller_name_folded"), name);
    }
    if let (Some(number), true) = (&asked.number, along != Along::Number) {
        sql.push(" AND (");
        has_number(sql, number, &format!("{of}caller_number_norm"));
        sql.push(" OR ");
        has_number(sql, number, &format!("{of}called_number_norm"));
        sql.push(")");
    }
}

pub(super) fn department_and_time(sql: &mut Statement, query: &Query, of: &str) {
    if let Some(department) = &query.department {
        sql.push(&format!(" AND {of}department = ")).bind_text(department.clone());
    }
    query.within.push(sql, &format!("{of}department"));
    time(sql, query, of);
}

pub(super) fn time(sql: &mut Statement, query: &Query, of: &str) {
    if let Some(from) = query.from {
        sql.push(&format!(" AND {of}started_at_us >= ")).bind_number(from.as_unix_micros());
    }
    if let Some(to) = query.to {
        sql.push(&format!(" AND {of}started_at_us < ")).bind_number(to.as_unix_micros());
    }
}

/// Restricts to rows after the end of the previous page.
pub(super) fn after(sql: &mut Statement, query: &Query, of: &str) {
    before(sql, query.after, of);
}

/// Restricts to rows after a position in the list, i.e. earlier in time.
pub(super) fn before(sql: &mut Statement, position: Option<Position>, of: &str) {
    if let Some(after) = position {
        sql.push(&format!(" AND ({of}started_at_us, {of}id) < ("));
        sql.bind_number(after.started_at.as_unix_micros()).push(", ");
        sql.bind_text(after.id.to_string()).push(")");
    }
}

/// Selects the page's rows, newest first, and one more that shows whether a further page exists.
pub(super) fn page(sql: &mut Statement, query: &Query, skip: u64) {
    sql.push(" ORDER BY started_at_us DESC, id DESC LIMIT ").bind_number(i64::from(query.most) + 1);
    if skip > 0 {
        sql.push(" OFFSET ").bind_number(skip as i64);
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

/// The number itself, or any number that ends with the given digits.
pub(super) fn has_number(sql: &mut Statement, number: &Number, column: &str) {
    sql.push(&format!("({column} = ")).bind_text(number.norm.clone());
    if number.digits.len() >= PART_DIGITS {
        sql.push(&format!(" OR {column} LIKE ")).bind_text(format!("%{}", number.digits));
    }
    sql.push(")");
}

/// Matches a name that contains a part.
pub(super) fn has_part(sql: &mut Statement, column: &str, part: &str) {
    sql.push(&format!("{column} LIKE ")).bind_text(pattern(part)).push(" ESCAPE '\\'");
}

/// LIKE pattern for a text that contains a part.
pub(super) fn pattern(part: &str) -> String {
    format!("%{}%", escape(part))
}

/// Rows whose caller has the number; or, for the called party, rows in which the caller does not have it too.
pub(super) fn party(sql: &mut Statement, database: &Database, asked: &Asked<'_>, caller: bool) {
    let Some(number) = &asked.number else { return };
    of_number(sql, database, number, if caller { "caller_number_norm" } else { "called_number_norm" });
    if !caller {
        sql.push(" AND (caller_number_norm IS NULL OR NOT ");
        has_number(sql, number, "caller_number_norm");
        sql.push(")");
    }
}

/// Rows with the number in this column, found by an index.
pub(super) fn of_number(sql: &mut Statement, database: &Database, number: &Number, column: &str) {
    if number.digits.len() < PART_DIGITS {
        sql.push(&format!("{column} = ")).bind_text(number.norm.clone());
        return;
    }
    let end = |text: &str| text[text.len().saturating_sub(PART_DIGITS)..].to_owned();
    let ends = database.last_digits(column);
    sql.push(&format!("{ends} IN (")).bind_text(end(&number.digits));
    if end(&number.norm) != end(&number.digits) {
        sql.push(", ").bind_text(end(&number.norm));
    }
    sql.push(") AND ");
    has_number(sql, number, column);
}

impl Database {
    /// SQL expression for the last four digits of a number, as indexed.
    fn last_digits(&self, column: &str) -> String {
        match self.kind {
            Kind::Sqlite => format!("substr({column}, -4)"),
            Kind::Postgres => format!("right({column}, 4)"),
        }
    }
}

/// Escapes LIKE wildcards in user input.
pub(super) fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
