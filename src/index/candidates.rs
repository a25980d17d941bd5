//! Candidates for the call that a caller describes: recordings of a time window, scored by how well number and name
//! match. In: the caller's description. Out: rows, best match first. No audio is read.

use std::collections::{HashMap, HashSet};

use sqlx::Row;
use sqlx::any::AnyRow;

use super::alike::ALIKE;
use super::conditions::of_number;
use super::likeness::{self, NumberLikeness};
use super::search_terms::Number;
use super::statement::Statement;
use super::{Departments, Index, IndexError, IndexRow, id_of};
use optag_core::call::number::normalise;
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;

/// Maximum number of rows compared in one window; a window with more must be narrowed.
const ROWS_MOST: u32 = 20_000;
/// Maximum number of rows compared by name alone while the index of names is incomplete.
pub(super) const LOOKED_AT: i64 = 5_000;
/// Calls longer than this are found by a separate index. The migration uses the same value. Units: µs.
const LONG_US: i64 = 6 * 3_600_000_000;
/// Columns needed to score a row.
pub(super) const JUDGED: &str =
    "id, department, started_at_us, ended_at_us, caller_number_norm, called_number_norm, caller_name";

/// A caller's description of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Number called from, in any format.
    pub number: Option<Private<String>>,
    /// Number called, which is the department's or an employee's, in any format.
    pub called_number: Option<Private<String>>,
    /// Name, possibly misspelt.
    pub name: Option<Private<String>>,
    /// Department id.
    pub department: Option<String>,
    /// Departments beyond which nothing is found.
    pub within: Departments,
    /// Window in which the call took place, at least partly. Without a window the search goes by number, without a
    /// number by name.
    pub window: Option<(WallTime, WallTime)>,
    /// The moment given by the caller, within the window.
    pub around: Option<WallTime>,
    /// Maximum number of candidates.
    pub most: usize,
}

/// A recording that matches the description.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The row.
    pub row: IndexRow,
    /// Overall score. Units: 0 to 1.
    pub score: f64,
    /// How the number matches; none where no number was given or none is known.
    pub number: Option<NumberLikeness>,
    /// The same for the number called.
    pub called_number: Option<NumberLikeness>,
    /// How the name matches; none where no name was given or none is known. Units: 0 to 1.
    pub name: Option<f64>,
    /// Distance of the call from the given moment; 0 during the call. Units: µs.
    pub off_us: Option<i64>,
}

/// Result of a search for candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates {
    /// Candidates, best match first.
    pub candidates: Vec<Candidate>,
    /// Number of all matches.
    pub total: u64,
    /// Whether the window holds more recordings than were compared.
    pub truncated: bool,
}

impl Index {
    /// Finds candidates among recordings that are not erased.
    ///
    /// Errors: index unavailable.
    pub async fn candidates(&self, wanted: &Wanted) -> Result<Candidates, IndexError> {
        let _turn = self.database.turn_of_search().await?;
        let Some((department, within)) = wanted.within.narrow(wanted.department.clone()) else {
            return Ok(Candidates { candidates: Vec::new(), total: 0, truncated: false });
        };
        let wanted = &Wanted { department, within, ..wanted.clone() };
        let asked = self.asked(wanted);
        let asked = asked.by_ref();
        let mut rows = Vec::new();
        for sql in self.selected(wanted, asked) {
            rows.extend(sql.query().fetch_all(&self.database.readers).await?);
        }
        let mut truncated = rows.len() > ROWS_MOST as usize;
        let mut alike = HashMap::new();
        if let (None, false, Some(name)) = (wanted.window, asked.any(), &wanted.name) {
            for way in self.ways_alike(name.reveal()).await? {
                let some = self.rows_alike(&way, wanted).await?;
                truncated |= some.len() >= ALIKE as usize;
                let fits = |row| {
                    Ok::<_, sqlx::Error>(
                        judge(judged(row)?, Numbers::none(), Numbers::none(), wanted, &mut alike).is_some(),
                    )
                };
                let any = some.iter().map(fits).collect::<Result<Vec<_>, _>>()?.contains(&true);
                rows.extend(some);
                // Single words match many more rows: they are used only where no row has all words.
                if any {
                    break;
                }
            }
            let mut known = HashSet::new();
            rows.retain(|row| row.try_get::<String, _>("id").is_ok_and(|id| known.insert(id)));
        }
        let mut found = Vec::new();
        for row in rows.iter().take(ROWS_MOST as usize) {
            let (caller, called): (Option<String>, Option<String>) =
                (row.try_get("caller_number_norm")?, row.try_get("called_number_norm")?);
            let known = Numbers { caller: caller.as_deref(), called: called.as_deref() };
            found.extend(judge(judged(row)?, known, asked, wanted, &mut alike));
        }
        found.sort_by(|one, other| {
            other.score.total_cmp(&one.score).then(one.row.started_at.cmp(&other.row.started_at))
        });
        let total = found.len() as u64;
        found.truncate(wanted.most);
        // Recordings erased since the first query are left out.
        let mut whole = Vec::with_capacity(found.len());
        for candidate in found {
            let row = self.get(candidate.row.id).await?.filter(|row| row.erased_at.is_none());
            whole.extend(row.map(|row| Candidate { row, ..candidate }));
        }
        Ok(Candidates { candidates: whole, total, truncated })
    }

