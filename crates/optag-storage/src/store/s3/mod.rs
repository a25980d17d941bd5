//! An S3 bucket: its address, its clients, versions, uploads, locks and lifecycle rules.

pub mod admin;
mod batch_delete;
pub(crate) mod client;
pub mod credentials;
pub mod endpoint;
pub(crate) mod error;
pub(crate) mod lifecycle;
pub mod rules;
mod upload;
pub(crate) mod versions;
pub(crate) mod walk;
pub(crate) mod xml;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, RetryConfig};
use tokio::sync::mpsc;

use crate::store::backend::{Answer, Backend, Listing};
use crate::store::copy::Page;
use crate::store::copy::{CopyKind, StoredCopy};
use crate::store::error::StoreError;
use crate::store::s3::admin::S3Admin;
use crate::store::s3::credentials::Stamp;
use crate::store::s3::endpoint::Place;
use crate::store::s3::walk::At;
use crate::store::settings::S3Config;
use crate::store::upload::{Begun, Part, Verified};
use optag_core::error_chain::causes;

/// The two clients of one bucket.
pub(crate) struct Bucket {
    objects: AmazonS3,
    admin: S3Admin,
    credentials_file: Option<PathBuf>,
}

impl Bucket {
    /// Creates the clients; does not contact the store.
    ///
    /// Errors: the settings contradict each other.
    pub(crate) fn open(config: &S3Config) -> Result<Self, StoreError> {
        let place = Place::new(config)?;
        let options = client::options(config)?;
        let http = client::client(&options)?;
        // Deliveries are retried without limit by their queue; here only a single connection failure.
        let retry = RetryConfig { max_retries: 1, retry_timeout: client::REQUEST, ..RetryConfig::default() };
        let objects = credentials::provide(config, AmazonS3Builder::new())
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
        Ok(Self { objects, admin, credentials_file: config.credentials_file.clone() })
    }

    /// Whether GET returns it. The content is not read.
    async fn served(&self, name: &str, version: Option<&str>) -> Result<Vec<StoredCopy>, StoreError> {
        let version = version.map(str::to_owned);
        let options = GetOptions { version: version.clone(), ..GetOptions::default() };
        match self.objects.get_opts(&Path::from(name), options).await {
            Ok(got) => Ok(vec![StoredCopy {
                key: name.to_owned(),
                version: version.or(got.meta.version),
                kind: CopyKind::Object,
                bytes: got.meta.size,
                stored_at: None,
            }]),
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Backend for Bucket {
    fn objects(&self) -> &dyn ObjectStore {
        &self.objects
    }

    fn place(&self) -> String {
        self.admin.place.bucket.clone()
    }

    fn credentials_stamp(&self) -> Option<Stamp> {
        self.credentials_file.as_deref().and_then(credentials::stamp)
    }

    fn listed<'a>(&'a self, stem: &'a str) -> Answer<'a, Listing> {
        self.admin.listed(stem).boxed()
    }

    /// By both clients: "not found" from one does not count while the other finds the object.
    fn by_name<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<StoredCopy>> {
        async move {
            let (head, served) = (self.admin.head(name).await?, self.served(name, None).await?);
            Ok(match head {
                Some(head) => vec![head],
                None => served,
            })
        }
        .boxed()
    }

    fn version<'a>(&'a self, name: &'a str, version: &'a str) -> Answer<'a, Vec<StoredCopy>> {
        self.served(name, Some(version)).boxed()
    }

    fn upload_left<'a>(&'a self, name: &'a str, upload: &'a str) -> Answer<'a, Option<StoredCopy>> {
        self.admin.upload_left(name, upload).boxed()
    }

    fn keeps_versions(&self) -> Answer<'_, bool> {
        self.admin.keeps_versions().boxed()
    }

    fn walk(&self, prefix: &str) -> BoxStream<'_, Result<Page, StoreError>> {
        let prefix = prefix.to_owned();
        stream::try_unfold(At::Versions { key: None, version: None }, move |at| {
            let prefix = prefix.clone();
            async move { self.admin.walk_on(&prefix, at).await }.boxed()
        })
        .boxed()
    }

    fn delete<'a>(&'a self, copy: &'a StoredCopy) -> Answer<'a, ()> {
        self.admin.delete_copy(copy).boxed()
    }

    fn upload<'a, 'b: 'a>(
        &'a self,
        name: &'a str,
        parts: &'a mut mpsc::Receiver<Part>,
        begun: Begun<'b>,
    ) -> Answer<'a, Verified> {
        self.upload_parts(name, parts, begun).boxed()
    }

    fn deletes_together(&self) -> bool {
        !self.admin.deletes_singly.load(Ordering::Relaxed)
    }

    fn delete_some<'a>(&'a self, copies: &'a [StoredCopy]) -> Answer<'a, bool> {
        self.admin.delete_some(copies).boxed()
    }

    fn admin(&self) -> Option<&S3Admin> {
        Some(&self.admin)
    }
}
