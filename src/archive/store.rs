//! The object store: a directory or S3. In: names and bytes. Out: objects that were read back
//! before anyone relies on them.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Certificate, ClientOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, RetryConfig,
};
use tokio::sync::mpsc;

use super::s3_admin::S3Admin;
use crate::app::config::{S3Config, StoreConfig};
use crate::base::hex::hex;

/// Size of a part, and of the largest object stored in one request; S3's least part size.
/// Units: bytes.
pub const PART_BYTES: usize = 5 << 20;
/// One request's time limit.
const REQUEST: Duration = Duration::from_secs(30);

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Try again: it cannot be reached, or says so itself.
    #[error("the store did not answer as it should: {0}")]
    Transient(String),
    /// There is no such object.
    #[error("there is no such object")]
    Missing,
    /// Another object has this name.
    #[error("another object has this name")]
    Conflict,
    /// What was read back is not what was written.
    #[error("what was read back is not what was written")]
    Mismatch,
    /// What was to be stored could not be made.
    #[error("{0}")]
    Source(String),
    /// It cannot be set up this way.
    #[error("the store cannot be used: {0}")]
    Config(String),
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { .. } => StoreError::Missing,
            Error::AlreadyExists { .. } | Error::Precondition { .. } => StoreError::Conflict,
            other => StoreError::Transient(other.to_string()),
        }
    }
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub key: String,
    /// Its size. Units: bytes.
    pub bytes: u64,
}

/// What was stored and read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Size. Units: bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A store; clones share it.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    admin: Option<Arc<S3Admin>>,
    dir: Option<PathBuf>,
}

