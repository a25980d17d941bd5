//! [`Oversight`] on top of audit log, index, store and health checks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::tz::TimeZone;

use crate::audit::AuditLog;
use crate::auth::Departments;
use crate::http::oversight::Oversight;
use crate::http::oversight::ages::{AgeCount, AgesFound, ExpiryCount};
use crate::http::oversight::audit_search::{AuditFound, AuditQuery, Unusual};
use crate::http::oversight::health::{NodeView, OutcomeCount, StoreTest};
use crate::http::recordings::library::LibraryError;
use crate::http::server::health::{Check, Readiness};
use crate::recordings::audit_search;
use crate::stores::Stores;
use optag_core::clock::{Clock, WallTime};
use optag_core::signing::Signer;

/// Days for which expiries are counted, today included.
const NEXT_DAYS: i64 = 14;
/// Time limit for a test of the store.
const TRYING: Duration = Duration::from_secs(20);

/// What those who oversee the recorder ask.
pub struct OversightService {
    /// Index and store.
    pub stores: Stores,
    /// The audit log.
    pub audit: AuditLog,
    /// Its key verifies the audit log's checkpoints.
    pub signer: Arc<Signer>,
    /// The clock by which recordings expire.
    pub clock: Arc<dyn Clock>,
    /// Name of the time zone in which days are.
    pub time_zone: String,
    /// Longest retention of any department. Units: days.
    pub keep_days: u8,
    /// The health checks; none where no recorder runs.
    pub readiness: Option<Arc<dyn Readiness>>,
}

fn down<E>(_: E) -> LibraryError {
    LibraryError::IndexDown
}

impl Oversight for OversightService {
    fn audit_search(&self, wanted: AuditQuery) -> BoxFuture<'_, Result<AuditFound, LibraryError>> {
        let (audit, key) = (self.audit.clone(), self.signer.public_key());
        async move {
            let found =
                tokio::task::spawn_blocking(move || audit_search::search(&audit, &key, &wanted)).await;
            found.unwrap_or(Err(LibraryError::Damaged))
        }
        .boxed()
    }

    fn unusual(
        &self,
        now: WallTime,
        within: Departments,
    ) -> BoxFuture<'_, Result<(i64, Vec<Unusual>), LibraryError>> {
        async move {
            let since = (now.plus_days(-audit_search::DAYS), self.time_zone.as_str());
            let found = audit_search::unusual_since(&self.audit, &self.stores.index, since, &within);
            Ok((audit_search::DAYS, found.await?))
        }
        .boxed()
    }

    fn ages(&self, within: Departments) -> BoxFuture<'_, Result<AgesFound, LibraryError>> {
        async move {
            let at = self.clock.wall();
            let ages = self.stores.index.ages(at, &within).await.map_err(down)?;
            let ages = ages.into_iter().map(|(department, days, count)| AgeCount { department, days, count });
            let zone = TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC);
            let today = at.timestamp().to_zoned_datetime(zone.clone()).date();
            let mut expiries = Vec::new();
            let mut from = None;
            for n in 0..NEXT_DAYS {
                let Ok(day) = today.checked_add(jiff::Span::new().days(n)) else { break };
                let Ok(next) = day.tomorrow().and_then(|day| day.to_zoned_datetime(zone.clone())) else {
                    break;
                };
                let until = WallTime::from_timestamp(next.timestamp());
                let found = self.stores.index.expiring(from, until, &within).await.map_err(down)?;
                let count = |(department, count)| ExpiryCount { department, day, count };
                expiries.extend(found.into_iter().map(count));
                from = Some(until);
            }
            Ok(AgesFound { at, limit_days: self.keep_days, ages: ages.collect(), expiries })
        }
        .boxed()
    }

    fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
        match &self.readiness {
            Some(readiness) => readiness.checks(),
            None => async { Vec::new() }.boxed(),
        }
    }

    fn try_store(&self) -> BoxFuture<'_, StoreTest> {
        async move {
            let began = Instant::now();
            let tried = match tokio::time::timeout(TRYING, self.stores.store.try_out()).await {
                Ok(tried) => tried.map_err(|error| error.to_string()),
                Err(_) => Err(format!("store timed out after {} s", TRYING.as_secs())),
            };
            StoreTest { ok: tried.is_ok(), took_ms: began.elapsed().as_millis() as u64, detail: tried.err() }
        }
        .boxed()
    }

    fn nodes(&self) -> BoxFuture<'_, Result<Vec<NodeView>, LibraryError>> {
        async move {
            if self.stores.index.clock().await.map_err(down)?.is_none() {
                return Ok(Vec::new());
            }
            let nodes = self.stores.index.nodes().await.map_err(down)?;
            let view = |node: crate::index::NodeRow| NodeView {
                number: node.number,
                state: node.beat.state.name(),
                version: node.version,
                calls: node.beat.calls,
                capacity_calls: node.beat.capacity_calls,
                silent_s: node.silent_for.as_secs(),
            };
            Ok(nodes.into_iter().map(view).collect())
        }
        .boxed()
    }

    fn outcomes(&self, since: WallTime) -> BoxFuture<'_, Result<Vec<OutcomeCount>, LibraryError>> {
        async move {
            let counts = self.stores.index.outcome_counts(since).await.map_err(down)?;
            let view =
                |(department, outcome, cause, count)| OutcomeCount { department, outcome, cause, count };
            Ok(counts.into_iter().map(view).collect())
        }
        .boxed()
    }
}
