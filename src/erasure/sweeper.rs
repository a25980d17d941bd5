//! The sweeper: about every minute it orders the erasure of expired recordings, retries incomplete erasures, and erases
//! again what has reappeared. Uses trusted time only.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::erasure::deletion_log::Cause;
use crate::erasure::expired;
use crate::erasure::service::EraseService;
use crate::erasure::steps::EraseError;
use crate::erasure::sweep_horizon::{NewlyDue, Stopped, SweepLimits, may_sweep};
use crate::index::{Claim, IndexError};
use crate::time::second_source::{Bounds, TimeKeeper};
use crate::time::trusted::Trusted;
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::limit;
use optag_storage::spool::record::Body;
use optag_storage::store::names::day;

/// Interval between store scans.
const LOOK_THROUGH: Duration = Duration::from_secs(600);
/// Maximum number of objects of days not expired that are checked per scan.
const ROUND: usize = 10_000;
/// Name of the job to look through the store.
const SCAN: &str = "store scan";
/// Name of the job to end copies of day keys that others left in the store.
const KEY_COPIES: &str = "day key copies";
/// How long one node's scan of the store stands for all: somewhat less than the interval, so that nodes take turns.
const SCANS_WITHIN: Duration = Duration::from_secs(540);
/// How far back withdrawn calls without an outcome are looked for. Units: days.
const ACCOUNTED_DAYS: i64 = 7;
/// Index rows compared with the deletion log per query.
const ROWS: u32 = 1_000;

/// Erases expired recordings periodically.
pub struct Sweeper {
    /// Carries out the erasures.
    pub erasure: Arc<EraseService>,
    /// Trusted time.
    pub time: Arc<TimeKeeper>,
    /// Interval between sweeps.
    pub interval: Duration,
    /// Limits of one unattended sweep.
    pub limits: SweepLimits,
    /// Position of the store scan.
    pub rounds: expired::Rounds,
}