    /// Selects the rows to compare: all of the window, or all with a number that may match.
    fn selected(&self, wanted: &Wanted, asked: Numbers<&Number>) -> Vec<Statement> {
        let mut all = Vec::new();
        let is_usable = |number: &&Number| !number.norm.is_empty();
        let by_caller = asked.caller.filter(is_usable).map(|number| (number, "caller_number_norm"));
        let by_called = asked.called.filter(is_usable).map(|number| (number, "called_number_norm"));
        // One number selects the rows; the other one, if there is, is compared with them.
        let by_number = if asked.caller.is_some() { by_caller } else { by_called };
        match (wanted.window, by_number) {
            (Some((from, to)), _) => {
                // A call in progress during the window began in it, shortly before it, or was a long call.
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
            (None, Some((number, column))) => {
                let mut sql =
                    Statement::new(&format!("SELECT {JUDGED} FROM recordings WHERE erased_at_us IS NULL"));
                sql.push(" AND ");
                of_number(&mut sql, &self.database, number, column);
                all.push(sql);
            }
            (None, _) => {}
        }
        for sql in &mut all {
            if let Some(department) = &wanted.department {
                sql.push(" AND department = ").bind_text(department.clone());
            }
            wanted.within.push(sql, "department");
            sql.push(" ORDER BY started_at_us DESC LIMIT ").bind_number(i64::from(ROWS_MOST) + 1);
        }
        all
    }
}

impl Index {
    /// Scores a recording that has no row yet; none where it does not match.
    pub fn judge(&self, row: IndexRow, wanted: &Wanted) -> Option<Candidate> {
        let norm = |number: &Option<Private<String>>| {
            number.as_ref().and_then(|number| normalise(number.reveal(), &self.country_code))
        };
        let known = Numbers { caller: norm(&row.caller_number), called: norm(&row.called_number) };
        let department = wanted.department.as_ref().is_none_or(|department| *department == row.department);
        let in_time = wanted.window.is_none_or(|(from, to)| row.started_at <= to && row.ended_at >= from);
        if !department || !wanted.within.cover(&row.department) || !in_time {
            return None;
        }
        let known = Numbers { caller: known.caller.as_deref(), called: known.called.as_deref() };
        judge(row, known, self.asked(wanted).by_ref(), wanted, &mut HashMap::new())
    }

    /// Ids of recordings of these departments that are not erased and whose caller has exactly this number.
    ///
    /// Errors: index unavailable.
    pub async fn of_caller(&self, number: &str, within: &Departments) -> Result<Vec<CallId>, IndexError> {
        let Some(number) = normalise(number, &self.country_code) else { return Ok(Vec::new()) };
        let mut sql = Statement::new("SELECT id FROM recordings WHERE erased_at_us IS NULL");
        sql.push(" AND caller_number_norm = ").bind_text(number);
        within.push(&mut sql, "department");
        sql.push(" ORDER BY id");
        self.ids(sql.query()).await
    }

    /// Whether two spellings denote the same number.
    pub fn same_number(&self, one: &str, other: &str) -> bool {
        let norm = |number: &str| normalise(number, &self.country_code);
        norm(one).is_some() && norm(one) == norm(other)
    }

    /// The given numbers in normal form, and their bare digits.
    fn asked(&self, wanted: &Wanted) -> Numbers<Number> {
        let number = |number: &Option<Private<String>>| {
            number.as_ref().map(|number| {
                let digits: String = number.reveal().chars().filter(char::is_ascii_digit).collect();
                let norm = normalise(number.reveal(), &self.country_code).unwrap_or_default();
                Number { norm, digits }
            })
        };
        Numbers { caller: number(&wanted.number), called: number(&wanted.called_number) }
    }
}

/// The two numbers of a call.
#[derive(Clone, Copy)]
struct Numbers<T> {
    caller: Option<T>,
    called: Option<T>,
}

impl<T> Numbers<T> {
    fn none() -> Self {
        Self { caller: None, called: None }
    }
}

impl Numbers<Number> {
    fn by_ref(&self) -> Numbers<&Number> {
        Numbers { caller: self.caller.as_ref(), called: self.called.as_ref() }
    }
}

impl Numbers<&Number> {
    fn any(self) -> bool {
        self.caller.is_some() || self.called.is_some()
    }
}

/// Decodes the columns in [`JUDGED`].
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

/// Scores a row. A value unknown for the call (hidden number, no name) counts as neutral; a known value that differs
/// excludes the row.
fn judge(
    row: IndexRow,
    known: Numbers<&str>,
    asked: Numbers<&Number>,
    wanted: &Wanted,
    likenesses: &mut HashMap<String, f64>,
) -> Option<Candidate> {
    // The outer `None`: it differs.
    let likeness_of = |asked: Option<&Number>, known: Option<&str>| match (asked, known) {
        (Some(asked), Some(known)) => likeness::number(&asked.norm, &asked.digits, known).map(Some),
        _ => Some(None),
    };
    let number = likeness_of(asked.caller, known.caller)?;
    let called_number = likeness_of(asked.called, known.called)?;
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
        // Many callers call the same number.
        wanted.called_number.as_ref().map(|_| (1.0, called_number.map_or(0.3, NumberLikeness::score))),
        wanted.name.as_ref().map(|_| (2.0, name.unwrap_or(0.3))),
        off_us.map(|off| (1.0, 1.0 - (off as f64 / half_width as f64).min(1.0) / 2.0)),
    ];
    let (sum, weight) = parts
        .into_iter()
        .flatten()
        .fold((0.0, 0.0), |(sum, all), (weight, fit)| (sum + weight * fit, all + weight));
    let score = if weight == 0.0 { 0.5 } else { sum / weight };
    Some(Candidate { row, score: (score * 100.0).round() / 100.0, number, called_number, name, off_us })
}
