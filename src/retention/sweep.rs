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
pub const BATCH: u32 = 500;

/// Recordings in the index whose time is up at `now`: a batch of them, and `more` besides.
///
/// Errors: the index does not answer.
pub async fn due_in_index(index: &Index, now: WallTime, more: usize) -> Result<Vec<CallId>, IndexError> {
    index.due(now, BATCH + more as u32).await
}

/// What a look through the store found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FoundInStore {
    /// Recordings, known to the index or not, that were made more than 90 days ago. The id itself
    /// tells when.
    pub due: Vec<CallId>,
    /// Recordings that are erased and there again: a restored backup, or an upload that was on its
    /// way when the erasure was verified.
    pub returned: Vec<CallId>,
}

/// Looks through the store for what must not be there at `now`.
///
/// Errors: the store does not answer.
pub async fn look_through_store(
    store: &Store,
    now: WallTime,
    is_erased: impl Fn(CallId) -> bool,
) -> Result<FoundInStore, StoreError> {
    let mut listed = store.list(key::PREFIX);
    let mut found = FoundInStore::default();
    while let Some(object) = listed.try_next().await? {
        let Some((id, _)) = key::parse(&object.key) else { continue };
        let into = match (is_erased(id), is_over(id, now)) {
            (true, _) => &mut found.returned,
            (false, true) => &mut found.due,
            (false, false) => continue,
        };
        if into.last() != Some(&id) {
            into.push(id);
        }
    }
    Ok(found)
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
        let look = async |us: i64, erased: bool| {
            look_through_store(&store, made.plus_days(90).plus_micros(us), |_| erased).await.unwrap()
        };
        assert_eq!(look(-1_000, false).await, FoundInStore::default());
        let due = look(1_000, false).await.due;
        assert!(!due.is_empty() && due.iter().all(|found| *found == id));
        let returned = look(-1_000, true).await.returned;
        assert!(!returned.is_empty() && returned.iter().all(|found| *found == id));
    }
}
