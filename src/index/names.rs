//! Names by their parts. In: a folded part of a name. Out: recordings that have it, the newest first.
//!
//! PostgreSQL has an index of trigrams beside the rows. In SQLite they are a table of FTS5, by places: numbers in
//! order of time, one a recording. A search goes down the places in stretches that begin and end with a
//! millisecond, as places of one millisecond are in no order; what else is asked for is looked at in each
//! stretch. Parts shorter than a trigram are looked for among the newest names.

use sqlx::Row;

use super::conditions::{Along, after, checks, escape, has_part, page, time};
use super::database::{Database, Kind};
use super::query::{Asked, COUNTED, Found, LOOKED_AT, PART_NAME, Position, Query};
use super::statement::Statement;
use super::{Index, IndexError};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// Names that are looked at for a part that is shorter than a trigram.
const SHORT: i64 = 50_000;
/// Bits of a place below its millisecond. The migration has the same.
const BELOW_MS: u32 = 20;
/// The last millisecond that has places of its own. The migration has the same.
const LAST_MS: i64 = 8_796_093_022_206;
/// Matches that are read at once.
const FEW: u64 = 1_000;
/// Matches of the first stretch where other conditions must hold too; each further one has four times as many.
const STRETCH: i64 = 250;

/// How the names of a search are found.
pub enum NamesBy {
    /// No recording can have what was asked for.
    Nothing,
    /// By looking at rows.
    Rows,
    /// By an index.
    Index(Names),
}

/// The index of names, asked for a part.
pub enum Names {
    /// PostgreSQL's, beside the rows.
    Postgres,
    /// SQLite's: an expression of FTS5.
    Trigrams(String),
    /// SQLite's, each name looked at: a part, and the code of a department.
    Short(String, Option<String>),
}

/// Whether a part is long enough for a trigram.
pub fn has_trigrams(part: impl AsRef<str>) -> bool {
    part.as_ref().chars().count() >= PART_NAME
}

/// Places from one to before another.
#[derive(Clone, Copy)]
pub struct Places {
    pub low: i64,
    pub high: i64,
}

impl Places {
    /// Those of a search's time, from where the page before ended.
    fn of(query: &Query, after: Option<Position>) -> Self {
        let below = |at: WallTime| first_place(at) + (1 << BELOW_MS);
        let to = query.to.map_or(i64::MAX, |to| below(to.plus_micros(-1)));
        Self {
            low: query.from.map_or(0, first_place),
            high: after.map_or(to, |after| to.min(below(after.started_at))),
        }
    }
}

fn first_place(at: WallTime) -> i64 {
    at.as_unix_micros().div_euclid(1_000).clamp(0, LAST_MS) << BELOW_MS
}

impl Database {
    /// The last four digits of a number, as the index of endings has them.
    pub fn last_digits(&self, column: &str) -> String {
        match self.kind {
            Kind::Sqlite => format!("substr({column}, -4)"),
            Kind::Postgres => format!("right({column}, 4)"),
        }
    }
}

impl Names {
    fn table(&self) -> &'static str {
        match self {
            Self::Trigrams(_) => "names_trigrams AS n",
            _ => "names AS n",
        }
    }

    /// Names of these places with the part.
    fn among(&self, sql: &mut Statement, places: Places) {
        match self {
            Self::Postgres => {}
            Self::Trigrams(expression) => drop(sql.push("n.names_trigrams MATCH ").bind_text(expression)),
            Self::Short(part, code) => {
                has_part(sql, "n.folded", part);
                if let Some(code) = code {
                    sql.push(" AND n.code = ").bind_text(code);
                }
            }
        }
        sql.push(" AND n.rowid >= ").bind_number(places.low);
        sql.push(" AND n.rowid < ").bind_number(places.high);
    }
}

/// An expression of FTS5: a part of a name, and the code of a department.
pub fn expression(part: &str, code: Option<&str>) -> String {
    let quoted = |text: &str| text.replace('"', "\"\"");
    let code = code.map(|code| format!(" AND code : \"{}\"", quoted(code))).unwrap_or_default();
    format!("folded : \"{}\"{code}", quoted(part))
}

impl Index {
    /// How a part of a name is found.
    pub(super) async fn names_of(&self, part: &str, query: &Query) -> Result<NamesBy, IndexError> {
        if self.database.kind == Kind::Postgres {
            return Ok(if has_trigrams(part) { NamesBy::Index(Names::Postgres) } else { NamesBy::Rows });
        }
        if !self.names_are_filled().await? {
            return Ok(NamesBy::Rows);
        }
        let code = match &query.department {
            None => None,
            Some(department) => match self.code(department).await? {
                Some(code) => Some(code),
                None => return Ok(NamesBy::Nothing),
            },
        };
        Ok(NamesBy::Index(match has_trigrams(part) {
            true => Names::Trigrams(expression(part, code.as_deref())),
            false => Names::Short(part.to_owned(), code),
        }))
    }

