//! Removes expired entries. The rest stays verifiable: a checkpoint signed before the cut contains the hash with which the
//! log continues.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;

use super::checkpoint::{Checkpoint, sign};
use super::{AuditFault, AuditLog};
use optag_core::clock::WallTime;
use optag_core::signing::Signer;
use optag_files::atomic_file::replace;
use optag_files::private_files::no_follow;

impl AuditLog {
    /// Removes the entries from before `until`, except the last one; returns their number. Blocking.
    /// Appending waits in the meantime. A crash leaves the complete log or the pruned one.
    ///
    /// Errors: of the files; a log that fails verification is left unchanged.
    pub fn prune(&self, until: WallTime, signer: &Signer, now: WallTime) -> Result<u64, AuditFault> {
        if !self.path.exists() {
            return Ok(0);
        }
        let mut file = self.locked()?;
        self.settle(&mut file)?;
        let (mut cut, mut previous) = (None, None);
        let mut removed = 0u64;
        for line in self.lines()? {
            let line = line?;
            if cut.is_none() {
                match line.at() {
                    Some(at) if at < until => {
                        removed += 1;
                        previous = Some((line.sequence, line.hash.clone()));
                    }
                    _ => cut = Some(line.sequence),
                }
            }
        }
        if cut.is_none() {
            // All are old: the last one is kept, since the next one is chained to it.
            removed = removed.saturating_sub(1);
            let (last, _) = previous.take().unwrap_or_default();
            let before = self.lines()?.find(|line| line.as_ref().is_ok_and(|line| line.sequence == last));
            if let Some(line) = before.transpose()? {
                previous = Some((last - 1, line.previous));
                cut = Some(last);
            }
        }
        let (Some((sequence, hash)), Some(cut)) = (previous, cut) else { return Ok(0) };
        if removed == 0 {
            return Ok(0);
        }
        self.keep(&sign(signer, &Checkpoint { sequence, hash, at: now, pruned: true })?)?;
        let draft = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        let mut file = BufWriter::new(no_follow(&mut options).open(&draft)?);
        for line in self.lines()? {
            let line = line?;
            if line.sequence >= cut {
                serde_json::to_writer(&mut file, &line).map_err(io::Error::from)?;
                file.write_all(b"\n")?;
            }
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        // The next entry makes the directory entry durable in any case.
        self.unsettle();
        fs::rename(&draft, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        self.forget_checkpoints_before(sequence)?;
        Ok(removed)
    }

    /// Checkpoints of removed entries are of no use.
    fn forget_checkpoints_before(&self, sequence: u64) -> Result<(), AuditFault> {
        let mut text = String::new();
        for signed in self.checkpoints()? {
            if signed.read::<Checkpoint>().is_ok_and(|one| one.sequence >= sequence) {
                text += &serde_json::to_string(&signed).map_err(io::Error::from)?;
                text.push('\n');
            }
        }
        Ok(replace(&self.checkpoints_path(), text.as_bytes())?)
    }
}
