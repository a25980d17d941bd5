//! Streams whose packets arrive and cannot be kept: the gap map gives the reason.

use super::*;

/// The employee's packets are `of`; the caller talks as negotiated. Returns the employee's gap map, in frames
/// by reason.
fn missing(
    change: impl Fn(StreamPlan) -> StreamPlan,
    of: impl Fn(u32) -> (u16, u32, u8),
) -> (Vec<(GapReason, u32)>, Bench) {
    let mut bench = Bench::with(true, change);
    bench.yes();
    for n in 0..250u32 {
        let ms = u64::from(n) * 20;
        bench.tick_to(ms.max(bench.now_ms));
        bench.hear(0, ms, &packet(0, n as u16, n * 160, 8, &tone(n)));
        let (sequence, timestamp, payload_type) = of(n);
        bench.hear(1, ms, &packet(1, sequence, timestamp, payload_type, &tone(n)));
    }
    assert_eq!(bench.end(5_000), Outcome::Recorded);
    let mut found: Vec<(GapReason, u32)> = Vec::new();
    for output in &bench.out {
        let Fact::Gap(gap) = output.fact else { continue };
        if gap.stream == StreamIndex(1) {
            match found.iter_mut().find(|(reason, _)| *reason == gap.reason) {
                Some((_, frames)) => *frames += gap.to_frame - gap.from_frame,
                None => found.push((gap.reason, gap.to_frame - gap.from_frame)),
            }
        }
    }
    (found, bench)
}

fn frames(found: &[(GapReason, u32)], reason: GapReason) -> u32 {
    found.iter().find(|(one, _)| *one == reason).map_or(0, |(_, frames)| *frames)
}

#[test]
fn silence_is_not_called_a_hold_where_packets_of_an_unknown_type_came() {
    let (found, _) = missing(|plan| plan, |n| (n as u16, n * 160, 97));
    assert!(frames(&found, GapReason::UnknownType) >= 245, "{found:?}");
    // It begins during the call: what was received before is kept.
    let (found, _) = missing(|plan| plan, |n| (n as u16, n * 160, if n < 100 { 8 } else { 97 }));
    assert!((140..=160).contains(&frames(&found, GapReason::UnknownType)), "{found:?}");
    // Nothing follows the last frame that could show the reason.
    assert!(frames(&found, GapReason::Held) + frames(&found, GapReason::NoMedia) <= 1, "{found:?}");
}

#[test]
fn silence_is_not_called_a_hold_where_the_source_rule_refused_what_came() {
    let elsewhere = ExpectedSource { ip: Some([127, 0, 0, 9].into()), ..ExpectedSource::default() };
    let other = |plan: StreamPlan| match plan.role {
        StreamRole::Employee => StreamPlan { media: StreamMedia { source: elsewhere, ..plan.media }, ..plan },
        _ => plan,
    };
    let (found, bench) = missing(other, |n| (n as u16, n * 160, 8));
    assert!(frames(&found, GapReason::Refused) >= 245, "{found:?}");
    assert_eq!(bench.stats.foreign_address, 250);
}

#[test]
fn a_frame_has_audio_or_the_map_says_that_its_packets_came_late() {
    // Sequence numbers restart lower under the same SSRC: accepted again, or late, and never a hold.
    let (found, bench) = missing(
        |plan| plan,
        |n| {
            let restarted = if n < 100 { 40_000 + n } else { n };
            (restarted as u16, n * 160, 8)
        },
    );
    let unexplained = frames(&found, GapReason::Held) + frames(&found, GapReason::NoMedia);
    assert!(unexplained <= 5, "{found:?}");
    let heard = bench.peaks(1).iter().filter(|&&peak| peak > 50).count() as u32;
    let late = frames(&found, GapReason::Late) + frames(&found, GapReason::Lost);
    assert!(heard + late >= 240, "{heard} heard, {found:?}");
}

#[test]
fn a_keep_alive_in_a_hold_leaves_it_a_hold() {
    // Of an unknown type, once a second, while the sender is on hold.
    let mut bench = Bench::new(true);
    bench.yes();
    bench.talk(0..50, |_| true);
    for second in 1..10u64 {
        bench.tick_to(second * 1_000);
        bench.hear(1, second * 1_000, &packet(1, 50 + second as u16, 50 * 160, 97, &[0]));
    }
    bench.end(10_000);
    assert!(bench.gaps(GapReason::UnknownType).is_empty());
    assert!(!bench.gaps(GapReason::Held).is_empty());
}
