//! Progress of incomplete erasures, on disk before anything is deleted: after a crash the receipt still names every copy,
//! and an erasure that finds nothing is not mistaken for one that deleted everything. Object names only; the file is
//! removed when the erasure is complete.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use optag_core::id::CallId;
use optag_files::atomic_file::replace_json;
use optag_files::durable_dir;

/// A directory with one file for each erasure that has begun to delete.
#[derive(Clone, Debug)]
pub struct UnderWay {
    dir: PathBuf,
}

impl UnderWay {
    /// Opens or creates the directory.
    ///
    /// Errors: disk.
    pub fn open(dir: &Path) -> io::Result<Self> {
        durable_dir::make(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Copies found by the erasure so far; blocking.
    ///
    /// Errors: disk, or the file is damaged.
    pub fn found(&self, id: CallId) -> io::Result<Vec<String>> {
        match fs::read(self.file(id)) {
            Ok(json) => Ok(serde_json::from_slice(&json)?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Records copies; durable on return; blocking.
    ///
    /// Errors: disk; what was recorded before is kept.
    pub fn note(&self, id: CallId, found: &[String]) -> io::Result<()> {
        replace_json(&self.file(id), found)
    }

    /// Records that someone accepts that nothing of the recording is found; durable on return; blocking.
    ///
    /// Errors: disk; the acceptance does not count then.
    pub fn accept_missing(&self, id: CallId) -> io::Result<()> {
        replace_json(&self.accepted_file(id), &true)
    }

    /// Whether that was accepted; blocking.
    ///
    /// Errors: disk.
    pub fn accepts_missing(&self, id: CallId) -> io::Result<bool> {
        self.accepted_file(id).try_exists()
    }

    /// Removes the progress of a completed erasure; blocking; idempotent.
    ///
    /// Errors: disk.
    pub fn forget(&self, id: CallId) -> io::Result<()> {
        for file in [self.file(id), self.accepted_file(id)] {
            match fs::remove_file(file) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn accepted_file(&self, id: CallId) -> PathBuf {
        self.dir.join(format!("{id}.missing"))
    }

    fn file(&self, id: CallId) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_known_until_the_erasure_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let id = CallId::from_bytes([1; 16]);
        let open = || UnderWay::open(&dir.path().join("erasing")).unwrap();
        assert_eq!(open().found(id).unwrap(), Vec::<String>::new());
        open().note(id, &["a?versionId=1".to_owned()]).unwrap();
        assert_eq!(open().found(id).unwrap(), ["a?versionId=1"]);
        assert!(!open().accepts_missing(id).unwrap());
        open().accept_missing(id).unwrap();
        assert!(open().accepts_missing(id).unwrap());
        open().forget(id).unwrap();
        open().forget(id).unwrap();
        assert!(!open().accepts_missing(id).unwrap());
        assert_eq!(open().found(id).unwrap(), Vec::<String>::new());
        fs::write(dir.path().join(format!("erasing/{id}.json")), "half").unwrap();
        assert!(open().found(id).is_err());
    }

    #[test]
    fn invariant_05_what_an_erasure_found_is_kept_durably_or_not() {
        optag_testing::faults::holds_under(
            optag_testing::test_name!(),
            // The first is that of the directory's name.
            &[&["fsync:error=EIO:when=2"]],
            |_| {
                let dir = tempfile::tempdir().unwrap();
                let (id, open) = (CallId::from_bytes([1; 16]), UnderWay::open(dir.path()).unwrap());
                assert!(open.note(id, &["a".to_owned()]).is_err());
                assert_eq!(open.found(id).unwrap(), Vec::<String>::new());
                open.note(id, &["a".to_owned()]).unwrap();
            },
        );
    }
}
