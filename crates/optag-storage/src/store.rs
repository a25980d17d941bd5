//! The object store: a directory or S3. In: names and bytes. Out: objects that were read back before anyone relies on
//! them.

pub mod last_fault;
pub mod lifecycle;
pub mod names;
pub(crate) mod probe;
pub mod remains;
pub mod s3;
pub mod settings;
pub mod verified_put;
pub mod versions;
pub mod walk;

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::sync::OnceCell;

use crate::store::last_fault::Trouble;
use crate::store::s3::admin::S3Admin;
use crate::store::s3::credentials::{self, FileCredentials, Stamp};
use crate::store::s3::endpoint::Place;
use crate::store::s3::{client, error};
use crate::store::settings::{S3Config, StoreConfig};
use optag_core::error_chain::causes;

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Temporary: the store is unreachable, or reported an error that may pass.
    #[error("store error: {0}")]
    Transient(String),
    /// No such object.
    #[error("no such object")]
    Missing,
    /// Another object has this name.
    #[error("another object has this name")]
    Conflict,
    /// The object read back differs from the one written.
    #[error("object read back differs from the one written")]
    Mismatch,
    /// The content to be stored could not be produced.
    #[error("{0}")]
    Source(String),
    /// The store answered, but its answers do not prove that nothing is left.
    #[error("deletion not verified: {0}")]
    Unverified(String),
    /// Invalid settings, or an unsuitable store.
    #[error("unusable store: {0}")]
    Config(String),
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { .. } => StoreError::Missing,
            Error::AlreadyExists { .. } | Error::Precondition { .. } => StoreError::Conflict,
            other => StoreError::Transient(error::in_short(&causes(&other))),
        }
    }
}

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
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) s3: Option<Arc<S3>>,
    /// Whether the store refuses to overwrite; tested before the first object is written.
    pub(crate) creates: Arc<OnceCell<bool>>,
    /// The last faults.
    pub trouble: Arc<Trouble>,
    /// Held during a test of the store, which always uses the same name.
    pub(crate) trying: Arc<tokio::sync::Mutex<()>>,
    pub(crate) probe: Arc<str>,
    credentials_file: Option<PathBuf>,
    dir: Option<PathBuf>,
}

/// The two clients of one bucket.
pub(crate) struct S3 {
    pub(crate) objects: AmazonS3,
    pub(crate) admin: S3Admin,
}

impl Store {
    /// Opens the configured store; does not contact S3.
    ///
    /// Errors: the directory cannot be created, or the settings contradict each other.
    pub fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        match config {
            StoreConfig::Local { dir } => Self::local(dir),
            StoreConfig::S3(s3) => Self::s3(s3),
        }
    }

    /// S3 operations beyond objects; none for a directory.
    pub fn admin(&self) -> Option<&S3Admin> {
        self.s3.as_deref().map(|s3| &s3.admin)
    }

    /// Changes when the credentials file does.
    pub fn credentials_stamp(&self) -> Option<Stamp> {
        self.credentials_file.as_deref().and_then(credentials::stamp)
    }

    /// The store's directory; none for S3.
    pub(crate) fn directory(&self) -> Option<&FsPath> {
        self.dir.as_deref()
    }

    pub(crate) fn objects(&self) -> &dyn ObjectStore {
        &*self.objects
    }

    /// Reads a whole small object.
    pub async fn get_small(&self, key: &str, most_bytes: u64) -> Result<Bytes, StoreError> {
        let result = self.objects.get(&Path::from(key)).await?;
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
        let result = self.objects.get_opts(&Path::from(key), options).await?;
        Ok((result.meta.clone(), result.into_stream().map_err(StoreError::from).boxed()))
    }

    /// Size of an object. Units: bytes.
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

    /// Checks that the store answers: lists one object.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut some = self.objects.list(Some(&Path::from(crate::store::names::PREFIX)));
        some.try_next().await.map(drop).map_err(StoreError::from)
    }

    fn local(dir: &FsPath) -> Result<Self, StoreError> {
        let config = |error: &(dyn std::error::Error + 'static)| {
            StoreError::Config(format!("{}: {}", dir.display(), causes(error)))
        };
        std::fs::create_dir_all(dir).map_err(|error| config(&error))?;
        let objects = LocalFileSystem::new_with_prefix(dir)
            .map_err(|error| config(&error))?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        let creates = Arc::new(OnceCell::new_with(Some(true)));
        Ok(Self {
            objects: Arc::new(objects),
            s3: None,
            creates,
            trouble: Arc::default(),
            trying: Arc::default(),
            probe: probe::unnamed(),
            credentials_file: None,
            dir: Some(dir.to_owned()),
        })
    }

    fn s3(config: &S3Config) -> Result<Self, StoreError> {
        let place = Place::new(config)?;
        let options = client::options(config)?;
        let http = client::client(&options)?;
        // Deliveries are retried without limit by their queue; here only a single connection failure.
        let retry = RetryConfig { max_retries: 1, retry_timeout: client::REQUEST, ..RetryConfig::default() };
        let objects = with_credentials(config, AmazonS3Builder::new())
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_allow_http(config.allow_http)
            .with_virtual_hosted_style_request(!place.path_style)
            // With the bucket in the host name, this client expects it in the endpoint.
            .with_endpoint(if place.path_style { &place.store } else { &place.bucket })
            .with_client_options(options)
            .with_retry(retry)
            .build()
            .map_err(|error| StoreError::Config(causes(&error)))?;
        // Both clients share one source of credentials.
        let admin = S3Admin::new(config, place, Arc::clone(objects.credentials()), http);
        Ok(Self {
            objects: Arc::new(objects.clone()),
            s3: Some(Arc::new(S3 { objects, admin })),
            creates: Arc::default(),
            trouble: Arc::default(),
            trying: Arc::default(),
            probe: probe::unnamed(),
            credentials_file: config.credentials_file.clone(),
            dir: None,
        })
    }
}

/// Credentials from the settings; without any, from the machine's role. Of the environment's `AWS_…` variables only
/// those for roles are used: the others are meant for other programs.
fn with_credentials(config: &S3Config, builder: AmazonS3Builder) -> AmazonS3Builder {
    if let Some(keys) = &config.credentials {
        let builder = builder
            .with_access_key_id(keys.access_key_id.reveal())
            .with_secret_access_key(keys.secret_access_key.reveal());
        return match &keys.session_token {
            Some(token) => builder.with_token(token.reveal()),
            None => builder,
        };
    }
    if let Some(file) = &config.credentials_file {
        return builder.with_credentials(Arc::new(FileCredentials::new(file)));
    }
    GIVEN.into_iter().fold(builder, |builder, (variable, key)| match std::env::var(variable) {
        Ok(value) if !value.is_empty() => builder.with_config(key, value),
        _ => builder,
    })
}

/// Variables by which a machine provides role credentials.
const GIVEN: [(&str, AmazonS3ConfigKey); 6] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
];

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
