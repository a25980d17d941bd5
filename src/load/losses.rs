//! Comparison of a recording's marked gaps with the actual losses. In: packets lost on the path, and the
//! marked spans. Out: the differences. Pure.

/// Duration of the frames in which gaps are marked. Units: ms.
const FRAME_MS: f64 = 20.0;
/// Maximum offset between the recorder's axis and ours. Units: ms.
const SLACK_MS: f64 = 20.0;
/// A loss of this length fills at least one frame at any position. Units: ms.
const SURE_MS: f64 = 60.0;

/// A loss as spans on the recording's time axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Units: ms.
    pub from_ms: f64,
    /// Units: ms.
    pub to_ms: f64,
}

/// Differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Frames marked as lost although nothing was lost in them.
    pub unexplained: usize,
    /// Long losses without a marked frame.
    pub unmarked: usize,
}

/// Lost packets as spans, with adjacent ones merged. Packet 0 began `late_ms` before the axis.
pub fn spans(lost: &[u64], packet_ms: f64, late_ms: f64) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for &packet in lost {
        let from_ms = packet as f64 * packet_ms - late_ms;
        let to_ms = from_ms + packet_ms;
        match spans.last_mut() {
            Some(last) if (last.to_ms - from_ms).abs() < packet_ms / 2.0 => last.to_ms = to_ms,
            _ => spans.push(Span { from_ms, to_ms }),
        }
    }
    spans
}

/// Compares marked spans, in frames from and to, with the losses within `from_ms..to_ms`.
pub fn misfit(marked: &[(u32, u32)], lost: &[Span], from_ms: f64, to_ms: f64) -> Misfit {
    let frames = || marked.iter().flat_map(|&(from, to)| from..to).map(|frame| f64::from(frame) * FRAME_MS);
    let touches = |frame_ms: f64, span: &Span| {
        frame_ms < span.to_ms + SLACK_MS && frame_ms + FRAME_MS > span.from_ms - SLACK_MS
    };
    let within = |at_ms: &f64| (from_ms..to_ms).contains(at_ms);
    let unexplained =
        frames().filter(within).filter(|&frame| !lost.iter().any(|span| touches(frame, span))).count();
    let sure = lost.iter().filter(|span| {
        span.to_ms - span.from_ms >= SURE_MS && span.from_ms >= from_ms && span.to_ms <= to_ms
    });
    let unmarked = sure.filter(|span| !frames().any(|frame| touches(frame, span))).count();
    Misfit { unexplained, unmarked }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_span_on_the_recordings_axis() {
        let found = spans(&[60, 61, 62, 70], 20.0, 1_000.0);
        let expected = [(200.0, 260.0), (400.0, 420.0)].map(|(from_ms, to_ms)| Span { from_ms, to_ms });
        assert_eq!(found, expected);
    }

    #[test]
    fn marks_without_a_loss_and_losses_without_a_mark_are_found() {
        let lost = spans(&[60, 61, 62, 70], 20.0, 1_000.0);
        let fits = Misfit::default();
        assert_eq!(misfit(&[(10, 13), (20, 21)], &lost, 0.0, 1e6), fits);
        assert_eq!(misfit(&[(10, 13)], &lost, 0.0, 1e6), fits, "one packet may miss every frame's half");
        assert_eq!(misfit(&[(10, 13), (40, 42)], &lost, 0.0, 1e6), Misfit { unexplained: 2, unmarked: 0 });
        assert_eq!(misfit(&[(20, 21)], &lost, 0.0, 1e6), Misfit { unexplained: 0, unmarked: 1 });
        assert_eq!(misfit(&[(40, 42)], &lost, 0.0, 300.0), Misfit { unexplained: 0, unmarked: 1 });
    }
}
