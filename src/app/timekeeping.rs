//! Which time it is, where the machine's clock is not to be believed alone. In: the machine's
//! clocks, the last trusted look, a second source: the `Date` of the store's answers; for a store
//! in a directory, whether a time server keeps the kernel's clock; or the owner's word. Out: the
//! time by which calls are dated and expiry is judged.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::archive::store::Store;
use crate::base::clock::{Clock, WallTime};
use crate::base::replace::replace_json;
use crate::base::steady::{SteadyClock, kept_by_a_time_server, since_boot_us};
use crate::metrics;
use crate::retention::trusted_time::{Look, Trusted, confirm, judge, remember};

/// Keeps the time.
pub struct TimeKeeper {
    /// The clock that everyone reads.
    pub clock: Arc<SteadyClock>,
    state_file: PathBuf,
    confirmed: AtomicBool,
}

impl TimeKeeper {
    /// Starts with the last look that was kept, and what the machine's clocks say.
    pub fn new(state_file: PathBuf) -> Self {
        let keeper =
            Self { clock: Arc::new(SteadyClock::new()), state_file, confirmed: AtomicBool::new(true) };
        if let Some(now) = keeper.look() {
            keeper.take(judge(keeper.last().as_ref(), &now, None));
        }
        keeper
    }

    /// Whether the time is trusted, or only certain to be no earlier.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Acquire)
    }

    /// Looks at the clocks; where they disagree, at the second source.
    pub async fn look_again(&self, store: &Store) -> Trusted {
        let Some(now) = self.look() else {
            // Without the start of the machine there is only the wall clock, and it proves nothing.
            let wall = self.clock.machine_wall();
            return self.take(Trusted::Unconfirmed { at_least: self.clock.wall(), wall });
        };
        let mut trusted = judge(self.last().as_ref(), &now, None);
        if let Trusted::Unconfirmed { at_least, wall } = trusted
            && let Some(other) = second_source(store, wall).await
            && let Some(time) = confirm(at_least, wall, other)
        {
            tracing::warn!(%at_least, %wall, %time, "the wall clock has jumped; a second source confirms this time");
            trusted = Trusted::Is(time);
        }
        self.take(trusted);
        self.keep(&now, trusted);
        trusted
    }

    /// The owner says that the machine's wall clock is right.
    pub fn confirm_by_owner(&self) -> WallTime {
        let wall = self.clock.machine_wall();
        let trusted = self.take(Trusted::Is(wall));
        if let Some(now) = self.look() {
            self.keep(&now, trusted);
        }
        wall
    }

    fn take(&self, trusted: Trusted) -> Trusted {
        self.clock.set(trusted.time());
        let confirmed = matches!(trusted, Trusted::Is(_));
        self.confirmed.store(confirmed, Ordering::Release);
        metrics::clock_trusted(confirmed);
        trusted
    }

    fn last(&self) -> Option<Look> {
        std::fs::read(&self.state_file).ok().and_then(|json| serde_json::from_slice(&json).ok())
    }

    fn keep(&self, now: &Look, trusted: Trusted) {
        if let Err(error) = replace_json(&self.state_file, &remember(now, trusted)) {
            tracing::warn!(%error, "the look at the clocks could not be kept");
        }
    }

    fn look(&self) -> Option<Look> {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        Some(Look { wall: self.clock.machine_wall(), since_boot_us: since_boot_us(), boot_id })
    }
}

/// What the second source says, if it says anything.
async fn second_source(store: &Store, wall: WallTime) -> Option<WallTime> {
    match store.admin() {
        Some(admin) => admin
            .clock()
            .await
            .inspect_err(|error| tracing::warn!(%error, "the store does not tell the time"))
            .ok(),
        None => kept_by_a_time_server().then_some(wall),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::StoreConfig;

    #[tokio::test]
    async fn invariant_15_a_clock_that_jumped_between_two_starts_waits_for_the_owner() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("clock.json");
        let store = Store::open(&StoreConfig::Local { dir: dir.path().join("store") }).unwrap();
        TimeKeeper::new(state.clone()).look_again(&store).await;
        for days in [91, -91] {
            // The last look was taken in another life of the machine, 91 days from what the clock
            // says now.
            let mut last: Look = serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
            let then = last.wall.plus_days(-days);
            last = Look { wall: then, since_boot_us: 0, boot_id: "another".into() };
            std::fs::write(&state, serde_json::to_vec(&last).unwrap()).unwrap();
            let keeper = TimeKeeper::new(state.clone());
            assert!(!keeper.is_confirmed());
            let off_us = keeper.clock.machine_wall().micros_since(keeper.clock.wall());
            assert!(off_us.abs() > 2 * 86_400_000_000, "{days}: {off_us}");
            let wall = keeper.confirm_by_owner();
            assert!(keeper.is_confirmed() && keeper.clock.wall().micros_since(wall) < 60_000_000);
            assert!(matches!(keeper.look_again(&store).await, Trusted::Is(_)));
        }
    }
}
