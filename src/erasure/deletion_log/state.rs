//! In-memory state of the deletion log: the table, the entries since, and the open orders. In: entries as they are
//! appended or replayed. Out: positions of a recording's entries.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::erasure::deletion_log::LogError;
use crate::erasure::deletion_log::entry::{Chain, Entry, Kind, Order, line, outline, parse};
use crate::erasure::deletion_log::file::LogFile;
use crate::erasure::deletion_log::table::{Mark, Next, Places, Table};
use optag_core::id::CallId;
use optag_files::disk::Disk;

/// Entries between two marks.
const MARK_EVERY: u64 = if cfg!(any(test, fuzzing)) { 4 } else { 4_096 };
/// Recordings kept in memory while a log without a table is read.
const BESIDE_AT_FIRST: usize = if cfg!(any(test, fuzzing)) { 32 } else { 1 << 19 };

/// Current state of the log.
pub(crate) struct State {
    pub file: LogFile,
    pub chain: Chain,
    /// End of the last entry counted in `chain`.
    pub end: u64,
    pub table: Arc<Table>,
    /// Entries since the table was written.
    pub recent: HashMap<CallId, Places>,
    pub marks: Vec<Mark>,
    pub open: BTreeMap<CallId, Order>,
}

impl State {
    /// State as given by a table.
    pub(crate) fn new(file: LogFile, table: Table) -> Self {
        Self {
            chain: table.covered.chain,
            end: table.covered.at,
            marks: table.marks.clone(),
            recent: HashMap::new(),
            open: BTreeMap::new(),
            table: Arc::new(table),
            file,
        }
    }

    pub(crate) fn append(&mut self, entry: Entry) -> Result<(), LogError> {
        self.append_all(vec![entry])
    }

    /// Appends entries of different recordings: all are durable on return.
    pub(crate) fn append_all(&mut self, entries: Vec<Entry>) -> Result<(), LogError> {
        let (mut text, mut noted) = (String::new(), Vec::new());
        // Everything that can fail is read before the first entry is counted.
        for entry in &entries {
            let (kind, id) = match entry {
                Entry::Ordered(order) => (Kind::Ordered, order.id),
                Entry::Done(done) => (Kind::Done, done.id),
            };
            let at = self.file.end() + text.len() as u64;
            text.push_str(&line(entry).map_err(io::Error::from)?);
            noted.push((kind, id, at, self.places(id)?));
        }
        self.file.append(text.as_bytes())?;
        for (kind, id, at, before) in noted {
            self.note(kind, id, at, before);
        }
        text.lines().for_each(|line| self.count(line.as_bytes()));
        for entry in entries {
            match entry {
                Entry::Ordered(order) => drop(self.open.insert(order.id, order)),
                Entry::Done(done) => drop(self.open.remove(&done.id)),
            }
        }
        Ok(())
    }

    /// Reads the entries since the table was written.
    pub(crate) fn replay(&mut self, disk: &dyn Disk, table_path: &Path) -> Result<(), LogError> {
        let mut open = BTreeMap::new();
        for id in &self.table.open {
            let places = self.table.places(*id)?.ok_or_else(damaged)?;
            open.insert(*id, places.ordered);
        }
        while !self.replay_some(&mut open)? {
            let next = Next { open: open.keys().copied().collect(), ..self.next() };
            let table = self.table.next(disk, table_path, next)?;
            self.put_table(table);
        }
        for (id, at) in open {
            self.open.insert(id, self.order_at(at)?);
        }
        Ok(())
    }