    /// The code of a department that has names.
    pub(super) async fn code(&self, department: &str) -> Result<Option<String>, IndexError> {
        let row = sqlx::query("SELECT code FROM department_codes WHERE department = $1").bind(department);
        let row = row.fetch_optional(&self.database.readers).await?;
        Ok(row.map(|row| row.try_get("code")).transpose()?)
    }

    pub(super) async fn along_names(&self, asked: &Asked<'_>, names: &Names) -> Result<Found, IndexError> {
        match names {
            Names::Postgres => self.along_rows_of_names(asked).await,
            _ => self.along_places(asked, names).await,
        }
    }

    /// SQLite: stretch by stretch until the page is full.
    async fn along_places(&self, asked: &Asked<'_>, names: &Names) -> Result<Found, IndexError> {
        let query = asked.query;
        let mut places = Places::of(query, query.after);
        let floor = match names {
            Names::Short(..) => self.short_floor(places).await?,
            _ => None,
        };
        places.low = floor.unwrap_or(places.low);
        let wanted = query.skip as usize + query.most as usize + 1;
        let alone = asked.number.is_none() && query.verdict.is_none();
        let mut stretch = if alone { wanted as i64 + STRETCH } else { STRETCH };
        let (total, more) = self.count_names(asked, names, alone).await?;
        let mut keys: Vec<Position> = Vec::new();
        while keys.len() < wanted && places.low < places.high {
            // Going down the places takes longer than going up: few matches are read as one stretch.
            let last = match alone && !more && total <= FEW {
                true => None,
                false => self.place_of(names, places, stretch).await?,
            };
            let low = last.map_or(places.low, |place| places.low.max(place >> BELOW_MS << BELOW_MS));
            let part = Places { low, high: places.high };
            keys.extend(self.keys(asked, names, part, wanted - keys.len()).await?);
            places.high = low;
            stretch = stretch.saturating_mul(4);
        }
        let goes_on = keys.len() == wanted;
        keys.truncate(wanted - 1);
        let keys = keys.split_off(keys.len().min(query.skip as usize));
        let last = if goes_on { keys.last().copied() } else { floor.map(at_place) };
        let rows = self.rows_of(&keys).await?;
        Ok(Found { rows, total, more: more || floor.is_some(), next: last })
    }

    /// Below where names are not looked at any more.
    async fn short_floor(&self, places: Places) -> Result<Option<i64>, IndexError> {
        let mut sql = Statement::new("SELECT place FROM names WHERE place >= ");
        sql.bind_number(places.low).push(" AND place < ").bind_number(places.high);
        sql.push(" ORDER BY place DESC LIMIT 1 OFFSET ").bind_number(SHORT);
        let row = sql.query().fetch_optional(&self.database.readers).await?;
        let place: Option<i64> = row.map(|row| row.try_get("place")).transpose()?;
        Ok(place.map(|place| place >> BELOW_MS << BELOW_MS))
    }

    /// The place of the match with this number, from the newest on and from 0.
    async fn place_of(&self, names: &Names, places: Places, number: i64) -> Result<Option<i64>, IndexError> {
        let mut sql = Statement::new(&format!("SELECT n.rowid AS place FROM {} WHERE ", names.table()));
        names.among(&mut sql, places);
        sql.push(" ORDER BY n.rowid DESC LIMIT 1 OFFSET ").bind_number(number);
        let row = sql.query().fetch_optional(&self.database.readers).await?;
        Ok(row.map(|row| row.try_get("place")).transpose()?)
    }

    /// Recordings of these places that are all that is asked for, the newest first.
    async fn keys(
        &self,
        asked: &Asked<'_>,
        names: &Names,
        places: Places,
        most: usize,
    ) -> Result<Vec<Position>, IndexError> {
        let mut sql = Statement::new("SELECT r.started_at_us, r.id FROM ");
        joined(&mut sql, asked, names, places);
        after(&mut sql, asked.query, "r.");
        sql.push(" ORDER BY r.started_at_us DESC, r.id DESC LIMIT ").bind_number(most as i64);
        let rows = sql.query().fetch_all(&self.database.readers).await?;
        let read = |row: &sqlx::any::AnyRow| -> Result<Position, sqlx::Error> {
            let started_at = WallTime::from_unix_micros(row.try_get("started_at_us")?);
            Ok(Position { started_at, id: super::id_of(row)? })
        };
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    async fn rows_of(&self, keys: &[Position]) -> Result<Vec<super::IndexRow>, IndexError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut sql = Statement::new("SELECT * FROM recordings WHERE erased_at_us IS NULL AND id IN (");
        for (n, key) in keys.iter().enumerate() {
            sql.push(if n == 0 { "" } else { ", " }).bind_text(key.id.to_string());
        }
        sql.push(") ORDER BY started_at_us DESC, id DESC");
        self.read_rows(sql).await
    }

