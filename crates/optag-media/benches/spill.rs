//! What it costs to keep audio until it is encoded, beside encoding it at once: bytes ÷ those of G.711,
//! processor time of a frame packed ÷ encoded, and of the whole chain from datagrams on, side by side as the
//! engine runs calls. All in turn on one thread; only the ratios mean something where the machine is busy.
//!
//! `cargo bench -p optag-media --bench spill -- [CALLS] [SECONDS]`

mod chain;
#[path = "../../opus-lanes/tests/common/mod.rs"]
mod common;

use chain::{OPUS, Player};
use common::{speech, thread_ns};
use optag_media::codec::coded::Codec;
use optag_media::codec::g711::decode_alaw;
use optag_media::opus::encoder::{Encoder, OpusSettings};
use optag_media::opus::noise_classifier::{Loudness, Sound, is_silent};
use optag_media::spill::packed_frame::{Content, Given, pack};
use optag_media::stream::coder::When;
use opus_lanes::{Lanes, Path};

const TICK: usize = 5;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let calls = numbers.first().copied().unwrap_or(64);
    let each = numbers.get(1).copied().unwrap_or(10) * 8_000;
    let speech = speech(2 * calls * each);
    let legs: Vec<Vec<i16>> = speech.chunks_exact(each).map(<[i16]>::to_vec).collect();
    frames(&legs);
    chains(&legs);
}

/// Frame by frame, each by itself.
fn frames(legs: &[Vec<i16>]) {
    let (mut bytes, mut silent, mut count) = (0usize, 0usize, 0usize);
    let (mut packing, mut encoding) = (0u64, 0u64);
    let settings = OpusSettings { complexity: 3, saves_background: false, ..OPUS };
    let mut packed = Vec::new();
    for leg in legs {
        let mut heard = vec![0; leg.len()];
        decode_alaw(&Codec::Pcma.encode(leg), &mut heard);
        let mut encoder = Encoder::new(settings, 8_000);
        for frame in heard.chunks_exact(160) {
            count += 1;
            if is_silent(frame) {
                (silent, bytes) = (silent + 1, bytes + 1);
                continue;
            }
            let started = thread_ns();
            packed.clear();
            let content = Content::Samples(frame, Sound::Talk, Loudness::Loud);
            pack(Given::Coded { rate_hz: 8_000, fresh: false, content }, &mut packed);
            let between = thread_ns();
            encoder.encode(frame, Sound::Talk);
            encoding += thread_ns() - between;
            packing += between - started;
            bytes += packed.len();
        }
    }
    println!(
        "{count} frames, {silent} of them silent: packed ÷ G.711 {:.3} in bytes, of those with sound {:.3}; \
         packing ÷ encoding at complexity 3 {:.3} in processor time ({:.1} µs a frame)",
        bytes as f64 / (160 * count) as f64,
        (bytes - silent) as f64 / (160 * (count - silent)) as f64,
        packing as f64 / encoding as f64,
        packing as f64 / 1_000.0 / (count - silent) as f64,
    );
}

/// From datagrams to blocks.
fn chains(legs: &[Vec<i16>]) {
    let packets: Vec<_> = legs.iter().enumerate().map(|(n, leg)| chain::packets(leg, n as u32)).collect();
    let calls: Vec<_> = packets.chunks_exact(2).collect();
    let ticks = legs[0].len() / 160 / TICK;
    for path in Path::available() {
        let kinds = [(10, When::Now), (5, When::Now), (3, When::Now), (1, When::Now), (5, When::Later)];
        let mut spent = [0u64; 5];
        let mut sets = kinds.map(|(complexity, encodes)| {
            let player = || match (complexity, encodes) {
                (5, When::Now) => Player::new(true),
                _ => Player::of(true, OpusSettings { complexity, ..OPUS }, encodes),
            };
            calls.iter().map(|_| player()).collect::<Vec<_>>()
        });
        let mut lanes = Lanes::new(*path);
        for tick in 0..ticks {
            for (players, spent) in sets.iter_mut().zip(&mut spent) {
                let started = thread_ns();
                let results = lanes.run(players.iter_mut().zip(&calls), |(player, legs)| {
                    for (stream, packets) in legs.iter().enumerate() {
                        for (n, packet) in packets.iter().enumerate().skip(tick * TICK).take(TICK) {
                            player.hand(stream, n, packet);
                        }
                    }
                    player.tick(tick);
                });
                assert!(results.iter().all(Result::is_ok), "a call failed");
                *spent += thread_ns() - started;
            }
        }
        let of_lowest = spent.map(|took| took as f64 / spent[2] as f64);
        println!(
            "{path:?}, a call at complexity 10, 5, 3, 1 and packed ÷ one at complexity 3: {:.2}, {:.2}, \
             {:.2}, {:.2}, {:.2}",
            of_lowest[0], of_lowest[1], of_lowest[2], of_lowest[3], of_lowest[4],
        );
    }
}
