//! AMR and AMR-WB through the complete chain.

use super::*;
use crate::codec::amr::Band;
use crate::codec::amr::opencore::tests::{buzz, encoded};
use crate::codec::amr::tests::repacked;

/// 1 s of sound and 1 s of silence, twice, in packets of 20 ms; for silence only descriptors are sent.
#[test]
fn amr_with_silence_descriptors_is_recorded_where_it_was_spoken() {
    for (band, octet_aligned) in [(Band::Narrow, false), (Band::Narrow, true), (Band::Wide, false)] {
        let (encoding, rate_hz) = match band {
            Band::Narrow => (Encoding::Amr { octet_aligned }, 8_000.0),
            Band::Wide => (Encoding::AmrWb { octet_aligned }, 16_000.0),
        };
        let mut bench = Bench::of(true, (97, encoding), |_, _, _| {});
        bench.yes();
        let frames = encoded(band, 7, true, &[buzz(rate_hz), buzz(rate_hz)].concat());
        let mut sequence = 0u16;
        for (n, frame) in frames.iter().enumerate() {
            let ms = n as u64 * 20 + 20;
            bench.now_ms = bench.now_ms.max(ms);
            if frame[0] >> 3 & 15 != 15 {
                let payload = repacked(band, octet_aligned, std::slice::from_ref(frame));
                let timestamp = n as u32 * encoding.clock_hz() / 50;
                bench.hear(0, ms, &packet(0, sequence, timestamp, 97, &payload));
                sequence += 1;
            }
            bench.tick_to(ms);
        }
        assert_eq!(bench.end(4_000), Outcome::Recorded);
        assert_eq!((bench.frames(), bench.stats.lost, bench.stats.undecodable), (200, 0, 0), "{encoding}");
        assert!(usize::from(sequence) < frames.len() - 40, "{encoding}: the encoder sent its silence");
        let held = bench.gaps(GapReason::Held);
        assert!(
            held.iter().all(|gap| gap.stream == StreamIndex(1) || gap.to_frame <= 3),
            "{encoding}: {held:?}"
        );
        let peaks = bench.peaks(0);
        assert!(peaks[10..45].iter().chain(&peaks[105..145]).all(|&peak| peak > 20), "{encoding}: {peaks:?}");
        assert!(peaks[65..95].iter().chain(&peaks[165..195]).all(|&peak| peak < 5), "{encoding}: {peaks:?}");
    }
}
