//! How many more calls fit, and whether the recorder says that it is full.
//!
//! In: RTP ports, engine load, spool, recording sessions, memory, file descriptors. Out: readiness, the answer to OPTIONS, metrics. Not here:
//! admission, which each part decides for itself; this says it beforehand, so that load balancers look elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::{memory, process};
use crate::metrics::{self, NotAccepting};
use crate::recorder::live_calls::LiveCalls;
use optag_core::limit;
use optag_media::engine::Engine;
use optag_media::net::port_pool::PortPool;
use optag_sip::siprec::stats::Stats;
use optag_storage::spool::{Refusal, Spool};

/// Interval between looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Shortest time for which the recorder stays full.
const HOLD: Duration = Duration::from_secs(5);
/// Share of the calls in progress for which there must be room before calls fit again: 1 of 20.
const ROOM_AGAIN: usize = 20;
/// Streams of a usual call, where there are no calls to go by.
pub(super) const STREAMS: usize = 2;
/// Memory that a new call may come to take, with socket buffers. Units: bytes.
const CALL_BYTES: u64 = 256 << 10;
/// Memory left to everything else. Units: bytes.
const MEMORY_RESERVE_BYTES: u64 = 64 << 20;

/// File descriptors left to everything else.
const DESCRIPTORS_RESERVE: u64 = 64;
/// File descriptors of a stream: RTP and RTCP.
const DESCRIPTORS_A_STREAM: u64 = 2;

/// Tells the SIP server whether calls fit; false: not now, try again.
type Switch = Box<dyn Fn(bool) -> bool + Send>;

/// What SIPREC has of its own.
pub struct SipRoom {
    /// Figures of the server.
    pub stats: watch::Receiver<Stats>,
    /// Maximum number of sessions.
    pub sessions_max: usize,
    /// Maximum number of streams of all sessions.
    pub streams_max: usize,
    /// Sets what OPTIONS answers.
    pub switch: Switch,
}

/// What asking has of its own.
pub struct AskRoom {
    /// Callers who are being asked: each has a pair of ports.
    pub asks: watch::Receiver<usize>,
    /// Sets whether callers are asked.
    pub switch: Switch,
}

/// The parts that calls need room in.
pub struct Parts {
    /// RTP ports.
    pub ports: PortPool,
    /// Engine.
    pub engine: Engine,
    /// Spool.
    pub spool: Spool,
    /// Calls in progress.
    pub calls: Arc<LiveCalls>,
    /// Whether calls may be spilled.
    pub spills: bool,
    /// Set while draining.
    pub draining: Arc<AtomicBool>,
    /// SIPREC, if it is listened for.
    pub sip: Option<SipRoom>,
    /// Asking, if it is on.
    pub ask: Option<AskRoom>,
}

/// Whether the recorder is full, for readiness.
#[derive(Debug, Default)]
pub struct Capacity(Mutex<Option<NotAccepting>>);

