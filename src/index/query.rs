//! Search: number, name, department and time, all that are given together.

use sqlx::Row;

use super::database::Statement;
use super::{Index, IndexError, IndexRow, fold, read};
use crate::base::clock::WallTime;
use crate::base::private::Private;
use crate::call::StreamVerdict;
use crate::call::number::normalise;
use crate::call::verdict::VerdictWanted;

/// Digits from which a part of a number is looked for at its end.
const PART_DIGITS: usize = 4;

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
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The page.
    pub rows: Vec<IndexRow>,
    /// All matches.
    pub total: u64,
}

impl Index {
    /// Finds recordings that are not erased.
    ///
    /// Errors: the index does not answer.
    pub async fn search(&self, query: &Query) -> Result<Found, IndexError> {
        let mut count = Statement::new("SELECT COUNT(*) AS total FROM recordings");
        self.conditions(&mut count, query);
        let total: i64 = count.query().fetch_one(&self.database.pool).await?.try_get("total")?;
        let mut rows = Statement::new("SELECT * FROM recordings");
        self.conditions(&mut rows, query);
        rows.push(" ORDER BY started_at_us DESC, id DESC LIMIT ").bind_number(query.most.into());
        rows.push(" OFFSET ").bind_number(query.skip as i64);
        let rows = rows.query().fetch_all(&self.database.pool).await?;
        Ok(Found { rows: rows.iter().map(read).collect::<Result<_, _>>()?, total: total as u64 })
    }

    fn conditions(&self, sql: &mut Statement, query: &Query) {
        sql.push(" WHERE erased_at_us IS NULL");
        if let Some(number) = &query.number {
            match normalise(number.reveal(), &self.country_code) {
                Some(digits) => self.number(sql, &digits, number.reveal()),
                // Something without a digit was asked for: nobody has that number.
                None => drop(sql.push(" AND 1 = 0")),
            }
        }
        if let Some(name) = &query.name {
            let pattern = format!("%{}%", escape(&fold::fold(name.reveal())));
            sql.push(" AND caller_name_folded LIKE ").bind_text(pattern).push(" ESCAPE '\\'");
        }
        if let Some(department) = &query.department {
            sql.push(" AND department = ").bind_text(department.clone());
        }
        match query.verdict {
            None => {}
            Some(VerdictWanted::AnyFault) => drop(sql.push(" AND has_fault = 1")),
            Some(VerdictWanted::Is(StreamVerdict::Ok)) => {
                sql.push(" AND has_fault = 0 AND verdicts <> ''");
            }
            Some(VerdictWanted::Is(verdict)) => {
                sql.push(" AND has_fault = 1 AND verdicts LIKE ");
                sql.bind_text(format!("%,{},%", escape(verdict.name()))).push(" ESCAPE '\\'");
            }
        }
        if let Some(from) = query.from {
            sql.push(" AND started_at_us >= ").bind_number(from.as_unix_micros());
        }
        if let Some(to) = query.to {
            sql.push(" AND started_at_us < ").bind_number(to.as_unix_micros());
        }
    }

    fn number(&self, sql: &mut Statement, digits: &str, written: &str) {
        let plain: String = written.chars().filter(char::is_ascii_digit).collect();
        sql.push(" AND (caller_number_norm = ").bind_text(digits.to_owned());
        sql.push(" OR called_number_norm = ").bind_text(digits.to_owned());
        if plain.len() >= PART_DIGITS {
            sql.push(" OR caller_number_norm LIKE ").bind_text(format!("%{plain}"));
            sql.push(" OR called_number_norm LIKE ").bind_text(format!("%{plain}"));
        }
        sql.push(")");
    }
}

/// Takes the wildcards out of what a user typed.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
