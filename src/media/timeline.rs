//! Where a packet's first sample lies in time. In: RTP timestamps with their clock rate and
//! arrival. Out: positions on the [`axis`](super::axis), contiguous as long as the timestamps are.
//!
//! A packet cannot arrive before it was spoken, so the least delay seen is the truth and the
//! rest is jitter. Slow drift of the sender's clock moves that least delay: every window it is
//! compared with the mapping in use, which follows in small steps. A timestamp that is far
//! from its arrival starts a new mapping there: jumps cost nothing and fill nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::axis::{AXIS_HZ, per_sample};
use crate::base::clock::MonoTime;

/// Span over which the least delay is looked for.
const WINDOW: Duration = Duration::from_secs(2);
/// Difference that the mapping follows at a window's end. Units: ns.
const STEP_NS: i64 = 4_000_000;
/// How far ahead of its arrival a packet may lie before the mapping follows at once. Units: ns.
const AHEAD_NS: i64 = 20_000_000;
/// Distance from the arrival that is no delay but another clock. Units: ns.
const JUMP_NS: i64 = 1_000_000_000;

/// The same for the first packet after nobody listened for a while. Units: ns.
const DOUBT_NS: i64 = 100_000_000;

/// The mapping of one sender's timestamps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Timeline {
    mapping: Option<Mapping>,
    /// Nobody listened for a while: the sender may have stopped its clock meanwhile.
    #[serde(skip)]
    doubtful: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Mapping {
    /// Last timestamp and its clock, and the same on the axis, unwrapped and with jumps taken out.
    last_raw: u32,
    clock_hz: u32,
    last_ticks: i64,
    /// Monotonic time of axis position 0. Units: ns.
    offset_ns: i64,
    /// Least offset in the window so far, and when the window began.
    least_ns: i64,
    window_from: MonoTime,
}

impl Timeline {
    /// The mapping goes on after nobody listened for a while.
    pub fn resume(mut self) -> Self {
        self.doubtful = true;
        self
    }

    /// Takes a packet's timestamp. Returns it unwrapped and on the axis: there, later packets of
    /// unbroken audio follow without holes. Another clock rate than before starts a new mapping
    /// at the arrival. Source: RFC 7160 §4.
    pub fn unwrap(&mut self, timestamp: u32, clock_hz: u32, arrival: MonoTime) -> i64 {
        let arrival_ns = arrival.as_nanos() as i64;
        let Some(mut map) = self.mapping else {
            self.mapping = Some(Mapping {
                last_raw: timestamp,
                clock_hz,
                last_ticks: 0,
                offset_ns: arrival_ns,
                least_ns: arrival_ns,
                window_from: arrival,
            });
            return 0;
        };
        let step = i64::from(timestamp.wrapping_sub(map.last_raw) as i32) * per_sample(clock_hz);
        let mut ticks = map.last_ticks + step;
        let mut delay_ns = arrival_ns - ns(ticks) - map.offset_ns;
        let jump_ns = if std::mem::take(&mut self.doubtful) { DOUBT_NS } else { JUMP_NS };
        if delay_ns.abs() > jump_ns || clock_hz != map.clock_hz {
            // Another clock: this packet lies where it arrived, and those after it follow.
            ticks += delay_ns / 1_000 * i64::from(AXIS_HZ) / 1_000_000;
            delay_ns = arrival_ns - ns(ticks) - map.offset_ns;
        }
        map.clock_hz = clock_hz;
        map.last_raw = timestamp;
        map.last_ticks = ticks;
        let offset_ns = map.offset_ns + delay_ns;
        map.least_ns = map.least_ns.min(offset_ns);
        if delay_ns < -AHEAD_NS {
            map.offset_ns = offset_ns;
        }
        if arrival.since(map.window_from) >= WINDOW {
            if (map.least_ns - map.offset_ns).abs() >= STEP_NS {
                map.offset_ns = map.least_ns;
            }
            map.window_from = arrival;
            map.least_ns = i64::MAX;
        }
        self.mapping = Some(map);
        ticks
    }

    /// Where a timestamp lies that another payload type of the same sender carries, by the audio's
    /// clock; `None` where it is too far from the audio's own to be told by it.
    pub fn beside(&self, timestamp: u32) -> Option<i64> {
        let map = self.mapping?;
        let step = i64::from(timestamp.wrapping_sub(map.last_raw) as i32) * per_sample(map.clock_hz);
        (step.abs() <= AXIS_HZ.into()).then_some(map.last_ticks + step)
    }

    /// The timestamp on the wire of an unwrapped one that lies a little before the last.
    pub fn raw(&self, ticks: i64) -> u32 {
        self.mapping.map_or(0, |map| {
            let back = (map.last_ticks - ticks) / per_sample(map.clock_hz);
            map.last_raw.wrapping_sub(back as u32)
        })
    }

