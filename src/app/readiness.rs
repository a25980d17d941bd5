//! Whether the parts work, for `/readyz` and the gauges. A background task asks store and index,
//! so that a health check never waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::app::erasing::Erasing;
use crate::http::health::{Check, Readiness};
use crate::metrics;
use crate::spool::Spool;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found last.
#[derive(Debug, Default)]
pub struct Health {
    store: AtomicBool,
    index: AtomicBool,
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
    /// The spool.
    pub spool: Spool,
    /// Set once it shuts down.
    pub draining: Arc<AtomicBool>,
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
        let checks = vec![
            check(
                "accepting",
                !self.draining.load(Ordering::Acquire),
                false,
                "the recorder is shutting down",
            ),
            check("spool", self.spool.accepts_new_calls(), false, "it is filling up or cannot be written"),
            check("store", store, true, "it does not answer; recordings wait in the spool"),
            check("index", index, true, "it does not answer; rows wait"),
        ];
        async move { checks }.boxed()
    }
}