impl Capacity {
    /// What is used up; `None` if calls fit.
    pub fn full(&self) -> Option<NotAccepting> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks until dropped. The first look is made before the first answer of readiness: see [`Capacity::look`].
    pub async fn run(self: Arc<Self>, parts: Parts, mut fullness: Fullness) {
        let (mut told, mut told_asking) = (None, None);
        loop {
            let accepts = self.look(&parts, &mut fullness);
            // A call that would not be recorded is not asked about.
            let asks = accepts && !parts.draining.load(Ordering::Acquire);
            if let Some(ask) = &parts.ask
                && told_asking != Some(asks)
                && (ask.switch)(asks)
            {
                told_asking = Some(asks);
            }
            if let Some(sip) = &parts.sip
                && told != Some(accepts)
                && (sip.switch)(accepts)
            {
                told = Some(accepts);
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Looks once. Returns whether calls fit.
    pub fn look(&self, parts: &Parts, fullness: &mut Fullness) -> bool {
        let rooms = parts.rooms();
        let full = fullness.look(&rooms, parts.calls.live(), Instant::now());
        let draining = parts.draining.load(Ordering::Acquire).then_some(NotAccepting::Draining);
        let reason = draining.or(full);
        let room = rooms.iter().map(|(_, room)| *room).min().unwrap_or_default();
        metrics::accepting(reason, if reason.is_some() { 0 } else { room });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = full;
        full.is_none()
    }
}

impl Parts {
    /// For each part, how many more calls it has room for.
    fn rooms(&self) -> Vec<(NotAccepting, usize)> {
        let calls = self.calls.live();
        let asks = self.ask.as_ref().map_or(0, |ask| *ask.asks.borrow());
        let (free, lent) = (self.ports.free(), self.ports.lent().saturating_sub(asks));
        let streams =
            if calls == 0 { STREAMS } else { lent.div_ceil(calls).clamp(1, limit::STREAMS_PER_CALL) };
        let spills = self.spills && self.spool.takes_packed();
        let spool = match self.spool.refuses() {
            None => (NotAccepting::Spool, usize::MAX),
            Some(Refusal::Cap { .. }) => (NotAccepting::Spool, 0),
            Some(Refusal::Disk { .. }) => (NotAccepting::Disk, 0),
            Some(Refusal::Unwritable) => (NotAccepting::Unwritable, 0),
        };
        let mut rooms = vec![
            spool,
            (NotAccepting::Ports, free / streams),
            (NotAccepting::Engine, self.engine.condition().room(spills)),
        ];
        rooms.extend(memory::available_bytes().map(|bytes| {
            (NotAccepting::Memory, (bytes.saturating_sub(MEMORY_RESERVE_BYTES) / CALL_BYTES) as usize)
        }));
        rooms.extend(process::open_files().map(|(open, most)| {
            let left = most.saturating_sub(open + DESCRIPTORS_RESERVE);
            (NotAccepting::Descriptors, (left / (DESCRIPTORS_A_STREAM * streams as u64)) as usize)
        }));
        if let Some(sip) = &self.sip {
            let sessions = sip.stats.borrow().sessions as usize;
            let theirs = lent.saturating_sub(self.calls.streams_of_clients());
            rooms.push((NotAccepting::SipSessions, sip.sessions_max.saturating_sub(sessions)));
            rooms.push((NotAccepting::SipStreams, sip.streams_max.saturating_sub(theirs) / streams));
        }
        rooms
    }
}

/// Decides whether the recorder is full. What became full stays so for a while, and until there is room for several
/// calls, so that senders are not sent away and back with every call.
#[derive(Debug, Default)]
pub struct Fullness {
    full: Option<(NotAccepting, Instant)>,
}

impl Fullness {
    /// What is used up, by the `rooms` that parts have beside `calls` in progress.
    fn look(&mut self, rooms: &[(NotAccepting, usize)], calls: usize, now: Instant) -> Option<NotAccepting> {
        let least = match self.full {
            Some((_, since)) if now.duration_since(since) < HOLD => usize::MAX,
            Some(_) => (calls / ROOM_AGAIN).max(1),
            None => 1,
        };
        let tight = rooms.iter().filter(|(_, room)| *room < least).min_by_key(|(_, room)| *room);
        let reason = tight.map(|(part, room)| match self.full {
            // What made it full, while it is not free of that.
            Some((before, _)) if *room > 0 => before,
            _ => *part,
        });
        match (self.full, reason) {
            (None, Some(reason)) => {
                tracing::warn!(reason = reason.name(), calls, "full: no more calls fit; {}", reason.detail());
                self.full = Some((reason, now));
            }
            (Some((_, since)), Some(reason)) => self.full = Some((reason, since)),
            (Some((before, _)), None) => {
                tracing::info!(reason = before.name(), calls, "calls fit again");
                self.full = None;
            }
            (None, None) => {}
        }
        reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use NotAccepting::{Engine as Load, Ports};

    /// Looks every second at what is given; what it says each time.
    fn looks(rooms: &[[usize; 2]], calls: usize) -> Vec<Option<NotAccepting>> {
        let (mut fullness, mut now) = (Fullness::default(), Instant::now());
        let look = |&[ports, load]: &[usize; 2]| {
            now += Duration::from_secs(1);
            fullness.look(&[(Ports, ports), (Load, load)], calls, now)
        };
        rooms.iter().map(look).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_full_as_soon_as_one_part_is_and_says_which() {
        assert_eq!(looks(&[[1, usize::MAX], [0, 7], [0, 0]], 10), [None, Some(Ports), Some(Ports)]);
        assert_eq!(looks(&[[3, 0], [0, 1]], 10), [Some(Load), Some(Ports)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_comes_and_goes_at_the_limit_does_not_make_it_flap() {
        let mut rooms = vec![[0, 50]];
        (0..60).for_each(|second| rooms.push([second % 3, 50]));
        assert!(looks(&rooms, 100).iter().all(|full| *full == Some(Ports)), "less than a twentieth is free");
        // Five free again, for five seconds and longer.
        rooms.extend([[5, 50]; 2]);
        assert_eq!(looks(&rooms, 100).last(), Some(&None));
        // However few calls there are, it lasts for some seconds.
        let seen = looks(&[[0, 9], [1, 9], [1, 9], [1, 9], [1, 9], [1, 9], [1, 9]], 1);
        assert_eq!(seen.iter().filter(|full| full.is_some()).count(), 5);
    }
}
