//! Batch operations for expiry in stores with many recordings: the days that have recordings, the objects of a day,
//! and deletion of many copies by one request. In: days, copies. Out: names; a deletion is verified only by a search.

use std::collections::BTreeSet;

use futures::stream::BoxStream;
use jiff::civil::Date;
use object_store::path::Path;

use crate::store::copy::StoredCopy;
use crate::store::error::StoreError;
use crate::store::names::PREFIX;
use crate::store::{Listed, Store};

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
        self.backend.deletes_together()
    }

    /// Deletes copies by as few requests as possible; returns whether the store supports such requests.
    ///
    /// Errors: any of the copies may still exist.
    pub async fn delete_many(&self, copies: &[StoredCopy]) -> Result<bool, StoreError> {
        for some in copies.chunks(AT_A_TIME) {
            let deleted = self.backend.delete_some(some).await;
            self.trouble.note(&deleted);
            if !deleted? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn day_of(path: &Path) -> Option<Date> {
    let mut last = path.as_ref().rsplit('/');
    let (day, month, year) = (last.next()?, last.next()?, last.next()?);
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}
