//! The sweeper: every minute or so, what has outlived its limit is erased, open erasures are tried
//! again, and what is erased and there again goes anew. Judges by trusted time alone.

use std::sync::Arc;
use std::time::Duration;

use crate::app::erasing::Erasing;
use crate::app::timekeeping::TimeKeeper;
use crate::archive::key::day;
use crate::base::clock::WallTime;
use crate::base::id::CallId;
use crate::base::limit;
use crate::retention::deletion_log::Cause;
use crate::retention::erase::EraseError;
use crate::retention::sweep;
use crate::retention::trusted_time::Trusted;
use crate::spool::record::Body;

/// Time after which the store is looked through again.
const LOOK_THROUGH: Duration = Duration::from_secs(600);
/// Rows of the index that are compared with the deletion log at a time.
const ROWS: u32 = 1_000;

/// Sweeps.
pub struct Sweeper {
    /// What it erases through.
    pub erasing: Arc<Erasing>,
    /// The time.
    pub time: Arc<TimeKeeper>,
    /// Time between sweeps.
    pub interval: Duration,
}

impl Sweeper {
    /// Sweeps until it is dropped.
    pub async fn run(self) {
        let rounds = (LOOK_THROUGH.as_secs() / self.interval.as_secs().max(1)).max(1);
        let mut round = 0u64;
        loop {
            let trusted = self.time.look_again(&self.erasing.store).await;
            if let Trusted::Unconfirmed { at_least, wall } = trusted {
                tracing::error!(
                    %at_least, %wall,
                    "the wall clock has jumped; expiry goes by the time that certainly has passed; \
                     `optag retention confirm-clock` says that the wall clock is right"
                );
            }
            if round == 0 {
                self.returned_to_index().await;
            }
            self.sweep(trusted.time(), round.is_multiple_of(rounds)).await;
            self.erasing.complete_open().await;
            if let Err(error) = tokio::task::block_in_place(|| self.erasing.log.compact()) {
                tracing::warn!(%error, "the deletion log's table could not be made");
            }
            if let Err(error) = self.erasing.anchor_deletions().await {
                tracing::warn!(%error, "the deletion log's copy in the store is not up to date");
            }
            if !self.erasing.custody.in_step() {
                tracing::error!(
                    "the deletion log is behind what index or store have seen: nothing is served or \
                     delivered; stop the recorder and run `optag replay-deletions`"
                );
            }
            round = round.wrapping_add(1);
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Orders the erasure of everything whose time is up at `now`.
    pub(super) async fn sweep(&self, now: WallTime, look_through_store: bool) {
        let erasing = &self.erasing;
        let held = erasing.custody.holds.all().len();
        let mut due = match sweep::due_in_index(&erasing.index, now, held).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "the index could not be swept");
                Vec::new()
            }
        };
        if look_through_store {
            match sweep::look_through_store(&erasing.store, now, |id| erasing.log.is_erased(id)).await {
                Ok(found) => {
                    due.extend(found.due);
                    self.again(found.returned).await;
                }
                Err(error) => tracing::warn!(%error, "the store could not be swept"),
            }
        }
        let oldest = now.plus_days(-i64::from(limit::RETENTION_DAYS));
        if let Err(error) = self.erasing.index.forget_accounts(oldest).await {
            tracing::warn!(%error, "old accounts of calls could not be removed");
        }
        due.extend(self.due_in_spool(now, look_through_store).await);
        for id in due {
            match erasing.order(id, Cause::Expiry).await {
                Ok(()) | Err(EraseError::Held(_)) => {}
                Err(error) => {
                    tracing::error!(call = %id, %error, "a recording whose time is up could not be erased");
                    return;
                }
            }
        }
        self.end_keys(now).await;
    }

    /// Calls in the spool whose time is up. A department's shorter limit stands in the call's own
    /// records, which are read only now and then.
    async fn due_in_spool(&self, now: WallTime, read: bool) -> Vec<CallId> {
        let spool = self.erasing.spool.clone();
        let look = move || {
            let mut due = Vec::new();
            for id in spool.calls() {
                let over_a_day = id.admitted_at().plus_days(1) <= now;
                let over = sweep::is_over(id, now)
                    || read
                        && over_a_day
                        && days(&spool, id).is_some_and(|days| id.admitted_at().plus_days(days) <= now);
                if over {
                    due.push(id);
                }
            }
            due
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    /// Rows that came back with an older index.
    async fn returned_to_index(&self) {
        let (erasing, mut after) = (&self.erasing, None);
        loop {
            let ids = match erasing.index.live_after(after, ROWS).await {
                Ok(ids) => ids,
                Err(error) => {
                    tracing::warn!(%error, "the index could not be compared with the deletion log");
                    return;
                }
            };
            let Some(last) = ids.last().copied() else { return };
            after = Some(last);
            self.again(ids.into_iter().filter(|id| erasing.log.is_erased(*id)).collect()).await;
        }
    }

    /// Erases anew what is erased and there again.
    async fn again(&self, returned: Vec<CallId>) {
        let open: Vec<CallId> = self.erasing.log.open_orders().iter().map(|order| order.id).collect();
        for id in returned.into_iter().filter(|id| !open.contains(id)) {
            tracing::error!(call = %id, "an erased recording was there again; it is erased anew");
            crate::metrics::erased_returned();
            if let Err(error) = self.erasing.reopen(id).await {
                tracing::error!(call = %id, %error, "an erasure could not be opened again");
                return;
            }
        }
    }

    /// A day's key ends when the last recording that it seals is due: from then on no copy of
    /// that day opens, wherever it lies.
    /// What is held keeps the key of its day.
    async fn end_keys(&self, now: WallTime) {
        for hold in self.erasing.custody.holds.all() {
            let (keys, day) = (Arc::clone(self.erasing.vault.keys()), day(hold.id.admitted_at()));
            let kept = tokio::task::spawn_blocking(move || keys.keep_until(day, hold.until)).await;
            if !matches!(kept, Ok(Ok(()))) {
                tracing::error!(call = %hold.id, "the key of a held recording's day could not be kept; no key is ended");
                return;
            }
        }
        match self.erasing.vault.destroy_due_keys(now).await {
            Ok(ended) => {
                for key in ended {
                    tracing::info!(
                        key,
                        "the key of a day was destroyed: nothing sealed with it opens any more"
                    );
                }
            }
            Err(error) => tracing::error!(%error, "keys of days that are over may be left"),
        }
    }
}

/// Days that a call may live, as its own records say.
fn days(spool: &crate::spool::Spool, id: CallId) -> Option<i64> {
    match spool.read(id).ok()?.next()? {
        Ok(Body::Opened(facts)) => Some(i64::from(facts.retention_days)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::anchoring::tests::{erasing, object};
    use crate::call::{CallFacts, StreamFacts, StreamRole};
    use crate::retention::custody::Custody;
    use crate::retention::holds::{Hold, HoldPolicy, Holds};
    use crate::spool::record::SpoolRecord;

    fn sweeper(erasing: Erasing, dir: &std::path::Path) -> Sweeper {
        let time = Arc::new(TimeKeeper::new(dir.join("clock.json")));
        Sweeper { erasing: Arc::new(erasing), time, interval: Duration::from_secs(60) }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_09_a_call_that_waits_in_the_spool_ends_at_its_departments_limit() {
        let dir = tempfile::tempdir().unwrap();
        let sweeper = sweeper(erasing(dir.path()).await, dir.path());
        let started_at = WallTime::from_unix_micros(1_700_000_000_000_000);
        let id = CallId::new_at(started_at);
        let facts = CallFacts {
            id,
            department: "short".into(),
            started_at,
            retention_days: 7,
            caller_number: "12345678".to_owned().into(),
            called_number: "70101010".to_owned().into(),
            caller_name: None,
            external_id: None,
            streams: vec![StreamFacts { label: "a".into(), role: StreamRole::Mixed }],
            context: Default::default(),
        };
        let spool = &sweeper.erasing.spool;
        spool.append(vec![SpoolRecord { call: id, body: Body::Opened(facts) }]).unwrap();
        assert!(crate::app::durable::durable(spool).await);
        sweeper.sweep(started_at.plus_days(7).plus_micros(-1_000_000), true).await;
        assert_eq!(spool.calls(), [id]);
        sweeper.sweep(started_at.plus_days(7).plus_micros(1_000_000), true).await;
        assert!(spool.calls().is_empty() && sweeper.erasing.log.is_erased(id));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_hold_stops_expiry_until_it_ends_and_what_is_erased_and_there_again_goes_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut erasing = erasing(dir.path()).await;
        let policy = HoldPolicy { allowed: true, lawful_bases: vec!["court".into()], ends_anyway: false };
        let holds = Holds::open(&dir.path().join("holds.json"), policy).unwrap();
        erasing.custody = Custody::new(crate::base::signing::Signer::from_seed(&[7; 32]).unwrap(), holds);
        let (held, free) = (object(&erasing, 0).await, object(&erasing, 0).await);
        let made = held.admitted_at();
        let hold = Hold {
            id: held,
            until: erasing.clock.wall().plus_days(1),
            reason: "case".into(),
            lawful_basis: Some("court".into()),
            by: "ada".into(),
            at: made,
        };
        erasing.custody.holds.place(hold, made.plus_days(90), || false).unwrap();
        let sweeper = sweeper(erasing, dir.path());
        let erasing = &sweeper.erasing;
        let over = made.plus_days(91);
        sweeper.sweep(over, true).await;
        assert!(erasing.log.is_erased(free) && !erasing.log.is_erased(held));
        assert_eq!(erasing.complete_open().await, 0);
        assert_eq!(erasing.store.copies("recordings/").await.unwrap().len(), 1);
        // The free one comes back with a backup; the held one is let go.
        let name = format!("{}.opus", crate::archive::key::stem(free));
        erasing.store.put_small(&name, "audio".into()).await.unwrap();
        erasing.custody.holds.release(held).unwrap();
        sweeper.sweep(over, true).await;
        assert_eq!(erasing.log.open_orders().len(), 2);
        assert_eq!(erasing.complete_open().await, 0);
        assert_eq!(erasing.store.copies("recordings/").await.unwrap(), []);
    }
}
