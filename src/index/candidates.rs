//! Candidates for what a caller tells: recordings of a window of time, by how well number and name
//! fit. In: what was said. Out: rows, the likeliest first. Nothing of them is played.

use std::collections::{HashMap, HashSet};

use sqlx::Row;
use sqlx::any::AnyRow;

use super::alike::ALIKE;
use super::conditions::of_number;
use super::likeness::{self, NumberLikeness};
use super::query::Number;
use super::statement::Statement;
use super::{Index, IndexError, IndexRow, id_of};
use optag_core::call::number::normalise;
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;

/// Rows of a window that are compared; beyond them the window must be narrower.
const ROWS_MOST: u32 = 20_000;
/// Rows that are compared by name alone, where there is no index of names yet.
pub(super) const LOOKED_AT: i64 = 5_000;
/// Calls of more than this are looked for by an index of their own. The migration has the same. Units: µs.
const LONG_US: i64 = 6 * 3_600_000_000;
/// What is needed of a row to judge it.
pub(super) const JUDGED: &str = "id, department, started_at_us, ended_at_us, caller_number_norm, caller_name";

/// What a caller told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Number called from, in any format.
    pub number: Option<Private<String>>,
    /// Name, perhaps misspelt.
    pub name: Option<Private<String>>,
    /// Department id.
    pub department: Option<String>,
    /// The call went on at some moment of this window. Without one the number decides, and without that the name.
    pub window: Option<(WallTime, WallTime)>,
    /// The moment that was named, in the window.
    pub around: Option<WallTime>,
    /// Most candidates.
    pub most: usize,
}

/// A recording that may be the one.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// It.
    pub row: IndexRow,
    /// How well all of it fits. Units: 0 to 1.
    pub score: f64,
    /// How its number fits, where one was told and one is known.
    pub number: Option<NumberLikeness>,
    /// How its name fits, likewise. Units: 0 to 1.
    pub name: Option<f64>,
    /// How far the call lies from the moment that was named; 0 within the call. Units: µs.
    pub off_us: Option<i64>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates {
    /// The likeliest first.
    pub candidates: Vec<Candidate>,
    /// All that fit.
    pub total: u64,
    /// Whether the window holds more recordings than were compared.
    pub truncated: bool,
}

impl Index {
    /// Finds candidates among recordings that are not erased.
    ///
    /// Errors: the index does not answer.
    pub async fn candidates(&self, wanted: &Wanted) -> Result<Candidates, IndexError> {
        let _turn = self.database.turn_of_search().await?;
        let asked = self.asked(wanted);
        let mut rows = Vec::new();
        for sql in self.selected(wanted, asked.as_ref()) {
            rows.extend(sql.query().fetch_all(&self.database.readers).await?);
        }
        let mut truncated = rows.len() > ROWS_MOST as usize;
        let mut alike = HashMap::new();
        if let (None, None, Some(name)) = (wanted.window, &asked, &wanted.name) {
            for way in self.ways_alike(name.reveal()).await? {
                let some = self.rows_alike(&way, wanted.department.as_deref()).await?;
                truncated |= some.len() >= ALIKE as usize;
                let fits =
                    |row| Ok::<_, sqlx::Error>(judge(judged(row)?, None, None, wanted, &mut alike).is_some());
                let any = some.iter().map(fits).collect::<Result<Vec<_>, _>>()?.contains(&true);
                rows.extend(some);
                // Words by themselves have many more rows: only where all of them together find nobody.
                if any {
                    break;
                }
            }
            let mut known = HashSet::new();
            rows.retain(|row| row.try_get::<String, _>("id").is_ok_and(|id| known.insert(id)));
        }
        let mut found = Vec::new();
        for row in rows.iter().take(ROWS_MOST as usize) {
            let known: Option<String> = row.try_get("caller_number_norm")?;
            found.extend(judge(judged(row)?, known.as_deref(), asked.as_ref(), wanted, &mut alike));
        }
        found.sort_by(|one, other| {
            other.score.total_cmp(&one.score).then(one.row.started_at.cmp(&other.row.started_at))
        });
        let total = found.len() as u64;
        found.truncate(wanted.most);
        // What was erased meanwhile is no candidate any more.
        let mut whole = Vec::with_capacity(found.len());
        for candidate in found {
            let row = self.get(candidate.row.id).await?.filter(|row| row.erased_at.is_none());
            whole.extend(row.map(|row| Candidate { row, ..candidate }));
        }
        Ok(Candidates { candidates: whole, total, truncated })
    }

    /// What is compared: everything of the window, or every number that may be the one.
    fn selected(&self, wanted: &Wanted, asked: Option<&Number>) -> Vec<Statement> {
        let mut all = Vec::new();
        match (wanted.window, asked) {
            (Some((from, to)), _) => {
                // A call that goes on in the window began in it, shortly before it, or was a long one.
                let lowest = from.as_unix_micros().saturating_sub(LONG_US);
                for long in [false, true] {
                    let mut sql = Statement::new(&format!(
                        "SELECT {JUDGED} FROM recordings WHERE erased_at_us IS NULL"
                    ));
                    sql.push(" AND ended_at_us >= ").bind_number(from.as_unix_micros());
                    sql.push(" AND started_at_us <= ").bind_number(to.as_unix_micros());
                    sql.push(if long { " AND started_at_us < " } else { " AND started_at_us >= " });
                    sql.bind_number(lowest);
                    if long {
                        sql.push(&format!(" AND ended_at_us - started_at_us > {LONG_US}"));
                    }
                    all.push(sql);
                }
            }
            (None, Some(number)) if !number.norm.is_empty() => {
                let mut sql =
                    Statement::new(&format!("SELECT {JUDGED} FROM recordings WHERE erased_at_us IS NULL"));
                sql.push(" AND ");
                of_number(&mut sql, &self.database, number, "caller_number_norm");
                all.push(sql);
            }
            (None, _) => {}
        }
        for sql in &mut all {
            if let Some(department) = &wanted.department {
                sql.push(" AND department = ").bind_text(department.clone());
            }
            sql.push(" ORDER BY started_at_us DESC LIMIT ").bind_number(i64::from(ROWS_MOST) + 1);
        }
        all
    }
}

