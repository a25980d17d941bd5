//! Comfort noise and discontinuous transmission: no loss, no shift.

use super::*;

/// Talks for 50 frames at a time; in between, `pause` sends for the time of 100 frames.
fn with_pauses(
    format: (u8, Encoding),
    payload: impl Fn(u32) -> Vec<u8>,
    pause: impl Fn(&mut Bench, &mut u16, u32),
) -> Bench {
    let mut bench = Bench::of(true, format, |stream, _, _| stream.media.comfort_noise = vec![98]);
    let ticks = format.1.clock_hz() / 50;
    bench.yes();
    let mut sequence = 0u16;
    for turn in 0..4 {
        for n in turn * 150..turn * 150 + 50 {
            let ms = u64::from(n) * 20 + 20;
            bench.now_ms = bench.now_ms.max(ms);
            bench.hear(0, ms, &packet(0, sequence, n * ticks, format.0, &payload(n)));
            sequence += 1;
            bench.tick_to(ms);
        }
        pause(&mut bench, &mut sequence, turn * 150 + 50);
    }
    assert_eq!(bench.end(12_000), Outcome::Recorded);
    bench
}

/// Every 200 ms a packet of comfort noise of this type.
fn noise(payload_type: u8, ticks: u32) -> impl Fn(&mut Bench, &mut u16, u32) {
    move |bench, sequence, from| {
        for n in (from..from + 100).step_by(10) {
            let ms = u64::from(n) * 20 + 20;
            bench.tick_to(ms);
            bench.hear(0, ms, &packet(0, *sequence, n * ticks, payload_type, &[60, 3, 7]));
            *sequence += 1;
        }
    }
}

fn check(name: &str, bench: &Bench) {
    assert_eq!(bench.frames(), 600, "{name}: the time axis");
    assert_eq!((bench.stats.lost, bench.stats.unknown_payload), (0, 0), "{name}");
    assert!(bench.gaps(GapReason::Lost).is_empty(), "{name}");
    let peaks = bench.peaks(0);
    for turn in 0..4 {
        let (talk, pause) =
            (&peaks[turn * 150 + 2..turn * 150 + 48], &peaks[turn * 150 + 55..turn * 150 + 145]);
        assert!(talk.iter().all(|&peak| peak > 20), "{name}, turn {turn}: {talk:?}");
        assert!(pause.iter().all(|&peak| peak == 0), "{name}, turn {turn}: {pause:?}");
    }
}

#[test]
fn m3_comfort_noise_of_every_type_is_quiet_and_neither_loss_nor_gap() {
    for payload_type in [13, 19, 98] {
        let bench = with_pauses((8, Encoding::Pcma), tone, noise(payload_type, 160));
        check(&payload_type.to_string(), &bench);
        let held = bench.gaps(GapReason::Held);
        assert!(
            held.iter().all(|gap| gap.stream == StreamIndex(1) || gap.to_frame <= 3),
            "{payload_type}: {held:?}"
        );
    }
}

#[test]
fn m3_comfort_noise_beside_wideband_keeps_its_clock() {
    let linear = |n: u32| -> Vec<u8> {
        let sample = |i: u32| ((f64::from(n * 320 + i) * 0.35).sin() * 9_000.0) as i16;
        (0..320).flat_map(|i| sample(i).to_be_bytes()).collect()
    };
    let bench = with_pauses((97, Encoding::L16 { rate_hz: 16_000 }), linear, noise(98, 320));
    check("L16 at 16 kHz", &bench);
}

#[test]
fn m3_silence_that_is_not_sent_is_held_and_not_lost() {
    let bench = with_pauses((8, Encoding::Pcma), tone, |bench, _, from| {
        bench.tick_to(u64::from(from + 100) * 20);
    });
    assert_eq!((bench.frames(), bench.stats.lost), (600, 0));
    assert!(bench.gaps(GapReason::Lost).is_empty());
    let held: u32 = bench
        .gaps(GapReason::Held)
        .iter()
        .filter(|gap| gap.stream == StreamIndex(0))
        .map(|gap| gap.to_frame - gap.from_frame)
        .sum();
    assert!((380..=402).contains(&held), "{held}");
    let peaks = bench.peaks(0);
    assert!(peaks[60..140].iter().all(|&peak| peak == 0) && peaks[170] > 20, "{peaks:?}");
}

#[test]
fn m3_lost_audio_beside_comfort_noise_is_marked_as_lost() {
    let bench = with_pauses((8, Encoding::Pcma), tone, |bench, sequence, from| {
        noise(13, 160)(bench, sequence, from);
        // The first three packets of the next talk spurt are missing from the sequence.
        *sequence = sequence.wrapping_add(3);
    });
    assert_eq!(bench.stats.lost, 9);
    let lost: u32 = bench.gaps(GapReason::Lost).iter().map(|gap| gap.to_frame - gap.from_frame).sum();
    assert!((6..=9).contains(&lost), "{lost}");
}
