//! Draining: no new calls are taken, and those in progress go on until they end or their time is up.
//!
//! In: an order, by a signal or through the API. Out: whether new calls are taken, and when calls in progress are over. Not
//! here: what a stop does then (`app::server::stop`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::http::drains::{DrainState, Drains};
use crate::metrics;
use crate::recorder::live_calls::LiveCalls;

/// Time between two looks for calls in progress.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Time between two log lines on calls that are waited for.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The state of draining.
#[derive(Debug)]
pub struct Drain {
    draining: Arc<AtomicBool>,
    calls: Arc<LiveCalls>,
    limit: Duration,
    /// Until when calls in progress may go on; `None`: no order yet.
    until: watch::Sender<Option<Instant>>,
}

impl Drain {
    /// Nothing is drained yet. `limit`: how long calls in progress go on where an order does not say.
    pub fn new(limit: Duration, calls: Arc<LiveCalls>) -> Self {
        Self { draining: Arc::default(), calls, limit, until: watch::Sender::new(None) }
    }

    /// Set while no new calls are taken.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.draining)
    }

    /// Takes no new calls from now on; calls in progress are left to another program.
    pub fn close(&self) {
        self.draining.store(true, Ordering::Release);
        metrics::draining(true);
    }

    /// Takes no new calls from now on. Calls in progress go on for `limit`; without one for the configured time, or as
    /// long as an earlier order says.
    pub fn begin(&self, limit: Option<Duration>) -> DrainState {
        self.close();
        let asked = Instant::now() + limit.unwrap_or(self.limit);
        self.until.send_if_modified(|until| {
            let changes = limit.is_some() || until.is_none();
            *until = if changes { Some(asked) } else { *until };
            changes
        });
        DrainState { calls: self.in_progress(), left_s: self.left().as_secs() }
    }

    /// Ready once there is an order.
    pub async fn ordered(&self) {
        // The sender is our own.
        let _ = self.until.subscribe().wait_for(Option::is_some).await;
    }

    /// Calls in progress.
    pub fn in_progress(&self) -> usize {
        self.calls.live()
    }

    /// Waits until no call is in progress, or their time is up. True: none is.
    pub async fn calls_ended(&self) -> bool {
        let mut until = self.until.subscribe();
        let mut told: Option<Instant> = None;
        loop {
            let (calls, left) = (self.in_progress(), self.left());
            if calls == 0 || left.is_zero() {
                return calls == 0;
            }
            if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                told = Some(Instant::now());
                tracing::info!(calls, left_s = left.as_secs(), "draining: waiting for calls in progress");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY.min(left)) => {}
                _ = until.changed() => {}
            }
        }
    }

    /// How long calls in progress may still go on.
    fn left(&self) -> Duration {
        let until = *self.until.borrow();
        until.map_or(self.limit, |until| until.saturating_duration_since(Instant::now()))
    }
}

impl Drains for Drain {
    fn drain(&self, limit: Option<Duration>) -> DrainState {
        self.begin(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_core::call::{CallFacts, ConsentState, Outcome};
    use optag_core::clock::WallTime;
    use optag_core::id::CallId;
    use optag_media::fact::{Ended, EndedBy};
    use optag_media::stats::CallGauges;
    use optag_testing::fixtures::call_facts;

    const LIMIT: Duration = Duration::from_secs(1_800);

    fn call() -> CallFacts {
        call_facts(CallId::from_bytes([7; 16]), WallTime::default())
    }

    fn with_a_call() -> (Arc<Drain>, Arc<LiveCalls>) {
        let calls = Arc::<LiveCalls>::default();
        calls.add(&call(), ConsentState::Granted, &[], Arc::new(CallGauges::new(0)));
        (Arc::new(Drain::new(LIMIT, Arc::clone(&calls))), calls)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_in_progress_is_waited_for_until_it_ends() {
        let (drain, calls) = with_a_call();
        assert!(!drain.flag().load(Ordering::Acquire));
        assert_eq!(drain.begin(None), DrainState { calls: 1, left_s: 1_800 });
        assert!(drain.flag().load(Ordering::Acquire));
        let waits = tokio::spawn({
            let drain = Arc::clone(&drain);
            async move { drain.calls_ended().await }
        });
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(!waits.is_finished());
        let (at, by, outcome) = (WallTime::default(), EndedBy::Feed, Outcome::Recorded);
        calls.end(call().id, &Ended { at, by, outcome, frames: 0, streams: vec![] });
        assert!(waits.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_waited_for_no_longer_than_the_limit_which_a_later_order_may_change() {
        let (drain, _calls) = with_a_call();
        let began = Instant::now();
        drain.begin(None);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(drain.begin(None).left_s, 1_700, "the same order again prolongs nothing");
        assert!(!drain.calls_ended().await);
        assert_eq!(began.elapsed().as_secs(), 1_800);
        assert_eq!(drain.begin(Some(Duration::from_secs(3_600))).left_s, 3_600);
        let shortened = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drain.begin(Some(Duration::ZERO))
        };
        let (ended, state) = tokio::join!(drain.calls_ended(), shortened);
        assert_eq!((ended, state), (false, DrainState { calls: 1, left_s: 0 }));
        assert_eq!(began.elapsed().as_secs(), 1_860);
    }

    #[tokio::test(start_paused = true)]
    async fn without_calls_there_is_nothing_to_wait_for() {
        let drain = Drain::new(LIMIT, Arc::default());
        tokio::select! {
            biased;
            () = drain.ordered() => panic!("nobody ordered it"),
            () = tokio::time::sleep(LIMIT) => {}
        }
        drain.begin(None);
        drain.ordered().await;
        assert!(drain.calls_ended().await);
    }
}
