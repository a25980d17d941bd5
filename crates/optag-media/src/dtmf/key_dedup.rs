//! De-duplication of key presses that arrive in several ways. In: key presses as reported by each way. Out:
//! those that are new. A gateway may send an event and leave the tone in the audio, or send events of two
//! payload types at once.

use std::time::Duration;

use optag_core::clock::MonoTime;

/// Maximum time between reports of one press: a tone is detected once its packets are in order, events of two
/// types begin together.
const TONE_APART: Duration = Duration::from_secs(1);
const EVENTS_APART: Duration = Duration::from_millis(100);
/// Presses remembered: nobody presses more keys in that time.
const REMEMBERED: usize = 8;
/// Ways in which a stream may report presses.
const WAYS: usize = 3;

/// How a press was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By events with this payload type and SSRC.
    Event(u8, u32),
    /// By the in-band tone.
    Tone,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    key: char,
    at: MonoTime,
    ways: [Option<Way>; WAYS],
}

/// The latest presses of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyDedup {
    latest: [Option<Press>; REMEMBERED],
    next: usize,
}

impl KeyDedup {
    /// Whether a press is new, and not another report of a known one. A report is matched with the oldest
    /// known press, so that two quick presses that both arrive in two ways remain two.
    pub(crate) fn is_new(&mut self, at: MonoTime, key: char, way: Way) -> bool {
        let close = |press: &Press| {
            let by_tone = way == Way::Tone || press.ways.contains(&Some(Way::Tone));
            let most = if by_tone { TONE_APART } else { EVENTS_APART };
            press.at.since(at) + at.since(press.at) < most
        };
        let known = (0..REMEMBERED).map(|n| (self.next + n) % REMEMBERED).find(|&n| {
            self.latest[n].is_some_and(|press| {
                press.key == key
                    && close(&press)
                    && !press.ways.contains(&Some(way))
                    && press.ways.contains(&None)
            })
        });
        if let Some(press) = known.and_then(|n| self.latest[n].as_mut()) {
            if let Some(free) = press.ways.iter_mut().find(|way| way.is_none()) {
                *free = Some(way);
            }
            return false;
        }
        self.latest[self.next] = Some(Press { key, at, ways: [Some(way), None, None] });
        self.next = (self.next + 1) % REMEMBERED;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_press_that_comes_as_event_and_as_tone_counts_once() {
        let mut presses = KeyDedup::default();
        assert!(presses.is_new(at(100), '1', Way::Event(101, 7)));
        assert!(!presses.is_new(at(240), '1', Way::Tone));
        assert!(!presses.is_new(at(250), '1', Way::Event(97, 7)), "two types of events at once");
        assert!(presses.is_new(at(700), '1', Way::Tone), "this way told the first already");
        assert!(!presses.is_new(at(650), '1', Way::Event(101, 7)));
    }

    #[test]
    fn two_quick_presses_stay_two() {
        let mut presses = KeyDedup::default();
        let told = [(0, Way::Event(101, 7)), (60, Way::Tone), (200, Way::Event(101, 7)), (260, Way::Tone)];
        assert_eq!(told.map(|(ms, way)| presses.is_new(at(ms), '7', way)), [true, false, true, false]);
    }

    #[test]
    fn other_keys_and_later_ones_are_new() {
        let mut presses = KeyDedup::default();
        assert!(presses.is_new(at(0), '1', Way::Tone));
        assert!(presses.is_new(at(50), '2', Way::Event(101, 7)));
        assert!(presses.is_new(at(250), '2', Way::Event(97, 7)), "the next press by another type");
        assert!(presses.is_new(at(1_500), '1', Way::Event(101, 7)));
    }
}
