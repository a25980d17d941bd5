//! The deletion log: which recordings are erased and must never return. In: orders to erase, and their completion. Out:
//! which recordings are erased, which orders are open. Durable before a call returns; replayed at every start, and against
//! a restored backup.
//!
//! Entries are lines (`entry`) of append-only files (`file`). A torn last line was never acknowledged and is cut off. The
//! number of entries and a hash over all of them are the log's *head*; index and store record the last one, so that an
//! older log, or another one, is detected ([`DeletionLog::relation`]).
//!
//! A start reads the entries since the last table (`table`), a receipt two lines: neither grows with the log.

pub mod entry;
pub mod file;
#[cfg(any(test, fuzzing))]
#[allow(clippy::unwrap_used, reason = "what fails here is a finding")]
pub mod fuzzing;
pub(crate) mod state;
pub mod table;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;

pub use crate::erasure::deletion_log::entry::{Cause, Done, Head, Order};
use crate::erasure::deletion_log::entry::{Chain, Entry, outline, parse};
use crate::erasure::deletion_log::file::LogFile;
use crate::erasure::deletion_log::state::{State, damaged, is_of};
use crate::erasure::deletion_log::table::Table;
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_files::disk::{Disk, OsDisk};

/// Maximum number of recordings kept beside the table before it is rebuilt.
const BESIDE: usize = if cfg!(any(test, fuzzing)) { 8 } else { 65_536 };

/// Relation of the log to a recorded head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The log contains that head, and possibly more.
    InStep,
    /// The log has fewer entries: entries were lost, or the log is an old backup.
    Behind,
    /// The log has different entries.
    Forked,
}

/// Errors of the deletion log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log cannot be read or written.
    #[error("deletion log: {0}")]
    Io(#[from] io::Error),
    /// An entry before the last is damaged. Nothing may be served until it is repaired.
    #[error("line {line} of the deletion log is damaged")]
    Damaged {
        /// Line number, from 1.
        line: usize,
    },
}

/// Lines of a log, by the first bytes of their hashes.
pub type KnownLines = HashSet<[u8; 16]>;

/// The deletion log and its in-memory state.
pub struct DeletionLog {
    disk: Arc<dyn Disk>,
    table_path: PathBuf,
    state: Mutex<State>,
    /// Held while the table is rebuilt.
    compacting: Mutex<()>,
}

impl std::fmt::Debug for DeletionLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeletionLog({:?})", self.head())
    }
}

