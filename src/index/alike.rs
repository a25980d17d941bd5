//! Fuzzy search by name, without a time. In: a name as given. Out: rows to be scored by `likeness`: those with words
//! similar to all given ones or, if there are none, with words similar to one of them, the newest of each.

use sqlx::any::AnyRow;

use super::alike_words::{LIKEST, Like};
use super::candidates::{JUDGED, LOOKED_AT, Wanted};
use super::conditions::has_part;
use super::fold::fold;
use super::known_names::Known;
use super::likeness::{NAME_LEAST, words};
use super::names::Stretch;
use super::search_terms::Query;
use super::statement::Statement;
use super::{Index, IndexError};

/// Maximum number of rows of a statement.
pub(super) const ALIKE: i64 = 200;
/// Maximum number of words of a name that are used.
const WORDS: usize = 4;
/// Maximum number of names combined from these words.
const TOGETHER: usize = 256;
/// Maximum number of names of a word, or of words, whose rows are looked up.
const NAMES: i64 = 2_000;
/// Maximum number of names of one of several words that are checked for the others.
const ENTRIES: i64 = 20_000;
/// Newest names, which are searched for a word that too many names contain.
const NEWEST: i64 = 20_000;

/// A way to find matching rows.
#[derive(Debug)]
pub(super) enum Way {
    /// The newest names, while the index of names is incomplete.
    Newest,
    /// Words similar to each of several given ones.
    All(Vec<Vec<Like>>),
    /// Words similar to one given word.
    One(Vec<Like>),
}

impl Index {
    /// The ways to find rows for a name, best first.
    pub(super) async fn ways_alike(&self, name: &str) -> Result<Vec<Way>, IndexError> {
        if !self.names_are_filled().await? {
            return Ok(vec![Way::Newest]);
        }
        let folded = fold(name);
        let mut told = Vec::new();
        for word in words(&folded).filter(|word| word.chars().nth(1).is_some()).take(WORDS) {
            told.push(self.like(word).await?);
        }
        let all = told.len() > 1 && told.iter().all(|likest| !likest.is_empty());
        let mut ways = if all { vec![Way::All(told.clone())] } else { Vec::new() };
        ways.extend(told.into_iter().filter(|likest| !likest.is_empty()).map(Way::One));
        Ok(ways)
    }

    /// Rows found in one way, most similar names first and the newest of each; at most about [`ALIKE`] per step.
    pub(super) async fn rows_alike(&self, way: &Way, wanted: &Wanted) -> Result<Vec<AnyRow>, IndexError> {
        match way {
            Way::Newest => {
                let mut sql = self.judged("recordings_names", wanted);
                sql.push(" AND caller_name_folded IS NOT NULL");
                newest(&mut sql, LOOKED_AT);
                Ok(sql.query().fetch_all(&self.database.readers).await?)
            }
            Way::All(told) => self.rows_of_all(told, wanted).await,
            Way::One(likest) => self.rows_of_one(likest, wanted).await,
        }
    }

    /// Rows of names that have words similar to all given ones.
    async fn rows_of_all(&self, told: &[Vec<Like>], wanted: &Wanted) -> Result<Vec<AnyRow>, IndexError> {
        let together = together(told);
        let mut rows = Vec::new();
        let mut left = together.as_slice();
        // Most similar names first, so that many rows of other names do not crowd theirs out.
        for most in [2, 14, TOGETHER] {
            let (likest, others) = left.split_at(most.min(left.len()));
            left = others;
            if likest.is_empty() || rows.len() >= ALIKE as usize {
                break;
            }
            let names: Vec<String> = likest
                .iter()
                .flat_map(|words| {
                    [words.join(" "), words.iter().rev().copied().collect::<Vec<_>>().join(" ")]
                })
                .collect();
            let known = Known::of(&names);
            let mut sql = self.judged("recordings_of_name", wanted);
            sql.push(" AND caller_name_folded IN ");
            self.database.each_of(&mut sql, &known);
            newest(&mut sql, ALIKE);
            rows.extend(sql.query().fetch_all(&self.database.readers).await?);
        }
        if rows.len() < ALIKE as usize {
            rows.extend(self.rows_of_entries(told, wanted).await?);
        }
        Ok(rows)
    }

