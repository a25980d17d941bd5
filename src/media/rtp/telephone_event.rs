//! Key presses as named events. In: payloads of a telephone-event payload type. Out: one key
//! for each press.
//!
//! An event is known by its RTP timestamp: its packets repeat and its end comes three times,
//! the marker may be missing, and each is counted once. A press too long for the duration field
//! goes on in segments with timestamps of their own. Source: RFC 4733 §2.3, §2.5.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The keys of events 0 to 15. Source: RFC 4733 §3.2.
const KEYS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

/// Payload types that are given out in a session. Source: RFC 3551 §6.
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

/// Longest duration that a packet can tell; a longer press goes on in another segment, which
/// begins where this one ends. Source: RFC 4733 §2.5.1.3.
const SEGMENT: u32 = 0xffff;

/// A payload type that carries events, and the clock that their durations count.
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
    /// Whether the press is over.
    pub ended: bool,
    /// Power below 0 dBm0. Units: dB.
    pub volume_db: u8,
    /// How long it lasts so far. Units: RTP ticks.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Reads the payload; `None` where it is too short. What follows the first event (RFC 4733
    /// §2.5.1.5 allows none for keys) is not looked at.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low] = *payload.first_chunk::<4>()?;
        Some(Self {
            event,
            ended: flags & 0x80 != 0,
            volume_db: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// How long it lasts so far, by a clock of `clock_hz`.
    pub fn lasts(&self, clock_hz: u32) -> Duration {
        Duration::from_micros(u64::from(self.duration) * 1_000_000 / u64::from(clock_hz.max(1)))
    }

    /// The key, where the event is one.
    pub fn key(&self) -> Option<char> {
        KEYS.get(usize::from(self.event)).copied()
    }
}

/// Tells new presses from repeated packets of one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EventTracker {
    last: Option<(u32, TelephoneEvent)>,
}

impl EventTracker {
    /// Takes a packet's event; the key if its press is new.
    pub fn handle(&mut self, timestamp: u32, event: TelephoneEvent) -> Option<char> {
        let key = event.key()?;
        if let Some((last, known)) = self.last {
            let since = timestamp.wrapping_sub(last);
            let same = event.event == known.event;
            if since > i32::MAX as u32 || (since == 0 && same) {
                if since == 0 {
                    let duration = known.duration.max(event.duration);
                    let ended = known.ended || event.ended;
                    self.last = Some((timestamp, TelephoneEvent { duration, ended, ..event }));
                }
                return None;
            }
            let goes_on = same && !known.ended && [u32::from(known.duration), SEGMENT].contains(&since);
            if goes_on {
                self.last = Some((timestamp, event));
                return None;
            }
        }
        self.last = Some((timestamp, event));
        Some(key)
    }
}

/// Finds the payload type of events that nobody negotiated: two packets of one press, worded as
/// no audio is, make it known.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnnamedEvents {
    first: Option<(u8, u32, TelephoneEvent)>,
    payload_type: Option<u8>,
}

impl UnnamedEvents {
    /// Whether a packet of a payload type that nothing else is known of can be an event.
    pub fn can_be(payload_type: u8, payload: &[u8]) -> bool {
        let is_plain = |payload: &[u8; 4]| payload[1] & 0x40 == 0;
        let event = TelephoneEvent::parse(payload).filter(|event| event.duration > 0);
        DYNAMIC.contains(&payload_type)
            && payload.as_array().is_some_and(is_plain)
            && event.is_some_and(|event| event.key().is_some())
    }

    /// Takes such a packet; true if it is known by now to be an event.
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

/// Runs any bytes through the parser and the tracker; for fuzzing and its corpus.
pub fn exercise(bytes: &[u8]) {
    let mut tracker = EventTracker::default();
    for chunk in bytes.chunks(8) {
        if let (Some(at), Some(payload)) = (chunk.first_chunk::<4>(), chunk.get(4..))
            && let Some(event) = TelephoneEvent::parse(payload)
        {
            let timestamp = u32::from_be_bytes(*at);
            tracker.handle(timestamp, event);
            assert_eq!(tracker.handle(timestamp, event), None, "a repeated packet is no new press");
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

    #[test]
    fn three_end_packets_and_a_lost_start_are_one_press() {
        let mut tracker = EventTracker::default();
        let pressed: Vec<_> = (0..3).filter_map(|_| tracker.handle(1_000, event(1, true, 800))).collect();
        assert_eq!(pressed, ['1']);
        assert_eq!(tracker.handle(2_000, event(1, false, 160)), Some('1'));
        assert_eq!(tracker.handle(1_000, event(1, true, 800)), None, "a late packet of the first press");
    }

    #[test]
    fn a_press_longer_than_the_duration_field_is_one_press() {
        let mut tracker = EventTracker::default();
        let presses = |tracker: &mut EventTracker, packets: &[(u32, bool, u16)]| {
            packets
                .iter()
                .filter_map(|&(at, ended, ticks)| tracker.handle(at, event(5, ended, ticks)))
                .count()
        };
        let whole =
            [(9, false, 400), (9, false, 0xffff), (9 + 0xffff, false, 400), (9 + 0xffff, true, 8_000)];
        assert_eq!(presses(&mut tracker, &whole), 1);
        assert_eq!(presses(&mut tracker, &[(9 + 0xffff, true, 8_000)]), 0, "its end comes again");
        // The packet that told the longest duration is lost.
        let lossy = [(500_000, false, 60_000), (500_000 + 0xffff, false, 400)];
        assert_eq!(presses(&mut tracker, &lossy), 1);
        assert_eq!(presses(&mut tracker, &[(600_000, false, 400)]), 1, "the same key again");
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
        assert_eq!(tracker.handle(u32::MAX - 10, event(10, false, 160)), Some('*'));
        assert_eq!(tracker.handle(900, event(9, false, 160)), Some('9'));
    }
}
