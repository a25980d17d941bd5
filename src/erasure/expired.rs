//! Finds what is past its retention limit: objects in the store older than any recording may be. Not here: rows of the index
//! that are due, which a node claims, and erasing (`service`).

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use futures::TryStreamExt;
use jiff::civil::Date;

use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::limit;
use optag_storage::store::names;
use optag_storage::store::{Store, StoreError};

/// Recordings claimed at a time.
pub const BATCH: u32 = 1_000;

/// Result of a store scan.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FoundInStore {
    /// Recordings made more than 90 days ago, whether the index has them or not. The id contains the time.
    pub due: Vec<CallId>,
    /// Erased recordings that are present again: from a restored backup, or from an upload still under way when the
    /// erasure was verified.
    pub returned: Vec<CallId>,
    /// All others.
    pub others: Vec<CallId>,
}

/// Scans a store day by day: the expired days, and some others in turn.
#[derive(Debug, Default)]
pub struct Rounds {
    /// Last day of the previous round.
    last: Mutex<Option<Date>>,
}

impl Rounds {
    /// Finds what must not exist at `now`: scans every day whose recordings may have expired, and in turn other days,
    /// up to `most` objects, so that reappeared recordings are found wherever they are.
    ///
    /// Errors: store unavailable.
    pub async fn look(
        &self,
        store: &Store,
        now: WallTime,
        most: usize,
        is_erased: impl Fn(CallId) -> bool,
    ) -> Result<FoundInStore, StoreError> {
        let edge = names::day(now.plus_days(-i64::from(limit::RETENTION_DAYS)));
        let (mut due, others): (BTreeSet<Date>, BTreeSet<Date>) =
            store.days().await?.into_iter().partition(|day| *day <= edge);
        // Scanned even if the listing of folders omits them.
        due.extend([Some(edge), edge.yesterday().ok()].into_iter().flatten());
        let mut look = Look { now, found: FoundInStore::default(), is_erased };
        for day in due {
            look.through(store, day).await?;
        }
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let after = others.iter().filter(|day| last.is_some_and(|last| **day > last));
        let before = others.iter().filter(|day| last.is_none_or(|last| **day <= last));
        let (mut objects, mut ended) = (0, None);
        for day in after.chain(before) {
            if objects >= most {
                break;
            }
            objects += look.through(store, *day).await?;
            ended = Some(*day);
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = ended;
        Ok(look.found)
    }
}

struct Look<E> {
    now: WallTime,
    found: FoundInStore,
    is_erased: E,
}

impl<E: Fn(CallId) -> bool> Look<E> {
    /// Scans the objects of a day; returns their number.
    async fn through(&mut self, store: &Store, day: Date) -> Result<usize, StoreError> {
        let (mut listed, mut objects) = (store.of_day(day), 0);
        while let Some(object) = listed.try_next().await? {
            objects += 1;
            let Some((id, _)) = names::parse(&object.key) else { continue };
            let into = match ((self.is_erased)(id), is_over(id, self.now)) {
                (true, _) => &mut self.found.returned,
                (false, true) => &mut self.found.due,
                (false, false) => &mut self.found.others,
            };
            if into.last() != Some(&id) {
                into.push(id);
            }
        }
        Ok(objects)
    }
}

/// Whether a call is older than any recording may be.
pub fn is_over(id: CallId, now: WallTime) -> bool {
    id.admitted_at().plus_days(i64::from(limit::RETENTION_DAYS)) <= now
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::StoreConfig;

    #[tokio::test]
    async fn invariant_09_an_object_that_no_index_knows_is_found_when_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::Local { dir: dir.path().to_owned() }).unwrap();
        let made = WallTime::from_unix_micros(1_700_000_000_000_000);
        let id = CallId::new_at(made);
        for name in names::names(id, made).into_iter().chain(["recordings/strange".into()]) {
            store.put_small(&name, Bytes::from_static(b"x")).await.unwrap();
        }
        let look = async |us: i64, erased: bool| {
            Rounds::default().look(&store, made.plus_days(90).plus_micros(us), 100, |_| erased).await.unwrap()
        };
        let before = look(-1_000, false).await;
        assert!(before.due.is_empty() && before.returned.is_empty() && before.others.contains(&id));
        let due = look(1_000, false).await.due;
        assert!(!due.is_empty() && due.iter().all(|found| *found == id));
        let returned = look(-1_000, true).await.returned;
        assert!(!returned.is_empty() && returned.iter().all(|found| *found == id));
    }

    #[tokio::test]
    async fn a_round_looks_under_the_days_whose_time_is_up_and_under_some_others_in_turn() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::Local { dir: dir.path().to_owned() }).unwrap();
        let first = WallTime::from_unix_micros(1_700_000_000_000_000);
        let ids: Vec<CallId> = (0..100).map(|day| CallId::new_at(first.plus_days(day))).collect();
        for id in &ids {
            let name = names::name(*id, id.admitted_at(), names::Kind::Audio, true);
            store.put_small(&name, Bytes::from_static(b"x")).await.unwrap();
        }
        let (rounds, now) = (Rounds::default(), first.plus_days(95).plus_micros(1_000_000));
        // Recordings restored from a backup, among those not expired.
        let (mut seen, mut most_of_one) = (std::collections::BTreeSet::new(), 0);
        for _ in 0..10 {
            let found =
                rounds.look(&store, now, 10, |id| id.admitted_at() > now.plus_days(-89)).await.unwrap();
            assert_eq!(found.due, ids[..6], "what is over is found in each round");
            most_of_one = most_of_one.max(found.returned.len());
            seen.extend(found.returned);
        }
        assert_eq!(most_of_one, 10, "a round is bounded");
        assert!(ids[8..].iter().all(|id| seen.contains(id)), "{} of {}", seen.len(), ids.len() - 8);
    }
}
