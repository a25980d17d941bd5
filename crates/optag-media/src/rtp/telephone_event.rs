//! Key presses as named events. In: payloads of a telephone-event payload type. Out: one key per press.
//!
//! An event is identified by its RTP timestamp: its packets repeat and its end is sent three times, the
//! marker may be missing, and each is counted once. A press too long for the duration field continues in
//! segments with timestamps of their own. Sequence numbers are ignored: events may have their own, or
//! restart. Source: RFC 4733 §2.3, §2.5.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use optag_core::clock::MonoTime;

/// The keys of events 0 to 15. Source: RFC 4733 §3.2.
const KEYS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

/// Dynamic payload types. Source: RFC 3551 §6.
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

/// Maximum duration in a packet; a longer press continues in another segment that begins where this one ends.
/// Source: RFC 4733 §2.5.1.3.
const SEGMENT: u32 = 0xffff;

/// An event payload type, and the clock rate of its durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventFormat {
    /// 0 to 127.
    pub payload_type: u8,
    /// Units: Hz.
    pub clock_hz: u32,
}

/// One event packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelephoneEvent {
    /// Event code; 0 to 15 are keys.
    pub event: u8,
    /// Whether the press has ended.
    pub ended: bool,
    /// Power below 0 dBm0. Units: dB.
    pub volume_db: u8,
    /// Duration so far. Units: RTP ticks.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Parses the payload; `None` if it is too short. Anything after the first event (RFC 4733 §2.5.1.5
    /// allows none for keys) is ignored.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low] = *payload.first_chunk::<4>()?;
        Some(Self {
            event,
            ended: flags & 0x80 != 0,
            volume_db: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// Duration so far, at a clock rate of `clock_hz`.
    pub fn lasts(&self, clock_hz: u32) -> Duration {
        Duration::from_micros(u64::from(self.duration) * 1_000_000 / u64::from(clock_hz.max(1)))
    }

    /// The key, if the event is one.
    pub fn key(&self) -> Option<char> {
        KEYS.get(usize::from(self.event)).copied()
    }
}

/// Presses remembered besides the last one.
const EARLIER: usize = 3;
/// How long after the last packet of a press another one can still belong to it.
const SAME_PRESS: Duration = Duration::from_secs(3);
/// The same after its end was received: ends are repeated at once.
const SAME_END: Duration = Duration::from_secs(1);
/// Maximum distance between packets of a press whose sender advances the timestamp with each of them.
const STEPPED: Duration = Duration::from_millis(200);

/// A press, as far as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Press {
    timestamp: u32,
    event: TelephoneEvent,
    at: MonoTime,
}

impl Press {
    /// Whether a packet belongs to it: by its timestamp, or from a sender whose clock advances during a
    /// press.
    fn is(&self, at: MonoTime, timestamp: u32, event: TelephoneEvent) -> bool {
        let silent = at.since(self.at);
        if event.event != self.event.event {
            return false;
        }
        if timestamp == self.timestamp {
            return silent < if self.event.ended { SAME_END } else { SAME_PRESS };
        }
        let since = timestamp.wrapping_sub(self.timestamp);
        let goes_on = !self.event.ended && [u32::from(self.event.duration), SEGMENT].contains(&since);
        let longer = event.duration > self.event.duration && since <= u32::from(event.duration);
        let ends_again =
            event.ended && event.duration == self.event.duration && since <= u32::from(event.duration);
        goes_on && silent < SAME_PRESS || (!self.event.ended && longer || ends_again) && silent < STEPPED
    }
}

/// Distinguishes new presses from repeated packets. A press is identified by event and timestamp for as long
/// as its packets may arrive; a timestamp below the last one is a new press like any other, because senders
/// restart their clocks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventTracker {
    presses: [Option<Press>; 1 + EARLIER],
    /// The SSRC whose timestamps it tracks; `None`: that of the audio.
    ssrc: Option<u32>,
}

impl EventTracker {
    /// A tracker of one SSRC's events.
    pub fn of(ssrc: u32) -> Self {
        Self { ssrc: Some(ssrc), ..Self::default() }
    }

    /// Whether it tracks the events of this SSRC.
    pub fn is_of(&self, ssrc: u32) -> bool {
        self.ssrc.is_none_or(|known| known == ssrc)
    }

