//! Tells a store from the empty directory that is in its place while its file system is not mounted.
//!
//! The directory has a file with a random id, and the recorder keeps the id beside its other data. Where the file is
//! missing, or another's, nothing is written, and what is not found counts as unknown.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use aws_lc_rs::rand;

use crate::store::error::StoreError;
use optag_core::hex::hex;
use optag_files::atomic_file;

/// The file in the store, outside every prefix of objects.
const FILE: &str = "optag-store";
/// Maximum length of an id that is read. Units: bytes.
const MOST: usize = 100;

/// The mark of a directory.
#[derive(Debug)]
pub(crate) struct Mark {
    file: PathBuf,
    /// The id that the directory must have; none until it was bound.
    known: OnceLock<String>,
}

impl Mark {
    pub(super) fn of(dir: &Path) -> Self {
        Self { file: dir.join(FILE), known: OnceLock::new() }
    }

    /// Expects from now on the id that is kept in `kept`. The first time, the directory's own is kept, or it gets one.
    ///
    /// Errors: a file cannot be read or written.
    pub(super) fn bind(&self, kept: &Path) -> Result<(), StoreError> {
        let config =
            |what: &Path, error: io::Error| StoreError::Config(format!("{}: {error}", what.display()));
        let id = match read(kept).map_err(|error| config(kept, error))? {
            Some(id) => id,
            None => {
                let id = self.found_or_made().map_err(|error| config(&self.file, error))?;
                atomic_file::replace(kept, id.as_bytes()).map_err(|error| config(kept, error))?;
                id
            }
        };
        let _ = self.known.set(id);
        Ok(())
    }

    /// Whether the directory is the one that it was.
    ///
    /// Errors: it is not, or that cannot be known.
    pub(super) fn check(&self) -> io::Result<()> {
        let Some(known) = self.known.get() else { return Ok(()) };
        match read(&self.file)? {
            Some(found) if found == *known => Ok(()),
            Some(_) => Err(io::Error::other(format!(
                "{} is the mark of another store than before",
                self.file.display()
            ))),
            None => Err(io::Error::other(format!(
                "{} is missing, which the store had before: is its file system mounted?",
                self.file.display()
            ))),
        }
    }

    fn found_or_made(&self) -> io::Result<String> {
        if let Some(found) = read(&self.file)? {
            return Ok(found);
        }
        let mut random = [0; 16];
        rand::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
        let id = hex(&random);
        match OpenOptions::new().write(true).create_new(true).open(&self.file) {
            Ok(mut file) => {
                file.write_all(id.as_bytes())?;
                file.sync_all()?;
                self.file.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())?;
                Ok(id)
            }
            // Another node that shares the directory was faster; it may be about to write its id.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => read(&self.file)?
                .ok_or_else(|| io::Error::other("another recorder is making the store: start again")),
            Err(error) => Err(error),
        }
    }
}

/// The id in a file; none if there is no file, or nothing in it yet.
fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) if text.len() > MOST => Err(io::Error::other(format!("{}: not an id", file.display()))),
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|id| !id.is_empty())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_recorder_marks_the_store_and_every_other_keeps_its_mark() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        fs::create_dir(&store).unwrap();
        let bound = |kept: &str| {
            let mark = Mark::of(&store);
            mark.bind(&dir.path().join(kept)).unwrap();
            mark
        };
        let first = bound("one");
        assert_eq!(bound("two").known.get(), first.known.get());
        first.check().unwrap();
        fs::rename(&store, dir.path().join("away")).unwrap();
        assert!(first.check().unwrap_err().to_string().contains("is its file system mounted?"));
        fs::create_dir(&store).unwrap();
        assert!(bound("one").check().is_err(), "an empty directory is not marked anew");
        bound("a new installation").check().unwrap();
        assert!(bound("one").check().unwrap_err().to_string().contains("another store"));
    }
}
