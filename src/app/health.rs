//! Health checks for `/readyz` and the gauges. A background task probes store and index, so that a health check never
//! waits for them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::app::bucket_watch::RulesWatch;
use crate::app::capacity::Capacity;
use crate::cluster::shared_calls::SharedCalls;
use crate::delivery::queue::DeliveryQueue;
use crate::erasure::service::EraseService;
use crate::http::server::health::{Check, Readiness};
use crate::metrics::{self, NotAccepting};
use crate::stores::Stores;
use crate::time::second_source::TimeKeeper;
use optag_core::error_chain::causes;
use optag_core::locked;
use optag_storage::spool::Spool;
use optag_storage::store::s3::credentials::Stamp;
use optag_storage::store::{Store, StoreError};

/// Interval between checks.
const INTERVAL: Duration = Duration::from_secs(5);
/// Interval while store or index fails, so that recovery is noticed soon.
const INTERVAL_WRONG: Duration = Duration::from_secs(1);
/// Time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time limit for a test of the store.
const TRYING: Duration = Duration::from_secs(20);
/// Longest pause between tests while the store answers listings and fails the test, which is a few small requests.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// Longest pause while the store passes the test and rejects recordings, which are then retried.
const LONGEST_PAUSE_FULL: Duration = Duration::from_secs(60);

/// Results of the last checks.
#[derive(Debug, Default)]
pub struct Health {
    store: Mutex<StoreState>,
    index: AtomicBool,
    /// Why the index does not answer; none where it does.
    index_wrong: Mutex<Option<String>>,
    /// Time until new calls are refused; `u64::MAX` if the spool is not growing. Units: s.
    spool_full_in_s: AtomicU64,
}

/// Result of the last check of the store.
#[derive(Debug, Default)]
struct StoreState {
    /// Why the store fails; none if the last test passed.
    wrong: Option<String>,
    tried: bool,
    credentials: Option<Stamp>,
    /// Time of the next test, and the pause after it.
    again: Option<(Instant, Duration)>,
}

impl Health {
    /// Checks once. The store is listed each time, and tested at the start, when its credentials change, after any
    /// failure, and until it works again. True: something that deliveries wait for may have recovered, so they should
    /// retry.
    pub async fn look(&self, stores: &Stores) -> bool {
        let index = match tokio::time::timeout(PATIENCE, stores.index.probe()).await {
            Ok(answer) => answer.map_err(|error| causes(&error)),
            Err(_) => Err(format!("index timed out after {} s", PATIENCE.as_secs())),
        };
        let why = index.err();
        let index = why.is_none();
        *self.index_wrong.lock().unwrap_or_else(PoisonError::into_inner) = why;
        let had_index = self.index.swap(index, Ordering::Relaxed);
        metrics::index_up(index);
        metrics::key_memory_unlocked(locked::usage().unprotected);
        self.look_at_store(&stores.store).await || index && !had_index
    }

    async fn look_at_store(&self, store: &Store) -> bool {
        let listed = within(PATIENCE, store.probe()).await;
        let failed = store.trouble.take();
        let credentials = store.credentials_stamp();
        let try_out = {
            let mut state = self.state();
            let changed = state.credentials != credentials;
            state.credentials = credentials;
            let due = state.again.is_none_or(|(at, _)| at <= Instant::now());
            !state.tried
                || changed
                || failed.is_some() && state.wrong.is_none()
                || state.wrong.is_some() && due
        };
        let was_wrong = self.state().wrong.is_some();
        let try_out = try_out && listed.is_ok();
        let tried = match listed {
            Err(why) => Err(why),
            Ok(()) if try_out => within(TRYING, store.try_out()).await,
            Ok(()) => self.state().wrong.clone().map_or(Ok(()), Err),
        };
        let passes = tried.is_ok();
        // The test object is small; a quota may reject only larger ones.
        let found = tried.and_then(|()| store.trouble.writes_fail().map_or(Ok(()), Err));
        self.set(found, try_out, if passes { LONGEST_PAUSE_FULL } else { LONGEST_PAUSE });
        was_wrong && try_out && passes
    }

