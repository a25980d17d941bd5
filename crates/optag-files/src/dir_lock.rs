//! A lock on a directory or file for one process at a time. In: its path, and the lock inherited from an
//! earlier program in this process. Out: a lock that lasts as long as the value, or its holder.
//!
//! It is an `flock` on a separate file: it belongs to the open file, so it ends with the process in any case,
//! and a program that takes over the process by `exec` keeps it with the descriptor.
//! Source: flock(2).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::private_files::no_follow;

/// Why the lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is in use by {}: two recorders on one data directory would overwrite each other's deletion log", path.display(), holder(*.pid))]
    InUse {
        /// The locked path.
        path: PathBuf,
        /// The holder's process id, if it could be read.
        pid: Option<u32>,
    },
    /// The lock file is unusable.
    #[error("cannot lock {}: {source}", path.display())]
    File {
        /// The lock file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or("another process".into(), |pid| format!("process {pid}"))
}

/// A lock that is held.
#[derive(Debug)]
pub struct DirLock {
    file: File,
}

impl DirLock {
    /// Takes the lock in `lock_file` for `what`. `inherited` is the same lock, held by this process before an
    /// `exec`; if it is a file other than the one at that path, it is dropped.
    ///
    /// Errors: another process holds it, or of the disk.
    pub fn take(what: &Path, lock_file: &Path, inherited: Option<File>) -> Result<Self, LockError> {
        let failed = |source| LockError::File { path: lock_file.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let opened = no_follow(&mut options).open(lock_file).map_err(failed)?;
        let mut file = inherited.filter(|file| is_same(file, &opened)).unwrap_or(opened);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(LockError::InUse { path: what.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // For people only: the lock needs no content, so a full disk must not prevent it.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { file })
    }

    /// The lock's descriptor for the program that takes over this process.
    ///
    /// Errors: no descriptor available.
    pub fn for_successor(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

fn is_same(one: &File, other: &File) -> bool {
    let name = |file: &File| file.metadata().map(|facts| (facts.dev(), facts.ino()));
    matches!((name(one), name(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(dir: &Path, inherited: Option<File>) -> Result<DirLock, LockError> {
        DirLock::take(dir, &dir.join("recorder.lock"), inherited)
    }

    #[test]
    fn the_second_is_refused_and_named_the_first_and_a_successor_keeps_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path(), None).unwrap();
        let refused = take(dir.path(), None).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        // As across `exec`: the descriptor outlives the value.
        let kept = first.for_successor().unwrap();
        drop(first);
        assert!(take(dir.path(), None).is_err(), "nobody comes in between");
        let next = take(dir.path(), Some(kept)).unwrap();
        assert!(take(dir.path(), None).is_err());
        drop(next);
        take(dir.path(), None).unwrap();
    }

    #[test]
    fn a_descriptor_of_another_file_is_no_lock_and_a_link_is_not_followed() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let held = take(dir.path(), None).unwrap();
        let foreign = take(other.path(), None).unwrap().for_successor().unwrap();
        assert!(matches!(take(dir.path(), Some(foreign)), Err(LockError::InUse { .. })));
        drop(held);
        std::fs::remove_file(dir.path().join("recorder.lock")).unwrap();
        std::os::unix::fs::symlink(other.path().join("new"), dir.path().join("recorder.lock")).unwrap();
        assert!(matches!(take(dir.path(), None), Err(LockError::File { .. })));
        assert!(!other.path().join("new").exists());
    }
}
