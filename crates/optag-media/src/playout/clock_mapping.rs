//! Placement of packets in time. In: sequence numbers, RTP timestamps with their clock rate, durations and
//! arrivals. Out: positions on the [`axis`](crate::timebase), contiguous for continuous audio.
//!
//! A packet cannot arrive before its last sample was spoken, so the least observed delay is taken as the true
//! one and the rest as jitter. Slow drift of the sender's clock changes the least delay: in every window it
//! is compared with the current mapping, which follows in small steps.
//!
//! A sender's clock is trusted as far as durations and arrivals confirm it: packets in sequence do not
//! overlap, and follow one another directly where the timestamps contradict the arrivals (the clock jumps,
//! stops, or counts at a rate other than the declared one; a constant ratio is remembered). If all packets in
//! sequence are late by the same amount, the sender had stopped: the mapping moves at once.

mod clock;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::de::{Error as _, IntoDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use crate::playout::clock_mapping::clock::Clock;
use crate::timebase::AXIS_HZ;
use optag_core::clock::MonoTime;

/// Window for the least delay.
const WINDOW: Duration = Duration::from_secs(2);
/// Previous windows whose least delay still bounds when a sample can have been spoken.
const EARLIER: usize = 4;
/// Difference that the mapping corrects at the end of a window. Units: ns.
const STEP_NS: i64 = 4_000_000;
/// How far ahead of its arrival a packet may be placed before the mapping follows at once. Units: ns.
const AHEAD_NS: i64 = 20_000_000;
/// Distance from the arrival that is not delay but a different clock, after the sender or this program
/// restarted.
/// Units: ns.
const DOUBT_NS: i64 = 100_000_000;

/// Delay from which packets may belong to a sender that had stopped, if there was a pause or they can no
/// longer be placed. Units: ns.
const LATE_NS: i64 = 100_000_000;
const STOPPED: Duration = Duration::from_millis(80);
const TOO_LATE_NS: i64 = 240_000_000;
/// Maximum decrease of their delay in that time: a draining queue decreases faster. Units: ns.
const LEVEL_NS: i64 = 30_000_000;
/// How long only such packets must arrive before the mapping moves, and how long they wait for it.
const LATE_RUN: Duration = Duration::from_millis(80);
const LATE_WAIT: Duration = Duration::from_millis(120);
/// How much later packets may suddenly arrive because they were held back, rather than because nothing was
/// spoken. Units: of the axis (400 ms).
const HELD_BACK: i64 = 19_200;

/// Maximum distance of a saved offset from the machine's start. Units: ns (18 years).
const MAX_OFFSET_NS: u64 = 1 << 59;

/// A packet as seen by the mapping.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Its extended sequence number.
    pub number: u64,
    /// Whether the sender's sequence numbers restarted with it.
    pub restarted: bool,
    /// RTP timestamp of its first sample.
    pub timestamp: u32,
    /// The clock's rate.
    pub clock_hz: u32,
    /// Duration of its audio; 0 if unknown. Units: of the axis.
    pub lasts: i64,
    /// When it arrived.
    pub arrival: MonoTime,
}

/// Packets from this number on are placed later than reported before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The first of them.
    pub from: u64,
    /// By this much. Units: of the axis.
    pub by: i64,
}

/// The mapping of one sender's timestamps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ClockMapping {
    mapping: Option<Mapping>,
    /// There was a pause in processing: the sender may have stopped its clock meanwhile.
    #[serde(skip)]
    doubtful: bool,
    /// Another sender took over: its clock is unrelated to the previous one's.
    #[serde(skip)]
    new_sender: bool,
    /// Arrival of the last packet, and the run of late packets in sequence.
    #[serde(skip)]
    heard_at: MonoTime,
    #[serde(skip)]
    late: Option<LateRun>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Mapping {
    #[serde(flatten)]
    clock: Clock,
    /// Monotonic time of axis position 0; negative if a sender has sent more than there was time for since
    /// the machine started. Units: ns.
    #[serde(deserialize_with = "possible_offset")]
    offset_ns: i64,
    /// Least offset in the current window, `i64::MAX` if there was none, and the start of the window.
    #[serde(deserialize_with = "possible_least")]
    least_ns: i64,
    window_from: MonoTime,
    /// Least offsets of the previous windows, `i64::MAX` where there was none.
    #[serde(skip, default = "none_earlier")]
    earlier_ns: [i64; EARLIER],
}

