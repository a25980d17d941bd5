//! Realistic senders and networks, seen by a mapping alone.

use super::*;

const ZERO: MonoTime = MonoTime::from_nanos(10_000_000_000);
const MS: i64 = 48;

/// A mapping that receives packets in sequence.
#[derive(Default)]
struct Line {
    timeline: ClockMapping,
    number: u64,
    lasts_ms: Option<i64>,
}

fn at(ms: f64) -> MonoTime {
    MonoTime::from_nanos(10_000_000_000 + (ms * 1e6) as u64)
}

impl Line {
    /// A packet in sequence that was spoken from `ms` on, and sent at its end.
    fn hear(&mut self, timestamp: u32, clock_hz: u32, ms: f64) -> i64 {
        self.number += 1;
        self.take(timestamp, clock_hz, ms, false).0
    }

    fn take(&mut self, timestamp: u32, clock_hz: u32, ms: f64, restarted: bool) -> (i64, Option<Moved>) {
        let lasts_ms = self.lasts_ms.unwrap_or(20);
        let (number, lasts) = (self.number, lasts_ms * MS);
        let arrival = at(ms + lasts_ms as f64);
        self.timeline.place(&Heard { number, restarted, timestamp, clock_hz, lasts, arrival })
    }

    /// Two seconds of ordinary audio.
    fn talk(&mut self) {
        for n in 0..100 {
            self.hear(n * 160, 8_000, f64::from(n) * 20.0);
        }
    }

    /// The position of the packet. Units: ms.
    fn place_ms(&mut self, timestamp: u32, ms: f64) -> f64 {
        let ticks = self.hear(timestamp, 8_000, ms);
        self.timeline.position(ticks, ZERO) as f64 / 48.0
    }
}

#[test]
fn jitter_does_not_move_positions() {
    let mut line = Line::default();
    let mut positions = Vec::new();
    for n in 0..500u32 {
        let ms = f64::from(n) * 20.0 + f64::from(n * 7 % 13);
        let ticks = line.hear((u32::MAX - 3_000).wrapping_add(n * 160), 8_000, ms);
        positions.push(line.timeline.position(ticks, ZERO));
    }
    assert!(positions.windows(2).all(|pair| pair[1] - pair[0] == 960));
    assert!(positions[0].abs() <= 48, "{}", positions[0]);
}

#[test]
fn a_packet_lies_where_its_last_sample_was_spoken_at_its_arrival() {
    for lasts_ms in [5, 10, 20, 30, 60, 120] {
        let mut line = Line { lasts_ms: Some(lasts_ms), ..Line::default() };
        for n in 0..100 {
            let placed = line.place_ms(n * lasts_ms as u32 * 8, f64::from(n) * lasts_ms as f64);
            assert_eq!(placed, f64::from(n) * lasts_ms as f64);
        }
    }
}

#[test]
fn a_late_first_packet_is_corrected_by_settling() {
    let mut line = Line::default();
    let first = line.hear(0, 8_000, 15.0);
    line.hear(160, 8_000, 20.0);
    assert_eq!(line.timeline.slack(), 15 * MS + 1, "until then it may be that much too late");
    line.timeline.settle();
    assert_eq!((line.timeline.position(first, ZERO), line.timeline.slack()), (0, 0));
}

#[test]
fn an_hour_of_drift_stays_within_a_few_milliseconds() {
    for ppm in [-200.0, 200.0] {
        let mut line = Line::default();
        let mut last = 0;
        for n in 0..180_000u32 {
            let spoken_ms = f64::from(n) * 20.0 * (1.0 + ppm / 1e6);
            last = line.hear(n.wrapping_mul(160), 8_000, spoken_ms + f64::from(n * 7 % 5));
        }
        let end_ms = line.timeline.position(last, ZERO) as f64 / 48.0;
        let true_ms = 179_999.0 * 20.0 * (1.0 + ppm / 1e6);
        assert!((end_ms - true_ms).abs() < 6.0, "{ppm} ppm: {end_ms} for {true_ms}");
    }
}

