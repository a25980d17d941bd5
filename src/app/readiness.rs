//! Whether the parts work, for `/readyz` and the gauges. A background task asks store and index,
//! so that a health check never waits for them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::app::caretaking::RulesWatch;
use crate::app::erasing::Erasing;
use crate::app::timekeeping::TimeKeeper;
use crate::http::health::{Check, Readiness};
use crate::metrics;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found last.
#[derive(Debug, Default)]
pub struct Health {
    store: AtomicBool,
    index: AtomicBool,
    /// Until new calls are refused; `u64::MAX` where the spool does not grow. Units: s.
    spool_full_in_s: AtomicU64,
}

impl Health {
    /// Looks once.
    pub async fn look(&self, erasing: &Erasing) {
        let store = tokio::time::timeout(PATIENCE, erasing.store.probe()).await;
        let index = tokio::time::timeout(PATIENCE, erasing.index.probe()).await;
        let (store, index) = (matches!(store, Ok(Ok(()))), matches!(index, Ok(Ok(()))));
        self.store.store(store, Ordering::Relaxed);
        self.index.store(index, Ordering::Relaxed);
        metrics::store_up(store);
        metrics::index_up(index);
    }

    /// How long the spool takes new calls, if it goes on growing.
    pub fn set_spool_full_in(&self, left: Option<Duration>) {
        self.spool_full_in_s.store(left.map_or(u64::MAX, |left| left.as_secs()), Ordering::Relaxed);
    }

    /// What is wrong with a store that does not answer.
    fn store_detail(&self) -> String {
        let waits = "it does not answer; recordings wait in the spool";
        match self.spool_full_in_s.load(Ordering::Relaxed) {
            0 | u64::MAX => waits.to_owned(),
            left => format!("{waits}, which takes new calls for about {} more minutes", left.div_ceil(60)),
        }
    }

    /// Looks again and again until it is dropped; the start has looked once.
    pub async fn run(self: Arc<Self>, erasing: Arc<Erasing>) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.look(&erasing).await;
        }
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
        let store = self.health.store.load(Ordering::Relaxed);
        let index = self.health.index.load(Ordering::Relaxed);
        let rules = self.rules.wrong();
        let checks = vec![
            check(
                "accepting",
                !self.draining.load(Ordering::Acquire),
                false,
                "the recorder is shutting down",
            ),
            check(
                "spool",
                self.erasing.spool.accepts_new_calls(),
                false,
                "it is filling up or cannot be written",
            ),
            check("store", store, true, &self.health.store_detail()),
            check("index", index, true, "it does not answer; rows wait"),
            check(
                "deletion_log",
                self.erasing.custody.in_step(),
                true,
                "it is behind what index or store have seen: nothing is served; run `optag replay-deletions`",
            ),
            check("bucket_rules", rules.is_empty(), true, &rules),
            check("clock", self.time.is_confirmed(), true, "it jumped; see `optag retention confirm-clock`"),
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