impl Store {
    /// Opens the configured store; S3 is not contacted.
    ///
    /// Errors: the directory cannot be made, or the settings contradict each other.
    pub fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        match config {
            StoreConfig::Local { dir } => Self::local(dir),
            StoreConfig::S3(s3) => Self::s3(s3),
        }
    }

    /// What `object_store` cannot do, where the store is S3.
    pub fn admin(&self) -> Option<&S3Admin> {
        self.admin.as_deref()
    }

    /// Where the objects lie, where the store is a directory.
    pub(super) fn directory(&self) -> Option<&FsPath> {
        self.dir.as_deref()
    }

    pub(super) fn objects(&self) -> &dyn ObjectStore {
        &*self.objects
    }

    /// Stores the parts as one object, unless it is there already, and reads it back.
    ///
    /// Errors: as [`StoreError`]; nothing may be relied on.
    pub async fn put_verified(
        &self,
        key: &str,
        mut parts: mpsc::Receiver<Bytes>,
    ) -> Result<Verified, StoreError> {
        let path = Path::from(key);
        let first =
            parts.recv().await.ok_or_else(|| StoreError::Source("there is nothing to store".into()))?;
        let mut sent = Sent::default();
        sent.add(&first);
        match parts.recv().await {
            None => self.put_whole(&path, first).await?,
            Some(second) => {
                let mut upload = self.objects.put_multipart(&path).await?;
                let stored = async {
                    upload.put_part(first.into()).await?;
                    let mut next = Some(second);
                    while let Some(part) = next {
                        sent.add(&part);
                        upload.put_part(part.into()).await?;
                        next = parts.recv().await;
                    }
                    upload.complete().await
                };
                if let Err(error) = stored.await {
                    // An abort that fails leaves parts behind; the lifecycle rule ends those.
                    let _ = upload.abort().await;
                    return Err(error.into());
                }
            }
        }
        let wanted = sent.verified();
        match self.digest(key).await? {
            found if found == wanted => Ok(wanted),
            _ => Err(StoreError::Mismatch),
        }
    }

    /// Stores a small object, as [`Store::put_verified`] does.
    pub async fn put_small(&self, key: &str, bytes: Bytes) -> Result<Verified, StoreError> {
        let (to, parts) = mpsc::channel(1);
        let _ = to.send(bytes).await;
        drop(to);
        self.put_verified(key, parts).await
    }

    /// Reads a whole small object.
    pub async fn get_small(&self, key: &str, most_bytes: u64) -> Result<Bytes, StoreError> {
        let result = self.objects.get(&Path::from(key)).await?;
        if result.meta.size > most_bytes {
            return Err(StoreError::Mismatch);
        }
        Ok(result.bytes().await?)
    }

    /// Reads an object or a part of it; its whole size comes with it.
    pub async fn get(
        &self,
        key: &str,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, StoreError>>), StoreError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let result = self.objects.get_opts(&Path::from(key), options).await?;
        Ok((result.meta.size, result.into_stream().map_err(StoreError::from).boxed()))
    }

    /// The size of an object.
    pub async fn size(&self, key: &str) -> Result<u64, StoreError> {
        Ok(self.objects.head(&Path::from(key)).await?.size)
    }

    /// Objects under a prefix.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StoreError>> {
        let listed = self.objects.list(Some(&Path::from(prefix)));
        listed
            .map_ok(|meta| Listed { key: meta.location.to_string(), bytes: meta.size })
            .map_err(StoreError::from)
            .boxed()
    }

    /// Whether the store answers: a listing of one item.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut some = self.objects.list(Some(&Path::from(super::key::PREFIX)));
        some.try_next().await.map(drop).map_err(StoreError::from)
    }

    fn local(dir: &FsPath) -> Result<Self, StoreError> {
        let config =
            |error: &dyn std::fmt::Display| StoreError::Config(format!("{}: {error}", dir.display()));
        std::fs::create_dir_all(dir).map_err(|error| config(&error))?;
        let objects = LocalFileSystem::new_with_prefix(dir)
            .map_err(|error| config(&error))?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        Ok(Self { objects: Arc::new(objects), admin: None, dir: Some(dir.to_owned()) })
    }

    fn s3(config: &S3Config) -> Result<Self, StoreError> {
        let mut client = ClientOptions::new().with_timeout(REQUEST).with_allow_http(config.allow_http);
        if let Some(file) = &config.ca_file {
            let pem = std::fs::read(file)
                .map_err(|error| StoreError::Config(format!("{}: {error}", file.display())))?;
            for certificate in Certificate::from_pem_bundle(&pem)? {
                client = client.with_root_certificate(certificate);
            }
        }
        // Deliveries are tried again for ever above; here only what a connection may hiccup.
        let retry = RetryConfig { max_retries: 1, retry_timeout: REQUEST, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_allow_http(config.allow_http)
            .with_virtual_hosted_style_request(!config.path_style)
            .with_client_options(client)
            .with_retry(retry);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(keys) = &config.credentials {
            builder = builder
                .with_access_key_id(keys.access_key_id.reveal())
                .with_secret_access_key(keys.secret_access_key.reveal());
            if let Some(token) = &keys.session_token {
                builder = builder.with_token(token.reveal());
            }
        }
        let objects = builder.build().map_err(|error| StoreError::Config(error.to_string()))?;
        Ok(Self { objects: Arc::new(objects), admin: Some(Arc::new(S3Admin::new(config)?)), dir: None })
    }

    /// One request, create-only. Where the name is taken, what is there is looked at below: an
    /// earlier try of ours may have stored it and lost the answer, and the same bytes are fine.
    async fn put_whole(&self, path: &Path, bytes: Bytes) -> Result<(), StoreError> {
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(path, bytes.clone().into(), create).await {
            Ok(_) => Ok(()),
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                self.objects.put(path, bytes.into()).await?;
                Ok(())
            }
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                let found = self.digest(path.as_ref()).await;
                let mut ours = Sent::default();
                ours.add(&bytes);
                match found {
                    Ok(found) if found == ours.verified() => Ok(()),
                    Ok(_) => Err(StoreError::Conflict),
                    Err(StoreError::Missing) => {
                        Err(StoreError::Transient("the name was taken and is free".into()))
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads an object to its end.
    async fn digest(&self, key: &str) -> Result<Verified, StoreError> {
        let (size, mut bytes) = self.get(key, None).await?;
        let mut read = Sent::default();
        while let Some(part) = bytes.try_next().await? {
            read.add(&part);
        }
        if read.bytes != size {
            return Err(StoreError::Transient("an object ended early".into()));
        }
        Ok(read.verified())
    }
}

/// What was sent or read so far.
struct Sent {
    bytes: u64,
    sha256: digest::Context,
}

impl Default for Sent {
    fn default() -> Self {
        Self { bytes: 0, sha256: digest::Context::new(&digest::SHA256) }
    }
}

impl Sent {
    fn add(&mut self, part: &Bytes) {
        self.bytes += part.len() as u64;
        self.sha256.update(part);
    }

    fn verified(&self) -> Verified {
        Verified { bytes: self.bytes, sha256: hex(self.sha256.clone().finish().as_ref()) }
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
    async fn what_is_stored_twice_is_stored_once_and_nothing_is_overwritten() {
        let (_dir, store) = store();
        let one = store.put_small("recordings/a", Bytes::from_static(b"one")).await.unwrap();
        assert_eq!(store.put_small("recordings/a", Bytes::from_static(b"one")).await.unwrap(), one);
        let other = store.put_small("recordings/a", Bytes::from_static(b"two")).await;
        assert!(matches!(other, Err(StoreError::Conflict)), "{other:?}");
        assert_eq!(store.get_small("recordings/a", 10).await.unwrap(), "one");
    }

    #[tokio::test]
    async fn a_long_object_arrives_in_parts() {
        let (_dir, store) = store();
        let (to, parts) = mpsc::channel(1);
        let sender = tokio::spawn(async move {
            for n in 0..3u8 {
                to.send(Bytes::from(vec![n; PART_BYTES])).await.unwrap();
            }
        });
        let stored = store.put_verified("recordings/long", parts).await.unwrap();
        sender.await.unwrap();
        assert_eq!(stored.bytes, 3 * PART_BYTES as u64);
        let (size, part) =
            store.get("recordings/long", Some(PART_BYTES as u64 - 1..PART_BYTES as u64 + 1)).await.unwrap();
        let part: Vec<Bytes> = part.try_collect().await.unwrap();
        assert_eq!((size, part.concat()), (stored.bytes, vec![0, 1]));
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
