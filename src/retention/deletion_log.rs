//! What must never come back. In: orders to erase, and their completion. Out: which recordings
//! are erased, which orders are open. Durable before it answers; replayed at every start, and
//! against a restored backup.
//!
//! One line an entry: CRC32C in hexadecimal, a space, JSON. A torn last line was never
//! acknowledged and is cut off. The number of entries and a hash over all of them are the log's
//! *head*; index and store remember the last one they saw, so that a log that is older than they
//! are, or another one, is found out ([`DeletionLog::relation`]).

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::base::clock::WallTime;
use crate::base::hex::hex;
use crate::base::id::CallId;

/// Why a recording is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Someone asked.
    Request,
    /// The caller took the consent back in the call.
    Withdrawal,
    /// Its time is up.
    Expiry,
}

/// An order to erase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The recording.
    pub id: CallId,
    /// When it was ordered.
    pub at: WallTime,
    /// Why.
    pub cause: Cause,
    /// The number of the request by which someone asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// The end of an erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The recording.
    pub id: CallId,
    /// When every copy was found gone.
    pub at: WallTime,
    /// The copies that were deleted: names, with their versions where the store has those.
    pub gone: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
enum Entry {
    Ordered(Order),
    Done(Done),
}

/// How far a log has come: what index and store remember of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Entries.
    pub entries: u64,
    /// Hash over all of them, in hexadecimal; empty for none.
    pub hash: String,
}

/// How the log stands to a head that someone remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The log is the one remembered, and may have come further.
    InStep,
    /// The log has fewer entries than were seen: it was lost, or is an old backup.
    Behind,
    /// The log has other entries than were seen.
    Forked,
}

/// What is wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read or written.
    #[error("the deletion log: {0}")]
    Io(#[from] io::Error),
    /// An entry in its middle is not what was written. Nothing may be served before it is mended.
    #[error("line {line} of the deletion log is damaged")]
    Damaged {
        /// Which, from 1.
        line: usize,
    },
}

/// The log, with what it says in memory.
#[derive(Debug)]
pub struct DeletionLog {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    path: PathBuf,
    end: u64,
    failed: bool,
    head: Head,
    erased: HashSet<CallId>,
    open: BTreeMap<CallId, Order>,
}

