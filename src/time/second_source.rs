//! Trusted time from several sources. In: the machine's clocks, the last trusted reading, and second sources: the `Date`
//! header of the store's responses, PostgreSQL's `now()`; without either, whether NTP disciplines the kernel's clock; or a
//! confirmation by the operator. Out: the time that dates calls and expiry, and how far expiry may proceed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::index::Index;
use crate::metrics;
use crate::time::trusted::{Look, Trusted, confirm, judge, remember};
use optag_core::clock::{Clock, WallTime};
use optag_core::limit::RETENTION_DAYS;
use optag_core::steady::{SLEW_US, SteadyClock, kept_by_a_time_server, since_boot_us};
use optag_files::atomic_file::replace_json;
use optag_storage::store::Store;

/// Determines the trusted time.
pub struct TimeKeeper {
    /// The clock used everywhere.
    pub clock: Arc<SteadyClock>,
    state_file: PathBuf,
    confirmed: AtomicBool,
    bounds: Mutex<Bounds>,
    /// Number of recordings whose expiry waits for confirmation.
    withheld: AtomicU64,
}

/// Limits of expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Set if no source other than this machine's wall clock has ever confirmed the time: since when it dates
    /// calls. Older calls were dated by another clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone_since: Option<WallTime>,
    /// Up to when expiry has been permitted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_to: Option<WallTime>,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Saved {
    #[serde(flatten)]
    look: Look,
    #[serde(flatten)]
    bounds: Bounds,
}

/// A reading of the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time that dates calls.
    pub trusted: Trusted,
    /// The time by which expiry is evaluated: no later than any source's.
    pub expiry: WallTime,
}

impl TimeKeeper {
    /// Starts with the stored reading, and the machine's clocks.
    pub fn new(state_file: PathBuf) -> Self {
        let keeper = Self {
            clock: Arc::new(SteadyClock::new()),
            state_file,
            confirmed: AtomicBool::new(true),
            bounds: Mutex::default(),
            withheld: AtomicU64::new(0),
        };
        let wall = keeper.clock.machine_wall();
        *keeper.lock() = match keeper.last() {
            None => Bounds { alone_since: Some(wall), swept_to: None },
            // Earlier versions stored only the reading, and had swept up to it.
            Some(Saved { look, bounds }) => Bounds {
                swept_to: bounds.swept_to.or(bounds.alone_since.is_none().then_some(look.wall)),
                ..bounds
            },
        };
        if let Some(now) = keeper.look() {
            keeper.take(judge(keeper.last().map(|kept| kept.look).as_ref(), &now, None));
        }
        keeper
    }

