//! Known names, each spelling once. In: a folded part of a name. Out: the spellings that contain it, if they are few.
//!
//! PostgreSQL has a trigram index and starts with the rarest trigrams by itself. FTS5 processes the trigrams of a
//! query in the given order, so SQLite is first asked which are rare, then for names with those; the rest is checked
//! by LIKE.

use std::collections::BTreeSet;

use sqlx::Row;

use super::conditions::pattern;
use super::database::{Database, Kind};
use super::statement::Statement;
use super::{Index, IndexError};

/// Letters in a trigram.
pub(super) const TRIGRAM: usize = 3;
/// Maximum number of spellings with a part for which rows are looked up.
const KNOWN: i64 = 5_000;
/// Maximum number of spellings, among those with the rarest trigrams, that are checked.
const LOOKED_AT: i64 = 10_000;
/// Spellings with a trigram up to which it counts as rare.
const RARE: i64 = 3_000;
/// Approximate number of trigrams of a part that are counted.
const TRIGRAMS: usize = 12;
/// Number of rarest trigrams that a spelling must have to be checked.
const RAREST: usize = 3;
/// The same where none is rare, which takes the database longer and leaves fewer spellings.
const MANY: usize = 6;

/// Spellings, as a JSON array.
#[derive(Clone, Debug)]
pub(super) struct Known(pub String);

impl Known {
    /// Encodes these spellings.
    pub(super) fn of(names: &[String]) -> Self {
        Self(serde_json::Value::from(names).to_string())
    }
}

/// Whether a part is long enough to have a trigram.
pub(super) fn has_trigrams(part: &str) -> bool {
    part.chars().nth(TRIGRAM - 1).is_some()
}

/// Trigrams of a text.
pub(super) fn trigrams(text: &str) -> BTreeSet<String> {
    trigrams_in_order(text).into_iter().collect()
}

/// Trigrams of a text in the order of the text, each once.
pub(super) fn trigrams_in_order(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut all: Vec<String> = Vec::new();
    for trigram in letters.windows(TRIGRAM).map(|letters| letters.iter().collect()) {
        if !all.contains(&trigram) {
            all.push(trigram);
        }
    }
    all
}

/// Quotes any text for FTS5.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

impl Database {
    /// Forces an index in SQLite, which has no statistics to choose by; empty for PostgreSQL.
    pub(super) fn indexed_by(&self, index: &str) -> String {
        match self.kind {
            Kind::Sqlite => format!(" INDEXED BY {index}"),
            Kind::Postgres => String::new(),
        }
    }

    /// Appends the list of an IN condition.
    pub(super) fn each_of(&self, sql: &mut Statement, known: &Known) {
        match self.kind {
            Kind::Sqlite => sql.push("(SELECT value FROM json_each(").bind_text(known.0.clone()).push("))"),
            Kind::Postgres => sql
                .push("(SELECT jsonb_array_elements_text(CAST(")
                .bind_text(known.0.clone())
                .push(" AS jsonb)))"),
        };
    }
}

