//! Search by part of a name. In: a folded part of a name. Out: recordings that contain it, newest first.
//!
//! A part that is common among the newest names is searched in time order, by an index that does not read the rows: a
//! page fills up soon. For any other part, `known_names` gives the spellings, and an index of whole names gives the
//! rows. Parts that are shorter than a trigram, or that thousands of spellings contain, are searched among a limited
//! number of names; the next page continues from there.

use sqlx::Row;

use super::conditions::{Along, before, checks, has_part, time};
use super::known_names::{Known, has_trigrams};
use super::query::{COUNTED, LOOKED_AT};
use super::search_terms::{Asked, Found, Position, Query};
use super::statement::Statement;
use super::{Index, IndexError, id_of};
use optag_core::clock::WallTime;

/// Newest names, in which a part's frequency is estimated.
const NEAR: i64 = 5_000;
/// Occurrences among those from which a part counts as common.
const COMMON: i64 = 100;
/// Further names searched for one page, in a second pass.
const FAR: i64 = 45_000;

/// A range of the list, newest first: after one position (exclusive), down to another (inclusive).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stretch {
    pub after: Option<Position>,
    pub down_to: Option<Position>,
}

impl Index {
    /// Recordings whose name contains a part.
    pub(super) async fn along_names(&self, asked: &Asked<'_>, part: &str) -> Result<Found, IndexError> {
        let query = asked.query;
        let wanted = query.skip as usize + query.most as usize + 1;
        let near = self.floor(query, None, NEAR).await?;
        let known = match near {
            Some(down_to) if has_trigrams(part) => {
                let near = Stretch { after: None, down_to: Some(down_to) };
                if self.is_common(query, part, near).await? { None } else { self.known(part).await? }
            }
            _ => None,
        };
        let (total, more) = match &known {
            Some(known) => self.count_known(asked, known).await?,
            None => self.count_looked_at(asked, part).await?,
        };
        let (mut keys, floor) = match &known {
            Some(known) => (self.keys_of_known(asked, known, wanted).await?, None),
            None => self.keys_looked_at(asked, part, near, wanted).await?,
        };
        let goes_on = keys.len() == wanted;
        keys.truncate(wanted - 1);
        let keys = keys.split_off(keys.len().min(query.skip as usize));
        let next = if goes_on { keys.last().copied() } else { floor };
        let rows = self.rows_of(&keys).await?;
        // The count may be capped below the number of rows already found.
        let total = total.max(query.skip + rows.len() as u64);
        Ok(Found { rows, total, more: more || floor.is_some(), next })
    }

    /// Position of the name with this ordinal, within the query's department and time; none if there are fewer.
    pub(super) async fn floor(
        &self,
        query: &Query,
        after: Option<Position>,
        number: i64,
    ) -> Result<Option<Position>, IndexError> {
        let mut sql = Statement::new("SELECT started_at_us, id");
        self.names_within(&mut sql, query, Stretch { after, down_to: None });
        sql.push(" ORDER BY started_at_us DESC, id DESC LIMIT 1 OFFSET ").bind_number(number - 1);
        let row = sql.query().fetch_optional(&self.database.readers).await?;
        Ok(row.as_ref().map(position).transpose()?)
    }

    /// Names within the query's department and time, by the index in time order.
    pub(super) fn names_within(&self, sql: &mut Statement, query: &Query, stretch: Stretch) {
        let index = match query.department {
            Some(_) => "recordings_of_department",
            None => "recordings_names",
        };
        sql.push(&format!(" FROM recordings AS r{}", self.database.indexed_by(index)));
        sql.push(" WHERE r.erased_at_us IS NULL AND r.caller_name_folded IS NOT NULL");
        if let Some(department) = &query.department {
            sql.push(" AND r.department = ").bind_text(department.clone());
        }
        query.within.push(sql, "r.department");
        time(sql, query, "r.");
        before(sql, stretch.after, "r.");
        if let Some(down_to) = stretch.down_to {
            let (at, id) = (down_to.started_at.as_unix_micros(), down_to.id.to_string());
            // Redundant, for planners that do not use row-value comparisons.
            sql.push(" AND r.started_at_us >= ").bind_number(at);
            sql.push(" AND (r.started_at_us, r.id) >= (").bind_number(at).push(", ").bind_text(id).push(")");
        }
    }

    async fn is_common(&self, query: &Query, part: &str, near: Stretch) -> Result<bool, IndexError> {
        let mut sql = Statement::new("SELECT COUNT(*) AS total FROM (SELECT 1 AS hit");
        self.names_within(&mut sql, query, near);
        has_part(sql.push(" AND "), "r.caller_name_folded", part);
        sql.push(" LIMIT ").bind_number(COMMON).push(") AS counted");
        Ok(self.total(sql).await? >= COMMON)
    }