    /// Whether the time is trusted, rather than only a lower bound.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Acquire)
    }

    /// Limits of expiry.
    pub fn bounds(&self) -> Bounds {
        *self.lock()
    }

    /// Permits expiry up to this time, now and later.
    pub fn permit(&self, to: WallTime) {
        {
            let mut bounds = self.lock();
            bounds.swept_to = bounds.swept_to.max(Some(to));
        }
        if let Some(now) = self.look() {
            self.keep(&Look { wall: self.clock.wall(), ..now });
        }
    }

    /// Number of due recordings withheld until the clock is confirmed.
    pub fn withheld(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }

    /// Sets the number of withheld recordings.
    pub fn set_withheld(&self, count: u64) {
        self.withheld.store(count, Ordering::Relaxed);
        metrics::expiry_withheld(count);
    }

    /// Reads the clocks and queries the second sources.
    pub async fn look_again(&self, store: &Store, index: &Index) -> Moment {
        let wall = self.clock.machine_wall();
        let others = second_sources(store, index, wall).await;
        self.weigh(self.look(), &others)
    }

    /// Evaluates a reading and the second sources.
    fn weigh(&self, now: Option<Look>, others: &[WallTime]) -> Moment {
        let Some(now) = now else {
            // Without the time since boot there is only the wall clock, which proves nothing.
            let wall = self.clock.machine_wall();
            let trusted = self.take(Trusted::Unconfirmed { at_least: self.clock.wall(), wall });
            return Moment { trusted, expiry: trusted.time() };
        };
        let mut trusted = judge(self.last().map(|kept| kept.look).as_ref(), &now, None);
        let agree = |time: WallTime| others.iter().all(|other| other.micros_since(time).abs() <= SLEW_US);
        if let Trusted::Unconfirmed { at_least, wall } = trusted
            && let Some(other) = others.iter().min().copied().filter(|other| agree(*other))
            && let Some(time) = confirm(at_least, wall, other)
        {
            tracing::warn!(%at_least, %wall, %time, "wall clock jumped; confirmed by a second source");
            trusted = Trusted::Is(time);
        }
        let time = trusted.time();
        let expiry = others.iter().copied().fold(time, WallTime::min);
        let contradicted = !agree(time);
        {
            let mut bounds = self.lock();
            let proved = !others.is_empty() && !contradicted && matches!(trusted, Trusted::Is(_));
            // What was there at the first reading has now expired by any clock.
            let over = |since: WallTime| since.plus_days(i64::from(RETENTION_DAYS)) <= time;
            if proved || bounds.alone_since.is_some_and(over) {
                bounds.alone_since = None;
            }
        }
        self.take(trusted);
        self.keep(&remember(&now, trusted));
        if contradicted {
            let other = others.iter().min().map(ToString::to_string).unwrap_or_default();
            tracing::error!(
                %time, other,
                "clock of store or PostgreSQL differs from this machine: expiry uses the earlier time"
            );
            self.confirmed.store(false, Ordering::Release);
            metrics::clock_trusted(false);
        }
        Moment { trusted, expiry }
    }

    /// The owner confirms that the machine's wall clock is correct, and that what is due by it may be erased.
    pub fn confirm_by_owner(&self) -> WallTime {
        let wall = self.clock.machine_wall();
        let trusted = self.take(Trusted::Is(wall));
        *self.lock() = Bounds { alone_since: None, swept_to: Some(wall) };
        if let Some(now) = self.look() {
            self.keep(&remember(&now, trusted));
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

    fn last(&self) -> Option<Saved> {
        std::fs::read(&self.state_file).ok().and_then(|json| serde_json::from_slice(&json).ok())
    }

    fn keep(&self, look: &Look) {
        let kept = Saved { look: look.clone(), bounds: self.bounds() };
        if let Err(error) = replace_json(&self.state_file, &kept) {
            tracing::warn!(%error, "cannot write clock.json");
        }
    }

    fn look(&self) -> Option<Look> {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        Some(Look { wall: self.clock.machine_wall(), since_boot_us: since_boot_us(), boot_id })
    }

    fn lock(&self) -> MutexGuard<'_, Bounds> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The times of the second sources that answer.
async fn second_sources(store: &Store, index: &Index, wall: WallTime) -> Vec<WallTime> {
    let mut said = Vec::new();
    let database = index.clock().await;
    if let Some(admin) = store.admin() {
        match admin.clock().await {
            Ok(time) => said.push(time),
            Err(error) => tracing::warn!(%error, "cannot read the time from the store"),
        }
    } else if matches!(database, Ok(None)) && kept_by_a_time_server() {
        said.push(wall);
    }
    match database {
        Ok(time) => said.extend(time),
        Err(error) => tracing::warn!(%error, "cannot read the time from PostgreSQL"),
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(dir: &std::path::Path) -> TimeKeeper {
        TimeKeeper::new(dir.join("clock.json"))
    }

    #[test]
    fn invariant_15_a_clock_that_jumped_between_two_starts_waits_for_the_owner() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("clock.json");
        let first = keeper(dir.path());
        first.weigh(first.look(), &[]);
        for days in [91, -91] {
            // The last reading is from another boot, 91 days from the current clock.
            let mut last: Look = serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
            let then = last.wall.plus_days(-days);
            last = Look { wall: then, since_boot_us: 0, boot_id: "another".into() };
            std::fs::write(&state, serde_json::to_vec(&last).unwrap()).unwrap();
            let keeper = keeper(dir.path());
            assert!(!keeper.is_confirmed());
            let off_us = keeper.clock.machine_wall().micros_since(keeper.clock.wall());
            assert!(off_us.abs() > 2 * 86_400_000_000, "{days}: {off_us}");
            let wall = keeper.confirm_by_owner();
            assert!(keeper.is_confirmed() && keeper.clock.wall().micros_since(wall) < 60_000_000);
            assert!(matches!(keeper.weigh(keeper.look(), &[]).trusted, Trusted::Is(_)));
        }
    }

    #[test]
    fn invariant_15_a_first_look_is_believed_for_dates_and_not_for_what_is_older_than_it() {
        let dir = tempfile::tempdir().unwrap();
        let keeper_1 = keeper(dir.path());
        let since = keeper_1.bounds().alone_since.expect("nobody has vouched for this clock");
        let moment = keeper_1.weigh(keeper_1.look(), &[]);
        assert!(matches!(moment.trusted, Trusted::Is(_)) && keeper_1.is_confirmed());
        // Neither a restart nor time makes it trusted; a second source, or the owner, does.
        let keeper_2 = keeper(dir.path());
        assert_eq!(keeper_2.bounds(), Bounds { alone_since: Some(since), swept_to: None });
        keeper_2.weigh(keeper_2.look(), &[keeper_2.clock.machine_wall()]);
        assert_eq!(keeper_2.bounds().alone_since, None);
        assert_eq!(keeper(dir.path()).bounds().alone_since, None);
    }

    #[test]
    fn invariant_15_where_a_second_source_contradicts_the_clock_expiry_goes_by_the_earlier() {
        let dir = tempfile::tempdir().unwrap();
        for days in [91, -91] {
            let keeper = keeper(dir.path());
            let wall = keeper.clock.machine_wall();
            let other = wall.plus_days(days);
            let moment = keeper.weigh(keeper.look(), &[other]);
            assert!(!keeper.is_confirmed() && keeper.bounds().alone_since.is_some());
            assert!(moment.expiry.micros_since(wall.min(other)).abs() < 60_000_000);
            // Two sources that contradict each other confirm nothing either.
            keeper.weigh(keeper.look(), &[wall, other]);
            assert!(!keeper.is_confirmed() && keeper.bounds().alone_since.is_some());
        }
    }

    #[test]
    fn what_was_there_at_the_first_look_is_over_after_the_longest_limit_by_any_clock() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = keeper(dir.path());
        let now = keeper.look().unwrap();
        let day = 86_400_000_000;
        for (days, alone) in [(0, true), (1, true), (89, true), (91, false)] {
            let later = Look {
                wall: now.wall.plus_days(days),
                since_boot_us: now.since_boot_us + days * day,
                ..now.clone()
            };
            keeper.weigh(Some(later), &[]);
            assert_eq!(keeper.bounds().alone_since.is_some(), alone, "{days}");
        }
    }
}
