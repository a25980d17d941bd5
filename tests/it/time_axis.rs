//! What networks and senders do to a stream: the recording's time axis stays true, and what is
//! missing is bounded and marked. Real speech, simulated time.

use optag::load::speech::Voices;
use optag_media::codec::Encoding;
use optag_media::codec::coded::Codec;
use optag_media::fact::GapReason;
use optag_storage::archive::manifest::Manifest;

use crate::chain::{Chain, correlation};
use crate::codecs::rendered;
use crate::sounds::{FRAME, Random};

const PCMA: &[&[(u8, Encoding)]] = &[&[(8, Encoding::Pcma)]];
/// Of a whole recording. Units: ms an hour.
const MOST_OFF_MS: i64 = 40;

/// A-law payloads of 20 ms of real speech.
fn spoken(seconds: usize) -> (Vec<i16>, Vec<Vec<u8>>) {
    let voice = Voices::embedded(1.0).unwrap().caller;
    let samples: Vec<i16> = voice.iter().copied().cycle().take(seconds * 8_000).collect();
    let payloads = Codec::Pcma.encode(&samples).chunks_exact(FRAME).map(<[u8]>::to_vec).collect();
    (samples, payloads)
}

fn missing(manifest: &Manifest, reason: GapReason) -> u32 {
    let gaps = manifest.gaps.iter().filter(|gap| gap.reason == reason);
    gaps.map(|gap| gap.to_frame - gap.from_frame).sum()
}

/// Whether the samples from `from_ms` on say `said`, and how far from there. Units: ms.
fn off_ms(heard: &[i16], from_ms: usize, said: &[i16], reach_ms: i64) -> f64 {
    let from = from_ms * 8;
    let (alike, lag) = correlation(&heard[from..], said, reach_ms * 8);
    let (back, behind) = correlation(&heard[from - reach_ms as usize * 8..], said, 0);
    assert!(alike.max(back) > 0.6, "at {from_ms} ms something else is heard: {alike:.2} at {lag}, {behind}");
    lag as f64 / 8.0
}

#[test]
fn reordered_and_doubled_packets_make_the_same_file() {
    let (_, payloads) = spoken(12);
    let play = |order: &[(u64, usize)]| {
        let mut chain = Chain::new(PCMA, 0);
        for &(ms, n) in order {
            // Sequence and timestamp wrap on the way.
            let sequence = 65_400u16.wrapping_add(n as u16);
            let timestamp = (u32::MAX - 20_000).wrapping_add((n * FRAME) as u32);
            chain.hear(0, ms, 8, sequence, timestamp, &payloads[n]);
        }
        chain.end(12_200)
    };
    let straight: Vec<(u64, usize)> = (0..payloads.len()).map(|n| (n as u64 * 20, n)).collect();
    let (expected, manifest, stats) = play(&straight);
    assert_eq!((stats.lost, stats.late, missing(&manifest, GapReason::Lost)), (0, 0, 0));
    for seed in 1..=4u32 {
        let mut random = Random(seed * 7_919);
        let mut order = Vec::new();
        for &(ms, n) in &straight {
            // One in ten is not delayed, so that the path's least delay is known.
            let jitter = |random: &mut Random| ((random.next() + 1.0) * 80.0) as u64;
            // The first packets prove the sender by their order.
            let delay = if n % 10 == 0 || n < 10 { 0 } else { jitter(&mut random) };
            order.push((ms + delay, n));
            if n >= 10 && n % 5 == 3 {
                order.push((ms + jitter(&mut random), n));
            }
        }
        order.sort_by_key(|&(ms, _)| ms);
        let (file, _, stats) = play(&order);
        assert_eq!((stats.lost, stats.late), (0, 0), "seed {seed}");
        assert_eq!(stats.duplicate as usize, payloads.len() / 5 - 2, "seed {seed}");
        assert!(file == expected, "seed {seed}: another file");
    }
}

#[test]
fn an_hour_of_drift_and_loss_stays_within_forty_milliseconds() {
    hour(200.0, "20 %", |random, _| random.next() < -0.6);
    hour(-200.0, "bursts", |_, n| n % 300 > 285);
}

#[test]
#[ignore = "takes minutes: every loss with every drift"]
fn hours_of_every_drift_and_loss_stay_within_forty_milliseconds() {
    for ppm in [-200.0, 0.0, 200.0] {
        hour(ppm, "none", |_, _| false);
        hour(ppm, "1 %", |random, _| random.next() < -0.98);
        hour(ppm, "5 %", |random, _| random.next() < -0.9);
        hour(ppm, "20 %", |random, _| random.next() < -0.6);
        hour(ppm, "bursts", |_, n| n % 300 > 285);
    }
}

