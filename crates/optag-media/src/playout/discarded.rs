//! Packets that brought no audio: late, refused, of an unknown type. In: their arrivals.
//! Out: why a frame is silent although its sender was sending.

use crate::fact::GapReason;
use crate::timebase::FRAME_AXIS;

/// Length of the spans in which arrivals are counted: 100 ms. Units: of the axis.
const SPAN: i64 = 5 * FRAME_AXIS;
/// Spans remembered; frames are made less than a second after the arrivals.
const SPANS: usize = 16;
/// How far before and after a silent frame packets explain it: packets of 120 ms and some jitter.
const AROUND: i64 = 7 * FRAME_AXIS;
/// Number of packets around a frame that indicate a sender; a single one may be a keep-alive.
const RUN: u16 = 2;

/// Whether a stream's silence may have a reason other than this one.
const fn is_open(reason: GapReason) -> bool {
    matches!(reason, GapReason::Held | GapReason::NoMedia | GapReason::Lost)
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    /// Index of the span, from 1; 0 for none.
    number: i64,
    late: u8,
    refused: u8,
    unknown: u8,
}

/// The packets of the last second that brought no audio.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discarded {
    spans: [Span; SPANS],
}

impl Discarded {
    /// Notes a packet that arrived at this position of the axis and brought no audio. Reasons other than
    /// `Late`, `Refused` and `UnknownType` count as refused.
    pub(crate) fn note(&mut self, at: i64, why: GapReason) {
        let number = at.max(0) / SPAN + 1;
        let span = &mut self.spans[number as usize % SPANS];
        if span.number != number {
            *span = Span { number, ..Span::default() };
        }
        let count = match why {
            GapReason::Late => &mut span.late,
            GapReason::UnknownType => &mut span.unknown,
            _ => &mut span.refused,
        };
        *count = count.saturating_add(1);
    }

    /// Why the frame at this position is silent, if it is `reason` without these packets.
    pub(crate) fn explain(&self, at: i64, reason: GapReason) -> GapReason {
        if !is_open(reason) {
            return reason;
        }
        let (from, to) = ((at - AROUND).max(0) / SPAN + 1, (at + FRAME_AXIS + AROUND).max(0) / SPAN + 1);
        let near = |span: &&Span| span.number >= from && span.number <= to;
        let mut found = [(GapReason::Late, 0u16), (GapReason::Refused, 0), (GapReason::UnknownType, 0)];
        for span in self.spans.iter().filter(near) {
            found[0].1 += u16::from(span.late);
            found[1].1 += u16::from(span.refused);
            found[2].1 += u16::from(span.unknown);
        }
        let most = found.into_iter().max_by_key(|(_, count)| *count);
        most.filter(|(_, count)| *count >= RUN).map_or(reason, |(why, _)| why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_refused_packets_explains_the_silence_around_it_and_one_packet_does_not() {
        let mut refusals = Discarded::default();
        let second = 48_000;
        assert_eq!(refusals.explain(second, GapReason::Held), GapReason::Held);
        refusals.note(second, GapReason::Refused);
        assert_eq!(refusals.explain(second, GapReason::Held), GapReason::Held);
        refusals.note(second + 2 * FRAME_AXIS, GapReason::Refused);
        assert_eq!(refusals.explain(second, GapReason::Held), GapReason::Refused);
        assert_eq!(refusals.explain(second, GapReason::NoMedia), GapReason::Refused);
        assert_eq!(refusals.explain(second, GapReason::Paused), GapReason::Paused);
        assert_eq!(refusals.explain(2 * second, GapReason::Held), GapReason::Held);
        // A span one full round back is forgotten.
        refusals.note(second + SPANS as i64 * SPAN, GapReason::Late);
        assert_eq!(refusals.explain(second, GapReason::Held), GapReason::Held);
    }

    #[test]
    fn what_came_most_is_the_reason() {
        let mut refusals = Discarded::default();
        for n in 0..10 {
            refusals.note(n * FRAME_AXIS, GapReason::UnknownType);
        }
        refusals.note(0, GapReason::Late);
        assert_eq!(refusals.explain(5 * FRAME_AXIS, GapReason::NoMedia), GapReason::UnknownType);
    }
}
