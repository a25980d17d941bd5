//! Spans without media of one stream. In: each frame, with or without audio. Out: gaps, one per span; long
//! spans are split so that a crash loses little of the marking.

use crate::fact::{Gap, GapReason, StreamIndex};

/// Number of frames after which an open span is emitted: 5 s.
pub(crate) const SPLIT_FRAMES: u32 = 250;

/// The open span of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct GapTracker {
    open: Option<Gap>,
}

impl GapTracker {
    /// Processes a frame; `missing` says why it has no media, if it has none.
    pub(crate) fn frame(
        &mut self,
        stream: StreamIndex,
        frame: u32,
        missing: Option<GapReason>,
    ) -> Option<Gap> {
        match (&mut self.open, missing) {
            (Some(gap), Some(reason))
                if gap.reason == reason && gap.to_frame - gap.from_frame < SPLIT_FRAMES =>
            {
                gap.to_frame = frame + 1;
                None
            }
            (open, Some(reason)) => {
                open.replace(Gap { stream, from_frame: frame, to_frame: frame + 1, reason })
            }
            (open, None) => open.take(),
        }
    }

    /// A packet shows that what is missing was lost and not held back by its sender.
    pub(crate) fn was_lost(&mut self) {
        if let Some(gap) = self.open.as_mut().filter(|gap| gap.reason == GapReason::Held) {
            gap.reason = GapReason::Lost;
        }
    }

    /// A packet was too late for the frame `at`: what is missing from there on was not held back. Returns the
    /// span before it.
    pub(crate) fn was_late(&mut self, at: u32) -> Option<Gap> {
        let unexplained = |gap: &&mut Gap| matches!(gap.reason, GapReason::Held | GapReason::NoMedia);
        let gap = self.open.as_mut().filter(unexplained).filter(|gap| at < gap.to_frame)?;
        let before = Gap { to_frame: at, ..*gap };
        gap.reason = GapReason::Late;
        gap.from_frame = gap.from_frame.max(at);
        (before.to_frame > before.from_frame).then_some(before)
    }

    /// The stream has ended.
    pub(crate) fn end(&mut self) -> Option<Gap> {
        self.open.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_one_gap_and_a_change_of_reason_two() {
        let mut tracker = GapTracker::default();
        let reasons = [None, Some(GapReason::Lost), Some(GapReason::Lost), Some(GapReason::Paused), None];
        let gaps: Vec<_> =
            (0..).zip(reasons).filter_map(|(n, why)| tracker.frame(StreamIndex(1), n, why)).collect();
        let gap = |from_frame, to_frame, reason| Gap { stream: StreamIndex(1), from_frame, to_frame, reason };
        assert_eq!(gaps, [gap(1, 3, GapReason::Lost), gap(3, 4, GapReason::Paused)]);
    }

    #[test]
    fn what_came_late_was_not_held_back_from_its_own_frame_on() {
        let mut tracker = GapTracker::default();
        assert!((0..10).all(|n| tracker.frame(StreamIndex(0), n, Some(GapReason::Held)).is_none()));
        let gap =
            |from_frame, to_frame, reason| Some(Gap { stream: StreamIndex(0), from_frame, to_frame, reason });
        assert_eq!(tracker.was_late(20), None, "a frame that was not made yet");
        assert_eq!(tracker.was_late(4), gap(0, 4, GapReason::Held));
        assert_eq!(tracker.was_late(4), None);
        assert_eq!(tracker.end(), gap(4, 10, GapReason::Late));
    }

    #[test]
    fn a_long_span_is_split_without_a_hole() {
        let mut tracker = GapTracker::default();
        let mut gaps: Vec<_> =
            (0..1_000).filter_map(|n| tracker.frame(StreamIndex(0), n, Some(GapReason::Held))).collect();
        gaps.extend(tracker.end());
        assert_eq!(gaps.len(), 4);
        assert!(gaps.windows(2).all(|pair| pair[0].to_frame == pair[1].from_frame));
        assert_eq!(gaps.last().unwrap().to_frame, 1_000);
    }
}