/// Consecutive packets that are all late.
#[derive(Clone, Copy, Debug)]
struct LateRun {
    from: u64,
    next: u64,
    since: MonoTime,
    first_ns: i64,
    least_ns: i64,
}

impl ClockMapping {
    /// Continues after a pause in processing.
    pub fn resume(mut self) -> Self {
        self.doubtful = true;
        self
    }

    /// Another sender took over: its packets are placed by arrival, after the previous sender's.
    pub fn start_anew(&mut self) {
        self.new_sender = true;
    }

    /// Places a packet. Returns its unwrapped timestamp on the axis, in which packets of continuous audio
    /// follow without gaps, and what moved because of it. A changed clock rate starts a new mapping at the
    /// arrival: senders that keep their SSRC count on across it in different ways. Source: RFC 7160 §3.2.
    pub fn place(&mut self, heard: &Heard) -> (i64, Option<Moved>) {
        let silent = heard.arrival.since(std::mem::replace(&mut self.heard_at, heard.arrival));
        // The packet's content was spoken before it was sent.
        let spoken_ns = heard.arrival.as_nanos() as i64 - ns(heard.lasts);
        let Some(mut map) = self.mapping else {
            self.mapping = Some(Mapping::new(heard, spoken_ns));
            return (0, None);
        };
        let new_sender = std::mem::take(&mut self.new_sender);
        let anew = new_sender | heard.restarted | std::mem::take(&mut self.doubtful);
        if !anew && heard.number <= map.clock.number() {
            if heard.number < map.clock.number() {
                self.late = None;
            }
            return (map.clock.before(heard), None);
        }
        let since_ns = spoken_ns - map.offset_ns;
        let delay = |ticks: i64| since_ns - ns(ticks);
        let arrived = axis(since_ns);
        let same_clock = !new_sender && heard.clock_hz == map.clock.rate_hz();
        let mut ticks = match (anew, same_clock) {
            (false, _) => map.clock.next(heard, same_clock, delay),
            (true, true) => map.clock.by_timestamp(heard.timestamp),
            (true, false) => arrived,
        };
        let fresh = (anew && !same_clock) || ((anew || !same_clock) && delay(ticks).abs() > DOUBT_NS);
        if fresh {
            ticks = arrived;
        } else if ticks > map.clock.end() && delay(ticks) < -AHEAD_NS {
            // More is missing by sequence numbers than there was time for.
            ticks = arrived.max(map.clock.end());
        }
        if fresh {
            map.forget(heard.arrival);
            self.late = None;
        }
        let moved = if fresh { None } else { self.late_by(heard, delay(ticks), silent) };
        if let Some(moved) = moved {
            ticks += moved.by;
            map.move_by(moved.by, heard.arrival);
        }
        map.clock.take(heard, ticks);
        if heard.lasts > 0 {
            map.follow(spoken_ns - ns(ticks), heard.arrival);
        }
        self.mapping = Some(map);
        (ticks, moved)
    }

    /// The sequence number from which packets must wait because their placement is still undecided.
    pub fn undecided(&self, now: MonoTime) -> u64 {
        self.late.filter(|run| now.since(run.since) < LATE_WAIT).map_or(u64::MAX, |run| run.from)
    }

    /// Placement of a timestamp of another payload type of the same sender, by the audio's clock; `None` if
    /// it is too far from the audio's own timestamps.
    pub fn beside(&self, timestamp: u32) -> Option<i64> {
        let clock = self.mapping?.clock;
        let ticks = clock.by_timestamp(timestamp);
        ((ticks - clock.last()).abs() <= AXIS_HZ.into()).then_some(ticks)
    }

    /// The RTP timestamp of an unwrapped one slightly before the last.
    pub fn raw(&self, ticks: i64) -> u32 {
        self.mapping.map_or(0, |map| map.clock.raw(ticks))
    }

    /// Fixes the mapping at the least delay so far: called when positions are first needed.
    pub fn settle(&mut self) {
        if let Some(map) = &mut self.mapping {
            // Not based on offsets from before the sender stopped.
            let close = |earlier: &i64| map.offset_ns.saturating_sub(*earlier) < AHEAD_NS;
            let least = map.earlier_ns.into_iter().filter(close).fold(map.least_ns, i64::min);
            map.offset_ns = map.offset_ns.min(least);
        }
    }

    /// How much earlier than its position a sample may have been spoken, according to the least delay of the
    /// last ten seconds. Units: of the axis.
    pub fn slack(&self) -> i64 {
        let late_ns = self.mapping.map_or(0, |map| map.offset_ns.saturating_sub(map.least_known_ns()));
        if late_ns > 0 { axis(late_ns) + 1 } else { 0 }
    }