/// An hour in which a sentence is said every five minutes, by a sender whose clock is off.
fn hour(ppm: f64, name: &str, lost: impl Fn(&mut Random, usize) -> bool) {
    const FRAMES: usize = 180_000;
    const EVERY: usize = 15_000;
    const SENTENCE: usize = 100;
    let (said, payloads) = spoken(2);
    let silence = vec![0xd5; FRAME];
    let mut chain = Chain::new(PCMA, 0);
    let mut random = Random(77);
    let (mut dropped, mut last) = (0u64, 0);
    let true_ms = |n: usize| n as f64 * 20.0 * (1.0 + ppm / 1e6);
    for n in (0..FRAMES).take_while(|&n| true_ms(n) < 3_599_900.0) {
        let speaks = n % EVERY < SENTENCE && n >= EVERY;
        // A sentence comes whole, so that it can be found again.
        if !speaks && lost(&mut random, n) {
            dropped += 1;
            continue;
        }
        let payload = if speaks { &payloads[n % EVERY] } else { &silence };
        let jitter_ms = random.next().abs() * 15.0;
        last = ((true_ms(n) + jitter_ms) as u64).max(last);
        chain.hear(0, last, 8, n as u16, (n * FRAME) as u32, payload);
    }
    let (file, manifest, stats) = chain.end(3_600_000);
    assert_eq!(manifest.duration_ms, 3_600_000, "{name}, {ppm} ppm");
    assert!(stats.lost.abs_diff(dropped) <= 16, "{name}, {ppm} ppm: {} of {dropped} counted", stats.lost);
    assert!(dropped == 0 || missing(&manifest, GapReason::Lost) > 0, "{name}");
    let heard = rendered(&file, 8_000);
    let mut worst = 0.0f64;
    for n in (EVERY..FRAMES).step_by(EVERY) {
        let from = true_ms(n) as usize + 1_000 - MOST_OFF_MS as usize;
        let found = off_ms(&heard, from, &said[8_000..12_000], 2 * MOST_OFF_MS) - MOST_OFF_MS as f64;
        worst = if found.abs() > worst.abs() { found } else { worst };
    }
    println!("{name}, {ppm} ppm: at most {worst:.1} ms off, {} lost", stats.lost);
    assert!(worst.abs() <= MOST_OFF_MS as f64, "{name}, {ppm} ppm: {worst:.1} ms off");
}

#[test]
fn jumps_of_the_timestamp_cost_nothing_and_fill_nothing() {
    let (said, payloads) = spoken(12);
    let hours = 8_000u32 * 3_600;
    for jump in [hours, 10 * hours, 0u32.wrapping_sub(hours), 1 << 31, 9_000, 0u32.wrapping_sub(9_000)] {
        let mut chain = Chain::new(PCMA, 0);
        for (n, payload) in payloads.iter().enumerate() {
            let jumped = if n >= 300 { jump } else { 0 };
            let timestamp = ((n * FRAME) as u32).wrapping_add(jumped);
            chain.hear(0, n as u64 * 20, 8, n as u16, timestamp, payload);
        }
        let (file, manifest, stats) = chain.end(12_000);
        assert_eq!((manifest.duration_ms, stats.lost), (12_000, 0), "jump by {jump}");
        let silent: u32 = manifest.gaps.iter().map(|gap| gap.to_frame - gap.from_frame).sum();
        assert!(silent <= 3, "jump by {jump}: {:?}", manifest.gaps);
        let heard = rendered(&file, 8_000);
        for from_ms in [2_000, 4_000, 7_000, 9_000] {
            let off = off_ms(&heard, from_ms, &said[from_ms * 8..from_ms * 8 + 4_000], 24);
            assert!(off.abs() <= 20.0, "jump by {jump}: {off} ms off at {from_ms} ms");
        }
    }
}

#[test]
fn a_sender_that_starts_anew_goes_on_in_its_place_and_the_pause_is_marked() {
    let (said, payloads) = spoken(12);
    let mut chain = Chain::new(PCMA, 0);
    for (n, payload) in payloads.iter().enumerate() {
        let ms = n as u64 * 20;
        match n {
            0..200 => chain.hear(0, ms, 8, n as u16, (n * FRAME) as u32, payload),
            // The process behind the address starts again: other SSRC, sequence and timestamp.
            200..300 => chain.run_to(ms),
            _ => chain.hear_from(9, 0, ms, 8, 40_000 + n as u16, 3_000_000_000 + (n * FRAME) as u32, payload),
        }
    }
    let (file, manifest, stats) = chain.end(12_000);
    assert_eq!((manifest.duration_ms, stats.lost), (12_000, 0));
    let away: u32 = manifest.gaps.iter().map(|gap| gap.to_frame - gap.from_frame).sum();
    // Five packets prove the new sender.
    assert!((98..=108).contains(&away), "{:?}", manifest.gaps);
    let heard = rendered(&file, 8_000);
    for from_ms in [2_000, 7_000, 10_000] {
        let off = off_ms(&heard, from_ms, &said[from_ms * 8..from_ms * 8 + 4_000], 24);
        assert!(off.abs() <= 5.0, "{off} ms off at {from_ms} ms");
    }
}

