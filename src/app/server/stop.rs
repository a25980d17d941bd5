//! Stops a running recorder: for good, or for an upgrade in place.
//!
//! For good: refuse new calls → calls in progress end, or `shutdown.drain_limit_s` is over → engine ends the others and
//! flushes → BYE to their clients → spool durable → ends in the delivery queue → deliveries → listeners closed → end of the
//! audit log signed. `shutdown.deliver_limit_s` limits everything after the calls, and a second signal ends all waits; final
//! writes and short last steps get a little extra time where the deliveries used it up. What is not delivered by then stays
//! in the spool.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::time::Instant;

use crate::app::server::Server;
use crate::app::upgrade::Handover;
use crate::delivery::queue::Unsettled;
use crate::metrics;
use crate::recorder::recovery::Followed;
use crate::stores::durable::durable;
use optag_sip::siprec::service::Ending;

/// Minimum time for the spool to make the last audio durable, whatever the limit.
const LAST_WRITES: Duration = Duration::from_secs(10);
/// Minimum time for open requests, and for signing the end of the audit log, once the limit is used up.
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// Time for open requests, and for outcomes of calls without records, before another program takes over.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Resolves when an immediate stop is requested.
type Hurry = Shared<BoxFuture<'static, ()>>;

/// The time limit of what follows the calls in a stop, from its beginning.
#[derive(Clone, Copy, Debug)]
struct Budget(Instant);

impl Budget {
    fn new(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// Remaining time, at least `least`.
    fn left(self, least: Duration) -> Duration {
        self.0.saturating_duration_since(Instant::now()).max(least)
    }
}

impl Server {
    /// Stops for another program to continue: calls and sessions are saved, sockets stay open. The engine stops last,
    /// since packets wait in the kernel from then on.
    ///
    /// Errors: cannot write the last audio to the spool.
    pub async fn hand_over(mut self) -> anyhow::Result<Handover> {
        self.drain.close();
        self.ending.store(true, Ordering::Release);
        let _ = self.stop.send(true);
        let answered = async { while self.listeners.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_ANSWERS, answered).await.is_err() {
            self.listeners.shutdown().await;
        }
        if let Some(asking) = self.asking.take() {
            asking.stop().await;
        }
        if let Some(server) = self.sip_server.take() {
            server.stop(Ending::Leave).await;
        }
        // The spool keeps everything else for the next program.
        let deliveries = &self.opened.deliveries;
        deliveries.hurry();
        let _ = tokio::time::timeout(LAST_ANSWERS, deliveries.until(|left| left.unspooled == 0)).await;
        self.tasks.shutdown().await;
        let engine = self.engine.clone();
        self.sockets.rtp = tokio::task::spawn_blocking(move || engine.leave()).await?.into_iter().collect();
        let spool = self.opened.stores.spool.clone();
        if !tokio::time::timeout(LAST_WRITES, durable(&spool)).await.unwrap_or(false) {
            anyhow::bail!("cannot write the last audio to the spool");
        }
        let outcomes = self.opened.deliveries.unsettled().unspooled;
        if outcomes > 0 {
            tracing::warn!(outcomes, "outcomes of unrecorded calls not written to the index are lost");
        }
        tokio::task::spawn_blocking(move || spool.close()).await?;
        Ok(self.sockets)
    }

