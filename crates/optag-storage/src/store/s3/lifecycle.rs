//! Requests for a bucket's lifecycle rules, handled as text. The AWS SDK drops elements that it does not know, so
//! these requests are made without it.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request};
use md5::{Digest, Md5};
use object_store::aws::AwsAuthorizer;

use crate::store::error::StoreError;
use crate::store::error::in_short;
use crate::store::s3::admin::S3Admin;
use crate::store::s3::rules::{Drift, Rules, Touching};
use optag_core::base64;
use optag_core::error_chain::causes;

/// Maximum number of attempts while someone else changes the rules.
const TRIES: usize = 3;
/// Response headers that describe the response, not the rules.
const OF_THE_ANSWER: [&str; 6] = [
    "x-amz-request-id",
    "x-amz-id-2",
    "x-amz-bucket-region",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
];

/// A store's response.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

/// The rules of a bucket, and the settings of the whole configuration, which are sent in headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Configured {
    rules: Rules,
    beside: Vec<(HeaderName, HeaderValue)>,
}

impl S3Admin {
    /// Installs our lifecycle rule; other rules stay as they are, to the byte. Returns the drift that was corrected.
    ///
    /// Errors: the store rejects the rules or does not keep them; someone else changes the rules at the same time; or
    /// the rules cannot be parsed reliably, in which case nothing is written.
    pub async fn install_lifecycle(&self, days: u8) -> Result<Option<Drift>, StoreError> {
        for _ in 0..TRIES {
            let before = self.configured().await?;
            let Some(drift) = before.rules.drift(days) else { return Ok(None) };
            if self.is_all_it_keeps(&drift) {
                return Ok(None);
            }
            // The last check before the write, which replaces all rules.
            if self.configured().await? != before {
                continue;
            }
            self.write_rules(&before, days).await?;
            let after = self.configured().await?;
            if let Err(rule) = before.rules.others_kept(&after.rules) {
                return Err(StoreError::Config(format!(
                    "the store did not keep the lifecycle rule `{rule}`, which is not ours, as it was; put it right \
                     and set `manage_lifecycle = false`"
                )));
            }
            return match after.rules.drift(days) {
                None => Ok(Some(drift)),
                Some(Drift::Partly(what)) => {
                    tracing::warn!(missing = %what, "store drops part of the lifecycle rule");
                    self.note_all_it_keeps(&what);
                    Ok(Some(drift))
                }
                Some(_) => Err(StoreError::Config("the store does not keep the lifecycle rule".into())),
            };
        }
        Err(StoreError::Transient("someone else is changing the bucket's lifecycle rules".into()))
    }

    /// The drift of our lifecycle rule, if any.
    ///
    /// Errors: the rules cannot be read.
    pub async fn lifecycle_drift(&self, days: u8) -> Result<Option<Drift>, StoreError> {
        Ok(self.configured().await?.rules.drift(days))
    }

    /// Foreign rules that affect our objects.
    ///
    /// Errors: the rules cannot be read.
    pub async fn touching(&self, keep_days: u8) -> Result<Vec<Touching>, StoreError> {
        Ok(self.configured().await?.rules.touching(keep_days))
    }

    async fn configured(&self) -> Result<Configured, StoreError> {
        let answer = self.ask(Method::GET, &[], Bytes::new()).await?;
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status == 404 && text.contains("NoSuchLifecycleConfiguration") {
            return Ok(Configured::default());
        }
        if answer.status != 200 {
            return Err(refused(&answer));
        }
        let exact = std::str::from_utf8(&answer.body);
        let rules = exact.map_err(|error| error.to_string()).and_then(Rules::read);
        let rules = rules.map_err(|why| StoreError::Config(format!("the lifecycle rules: {why}")))?;
        let beside = answer.headers.iter().filter(|(name, _)| {
            name.as_str().starts_with("x-amz-") && !OF_THE_ANSWER.contains(&name.as_str())
        });
        Ok(Configured { rules, beside: beside.map(|(name, value)| (name.clone(), value.clone())).collect() })
    }

    /// Some stores require the body's MD5, others a newer checksum; the first is always sent.
    async fn write_rules(&self, before: &Configured, days: u8) -> Result<(), StoreError> {
        let body = Bytes::from(before.rules.with_ours(days));
        let header = |name: &'static str, value: &[u8]| {
            let value = HeaderValue::from_str(&base64::encode(value));
            (HeaderName::from_static(name), value.unwrap_or(HeaderValue::from_static("")))
        };
        let mut headers = before.beside.clone();
        headers.push((CONTENT_TYPE, HeaderValue::from_static("application/xml")));
        headers.push(header("content-md5", &Md5::digest(&body)));
        let mut answer = self.ask(Method::PUT, &headers, body.clone()).await?;
        if answer.status == 400
            && String::from_utf8_lossy(&answer.body).to_ascii_lowercase().contains("checksum")
        {
            let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
            headers.push(header("x-amz-checksum-sha256", sha256.as_ref()));
            let algorithm = HeaderName::from_static("x-amz-sdk-checksum-algorithm");
            headers.push((algorithm, HeaderValue::from_static("SHA256")));
            answer = self.ask(Method::PUT, &headers, body).await?;
        }
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(refused(&answer)) }
    }

    /// One request for the rules.
    async fn ask(
        &self,
        method: Method,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Answer, StoreError> {
        let failed = |why: String| StoreError::Transient(in_short(&why));
        let credentials = self.credentials.get_credential().await.map_err(|error| failed(causes(&error)))?;
        let request = Request::builder().method(method).uri(format!("{}?lifecycle=", self.place.bucket));
        let mut request = request.body(body.into()).map_err(|error| failed(causes(&error)))?;
        request.headers_mut().extend(headers.iter().cloned());
        AwsAuthorizer::new(&credentials, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|error| failed(causes(&error)))?;
        let answer = self.http.execute(request).await.map_err(|error| failed(causes(&error)))?;
        let (head, body) = answer.into_parts();
        let body = body.bytes().await.map_err(|error| failed(causes(&error)))?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

fn refused(answer: &Answer) -> StoreError {
    let said = String::from_utf8_lossy(&answer.body);
    StoreError::Transient(in_short(&format!("the lifecycle rules: HTTP {}: {said}", answer.status)))
}
