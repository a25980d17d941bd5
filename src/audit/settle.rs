//! What of the trail's file is certain. In: the file, locked. Out: the same file, its last lines written
//! again where a sync failed or an earlier process wrote them, and without what was never acknowledged.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{MutexGuard, PoisonError};

use super::{AuditFault, AuditLog};

/// The end of the file that is written again. Units: bytes.
const UNSURE: u64 = 64 << 10;

/// What this process knows of the file.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The file whose lines and name are as durable as they can be.
    settled: Option<u64>,
    /// What failed, until it is cut off.
    failed: Option<Failed>,
}

/// Bytes that were written and are not acknowledged.
#[derive(Debug)]
struct Failed {
    inode: u64,
    at: u64,
    text: Vec<u8>,
}

impl AuditLog {
    /// Writes `text` at the end of the file, durable when this returns.
    ///
    /// Errors: the disk's. The bytes do not count then, and are cut off.
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
                // At once, so that nobody reads it; where that fails too, before the next entry.
                let _ = self.cut_off(file);
                Err(error.into())
            }
        }
    }

    /// Makes the file as certain as it can be, unless this process knows that it is. The lines that are
    /// written again are durable with the next sync.
    ///
    /// Errors: the disk's; what failed before is still there.
    pub(super) fn settle(&self, file: &mut File) -> io::Result<()> {
        self.cut_off(file)?;
        if self.known().settled == Some(file.metadata()?.ino()) {
            return Ok(());
        }
        // A sync that failed leaves lines in memory that are not on the disk, and marks them clean.
        let length = file.metadata()?.len();
        let from = length.saturating_sub(UNSURE);
        let mut tail = vec![0; (length - from) as usize];
        file.read_exact_at(&mut tail, from)?;
        file.write_all_at(&tail, from)
    }

    /// The trail has another file: its name is not durable yet.
    pub(super) fn unsettle(&self) {
        self.known().settled = None;
    }

    /// Cuts off what failed, if another process has not gone on behind it. A line that is torn is none, and
    /// the next one takes its place.
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