impl Index {
    /// Whether a recording that has no row yet may be the one.
    pub fn judge(&self, row: IndexRow, wanted: &Wanted) -> Option<Candidate> {
        let known =
            row.caller_number.as_ref().and_then(|number| normalise(number.reveal(), &self.country_code));
        let department = wanted.department.as_ref().is_none_or(|department| *department == row.department);
        let in_time = wanted.window.is_none_or(|(from, to)| row.started_at <= to && row.ended_at >= from);
        if !department || !in_time {
            return None;
        }
        judge(row, known.as_deref(), self.asked(wanted).as_ref(), wanted, &mut HashMap::new())
    }

    /// Recordings that are not erased and whose caller has exactly this number.
    ///
    /// Errors: the index does not answer.
    pub async fn of_caller(&self, number: &str) -> Result<Vec<CallId>, IndexError> {
        let Some(number) = normalise(number, &self.country_code) else { return Ok(Vec::new()) };
        let sql =
            "SELECT id FROM recordings WHERE erased_at_us IS NULL AND caller_number_norm = $1 ORDER BY id";
        self.ids(sqlx::query(sql).bind(number)).await
    }

    /// Whether two spellings are one number.
    pub fn same_number(&self, one: &str, other: &str) -> bool {
        let norm = |number: &str| normalise(number, &self.country_code);
        norm(one).is_some() && norm(one) == norm(other)
    }

    /// The number as asked for, in normal form, and its bare digits.
    fn asked(&self, wanted: &Wanted) -> Option<Number> {
        wanted.number.as_ref().map(|number| {
            let digits: String = number.reveal().chars().filter(char::is_ascii_digit).collect();
            let norm = normalise(number.reveal(), &self.country_code).unwrap_or_default();
            Number { norm, digits }
        })
    }
}

/// As much of a row as is judged.
fn judged(row: &AnyRow) -> Result<IndexRow, sqlx::Error> {
    let time = |column: &str| row.try_get(column).map(WallTime::from_unix_micros);
    Ok(IndexRow {
        id: id_of(row)?,
        department: row.try_get("department")?,
        started_at: time("started_at_us")?,
        recording_started_at: time("started_at_us")?,
        ended_at: time("ended_at_us")?,
        duration_ms: 0,
        caller_number: None,
        called_number: None,
        caller_name: row.try_get::<Option<String>, _>("caller_name")?.map(Private::new),
        external_id: None,
        object_bytes: 0,
        object_sha256: String::new(),
        expires_at: WallTime::default(),
        erased_at: None,
        verdicts: Vec::new(),
        streams: Vec::new(),
    })
}

/// Whether a row may be the one. What is not known of a call (a hidden number, no name) speaks
/// neither for nor against it; what is known and differs rules it out.
fn judge(
    row: IndexRow,
    known: Option<&str>,
    asked: Option<&Number>,
    wanted: &Wanted,
    likenesses: &mut HashMap<String, f64>,
) -> Option<Candidate> {
    let number = match (asked, known) {
        (Some(asked), Some(known)) => Some(likeness::number(&asked.norm, &asked.digits, known)?),
        _ => None,
    };
    let name = match (&wanted.name, &row.caller_name) {
        (Some(asked), Some(known)) => {
            let alike = match likenesses.get(known.reveal()) {
                Some(alike) => *alike,
                None => {
                    let alike = likeness::name(asked.reveal(), known.reveal());
                    likenesses.insert(known.reveal().clone(), alike);
                    alike
                }
            };
            Some(Some(alike).filter(|alike| *alike >= likeness::NAME_LEAST)?)
        }
        _ => None,
    };
    let off_us = wanted.around.map(|at| {
        let before = row.started_at.micros_since(at).max(0);
        before.max(at.micros_since(row.ended_at)).max(0)
    });
    let half_width = wanted.window.map_or(1, |(from, to)| (to.micros_since(from) / 2).max(1));
    let parts = [
        wanted.number.as_ref().map(|_| (3.0, number.map_or(0.3, NumberLikeness::score))),
        wanted.name.as_ref().map(|_| (2.0, name.unwrap_or(0.3))),
        off_us.map(|off| (1.0, 1.0 - (off as f64 / half_width as f64).min(1.0) / 2.0)),
    ];
    let (sum, weight) = parts
        .into_iter()
        .flatten()
        .fold((0.0, 0.0), |(sum, all), (weight, fit)| (sum + weight * fit, all + weight));
    let score = if weight == 0.0 { 0.5 } else { sum / weight };
    Some(Candidate { row, score: (score * 100.0).round() / 100.0, number, name, off_us })
}
