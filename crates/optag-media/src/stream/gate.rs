//! Times at which the gate is open. In: when it opens and closes, spans of sound. Out: the part of a span
//! that may be kept, which excludes everything that may have been spoken while the gate was closed.

use std::collections::VecDeque;

use crate::fact::GapReason;
use crate::timebase::FRAME_AXIS;

/// How much too early a position may be: the mapping's step size. It matters if the gate was closed so
/// briefly that packets of that time may arrive after it is open again; otherwise nothing is there that
/// arrived, and so was spoken, after it closed. Units: of the axis (5 ms, 400 ms).
const INEXACT: i64 = 240;
const SHORT: i64 = 20 * FRAME_AXIS;
/// Upper bound of how far before a frame's position its sound may have been spoken: passed-through packets
/// are up to 15 ms off, their encoders look 6.5 ms ahead, and they contain copies of the previous 20 ms.
/// Units: of the axis.
const REACH: i64 = 3 * FRAME_AXIS;

/// A span with the gate closed.
#[derive(Clone, Copy, Debug)]
struct Closed {
    from: i64,
    to: i64,
    reason: GapReason,
}

/// The part of a span that may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Everything.
    All,
    /// Everything from this position on; the rest is not kept, for this reason. Units: of the axis.
    From(i64, GapReason),
    /// Nothing, for this reason.
    Nothing(GapReason),
}

impl Kept {
    /// The part that both keep.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Kept::Nothing(reason), _) | (_, Kept::Nothing(reason)) => Kept::Nothing(reason),
            (Kept::From(one, _), Kept::From(other, reason)) if other > one => Kept::From(other, reason),
            (kept @ Kept::From(..), _) | (Kept::All, kept) => kept,
        }
    }
}

/// The spans in which nothing is kept. Units: of the axis.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    closed: VecDeque<Closed>,
    /// The placement of timestamps used last, how much too late it was, and the end of what was placed by it.
    shift: i64,
    excess: i64,
    excess_to: i64,
}

impl Default for Open {
    /// Open from the beginning of the axis, the moment of consent.
    fn default() -> Self {
        let before_consent = Closed { from: i64::MIN, to: 0, reason: GapReason::NoMedia };
        Self { closed: [before_consent].into(), shift: i64::MIN, excess: 0, excess_to: i64::MIN }
    }
}

impl Open {
    /// Open all the time.
    pub(crate) fn always() -> Self {
        Self { closed: VecDeque::new(), ..Self::default() }
    }

    /// Keeps nothing from this position on, for this reason, until [`Open::open`].
    pub(crate) fn close(&mut self, at: i64, reason: GapReason) {
        self.closed.push_back(Closed { from: at, to: i64::MAX, reason });
    }

    /// Keeps what is spoken from this position on.
    pub(crate) fn open(&mut self, at: i64) {
        if let Some(last) = self.closed.back_mut() {
            last.to = at;
        }
    }

    /// Packets are placed with this shift from now on. If it is earlier than before, those placed earlier,
    /// which end at `placed_to`, are too late.
    pub(crate) fn placed_by(&mut self, shift: i64, placed_to: i64) {
        if shift < self.shift {
            self.excess += self.shift - shift;
            self.excess_to = placed_to;
        }
        self.shift = shift;
    }

    /// The part that may be kept of a sound with this span in the frame at `frame`. `slack`: how much earlier
    /// than its position it may have been spoken.
    pub(crate) fn keeps(&mut self, frame: i64, (from, to): (i64, i64), slack: i64) -> Kept {
        if frame >= self.excess_to {
            self.excess = 0;
        }
        let slack = slack + self.excess;
        while self.closed.front().is_some_and(|closed| closed.to.saturating_add(slack + REACH) <= frame) {
            self.closed.pop_front();
        }
        let mut kept = Kept::All;
        for closed in &self.closed {
            let is_short = closed.to.saturating_sub(closed.from) < SHORT;
            let closes = closed.from.saturating_sub(if is_short { INEXACT } else { 0 });
            let opens = closed.to.saturating_add(slack);
            if from >= opens || to <= closes {
                continue;
            }
            if from < closes || to <= opens {
                return Kept::Nothing(closed.reason);
            }
            kept = Kept::From(opens, closed.reason);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 48;

    const UNANSWERED: Kept = Kept::Nothing(GapReason::NoMedia);

    fn frame(open: &mut Open, n: i64, slack: i64) -> Kept {
        open.keeps(n * FRAME_AXIS, (n * FRAME_AXIS, (n + 1) * FRAME_AXIS), slack)
    }

    #[test]
    fn invariant_01_what_may_have_been_spoken_before_the_yes_is_not_kept() {
        assert_eq!(frame(&mut Open::default(), 0, 0), Kept::All);
        assert_eq!(frame(&mut Open::default(), 0, 7), Kept::From(7, GapReason::NoMedia));
        assert_eq!(frame(&mut Open::default(), 0, FRAME_AXIS), UNANSWERED);
        assert_eq!(frame(&mut Open::default(), 1, FRAME_AXIS), Kept::All);
        let mut open = Open::default();
        assert_eq!(open.keeps(0, (-1, FRAME_AXIS), 0), Kept::From(0, GapReason::NoMedia));
        assert_eq!(open.keeps(FRAME_AXIS, (-FRAME_AXIS, 0), 0), UNANSWERED);
    }

    #[test]
    fn what_was_placed_before_the_mapping_moved_back_may_have_been_spoken_that_much_earlier() {
        let mut open = Open::default();
        open.placed_by(1_000, 0);
        open.placed_by(1_000 - 15 * MS, 2 * FRAME_AXIS);
        assert_eq!(
            [0, 1].map(|n| frame(&mut open, n, 0)),
            [Kept::From(15 * MS, GapReason::NoMedia), Kept::All]
        );
        open.close(40 * MS, GapReason::Paused);
        open.open(60 * MS);
        let paused = Kept::Nothing(GapReason::Paused);
        assert_eq!([2, 3, 4].map(|n| frame(&mut open, n, 0)), [paused, Kept::All, Kept::All]);
    }

    #[test]
    fn of_a_frame_that_straddles_an_edge_of_a_pause_no_more_than_what_follows_is_kept() {
        let mut open = Open::default();
        open.close(1_010 * MS, GapReason::Paused);
        open.open(2_010 * MS);
        open.close(3_000 * MS, GapReason::Paused);
        open.open(3_010 * MS);
        open.close(3_500 * MS, GapReason::Paused);
        let kept: Vec<_> = (0..180).map(|n| frame(&mut open, n, 0)).collect();
        let not_all = |kept: &Kept| match kept {
            Kept::All => None,
            Kept::From(at, _) => Some(at / MS),
            Kept::Nothing(_) => Some(0),
        };
        let found: Vec<_> = (0..).zip(&kept).filter_map(|(n, kept)| Some((n, not_all(kept)?))).collect();
        let mut expected: Vec<_> = (50..100).map(|n| (n, 0)).collect();
        expected.extend([(100, 2_010), (149, 0), (150, 3_010)]);
        expected.extend((175..180).map(|n| (n, 0)));
        assert_eq!(found, expected, "before a short pause a frame more, as positions are inexact");
    }
}