    /// How many there are, and whether there may be more.
    async fn count_names(
        &self,
        asked: &Asked<'_>,
        names: &Names,
        alone: bool,
    ) -> Result<(u64, bool), IndexError> {
        let mut places = Places::of(asked.query, None);
        if let Names::Short(..) = names {
            places.low = self.short_floor(places).await?.unwrap_or(places.low);
        }
        let whole_ms = |at: Option<WallTime>| at.is_none_or(|at| at.as_unix_micros() % 1_000 == 0);
        if alone && whole_ms(asked.query.from) && whole_ms(asked.query.to) {
            let table = names.table();
            let mut sql = Statement::new(&format!(
                "SELECT COUNT(*) AS total FROM (SELECT 1 AS hit FROM {table} WHERE "
            ));
            names.among(&mut sql, places);
            sql.push(" LIMIT ").bind_number(COUNTED + 1).push(")");
            let total = self.total(sql).await?;
            return Ok((total as u64, total > COUNTED));
        }
        let last = self.place_of(names, places, LOOKED_AT).await?;
        places.low = last.map_or(places.low, |place| places.low.max(place >> BELOW_MS << BELOW_MS));
        let mut sql = Statement::new("SELECT COUNT(*) AS total FROM ");
        joined(&mut sql, asked, names, places);
        Ok((self.total(sql).await? as u64, last.is_some()))
    }

    /// PostgreSQL: rows whose name has the part, the newest first.
    async fn along_rows_of_names(&self, asked: &Asked<'_>) -> Result<Found, IndexError> {
        let (name, query) = (asked.name.as_deref().unwrap_or_default(), asked.query);
        let alone = asked.number.is_none() && query.department.is_none() && query.verdict.is_none();
        let mut rows = Statement::new("SELECT r.* FROM recordings r WHERE ");
        with_part(&mut rows, name, query);
        checks(&mut rows, asked, "", Along::Name);
        after(&mut rows, query, "");
        page(&mut rows, query, query.skip);
        let rows = self.read_rows(rows).await?;
        let cap = if alone { COUNTED } else { LOOKED_AT };
        let mut count =
            Statement::new("SELECT COUNT(*) AS total FROM (SELECT 1 AS hit FROM recordings WHERE ");
        with_part(&mut count, name, query);
        count.push(" LIMIT ").bind_number(cap + 1).push(") AS counted");
        let looked_at = self.total(count).await?;
        if alone {
            return Ok(Found::page(rows, query, looked_at as u64, looked_at > cap));
        }
        let mut count = Statement::new("SELECT COUNT(*) AS total FROM (SELECT * FROM recordings WHERE ");
        with_part(&mut count, name, query);
        count.push(" ORDER BY started_at_us DESC, id DESC LIMIT ").bind_number(LOOKED_AT);
        count.push(") AS r WHERE TRUE");
        checks(&mut count, asked, "r.", Along::Name);
        Ok(Found::page(rows, query, self.total(count).await? as u64, looked_at > cap))
    }
}

/// Names of these places with their rows, as far as they are what is asked for.
fn joined(sql: &mut Statement, asked: &Asked<'_>, names: &Names, places: Places) {
    sql.push(names.table()).push(" CROSS JOIN names AS m ON m.place = n.rowid");
    sql.push(" CROSS JOIN recordings AS r ON r.id = m.id WHERE ");
    names.among(sql, places);
    sql.push(" AND r.erased_at_us IS NULL");
    checks(sql, asked, "r.", Along::Name);
}

/// PostgreSQL: rows that are not erased and whose name has a part, by its trigrams.
pub fn with_part(sql: &mut Statement, part: &str, query: &Query) {
    sql.push("erased_at_us IS NULL AND optag_trigrams(caller_name_folded) @> optag_trigrams(");
    sql.bind_text(part).push(") AND caller_name_folded LIKE ");
    sql.bind_text(format!("%{}%", escape(part))).push(" ESCAPE '\\'");
    time(sql, query, "");
}

/// Before everything of a place's millisecond.
fn at_place(place: i64) -> Position {
    Position {
        started_at: WallTime::from_unix_micros((place >> BELOW_MS) * 1_000),
        id: CallId::from_bytes([0; 16]),
    }
}