#[test]
fn a_clock_that_jumps_stands_still_or_goes_back_moves_nothing() {
    let hours = 10 * 3_600 * 8_000;
    for jump in [hours, 9_000, 800, 1 << 31, 0u32.wrapping_sub(hours), 0u32.wrapping_sub(800)] {
        let mut line = Line::default();
        for n in 0..200u32 {
            let jumped = if n >= 100 { jump } else { 0 };
            let placed = line.place_ms((n * 160).wrapping_add(jumped), f64::from(n) * 20.0);
            assert_eq!(placed, f64::from(n) * 20.0, "jump by {jump}, packet {n}");
        }
    }
    let mut line = Line::default();
    for n in 0..200u32 {
        let stopped = if (60..120).contains(&n) { 60 } else { n };
        assert_eq!(line.place_ms(stopped * 160, f64::from(n) * 20.0), f64::from(n) * 20.0, "packet {n}");
    }
}

#[test]
fn a_clock_of_another_rate_than_was_declared_is_told_by_the_lengths() {
    // Opus in mono at half speed, G.722 with the rate of its audio, others.
    for step in [20u32, 53, 80, 145, 176, 240, 320, 480, 960] {
        let mut line = Line::default();
        let mut worst = 0.0f64;
        for n in 0..400u32 {
            // A silence of 500 ms every 2 s, by the same clock.
            let frames = n + n / 100 * 25;
            let ms = f64::from(frames) * 20.0 + f64::from(n * 7 % 11);
            let placed = line.place_ms(frames * step, ms);
            worst = worst.max((placed - f64::from(frames) * 20.0).abs());
        }
        assert!(worst <= 20.0, "step {step}: {worst} ms off");
    }
}

#[test]
fn timestamps_that_are_a_little_off_leave_no_holes() {
    let mut line = Line::default();
    let mut last = None;
    for n in 0..500u32 {
        let off = [0, 8, 3, 16, 40, 0, 30][n as usize % 7];
        let ticks = line.hear(n * 160 + off, 8_000, f64::from(n) * 20.0);
        assert_eq!(ticks - last.unwrap_or(ticks - 960), 960, "packet {n}");
        last = Some(ticks);
    }
}

#[test]
fn a_sender_that_stopped_and_goes_on_as_if_it_had_not_lies_where_it_arrives() {
    for stall_ms in [240.0, 500.0, 900.0, 1_500.0, 40_000.0] {
        let mut line = Line::default();
        line.talk();
        let mut moved = None;
        for n in 100..120u32 {
            let ms = f64::from(n) * 20.0 + stall_ms;
            line.number += 1;
            let (ticks, by) = line.take(n * 160, 8_000, ms, false);
            if let Some(by) = by {
                assert_eq!(moved.replace(by), None);
            }
            match moved {
                Some(_) => assert_eq!(line.timeline.position(ticks, ZERO), (ms * 48.0) as i64),
                None => assert_eq!(line.timeline.undecided(at(ms)), 101, "they wait for it to be known"),
            }
        }
        assert_eq!(moved, Some(Moved { from: 101, by: (stall_ms * 48.0) as i64 }), "{stall_ms}");
        assert_eq!(line.timeline.undecided(at(99_000.0)), u64::MAX);
        let may_be_before = line.timeline.slack() >= (stall_ms * 48.0) as i64;
        assert_eq!(may_be_before, stall_ms < 400.0, "a path that holds packets back for longer is none");
    }
}

#[test]
fn a_queue_that_drains_moves_nothing() {
    let mut line = Line::default();
    line.talk();
    // 400 ms are queued and sent at five times their speed.
    for n in 100..150u32 {
        let (spoken, sent) = (f64::from(n) * 20.0, 2_400.0 + f64::from(n - 100) * 4.0);
        let placed = line.place_ms(n * 160, spoken.max(sent));
        assert_eq!(placed, spoken, "packet {n}");
    }
}

#[test]
fn one_late_packet_waits_no_longer_than_its_frames() {
    let mut line = Line::default();
    line.talk();
    line.hear(16_000, 8_000, 2_300.0);
    assert_eq!(line.timeline.undecided(at(2_320.0)), 101);
    assert_eq!(line.timeline.undecided(at(2_440.0)), u64::MAX);
}

