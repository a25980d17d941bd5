//! The object store: a directory or S3. In: names and bytes. Out: objects that were read back before anyone relies on
//! them.

pub(crate) mod backend;
pub mod batches;
pub(crate) mod copy;
pub(crate) mod error;
pub(crate) mod fs;
pub mod last_fault;
pub mod names;
pub(crate) mod probe;
pub mod remains;
pub mod s3;
pub mod settings;
pub(crate) mod upload;
pub mod verified_put;
pub mod versions;
pub mod walk;

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::sync::OnceCell;

pub use crate::store::error::StoreError;

use crate::store::backend::Backend;
use crate::store::fs::Directory;
use crate::store::last_fault::Trouble;
use crate::store::s3::Bucket;
use crate::store::s3::admin::S3Admin;
use crate::store::s3::credentials::Stamp;
use crate::store::settings::StoreConfig;

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Name.
    pub key: String,
    /// Size. Units: bytes.
    pub bytes: u64,
}

/// Handle to a store; clones share it.
#[derive(Clone)]
pub struct Store {
    pub(crate) backend: Arc<dyn Backend>,
    /// Whether the store refuses to overwrite; tested before the first object is written.
    pub(crate) creates: Arc<OnceCell<bool>>,
    /// The last faults.
    pub trouble: Arc<Trouble>,
    /// Held during a test of the store, which always uses the same name.
    pub(crate) trying: Arc<tokio::sync::Mutex<()>>,
    pub(crate) probe: Arc<str>,
}

impl Store {
    /// Opens the configured store; does not contact S3.
    ///
    /// Errors: the directory cannot be created, or the settings contradict each other.
    pub fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let backend: Arc<dyn Backend> = match config {
            StoreConfig::Local { dir } => Arc::new(Directory::open(dir)?),
            StoreConfig::S3(config) => Arc::new(Bucket::open(config)?),
        };
        Ok(Self {
            creates: Arc::new(OnceCell::new_with(backend.refuses_to_overwrite())),
            backend,
            trouble: Arc::default(),
            trying: Arc::default(),
            probe: names::random_probe(),
        })
    }

    /// The same store, which from now on must be the one that it was when `kept` was written: a directory whose file
    /// system is not mounted is not an empty store.
    ///
    /// Errors: `kept`, or the store's mark, cannot be read or written.
    pub fn kept_in(self, kept: &std::path::Path) -> Result<Self, StoreError> {
        self.backend.bind(kept)?;
        Ok(self)
    }

    /// S3 operations beyond objects; none for other kinds.
    pub fn admin(&self) -> Option<&S3Admin> {
        self.backend.admin()
    }

    /// Changes when the credentials file does.
    pub fn credentials_stamp(&self) -> Option<Stamp> {
        self.backend.credentials_stamp()
    }

    pub(crate) fn objects(&self) -> &dyn ObjectStore {
        self.backend.objects()
    }

    /// Reads a whole small object.
    pub async fn get_small(&self, key: &str, most_bytes: u64) -> Result<Bytes, StoreError> {
        let result = self.objects().get(&Path::from(key)).await?;
        if result.meta.size > most_bytes {
            return Err(StoreError::Mismatch);
        }
        Ok(result.bytes().await?)
    }

    /// Reads an object or a part of it; also returns the object's size.
    pub async fn get(
        &self,
        key: &str,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, StoreError>>), StoreError> {
        let (meta, bytes) = self.open_object(key, range).await?;
        Ok((meta.size, bytes))
    }

    /// As [`Store::get`], with the object's metadata.
    pub(crate) async fn open_object(
        &self,
        key: &str,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<(ObjectMeta, BoxStream<'static, Result<Bytes, StoreError>>), StoreError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let result = self.objects().get_opts(&Path::from(key), options).await?;
        Ok((result.meta.clone(), result.into_stream().map_err(StoreError::from).boxed()))
    }

    /// Size of an object. Units: bytes.
    pub async fn size(&self, key: &str) -> Result<u64, StoreError> {
        Ok(self.objects().head(&Path::from(key)).await?.size)
    }

    /// Objects under a prefix.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StoreError>> {
        let listed = self.objects().list(Some(&Path::from(prefix)));
        listed
            .map_ok(|meta| Listed { key: meta.location.to_string(), bytes: meta.size })
            .map_err(StoreError::from)
            .boxed()
    }

    /// Checks that the store answers: lists one object.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut some = self.objects().list(Some(&Path::from(crate::store::names::PREFIX)));
        some.try_next().await.map(drop).map_err(StoreError::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::Local { dir: dir.path().to_owned() }).unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn deleting_is_verified_and_can_be_repeated() {
        let (_dir, store) = store();
        store.put_small("recordings/a", Bytes::from_static(b"one")).await.unwrap();
        for _ in 0..2 {
            assert_eq!(store.delete_all("recordings/a").await.unwrap(), ["recordings/a"]);
        }
        assert!(matches!(store.size("recordings/a").await, Err(StoreError::Missing)));
        assert!(store.list("recordings/").try_next().await.unwrap().is_none());
    }
}
