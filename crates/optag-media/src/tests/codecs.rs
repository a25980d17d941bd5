//! Frame and code-word codecs through the complete chain: damaged payloads are counted.

use super::*;
use crate::codec::g726::{Packing, Rate};

/// Sends 100 packets of 20 ms to one stream, made by `payload`; returns the bench after the end.
fn played(encoding: Encoding, payload: impl Fn(u32) -> Vec<u8>) -> Bench {
    let mut bench = Bench::of(true, (97, encoding), |_, _, _| {});
    bench.yes();
    for n in 0..100 {
        let ms = u64::from(n) * 20 + 20;
        bench.now_ms = bench.now_ms.max(ms);
        bench.hear(0, ms, &packet(0, n as u16, n * 160, 97, &payload(n)));
        bench.tick_to(ms);
    }
    assert_eq!(bench.end(2_000), Outcome::Recorded);
    assert_eq!(bench.frames(), 100);
    bench
}

fn refused(bench: &Bench) -> u32 {
    let of_first = bench.gaps(GapReason::Refused).into_iter().filter(|gap| gap.stream == StreamIndex(0));
    of_first.map(|gap| gap.to_frame - gap.from_frame).sum()
}

/// A GSM frame with arbitrary bits.
fn frame(n: u32) -> Vec<u8> {
    (0..33u32).map(|at| if at == 0 { 0xd5 } else { ((n + 3) * (at + 7) * 41) as u8 }).collect()
}

#[test]
fn damaged_gsm_is_counted_and_marked_and_the_rest_is_kept() {
    let whole = played(Encoding::Gsm, frame);
    assert_eq!((whole.stats.undecodable, refused(&whole)), (0, 0));
    let short = played(Encoding::Gsm, |n| frame(n)[..if n % 10 == 5 { 20 } else { 33 }].to_vec());
    assert_eq!(short.stats.undecodable, 10);
    let unsigned = played(Encoding::Gsm, |n| match n {
        20..30 => vec![0; 33],
        _ => frame(n),
    });
    assert_eq!(unsigned.stats.undecodable, 10);
    // The first of them are concealed.
    assert!((5..=10).contains(&refused(&unsigned)), "{}", refused(&unsigned));
    assert!(unsigned.peaks(0)[40..95].iter().any(|&peak| peak > 20));
}

#[test]
fn g726_whose_bytes_are_too_few_is_counted() {
    let encoding = Encoding::G726 { rate: Rate::Kbps40, packing: Packing::Rtp };
    let bench = played(encoding, |n| (0..100u32).map(|at| (at * 37 + n) as u8).collect());
    assert_eq!(bench.stats.undecodable, 0);
    let linear = played(Encoding::L16 { rate_hz: 8_000 }, |n| vec![7; if n < 90 { 320 } else { 1 }]);
    assert_eq!(linear.stats.undecodable, 10, "a byte is no sample of 16 bits");
}