impl DeletionLog {
    /// Opens or creates the log and replays it.
    ///
    /// Errors: disk, or damage.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        Self::open_on(Arc::new(OsDisk), path)
    }

    /// As [`DeletionLog::open`], on a given disk.
    ///
    /// Errors: disk, or damage.
    pub fn open_on(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, LogError> {
        let file = LogFile::open(Arc::clone(&disk), path)?;
        let table_path = Table::path_of(path);
        let table = match Table::open(&*disk, &table_path) {
            Ok(Some(table)) if is_of(&table, &file)? => table,
            Ok(None) => Table::default(),
            unfit => {
                let error = unfit.err().map(|error| error.to_string());
                tracing::warn!(?error, "deletion log table belongs to another log, rebuilding it");
                Table::default()
            }
        };
        let mut state = State::new(file, table);
        state.replay(&*disk, &table_path)?;
        let log = Self { disk, table_path, state: Mutex::new(state), compacting: Mutex::default() };
        if let Err(error) = log.compact() {
            tracing::warn!(%error, "cannot write deletion log table; the next start takes longer");
        }
        Ok(log)
    }

    /// Orders an erasure; blocking. The order is durable on return. A second order for the same recording has no
    /// effect.
    ///
    /// Errors: not durable.
    pub fn order(&self, order: Order) -> Result<(), LogError> {
        let mut state = self.state();
        if state.knows(order.id) {
            return Ok(());
        }
        state.append(Entry::Ordered(order))
    }

    /// Orders erasures of several recordings; blocking. All are durable on return; those that are known stay as they are.
    ///
    /// Errors: not durable.
    pub fn order_all(&self, orders: Vec<Order>) -> Result<(), LogError> {
        let mut state = self.state();
        let new: Vec<Order> = orders.into_iter().filter(|order| !state.knows(order.id)).collect();
        if new.is_empty() {
            return Ok(());
        }
        state.append_all(new.into_iter().map(Entry::Ordered).collect())
    }

    /// Records that every copy is deleted, and which copies there were; blocking.
    ///
    /// Errors: not durable; the erasure will be repeated.
    pub fn done(&self, id: CallId, at: WallTime, gone: Vec<String>) -> Result<(), LogError> {
        self.completed(Done { id, at, gone, accepted_missing: false })
    }

    /// As [`DeletionLog::done`], with all details of the completion.
    ///
    /// Errors: not durable.
    pub fn completed(&self, done: Done) -> Result<(), LogError> {
        self.state().append(Entry::Done(done))
    }

    /// Reopens an erasure because a copy reappeared; blocking. An open erasure is unchanged.
    ///
    /// Errors: not durable.
    pub fn reopen(&self, order: Order) -> Result<(), LogError> {
        let mut state = self.state();
        if state.open.contains_key(&order.id) {
            return Ok(());
        }
        state.append(Entry::Ordered(order))
    }

    /// Whether the recording's erasure was ordered, complete or not.
    pub fn is_erased(&self, id: CallId) -> bool {
        self.state().knows(id)
    }

    /// Whether the recording's erasure was ordered and is not complete.
    pub fn is_open(&self, id: CallId) -> bool {
        self.state().open.contains_key(&id)
    }

    /// Orders that are not complete.
    pub fn open_orders(&self) -> Vec<Order> {
        self.state().open.values().cloned().collect()
    }

    /// Every recording whose erasure was ever ordered.
    pub fn all(&self) -> Vec<CallId> {
        let state = self.state();
        let recent = state.recent.keys().copied().filter(|id| !state.table.contains(*id));
        state.table.ids().chain(recent).collect()
    }

    /// The log's current head.
    pub fn head(&self) -> Head {
        self.state().chain.head()
    }

    /// Entries as written in the file, at most `most` from number `first` (counted from 0); blocking.
    ///
    /// Errors: the file cannot be read.
    pub fn lines(&self, first: u64, most: u64) -> Result<Vec<String>, LogError> {
        let state = self.state();
        let mark = state.mark_before(first);
        let mut lines = state.file.lines(mark.at);
        let mut found = Vec::new();
        let mut number = mark.chain.entries;
        while number < first.saturating_add(most)
            && let Some((_, line)) = lines.next_line()?
        {
            if number >= first {
                found.push(String::from_utf8_lossy(line).into_owned());
            }
            number += 1;
        }
        Ok(found)
    }

    /// Relation of the log to a head recorded by index or store; blocking.
    ///
    /// Errors: the file cannot be read.
    pub fn relation(&self, seen: &Head) -> Result<Relation, LogError> {
        let state = self.state();
        if seen.entries > state.chain.entries {
            return Ok(Relation::Behind);
        }
        let mark = state.mark_before(seen.entries);
        let mut chain = mark.chain;
        let mut lines = state.file.lines(mark.at);
        while chain.entries < seen.entries
            && let Some((_, line)) = lines.next_line()?
        {
            chain.push(line);
        }
        Ok(if chain.is(seen) { Relation::InStep } else { Relation::Forked })
    }

    /// Merges entries of another copy of the log; returns the number of entries added. Blocking. If one log is a
    /// prefix of the other, both are equal afterwards.
    ///
    /// Errors: a line is not an entry, or added entries are not durable.
    pub fn take_over(&self, others: &[String]) -> Result<u64, LogError> {
        self.take_over_beside(others, &mut self.known_lines()?)
    }

    /// As [`DeletionLog::take_over`], for a copy that is read in blocks.
    ///
    /// Errors: the same.
    pub fn take_over_beside(&self, others: &[String], known: &mut KnownLines) -> Result<u64, LogError> {
        let mut taken = 0;
        for (n, line) in others.iter().enumerate() {
            if known.insert(beginning(line.as_bytes())) {
                let entry = parse(line.as_bytes()).ok_or(LogError::Damaged { line: n + 1 })?;
                self.state().append(entry)?;
                taken += 1;
            }
        }
        Ok(taken)
    }

    /// All lines of the log; blocking, reads the whole log.
    ///
    /// Errors: the file cannot be read.
    pub fn known_lines(&self) -> Result<KnownLines, LogError> {
        let state = self.state();
        let (mut known, mut lines) = (KnownLines::new(), state.file.lines(0));
        while let Some((_, line)) = lines.next_line()? {
            known.insert(beginning(line));
        }
        Ok(known)
    }

    /// The last order for a recording and its completion, if any; blocking, reads their lines.
    ///
    /// Errors: the files cannot be read, or a line is damaged.
    pub fn history(&self, id: CallId) -> Result<Option<(Order, Option<Done>)>, LogError> {
        let state = self.state();
        let Some(places) = state.places(id)? else { return Ok(None) };
        let order = state.order_at(places.ordered)?;
        let done = match places.done.map(|at| state.entry_at(at)).transpose()? {
            Some(Entry::Done(done)) => Some(done),
            None => None,
            Some(Entry::Ordered(_)) => return Err(damaged()),
        };
        let right = order.id == id && done.as_ref().is_none_or(|done| done.id == id);
        if right { Ok(Some((order, done))) } else { Err(damaged()) }
    }

    /// Rebuilds the table once enough entries were added; returns whether it did. Blocking, without delaying other
    /// calls.
    ///
    /// Errors: disk; the log is unaffected.
    pub fn compact(&self) -> Result<bool, LogError> {
        let _one = self.compacting.lock().unwrap_or_else(PoisonError::into_inner);
        let (table, next) = {
            let state = self.state();
            if state.recent.len() < BESIDE {
                return Ok(false);
            }
            (Arc::clone(&state.table), state.next())
        };
        let table = table.next(&*self.disk, &self.table_path, next)?;
        self.state().put_table(table);
        Ok(true)
    }

    /// Verifies the whole log: every line, and the hash over all of them; blocking.
    ///
    /// Errors: a line is damaged, or the log differs from the one opened.
    pub fn verify(&self) -> Result<(), LogError> {
        let state = self.state();
        let (mut chain, mut lines) = (Chain::default(), state.file.lines(0));
        while let Some((_, line)) = lines.next_line()? {
            outline(line).ok_or(LogError::Damaged { line: chain.entries as usize + 1 })?;
            chain.push(line);
        }
        if chain == state.chain { Ok(()) } else { Err(damaged()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn beginning(line: &[u8]) -> [u8; 16] {
    let hash = digest::digest(&digest::SHA256, line);
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(n: u8) -> Order {
        Order {
            id: CallId::from_bytes([n; 16]),
            at: WallTime::default(),
            cause: Cause::Request,
            request: None,
        }
    }

    #[test]
    fn orders_survive_and_stay_open_until_they_are_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deletions");
        let log = DeletionLog::open(&path).unwrap();
        log.order(order(1)).unwrap();
        log.order(order(2)).unwrap();
        log.done(order(1).id, WallTime::default(), vec!["a".into()]).unwrap();
        drop(log);
        let log = DeletionLog::open(&path).unwrap();
        assert!(log.is_erased(order(1).id) && log.is_erased(order(2).id) && !log.is_erased(order(3).id));
        assert_eq!(log.open_orders(), [order(2)]);
    }

    #[test]
    fn a_torn_line_is_dropped_and_a_damaged_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deletions");
        DeletionLog::open(&path).unwrap().order(order(1)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"1234"].concat()).unwrap();
        let log = DeletionLog::open(&path).unwrap();
        log.order(order(2)).unwrap();
        assert_eq!(DeletionLog::open(&path).unwrap().open_orders().len(), 2);
        let mut bad = std::fs::read(&path).unwrap();
        bad[20] ^= 1;
        std::fs::write(&path, bad).unwrap();
        assert!(matches!(DeletionLog::open(&path), Err(LogError::Damaged { line: 1 })));
    }

    #[test]
    fn a_log_knows_whether_it_is_the_one_that_was_seen() {
        let dir = tempfile::tempdir().unwrap();
        let log = |name: &str| DeletionLog::open(&dir.path().join(name)).unwrap();
        let (one, other) = (log("one"), log("other"));
        let nothing = one.head();
        one.order(order(1)).unwrap();
        let backup = one.head();
        one.done(order(1).id, WallTime::default(), vec!["a".into()]).unwrap();
        one.order(order(2)).unwrap();
        for seen in [&nothing, &backup, &one.head()] {
            assert_eq!(one.relation(seen).unwrap(), Relation::InStep);
        }
        other.order(order(1)).unwrap();
        assert_eq!(other.head(), backup);
        assert_eq!(other.relation(&one.head()).unwrap(), Relation::Behind);
        other.order(order(3)).unwrap();
        other.order(order(4)).unwrap();
        assert_eq!(other.relation(&one.head()).unwrap(), Relation::Forked);
        assert_eq!(other.relation(&backup).unwrap(), Relation::InStep);
        // Each merges what the other has: no erasure is forgotten.
        assert_eq!(other.take_over(&one.lines(0, 100).unwrap()).unwrap(), 2);
        assert!((1..5).all(|n| other.is_erased(order(n).id)));
        let behind = log("behind");
        behind.take_over(&one.lines(0, 100).unwrap()).unwrap();
        assert_eq!(behind.head(), one.head());
        assert_eq!(DeletionLog::open(&dir.path().join("behind")).unwrap().head(), one.head());
    }

    #[test]
    fn the_history_of_an_erasure_is_its_last_order_and_how_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let log = DeletionLog::open(&dir.path().join("deletions")).unwrap();
        assert_eq!(log.history(order(1).id).unwrap(), None);
        log.order(Order { request: Some("4711".into()), ..order(1) }).unwrap();
        log.order(order(2)).unwrap();
        assert!(log.history(order(1).id).unwrap().unwrap().1.is_none());
        log.done(order(1).id, WallTime::default(), vec!["a".into()]).unwrap();
        let (ordered, done) = log.history(order(1).id).unwrap().unwrap();
        assert_eq!((ordered.request.as_deref(), done.unwrap().gone), (Some("4711"), vec!["a".to_owned()]));
        log.reopen(order(1)).unwrap();
        assert_eq!(log.open_orders().len(), 2);
        assert!(log.history(order(1).id).unwrap().unwrap().1.is_none());
    }
}
