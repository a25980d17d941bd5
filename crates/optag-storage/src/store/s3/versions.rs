//! Every copy in a bucket, and the store's clock. Uses the AWS SDK.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::DateTime;

use crate::store::copy::{CopyKind, StoredCopy};
use crate::store::error::StoreError;
use crate::store::s3::admin::S3Admin;
use crate::store::s3::error::transient;
use optag_core::clock::WallTime;

/// Maximum number of pages read before a listing is considered endless.
const PAGES: usize = 100_000;

impl S3Admin {
    /// Every version, delete marker and unfinished upload whose name begins with `stem`, and whether versions could be
    /// listed.
    ///
    /// Errors: store unavailable.
    pub async fn listed(&self, stem: &str) -> Result<(Vec<StoredCopy>, bool), StoreError> {
        let (mut found, lists_versions) = match self.versions_below(stem).await? {
            Some(found) => (found, true),
            None => (self.objects_below(stem).await?, false),
        };
        found.extend(self.uploads_below(stem).await?);
        Ok((found, lists_versions))
    }

    /// HEAD of a name: the object, or the delete marker that hides older versions.
    ///
    /// Errors: store unavailable, or the answer is inconclusive.
    pub async fn head(&self, name: &str) -> Result<Option<StoredCopy>, StoreError> {
        let copy = |version: Option<String>, kind, bytes| {
            Some(StoredCopy { key: name.to_owned(), version, kind, bytes, stored_at: None })
        };
        match self.client.head_object().bucket(&self.bucket).key(name).send().await {
            Ok(head) => {
                let bytes = head.content_length.unwrap_or_default().max(0) as u64;
                Ok(copy(head.version_id, CopyKind::Object, bytes))
            }
            Err(error) => {
                let Some(raw) = error.raw_response().filter(|raw| raw.status().as_u16() == 404) else {
                    return Err(transient(error));
                };
                let is_marker = raw.headers().get("x-amz-delete-marker") == Some("true");
                let version = raw.headers().get("x-amz-version-id").map(str::to_owned);
                Ok(if is_marker && version.is_some() {
                    copy(version, CopyKind::DeleteMarker, 0)
                } else {
                    None
                })
            }
        }
    }

