//! Known words similar to a misspelt one. In: a folded word as given. Out: the most similar words that names have.
//!
//! A misspelt word shares trigrams with the intended one. Of the known words that share the most, the most similar
//! are used; trigrams that thousands of words share carry little information, and are skipped.

use std::cmp::Reverse;
use std::collections::HashMap;

use sqlx::Row;

use super::database::Kind;
use super::known_names::{quoted, trigrams};
use super::likeness::word_likeness;
use super::statement::Statement;
use super::{Index, IndexError};

/// Number of words from which a trigram counts as common, and maximum number of words read per trigram.
const OF_TRIGRAM: i64 = 6_000;
/// Trigrams of a word that are used even if they are common. A single typing error changes at most four.
const TELLING: usize = 6;
/// Maximum number of trigrams of a word that are used.
const TRIGRAMS: usize = 24;
/// Number of words with the most shared trigrams that are compared.
const COMPARED: usize = 200;
/// Maximum length of a word that is also searched with any two adjacent letters swapped. Units: letters.
const SHORT: usize = 5;
/// Minimum similarity of a word; other words of a name may be more similar than the whole name must be.
const WORD_LEAST: f64 = 0.5;
/// Number of the most similar known words used per given word.
pub(super) const LIKEST: usize = 16;

/// A known word similar to a given one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Like {
    pub number: i64,
    pub word: String,
    pub likeness: f64,
}

impl Index {
    /// The known words similar to a given one.
    pub(super) async fn like(&self, told: &str) -> Result<Vec<Like>, IndexError> {
        let padded = format!(" {told} ");
        let mut shared: HashMap<i64, u32> = HashMap::new();
        let telling = self.telling(trigrams(&padded).into_iter().take(TRIGRAMS).collect()).await?;
        for row in self.words_with(&telling).query().fetch_all(&self.database.readers).await? {
            let words: Vec<i64> =
                serde_json::from_str(&row.try_get::<String, _>("words")?).unwrap_or_default();
            words.into_iter().for_each(|word| *shared.entry(word).or_default() += 1);
        }
        let mut most: Vec<(u32, i64)> = shared.into_iter().map(|(word, shared)| (shared, word)).collect();
        most.sort_unstable_by_key(|&(shared, word)| (Reverse(shared), word));
        most.truncate(COMPARED);
        let most: Vec<i64> = most.into_iter().map(|(_, word)| word).collect();
        let mut sql = Statement::new("SELECT k.number, k.padded FROM ");
        match self.database.kind {
            // Without statistics, SQLite is told the order.
            Kind::Sqlite => sql
                .push("json_each(")
                .bind_text(serde_json::Value::from(most).to_string())
                .push(") AS most CROSS JOIN known_words AS k ON k.number = most.value"),
            Kind::Postgres => sql
                .push("jsonb_array_elements_text(CAST(")
                .bind_text(serde_json::Value::from(most).to_string())
                .push(" AS jsonb)) AS most JOIN known_words AS k ON k.number = CAST(most AS BIGINT)"),
        };
        sql.push(" UNION SELECT number, padded FROM known_words WHERE padded IN (").bind_text(padded);
        for other in swapped(told) {
            sql.push(", ").bind_text(format!(" {other} "));
        }
        sql.push(")");
        let mut likest = Vec::new();
        for row in sql.query().fetch_all(&self.database.readers).await? {
            let word = row.try_get::<String, _>("padded")?.trim().to_owned();
            let likeness = word_likeness(told, &word);
            if likeness >= WORD_LEAST {
                likest.push(Like { number: row.try_get("number")?, word, likeness });
            }
        }
        likest.sort_by(|one, other| {
            other.likeness.total_cmp(&one.likeness).then(one.number.cmp(&other.number))
        });
        likest.truncate(LIKEST);
        Ok(likest)
    }