#[test]
fn a_hold_of_an_hour_is_bounded_and_marked() {
    hold(3_600_000, false);
}

#[test]
#[ignore = "takes minutes: ten hours twice"]
fn a_hold_of_ten_hours_is_bounded_and_marked_whichever_way_its_clock_went() {
    hold(10 * 3_600_000, true);
    hold(10 * 3_600_000, false);
}

/// A party is held so long; whether its sender's clock runs on meanwhile.
fn hold(hold_ms: u64, runs_on: bool) {
    let (said, payloads) = spoken(4);
    let mut chain = Chain::new(&[&[(8, Encoding::Pcma)], &[(8, Encoding::Pcma)]], 0);
    for (n, payload) in payloads.iter().enumerate() {
        chain.hear(0, n as u64 * 20, 8, n as u16, (n * FRAME) as u32, payload);
    }
    // The other party keeps the call alive.
    for n in 0..hold_ms / 30_000 {
        chain.hear(1, 4_000 + n * 30_000, 8, n as u16, n as u32 * 240_000, &[0xd5; FRAME]);
    }
    let clock = if runs_on { (hold_ms * 8) as u32 } else { 0 };
    for (n, payload) in payloads.iter().enumerate() {
        let n = payloads.len() + n;
        let timestamp = clock.wrapping_add((n * FRAME) as u32);
        chain.hear(0, hold_ms + n as u64 * 20, 8, n as u16, timestamp, payload);
    }
    let (file, manifest, stats) = chain.end(hold_ms + 8_000);
    assert_eq!((manifest.duration_ms, stats.lost), (hold_ms + 8_000, 0));
    let held: u32 =
        manifest.gaps.iter().filter(|gap| gap.stream.0 == 0).map(|gap| gap.to_frame - gap.from_frame).sum();
    assert!(held.abs_diff(hold_ms as u32 / 20) <= 210, "clock runs on {runs_on}: {held} frames held");
    assert!(stats.frames_coded < 1_500, "{} frames were coded", stats.frames_coded);
    assert!(file.len() < 80_000_000, "{} bytes", file.len());
    let tail = tail_of(&file, 4);
    let off = off_ms(&tail, 1_000, &said[8_000..14_000], 24);
    assert!(off.abs() <= 20.0, "clock runs on {runs_on}: {off} ms off");
}

/// The last seconds of the first channel, without decoding the hours before.
fn tail_of(file: &[u8], seconds: usize) -> Vec<i16> {
    let mut reader = ogg::PacketReader::new(std::io::Cursor::new(file));
    let all: Vec<_> = std::iter::from_fn(|| reader.read_packet().unwrap()).collect();
    let mut decoder = opus::MSDecoder::new(8_000, 2, 0, &[0, 1]).unwrap();
    let from = all.len() - 1 - seconds * 50;
    let mut samples = Vec::new();
    // Some packets before let the decoder settle.
    for (n, packet) in all.iter().enumerate().skip(from - 50) {
        let mut block = [0; 2 * FRAME];
        decoder.decode(&packet.data, &mut block, false).unwrap();
        if n >= from {
            samples.extend(block.iter().step_by(2));
        }
    }
    samples.drain(..52);
    samples
}

#[test]
fn an_endless_run_of_jumps_stays_bounded() {
    let mut chain = Chain::new(PCMA, 0);
    let mut random = Random(5);
    for n in 0..3_000u64 {
        // In order at first: who never sends two packets in order is taken for no sender.
        let in_order = n < 100;
        let timestamp = if in_order { n as u32 * 160 } else { (random.next() * 4e9) as i64 as u32 };
        let sequence = if in_order { n as u16 } else { (random.next() * 6e4) as i32 as u16 };
        chain.hear(0, n * 20, 8, sequence, timestamp, &[0x55; FRAME]);
    }
    let (_, manifest, stats) = chain.end(60_000);
    assert_eq!(manifest.duration_ms, 60_000);
    assert_eq!(stats.received, 3_000);
}
