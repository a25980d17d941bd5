//! Continuity of a sender's stream. In: its packets, with their arrivals. Out: how many of them followed one
//! another, and for how long it has carried audio.
//!
//! Packets may be reordered, duplicated or lost; a jump restarts the run. Time is that of arrivals: ten
//! thousand packets in a second carry one second. Source: RFC 3550 appendix A.1 (probation, restarts).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use optag_core::clock::MonoTime;

/// How far a packet's sequence number may be ahead of the run or behind it. Source: RFC 3550 A.1, MAX_DROPOUT
/// and MAX_MISORDER.
const AHEAD: u16 = 100;
const BEHIND: u16 = 32;
/// Longest time between two packets that counts as carrying audio: twice the longest packets in use.
const STEP: Duration = Duration::from_millis(120);
/// A pause of this length reduces the carried time.
const PAUSE: Duration = Duration::from_millis(300);
/// How much faster than real time media may run: clock rates are misdeclared by less.
const FASTER: u32 = 4;
/// Media that may arrive at once, from a draining buffer.
const BURST: Duration = Duration::from_millis(500);

/// The position of a packet in a stream.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Its arrival.
    pub at: MonoTime,
    /// Its sequence number.
    pub sequence: u16,
    /// Its timestamp. Units: RTP ticks.
    pub timestamp: u32,
    /// Clock of the timestamp. Units: Hz.
    pub clock_hz: u32,
    /// Whether it carries audio (or comfort noise) rather than an event.
    pub audio: bool,
}

/// A sender's run of packets. A new process restarts the run but keeps the carried time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Continuity {
    #[serde(skip)]
    highest: u16,
    /// Bit n: sequence number `highest - n` was received.
    #[serde(skip)]
    seen: u64,
    /// Packets of the run, without duplicates.
    #[serde(skip)]
    packets: u16,
    /// Start of the run.
    #[serde(skip)]
    began: MonoTime,
    #[serde(skip)]
    last: MonoTime,
    #[serde(skip)]
    first_audio: MonoTime,
    #[serde(skip)]
    last_audio: Option<MonoTime>,
    #[serde(skip)]
    timestamp: u32,
    /// Media time since `first_audio`.
    #[serde(skip)]
    media: Duration,
    carried: Duration,
}

impl Continuity {
    /// A sender's first packet.
    pub(super) fn new(step: Step) -> Self {
        Self {
            highest: step.sequence,
            seen: 1,
            packets: 1,
            began: step.at,
            last: step.at,
            first_audio: step.at,
            last_audio: step.audio.then_some(step.at),
            timestamp: step.timestamp,
            media: Duration::ZERO,
            carried: Duration::ZERO,
        }
    }

    /// A sender that has carried this much; for snapshots without these fields.
    pub(super) fn that_carried(carried: Duration) -> Self {
        Self { carried, ..Self::default() }
    }

    /// Adds another packet of the sender.
    pub(super) fn add(&mut self, step: Step) {
        let ahead = step.sequence.wrapping_sub(self.highest);
        let behind = self.highest.wrapping_sub(step.sequence);
        if (1..=AHEAD).contains(&ahead) {
            self.seen = self.seen.checked_shl(ahead.into()).unwrap_or(0) | 1;
            self.highest = step.sequence;
        } else if behind < BEHIND {
            if self.seen >> behind & 1 == 1 {
                return;
            }
            self.seen |= 1 << behind;
        } else {
            // A jump: the carried time is kept, but the run restarts.
            (self.highest, self.seen, self.packets, self.began) = (step.sequence, 1, 0, step.at);
        }
        self.packets = self.packets.saturating_add(1);
        if step.audio {
            self.carry(step);
        }
        self.last = step.at;
    }