impl Index {
    /// Spellings that contain a part; none if there are too many.
    pub(super) async fn known(&self, part: &str) -> Result<Option<Known>, IndexError> {
        let mut sql = match self.database.kind {
            Kind::Sqlite => {
                let Some(expression) = self.rarest(part).await? else { return Ok(Some(Known::of(&[]))) };
                let mut sql = Statement::new(
                    "WITH n AS MATERIALIZED (SELECT rowid AS number FROM names_trigrams WHERE names_trigrams MATCH ",
                );
                sql.bind_text(expression).push(" LIMIT ").bind_number(LOOKED_AT + 1);
                sql.push(
                    ") SELECT json_group_array(folded) AS names, COUNT(*) AS total,
                     (SELECT COUNT(*) FROM n) AS looked_at FROM (SELECT k.folded FROM n
                     CROSS JOIN known_names AS k ON k.number = n.number WHERE (SELECT COUNT(*) FROM n) <= ",
                );
                // Of too many, none is looked up.
                sql.bind_number(LOOKED_AT).push(" AND k.folded LIKE ");
                sql
            }
            Kind::Postgres => {
                let mut sql = Statement::new(
                    "SELECT COALESCE(CAST(json_agg(folded) AS TEXT), '[]') AS names, COUNT(*) AS total,
                     CAST(0 AS BIGINT) AS looked_at FROM (SELECT k.folded FROM known_names AS k
                     WHERE optag_trigrams(k.folded) @> optag_trigrams(",
                );
                sql.bind_text(part).push(") AND k.folded LIKE ");
                sql
            }
        };
        sql.bind_text(pattern(part)).push(" ESCAPE '\\' LIMIT ").bind_number(KNOWN + 1).push(") AS found");
        let row = sql.query().fetch_one(&self.database.readers).await?;
        let all =
            row.try_get::<i64, _>("total")? <= KNOWN && row.try_get::<i64, _>("looked_at")? <= LOOKED_AT;
        let names: String = row.try_get("names")?;
        Ok(all.then_some(Known(names)))
    }

    /// FTS5 expression of the rarest trigrams of a part; none if no name has one of them.
    async fn rarest(&self, part: &str) -> Result<Option<String>, IndexError> {
        let all = sample(part);
        let mut sql = Statement::new("");
        for (n, trigram) in all.iter().enumerate() {
            sql.push(if n == 0 { "" } else { " UNION ALL " });
            sql.push(&format!(
                "SELECT {n} AS trigram, CASE WHEN EXISTS (SELECT 1 FROM names_trigrams WHERE names_trigrams MATCH "
            ));
            sql.bind_text(quoted(trigram)).push(&format!(" LIMIT 1 OFFSET {RARE}) THEN {RARE} + 1"));
            sql.push(" ELSE (SELECT COUNT(*) FROM names_trigrams WHERE names_trigrams MATCH ");
            sql.bind_text(quoted(trigram)).push(") END AS names");
        }
        let mut counted = Vec::new();
        for row in sql.query().fetch_all(&self.database.readers).await? {
            counted.push((row.try_get::<i64, _>("names")?, row.try_get::<i64, _>("trigram")? as usize));
        }
        counted.sort_unstable();
        let rarest = match counted.first() {
            None | Some((0, _)) => return Ok(None),
            Some((names, _)) if *names <= RARE => counted.iter().take(RAREST).collect(),
            // As far from each other as may be: they say the more together.
            Some(_) => (0..MANY.min(counted.len()))
                .filter_map(|n| counted.get(n * counted.len() / MANY.min(counted.len())))
                .collect::<Vec<_>>(),
        };
        let rarest = rarest.into_iter().filter_map(|(_, n)| all.get(*n));
        Ok(Some(rarest.map(|trigram| quoted(trigram)).collect::<Vec<_>>().join(" AND ")))
    }
}

/// Trigrams of a part that may be rare, at most about [`TRIGRAMS`]: those from one word to the next, which few names
/// have, and of the others a sample.
fn sample(part: &str) -> Vec<String> {
    let letters: Vec<char> = part.chars().collect();
    let mut all: Vec<String> = Vec::new();
    for trigram in letters.windows(TRIGRAM).map(|letters| letters.iter().collect()) {
        if !all.contains(&trigram) {
            all.push(trigram);
        }
    }
    let (mut sample, others): (Vec<String>, Vec<String>) =
        all.into_iter().partition(|trigram| trigram.chars().nth(1) == Some(' '));
    sample.truncate(TRIGRAMS / 2);
    let each = others.len().div_ceil(TRIGRAMS - sample.len()).max(1);
    sample.extend(others.into_iter().step_by(each));
    sample
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::index::IndexPlace;

    #[test]
    fn a_sample_has_the_trigrams_between_words_and_some_of_all_the_others() {
        assert_eq!(sample("bo li"), ["o l", "bo ", " li"]);
        let long = sample("mette kristensen");
        assert_eq!((long[0].as_str(), long[1].as_str(), long.len()), ("e k", "met", 8));
        assert!(sample(&"ab cd ef gh ij kl mn op qr st uv wx yz".repeat(4)).len() <= TRIGRAMS);
        assert_eq!(sample("aaaaaa"), ["aaa"]);
    }

    #[tokio::test]
    async fn a_whole_name_is_found_where_every_trigram_of_it_is_common() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&IndexPlace::Sqlite(dir.path().join("i")), "45").await.unwrap();
        // Some thousand names begin like it, and others end like it.
        for (others, most) in [
            ("mette q' || n || '", RARE + 500),
            ("q' || n || ' kristensen", LOOKED_AT + 500),
            ("q' || n || 'e k", RARE + 500),
        ] {
            let sql = format!(
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {most})
                 INSERT INTO known_names (folded) SELECT '{others}' FROM n"
            );
            sqlx::query(AssertSqlSafe(sql)).execute(&index.database.pool).await.unwrap();
        }
        for name in ["mette kristensen", "mette kristensen madsen"] {
            let sql = format!("INSERT INTO known_names (folded) VALUES ('{name}')");
            sqlx::query(AssertSqlSafe(sql)).execute(&index.database.pool).await.unwrap();
        }
        let found = index.known("mette kristensen").await.unwrap().expect("they are few");
        assert_eq!(found.0, r#"["mette kristensen","mette kristensen madsen"]"#);
        assert!(index.known("kristensen").await.unwrap().is_none(), "they are too many");
    }
}
