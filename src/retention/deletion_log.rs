//! What must never come back. In: orders to erase, and their completion. Out: which recordings
//! are erased, which orders are open. Durable before it answers; replayed at every start, and
//! against a restored backup.
//!
//! One line an entry: CRC32C in hexadecimal, a space, JSON. A torn last line was never
//! acknowledged and is cut off.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::clock::WallTime;
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
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
enum Entry {
    Ordered(Order),
    Done { id: CallId, at: WallTime, gone: Vec<String> },
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
    end: u64,
    failed: bool,
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
        let mut state =
            State { file, end: whole as u64, failed: false, erased: HashSet::new(), open: BTreeMap::new() };
        for (n, line) in
            text[..whole].split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty())
        {
            state.replay(parse(line).ok_or(LogError::Damaged { line: n + 1 })?);
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
        self.state().append(Entry::Done { id, at, gone })
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
        self.replay(entry);
        Ok(())
    }

    fn replay(&mut self, entry: Entry) {
        match entry {
            Entry::Ordered(order) => {
                self.erased.insert(order.id);
                self.open.insert(order.id, order);
            }
            Entry::Done { id, .. } => drop(self.open.remove(&id)),
        }
    }
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
        Order { id: CallId::from_bytes([n; 16]), at: WallTime::default(), cause: Cause::Request }
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
}
