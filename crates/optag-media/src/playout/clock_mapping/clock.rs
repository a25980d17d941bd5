//! A sender's media clock, as far as it is confirmed. In: timestamps, sequence numbers, durations. Out:
//! unwrapped timestamps on the axis, in which audio in sequence never overlaps.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::playout::clock_mapping::Heard;
use crate::timebase::{AXIS_HZ, per_sample};

/// Number of consecutive packets with the same wrong step from which the clock rate is inferred.
const PROVED: u8 = 4;
/// Maximum ratio of a true tick to the declared one, in either direction.
const RATIO: i64 = 8;
/// Minimum difference from a packet's duration that is not timestamp inaccuracy. Units: of the axis (10 ms).
const INEXACT: i64 = 480;
/// Slowest clock of any codec here. Units: Hz.
const MIN_HZ: u32 = 8_000;
/// Maximum packet duration, and maximum step between two, accepted in a saved clock. Units: of the axis (1
/// min).
const MAX_SPAN: i64 = 60 * AXIS_HZ as i64;
/// How far back an overtaken packet may be. Units: of the axis (3 s).
const BACK: i64 = 3 * AXIS_HZ as i64;

/// True duration of a unit of the declared clock, in units of the axis.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ratio {
    up: i64,
    down: i64,
}

impl Default for Ratio {
    fn default() -> Self {
        Self { up: 1, down: 1 }
    }
}

impl Ratio {
    fn is(self, other: Self) -> bool {
        self.up * other.down == other.up * self.down
    }
}

/// The clock, with the placement of the newest packet.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Clock {
    /// The newest packet's timestamp and its rate, and the same on the axis, unwrapped and with jumps
    /// removed.
    last_raw: u32,
    clock_hz: u32,
    last_ticks: i64,
    #[serde(default)]
    last_number: u64,
    /// Duration of its audio.
    #[serde(default)]
    last_lasts: i64,
    /// Inaccuracy of its timestamp.
    #[serde(default)]
    inexact: i64,
    #[serde(default)]
    ratio: Ratio,
    /// A candidate for the true ratio, and the number of consecutive packets that confirm it.
    #[serde(skip)]
    supposed: (Ratio, u8),
}

impl Serialize for Clock {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, to)
    }
}

impl<'de> Deserialize<'de> for Clock {
    /// Errors: also for values that no clock here can have, which would overflow later.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let clock = Self::deserialize(from)?;
        if clock.is_possible() { Ok(clock) } else { Err(D::Error::custom("impossible media clock")) }
    }
}

impl Clock {
    fn is_possible(&self) -> bool {
        let spans = 1..=MAX_SPAN;
        (MIN_HZ..=AXIS_HZ).contains(&self.clock_hz)
            && spans.contains(&self.ratio.up)
            && spans.contains(&self.ratio.down)
            && (0..=MAX_SPAN).contains(&self.last_lasts)
            && self.inexact.unsigned_abs() <= INEXACT as u64
            && self.last_ticks.unsigned_abs() < 1 << 48
            && self.last_number < 1 << 48
    }

    pub(super) fn new(heard: &Heard) -> Self {
        Self {
            last_raw: heard.timestamp,
            clock_hz: heard.clock_hz,
            last_ticks: 0,
            last_number: heard.number,
            last_lasts: heard.lasts,
            inexact: 0,
            ratio: Ratio::default(),
            supposed: (Ratio::default(), 0),
        }
    }

    /// Sequence number of the newest packet.
    pub(super) fn number(&self) -> u64 {
        self.last_number
    }

    /// Its unwrapped timestamp.
    pub(super) fn last(&self) -> i64 {
        self.last_ticks
    }

    /// End of its audio.
    pub(super) fn end(&self) -> i64 {
        self.last_ticks + self.last_lasts
    }

    /// The declared rate. Units: Hz.
    pub(super) fn rate_hz(&self) -> u32 {
        self.clock_hz
    }

    /// Placement of a timestamp relative to the newest packet's.
    pub(super) fn by_timestamp(&self, timestamp: u32) -> i64 {
        self.last_ticks + self.inexact + self.step(timestamp) * self.ratio.up / self.ratio.down
    }

    /// The timestamp of a position slightly before the newest packet.
    pub(super) fn raw(&self, ticks: i64) -> u32 {
        let back = (self.last_ticks - ticks) * self.ratio.down / self.ratio.up / per_sample(self.clock_hz);
        self.last_raw.wrapping_sub(back as u32)
    }

