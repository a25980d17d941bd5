//! Gaps between a stream's packets, and their reasons. In: the placement of packets, in order.
//! Out: the reason for each frame without audio.

use std::collections::VecDeque;

use crate::fact::GapReason;
use crate::playout::gaps::GapTracker;
use crate::timebase::FRAME_AXIS;

/// Gaps remembered; older ones have been emitted.
const HOLES: usize = 64;

/// A gap; no reason if it contains comfort noise.
#[derive(Clone, Copy, Debug)]
struct Hole {
    from: i64,
    to: i64,
    reason: Option<GapReason>,
}

/// The gaps of a stream that have not been emitted yet. Positions are on the axis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holes {
    holes: VecDeque<Hole>,
    last_end: Option<i64>,
    /// Whether the last packet announced comfort noise.
    noise: bool,
}

impl Holes {
    /// End of the last audio.
    pub(crate) fn heard_to(&self) -> Option<i64> {
        self.last_end
    }

    /// Nothing was processed between two positions, so nothing missing there is the sender's fault.
    pub(crate) fn restart(&mut self, from: i64, to: i64) {
        self.add(Hole { from, to, reason: Some(GapReason::Restart) });
    }

    /// Audio of this length is placed at `at`; `lost` packets before it are missing.
    pub(crate) fn audio(&mut self, at: i64, length: i64, lost: u64, gaps: &mut GapTracker) {
        self.end(at, lost, gaps);
        self.noise = false;
        self.last_end = Some(at + length);
    }

    /// The last packet announced at its end that the sender will be silent.
    pub(crate) fn noise_follows(&mut self) {
        self.noise = true;
    }

    /// A comfort noise packet: the sender is silent from `at` on. Source: RFC 3389 §5.
    pub(crate) fn noise(&mut self, at: i64, lost: u64, gaps: &mut GapTracker) {
        self.end(at, lost, gaps);
        self.noise = true;
        self.last_end = Some(at);
    }

    /// A packet whose audio is not kept; `lost` packets before it are missing.
    pub(crate) fn unknown(&mut self, lost: u64) {
        if lost > 0 && !self.noise {
            self.last_end = None;
        }
    }

    /// Why the frame at `at` may be empty; no reason if it contains comfort noise. `heard` says whether
    /// anything has been received so far.
    pub(crate) fn why(&mut self, at: i64, heard: bool) -> Option<GapReason> {
        while self.holes.front().is_some_and(|hole| hole.to <= at) {
            self.holes.pop_front();
        }
        let end = at + FRAME_AXIS;
        match self.holes.front() {
            Some(hole) if hole.from < end => hole.reason,
            _ if self.noise && self.last_end.is_some_and(|from| from < end) => None,
            _ if !heard => Some(GapReason::NoMedia),
            _ => Some(GapReason::Held),
        }
    }

    fn end(&mut self, at: i64, lost: u64, gaps: &mut GapTracker) {
        let Some(mut from) = self.last_end.filter(|&from| at > from) else { return };
        if lost > 0 {
            gaps.was_lost();
        }
        if self.noise {
            // Within comfort noise, only the packets missing directly before this one were not noise.
            let missing = FRAME_AXIS.saturating_mul(i64::try_from(lost).unwrap_or(i64::MAX));
            let noise_to = at.saturating_sub(missing).max(from);
            self.add(Hole { from, to: noise_to, reason: None });
            from = noise_to;
        }
        let reason = if lost > 0 { GapReason::Lost } else { GapReason::Held };
        self.add(Hole { from, to: at, reason: Some(reason) });
    }

    fn add(&mut self, hole: Hole) {
        if hole.from == hole.to {
            return;
        }
        if self.holes.len() == HOLES {
            self.holes.pop_front();
        }
        self.holes.push_back(hole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 48_000;

    #[test]
    fn noise_is_no_gap_and_what_is_lost_after_it_is() {
        let (mut holes, mut gaps) = (Holes::default(), GapTracker::default());
        holes.audio(0, FRAME_AXIS, 0, &mut gaps);
        holes.noise(FRAME_AXIS, 0, &mut gaps);
        assert_eq!(holes.why(5 * SECOND, true), None, "it lasts until something else comes");
        holes.noise(8 * SECOND, 3, &mut gaps);
        holes.audio(9 * SECOND, FRAME_AXIS, 2, &mut gaps);
        assert_eq!(holes.why(7 * SECOND, true), None);
        assert_eq!(holes.why(8 * SECOND - FRAME_AXIS, true), Some(GapReason::Lost));
        assert_eq!(holes.why(8 * SECOND + FRAME_AXIS, true), None);
        assert_eq!(holes.why(9 * SECOND - 2 * FRAME_AXIS, true), Some(GapReason::Lost));
        assert_eq!(holes.why(12 * SECOND, true), Some(GapReason::Held));
    }

    #[test]
    fn a_pause_in_the_sequence_is_held_and_a_hole_in_it_lost() {
        let (mut holes, mut gaps) = (Holes::default(), GapTracker::default());
        assert_eq!(holes.why(0, false), Some(GapReason::NoMedia));
        holes.audio(0, FRAME_AXIS, 0, &mut gaps);
        holes.audio(SECOND, FRAME_AXIS, 0, &mut gaps);
        holes.audio(2 * SECOND, FRAME_AXIS, 40, &mut gaps);
        assert_eq!(holes.why(SECOND / 2, true), Some(GapReason::Held));
        assert_eq!(holes.why(SECOND + SECOND / 2, true), Some(GapReason::Lost));
    }
}