impl DeletionLog {
    /// Opens or makes the file and replays it.
    ///
    /// Errors: the disk's, or damage.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let is_new = !path.exists();
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)?;
        if is_new && let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let mut state = State {
            file,
            path: path.to_owned(),
            end: whole as u64,
            failed: false,
            head: Head::default(),
            erased: HashSet::new(),
            open: BTreeMap::new(),
        };
        for (n, line) in lines(&text[..whole]).enumerate() {
            state.replay(parse(line).ok_or(LogError::Damaged { line: n + 1 })?);
            state.head = next(&state.head, line);
        }
        Ok(Self { state: Mutex::new(state) })
    }

    /// Orders an erasure; blocking. Once this returns, the order survives a crash. A second
    /// order for a recording changes nothing.
    ///
    /// Errors: it is not durable.
    pub fn order(&self, order: Order) -> Result<(), LogError> {
        let mut state = self.state();
        if state.erased.contains(&order.id) {
            return Ok(());
        }
        state.append(Entry::Ordered(order))
    }

    /// Notes that every copy is gone, and which there were; blocking.
    ///
    /// Errors: it is not durable; the erasure will be gone through again.
    pub fn done(&self, id: CallId, at: WallTime, gone: Vec<String>) -> Result<(), LogError> {
        self.state().append(Entry::Done(Done { id, at, gone }))
    }

    /// Opens an erasure again, where a copy of what is erased turned up; blocking. An open one
    /// stays as it is.
    ///
    /// Errors: it is not durable.
    pub fn reopen(&self, order: Order) -> Result<(), LogError> {
        let mut state = self.state();
        if state.open.contains_key(&order.id) {
            return Ok(());
        }
        state.append(Entry::Ordered(order))
    }

    /// Whether the recording's erasure was ordered, complete or not.
    pub fn is_erased(&self, id: CallId) -> bool {
        self.state().erased.contains(&id)
    }

    /// Orders that are not complete.
    pub fn open_orders(&self) -> Vec<Order> {
        self.state().open.values().cloned().collect()
    }

    /// Every recording whose erasure was ever ordered.
    pub fn all(&self) -> Vec<CallId> {
        self.state().erased.iter().copied().collect()
    }

    /// How far the log has come.
    pub fn head(&self) -> Head {
        self.state().head.clone()
    }

    /// The log's entries as they stand in the file, from number `first` (counted from 0) on;
    /// blocking.
    ///
    /// Errors: the file cannot be read.
    pub fn lines_from(&self, first: u64) -> Result<Vec<String>, LogError> {
        let text = self.state().text()?;
        let wanted = lines(&text).skip(first as usize);
        Ok(wanted.map(|line| String::from_utf8_lossy(line).into_owned()).collect())
    }

    /// How the log stands to a head that index or store remember; blocking.
    ///
    /// Errors: the file cannot be read.
    pub fn relation(&self, seen: &Head) -> Result<Relation, LogError> {
        let mut state = self.state();
        if seen.entries > state.head.entries {
            return Ok(Relation::Behind);
        }
        if seen.entries == state.head.entries {
            let same = seen.entries == 0 || seen.hash == state.head.hash;
            return Ok(if same { Relation::InStep } else { Relation::Forked });
        }
        let text = state.text()?;
        let then =
            lines(&text).take(seen.entries as usize).fold(Head::default(), |head, line| next(&head, line));
        Ok(if seen.entries == 0 || then.hash == seen.hash { Relation::InStep } else { Relation::Forked })
    }

    /// Takes over what another copy of the log knows and this one does not; how many entries.
    /// Blocking. Where one is the beginning of the other, they are the same afterwards.
    ///
    /// Errors: a line is no entry, or what was taken is not durable.
    pub fn take_over(&self, others: &[String]) -> Result<u64, LogError> {
        let mut state = self.state();
        let text = state.text()?;
        let ours: HashSet<&[u8]> = lines(&text).collect();
        let mut taken = 0;
        for (n, line) in others.iter().enumerate() {
            if !ours.contains(line.as_bytes()) {
                let entry = parse(line.as_bytes()).ok_or(LogError::Damaged { line: n + 1 })?;
                state.append(entry)?;
                taken += 1;
            }
        }
        Ok(taken)
    }

    /// The last order for a recording and its completion, if any; blocking, reads the file.
    ///
    /// Errors: the file cannot be read.
    pub fn history(&self, id: CallId) -> Result<Option<(Order, Option<Done>)>, LogError> {
        let text = self.state().text()?;
        let mut found = None;
        for entry in lines(&text).filter_map(parse) {
            match (entry, &mut found) {
                (Entry::Ordered(order), found) if order.id == id => *found = Some((order, None)),
                (Entry::Done(done), Some((_, last))) if done.id == id => *last = Some(done),
                _ => {}
            }
        }
        Ok(found)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&mut self, entry: Entry) -> Result<(), LogError> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed; restart the recorder").into());
        }
        let json = serde_json::to_string(&entry).map_err(io::Error::from)?;
        let line = format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()));
        let written = (|| {
            self.file.set_len(self.end)?;
            self.file.seek(SeekFrom::Start(self.end))?;
            self.file.write_all(line.as_bytes())?;
            self.file.sync_data()
        })();
        if let Err(error) = written {
            // After a failed sync nothing on this descriptor counts.
            self.failed = true;
            return Err(error.into());
        }
        self.end += line.len() as u64;
        self.head = next(&self.head, line.trim_end().as_bytes());
        self.replay(entry);
        Ok(())
    }

    fn text(&mut self) -> Result<Vec<u8>, LogError> {
        let mut text = Vec::new();
        File::open(&self.path)?.take(self.end).read_to_end(&mut text)?;
        Ok(text)
    }

    fn replay(&mut self, entry: Entry) {
        match entry {
            Entry::Ordered(order) => {
                self.erased.insert(order.id);
                self.open.insert(order.id, order);
            }
            Entry::Done(done) => drop(self.open.remove(&done.id)),
        }
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

/// The head after one more line.
pub fn next(head: &Head, line: &[u8]) -> Head {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(head.hash.as_bytes());
    context.update(line);
    Head { entries: head.entries + 1, hash: hex(context.finish().as_ref()) }
}

fn parse(line: &[u8]) -> Option<Entry> {
    let (crc, json) = line.split_at_checked(9)?;
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?.trim_end(), 16).ok()?;
    (crc == crc32c::crc32c(json)).then(|| serde_json::from_slice(json).ok())?
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
        // What one knows the other takes over: nothing that was erased is forgotten.
        assert_eq!(other.take_over(&one.lines_from(0).unwrap()).unwrap(), 2);
        assert!((1..5).all(|n| other.is_erased(order(n).id)));
        let behind = log("behind");
        behind.take_over(&one.lines_from(0).unwrap()).unwrap();
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