    /// Records a result; after a failed test the next one follows a pause that grows up to `longest`. A store that
    /// cannot even be listed is tested as soon as it can.
    fn set(&self, found: Result<(), String>, tried: bool, longest: Duration) {
        let mut state = self.state();
        state.tried |= tried;
        match (&found, tried) {
            (Ok(()), _) => state.again = None,
            (Err(_), true) => {
                let pause = state.again.map_or(INTERVAL_WRONG, |(_, pause)| 2 * pause).min(longest);
                state.again = Some((Instant::now() + pause, pause));
            }
            (Err(_), false) => {}
        }
        let wrong = found.err();
        match (&state.wrong, &wrong) {
            (_, None) if state.wrong.is_some() => tracing::info!("store available again"),
            (before, Some(why)) if before.as_ref() != Some(why) => {
                tracing::error!(why, "store unavailable; recordings stay in the spool");
            }
            _ => {}
        }
        metrics::store_up(wrong.is_none());
        state.wrong = wrong;
    }

    /// Sets how long the spool will accept new calls if it continues to grow.
    pub fn set_spool_full_in(&self, left: Option<Duration>) {
        self.spool_full_in_s.store(left.map_or(u64::MAX, |left| left.as_secs()), Ordering::Relaxed);
    }

    /// What is wrong with the index.
    fn index_detail(&self) -> String {
        let why = self.index_wrong.lock().unwrap_or_else(PoisonError::into_inner).clone();
        format!("rows are queued; {}", why.as_deref().unwrap_or("index unavailable"))
    }

    /// What is wrong with the store; empty if nothing is.
    fn store_detail(&self) -> String {
        let Some(why) = self.state().wrong.clone() else { return String::new() };
        let waits = format!("recordings stay in the spool; {why}");
        match self.spool_full_in_s.load(Ordering::Relaxed) {
            0 | u64::MAX => waits,
            left => format!("spool accepts calls for about {} more minutes; {waits}", left.div_ceil(60)),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, StoreState> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time until the next check.
    fn interval(&self) -> Duration {
        let works = self.index.load(Ordering::Relaxed) && self.state().wrong.is_none();
        if works { INTERVAL } else { INTERVAL_WRONG }
    }

    /// Checks periodically until dropped; the start has checked once. Deliveries that pause after a failure are woken
    /// when it may be over.
    pub async fn run(self: Arc<Self>, stores: Stores, deliveries: Arc<DeliveryQueue>) {
        loop {
            tokio::time::sleep(self.interval()).await;
            if self.look(&stores).await {
                deliveries.wake();
            }
        }
    }
}

async fn within<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, String> {
    match tokio::time::timeout(patience, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("store timed out after {} s", patience.as_secs())),
    }
}

/// Everything that the health checks of a running recorder read.
pub struct Checks {
    /// Store and index.
    pub health: Arc<Health>,
    /// Lifecycle rules of the bucket.
    pub rules: Arc<RulesWatch>,
    /// Clock.
    pub time: Arc<TimeKeeper>,
    /// Spool.
    pub spool: Spool,
    /// Deletion log and its guard.
    pub erasure: Arc<EraseService>,
    /// Deliveries.
    pub deliveries: Arc<DeliveryQueue>,
    /// Set on shutdown.
    pub draining: Arc<AtomicBool>,
    /// The other nodes; none where there are none.
    pub shared: Option<Arc<SharedCalls>>,
    /// Whether calls fit.
    pub capacity: Arc<Capacity>,
}

/// Health checks of a recorder that may still be starting.
#[derive(Default)]
pub struct Starting(OnceLock<Checks>);

impl Starting {
    /// Sets the parts to check once the recorder runs.
    pub fn started(&self, checks: Checks) {
        // A recorder starts once.
        let _ = self.0.set(checks);
    }
}

impl Readiness for Starting {
    fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
        if let Some(checks) = self.0.get() {
            return checks.checks();
        }
        let detail = "recovering the spool".to_owned();
        async move { vec![Check { name: "started", ok: false, optional: false, reason: None, detail }] }
            .boxed()
    }
}

