//! Durability of the audit log's file. In: the file, locked. Out: the same file, with its last lines
//! rewritten if a sync failed or an earlier process wrote them, and without unacknowledged bytes.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{MutexGuard, PoisonError};

use super::{AuditFault, AuditLog};

/// Length of the end of the file that is rewritten. Units: bytes.
const UNSURE: u64 = 64 << 10;

/// This process's knowledge of the file.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The file whose lines and directory entry are as durable as possible.
    settled: Option<u64>,
    /// A failed write, until it is truncated.
    failed: Option<Failed>,
}

/// Bytes that were written but not acknowledged.
#[derive(Debug)]
struct Failed {
    inode: u64,
    at: u64,
    text: Vec<u8>,
}

impl AuditLog {
    /// Writes `text` at the end of the file, durable on return.
    ///
    /// Errors: of the disk. The bytes then do not count and are truncated.
    pub(super) fn add(&self, file: &mut File, end: u64, text: &[u8]) -> Result<(), AuditFault> {
        let inode = file.metadata()?.ino();
        let is_settled = self.known().settled == Some(inode);
        let written = (|| {
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))?;
            file.write_all(text)?;
            file.sync_data()?;
            if is_settled { Ok(()) } else { self.sync_name() }
        })();
        let mut known = self.known();
        match written {
            Ok(()) => {
                known.settled = Some(inode);
                Ok(())
            }
            Err(error) => {
                known.settled = None;
                known.failed = Some(Failed { inode, at: end, text: text.to_owned() });
                drop(known);
                // At once, so that nobody reads it; if that fails too, before the next entry.
                let _ = self.cut_off(file);
                Err(error.into())
            }
        }
    }

    /// Makes the file as durable as possible, unless this process knows that it is. The rewritten lines are
    /// durable with the next sync.
    ///
    /// Errors: of the disk; an earlier failure is still pending.
    pub(super) fn settle(&self, file: &mut File) -> io::Result<()> {
        self.cut_off(file)?;
        if self.known().settled == Some(file.metadata()?.ino()) {
            return Ok(());
        }
        // A failed sync leaves lines in memory that are not on the disk, and marks them clean.
        let length = file.metadata()?.len();
        let from = length.saturating_sub(UNSURE);
        let mut tail = vec![0; (length - from) as usize];
        file.read_exact_at(&mut tail, from)?;
        file.write_all_at(&tail, from)
    }

    /// The log has a new file: its directory entry is not durable yet.
    pub(super) fn unsettle(&self) {
        self.known().settled = None;
    }

    /// Truncates a failed write, unless another process has appended after it. A torn line does not count and
    /// is overwritten by the next one.
    fn cut_off(&self, file: &File) -> io::Result<()> {
        let mut known = self.known();
        let Some(failed) = &known.failed else { return Ok(()) };
        let facts = file.metadata()?;
        let length = failed.text.len() as u64;
        if facts.ino() == failed.inode && facts.len() == failed.at + length {
            let mut there = vec![0; length as usize];
            file.read_exact_at(&mut there, failed.at)?;
            if there == failed.text {
                file.set_len(failed.at)?;
            }
        }
        known.failed = None;
        Ok(())
    }

    fn sync_name(&self) -> io::Result<()> {
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