    /// Processes a packet's event; returns the key if the press is new.
    pub fn handle(&mut self, at: MonoTime, timestamp: u32, event: TelephoneEvent) -> Option<char> {
        let key = event.key()?;
        let known = |press: &&mut Press| press.is(at, timestamp, event);
        if let Some(press) = self.presses.iter_mut().flatten().find(known) {
            let same = timestamp == press.timestamp;
            let duration = if same { press.event.duration.max(event.duration) } else { event.duration };
            let ended = event.ended || same && press.event.ended;
            *press = Press { timestamp, event: TelephoneEvent { duration, ended, ..event }, at };
            return None;
        }
        self.presses.rotate_right(1);
        self.presses[0] = Some(Press { timestamp, event, at });
        Some(key)
    }
}

/// Finds the payload type of events that were not negotiated: two packets of one press, in a form that audio
/// never has, identify it.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnnamedEvents {
    first: Option<(u8, u32, TelephoneEvent)>,
    payload_type: Option<u8>,
}

impl UnnamedEvents {
    /// Whether a packet of an otherwise unknown payload type can be an event.
    pub fn can_be(payload_type: u8, payload: &[u8]) -> bool {
        let is_plain = |payload: &[u8; 4]| payload[1] & 0x40 == 0;
        let event = TelephoneEvent::parse(payload).filter(|event| event.duration > 0);
        DYNAMIC.contains(&payload_type)
            && payload.as_array().is_some_and(is_plain)
            && event.is_some_and(|event| event.key().is_some())
    }

    /// Processes such a packet; true if it is now known to be an event.
    pub fn is_known(&mut self, payload_type: u8, timestamp: u32, event: TelephoneEvent) -> bool {
        if self.payload_type == Some(payload_type) {
            return true;
        }
        let repeats = self.first.is_some_and(|(first_type, first_timestamp, first)| {
            (first_type, first_timestamp, first.event) == (payload_type, timestamp, event.event)
                && event.duration >= first.duration
        });
        self.first = Some((payload_type, timestamp, event));
        if repeats {
            self.payload_type = Some(payload_type);
        }
        repeats
    }
}