    /// An upload that should have ended, if it still exists.
    ///
    /// Errors: store unavailable.
    pub async fn upload_left(&self, name: &str, upload: &str) -> Result<Option<StoredCopy>, StoreError> {
        let list = self.client.list_parts().bucket(&self.bucket).key(name).upload_id(upload);
        let left = StoredCopy {
            key: name.to_owned(),
            version: Some(upload.to_owned()),
            kind: CopyKind::Upload,
            bytes: 0,
            stored_at: None,
        };
        match list.send().await {
            Ok(_) => Ok(Some(left)),
            // Listed in a non-standard form: it exists.
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().is_success()) => Ok(Some(left)),
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 404) => Ok(None),
            Err(error) => Err(transient(error)),
        }
    }

    /// Whether the bucket keeps versions, or once did. A store that does not support the request has none.
    ///
    /// Errors: store unavailable.
    pub async fn keeps_versions(&self) -> Result<bool, StoreError> {
        match self.client.get_bucket_versioning().bucket(&self.bucket).send().await {
            Ok(answer) => Ok(answer.status.is_some()),
            Err(error) if matches!(error.code(), Some("NotImplemented" | "MethodNotAllowed")) => Ok(false),
            Err(error) => Err(transient(error)),
        }
    }

    /// Deletes one copy; a missing copy is not an error.
    ///
    /// Errors: it may still exist.
    pub async fn delete_copy(&self, copy: &StoredCopy) -> Result<(), StoreError> {
        if copy.kind == CopyKind::Upload {
            let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(&copy.key);
            return match abort.set_upload_id(copy.version.clone()).send().await {
                Ok(_) => Ok(()),
                Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
                Err(error) => Err(transient(error)),
            };
        }
        let delete = self.client.delete_object().bucket(&self.bucket).key(&copy.key);
        delete.set_version_id(copy.version.clone()).send().await.map(drop).map_err(transient)
    }

    /// The store's clock: the `Date` of any response, errors included.
    ///
    /// Errors: no response, or no date in it.
    pub async fn clock(&self) -> Result<WallTime, StoreError> {
        let date = Date::default();
        let request = self.client.head_bucket().bucket(&self.bucket).customize();
        let answer = request.interceptor(date.clone()).send().await;
        let seen = date.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (seen, answer) {
            (Some(text), _) => parse(&text).ok_or_else(|| {
                StoreError::Transient(format!("invalid date in the store's response: {text}"))
            }),
            (None, Err(error)) => Err(transient(error)),
            (None, Ok(_)) => Err(StoreError::Transient("no date in the store's response".into())),
        }
    }

    /// `None`: the store does not support versions.
    async fn versions_below(&self, stem: &str) -> Result<Option<Vec<StoredCopy>>, StoreError> {
        let mut found = Vec::new();
        let (mut key, mut version) = (None, None);
        for _ in 0..PAGES {
            let list = self.client.list_object_versions().bucket(&self.bucket).prefix(stem);
            let page = match list.set_key_marker(key).set_version_id_marker(version).send().await {
                Ok(page) => page,
                Err(error) if matches!(error.code(), Some("NotImplemented" | "MethodNotAllowed")) => {
                    return Ok(None);
                }
                Err(error) => return Err(transient(error)),
            };
            for one in page.versions.unwrap_or_default() {
                let bytes = one.size.unwrap_or_default().max(0) as u64;
                // Objects from before versioning are listed as version `null`, which also deletes them.
                let version = one.version_id.or_else(|| Some("null".into()));
                found.extend(one.key.map(|key| StoredCopy {
                    key,
                    version,
                    kind: CopyKind::Object,
                    bytes,
                    stored_at: time(one.last_modified),
                }));
            }
            for one in page.delete_markers.unwrap_or_default() {
                let version = one.version_id.or_else(|| Some("null".into()));
                found.extend(one.key.map(|key| StoredCopy {
                    key,
                    version,
                    kind: CopyKind::DeleteMarker,
                    bytes: 0,
                    stored_at: time(one.last_modified),
                }));
            }
            if !page.is_truncated.unwrap_or_default() {
                return Ok(Some(found));
            }
            (key, version) = (page.next_key_marker, page.next_version_id_marker);
            if key.is_none() {
                // Copies found on the pages so far are returned: once they are deleted, the next listing is shorter.
                return match found.is_empty() {
                    false => Ok(Some(found)),
                    true => Err(breaks_off("versions")),
                };
            }
        }
        Err(StoreError::Transient("listing of versions does not end".into()))
    }

    async fn objects_below(&self, stem: &str) -> Result<Vec<StoredCopy>, StoreError> {
        let mut found = Vec::new();
        let mut next = None;
        for _ in 0..PAGES {
            let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(stem);
            let page = list.set_continuation_token(next).send().await.map_err(transient)?;
            for one in page.contents.unwrap_or_default() {
                let bytes = one.size.unwrap_or_default().max(0) as u64;
                found.extend(one.key.map(|key| StoredCopy {
                    key,
                    version: None,
                    kind: CopyKind::Object,
                    bytes,
                    stored_at: time(one.last_modified),
                }));
            }
            next = page.next_continuation_token;
            match (next.is_none(), page.is_truncated.unwrap_or_default() && found.is_empty()) {
                (true, true) => return Err(breaks_off("objects")),
                (true, false) => return Ok(found),
                (false, _) => {}
            }
        }
        Err(StoreError::Transient("listing of objects does not end".into()))
    }

    /// Unfinished uploads whose name begins with `stem`.
    ///
    /// Errors: store unavailable.
    pub async fn uploads_below(&self, stem: &str) -> Result<Vec<StoredCopy>, StoreError> {
        let mut found = Vec::new();
        let (mut key, mut upload) = (None, None);
        for _ in 0..PAGES {
            let list = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(stem);
            let page =
                list.set_key_marker(key).set_upload_id_marker(upload).send().await.map_err(transient)?;
            for one in page.uploads.unwrap_or_default() {
                // Some stores ignore the prefix here.
                found.extend(one.key.filter(|key| key.starts_with(stem)).map(|key| StoredCopy {
                    key,
                    version: one.upload_id,
                    kind: CopyKind::Upload,
                    bytes: 0,
                    stored_at: time(one.initiated),
                }));
            }
            if !page.is_truncated.unwrap_or_default() {
                return Ok(found);
            }
            (key, upload) = (page.next_key_marker, page.next_upload_id_marker);
            if key.is_none() {
                return if found.is_empty() { Err(breaks_off("uploads")) } else { Ok(found) };
            }
        }
        Err(StoreError::Transient("listing of uploads does not end".into()))
    }
}

pub(crate) fn breaks_off(of: &str) -> StoreError {
    StoreError::Unverified(format!("listing of {of} is truncated without a continuation marker"))
}

pub(crate) fn time(at: Option<DateTime>) -> Option<WallTime> {
    at.map(|at| WallTime::from_unix_micros(at.secs().saturating_mul(1_000_000)))
}

/// Source: RFC 9110 §5.6.7.
fn parse(date: &str) -> Option<WallTime> {
    jiff::fmt::rfc2822::parse(date).ok().map(|zoned| WallTime::from_timestamp(zoned.timestamp()))
}

/// Captures the `Date` of the last response.
#[derive(Clone, Debug, Default)]
struct Date(Arc<Mutex<Option<String>>>);

impl Intercept for Date {
    fn name(&self) -> &'static str {
        "date of the answer"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_s3::error::BoxError> {
        let date = context.response().headers().get("date").map(str::to_owned);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_http_is_read() {
        let at = parse("Tue, 24 Nov 2026 10:00:00 GMT").unwrap();
        assert_eq!(at.to_string(), "2026-11-24T10:00:00Z");
        assert_eq!(parse("yesterday"), None);
    }
}
