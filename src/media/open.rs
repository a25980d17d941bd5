//! When the gate is open. In: the moments at which it opens and closes, spans of sound. Out: whether a
//! span may be kept, which it may if none of it may have been spoken while the gate was closed.

use std::collections::VecDeque;

use super::axis::FRAME_AXIS;
use super::output::GapReason;

/// What a position may be too early by: what the mapping follows in a step. It matters where the gate
/// was closed so shortly that packets of that time may come once it is open again; otherwise nothing is
/// there that arrived, and so was spoken, after it closed. Units: of the axis (5 ms, 400 ms).
const INEXACT: i64 = 240;
const SHORT: i64 = 20 * FRAME_AXIS;
/// How far back of a frame's place its sound may lie: kept packets are up to 15 ms off, their encoders
/// look 6.5 ms ahead, and they hold copies of what was up to 60 ms before. Units: of the axis.
const REACH: i64 = 5 * FRAME_AXIS;

/// A span in which the gate is closed.
#[derive(Clone, Copy, Debug)]
struct Closed {
    from: i64,
    to: i64,
    reason: GapReason,
}

/// The spans in which nothing is kept. Units: of the axis.
#[derive(Clone, Debug)]
pub struct Open {
    closed: VecDeque<Closed>,
    /// Where timestamps lay when packets were placed last, by how much that was too late, and where
    /// what was placed so ends.
    shift: i64,
    excess: i64,
    excess_to: i64,
}

impl Default for Open {
    /// Open from the beginning of the axis on, which is the moment of consent.
    fn default() -> Self {
        let before_consent = Closed { from: i64::MIN, to: 0, reason: GapReason::NoMedia };
        Self { closed: [before_consent].into(), shift: i64::MIN, excess: 0, excess_to: i64::MIN }
    }
}

impl Open {
    /// Nothing is kept from this position on, until [`Open::open`].
    pub fn close(&mut self, at: i64) {
        self.closed.push_back(Closed { from: at, to: i64::MAX, reason: GapReason::Paused });
    }

    /// What is spoken from this position on is kept again.
    pub fn open(&mut self, at: i64) {
        if let Some(last) = self.closed.back_mut() {
            last.to = at;
        }
    }

    /// Packets are placed by this shift from now on. If that is earlier than it was, those placed
    /// before, which end at `placed_to`, lie too late.
    pub fn placed_by(&mut self, shift: i64, placed_to: i64) {
        if shift < self.shift {
            self.excess += self.shift - shift;
            self.excess_to = placed_to;
        }
        self.shift = shift;
    }

    /// Why sound of this span, to be kept in the frame at `frame`, is not; nothing where it is.
    /// `slack`: by how much earlier than its position it may have been spoken.
    pub fn forbids(&mut self, frame: i64, (from, to): (i64, i64), slack: i64) -> Option<GapReason> {
        if frame >= self.excess_to {
            self.excess = 0;
        }
        let slack = slack + self.excess;
        while self.closed.front().is_some_and(|closed| closed.to.saturating_add(slack + REACH) <= frame) {
            self.closed.pop_front();
        }
        let touches = |closed: &&Closed| {
            let is_short = closed.to.saturating_sub(closed.from) < SHORT;
            let inexact = if is_short { INEXACT } else { 0 };
            from < closed.to.saturating_add(slack) && to > closed.from.saturating_sub(inexact)
        };
        self.closed.iter().find(touches).map(|closed| closed.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 48;

    fn frame(open: &mut Open, n: i64, slack: i64) -> Option<GapReason> {
        open.forbids(n * FRAME_AXIS, (n * FRAME_AXIS, (n + 1) * FRAME_AXIS), slack)
    }

    #[test]
    fn invariant_01_a_frame_of_which_any_may_have_been_spoken_before_the_yes_is_not_kept() {
        assert_eq!(frame(&mut Open::default(), 0, 0), None);
        assert_eq!(frame(&mut Open::default(), 0, 1), Some(GapReason::NoMedia));
        assert_eq!(frame(&mut Open::default(), 1, 20 * MS), None);
        let mut open = Open::default();
        assert_eq!(open.forbids(0, (-1, FRAME_AXIS), 0), Some(GapReason::NoMedia));
        assert_eq!(open.forbids(FRAME_AXIS, (-1, FRAME_AXIS), 0), Some(GapReason::NoMedia));
    }

    #[test]
    fn what_was_placed_before_the_mapping_moved_back_may_have_been_spoken_that_much_earlier() {
        let mut open = Open::default();
        open.placed_by(1_000, 0);
        open.placed_by(1_000 - 15 * MS, 2 * FRAME_AXIS);
        assert_eq!([0, 1].map(|n| frame(&mut open, n, 0).is_some()), [true, false]);
        open.close(40 * MS);
        open.open(60 * MS);
        assert_eq!([2, 3, 4].map(|n| frame(&mut open, n, 0).is_some()), [true, false, false]);
    }

    #[test]
    fn a_frame_that_straddles_an_edge_of_a_pause_is_not_kept() {
        let mut open = Open::default();
        open.close(1_010 * MS);
        open.open(2_010 * MS);
        open.close(3_000 * MS);
        open.open(3_010 * MS);
        open.close(3_500 * MS);
        let paused: Vec<_> = (0..180).filter(|&n| frame(&mut open, n, 0).is_some()).collect();
        let expected: Vec<_> = (50..101).chain(149..151).chain(175..180).collect();
        assert_eq!(paused, expected, "before a short pause a frame more, as positions are inexact");
    }
}
