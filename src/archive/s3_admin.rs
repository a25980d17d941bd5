//! What S3 needs beyond objects: the lifecycle rule, versions, locks. Through the AWS SDK, with
//! checksums only where required, since several S3-compatible stores refuse its default.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration,
    LifecycleRule, LifecycleRuleFilter, NoncurrentVersionExpiration,
};

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

impl S3Admin {
    /// A client; nothing is contacted.
    ///
    /// Errors: the certificate file cannot be read.
    pub fn new(config: &S3Config) -> Result<Self, StoreError> {
        let mut builder = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .force_path_style(config.path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        if let Some(keys) = &config.credentials {
            let token = keys.session_token.as_ref().map(|token| token.reveal().clone());
            builder = builder.credentials_provider(Credentials::new(
                keys.access_key_id.reveal(),
                keys.secret_access_key.reveal(),
                token,
                None,
                "configuration",
            ));
        }
        if let Some(file) = &config.ca_file {
            builder = builder.http_client(https_with(file)?);
        }
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

fn https_with(ca_file: &std::path::Path) -> Result<aws_sdk_s3::config::SharedHttpClient, StoreError> {
    use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
    use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
    let pem = std::fs::read(ca_file)
        .map_err(|error| StoreError::Config(format!("{}: {error}", ca_file.display())))?;
    let context = TlsContext::builder()
        .with_trust_store(TrustStore::default().with_pem_certificate(pem))
        .build()
        .map_err(|error| StoreError::Config(error.to_string()))?;
    let provider = Provider::Rustls(CryptoMode::AwsLc);
    Ok(aws_smithy_http_client::Builder::new().tls_provider(provider).tls_context(context).build_https())
}

pub(super) fn transient(error: impl std::error::Error) -> StoreError {
    StoreError::Transient(DisplayErrorContext(error).to_string())
}
