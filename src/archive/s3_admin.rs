//! What S3 needs beyond objects: the lifecycle rule, versions, locks. Through the AWS SDK, with
//! checksums only where required, since several S3-compatible stores refuse its default.

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, IdentityCache, ProvideCredentials, Region,
    RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration,
    LifecycleRule, LifecycleRuleFilter, NoncurrentVersionExpiration,
};

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use object_store::aws::AwsCredentialProvider;

use super::key::PREFIX;
use super::lifecycle::{self, Drift};
use super::store::StoreError;
use crate::app::config::S3Config;

/// The administrative client of one bucket.
#[derive(Debug)]
pub struct S3Admin {
    pub(super) client: Client,
    pub(super) bucket: String,
}

/// A part that the store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// As the store names its content.
    pub etag: String,
    /// Its size. Units: bytes.
    pub bytes: u64,
}

impl S3Admin {
    /// A client; nothing is contacted.
    ///
    /// Errors: the certificate file cannot be read, or the proxy is no URL.
    pub fn new(config: &S3Config, credentials: AwsCredentialProvider) -> Result<Self, StoreError> {
        let mut builder = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .force_path_style(config.path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        let builder = builder
            .credentials_provider(Shared(credentials))
            // The other client keeps them as long as they are good.
            .identity_cache(IdentityCache::no_cache())
            .http_client(http_client(config)?);
        Ok(Self { client: Client::from_conf(builder.build()), bucket: config.bucket.clone() })
    }

    /// Makes our lifecycle rule what it must be; rules that are not ours stay as they are.
    /// Returns what had to be changed.
    ///
    /// Errors: the store refuses, or does not keep what it was given.
    pub async fn install_lifecycle(&self, days: u8) -> Result<Option<Drift>, StoreError> {
        let rules = self.rules().await?;
        let Some(drift) = lifecycle::drift(&rules, days) else { return Ok(None) };
        let merged = lifecycle::merge(rules, our_rule(days)?);
        let configuration =
            BucketLifecycleConfiguration::builder().set_rules(Some(merged)).build().map_err(transient)?;
        self.client
            .put_bucket_lifecycle_configuration()
            .bucket(&self.bucket)
            .lifecycle_configuration(configuration)
            .send()
            .await
            .map_err(transient)?;
        match lifecycle::drift(&self.rules().await?, days) {
            None => Ok(Some(drift)),
            Some(Drift::Partly(what)) => {
                tracing::warn!(missing = %what, "the store does not keep all of the lifecycle rule");
                Ok(Some(drift))
            }
            Some(_) => Err(StoreError::Config("the store does not keep the lifecycle rule".into())),
        }
    }

    /// What is wrong with the lifecycle rule now.
    ///
    /// Errors: the rules cannot be read.
    pub async fn lifecycle_drift(&self, days: u8) -> Result<Option<Drift>, StoreError> {
        Ok(lifecycle::drift(&self.rules().await?, days))
    }

    /// Refuses a bucket whose own lock would keep objects that must go: longer than we promise, or
    /// at all once a caller asks.
    ///
    /// Errors: there is such a lock, or the store does not answer.
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
            true => format!("nothing may live longer than {days} days"),
            false => "a caller's request to erase must be met at once".to_owned(),
        };
        Err(StoreError::Config(format!(
            "bucket `{}` locks objects for {locked_days} days (Object Lock, default retention, {}): {promise}. \
             Use a bucket without a default retention",
            self.bucket,
            lock.mode.as_ref().map_or("mode unknown", |mode| mode.as_str()),
        )))
    }

    /// Unfinished uploads of a name, the latest last.
    ///
    /// Errors: the store does not answer.
    pub async fn uploads(&self, key: &str) -> Result<Vec<String>, StoreError> {
        let listing = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(key).send().await;
        let mut uploads = listing.map_err(transient)?.uploads.unwrap_or_default();
        uploads.retain(|upload| upload.key.as_deref() == Some(key));
        uploads.sort_by_key(|upload| upload.initiated.map(|at| at.as_nanos()));
        Ok(uploads.into_iter().filter_map(|upload| upload.upload_id).collect())
    }

    /// Parts that an unfinished upload has, by number from 1. None where the store lists them in a
    /// form of its own (moto): then all are sent again.
    ///
    /// Errors: the store does not answer, or there is no such upload.
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

    /// Ends an unfinished upload and its parts.
    ///
    /// Errors: it may still be there.
    pub async fn abort(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
        match abort.send().await {
            Err(error) if error.code() != Some("NoSuchUpload") => Err(transient(error)),
            _ => Ok(()),
        }
    }

    async fn rules(&self) -> Result<Vec<LifecycleRule>, StoreError> {
        match self.client.get_bucket_lifecycle_configuration().bucket(&self.bucket).send().await {
            Ok(answer) => Ok(answer.rules.unwrap_or_default()),
            Err(error) if error.code() == Some("NoSuchLifecycleConfiguration") => Ok(vec![]),
            Err(error) => Err(transient(error)),
        }
    }
}

/// The rule that ends what we might miss.
fn our_rule(days: u8) -> Result<LifecycleRule, StoreError> {
    LifecycleRule::builder()
        .id(lifecycle::RULE_ID)
        .filter(LifecycleRuleFilter::builder().prefix(PREFIX).build())
        .status(ExpirationStatus::Enabled)
        .expiration(LifecycleExpiration::builder().days(i32::from(days)).build())
        .noncurrent_version_expiration(NoncurrentVersionExpiration::builder().noncurrent_days(1).build())
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder().days_after_initiation(1).build(),
        )
        .build()
        .map_err(transient)
}

/// Credentials of the objects' client, for this one.
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

fn http_client(config: &S3Config) -> Result<SharedHttpClient, StoreError> {
    let mut context = TlsContext::builder();
    if let Some(file) = &config.ca_file {
        let pem = std::fs::read(file)
            .map_err(|error| StoreError::Config(format!("{}: {error}", file.display())))?;
        context = context.with_trust_store(TrustStore::default().with_pem_certificate(pem));
    }
    let context = context.build().map_err(|error| StoreError::Config(error.to_string()))?;
    let proxy = match &config.proxy {
        Some(url) => ProxyConfig::all(url.reveal().as_str())
            .map_err(|_| StoreError::Config("store.proxy is no URL".into()))?,
        None => ProxyConfig::from_env(),
    };
    Ok(aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder();
        if let Some(settings) = settings {
            connector = connector.connector_settings(settings.clone());
        }
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector
            .proxy_config(proxy.clone())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context.clone())
            .build()
    }))
}

pub(super) fn transient(error: impl std::error::Error) -> StoreError {
    StoreError::Transient(DisplayErrorContext(error).to_string())
}