impl Sweeper {
    /// Runs until dropped.
    pub async fn run(self) {
        let rounds = (LOOK_THROUGH.as_secs() / self.interval.as_secs().max(1)).max(1);
        let (mut round, started) = (0u64, self.erasure.clock.wall());
        loop {
            let moment = self.time.look_again(&self.erasure.stores.store, &self.erasure.stores.index).await;
            if let Trusted::Unconfirmed { at_least, wall } = moment.trusted {
                tracing::error!(
                    %at_least, %wall,
                    "wall clock jumped; expiry uses the minimum elapsed time; \
                     if the wall clock is correct, run `optag retention confirm-clock`"
                );
            }
            if round == 0 {
                self.returned_to_index().await;
            }
            // What the last process knew of a withdrawal may come from the log only after a while.
            let lately =
                self.interval.saturating_mul(u32::try_from(round).unwrap_or(u32::MAX)) < LOOK_THROUGH;
            if lately || round.is_multiple_of(rounds) {
                self.account_for_withdrawn(started).await;
            }
            let until = self.permitted(moment.expiry).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "cannot sweep the index; spool and store are swept up to the previous limit");
                self.time.bounds().swept_to
            });
            if let Some(now) = until {
                let since = self.time.bounds().alone_since;
                let mut more = self.sweep_since(now, since, round.is_multiple_of(rounds)).await;
                // While the store keeps up, what is due goes without a pause.
                while more && self.complete_open().await == 0 {
                    more = self.claim(now, since).await;
                }
            }
            self.complete_open().await;
            if let Err(error) = tokio::task::block_in_place(|| self.erasure.log.compact()) {
                tracing::warn!(%error, "cannot write deletion log table");
            }
            if let Err(error) = self.erasure.anchor_deletions().await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "cannot update the deletion log copy in the store"
                );
            }
            if !self.erasure.guard.in_step() {
                tracing::error!(
                    "deletion log is missing entries recorded by index or store: serving and \
                     delivery are suspended; stop the recorder and run `optag replay-deletions`"
                );
            }
            round = round.wrapping_add(1);
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Writes the outcome of this node's withdrawn calls that ended with its last process, before `started`.
    async fn account_for_withdrawn(&self, started: WallTime) {
        let (index, since) = (&self.erasure.stores.index, started.plus_days(-ACCOUNTED_DAYS));
        let accounted = async {
            let node = self.erasure.node()?;
            for call in index.withdrawn_without_outcome(since, started).await? {
                if node == 0 || call.id.node() == node {
                    index.put_call(&call).await?;
                    tracing::info!(call = %call.id, "call withdrawn before the last restart: outcome written");
                    crate::metrics::call_ended(call.outcome);
                }
            }
            Ok::<_, EraseError>(())
        };
        if let Err(error) = accounted.await {
            tracing::warn!(%error, "cannot account for withdrawn calls");
        }
    }

    /// Completes the orders of this node; returns the number still open.
    async fn complete_open(&self) -> usize {
        if let Err(error) = self.erasure.settle_claims().await {
            tracing::warn!(%error, "cannot compare open erasures with the index");
        }
        self.erasure.complete_open().await
    }

    /// The time up to which recordings may be erased now: unchanged where a sweep would exceed its limits. Recordings
    /// older than the first reading of an unconfirmed clock wait as well.
    async fn permitted(&self, now: WallTime) -> Result<Option<WallTime>, IndexError> {
        let (index, Bounds { alone_since, swept_to }) = (&self.erasure.stores.index, self.time.bounds());
        let undated = match alone_since {
            None => 0,
            Some(since) => {
                let (all, _) = index.newly_due(None, now, None).await?;
                all - index.newly_due(None, now, Some(since)).await?.0.min(all)
            }
        };
        let (count, first) = index.newly_due(swept_to, now, alone_since).await?;
        // Counting all recordings is needed only if something is due.
        let live = if count == 0 { 0 } else { index.live().await? };
        let stopped = may_sweep(now, NewlyDue { count, first, live }, self.limits).err();
        let withheld = undated + stopped.map_or(0, |_| count);
        self.time.set_withheld(withheld);
        if withheld > 0 {
            tracing::error!(
                withheld, of = live, undated, limit = stopped.map_or("", Stopped::name), %now,
                "expiry withheld: recordings due exceed the sweep limits; check the clock, then run \
                 `optag retention confirm-clock`"
            );
        }
        if stopped.is_some() {
            return Ok(swept_to);
        }
        self.time.permit(now);
        Ok(Some(now))
    }

    /// Orders the erasure of everything expired at `now`.
    #[cfg(test)]
    pub(crate) async fn sweep(&self, now: WallTime, look_through_store: bool) {
        self.sweep_since(now, None, look_through_store).await;
    }

    /// Orders the erasure of everything expired at `now`, of calls admitted since `since`. Whether more may be due in
    /// the index.
    async fn sweep_since(&self, now: WallTime, since: Option<WallTime>, look_through_store: bool) -> bool {
        let more = self.claim(now, since).await;
        let is_ours = |id: &CallId| since.is_none_or(|since| id.admitted_at() >= since);
        let mut due = Vec::new();
        if look_through_store && matches!(self.erasure.takes_job(SCAN, SCANS_WITHIN).await, Ok(true)) {
            due = self.look_through_store(now).await;
        }
        due.extend(self.due_in_spool(now, look_through_store).await);
        for id in due.into_iter().filter(is_ours) {
            match self.erasure.order(id, Cause::Expiry).await {
                Ok(()) | Err(EraseError::Held(_)) => {}
                Err(error) => {
                    tracing::error!(call = %id, %error, "cannot erase expired recording");
                    return false;
                }
            }
        }
        // Day keys and ledger entries of days not dated by this clock wait too.
        if since.is_none() {
            let oldest = now.plus_days(-i64::from(limit::RETENTION_DAYS));
            if let Err(error) = self.erasure.stores.index.remove_announced_calls(oldest).await {
                tracing::warn!(%error, "cannot remove old ledger entries");
            }
            self.end_keys(now, look_through_store).await;
        }
        more
    }

    /// Claims a batch of what has expired in the index: each recording is swept by one node. Whether more may be due.
    async fn claim(&self, now: WallTime, since: Option<WallTime>) -> bool {
        let (erasure, holds) = (&self.erasure, &self.erasure.guard.holds);
        let claimed = async {
            holds.enter(&erasure.stores.index).await?;
            let (node, most) = (erasure.node()?, expired::BATCH);
            let claim = Claim { now, since, node, waits: holds.are_allowed(), most };
            let (claimed, waits) = erasure.stores.index.claim_due(claim).await?;
            if let Some(node) = waits {
                return Err(EraseError::Waits(node));
            }
            erasure.take_claimed(&claimed, now).await?;
            Ok(claimed.len() == most as usize)
        };
        claimed.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot sweep the index");
            false
        })
    }

    /// Looks through some days of the store; erases again what returned. What is due there.
    async fn look_through_store(&self, now: WallTime) -> Vec<CallId> {
        let erasure = &self.erasure;
        let is_erased = |id| erasure.log.is_erased(id);
        let found = match self.rounds.look(&erasure.stores.store, now, ROUND, is_erased).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "cannot sweep the store");
                return Vec::new();
            }
        };
        let unknown: Vec<CallId> = found.due.iter().chain(&found.others).copied().collect();
        let index = &erasure.stores.index;
        let (gone, ordered) =
            match tokio::try_join!(index.gone_among(&unknown), index.ordered_among(&unknown)) {
                Ok(known) => known,
                Err(error) => {
                    tracing::warn!(%error, "cannot compare the store with the orders of the index");
                    return Vec::new();
                }
            };
        let returned = found.returned.into_iter();
        self.again(returned.chain(unknown.into_iter().filter(|id| gone.contains(id))).collect()).await;
        for forgotten in [index.forget_old_orders().await, index.forget_old_holds().await] {
            if let Err(error) = forgotten {
                tracing::warn!(%error, "cannot remove old orders and holds");
            }
        }
        found.due.into_iter().filter(|id| !ordered.contains(id) && !gone.contains(id)).collect()
    }

    /// Expired calls in the spool. A department's shorter limit is in the call's own records, which are read only
    /// occasionally.
    async fn due_in_spool(&self, now: WallTime, read: bool) -> Vec<CallId> {
        let spool = self.erasure.stores.spool.clone();
        let look = move || {
            let mut due = Vec::new();
            for id in spool.calls() {
                let over_a_day = id.admitted_at().plus_days(1) <= now;
                let over = expired::is_over(id, now)
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

    /// Erased rows that reappeared with a restored index.
    async fn returned_to_index(&self) {
        let (erasure, mut after) = (&self.erasure, None);
        loop {
            let ids = match erasure.stores.index.live_after(after, ROWS).await {
                Ok(ids) => ids,
                Err(error) => {
                    tracing::warn!(%error, "cannot compare the index with the deletion log");
                    return;
                }
            };
            let Some(last) = ids.last().copied() else { return };
            after = Some(last);
            self.again(ids.into_iter().filter(|id| erasure.log.is_erased(*id)).collect()).await;
        }
    }

    /// Erases recordings that reappeared.
    async fn again(&self, returned: Vec<CallId>) {
        let open: Vec<CallId> = self.erasure.log.open_orders().iter().map(|order| order.id).collect();
        for id in returned.into_iter().filter(|id| !open.contains(id)) {
            tracing::error!(call = %id, "erased recording reappeared, erasing it again");
            crate::metrics::erased_returned();
            if let Err(error) = self.erasure.reopen(id).await {
                tracing::error!(call = %id, %error, "cannot reopen erasure");
                return;
            }
        }
    }

    /// Destroys a day's key once the last recording sealed with it is due: from then on no copy of that day can be
    /// opened, wherever it is. A held recording keeps its day's key. `look_through_store`: also copies in the store that
    /// nodes left which are not coming back.
    async fn end_keys(&self, now: WallTime, look_through_store: bool) {
        // Read now: another node may have placed one a moment ago.
        let held = match self.erasure.guard.holds.refresh(&self.erasure.stores.index).await {
            Ok(held) => held,
            Err(error) => {
                tracing::warn!(%error, "cannot read the holds; no day key is destroyed");
                return;
            }
        };
        let held_days: HashSet<_> = held.iter().map(|hold| day(hold.id.admitted_at())).collect();
        for hold in held {
            let (keys, day) = (Arc::clone(self.erasure.stores.vault.keys()), day(hold.id.admitted_at()));
            let kept = tokio::task::spawn_blocking(move || keys.keep_until(day, hold.until)).await;
            if !matches!(kept, Ok(Ok(()))) {
                tracing::error!(call = %hold.id, "cannot extend the day key of a held recording; no day key is destroyed");
                return;
            }
        }
        match self.erasure.stores.vault.destroy_due_keys(now).await {
            Ok(ended) => {
                for key in ended {
                    tracing::info!(key, "day key destroyed: recordings sealed with it are unreadable");
                }
            }
            Err(error) => tracing::error!(%error, "cannot destroy expired day keys"),
        }
        if !look_through_store || !matches!(self.erasure.takes_job(KEY_COPIES, SCANS_WITHIN).await, Ok(true))
        {
            return;
        }
        match self.erasure.stores.vault.sweep_copies(now, &held_days).await {
            Ok(ended) => {
                for key in ended {
                    tracing::info!(key, "day key of another node destroyed: its last copy was in the store");
                }
            }
            Err(error) => tracing::error!(%error, "cannot remove expired copies of day keys"),
        }
    }
}

/// Retention of a call in days, from its own records.
fn days(spool: &optag_storage::spool::Spool, id: CallId) -> Option<i64> {
    match spool.read(id).ok()?.next()? {
        Ok(Body::Opened(facts)) => Some(i64::from(facts.retention_days)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::erasure::anchor::tests::{erasure, object};
    use crate::erasure::deletion_guard::DeletionGuard;
    use crate::erasure::holds::{Hold, HoldPolicy, Holds};
    use optag_core::call::CallFacts;
    use optag_storage::spool::record::SpoolRecord;
    use optag_testing::fixtures;

    fn sweeper(erasure: impl Into<Arc<EraseService>>, dir: &std::path::Path) -> Sweeper {
        let time = Arc::new(TimeKeeper::new(dir.join("clock.json")));
        let limits = SweepLimits { percent: 10, days: 1 };
        Sweeper {
            erasure: erasure.into(),
            time,
            interval: Duration::from_secs(60),
            limits,
            rounds: Default::default(),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_09_a_call_that_waits_in_the_spool_ends_at_its_departments_limit() {
        let dir = tempfile::tempdir().unwrap();
        let sweeper = sweeper(erasure(dir.path()).await, dir.path());
        let started_at = WallTime::from_unix_micros(1_700_000_000_000_000);
        let id = CallId::new_at(started_at);
        let facts = CallFacts {
            department: "short".into(),
            retention_days: 7,
            ..fixtures::call_facts(id, started_at)
        };
        let spool = &sweeper.erasure.stores.spool;
        spool.append(vec![SpoolRecord { call: id, body: Body::Opened(facts) }]).unwrap();
        assert!(crate::stores::durable::durable(spool).await);
        sweeper.sweep(started_at.plus_days(7).plus_micros(-1_000_000), true).await;
        assert_eq!(spool.calls(), [id]);
        sweeper.sweep(started_at.plus_days(7).plus_micros(1_000_000), true).await;
        assert!(spool.calls().is_empty() && sweeper.erasure.log.is_erased(id));
    }

    /// A row written by another node with a correct clock, of a call that many days ago.
    async fn row(erasure: &Arc<EraseService>, days_ago: i64) -> CallId {
        let started_at = erasure.clock.wall().plus_days(-days_ago);
        let closing = crate::delivery::recorded_at(erasure, started_at).await;
        let delivery = crate::delivery::Delivery::new(Arc::default(), Arc::clone(erasure));
        delivery.settle_now(&closing).await;
        closing.id
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_15_a_fresh_node_whose_clock_is_91_days_ahead_erases_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let erasure = Arc::new(erasure(dir.path()).await);
        // By this machine's clock, what other nodes recorded today is 91 days old.
        let ids = [row(&erasure, 91).await, row(&erasure, 91).await];
        let sweeper = sweeper(Arc::clone(&erasure), dir.path());
        let time = Arc::clone(&sweeper.time);
        let now = erasure.clock.wall();
        let round = async |now| {
            if let Some(until) = sweeper.permitted(now).await.unwrap() {
                sweeper.sweep_since(until, time.bounds().alone_since, true).await;
            }
            ids.iter().filter(|id| erasure.log.is_erased(**id)).count()
        };
        assert_eq!(round(now).await, 0);
        assert_eq!(erasure.stores.vault.keys().list().unwrap().len(), 1, "the keys of the day stay too");
        assert_eq!(time.withheld(), 2);
        // A day later there is still only the same clock.
        assert_eq!(round(now.plus_days(1)).await, 0);
        time.confirm_by_owner();
        assert_eq!(round(now).await, 2);
        assert_eq!(time.withheld(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_15_more_than_a_days_worth_waits_and_what_was_permitted_before_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let erasure = Arc::new(erasure(dir.path()).await);
        let now = erasure.clock.wall();
        let (due, later) = (row(&erasure, 90).await, row(&erasure, 80).await);
        let sweeper = sweeper(erasure, dir.path());
        sweeper.time.confirm_by_owner();
        // Ten days pass by a confirmed clock between two sweeps.
        let until = sweeper.permitted(now.plus_days(12)).await.unwrap().unwrap();
        assert!(until < now.plus_days(1) && sweeper.time.withheld() == 1);
        sweeper.sweep_since(until, None, true).await;
        assert!(sweeper.erasure.log.is_erased(due) && !sweeper.erasure.log.is_erased(later));
        // One day's recordings are erased without confirmation.
        let until = sweeper.permitted(now.plus_days(10).plus_micros(3_600_000_000)).await.unwrap().unwrap();
        assert!(until > now.plus_days(10) && sweeper.time.withheld() == 0);
        sweeper.sweep_since(until, None, true).await;
        assert!(sweeper.erasure.log.is_erased(later));
    }

    fn allow_holds(erasure: &mut EraseService, dir: &std::path::Path) {
        let policy = HoldPolicy { allowed: true, lawful_bases: vec!["court".into()], ends_anyway: false };
        let holds = Holds::open(&dir.join("holds.json"), policy).unwrap();
        erasure.guard = DeletionGuard::new(optag_core::signing::Signer::from_seed(&[7; 32]).unwrap(), holds);
    }

    /// Holds a recording for a day.
    async fn place_hold(erasure: &EraseService, id: CallId) {
        let at = id.admitted_at();
        let hold = Hold {
            id,
            until: erasure.clock.wall().plus_days(1),
            reason: "case".into(),
            lawful_basis: Some("court".into()),
            by: "ada".into(),
            at,
        };
        let index = &erasure.stores.index;
        erasure.guard.holds.place(index, hold, at.plus_days(90), 0).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_06_a_withdrawn_call_that_ended_with_its_process_has_its_outcome() {
        let dir = tempfile::tempdir().unwrap();
        let sweeper = sweeper(erasure(dir.path()).await, dir.path());
        let erasure = &sweeper.erasure;
        let (before, erased, known) =
            (object(erasure, 0).await, object(erasure, 0).await, object(erasure, 0).await);
        erasure.order(before, Cause::Withdrawal).await.unwrap();
        erasure.order(erased, Cause::Request).await.unwrap();
        erasure.order(known, Cause::Withdrawal).await.unwrap();
        let (index, at) = (&erasure.stores.index, WallTime::default());
        let lost = optag_core::call::Outcome::NoAnswer;
        let row = |id| crate::index::CallRow { id, department: "demo".into(), ended_at: at, outcome: lost };
        index.put_call(&row(known)).await.unwrap();
        let started = erasure.clock.wall();
        let later = object(erasure, 1).await;
        erasure.order(later, Cause::Withdrawal).await.unwrap();
        let found = async || index.withdrawn_without_outcome(at, started.plus_days(1)).await.unwrap();
        assert_eq!(found().await.iter().map(|row| row.id).collect::<Vec<_>>(), [before, later]);
        // A call of this process may go on.
        sweeper.account_for_withdrawn(started).await;
        assert_eq!(found().await.iter().map(|row| row.id).collect::<Vec<_>>(), [later]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn invariant_09_copies_of_day_keys_that_a_lost_node_left_in_the_store_end_in_time_and_not_under_a_hold()
     {
        use optag_storage::archive::seal::day_keys::{DayKeys, end_of};
        use optag_storage::archive::vault::{Escrow, Vault};
        let dir = tempfile::tempdir().unwrap();
        let mut erasure = erasure(dir.path()).await;
        allow_holds(&mut erasure, dir.path());
        let master = || optag_storage::spool::MasterKey::from_bytes(&[3; 32]).unwrap();
        let (store, in_store) = (erasure.stores.store.clone(), Some(Escrow { recipient: None, dir: None }));
        let open = |name: &str| Arc::new(DayKeys::open(&dir.path().join(name), master()).unwrap());
        erasure.stores.vault = Vault::new(store.clone(), open("keys"), true, in_store.clone());
        let lost = Vault::new(store.clone(), open("lost"), true, in_store);
        let held = object(&erasure, 0).await;
        let kept = day(held.admitted_at());
        lost.recipient(kept, end_of(kept).plus_days(7)).await.unwrap();
        let index = erasure.stores.index.clone();
        place_hold(&erasure, held).await;
        let (sweeper, over) = (sweeper(erasure, dir.path()), end_of(kept).plus_days(9));
        let copies = async || store.copies("recordings/keys/").await.unwrap().len();
        sweeper.sweep(over, true).await;
        assert_eq!(copies().await, 2, "held");
        assert!(sweeper.erasure.guard.holds.release(&index, held, over).await.unwrap());
        sweeper.sweep(over, true).await;
        assert_eq!(copies().await, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_hold_stops_expiry_until_it_ends_and_what_is_erased_and_there_again_goes_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut erasure = erasure(dir.path()).await;
        allow_holds(&mut erasure, dir.path());
        // The one that is held comes between the others, in whatever order they are looked at.
        let mut all = [object(&erasure, 0).await, object(&erasure, 0).await, object(&erasure, 0).await];
        all.sort_unstable();
        let [free, held, other] = all;
        let made = held.admitted_at();
        let index = erasure.stores.index.clone();
        place_hold(&erasure, held).await;
        let sweeper = sweeper(erasure, dir.path());
        let erasure = &sweeper.erasure;
        let over = made.plus_days(91);
        sweeper.sweep(over, true).await;
        assert!([free, other].iter().all(|id| erasure.log.is_erased(*id)) && !erasure.log.is_erased(held));
        assert_eq!(erasure.complete_open().await, 0);
        assert_eq!(erasure.stores.store.copies("recordings/").await.unwrap().len(), 1);
        // The recording without a hold reappears with a backup; the other's hold is released.
        let name = format!("{}.opus", optag_storage::store::names::stem(free));
        erasure.stores.store.put_small(&name, "audio".into()).await.unwrap();
        assert!(erasure.guard.holds.release(&index, held, over).await.unwrap());
        sweeper.sweep(over, true).await;
        assert_eq!(erasure.log.open_orders().len(), 2);
        assert_eq!(erasure.complete_open().await, 0);
        assert_eq!(erasure.stores.store.copies("recordings/").await.unwrap(), []);
    }
}