#[test]
fn after_a_restart_a_clock_that_ran_on_is_followed_and_one_that_stopped_is_not() {
    for (ran_on, expected) in [(true, 43_200), (false, 43_200)] {
        let mut line = Line::default();
        let before = line.hear(0, 8_000, 0.0);
        let saved = serde_json::to_string(&line.timeline).unwrap();
        line.timeline = serde_json::from_str::<ClockMapping>(&saved).unwrap().resume();
        let timestamp = if ran_on { 160 * 45 } else { 160 };
        let after = line.hear(timestamp, 8_000, 900.0);
        assert!((after - before - expected).abs() <= 48, "{}", after - before);
        assert_eq!(line.hear(timestamp + 160, 8_000, 920.0) - after, 960);
    }
}

#[test]
fn more_audio_than_there_was_time_for_since_the_machine_started_is_placed() {
    let mut timeline = ClockMapping::default();
    let mut place = |number: u64, arrival: Duration| {
        let arrival = MonoTime::default() + arrival;
        let (timestamp, restarted) = (number as u32 * 160, false);
        timeline.place(&Heard { number, restarted, timestamp, clock_hz: 8_000, lasts: 20 * MS, arrival });
        timeline.settle();
        assert_eq!(timeline.slack(), 0, "{number}");
    };
    for number in 0..300 {
        place(number, Duration::from_millis(500 + number / 4));
    }
    // The window of the least delay ends: the current one is empty.
    place(300, Duration::from_millis(2_600));
}

#[test]
fn a_saved_mapping_that_cannot_be_is_refused() {
    let mut line = Line::default();
    line.talk();
    let saved = serde_json::to_value(&line.timeline).unwrap();
    let refused = |field: &str, value: i64| {
        let mut changed = saved.clone();
        assert!(changed["mapping"][field].is_i64(), "{field}");
        changed["mapping"][field] = value.into();
        serde_json::from_value::<ClockMapping>(changed).is_err()
    };
    for impossible in [i64::MIN, i64::MIN + 1, i64::MAX - 1, 1 << 60] {
        assert!(refused("offset_ns", impossible), "{impossible}");
        assert!(refused("least_ns", impossible), "{impossible}");
    }
    assert!(refused("offset_ns", i64::MAX));
    assert!(!refused("least_ns", i64::MAX), "no packet in this window");
    assert!(!refused("offset_ns", -5));
}

#[test]
fn a_sender_that_starts_anew_goes_on_at_its_arrival() {
    for (timestamp, clock_hz) in [(7, 8_000), (16_160, 8_000), (3_000_000_000, 48_000)] {
        let mut line = Line::default();
        line.talk();
        line.number += 2;
        let after = line.take(timestamp, clock_hz, 2_020.0, true).0;
        assert_eq!(line.timeline.position(after, ZERO), 2_020 * MS, "{timestamp}");
        let next = line.hear(timestamp + clock_hz / 50, clock_hz, 2_040.0);
        assert_eq!(next - after, 960, "{timestamp}");
    }
}

#[test]
fn a_silence_by_timestamp_keeps_its_length() {
    let mut line = Line::default();
    let one = line.hear(0, 8_000, 0.0);
    let two = line.hear(8_000 * 600, 8_000, 600_000.0);
    assert_eq!(line.timeline.position(two, ZERO) - line.timeline.position(one, ZERO), 48_000 * 600);
}

#[test]
fn another_clock_rate_goes_on_where_its_packets_arrive() {
    for later_ms in [0.0, 5_000.0] {
        let mut line = Line::default();
        line.hear(0, 8_000, 0.0);
        line.hear(160, 8_000, 20.0);
        let after = line.hear(9_000_000, 48_000, 40.0 + later_ms);
        assert_eq!(line.timeline.position(after, ZERO), ((40.0 + later_ms) * 48.0) as i64);
        assert_eq!(line.hear(9_000_960, 48_000, 60.0 + later_ms) - after, 960);
    }
}

#[test]
fn a_packet_that_was_overtaken_lies_before_the_one_that_overtook_it() {
    let mut line = Line { number: 1, ..Line::default() };
    let first = line.take(0, 8_000, 0.0, false).0;
    for (number, ms) in [(3, 40.0), (2, 45.0), (3, 46.0), (6, 100.0), (5, 101.0), (4, 102.0)] {
        line.number = number;
        let ticks = line.take((number as u32 - 1) * 160, 8_000, ms, false).0;
        assert_eq!(ticks - first, (number as i64 - 1) * 960);
    }
}
