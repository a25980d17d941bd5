//! The audit log: an append-only file of JSON lines, each chained to the one before by SHA-256, so that a changed, removed
//! or reordered line is detected; and signed checkpoints, which also detect truncation. In: entries. Out: durability.
//!
//! After a failed write or sync, the written bytes do not count: they are truncated before the next entry at
//! the latest, and the preceding lines are rewritten, since they may not be on disk.
//!
//! No audio is served before [`AuditLog::append`] has returned. Not here: the content of entries.

pub mod accesses;
mod beyond;
mod chain;
mod checkpoint;
mod prune;
mod settle;
pub mod trail;

#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::Serialize;

pub use chain::{Line, Lines};
pub use checkpoint::{Checkpoint, KIND, Verdict, read_checkpoints};

use chain::{LINE_BYTES, START};

use optag_files::private_files::no_follow;

/// Why an audit log is invalid or unusable.
#[derive(Debug, thiserror::Error)]
pub enum AuditFault {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An entry was changed or moved.
    #[error("audit entry {sequence} was modified")]
    Tampered {
        /// Its number; 0 for the first line of the file.
        sequence: u64,
    },
    /// Signed entries are missing at the end.
    #[error("audit log truncated: it ends at entry {last}, but entry {signed} was signed")]
    CutOff {
        /// The last entry present.
        last: u64,
        /// The last signed entry.
        signed: u64,
    },
    /// A checkpoint is invalid.
    #[error("audit checkpoint: {0}")]
    Checkpoint(String),
}

/// The log's file. Several processes may append: a lock serialises them.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
    known: Arc<Mutex<settle::Known>>,
}

impl AuditLog {
    /// A log at `path`, created with the first entry.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), known: Arc::default() }
    }

    /// Appends an entry and returns its line; blocking. Once this returns, it survives a crash.
    ///
    /// Errors: it is not durable. Bytes torn by an earlier crash are truncated first.
    pub fn append(&self, entry: &impl Serialize) -> Result<Line, AuditFault> {
        let mut file = self.locked()?;
        self.settle(&mut file)?;
        let (sequence, previous, end) = last(&mut file)?;
        let entry = serde_json::value::to_raw_value(entry).map_err(io::Error::from)?;
        let line = Line::after(sequence, previous, entry);
        let mut text = serde_json::to_string(&line).map_err(io::Error::from)?;
        text.push('\n');
        self.add(&mut file, end, text.as_bytes())?;
        Ok(line)
    }

    /// The entries in order, each checked against the previous one.
    ///
    /// Errors: of the file.
    pub fn lines(&self) -> Result<Lines<Box<dyn io::BufRead + Send>>, AuditFault> {
        let reader: Box<dyn io::BufRead + Send> = match File::open(&self.path) {
            Ok(file) => Box::new(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Box::new(io::empty()),
            Err(error) => return Err(error.into()),
        };
        Ok(Lines::new(reader))
    }

    /// Reads the whole log and the checkpoints stored beside it; returns the number of entries.
    ///
    /// Errors: an entry was changed, removed or moved, or the file cannot be read.
    pub fn verify(&self) -> Result<u64, AuditFault> {
        let verdict = self.verify_against(&[], None)?;
        Ok(if verdict.last == 0 { 0 } else { verdict.last + 1 - verdict.first })
    }

    /// Number and hash of the last entry.
    ///
    /// Errors: of the file, or an unreadable last line.
    pub fn head(&self) -> Result<Option<(u64, String)>, AuditFault> {
        if !self.path.exists() {
            return Ok(None);
        }
        let mut file = self.locked()?;
        self.settle(&mut file)?;
        let (sequence, hash, _) = last(&mut file)?;
        Ok((sequence > 0).then_some((sequence, hash)))
    }

    /// The file, locked against other writers. Pruning replaces the file: a lock on the replaced one is
    /// invalid.
    fn locked(&self) -> Result<File, AuditFault> {
        loop {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true).mode(0o600);
            let file = no_follow(&mut options).open(&self.path)?;
            file.lock()?;
            let there = std::fs::metadata(&self.path);
            if there.is_ok_and(|there| file.metadata().is_ok_and(|ours| ours.ino() == there.ino())) {
                return Ok(file);
            }
        }
    }
}

/// Sequence number and hash of the last complete line, and its end.
fn last(file: &mut File) -> Result<(u64, String, u64), AuditFault> {
    let length = file.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(LINE_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    // A torn line at the end was never acknowledged.
    let whole = tail.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let end = from + whole as u64;
    let Some(text) = tail[..whole].strip_suffix(b"\n") else { return Ok((0, START.into(), end)) };
    let begin = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let line: Line =
        serde_json::from_slice(&text[begin..]).map_err(|_| AuditFault::Tampered { sequence: 0 })?;
    Ok((line.sequence, line.hash, end))
}

/// The path of the log in a data directory.
pub fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("audit.jsonl")
}