/// Feeds arbitrary bytes to parser and tracker; for fuzzing and its corpus.
pub fn exercise(bytes: &[u8]) {
    let mut tracker = EventTracker::default();
    for chunk in bytes.chunks(8) {
        if let (Some(at), Some(payload)) = (chunk.first_chunk::<4>(), chunk.get(4..))
            && let Some(event) = TelephoneEvent::parse(payload)
        {
            let timestamp = u32::from_be_bytes(*at);
            let now = MonoTime::from_nanos(u64::from(timestamp >> 8) * 1_000_000);
            tracker.handle(now, timestamp, event);
            assert_eq!(tracker.handle(now, timestamp, event), None, "a repeated packet is no new press");
            let mut unnamed = UnnamedEvents::default();
            let payload_type = at[0] & 0x7f;
            if UnnamedEvents::can_be(payload_type, payload) {
                assert!(!unnamed.is_known(payload_type, timestamp, event), "one packet names no type");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(code: u8, ended: bool, duration: u16) -> TelephoneEvent {
        TelephoneEvent { event: code, ended, volume_db: 10, duration }
    }

    #[test]
    fn a_payload_is_read_and_a_short_one_is_not() {
        assert_eq!(TelephoneEvent::parse(&[11, 0x8a, 3, 0x20]), Some(event(11, true, 800)));
        assert_eq!(TelephoneEvent::parse(&[11, 0x8a, 3]), None);
        assert_eq!(event(11, true, 0).key(), Some('#'));
        assert_eq!(event(16, true, 0).key(), None);
    }

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos((10_000 + ms) * 1_000_000)
    }

    /// Presses in packets that arrive every 20 ms: timestamp, whether it ended, duration.
    fn presses(tracker: &mut EventTracker, from_ms: u64, packets: &[(u32, bool, u16)]) -> usize {
        let packets = (0..).zip(packets);
        packets
            .filter_map(|(n, &(timestamp, ended, duration))| {
                tracker.handle(at(from_ms + n * 20), timestamp, event(5, ended, duration))
            })
            .count()
    }

    #[test]
    fn three_end_packets_and_a_lost_start_are_one_press() {
        let mut tracker = EventTracker::default();
        let pressed: Vec<_> =
            (0..3).filter_map(|n| tracker.handle(at(n), 1_000, event(1, true, 800))).collect();
        assert_eq!(pressed, ['1']);
        assert_eq!(tracker.handle(at(125), 2_000, event(1, false, 160)), Some('1'));
        assert_eq!(tracker.handle(at(130), 1_000, event(1, true, 800)), None, "late, of the first press");
        assert_eq!(tracker.handle(at(145), 2_000, event(1, false, 320)), None);
    }

    #[test]
    fn a_press_longer_than_the_duration_field_is_one_press() {
        let mut tracker = EventTracker::default();
        let whole =
            [(9, false, 400), (9, false, 0xffff), (9 + 0xffff, false, 400), (9 + 0xffff, true, 8_000)];
        assert_eq!(presses(&mut tracker, 0, &whole), 1);
        assert_eq!(presses(&mut tracker, 100, &[(9 + 0xffff, true, 8_000)]), 0, "its end comes again");
        // The packet with the longest duration is lost.
        let lossy = [(500_000, false, 60_000), (500_000 + 0xffff, false, 400)];
        assert_eq!(presses(&mut tracker, 50_000, &lossy), 1);
        assert_eq!(presses(&mut tracker, 62_500, &[(600_000, false, 400)]), 1, "the same key again");
    }

    #[test]
    fn presses_after_the_clock_started_anew_stood_still_or_stepped_back_count() {
        for later in [0u32, 1_000, 5_000, 80_000, 1 << 31] {
            let mut tracker = EventTracker::default();
            assert_eq!(presses(&mut tracker, 0, &[(80_000, false, 160), (80_000, true, 800)]), 1);
            let again = [(later, false, 160), (later, false, 320), (later, true, 480), (later, true, 480)];
            assert_eq!(presses(&mut tracker, 4_000, &again), 1, "{later}");
            assert_eq!(presses(&mut tracker, 8_000, &again), 1, "{later} twice");
        }
        let mut tracker = EventTracker::default();
        let keys = [(0, 70_000, 10), (400, 300, 9)];
        let heard =
            keys.map(|(ms, timestamp, code)| tracker.handle(at(ms), timestamp, event(code, true, 480)));
        assert_eq!(heard, [Some('*'), Some('9')], "the clock started anew between two keys");
    }

    #[test]
    fn a_sender_whose_clock_runs_on_in_a_press_presses_once() {
        let mut tracker = EventTracker::default();
        let packets: Vec<_> =
            (0..8).map(|n| (1_000 + n * 160, n > 4, (160 * (n + 1)).min(960) as u16)).collect();
        assert_eq!(presses(&mut tracker, 0, &packets), 1);
        assert_eq!(presses(&mut tracker, 400, &[(4_200, false, 160), (4_360, false, 320)]), 1);
    }

    #[test]
    fn a_type_that_nobody_named_is_known_by_two_packets_of_a_press() {
        assert!(UnnamedEvents::can_be(97, &[1, 10, 0, 160]));
        for (payload_type, payload) in [
            (8, &[1, 10, 0, 160][..]),
            (97, &[1, 10, 0, 160, 0]),
            (97, &[16, 10, 0, 160]),
            (97, &[1, 0x4a, 0, 160]),
            (97, &[1, 10, 0, 0]),
        ] {
            assert!(!UnnamedEvents::can_be(payload_type, payload), "{payload_type} {payload:?}");
        }
        let mut unnamed = UnnamedEvents::default();
        assert!(!unnamed.is_known(97, 800, event(1, false, 160)));
        assert!(!unnamed.is_known(97, 960, event(1, false, 160)), "another timestamp");
        assert!(!unnamed.is_known(98, 960, event(1, false, 320)), "another type");
        assert!(unnamed.is_known(98, 960, event(1, false, 480)));
        assert!(unnamed.is_known(98, 9_600, event(2, true, 80)), "the type is known now");
    }

    #[test]
    fn presses_across_a_timestamp_wrap_are_told_apart() {
        let mut tracker = EventTracker::default();
        assert_eq!(tracker.handle(at(0), u32::MAX - 10, event(10, false, 160)), Some('*'));
        assert_eq!(tracker.handle(at(120), 900, event(9, false, 160)), Some('9'));
    }
}