impl Checks {
    /// Whether new calls are accepted.
    fn accepting(&self) -> Check {
        let draining = self.draining.load(Ordering::Acquire).then_some(NotAccepting::Draining);
        let reason = draining.or_else(|| self.capacity.full());
        let detail =
            reason.map_or_else(String::new, |reason| format!("{}: {}", reason.name(), reason.detail()));
        let reason = reason.map(NotAccepting::name);
        Check { name: "accepting", ok: reason.is_none(), optional: false, reason, detail }
    }
}

impl Readiness for Checks {
    fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
        let check = |name, ok, optional, wrong: &str| Check {
            name,
            ok,
            optional,
            reason: None,
            detail: if ok { String::new() } else { wrong.to_owned() },
        };
        let store = self.health.store_detail();
        let index = self.health.index.load(Ordering::Relaxed);
        let rules = self.rules.wrong();
        let refusal = self.spool.refuses();
        let stuck = self.deliveries.stuck();
        let stuck_detail = stuck
            .example
            .map_or_else(String::new, |(id, why)| format!("{} calls keep failing; {id}: {why}", stuck.calls));
        let mut checks = vec![
            self.accepting(),
            check(
                "spool",
                refusal.is_none(),
                false,
                &refusal.map_or_else(String::new, |refusal| format!("spool refuses new calls: {refusal}")),
            ),
            check("store", store.is_empty(), true, &store),
            check("index", index, true, &self.health.index_detail()),
            check("delivery", stuck.calls == 0, true, &stuck_detail),
            check(
                "deletion_log",
                self.erasure.guard.in_step(),
                true,
                "missing entries recorded by index or store: nothing is served; run `optag replay-deletions`",
            ),
            check("bucket_rules", rules.is_empty(), true, &rules),
            check(
                "clock",
                self.time.is_confirmed(),
                true,
                "clock jumped, or differs from store or PostgreSQL; see `optag retention confirm-clock`",
            ),
            check(
                "expiry",
                self.time.withheld() == 0,
                true,
                &format!(
                    "expiry withheld for {} recordings until the clock is confirmed: `optag retention confirm-clock`",
                    self.time.withheld()
                ),
            ),
        ];
        if let Some(shared) = &self.shared {
            let nodes = shared.members.detail();
            checks.push(check("nodes", nodes.is_empty(), true, &nodes));
        }
        async move { checks }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;

    #[tokio::test(start_paused = true)]
    async fn however_long_the_store_was_away_it_is_seen_within_seconds_that_it_works_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = Store::open(&StoreConfig::Local { dir: path.clone() }).unwrap();
        let health = Health::default();
        health.index.store(true, Ordering::Relaxed);
        health.look_at_store(&store).await;
        assert_eq!((health.store_detail(), health.interval()), (String::new(), INTERVAL));
        // First it answers listings and rejects everything else, then not even that.
        for in_the_way in [path.join("recordings/probe"), path.clone()] {
            let _ = std::fs::remove_dir_all(&in_the_way);
            std::fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
            std::fs::write(&in_the_way, "a file in the way").unwrap();
            store.trouble.note_write(&Err::<(), _>(StoreError::Transient("503".into())));
            let began = Instant::now();
            let mut looks = 0;
            while began.elapsed() < Duration::from_secs(1_800) {
                assert!(!health.look_at_store(&store).await);
                looks += 1;
                tokio::time::advance(health.interval()).await;
            }
            assert!(!health.store_detail().is_empty() && looks > 1_000);
            std::fs::remove_file(&in_the_way).unwrap();
            std::fs::create_dir_all(&path).unwrap();
            let mended = Instant::now();
            while !health.look_at_store(&store).await {
                tokio::time::advance(health.interval()).await;
            }
            assert_eq!(health.store_detail(), "");
            assert!(mended.elapsed() <= Duration::from_secs(5), "{:?} of simulated time", mended.elapsed());
        }
    }

    #[tokio::test]
    async fn a_recorder_that_is_starting_is_not_ready_and_says_what_it_does() {
        let checks = Starting::default().checks().await;
        assert!(checks.len() == 1 && !checks[0].ok && !checks[0].optional);
        assert!(checks[0].detail.contains("spool"));
    }
}
