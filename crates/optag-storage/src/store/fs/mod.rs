//! A directory as a store: each object is a file. Files left half-written by a crash are copies too.

mod guarded;
mod mark;

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tokio::sync::mpsc;

use crate::store::backend::{Answer, Backend, Listing, upload_at_once};
use crate::store::copy::Page;
use crate::store::copy::{CopyKind, StoredCopy};
use crate::store::error::StoreError;
use crate::store::fs::guarded::Guarded;
use crate::store::fs::mark::Mark;
use crate::store::upload::{Begun, Part, Verified};
use optag_core::clock::WallTime;
use optag_core::error_chain::causes;

/// A directory of objects.
pub(crate) struct Directory {
    objects: Guarded,
    dir: PathBuf,
}

impl Directory {
    /// Opens the directory; creates it if missing.
    ///
    /// Errors: it cannot be created or opened.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let config = |error: &(dyn std::error::Error + 'static)| {
            StoreError::Config(format!("{}: {}", dir.display(), causes(error)))
        };
        fs::create_dir_all(dir).map_err(|error| config(&error))?;
        let objects = LocalFileSystem::new_with_prefix(dir)
            .map_err(|error| config(&error))?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        let mark = Arc::new(Mark::of(dir));
        Ok(Self { objects: Guarded { objects, mark }, dir: dir.to_owned() })
    }

    /// Runs blocking work in the directory, if it is the store that it was, and looks again afterwards.
    async fn inside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mark = Arc::clone(&self.objects.mark);
        let done = tokio::task::spawn_blocking(move || {
            mark.check()?;
            let done = work()?;
            mark.check().map(|()| done)
        });
        let transient = |error: io::Error| StoreError::Transient(error.to_string());
        done.await.map_err(|error| transient(error.into()))?.map_err(transient)
    }

    /// Subfolders and files of a folder, each in order of names.
    async fn folder(&self, folder: &str) -> Result<(Vec<String>, Vec<StoredCopy>), StoreError> {
        let (dir, folder) = (self.dir.clone(), folder.to_owned());
        self.inside(move || {
            let (mut below, mut copies) = (Vec::new(), Vec::new());
            let entries = match fs::read_dir(dir.join(&folder)) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound && dir.is_dir() => {
                    return Ok((below, copies));
                }
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let key = PathBuf::from(&folder).join(entry.file_name()).to_string_lossy().into_owned();
                match entry.file_type()?.is_dir() {
                    true => below.push(key),
                    false => copies.extend(file(&entry, key)?),
                }
            }
            below.sort();
            copies.sort_by(|one, other| one.key.cmp(&other.key));
            Ok((below, copies))
        })
        .await
    }
}

impl Backend for Directory {
    fn objects(&self) -> &dyn ObjectStore {
        &self.objects
    }

    fn place(&self) -> String {
        self.dir.display().to_string()
    }

    fn refuses_to_overwrite(&self) -> Option<bool> {
        Some(true)
    }

    fn bind(&self, kept: &Path) -> Result<(), StoreError> {
        self.objects.mark.bind(kept)
    }

    fn upload<'a, 'b: 'a>(
        &'a self,
        name: &'a str,
        parts: &'a mut mpsc::Receiver<Part>,
        _begun: Begun<'b>,
    ) -> Answer<'a, Verified> {
        async move {
            let stored = upload_at_once(&self.objects, name, parts).await?;
            self.inside(|| Ok(())).await.map(|()| stored)
        }
        .boxed()
    }

    fn listed<'a>(&'a self, stem: &'a str) -> Answer<'a, Listing> {
        let (dir, stem) = (self.dir.clone(), stem.to_owned());
        async { Ok((self.inside(move || files(&dir, &stem)).await?, true)) }.boxed()
    }

    fn by_name<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<StoredCopy>> {
        let (path, key) = (self.dir.join(name), name.to_owned());
        self.inside(move || match fs::symlink_metadata(&path) {
            Ok(facts) => Ok(vec![StoredCopy {
                key,
                version: None,
                kind: CopyKind::Object,
                bytes: facts.len(),
                stored_at: None,
            }]),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        })
        .boxed()
    }

    fn walk(&self, prefix: &str) -> BoxStream<'_, Result<Page, StoreError>> {
        let folders = VecDeque::from([prefix.trim_end_matches('/').to_owned()]);
        stream::try_unfold(folders, move |mut folders| {
            async move {
                let Some(folder) = folders.pop_front() else { return Ok(None) };
                let (below, copies) = self.folder(&folder).await?;
                for name in below.into_iter().rev() {
                    folders.push_front(name);
                }
                Ok(Some((Page { copies, unseen: None }, folders)))
            }
            .boxed()
        })
        .boxed()
    }

    fn delete<'a>(&'a self, copy: &'a StoredCopy) -> Answer<'a, ()> {
        let path = self.dir.join(&copy.key);
        self.inside(move || {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
        })
        .boxed()
    }
}