    /// Replays up to the end, or up to the number of entries kept in memory; returns whether the end was reached.
    fn replay_some(&mut self, open: &mut BTreeMap<CallId, u64>) -> Result<bool, LogError> {
        let (mut noted, mut is_end) = (Vec::new(), false);
        let mut lines = self.file.lines(self.end);
        while noted.len() < 2 * BESIDE_AT_FIRST {
            let Some((at, line)) = lines.next_line()? else {
                is_end = true;
                break;
            };
            let (kind, id) =
                outline(line).ok_or(LogError::Damaged { line: self.chain.entries as usize + 1 })?;
            noted.push((kind, id, at));
            self.chain.push(line);
            self.end = at + line.len() as u64 + 1;
            if self.chain.entries.is_multiple_of(MARK_EVERY) {
                self.marks.push(Mark { chain: self.chain, at: self.end });
            }
        }
        for (kind, id, at) in noted {
            let before = self.places(id)?;
            self.note(kind, id, at, before);
            match kind {
                Kind::Ordered => drop(open.insert(id, at)),
                Kind::Done => drop(open.remove(&id)),
            }
        }
        Ok(is_end)
    }

    /// Records an entry's position.
    fn note(&mut self, kind: Kind, id: CallId, at: u64, before: Option<Places>) {
        let places = match (kind, before) {
            (Kind::Ordered, _) => Some(Places { ordered: at, done: None }),
            (Kind::Done, Some(before)) => Some(Places { done: Some(at), ..before }),
            // A completion without an order has no effect.
            (Kind::Done, None) => None,
        };
        if let Some(places) = places {
            self.recent.insert(id, places);
        }
    }

    /// Advances the head by an appended line.
    fn count(&mut self, line: &[u8]) {
        self.chain.push(line);
        self.end += line.len() as u64 + 1;
        if self.chain.entries.is_multiple_of(MARK_EVERY) {
            self.marks.push(Mark { chain: self.chain, at: self.end });
        }
    }

    /// Input for the next table.
    pub(crate) fn next(&self) -> Next {
        Next {
            recent: self.recent.clone(),
            covered: Mark { chain: self.chain, at: self.end },
            open: self.open.keys().copied().collect(),
            marks: self.marks.clone(),
        }
    }

    pub(crate) fn put_table(&mut self, table: Table) {
        let from = table.covered.at;
        self.recent
            .retain(|_, places| places.ordered >= from || places.done.is_some_and(|done| done >= from));
        self.table = Arc::new(table);
    }

    pub(crate) fn knows(&self, id: CallId) -> bool {
        self.recent.contains_key(&id) || self.table.contains(id)
    }

    pub(crate) fn places(&self, id: CallId) -> io::Result<Option<Places>> {
        match self.recent.get(&id) {
            Some(places) => Ok(Some(*places)),
            None => self.table.places(id),
        }
    }

    pub(crate) fn mark_before(&self, entry: u64) -> Mark {
        let n = self.marks.partition_point(|mark| mark.chain.entries <= entry);
        n.checked_sub(1).and_then(|n| self.marks.get(n)).copied().unwrap_or_default()
    }

    pub(crate) fn entry_at(&self, at: u64) -> Result<Entry, LogError> {
        let mut lines = self.file.lines(at);
        let line = lines.next_line()?.ok_or_else(damaged)?.1;
        parse(line).ok_or_else(damaged)
    }

    pub(crate) fn order_at(&self, at: u64) -> Result<Order, LogError> {
        match self.entry_at(at)? {
            Entry::Ordered(order) => Ok(order),
            Entry::Done(_) => Err(damaged()),
        }
    }
}

/// Whether a table belongs to this log, which may have grown since.
pub(crate) fn is_of(table: &Table, file: &LogFile) -> io::Result<bool> {
    let Some(mark) = table.marks.last().filter(|_| table.covered.at <= file.end()) else { return Ok(false) };
    let (mut chain, mut end) = (mark.chain, mark.at);
    let mut lines = file.lines(mark.at);
    while chain.entries < table.covered.chain.entries
        && let Some((at, line)) = lines.next_line()?
    {
        chain.push(line);
        end = at + line.len() as u64 + 1;
    }
    Ok(Mark { chain, at: end } == table.covered)
}

/// The log does not match its table.
pub(crate) fn damaged() -> LogError {
    io::Error::other("the deletion log and its table disagree; `optag check` reads all of it").into()
}