    /// Position of an unwrapped timestamp relative to `zero`, rounded down; negative if earlier. Units: of
    /// the axis.
    pub fn position(&self, ticks: i64, zero: MonoTime) -> i64 {
        let offset_ns = self.mapping.map_or(0, |map| map.offset_ns);
        ticks + axis(offset_ns - zero.as_nanos() as i64)
    }

    /// Consecutive packets that are late by no less than the first, for some time, show that their sender had
    /// stopped and continues its timestamps as if it had not.
    fn late_by(&mut self, heard: &Heard, delay_ns: i64, silent: Duration) -> Option<Moved> {
        if heard.lasts == 0 {
            return None;
        }
        let same = |run: &LateRun| run.next == heard.number && delay_ns + LEVEL_NS >= run.first_ns;
        let known = self.late.take().filter(same);
        let begins = silent >= STOPPED || delay_ns >= TOO_LATE_NS;
        if delay_ns < LATE_NS || known.is_none() && !begins {
            return None;
        }
        let mut run = known.unwrap_or(LateRun {
            from: heard.number,
            next: heard.number,
            since: heard.arrival,
            first_ns: delay_ns,
            least_ns: delay_ns,
        });
        run.next += 1;
        run.least_ns = run.least_ns.min(delay_ns);
        if heard.arrival.since(run.since) < LATE_RUN {
            self.late = Some(run);
            return None;
        }
        Some(Moved { from: run.from, by: axis(run.least_ns) })
    }
}

impl Mapping {
    fn new(heard: &Heard, spoken_ns: i64) -> Self {
        Self {
            clock: Clock::new(heard),
            offset_ns: spoken_ns,
            least_ns: spoken_ns,
            window_from: heard.arrival,
            earlier_ns: none_earlier(),
        }
    }

    fn least_known_ns(&self) -> i64 {
        self.earlier_ns.iter().fold(self.least_ns, |least, &earlier| least.min(earlier))
    }

    /// The following packets have a different delay.
    fn forget(&mut self, now: MonoTime) {
        (self.least_ns, self.window_from, self.earlier_ns) = (i64::MAX, now, none_earlier());
    }

    /// The following packets are placed later by this much for the same timestamps; if it is little, they may
    /// still have been spoken earlier.
    fn move_by(&mut self, by: i64, now: MonoTime) {
        if by > HELD_BACK {
            return self.forget(now);
        }
        self.earlier_ns[0] = self.earlier_ns[0].min(self.least_ns);
        for earlier in self.earlier_ns.iter_mut().filter(|earlier| **earlier != i64::MAX) {
            *earlier -= ns(by);
        }
        (self.least_ns, self.window_from) = (i64::MAX, now);
    }

    /// Updates the mapping with a packet's offset.
    fn follow(&mut self, offset_ns: i64, arrival: MonoTime) {
        self.least_ns = self.least_ns.min(offset_ns);
        if offset_ns - self.offset_ns < -AHEAD_NS {
            self.offset_ns = offset_ns;
        }
        if arrival.since(self.window_from) >= WINDOW {
            if (self.least_ns - self.offset_ns).abs() >= STEP_NS {
                self.offset_ns = self.least_ns;
            }
            self.earlier_ns.rotate_right(1);
            self.earlier_ns[0] = self.least_ns;
            (self.least_ns, self.window_from) = (i64::MAX, arrival);
        }
    }
}

/// Errors: also for offsets that no mapping here can have, which would overflow later.
fn possible_offset<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let offset_ns = i64::deserialize(from)?;
    if offset_ns.unsigned_abs() < MAX_OFFSET_NS {
        return Ok(offset_ns);
    }
    Err(D::Error::custom("impossible offset of a media clock"))
}

/// The same for one that may be unknown: `i64::MAX`.
fn possible_least<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let least_ns = i64::deserialize(from)?;
    if least_ns == i64::MAX { Ok(least_ns) } else { possible_offset(least_ns.into_deserializer()) }
}

fn none_earlier() -> [i64; EARLIER] {
    [i64::MAX; EARLIER]
}

/// Units of the axis to ns; covers a few months.
fn ns(ticks: i64) -> i64 {
    ticks * 62_500 / 3
}

/// ns to units of the axis, rounded down.
fn axis(ns: i64) -> i64 {
    (ns * 3).div_euclid(62_500)
}
