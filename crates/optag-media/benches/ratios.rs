//! Processor time of many calls from datagrams to Opus packets ÷ that of bare libopus on the same
//! frames: one call after the other, and side by side as the engine runs them. All three in turn, tick
//! by tick, on one thread; only the ratios mean something where the machine is busy. Fails where the chain
//! costs too much.
//!
//! `cargo bench -p optag-media --bench ratios -- [CALLS] [SECONDS]`

mod chain;
#[path = "../../opus-lanes/tests/common/mod.rs"]
mod common;

use chain::Player;
use common::{Random, speech, thread_ns};
use opus_lanes::{Lanes, Path};

const TICK: usize = 5;
/// What the chain may cost, one call after the other and side by side: where both talk, and in a conversation.
const MOST: [[f64; 2]; 2] = [[1.05, 0.80], [0.65, 0.52]];

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let calls = numbers.first().copied().unwrap_or(128);
    let each = numbers.get(1).copied().unwrap_or(6) * 8_000;
    let legs = 2 * calls;
    let speech = speech(legs * each);
    println!("datagrams to Opus packets ÷ bare libopus encoding every frame, {calls} calls of two legs:");
    for (name, talk, most) in [("both legs talking", 100, MOST[0]), ("conversation, 45 % each", 45, MOST[1])]
    {
        let mut speech: Vec<Vec<i16>> = speech.chunks_exact(each).map(<[i16]>::to_vec).collect();
        for (n, leg) in speech.iter_mut().enumerate() {
            hush(leg, talk, n as u64);
        }
        measure(name, &speech, most);
    }
}

/// Leaves so much of the speech, in turns of 1 to 3 seconds. Units: per cent.
fn hush(leg: &mut [i16], talk: u32, seed: u64) {
    let mut random = Random::new(seed + 1);
    let mut at = 0;
    while at < leg.len() {
        let turn = (8_000 + random.below(16_000) as usize).min(leg.len() - at);
        if random.below(100) >= talk {
            leg[at..at + turn].fill(0);
        }
        at += turn;
    }
}

fn bare_encoder() -> opus::Encoder {
    let mut encoder =
        opus::Encoder::new(8_000, opus::Channels::Mono, opus::Application::Voip).expect("8 kHz mono");
    encoder.set_bitrate(opus::Bitrate::Bits(16_000)).expect("a bit rate");
    encoder.set_complexity(5).expect("a complexity");
    encoder.set_signal(opus::Signal::Voice).expect("voice");
    encoder
}

fn measure(name: &str, speech: &[Vec<i16>], [alone_most, together_most]: [f64; 2]) {
    let packets: Vec<_> = speech.iter().enumerate().map(|(n, leg)| chain::packets(leg, n as u32)).collect();
    let calls: Vec<_> = packets.chunks_exact(2).collect();
    let ticks = speech[0].len() / 160 / TICK;
    for path in Path::available() {
        let mut bare: Vec<_> = speech.iter().map(|_| bare_encoder()).collect();
        let players = || calls.iter().map(|_| Player::new(true)).collect::<Vec<_>>();
        let (mut alone, mut together) = (players(), players());
        let mut lanes = Lanes::new(*path);
        let mut spent = [0u64; 3];
        let mut packet = [0u8; 1_275];
        for tick in 0..ticks {
            let play = |(player, legs): (&mut Player, &&[Vec<Vec<u8>>])| {
                for (stream, packets) in legs.iter().enumerate() {
                    for (n, packet) in packets.iter().enumerate().skip(tick * TICK).take(TICK) {
                        player.hand(stream, n, packet);
                    }
                }
                player.tick(tick);
            };
            let start = thread_ns();
            for (encoder, leg) in bare.iter_mut().zip(speech) {
                for frame in leg[tick * TICK * 160..][..TICK * 160].chunks_exact(160) {
                    encoder.encode(frame, &mut packet).expect("a frame of 20 ms");
                }
            }
            let first = thread_ns();
            alone.iter_mut().zip(&calls).for_each(play);
            let second = thread_ns();
            let results = lanes.run(together.iter_mut().zip(&calls), play);
            let third = thread_ns();
            assert!(results.iter().all(Result::is_ok), "a call failed");
            for (spent, took) in spent.iter_mut().zip([first - start, second - first, third - second]) {
                *spent += took;
            }
        }
        let coded = |players: &[Player]| {
            let frames = |player: &Player| (player.stats.frames_coded, player.stats.frames_repeated);
            players.iter().map(frames).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        };
        assert_eq!(coded(&alone), coded(&together), "the same frames are coded");
        let ratio = |n: usize| spent[n] as f64 / spent[0] as f64;
        let ns = |players: &[Player]| players.iter().map(|player| player.stats.coding_ns).sum::<u64>() as f64;
        println!(
            "{name}, {path:?}: one after the other {:.3}, side by side {:.3}; in libopus {:.3}, {:.3}",
            ratio(1),
            ratio(2),
            ns(&alone) / spent[0] as f64,
            ns(&together) / spent[0] as f64,
        );
        assert!(ratio(1) <= alone_most, "the chain costs more than {alone_most} of the encoder alone");
        let is_alone = *path == Path::Plain;
        assert!(is_alone || ratio(2) <= together_most, "side by side costs more than {together_most} of it");
    }
}