    /// Settles on the least delay seen so far: called when positions are first needed.
    pub fn settle(&mut self) {
        if let Some(map) = &mut self.mapping {
            map.offset_ns = map.offset_ns.min(map.least_ns);
        }
    }

    /// Position of an unwrapped timestamp after `zero`; negative before. Units: of the axis.
    pub fn position(&self, ticks: i64, zero: MonoTime) -> i64 {
        let offset_ns = self.mapping.map_or(0, |map| map.offset_ns);
        let ahead_ns = i128::from(offset_ns - zero.as_nanos() as i64) * i128::from(AXIS_HZ);
        ticks + ((ahead_ns + 500_000_000).div_euclid(1_000_000_000)) as i64
    }

    /// The last unwrapped timestamp.
    pub fn last(&self) -> i64 {
        self.mapping.map_or(0, |map| map.last_ticks)
    }
}

fn ns(ticks: i64) -> i64 {
    (i128::from(ticks) * 1_000_000_000 / i128::from(AXIS_HZ)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: MonoTime = MonoTime::from_nanos(10_000_000_000);

    fn at(ms: f64) -> MonoTime {
        MonoTime::from_nanos(10_000_000_000 + (ms * 1e6) as u64)
    }

    #[test]
    fn jitter_does_not_move_positions() {
        let mut line = Timeline::default();
        let mut positions = Vec::new();
        for n in 0..500u32 {
            let ticks = line.unwrap(
                (u32::MAX - 3_000).wrapping_add(n * 160),
                8_000,
                at(f64::from(n) * 20.0 + f64::from(n * 7 % 13)),
            );
            positions.push(line.position(ticks, ZERO));
        }
        assert!(positions.windows(2).all(|pair| pair[1] - pair[0] == 960));
        assert!(positions[0].abs() <= 48, "{}", positions[0]);
    }

    #[test]
    fn a_late_first_packet_is_corrected_by_settling() {
        let mut line = Timeline::default();
        let first = line.unwrap(0, 8_000, at(15.0));
        line.unwrap(160, 8_000, at(20.0));
        line.settle();
        assert_eq!(line.position(first, ZERO), 0);
    }

    #[test]
    fn an_hour_of_drift_stays_within_a_few_milliseconds() {
        for ppm in [-200.0, 200.0] {
            let mut line = Timeline::default();
            let mut last = 0;
            for n in 0..180_000u32 {
                let spoken_ms = f64::from(n) * 20.0 * (1.0 + ppm / 1e6);
                last = line.unwrap(n.wrapping_mul(160), 8_000, at(spoken_ms + f64::from(n * 7 % 5)));
            }
            let end_ms = line.position(last, ZERO) as f64 / 48.0;
            let true_ms = 179_999.0 * 20.0 * (1.0 + ppm / 1e6);
            assert!((end_ms - true_ms).abs() < 6.0, "{ppm} ppm: {end_ms} for {true_ms}");
        }
    }

    #[test]
    fn a_jump_of_ten_hours_lies_where_it_arrived() {
        let mut line = Timeline::default();
        line.unwrap(0, 8_000, at(0.0));
        let before = line.unwrap(160, 8_000, at(20.0));
        let after = line.unwrap(160 + 10 * 3_600 * 8_000, 8_000, at(40.0));
        assert!((line.position(after, ZERO) - line.position(before, ZERO) - 960).abs() <= 6);
        let next = line.unwrap(320 + 10 * 3_600 * 8_000, 8_000, at(60.0));
        assert_eq!(next - after, 960);
    }

    #[test]
    fn after_a_restart_a_clock_that_ran_on_is_followed_and_one_that_stopped_is_not() {
        for (ran_on, expected) in [(true, 43_200), (false, 43_200)] {
            let mut line = Timeline::default();
            let before = line.unwrap(0, 8_000, at(0.0));
            let mut line = line.resume();
            let timestamp = if ran_on { 160 * 45 } else { 160 };
            let after = line.unwrap(timestamp, 8_000, at(900.0));
            assert!((after - before - expected).abs() <= 48, "{}", after - before);
            assert_eq!(line.unwrap(timestamp + 160, 8_000, at(920.0)) - after, 960);
        }
    }

    #[test]
    fn a_silence_by_timestamp_keeps_its_length() {
        let mut line = Timeline::default();
        let one = line.unwrap(0, 8_000, at(0.0));
        let two = line.unwrap(8_000 * 600, 8_000, at(600_000.0));
        assert_eq!(line.position(two, ZERO) - line.position(one, ZERO), 48_000 * 600);
    }

    #[test]
    fn another_clock_rate_goes_on_where_its_packets_arrive() {
        let mut line = Timeline::default();
        line.unwrap(0, 8_000, at(0.0));
        let before = line.unwrap(160, 8_000, at(20.0));
        let after = line.unwrap(9_000_000, 48_000, at(40.0));
        assert!((after - before - 960).abs() <= 6);
        assert_eq!(line.unwrap(9_000_960, 48_000, at(60.0)) - after, 960);
    }
}