    /// Matches among the newest names, and the position up to which names were searched.
    async fn keys_looked_at(
        &self,
        asked: &Asked<'_>,
        part: &str,
        near: Option<Position>,
        wanted: usize,
    ) -> Result<(Vec<Position>, Option<Position>), IndexError> {
        let (mut keys, mut after) = (Vec::new(), asked.query.after);
        for number in [NEAR, FAR] {
            let down_to = match (after, number) {
                (None, NEAR) => near,
                _ => self.floor(asked.query, after, number).await?,
            };
            let mut sql = Statement::new("SELECT r.started_at_us, r.id");
            self.names_within(&mut sql, asked.query, Stretch { after, down_to });
            has_part(sql.push(" AND "), "r.caller_name_folded", part);
            checks(&mut sql, asked, "r.", Along::Name);
            sql.push(" ORDER BY r.started_at_us DESC, r.id DESC LIMIT ");
            sql.bind_number((wanted - keys.len()) as i64);
            keys.extend(self.positions(sql).await?);
            if keys.len() == wanted || down_to.is_none() {
                return Ok((keys, None));
            }
            after = down_to;
        }
        Ok((keys, after))
    }

    async fn count_looked_at(&self, asked: &Asked<'_>, part: &str) -> Result<(u64, bool), IndexError> {
        let most = if alone(asked) { COUNTED } else { LOOKED_AT };
        let mut sql =
            Statement::new("SELECT COUNT(*) AS looked_at, COUNT(hit) AS total FROM (SELECT CASE WHEN ");
        has_part(&mut sql, "r.caller_name_folded", part);
        checks(&mut sql, asked, "r.", Along::Name);
        sql.push(" THEN 1 END AS hit");
        self.names_within(&mut sql, asked.query, Stretch::default());
        sql.push(" ORDER BY r.started_at_us DESC, r.id DESC LIMIT ")
            .bind_number(most + 1)
            .push(") AS newest");
        let row = sql.query().fetch_one(&self.database.readers).await?;
        Ok((row.try_get::<i64, _>("total")? as u64, row.try_get::<i64, _>("looked_at")? > most))
    }

    /// Matches among rows with one of these names.
    async fn keys_of_known(
        &self,
        asked: &Asked<'_>,
        known: &Known,
        wanted: usize,
    ) -> Result<Vec<Position>, IndexError> {
        let (query, alone) = (asked.query, alone(asked));
        let mut sql = Statement::new("SELECT n.started_at_us, n.id FROM (SELECT r.started_at_us, r.id");
        self.rows_with(&mut sql, query, known);
        before(&mut sql, query.after, "r.");
        sql.push(" ORDER BY r.started_at_us DESC, r.id DESC");
        if alone {
            sql.push(" LIMIT ").bind_number(wanted as i64);
        }
        sql.push(") AS n");
        if !alone {
            sql.push(" JOIN recordings AS r ON r.id = n.id WHERE r.erased_at_us IS NULL");
            checks(&mut sql, asked, "r.", Along::Name);
        }
        sql.push(" ORDER BY n.started_at_us DESC, n.id DESC LIMIT ").bind_number(wanted as i64);
        self.positions(sql).await
    }

    async fn count_known(&self, asked: &Asked<'_>, known: &Known) -> Result<(u64, bool), IndexError> {
        let most = if alone(asked) { COUNTED + 1 } else { LOOKED_AT };
        let mut sql = Statement::new("SELECT COUNT(*) AS total FROM (SELECT r.id");
        self.rows_with(&mut sql, asked.query, known);
        sql.push(" LIMIT ").bind_number(most).push(") AS n");
        if alone(asked) {
            let total = self.total(sql).await?;
            return Ok((total as u64, total > COUNTED));
        }
        let looked_at = self.total(sql).await?;
        let mut sql = Statement::new("SELECT COUNT(*) AS total FROM (SELECT r.id");
        self.rows_with(&mut sql, asked.query, known);
        sql.push(" LIMIT ").bind_number(most);
        sql.push(") AS n JOIN recordings AS r ON r.id = n.id WHERE r.erased_at_us IS NULL");
        checks(&mut sql, asked, "r.", Along::Name);
        Ok((self.total(sql).await? as u64, looked_at == most))
    }

    /// Rows within the query's department and time with one of these names.
    fn rows_with(&self, sql: &mut Statement, query: &Query, known: &Known) {
        sql.push(&format!(" FROM recordings AS r{}", self.database.indexed_by("recordings_of_name")));
        sql.push(" WHERE r.erased_at_us IS NULL AND r.caller_name_folded IN ");
        self.database.each_of(sql, known);
        if let Some(department) = &query.department {
            sql.push(" AND r.department = ").bind_text(department.clone());
        }
        query.within.push(sql, "r.department");
        time(sql, query, "r.");
    }

    async fn positions(&self, sql: Statement) -> Result<Vec<Position>, IndexError> {
        let rows = sql.query().fetch_all(&self.database.readers).await?;
        Ok(rows.iter().map(position).collect::<Result<_, _>>()?)
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
}

/// Whether the query has only conditions that the indexes of names answer.
fn alone(asked: &Asked<'_>) -> bool {
    asked.number.is_none() && asked.query.verdict.is_none()
}

fn position(row: &sqlx::any::AnyRow) -> Result<Position, sqlx::Error> {
    let started_at = WallTime::from_unix_micros(row.try_get("started_at_us")?);
    Ok(Position { started_at, id: id_of(row)? })
}