    fn carry(&mut self, step: Step) {
        let forward = step.timestamp.wrapping_sub(self.timestamp);
        let gap = self.last_audio.map(|last| step.at.since(last));
        self.last_audio = Some(step.at);
        let Some(gap) = gap else {
            (self.timestamp, self.first_audio) = (step.timestamp, step.at);
            return;
        };
        if gap > PAUSE {
            self.carried = self.carried * 7 / 8;
        }
        if forward > i32::MAX as u32 {
            // Late: its time was counted with the packets that overtook it.
            return;
        }
        self.timestamp = step.timestamp;
        let media = Duration::from_micros(u64::from(forward) * 1_000_000 / u64::from(step.clock_hz.max(1)));
        if forward == 0 || media > gap * FASTER + BURST {
            return;
        }
        self.media += media;
        let lasted = step.at.since(self.first_audio);
        if gap <= STEP && self.packets > 1 && self.media <= lasted * FASTER + BURST {
            self.carried += gap;
        }
    }

    /// Packets of the run, without duplicates.
    pub(super) fn packets(&self) -> u16 {
        self.packets
    }

    /// Duration of the run.
    pub(super) fn lasts(&self) -> Duration {
        self.last.since(self.began)
    }

    /// Arrival of the last packet.
    pub(super) fn last(&self) -> MonoTime {
        self.last
    }

    /// Whether any audio was received.
    pub(super) fn has_audio(&self) -> bool {
        self.last_audio.is_some() || self.carried > Duration::ZERO
    }

    /// How long it has carried audio without a pause.
    pub(super) fn carried(&self) -> Duration {
        self.carried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(ms: u64, sequence: u16, timestamp: u32) -> Step {
        let at = MonoTime::from_nanos(ms * 1_000_000);
        Step { at, sequence, timestamp, clock_hz: 8_000, audio: true }
    }

    #[test]
    fn order_repetition_and_loss_do_not_break_a_run() {
        let numbers = [65_534u16, 0, 65_535, 65_535, 1, 4, 3, 1, 60, 59];
        let mut run = Continuity::new(step(0, numbers[0], 0));
        for (n, sequence) in numbers.into_iter().enumerate().skip(1) {
            run.add(step(n as u64 * 20, sequence, n as u32 * 160));
        }
        assert_eq!(run.packets(), 8, "each number once");
        run.add(step(220, 5_000, 0));
        assert_eq!(run.packets(), 1, "a jump begins anew");
    }

    #[test]
    fn what_is_carried_is_time_and_not_packets() {
        let carried = |every_us: u64, ticks: u32, count: u16| {
            let mut run = Continuity::new(step(0, 0, 0));
            for n in 1..=count {
                let at = MonoTime::from_nanos(u64::from(n) * every_us * 1_000);
                run.add(Step { at, ..step(0, n, u32::from(n) * ticks) });
            }
            run.carried().as_millis()
        };
        assert_eq!(carried(20_000, 160, 50), 1_000);
        assert_eq!(carried(60_000, 480, 50), 3_000);
        assert_eq!(carried(20_000, 80, 50), 1_000, "a clock declared twice too fast");
        assert!(carried(50, 160, 20_000) < 100, "a flood in order");
        assert!(carried(2_500, 160, 4_000) < 150, "eight times as fast as time");
        assert_eq!(carried(400_000, 160, 200), 0, "a packet now and then");
        assert_eq!(carried(20_000, 0, 200), 0, "one timestamp");
    }

    #[test]
    fn pauses_cost_little_and_numbers_at_random_carry_nothing() {
        let mut run = Continuity::new(step(0, 0, 0));
        (1..=50u16).for_each(|n| run.add(step(u64::from(n) * 20, n, u32::from(n) * 160)));
        run.add(step(5_000, 51, 40_000));
        assert_eq!(run.carried().as_millis(), 875);
        let mut junk = Continuity::new(step(0, 0, 0));
        (1..=500u32).for_each(|n| junk.add(step(u64::from(n) * 20, (n * 9_973) as u16, n * 160)));
        assert_eq!((junk.packets(), junk.carried()), (1, Duration::ZERO));
    }

    #[test]
    fn pairs_now_and_then_never_carry_as_much_as_a_stream() {
        let mut run = Continuity::new(step(0, 0, 0));
        for n in 1..2_000u64 {
            let ms = n / 2 * 400 + n % 2 * 20;
            run.add(step(ms, n as u16, n as u32 * 160));
        }
        assert!(run.carried() < Duration::from_millis(200), "{:?}", run.carried());
    }
}
