//! Spans of one stream that are not kept because keys are pressed in them. In: the spans of tones or events.
//! Out: whether a frame overlaps one. Each span is extended by a margin: gateways leave the beginning and end
//! of a tone in the audio beside their event, and an Opus packet contains a copy of the previous one.

use crate::timebase::FRAME_AXIS;

/// Margin before and after a tone. Units: of the axis (60 ms each).
const BEFORE: i64 = 3 * FRAME_AXIS;
const AFTER: i64 = 3 * FRAME_AXIS;
/// Spans remembered: adjacent ones are merged, and older ones are in the past.
const SPANS: usize = 32;

/// The spans that are not in the past.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redaction {
    spans: Vec<(i64, i64)>,
}

impl Redaction {
    /// Adds a span. Units: of the axis.
    pub(crate) fn add(&mut self, from: i64, to: i64) {
        let (mut from, mut to) = (from - BEFORE, to + AFTER);
        self.spans.retain(|&(other_from, other_to)| {
            let apart = other_to < from || to < other_from;
            if !apart {
                (from, to) = (from.min(other_from), to.max(other_to));
            }
            apart
        });
        if self.spans.len() == SPANS {
            // Rather cut too much than too little.
            let last = self.spans.pop().unwrap_or((from, to));
            (from, to) = (from.min(last.0), to.max(last.1));
        }
        self.spans.push((from, to));
    }

    /// Whether any part of a frame is to be cut; spans before it are forgotten.
    pub(crate) fn covers(&mut self, from: i64, to: i64) -> bool {
        self.spans.retain(|&(_, other_to)| other_to > from);
        self.spans.iter().any(|&(other_from, _)| other_from < to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_touch_are_one_and_past_ones_are_forgotten() {
        let mut cuts = Redaction::default();
        for n in 0..1_000 {
            cuts.add(n * 240, n * 240 + 720);
        }
        assert_eq!(cuts.spans.len(), 1);
        assert!(cuts.covers(-BEFORE, 0) && cuts.covers(240_000, 240_960));
        assert!(!cuts.covers(240_000 + AFTER + 720, 260_000));
        assert!(cuts.spans.is_empty());
    }

    #[test]
    fn too_many_spans_cut_too_much() {
        let mut cuts = Redaction::default();
        for n in 0..100 {
            cuts.add(n * 48_000, n * 48_000 + 4_800);
        }
        assert!(cuts.spans.len() <= SPANS);
        assert!((0..100).all(|n| cuts.covers(n * 48_000 + 960, n * 48_000 + 1_920)));
    }
}
