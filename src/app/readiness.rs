//! Whether the parts work, for `/readyz` and the gauges. A background task asks store and index,
//! so that a health check never waits for them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::app::caretaking::RulesWatch;
use crate::app::erasing::Erasing;
use crate::app::settling::Settling;
use crate::app::timekeeping::TimeKeeper;
use crate::archive::credentials::Stamp;
use crate::archive::store::{Store, StoreError};
use crate::base::locked;
use crate::http::health::{Check, Readiness};
use crate::metrics;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long trying the store out may take.
const TRYING: Duration = Duration::from_secs(20);
/// The longest pause between two tries while the store does not work.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What was found last.
#[derive(Debug, Default)]
pub struct Health {
    store: Mutex<StoreState>,
    index: AtomicBool,
    /// Until new calls are refused; `u64::MAX` where the spool does not grow. Units: s.
    spool_full_in_s: AtomicU64,
}

/// What was found of the store last.
#[derive(Debug, Default)]
struct StoreState {
    /// Why it does not work; none: what was tried worked.
    wrong: Option<String>,
    tried: bool,
    credentials: Option<Stamp>,
    /// When it is tried out next, and the pause after that.
    again: Option<(Instant, Duration)>,
}

impl Health {
    /// Looks once. The store is listed each time, and tried out at the start, when its credentials
    /// change, after anything failed, and until it works again.
    pub async fn look(&self, erasing: &Erasing) {
        let index = tokio::time::timeout(PATIENCE, erasing.index.probe()).await;
        let index = matches!(index, Ok(Ok(())));
        self.index.store(index, Ordering::Relaxed);
        metrics::index_up(index);
        metrics::key_memory_unlocked(locked::usage().unprotected);
        self.look_at_store(&erasing.store).await;
    }

    async fn look_at_store(&self, store: &Store) {
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
        let tried = match listed {
            Err(why) => Err(why),
            Ok(()) if try_out => within(TRYING, store.try_out()).await,
            Ok(()) => self.state().wrong.clone().map_or(Ok(()), Err),
        };
        // What was tried is small; a quota may refuse only what is not.
        let found = tried.and_then(|()| store.trouble.writes_fail().map_or(Ok(()), Err));
        self.set(found, try_out);
    }

    fn set(&self, found: Result<(), String>, tried: bool) {
        let mut state = self.state();
        state.tried |= tried;
        match (&found, tried) {
            (Ok(()), _) => state.again = None,
            (Err(_), true) => {
                let pause = state.again.map_or(INTERVAL, |(_, pause)| (2 * pause).min(LONGEST_PAUSE));
                state.again = Some((Instant::now() + pause, pause));
            }
            (Err(_), false) => {}
        }
        let wrong = found.err();
        match (&state.wrong, &wrong) {
            (_, None) if state.wrong.is_some() => tracing::info!("the store works again"),
            (before, Some(why)) if before.as_ref() != Some(why) => {
                tracing::error!(why, "the store does not work; recordings wait in the spool");
            }
            _ => {}
        }
        metrics::store_up(wrong.is_none());
        state.wrong = wrong;
    }

    /// How long the spool takes new calls, if it goes on growing.
    pub fn set_spool_full_in(&self, left: Option<Duration>) {
        self.spool_full_in_s.store(left.map_or(u64::MAX, |left| left.as_secs()), Ordering::Relaxed);
    }

    /// What is wrong with the store; empty where nothing is.
    fn store_detail(&self) -> String {
        let Some(why) = self.state().wrong.clone() else { return String::new() };
        let waits = format!("recordings wait in the spool; {why}");
        match self.spool_full_in_s.load(Ordering::Relaxed) {
            0 | u64::MAX => waits,
            left => format!("calls are taken for about {} more minutes; {waits}", left.div_ceil(60)),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, StoreState> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks again and again until it is dropped; the start has looked once.
    pub async fn run(self: Arc<Self>, erasing: Arc<Erasing>) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.look(&erasing).await;
        }
    }
}

async fn within<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, String> {
    match tokio::time::timeout(patience, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the store gave no answer within {} s", patience.as_secs())),
    }
}

/// The checks of a running recorder.
pub struct Checks {
    /// Store and index.
    pub health: Arc<Health>,
    /// The bucket's rules.
    pub rules: Arc<RulesWatch>,
    /// The clock.
    pub time: Arc<TimeKeeper>,
    /// The spool and the deletion log.
    pub erasing: Arc<Erasing>,
    /// Calls that ended and wait.
    pub settling: Arc<Settling>,
    /// Set once it shuts down.
    pub draining: Arc<AtomicBool>,
}

/// The checks of a recorder that may still be starting.
#[derive(Default)]
pub struct Starting(OnceLock<Checks>);

impl Starting {
    /// It runs: from now on its parts are asked.
    pub fn started(&self, checks: Checks) {
        // It starts once.
        let _ = self.0.set(checks);
    }
}

impl Readiness for Starting {
    fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
        if let Some(checks) = self.0.get() {
            return checks.checks();
        }
        let detail = "it is reading what the last run left in the spool".to_owned();
        async move { vec![Check { name: "started", ok: false, optional: false, detail }] }.boxed()
    }
}

impl Readiness for Checks {
    fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
        let check = |name, ok, optional, wrong: &str| Check {
            name,
            ok,
            optional,
            detail: if ok { String::new() } else { wrong.to_owned() },
        };
        let store = self.health.store_detail();
        let index = self.health.index.load(Ordering::Relaxed);
        let rules = self.rules.wrong();
        let refusal = self.erasing.spool.refuses();
        let stuck = self.settling.stuck();
        let stuck_detail = stuck.example.map_or_else(String::new, |(id, why)| {
            format!("{} calls fail again and again; of {id}: {why}", stuck.calls)
        });
        let checks = vec![
            check(
                "accepting",
                !self.draining.load(Ordering::Acquire),
                false,
                "the recorder is shutting down",
            ),
            check(
                "spool",
                refusal.is_none(),
                false,
                &refusal.map_or_else(String::new, |refusal| format!("new calls are refused: {refusal}")),
            ),
            check("store", store.is_empty(), true, &store),
            check("index", index, true, "it does not answer; rows wait"),
            check("delivery", stuck.calls == 0, true, &stuck_detail),
            check(
                "deletion_log",
                self.erasing.custody.in_step(),
                true,
                "it is behind what index or store have seen: nothing is served; run `optag replay-deletions`",
            ),
            check("bucket_rules", rules.is_empty(), true, &rules),
            check(
                "clock",
                self.time.is_confirmed(),
                true,
                "clock jumped, or differs from the time of store or PostgreSQL; see `optag retention confirm-clock`",
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
        async move { checks }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_recorder_that_is_starting_is_not_ready_and_says_what_it_does() {
        let checks = Starting::default().checks().await;
        assert!(checks.len() == 1 && !checks[0].ok && !checks[0].optional);
        assert!(checks[0].detail.contains("spool"));
    }
}
