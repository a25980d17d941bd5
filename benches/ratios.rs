//! The quick comparison for CI: the whole chain from datagrams to Opus packets against bare
//! libopus on the same frames, in one run. Fails where the chain costs too much.
//!
//! Interleaved rounds and the median of their ratios: the machine may be busy, the ratio holds.

mod chain;
#[path = "chain/legs.rs"]
mod legs;

use std::time::{Duration, Instant};

use optag::load::speech::Voices;

const SECONDS: usize = 10;
const ROUNDS: usize = 9;

fn bare(legs: [&[i16]; 2]) -> Duration {
    let mut encoders = [0, 1].map(|_| {
        let mut encoder =
            opus::Encoder::new(8_000, opus::Channels::Mono, opus::Application::Voip).expect("8 kHz mono");
        encoder.set_bitrate(opus::Bitrate::Bits(16_000)).expect("a bit rate");
        encoder.set_complexity(5).expect("a complexity");
        encoder.set_signal(opus::Signal::Voice).expect("voice");
        encoder
    });
    let mut packet = [0; 1_275];
    let started = Instant::now();
    for (encoder, samples) in encoders.iter_mut().zip(legs) {
        for frame in samples.chunks_exact(160) {
            encoder.encode(frame, &mut packet).expect("a frame of 20 ms");
        }
    }
    started.elapsed()
}

fn median_ratio(activity: f64) -> f64 {
    let voices = Voices::embedded(activity).expect("the embedded speech");
    let length = SECONDS * 8_000;
    let samples = [&voices.caller[..length], &voices.employee[..length]];
    let legs = [chain::packets(samples[0], 1), chain::packets(samples[1], 2)];
    let mut ratios: Vec<f64> =
        (0..ROUNDS).map(|_| legs::play(&legs).as_secs_f64() / bare(samples).as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ROUNDS / 2]
}

fn main() {
    let talking = median_ratio(1.0);
    let conversation = median_ratio(0.45);
    println!("datagrams to Opus packets ÷ bare libopus encoding every frame, median of {ROUNDS} rounds:");
    println!("both legs talking         {talking:.3} (at most 1.25)");
    println!("conversation, 45 % each   {conversation:.3} (at most 0.65)");
    assert!(talking <= 1.25, "the chain costs too much beside the encoder");
    assert!(conversation <= 0.65, "silence costs too much");
}
