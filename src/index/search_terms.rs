//! What a search asks for, and the page of rows that it returns.

use super::{Departments, IndexRow};
use optag_core::call::verdict::VerdictWanted;
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;

/// Conditions of a search.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Number called from or called, in any spelling, or its last digits.
    pub number: Option<Private<String>>,
    /// The caller's name or a part of it.
    pub name: Option<Private<String>>,
    /// Department id.
    pub department: Option<String>,
    /// Departments beyond which nothing is found.
    pub within: Departments,
    /// Earliest start of the call, inclusive.
    pub from: Option<WallTime>,
    /// Latest start of the call, exclusive.
    pub to: Option<WallTime>,
    /// Verdict on one of its streams.
    pub verdict: Option<VerdictWanted>,
    /// Position at which the previous page ended.
    pub after: Option<Position>,
    /// Rows to skip from there. Skipped rows are read: use `after` for deep pages.
    pub skip: u64,
    /// Maximum number of rows to return.
    pub most: u32,
}

/// One page of rows, newest first, and the total.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Rows of the page.
    pub rows: Vec<IndexRow>,
    /// Number of matches.
    pub total: u64,
    /// Whether there may be more matches than `total`, which is counted up to a cap.
    pub more: bool,
    /// Position at which the next page begins; none on the last page.
    pub next: Option<Position>,
}

impl Found {
    /// Makes a page of rows that were read with one row too many.
    pub(super) fn page(mut rows: Vec<IndexRow>, query: &Query, total: u64, more: bool) -> Self {
        let goes_on = rows.len() > query.most as usize;
        rows.truncate(query.most as usize);
        let last = rows.last().map(|row| Position { started_at: row.started_at, id: row.id });
        Self { next: last.filter(|_| goes_on), rows, total, more }
    }
}

/// A position in the list, newest first: pages begin after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// When the call was admitted.
    pub started_at: WallTime,
    /// Id of the recording.
    pub id: CallId,
}

/// A number that is searched for.
#[derive(Clone, Debug)]
pub(super) struct Number {
    /// In normal form.
    pub norm: String,
    /// Digits as written.
    pub digits: String,
}

/// A query's conditions, normalised.
pub(super) struct Asked<'a> {
    pub query: &'a Query,
    pub number: Option<Number>,
    pub name: Option<String>,
}
