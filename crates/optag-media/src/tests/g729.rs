//! G.729 through the complete chain.

use super::*;
use crate::codec::g729::tests::{buzz, encoded};

#[test]
fn g729_with_silence_descriptors_is_recorded_where_it_was_spoken() {
    let mut bench = Bench::of(true, (18, Encoding::G729), |_, _, _| {});
    bench.yes();
    // 1 s of sound, 1 s of silence, twice; of silence only descriptors are sent.
    let frames = [encoded(&buzz(), true), encoded(&buzz(), true)].concat();
    let mut sequence = 0u16;
    for (n, pair) in frames.chunks(2).enumerate() {
        let ms = n as u64 * 20 + 20;
        bench.now_ms = bench.now_ms.max(ms);
        let payload = pair.concat();
        if !payload.is_empty() {
            bench.hear(0, ms, &packet(0, sequence, n as u32 * 160, 18, &payload));
            sequence += 1;
        }
        bench.tick_to(ms);
    }
    assert_eq!(bench.end(4_000), Outcome::Recorded);
    assert_eq!((bench.frames(), bench.stats.lost, bench.stats.undecodable), (200, 0, 0));
    assert!(usize::from(sequence) < frames.len() / 2 - 20, "the encoder sent its silence");
    assert!(bench.gaps(GapReason::Held).iter().all(|gap| gap.stream == StreamIndex(1) || gap.to_frame <= 3));
    let peaks = bench.peaks(0);
    assert!(peaks[5..45].iter().chain(&peaks[105..145]).all(|&peak| peak > 20), "{peaks:?}");
    assert!(peaks[60..95].iter().chain(&peaks[160..195]).all(|&peak| peak < 5), "{peaks:?}");
}