    /// Placement of the next packet, with `delay` giving its lateness at a position: directly after the last
    /// one, or at its timestamp if its arrival confirms that.
    pub(super) fn next(&mut self, heard: &Heard, same_clock: bool, delay: impl Fn(i64) -> i64) -> i64 {
        let missing = (heard.number - self.last_number - 1) as i64;
        let each = if self.last_lasts > 0 { self.last_lasts } else { heard.lasts };
        let behind = self.end() + missing * each;
        let told = self.by_timestamp(heard.timestamp);
        let off = told - behind;
        if !same_clock {
            self.inexact = 0;
            return behind;
        }
        if off.abs() < (each / 2).clamp(1, INEXACT) {
            self.inexact = off;
            return behind;
        }
        self.inexact = 0;
        if told > self.end() - INEXACT && delay(told).abs() < delay(behind).abs() {
            return told.max(self.end());
        }
        if missing == 0 {
            self.suppose(self.step(heard.timestamp));
        }
        behind
    }

    /// Placement of a packet that the newest one overtook.
    pub(super) fn before(&self, heard: &Heard) -> i64 {
        let back = (self.last_number - heard.number) as i64;
        let counted = self.last_ticks - back * heard.lasts;
        let told = self.by_timestamp(heard.timestamp);
        let is_plain = (told - counted).abs() < INEXACT.min(heard.lasts / 2);
        let may_be = (self.last_ticks - BACK..=self.last_ticks - heard.lasts).contains(&told);
        if may_be && !is_plain && heard.clock_hz == self.clock_hz { told } else { counted }
    }

    /// Makes this packet, placed there, the newest.
    pub(super) fn take(&mut self, heard: &Heard, ticks: i64) {
        self.last_raw = heard.timestamp;
        if heard.clock_hz != self.clock_hz {
            (self.clock_hz, self.ratio, self.supposed.1) = (heard.clock_hz, Ratio::default(), 0);
        }
        self.last_ticks = ticks;
        self.last_number = heard.number;
        self.last_lasts = heard.lasts;
    }

    /// The step from the newest packet to a timestamp, at the declared rate.
    fn step(&self, timestamp: u32) -> i64 {
        i64::from(timestamp.wrapping_sub(self.last_raw) as i32) * per_sample(self.clock_hz)
    }

    /// A packet's duration contradicts the step to the next one: if that recurs with the same ratio, the
    /// clock counts at a rate other than the declared one.
    fn suppose(&mut self, step: i64) {
        let ratio = Ratio { up: self.last_lasts, down: step };
        if ratio.up <= 0 || !(ratio.up..=ratio.up * RATIO * RATIO).contains(&(step * RATIO)) {
            self.supposed.1 = 0;
            return;
        }
        let (supposed, packets) = self.supposed;
        self.supposed = (ratio, if supposed.is(ratio) { packets.saturating_add(1) } else { 1 });
        if self.supposed.1 >= PROVED {
            self.ratio = ratio;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_clock_that_cannot_be_is_refused() {
        let heard = Heard {
            timestamp: 7,
            clock_hz: 8_000,
            number: 3,
            lasts: 960,
            restarted: false,
            arrival: optag_core::clock::MonoTime::default(),
        };
        let saved = serde_json::to_value(Clock::new(&heard)).unwrap();
        assert!(serde_json::from_value::<Clock>(saved.clone()).is_ok());
        let impossible = [
            ("clock_hz", serde_json::json!(0)),
            ("clock_hz", serde_json::json!(1)),
            ("clock_hz", serde_json::json!(u32::MAX)),
            ("ratio", serde_json::json!({"up": 0, "down": 1})),
            ("ratio", serde_json::json!({"up": 1, "down": 0})),
            ("ratio", serde_json::json!({"up": i64::MAX, "down": 1})),
            ("last_ticks", serde_json::json!(i64::MIN)),
            ("last_lasts", serde_json::json!(i64::MAX)),
            ("inexact", serde_json::json!(i64::MIN)),
            ("last_number", serde_json::json!(u64::MAX)),
        ];
        for (field, value) in impossible {
            let mut changed = saved.clone();
            changed[field] = value.clone();
            assert!(serde_json::from_value::<Clock>(changed).is_err(), "{field} {value}");
        }
    }
}
