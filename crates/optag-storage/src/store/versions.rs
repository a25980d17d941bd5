//! Every copy of a recording that a store may have: objects, older versions, delete markers, unfinished uploads,
//! files left half-written by a crash. In: a name prefix. Out: the copies, or the proof that there are none.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path as FsPath, PathBuf};

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::Serialize;

use crate::store::remains::Sought;
use crate::store::{Store, StoreError};
use optag_core::clock::WallTime;

/// Rounds of deleting and searching after which a store is considered unable to delete.
pub const ROUNDS: usize = 20;

/// One copy, as named by the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredCopy {
    /// Name of the object.
    pub key: String,
    /// Version, or id of the upload, if any.
    pub version: Option<String>,
    /// Kind of copy.
    pub kind: CopyKind,
    /// Size, if known. Units: bytes.
    pub bytes: u64,
    /// When it was stored, if known.
    pub stored_at: Option<WallTime>,
}

/// Kind of copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyKind {
    /// An object, or a version of it.
    Object,
    /// A delete marker.
    DeleteMarker,
    /// An unfinished multipart upload with its parts.
    Upload,
    /// An unfinished file.
    Unfinished,
}

impl StoredCopy {
    /// Name in receipts.
    pub fn name(&self) -> String {
        match (&self.version, self.kind) {
            (None, _) => self.key.clone(),
            (Some(id), CopyKind::Upload) => format!("{}?uploadId={id}", self.key),
            (Some(version), _) => format!("{}?versionId={version}", self.key),
        }
    }
}

impl Store {
    /// Every copy whose name begins with `stem`.
    ///
    /// Errors: store unavailable; any copy may exist then.
    pub async fn copies(&self, stem: &str) -> Result<Vec<StoredCopy>, StoreError> {
        if let Some(admin) = self.admin() {
            return admin.copies(stem).await;
        }
        let Some(dir) = self.directory() else { return Ok(Vec::new()) };
        let (dir, stem) = (dir.to_owned(), stem.to_owned());
        blocking(move || files(&dir, &stem)).await
    }

    /// Deletes every copy of one name, and searches by name and in listings until none is left; returns the deleted
    /// copies, the name itself last.
    ///
    /// Errors: something may be left; retry.
    pub async fn delete_all(&self, key: &str) -> Result<Vec<String>, StoreError> {
        let mut gone = Vec::new();
        let mut sought = Sought::name(key);
        for _ in 0..ROUNDS {
            let mut look = self.look(&sought).await?;
            look.found.retain(|copy| copy.key == key);
            if look.found.is_empty() {
                if let Some(doubt) = look.doubt {
                    return Err(StoreError::Unverified(doubt));
                }
                gone.push(key.to_owned());
                return Ok(gone);
            }
            for copy in &look.found {
                self.delete(copy).await?;
                let name = copy.name();
                if name != key && !gone.contains(&name) {
                    gone.push(name);
                }
            }
            sought.remember(&look.found);
        }
        Err(StoreError::Unverified(format!("{key} still present after deletion")))
    }

    /// Writes an object, overwriting an existing one.
    ///
    /// Errors: the object may or may not exist.
    pub async fn put_over(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.objects().put(&Path::from(key), bytes.into()).await?;
        Ok(())
    }

    /// Subfolders and files of a folder, each in order of names.
    pub(crate) async fn folder(&self, folder: &str) -> Result<(Vec<String>, Vec<StoredCopy>), StoreError> {
        let Some(dir) = self.directory() else { return Ok(Default::default()) };
        let (dir, folder) = (dir.to_owned(), folder.to_owned());
        blocking(move || {
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

    /// The file with this name, if it exists.
    pub(crate) async fn file_there(&self, name: &str) -> Result<Vec<StoredCopy>, StoreError> {
        let Some(dir) = self.directory() else { return Ok(Vec::new()) };
        let (path, key) = (dir.join(name), name.to_owned());
        blocking(move || match fs::symlink_metadata(&path) {
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
        .await
    }

    pub(crate) async fn delete_file(&self, copy: &StoredCopy) -> Result<(), StoreError> {
        let Some(dir) = self.directory() else { return Ok(()) };
        let path = dir.join(&copy.key);
        blocking(move || {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
        })
        .await
    }
}

/// Runs blocking work on a separate thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::Transient(error.to_string()))?
        .map_err(|error| StoreError::Transient(error.to_string()))
}

/// Files below `dir` whose relative path begins with `stem`.
fn files(dir: &FsPath, stem: &str) -> std::io::Result<Vec<StoredCopy>> {
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

    #[tokio::test]
    async fn writing_over_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::Local { dir: dir.path().to_owned() }).unwrap();
        for text in ["one", "two"] {
            store.put_over("anchors/a", text.into()).await.unwrap();
        }
        assert_eq!(store.get_small("anchors/a", 10).await.unwrap(), "two");
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