/// Files below `dir` whose relative path begins with `stem`.
fn files(dir: &Path, stem: &str) -> std::io::Result<Vec<StoredCopy>> {
    // Walks the directory part of the stem and compares the rest.
    let start = stem.rsplit_once('/').map_or(PathBuf::new(), |(folder, _)| folder.into());
    let mut todo = vec![start];
    let mut found = Vec::new();
    while let Some(folder) = todo.pop() {
        let entries = match fs::read_dir(dir.join(&folder)) {
            Ok(entries) => entries,
            // A missing folder has no copies; a missing store may have.
            Err(error) if error.kind() == ErrorKind::NotFound && dir.is_dir() => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                todo.push(path);
                continue;
            }
            let key = path.to_string_lossy().into_owned();
            if !key.starts_with(stem) {
                continue;
            }
            found.extend(file(&entry, key)?);
        }
    }
    found.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(found)
}

/// A file as a copy; `None` if it was removed meanwhile.
fn file(entry: &fs::DirEntry, key: String) -> std::io::Result<Option<StoredCopy>> {
    let facts = match entry.metadata() {
        Ok(facts) => facts,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let unfinished = key.rsplit_once('#').is_some_and(|(_, n)| n.bytes().all(|b| b.is_ascii_digit()));
    let stored_at = facts.modified().ok().and_then(|at| jiff::Timestamp::try_from(at).ok());
    Ok(Some(StoredCopy {
        version: None,
        kind: if unfinished { CopyKind::Unfinished } else { CopyKind::Object },
        bytes: facts.len(),
        stored_at: stored_at.map(WallTime::from_timestamp),
        key,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::settings::StoreConfig;

    #[tokio::test]
    async fn every_file_of_a_recording_is_found_and_deleted_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::Local { dir: dir.path().to_owned() }).unwrap();
        for name in ["a.opus", "a.json", "b.opus"] {
            store.put_small(&format!("recordings/2026/01/02/{name}"), "x".into()).await.unwrap();
        }
        // Left by a crash during an upload; no listing of objects shows it.
        fs::write(dir.path().join("recordings/2026/01/02/a.opus#3"), b"half").unwrap();
        let copies = store.copies("recordings/2026/01/02/a").await.unwrap();
        assert_eq!(copies.len(), 3);
        assert_eq!(copies[2].kind, CopyKind::Unfinished);
        for copy in &copies {
            store.delete(copy).await.unwrap();
        }
        assert_eq!(store.copies("recordings/2026/01/02/a").await.unwrap(), []);
        assert_eq!(store.copies("recordings/").await.unwrap().len(), 1);
        assert_eq!(store.copies("elsewhere/").await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_not_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("store");
        let store = Store::open(&StoreConfig::Local { dir: place.clone() }).unwrap();
        fs::remove_dir_all(&place).unwrap();
        assert!(matches!(store.delete_all("recordings/a").await, Err(StoreError::Transient(_))));
    }

    #[test]
    fn invariant_05_an_object_in_a_directory_comes_and_goes_only_durably() {
        let faults: [&[&str]; 1] = [&["fsync:error=EIO:when=1"]];
        optag_testing::faults::holds_under(optag_testing::test_name!(), &faults, |_| {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&StoreConfig::Local { dir: dir.path().to_owned() }).unwrap();
            let key = "recordings/2026/01/02/a.opus";
            // Each runtime has its own disk thread, and so its own first sync.
            let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            assert!(runtime().block_on(store.put_small(key, "x".into())).is_err());
            let path = dir.path().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            let copies = runtime().block_on(store.copies("recordings/2026/01/02/a")).unwrap();
            assert!(runtime().block_on(store.delete(&copies[0])).is_err());
        });
    }
}
