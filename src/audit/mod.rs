//! The trail of look-ups: an append-only file of JSON lines, each chained to the one before by
//! SHA-256, so that a changed, removed or reordered line shows. In: entries. Out: durability.
//!
//! No audio is served before [`AuditLog::append`] has returned.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::base::hex::hex;

/// Hash before the first line.
const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Longest line that is read back. Units: bytes.
const LINE_BYTES: u64 = 64 * 1024;

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    /// Counts from 1.
    sequence: u64,
    /// Hash of the line before.
    previous: String,
    /// Hash of sequence, previous and entry.
    hash: String,
    /// What happened.
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// What is wrong with a trail.
#[derive(Debug, thiserror::Error)]
pub enum AuditFault {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is not what was written.
    #[error("line {line} of the audit is not what was written")]
    Tampered {
        /// Which line, from 1.
        line: u64,
    },
}

/// The trail's file. Several processes may append: a lock orders them.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
}

impl AuditLog {
    /// A trail at `path`, made with the first entry.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Appends an entry; blocking. Once this returns, it survives a crash.
    ///
    /// Errors: it is not durable. What a crash tore before is cut off first.
    pub fn append(&self, entry: &impl Serialize) -> Result<(), AuditFault> {
        let is_new = !self.path.exists();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&self.path)?;
        file.lock()?;
        let (sequence, previous, end) = last(&mut file)?;
        let entry = serde_json::value::to_raw_value(entry).map_err(io::Error::from)?;
        let sequence = sequence + 1;
        let line = Line { sequence, hash: hash(sequence, &previous, entry.get()), previous, entry: &entry };
        let mut text = serde_json::to_string(&line).map_err(io::Error::from)?;
        text.push('\n');
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        if is_new && let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    }

    /// Reads the whole trail; the number of entries.
    ///
    /// Errors: a line was changed, removed or moved, or the file cannot be read.
    pub fn verify(&self) -> Result<u64, AuditFault> {
        if !self.path.exists() {
            return Ok(0);
        }
        let mut reader = BufReader::new(File::open(&self.path)?);
        let (mut count, mut previous) = (0, START.to_owned());
        loop {
            let mut text = String::new();
            if reader.by_ref().take(LINE_BYTES).read_line(&mut text)? == 0 {
                return Ok(count);
            }
            count += 1;
            let tampered = AuditFault::Tampered { line: count };
            let Ok(line) = serde_json::from_str::<Line<'_>>(&text) else { return Err(tampered) };
            let expected = hash(count, &previous, line.entry.get());
            if line.sequence != count || line.previous != previous || line.hash != expected {
                return Err(tampered);
            }
            previous = line.hash;
        }
    }
}

/// Sequence and hash of the last whole line, and where it ends.
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
    let line: Line<'_> =
        serde_json::from_slice(&text[begin..]).map_err(|_| AuditFault::Tampered { line: 0 })?;
    Ok((line.sequence, line.hash, end))
}

fn hash(sequence: u64, previous: &str, entry: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&sequence.to_be_bytes());
    context.update(previous.as_bytes());
    context.update(entry.as_bytes());
    hex(context.finish().as_ref())
}

/// Reads nothing and writes nothing: the place of a trail in a data directory.
pub fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("audit.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(entries: u32) -> (tempfile::TempDir, AuditLog) {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::new(path_in(dir.path()));
        for n in 0..entries {
            log.append(&serde_json::json!({"did": n})).unwrap();
        }
        (dir, log)
    }

    #[test]
    fn what_was_appended_verifies_and_every_tampering_shows() {
        let (_dir, log) = log_of(5);
        assert_eq!(log.verify().unwrap(), 5);
        let text = std::fs::read_to_string(&log.path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let changed = text.replacen("\"did\":2", "\"did\":7", 1);
        let removed = [&lines[..2], &lines[3..]].concat().join("\n");
        let moved = [lines[1], lines[0], lines[2]].join("\n");
        for bad in [changed, removed, moved] {
            std::fs::write(&log.path, bad).unwrap();
            assert!(matches!(log.verify(), Err(AuditFault::Tampered { .. })));
        }
    }

    #[test]
    fn a_torn_line_is_cut_off_by_the_next_entry() {
        let (_dir, log) = log_of(2);
        let mut file = OpenOptions::new().append(true).open(&log.path).unwrap();
        file.write_all(b"{\"sequence\":3,\"prev").unwrap();
        log.append(&"after the crash").unwrap();
        assert_eq!(log.verify().unwrap(), 3);
    }
}
