//! The timers of all sessions, by due time.
//!
//! In: the deadlines of a session whenever they may have changed. Out: the earliest deadline and
//! the timers that are due. A timer has a reason and belongs to one session; there is at most one
//! of each reason for a session.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use optag_core::clock::MonoTime;

/// Grace after the session interval before an unrefreshed session is ended: a late refresh must
/// not cost a recording. RFC 4028 §10 would end it shortly before the interval is over.
pub(super) const TIMER_GRACE: Duration = Duration::from_secs(32);

/// EndReason a session is to be woken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Ask for the streams after consent.
    Activation,
    /// Refresh the session, or end it: RFC 4028.
    Session,
    /// Ask for the metadata again.
    MetadataRequest,
    /// Wait no longer for the ACK of a 200 that an earlier process sent: RFC 3261 §13.3.1.4, 64·T1.
    LostAck,
}

/// Deadlines of one session, by [`Timer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deadlines {
    pub activation: Option<MonoTime>,
    pub session: Option<MonoTime>,
    pub metadata_request: Option<MonoTime>,
    pub lost_ack: Option<MonoTime>,
}

impl Deadlines {
    /// The deadline of one timer.
    pub(super) fn of(&self, timer: Timer) -> Option<MonoTime> {
        match timer {
            Timer::Activation => self.activation,
            Timer::Session => self.session,
            Timer::MetadataRequest => self.metadata_request,
            Timer::LostAck => self.lost_ack,
        }
    }

    fn entries(self, id: u64) -> impl Iterator<Item = (MonoTime, u64, Timer)> {
        let all = [Timer::Activation, Timer::Session, Timer::MetadataRequest, Timer::LostAck];
        all.into_iter().filter_map(move |timer| Some((self.of(timer)?, id, timer)))
    }
}

/// Timers that are set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(MonoTime, u64, Timer)>,
    by_session: HashMap<u64, Deadlines>,
}

impl Timers {
    /// Sets the timers of a session to its deadlines, and stops the others.
    pub(super) fn set(&mut self, id: u64, deadlines: Deadlines) {
        let old = if deadlines == Deadlines::default() {
            self.by_session.remove(&id)
        } else {
            self.by_session.insert(id, deadlines)
        };
        if old == Some(deadlines) {
            return;
        }
        for entry in old.into_iter().flat_map(|old| old.entries(id)) {
            self.by_time.remove(&entry);
        }
        self.by_time.extend(deadlines.entries(id));
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<MonoTime> {
        self.by_time.first().map(|(at, ..)| *at)
    }

    /// The timers that are due, the earliest first. They stay set until their session sets others.
    pub(super) fn due(&self, now: MonoTime) -> Vec<(u64, Timer)> {
        self.by_time.iter().take_while(|(at, ..)| *at <= now).map(|(_, id, timer)| (*id, *timer)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Option<MonoTime> {
        Some(MonoTime::from_nanos(seconds * 1_000_000_000))
    }

    #[test]
    fn a_session_has_one_timer_of_each_reason_and_only_the_latest_deadline_counts() {
        let mut timers = Timers::default();
        timers.set(1, Deadlines { session: at(9), metadata_request: at(3), ..Default::default() });
        timers.set(2, Deadlines { activation: at(5), ..Default::default() });
        assert_eq!(timers.next(), at(3));
        assert_eq!(timers.due(at(5).unwrap()), [(1, Timer::MetadataRequest), (2, Timer::Activation)]);
        timers.set(1, Deadlines { session: at(7), ..Default::default() });
        assert_eq!(timers.due(at(9).unwrap()), [(2, Timer::Activation), (1, Timer::Session)]);
        timers.set(2, Deadlines::default());
        assert_eq!(timers.next(), at(7));
        timers.set(1, Deadlines::default());
        assert_eq!((timers.next(), timers.by_time.len(), timers.by_session.len()), (None, 0, 0));
    }
}
