//! S3 operations beyond objects: uploads and locks; `versions` has versions, `lifecycle` the rules. Uses the AWS SDK,
//! with checksums only where required, since several S3-compatible stores reject its default.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, IdentityCache, ProvideCredentials, Region,
    RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::ProvideErrorMetadata;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use object_store::aws::AwsCredentialProvider;
use object_store::client::HttpClient;

use crate::store::error::StoreError;
use crate::store::s3::client::ForSdk;
use crate::store::s3::endpoint::Place;
use crate::store::s3::error::transient;
use crate::store::s3::rules::Drift;
use crate::store::settings::S3Config;

/// Administrative client of one bucket.
#[derive(Debug)]
pub struct S3Admin {
    pub(crate) client: Client,
    pub(crate) bucket: String,
    pub(crate) region: String,
    pub(crate) place: Place,
    pub(crate) credentials: AwsCredentialProvider,
    pub(crate) http: HttpClient,
    /// The part of our lifecycle rule that the store dropped when it was last written.
    all_it_keeps: Mutex<Option<String>>,
    /// Whether the store cannot delete several objects by one request.
    pub(crate) deletes_singly: AtomicBool,
}

/// A part of an unfinished upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// ETag.
    pub etag: String,
    /// Size. Units: bytes.
    pub bytes: u64,
}

impl S3Admin {
    /// Creates a client over `http`; does not contact the store.
    pub fn new(
        config: &S3Config,
        place: Place,
        credentials: AwsCredentialProvider,
        http: HttpClient,
    ) -> Self {
        // With path-style addresses, the SDK appends the bucket's name directly to the endpoint.
        let end = if place.path_style { "/" } else { "" };
        let sdk = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .endpoint_url(format!("{}{end}", place.store))
            .force_path_style(place.path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .credentials_provider(Shared(Arc::clone(&credentials)))
            // The object client caches credentials while they are valid.
            .identity_cache(IdentityCache::no_cache())
            .http_client(ForSdk(http.clone()))
            .build();
        Self {
            client: Client::from_conf(sdk),
            bucket: config.bucket.clone(),
            region: config.region.clone(),
            place,
            credentials,
            http,
            all_it_keeps: Mutex::default(),
            deletes_singly: AtomicBool::new(false),
        }
    }

    /// Rejects a bucket whose object lock would keep objects that must be erased: beyond the retention limit, or on
    /// request.
    ///
    /// Errors: such a lock exists, or the store is unavailable.
    pub async fn refuse_long_lock(&self, days: u8) -> Result<(), StoreError> {
        let answer = match self.client.get_object_lock_configuration().bucket(&self.bucket).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let known = [
                    "ObjectLockConfigurationNotFoundError",
                    "NotImplemented",
                    "MethodNotAllowed",
                    "NoSuchObjectLockConfiguration",
                ];
                return match error.code() {
                    Some(code) if known.contains(&code) => Ok(()),
                    _ => Err(transient(error)),
                };
            }
        };
        let lock = answer
            .object_lock_configuration
            .and_then(|lock| lock.rule)
            .and_then(|rule| rule.default_retention);
        let Some(lock) = lock else { return Ok(()) };
        let locked_days = lock.days.unwrap_or(0) + lock.years.unwrap_or(0) * 366;
        let promise = match locked_days > i32::from(days) {
            true => format!("recordings must not be kept longer than {days} days"),
            false => "an erasure request must be met at once".to_owned(),
        };
        Err(StoreError::Config(format!(
            "bucket `{}` locks objects for {locked_days} days (Object Lock, default retention, {}): {promise}. \
             Use a bucket without a default retention",
            self.bucket,
            lock.mode.as_ref().map_or("mode unknown", |mode| mode.as_str()),
        )))
    }

    /// Unfinished uploads of a name, latest last.
    ///
    /// Errors: store unavailable.
    pub async fn uploads(&self, key: &str) -> Result<Vec<String>, StoreError> {
        let listing = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(key).send().await;
        let mut uploads = listing.map_err(transient)?.uploads.unwrap_or_default();
        uploads.retain(|upload| upload.key.as_deref() == Some(key));
        uploads.sort_by_key(|upload| upload.initiated.map(|at| at.as_nanos()));
        Ok(uploads.into_iter().filter_map(|upload| upload.upload_id).collect())
    }

    /// Parts of an unfinished upload, by number from 1. Empty if the store lists them in a non-standard form (moto):
    /// all parts are sent again then.
    ///
    /// Errors: store unavailable, or no such upload.
    pub async fn parts(&self, key: &str, upload: &str) -> Result<BTreeMap<i32, StoredPart>, StoreError> {
        let mut pages =
            self.client.list_parts().bucket(&self.bucket).key(key).upload_id(upload).into_paginator().send();
        let mut parts = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = match page {
                Err(error) if error.raw_response().is_some_and(|raw| raw.status().is_success()) => {
                    return Ok(BTreeMap::new());
                }
                page => page.map_err(transient)?,
            };
            for part in page.parts.unwrap_or_default() {
                if let (Some(number), Some(etag), Some(bytes)) = (part.part_number, part.e_tag, part.size) {
                    parts.insert(number, StoredPart { etag, bytes: bytes as u64 });
                }
            }
        }
        Ok(parts)
    }

    /// Aborts an unfinished upload and deletes its parts.
    ///
    /// Errors: it may still exist.
    pub async fn abort(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
        match abort.send().await {
            Err(error) if error.code() != Some("NoSuchUpload") => Err(transient(error)),
            _ => Ok(()),
        }
    }

    /// Whether the store drops exactly this part of our rule whenever it is written.
    pub(crate) fn is_all_it_keeps(&self, drift: &Drift) -> bool {
        let kept = self.all_it_keeps.lock().unwrap_or_else(PoisonError::into_inner);
        matches!((drift, &*kept), (Drift::Partly(what), Some(kept)) if what == kept)
    }

    pub(crate) fn note_all_it_keeps(&self, what: &str) {
        *self.all_it_keeps.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.to_owned());
    }
}

/// The object client's credentials, for the SDK.
#[derive(Debug)]
struct Shared(AwsCredentialProvider);

impl ProvideCredentials for Shared {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let keys = self.0.get_credential().await.map_err(CredentialsError::provider_error)?;
            Ok(Credentials::new(&keys.key_id, &keys.secret_key, keys.token.clone(), None, "optag"))
        })
    }
}
