//! Known words similar to a misspelt one. In: a folded word as given. Out: the most similar words that names have.
//!
//! A misspelt word shares trigrams with the intended one. Of the known words that share the most, the most similar
//! are used; trigrams that thousands of words share carry little information, and are skipped.
//!
//! SQLite's index holds the numbers of the words, so the words of each trigram are counted. PostgreSQL has to visit
//! a page for nearly every word: there only words are read that share two trigrams which are neighbours in the given
//! word, or its first and its last. A slip of the pen changes at most four in a row, so of six it leaves such a pair.

use std::cmp::Reverse;
use std::collections::HashMap;

use sqlx::Row;

use super::database::Kind;
use super::known_names::{quoted, trigrams_in_order};
use super::likeness::word_likeness;
use super::statement::Statement;
use super::{Index, IndexError};

/// Number of words from which a trigram counts as common, and maximum number of words read per trigram.
const OF_TRIGRAM: i64 = 6_000;
/// Trigrams of a word that are used even if they are common. A single typing error changes at most four.
const TELLING: usize = 6;
/// Trigrams of a word from which on pairs of them are looked for: neighbours that are swapped in a word that has
/// fewer than six are looked for as they are, and any other slip changes at most three.
const IN_PAIRS: usize = 5;
/// Maximum number of words read per pair.
const OF_PAIR: i64 = 2_000;
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
        let all = trigrams_in_order(&padded).into_iter().take(TRIGRAMS).collect();
        let telling = self.telling(all).await?;
        let mut words = match self.database.kind {
            Kind::Sqlite => self.sharing_most(&telling).await?,
            Kind::Postgres => self.sharing_pairs(&telling).await?,
        };
        words.extend(self.exactly(&padded, &swapped(told)).await?);
        words.sort_unstable();
        words.dedup();
        let mut likest = Vec::new();
        for (number, padded) in words {
            let word = padded.trim().to_owned();
            let likeness = word_likeness(told, &word);
            if likeness >= WORD_LEAST {
                likest.push(Like { number, word, likeness });
            }
        }
        likest.sort_by(|one, other| {
            other.likeness.total_cmp(&one.likeness).then(one.number.cmp(&other.number))
        });
        likest.truncate(LIKEST);
        Ok(likest)
    }

    /// The words that share most of these trigrams, at most [`COMPARED`], by counting each trigram's words.
    async fn sharing_most(&self, trigrams: &[String]) -> Result<Vec<(i64, String)>, IndexError> {
        let mut shared: HashMap<i64, u32> = HashMap::new();
        for row in words_with(trigrams).query().fetch_all(&self.database.readers).await? {
            let words: Vec<i64> =
                serde_json::from_str(&row.try_get::<String, _>("words")?).unwrap_or_default();
            words.into_iter().for_each(|word| *shared.entry(word).or_default() += 1);
        }
        let mut most: Vec<(u32, i64)> = shared.into_iter().map(|(word, shared)| (shared, word)).collect();
        most.sort_unstable_by_key(|&(shared, word)| (Reverse(shared), word));
        most.truncate(COMPARED);
        let most: Vec<i64> = most.into_iter().map(|(_, word)| word).collect();
        // Without statistics, SQLite is told the order.
        let mut sql = Statement::new("SELECT k.number, k.padded FROM json_each(");
        sql.bind_text(serde_json::Value::from(most).to_string())
            .push(") AS most CROSS JOIN known_words AS k ON k.number = most.value");
        self.words_of(sql).await
    }

    /// The same of words that share two of these trigrams, in the order of the word, which follow each other or are
    /// its first and last; of one that has few, words that share any.
    async fn sharing_pairs(&self, trigrams: &[String]) -> Result<Vec<(i64, String)>, IndexError> {
        if trigrams.is_empty() {
            return Ok(Vec::new());
        }
        let in_pairs = trigrams.len() >= IN_PAIRS;
        let mut sql = Statement::new("");
        for (n, trigram) in trigrams.iter().enumerate() {
            sql.push(if n == 0 { "" } else { " UNION " });
            sql.push("(SELECT number, padded FROM known_words WHERE optag_trigrams(padded) @> ARRAY[CAST(")
                .bind_text(trigram)
                .push(" AS TEXT)");
            if in_pairs {
                sql.push(", CAST(").bind_text(&trigrams[(n + 1) % trigrams.len()]).push(" AS TEXT)");
            }
            sql.push("] LIMIT ").bind_number(if in_pairs { OF_PAIR } else { OF_TRIGRAM }).push(")");
        }
        let mut words = self.words_of(sql).await?;
        let shared =
            |padded: &str| trigrams.iter().filter(|trigram| padded.contains(trigram.as_str())).count();
        words.sort_by_cached_key(|(number, padded)| (Reverse(shared(padded)), *number));
        words.truncate(COMPARED);
        Ok(words)
    }

    /// These words, padded, if they are known.
    async fn exactly(&self, padded: &str, others: &[String]) -> Result<Vec<(i64, String)>, IndexError> {
        let mut sql = Statement::new("SELECT number, padded FROM known_words WHERE padded IN (");
        sql.bind_text(padded);
        for other in others {
            sql.push(", ").bind_text(format!(" {other} "));
        }
        sql.push(")");
        self.words_of(sql).await
    }

    async fn words_of(&self, sql: Statement) -> Result<Vec<(i64, String)>, IndexError> {
        let rows = sql.query().fetch_all(&self.database.readers).await?;
        rows.iter().map(|row| Ok((row.try_get("number")?, row.try_get("padded")?))).collect()
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
}

/// For each trigram, the words that contain it, as a JSON array: counting them here takes a fraction of the time that
/// SQLite needs for it.
fn words_with(trigrams: &[String]) -> Statement {
    let mut sql = Statement::new("");
    for (n, trigram) in trigrams.iter().enumerate() {
        sql.push(if n == 0 { "" } else { " UNION ALL " });
        sql.push(
            "SELECT json_group_array(word) AS words FROM (SELECT rowid AS word FROM words_trigrams
             WHERE words_trigrams MATCH ",
        )
        .bind_text(quoted(trigram));
        sql.push(&format!(" LIMIT {OF_TRIGRAM}) AS of_{n}"));
    }
    if trigrams.is_empty() {
        sql.push("SELECT '[]' AS words");
    }
    sql
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
        let all = trigrams_in_order(" vkoytogaard ");
        let telling = index.telling(all.clone()).await.unwrap();
        let left: Vec<&String> = all.iter().filter(|trigram| !telling.contains(trigram)).collect();
        assert_eq!(left, ["gaa", "aar", "ard", "rd "]);
        for told in ["vkoytogaard", "vokytogard", "wokytogaard", "vokytogaardt"] {
            let likest = index.like(told).await.unwrap();
            assert_eq!(likest.first().map(Like::as_str), Some("vokytogaard"), "{told}");
        }
    }
}