    /// The same by the words of each name, in any order and with other words between them.
    async fn rows_of_entries(&self, told: &[Vec<Like>], wanted: &Wanted) -> Result<Vec<AnyRow>, IndexError> {
        let mut fewest: Option<(i64, usize)> = None;
        // A common word is only counted to its end if no other word is rarer.
        for most in [NAMES, ENTRIES] {
            for (at, likest) in told.iter().enumerate() {
                let mut sql =
                    Statement::new("SELECT COUNT(*) AS total FROM (SELECT 1 AS hit FROM words_of_names");
                of_words(&mut sql, " WHERE word", likest);
                let most = fewest.map_or(most, |(fewest, _)| fewest.min(most));
                sql.push(" LIMIT ").bind_number(most + 1).push(") AS counted");
                let count = (self.total(sql).await?, at);
                fewest = Some(fewest.map_or(count, |fewest| fewest.min(count)));
            }
            match fewest {
                Some((count, _)) if most < ENTRIES && count > most => fewest = None,
                _ => break,
            }
        }
        let Some((count, first)) = fewest else { return Ok(Vec::new()) };
        if count > ENTRIES {
            let likest: Vec<&str> =
                told.iter().filter_map(|likest| likest.first()).map(Like::as_str).collect();
            return self.newest_with(&likest, wanted).await;
        }
        let mut sql = self.judged("recordings_of_name", wanted);
        sql.push(" AND caller_name_folded IN (SELECT k.folded FROM words_of_names AS w");
        sql.push(" JOIN known_names AS k ON k.number = w.name");
        of_words(&mut sql, " WHERE w.word", &told[first]);
        for (at, likest) in told.iter().enumerate().filter(|(at, _)| *at != first) {
            sql.push(&format!(
                " AND EXISTS (SELECT 1 FROM words_of_names AS o{at} WHERE o{at}.name = w.name"
            ));
            of_words(&mut sql, &format!(" AND o{at}.word"), likest);
            sql.push(")");
        }
        sql.push(" LIMIT ").bind_number(NAMES).push(")");
        newest(&mut sql, ALIKE);
        Ok(sql.query().fetch_all(&self.database.readers).await?)
    }

    /// Rows of names that have one of these words.
    async fn rows_of_one(&self, likest: &[Like], wanted: &Wanted) -> Result<Vec<AnyRow>, IndexError> {
        let mut rows = Vec::new();
        let mut left = likest;
        for most in [1, 3, LIKEST] {
            let (these, others) = left.split_at(most.min(left.len()));
            left = others;
            if these.is_empty() || rows.len() >= ALIKE as usize {
                break;
            }
            let mut few = Vec::new();
            for like in these {
                let mut sql = Statement::new(
                    "SELECT COUNT(*) AS total FROM (SELECT 1 AS hit FROM words_of_names WHERE word = ",
                );
                sql.bind_number(like.number).push(" LIMIT ").bind_number(NAMES + 1).push(") AS counted");
                match self.total(sql).await? > NAMES {
                    true => rows.extend(self.newest_with(&[like.as_str()], wanted).await?),
                    false => few.push(like.clone()),
                }
            }
            if few.is_empty() {
                continue;
            }
            let mut sql = self.judged("recordings_of_name", wanted);
            sql.push(" AND caller_name_folded IN (SELECT k.folded FROM words_of_names AS w");
            sql.push(" JOIN known_names AS k ON k.number = w.name");
            of_words(&mut sql, " WHERE w.word", &few);
            sql.push(" LIMIT ").bind_number(NAMES).push(")");
            newest(&mut sql, ALIKE);
            rows.extend(sql.query().fetch_all(&self.database.readers).await?);
        }
        Ok(rows)
    }

    /// Rows of the newest names that have all of these words.
    async fn newest_with(&self, words: &[&str], wanted: &Wanted) -> Result<Vec<AnyRow>, IndexError> {
        let (department, within) = (wanted.department.clone(), wanted.within.clone());
        let query = Query { department, within, ..Query::default() };
        let down_to = self.floor(&query, None, NEWEST).await?;
        let mut sql = Statement::new(&format!("SELECT {JUDGED}"));
        self.names_within(&mut sql, &query, Stretch { after: None, down_to });
        for word in words {
            has_part(sql.push(" AND "), "caller_name_folded", word);
        }
        newest(&mut sql, ALIKE);
        Ok(sql.query().fetch_all(&self.database.readers).await?)
    }

    /// The columns to score, read by an index.
    fn judged(&self, index: &str, wanted: &Wanted) -> Statement {
        let by = self.database.indexed_by(index);
        let mut sql =
            Statement::new(&format!("SELECT {JUDGED} FROM recordings{by} WHERE erased_at_us IS NULL"));
        if let Some(department) = &wanted.department {
            sql.push(" AND department = ").bind_text(department.clone());
        }
        wanted.within.push(&mut sql, "department");
        sql
    }
}

/// Names combined from known words, one for each given word, most similar first.
fn together(told: &[Vec<Like>]) -> Vec<Vec<&str>> {
    let each = (1..=LIKEST).rev().find(|each| each.pow(told.len() as u32) <= TOGETHER).unwrap_or(1);
    let mut all: Vec<(f64, Vec<&str>)> = vec![(0.0, Vec::new())];
    for likest in told {
        all = all
            .iter()
            .flat_map(|(sum, words)| {
                likest.iter().take(each).map(move |like| {
                    let longer = words.iter().copied().chain([like.word.as_str()]).collect();
                    (sum + like.likeness, longer)
                })
            })
            .collect();
    }
    all.sort_by(|one, other| other.0.total_cmp(&one.0));
    all.retain(|(sum, _)| *sum >= NAME_LEAST * told.len() as f64);
    all.into_iter().map(|(_, words)| words).collect()
}

/// A condition: one of these words.
fn of_words(sql: &mut Statement, column: &str, words: &[Like]) {
    sql.push(&format!("{column} IN ("));
    for (n, word) in words.iter().enumerate() {
        sql.push(if n == 0 { "" } else { ", " }).bind_number(word.number);
    }
    sql.push(")");
}

fn newest(sql: &mut Statement, most: i64) {
    sql.push(" ORDER BY started_at_us DESC, id DESC LIMIT ").bind_number(most);
}