    /// The distinctive trigrams of a word: common ones are left out unless few others remain.
    async fn telling(&self, mut all: Vec<String>) -> Result<Vec<String>, IndexError> {
        let mut sql = Statement::new("");
        match self.database.kind {
            Kind::Sqlite => {
                for (n, trigram) in all.iter().enumerate() {
                    sql.push(if n == 0 { "SELECT " } else { " UNION ALL SELECT " }).bind_text(trigram);
                    sql.push(
                        " AS trigram WHERE EXISTS (SELECT 1 FROM words_trigrams WHERE words_trigrams MATCH ",
                    );
                    sql.bind_text(quoted(trigram)).push(&format!(" LIMIT 1 OFFSET {OF_TRIGRAM})"));
                }
            }
            // The planner's statistics of the index: a trigram that they do not list is not common.
            Kind::Postgres => {
                sql.push(
                    "SELECT trigram FROM pg_stats CROSS JOIN LATERAL unnest(CAST(CAST(most_common_elems AS TEXT)
                     AS TEXT[]), most_common_elem_freqs) AS common (trigram, share)
                     WHERE schemaname = current_schema() AND tablename = 'words_trigrams' AND share * (
                     SELECT reltuples FROM pg_class WHERE oid = CAST('known_words' AS regclass)) > ",
                );
                sql.bind_number(OF_TRIGRAM).push(" AND trigram IN (");
                for (n, trigram) in all.iter().enumerate() {
                    sql.push(if n == 0 { "" } else { ", " }).bind_text(trigram);
                }
                sql.push(") ORDER BY share DESC");
            }
        }
        if all.is_empty() {
            return Ok(all);
        }
        for row in sql.query().fetch_all(&self.database.readers).await? {
            let common: String = row.try_get("trigram")?;
            if all.len() > TELLING {
                all.retain(|trigram| *trigram != common);
            }
        }
        Ok(all)
    }

    /// For each trigram, the words that contain it, as a JSON array: counting them here takes a fraction of the time
    /// that a database needs for it.
    fn words_with(&self, trigrams: &[String]) -> Statement {
        let mut sql = Statement::new("");
        for (n, trigram) in trigrams.iter().enumerate() {
            sql.push(if n == 0 { "" } else { " UNION ALL " });
            match self.database.kind {
                Kind::Sqlite => sql
                    .push(
                        "SELECT json_group_array(word) AS words FROM (SELECT rowid AS word FROM words_trigrams
                         WHERE words_trigrams MATCH ",
                    )
                    .bind_text(quoted(trigram)),
                Kind::Postgres => sql
                    .push(
                        "SELECT COALESCE(CAST(json_agg(word) AS TEXT), '[]') AS words FROM (SELECT number AS word
                         FROM known_words WHERE optag_trigrams(padded) @> ARRAY[CAST(",
                    )
                    .bind_text(trigram)
                    .push(" AS TEXT)]"),
            };
            sql.push(&format!(" LIMIT {OF_TRIGRAM}) AS of_{n}"));
        }
        if trigrams.is_empty() {
            sql.push("SELECT '[]' AS words");
        }
        sql
    }
}

impl Like {
    pub(super) fn as_str(&self) -> &str {
        &self.word
    }
}

/// A short word with two adjacent letters swapped, which may share no trigram with it.
fn swapped(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let swap = |at: usize| {
        let mut letters = letters.clone();
        letters.swap(at - 1, at);
        letters.into_iter().collect()
    };
    if letters.len() > SHORT { Vec::new() } else { (1..letters.len()).map(swap).collect() }
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::index::IndexPlace;

    #[tokio::test]
    async fn a_misspelt_word_is_found_among_thousands_of_older_ones_that_end_like_it() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&IndexPlace::Sqlite(dir.path().join("i")), "45").await.unwrap();
        let others = format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {})
             INSERT INTO known_names (folded) SELECT 'bo q' || n || 'gaard' FROM n",
            OF_TRIGRAM + 500
        );
        sqlx::query(AssertSqlSafe(others)).execute(&index.database.pool).await.unwrap();
        let meant = "INSERT INTO known_names (folded) VALUES ('bo vokytogaard')";
        sqlx::query(meant).execute(&index.database.pool).await.unwrap();
        let common = index.telling(vec!["aar".into(), "gaa".into(), "vok".into()]).await.unwrap();
        assert_eq!(common.len(), 3, "however common: there is little else");
        let all: Vec<String> = trigrams(" vkoytogaard ").into_iter().collect();
        let telling = index.telling(all.clone()).await.unwrap();
        let left: Vec<&String> = all.iter().filter(|trigram| !telling.contains(trigram)).collect();
        assert_eq!(left, ["aar", "ard", "gaa", "rd "]);
        for told in ["vkoytogaard", "vokytogard", "wokytogaard", "vokytogaardt"] {
            let likest = index.like(told).await.unwrap();
            assert_eq!(likest.first().map(Like::as_str), Some("vokytogaard"), "{told}");
        }
    }
}
