//! Batch operations for expiry in stores with many recordings: the days that have recordings, the objects of a day,
//! and deletion of many copies by one request. In: days, copies. Out: names; a deletion is verified only by a search.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures::stream::BoxStream;
use jiff::civil::Date;
use object_store::path::Path;

use crate::store::names::PREFIX;
use crate::store::s3::admin::S3Admin;
use crate::store::s3::error::transient;
use crate::store::versions::{CopyKind, StoredCopy};
use crate::store::{Listed, Store, StoreError};

/// Maximum number of copies in one delete request.
///
/// Source: Amazon S3 API reference, DeleteObjects.
pub const AT_A_TIME: usize = 1_000;

impl Store {
    /// Days with objects, by listing folders: few requests, whatever the number of objects.
    ///
    /// Errors: store unavailable.
    pub async fn days(&self) -> Result<BTreeSet<Date>, StoreError> {
        let mut folders = vec![Path::from(PREFIX)];
        for digits in [4, 2, 2] {
            let mut below = Vec::new();
            for folder in &folders {
                let listed = self.objects().list_with_delimiter(Some(folder)).await?;
                below.extend(listed.common_prefixes.into_iter().filter(|path| {
                    let last = path.filename().unwrap_or_default();
                    last.len() == digits && last.bytes().all(|byte| byte.is_ascii_digit())
                }));
            }
            folders = below;
        }
        Ok(folders.iter().filter_map(day_of).collect())
    }

    /// Objects of a day.
    pub fn of_day(&self, day: Date) -> BoxStream<'static, Result<Listed, StoreError>> {
        self.list(&format!("{PREFIX}{:04}/{:02}/{:02}/", day.year(), day.month(), day.day()))
    }

    /// Whether several copies can be deleted by one request, as far as is known.
    pub fn deletes_together(&self) -> bool {
        self.admin().is_some_and(|admin| !admin.deletes_singly.load(Ordering::Relaxed))
    }

    /// Deletes copies by as few requests as possible; returns whether the store supports such requests.
    ///
    /// Errors: any of the copies may still exist.
    pub async fn delete_many(&self, copies: &[StoredCopy]) -> Result<bool, StoreError> {
        let Some(admin) = self.admin() else { return Ok(false) };
        for some in copies.chunks(AT_A_TIME) {
            let deleted = admin.delete_some(some).await;
            self.trouble.note(&deleted);
            if !deleted? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl S3Admin {
    /// Deletes up to [`AT_A_TIME`] copies; false if the store lacks the request, which is then not repeated.
    async fn delete_some(&self, copies: &[StoredCopy]) -> Result<bool, StoreError> {
        if self.deletes_singly.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let named = copies.iter().filter(|copy| copy.kind != CopyKind::Upload);
        let objects = named.filter_map(|copy| {
            let object = ObjectIdentifier::builder().key(&copy.key).set_version_id(copy.version.clone());
            object.build().ok()
        });
        let Ok(delete) = Delete::builder().set_objects(Some(objects.collect())).quiet(true).build() else {
            return Ok(true);
        };
        let answer = match self.client.delete_objects().bucket(&self.bucket).delete(delete).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let lacks = [
                    "NotImplemented",
                    "MethodNotAllowed",
                    "InvalidRequest",
                    "MissingContentMD5",
                    "MalformedXML",
                ];
                let lacks = error.code().is_some_and(|code| lacks.contains(&code));
                if !lacks {
                    return Err(transient(error));
                }
                self.deletes_singly.store(true, Ordering::Relaxed);
                tracing::info!(
                    "store cannot delete several objects by one request, deleting them one by one"
                );
                return Ok(false);
            }
        };
        match answer.errors.unwrap_or_default().into_iter().find(|one| one.code() != Some("NoSuchKey")) {
            None => Ok(true),
            Some(error) => Err(StoreError::Transient(format!(
                "{}: {}",
                error.code.unwrap_or_default(),
                error.key.unwrap_or_default()
            ))),
        }
    }
}

fn day_of(path: &Path) -> Option<Date> {
    let mut last = path.as_ref().rsplit('/');
    let (day, month, year) = (last.next()?, last.next()?, last.next()?);
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}
