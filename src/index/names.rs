//! What the databases have of their own for a search: the last digits of numbers, and in PostgreSQL the
//! trigrams of names. In: a folded part of a name. Out: the rows that have it, the newest first.

use super::database::{Database, Kind};
use super::query::{Query, escape};
use super::statement::Statement;

impl Database {
    /// The last four digits of a number, as the index of endings has them.
    pub fn last_digits(&self, column: &str) -> String {
        match self.kind {
            Kind::Sqlite => format!("substr({column}, -4)"),
            Kind::Postgres => format!("right({column}, 4)"),
        }
    }

    /// Whether parts of names are found by an index of their trigrams. SQLite looks at every name.
    pub fn has_trigrams(&self) -> bool {
        self.kind == Kind::Postgres
    }

    /// Selects rows `r` whose name has a part, the newest first; `limit` may limit how many.
    pub fn named(&self, sql: &mut Statement, part: &str, query: &Query, limit: impl FnOnce(&mut Statement)) {
        sql.push("SELECT r.* FROM (SELECT * FROM recordings WHERE ");
        has_trigrams(sql, part, query);
        sql.push(" ORDER BY started_at_us DESC, id DESC");
        limit(sql);
        sql.push(") AS r WHERE TRUE");
    }

    /// Counts them up to `most`.
    pub fn count_named(&self, part: &str, query: &Query, most: i64) -> Statement {
        let mut sql = Statement::new("SELECT COUNT(*) AS total FROM (SELECT 1 AS hit FROM recordings WHERE ");
        has_trigrams(&mut sql, part, query);
        sql.push(" LIMIT ").bind_number(most).push(") AS counted");
        sql
    }
}

fn has_trigrams(sql: &mut Statement, part: &str, query: &Query) {
    sql.push("erased_at_us IS NULL AND optag_trigrams(caller_name_folded) @> optag_trigrams(");
    sql.bind_text(part).push(") AND caller_name_folded LIKE ");
    sql.bind_text(format!("%{}%", escape(part))).push(" ESCAPE '\\'");
    if let Some(from) = query.from {
        sql.push(" AND started_at_us >= ").bind_number(from.as_unix_micros());
    }
    if let Some(to) = query.to {
        sql.push(" AND started_at_us < ").bind_number(to.as_unix_micros());
    }
}
