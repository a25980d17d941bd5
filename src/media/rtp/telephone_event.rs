//! Key presses as named events. In: payloads of a telephone-event payload type. Out: one key
//! for each press.
//!
//! An event is known by its RTP timestamp: its packets repeat and its end comes three times,
//! the marker may be missing, and each is counted once. Source: RFC 4733 §2.3, §2.5.

use serde::{Deserialize, Serialize};

/// The keys of events 0 to 15. Source: RFC 4733 §3.2.
const KEYS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

/// One event packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// The key, where the event is one.
    pub fn key(&self) -> Option<char> {
        KEYS.get(usize::from(self.event)).copied()
    }
}

/// Tells new presses from repeated packets of one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EventTracker {
    last: Option<(u32, u8)>,
}

impl EventTracker {
    /// Takes a packet's event; the key if its press is new.
    pub fn handle(&mut self, timestamp: u32, event: TelephoneEvent) -> Option<char> {
        let key = event.key()?;
        if let Some((last, last_event)) = self.last {
            let behind = timestamp.wrapping_sub(last) > i32::MAX as u32;
            if (timestamp == last && event.event == last_event) || behind {
                return None;
            }
        }
        self.last = Some((timestamp, event.event));
        Some(key)
    }

    /// A new sender: its timestamps say nothing about the old one's.
    pub fn reset(&mut self) {
        self.last = None;
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
    fn presses_across_a_timestamp_wrap_are_told_apart() {
        let mut tracker = EventTracker::default();
        assert_eq!(tracker.handle(u32::MAX - 10, event(10, false, 160)), Some('*'));
        assert_eq!(tracker.handle(900, event(9, false, 160)), Some('9'));
    }
}
