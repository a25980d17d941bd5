//! Finds what has outlived its limit: rows of the index whose time is up, objects in the store
//! that are older than any recording may be, calls left in the spool. Erasing is `erase`'s.

use futures::TryStreamExt;

use crate::archive::key;
use crate::archive::store::{Store, StoreError};
use crate::base::clock::WallTime;
use crate::base::id::CallId;
use crate::base::limit;
use crate::index::{Index, IndexError};

/// Rows taken at a time.
const BATCH: u32 = 500;

/// Recordings in the index whose time is up at `now`.
///
/// Errors: the index does not answer.
pub async fn due_in_index(index: &Index, now: WallTime) -> Result<Vec<CallId>, IndexError> {
    index.due(now, BATCH).await
}

/// Recordings in the store, known to the index or not, that were made more than 90 days before
/// `now`. The id itself tells when.
///
/// Errors: the store does not answer.
pub async fn due_in_store(store: &Store, now: WallTime) -> Result<Vec<CallId>, StoreError> {
    let mut listed = store.list(key::PREFIX);
    let mut due = Vec::new();
    while let Some(object) = listed.try_next().await? {
        if let Some((id, _)) = key::parse(&object.key)
            && is_over(id, now)
            && due.last() != Some(&id)
        {
            due.push(id);
        }
    }
    Ok(due)
}

/// Whether a call is older than any recording may be.
pub fn is_over(id: CallId, now: WallTime) -> bool {
    id.admitted_at().plus_days(i64::from(limit::RETENTION_DAYS)) <= now
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::app::config::StoreConfig;

    #[tokio::test]
    async fn invariant_09_an_object_that_no_index_knows_is_found_when_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::Local { dir: dir.path().to_owned() }).unwrap();
        let made = WallTime::from_unix_micros(1_700_000_000_000_000);
        let id = CallId::new_at(made);
        for name in key::names(id, made).into_iter().chain(["recordings/strange".into()]) {
            store.put_small(&name, Bytes::from_static(b"x")).await.unwrap();
        }
        assert_eq!(due_in_store(&store, made.plus_days(90).plus_micros(-1_000)).await.unwrap(), []);
        let due = due_in_store(&store, made.plus_days(90).plus_micros(1_000)).await.unwrap();
        assert!(!due.is_empty() && due.iter().all(|found| *found == id));
    }
}