    /// Drains and stops. Once `hurry` resolves, nothing is waited for that the next start can do as well.
    ///
    /// Errors: a part did not stop properly; acknowledged data is durable all the same.
    pub async fn stop(mut self, hurry: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let hurry = hurry.boxed().shared();
        self.end_calls(&hurry).await;
        let budget = Budget::new(self.opened.config.deliver_limit);
        self.ending.store(true, Ordering::Release);
        // Before signalling does: a call that this stop cuts short says so.
        let engine = self.engine.clone();
        tokio::task::spawn_blocking(move || engine.shutdown()).await?;
        if let Some(asking) = self.asking.take() {
            asking.stop().await;
        }
        if let Some(server) = self.sip_server.take() {
            server.stop(Ending::Bye).await;
        }
        let spool = self.opened.stores.spool.clone();
        if !tokio::time::timeout(budget.left(LAST_WRITES), durable(&spool)).await.unwrap_or(false) {
            anyhow::bail!("cannot write the last audio to the spool");
        }
        Box::pin(self.settle(&hurry, budget)).await;
        self.tasks.shutdown().await;
        let left = self.opened.deliveries.unsettled();
        if left.spooled + left.packed == 0 {
            unless_hurried(&hurry, self.recorder.leave_nodes()).await;
        }
        let _ = self.stop.send(true);
        let closed = async { while self.listeners.join_next().await.is_some() {} };
        let closed = tokio::time::timeout(budget.left(LAST_MOMENT), closed);
        if !matches!(unless_hurried(&hurry, closed).await, Some(Ok(()))) {
            tracing::warn!("connections closed with requests in progress");
            self.listeners.shutdown().await;
        }
        let (erasure, config) = (&self.opened.erasure, &self.opened.config);
        let (now, dir) = (erasure.clock.wall(), config.audit.anchor_dir.as_deref());
        let signing = Box::pin(erasure.anchor_audit(&self.opened.audit, now, dir));
        let signed = unless_hurried(&hurry, tokio::time::timeout(budget.left(LAST_MOMENT), signing)).await;
        if !matches!(signed, Some(Ok(Ok(())))) {
            tracing::warn!("cannot sign the end of the audit log; the next start signs it");
        }
        tokio::task::spawn_blocking(move || spool.close()).await?;
        Ok(())
    }

    /// Takes no new calls, and gives those in progress their time.
    async fn end_calls(&self, hurry: &Hurry) {
        let state = self.drain.begin(None);
        if let Some(server) = &self.sip_server {
            // OPTIONS tells it from now on. Calls are waited for below, those of every kind.
            server.drain(Duration::ZERO).await;
        }
        tracing::info!(calls = state.calls, limit_s = state.left_s, "draining: no new calls are taken");
        match unless_hurried(hurry, self.drain.calls_ended()).await {
            Some(true) => tracing::info!("draining: no call is left in progress"),
            waited => tracing::warn!(
                calls = self.drain.in_progress(),
                interrupted = waited.is_none(),
                "drain limit reached: ending calls in progress, whose recordings end here"
            ),
        }
    }

    /// Waits for deliveries of ended calls, and reports what is left. All ended calls are durable.
    async fn settle(&self, hurry: &Hurry, budget: Budget) {
        let deliveries = &self.opened.deliveries;
        // The spool reported the ends before this call; the barrier ensures that they are in the delivery queue.
        let (done, followed) = tokio::sync::oneshot::channel();
        if self.follow.send(Followed::Barrier(done)).is_ok() {
            let _ = followed.await;
        }
        deliveries.hurry();
        let ended = deliveries.len();
        let limit = budget.left(Duration::ZERO);
        tracing::info!(calls = ended, limit_s = limit.as_secs(), "all calls ended; delivering recordings");
        // Encoding spilled calls takes longer than a stop should.
        let is_done = |left: Unsettled| left.spooled + left.unspooled == 0;
        let settled = deliveries.until(is_done);
        let waited = unless_hurried(hurry, tokio::time::timeout(limit, settled)).await;
        let left = deliveries.unsettled();
        metrics::unsettled_calls(left.spooled + left.packed, left.unspooled);
        if is_done(left) {
            tracing::info!(calls = ended.saturating_sub(left.packed), "all recordings delivered");
            if left.packed > 0 {
                tracing::info!(calls = left.packed, "spilled calls stay in the spool for the next start");
            }
            return;
        }
        tracing::warn!(
            waiting = left.spooled,
            outcomes_lost = left.unspooled,
            interrupted = waited.is_none(),
            "drain incomplete: undelivered calls stay in the spool for the next start"
        );
    }
}

/// Result of `work`; `None` if an immediate stop was requested first.
async fn unless_hurried<T>(hurry: &Hurry, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = hurry.clone() => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_step_of_a_stop_counts_against_one_limit() {
        let budget = Budget::new(Duration::from_secs(30));
        assert_eq!(budget.left(LAST_WRITES).as_secs(), 30);
        tokio::time::advance(Duration::from_secs(25)).await;
        assert_eq!(budget.left(Duration::ZERO).as_secs(), 5);
        assert_eq!(budget.left(LAST_WRITES), LAST_WRITES, "the last audio is made durable all the same");
        tokio::time::advance(Duration::from_secs(25)).await;
        assert_eq!((budget.left(Duration::ZERO), budget.left(LAST_MOMENT)), (Duration::ZERO, LAST_MOMENT));
    }
}
