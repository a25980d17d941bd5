//! Processor time of the library that `opusic-sys` builds ÷ that of lanes, for the same frames: plain
//! and in lanes in turn, tick by tick, on one thread. Every packet is compared.
//!
//! `cargo bench --bench ratio -- [STREAMS] [SECONDS] [Avx2|Avx512]`

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Encoder, Frame, Random, speech, thread_ns};
use opus_lanes::{Lanes, Path};

const TICK: usize = 5;

/// Length and bytes of the packets of a tick; no bytes where there was none.
type Packets = [(usize, [u8; 400]); TICK];

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let streams = numbers.first().copied().unwrap_or(256);
    let seconds = numbers.get(1).copied().unwrap_or(4);
    let each = seconds * 8_000;
    let speech = speech(streams * each);
    let speech: Vec<_> = speech.chunks_exact(each).collect();
    let only = std::env::args().find(|argument| argument.starts_with("Avx"));
    for path in
        Path::available().iter().filter(|path| only.as_ref().is_none_or(|only| *only == format!("{path:?}")))
    {
        for (name, complexity) in [
            ("both talk, complexity 5", Some(5)),
            ("both talk, 3", Some(3)),
            ("both talk, 0", Some(0)),
            ("conversation", None),
        ] {
            measure(*path, name, &speech, &plan(speech.len(), seconds * 50, complexity));
        }
    }
}

/// Complexity of each frame of each stream; in a conversation some 46 % are coded, soft ones at a lower one.
fn plan(streams: usize, frames: usize, complexity: Option<i32>) -> Vec<Vec<Option<i32>>> {
    if complexity.is_some() {
        return vec![vec![complexity; frames]; streams];
    }
    let mut random = Random::new(7);
    let mut plan = Vec::new();
    for _ in 0..streams {
        let mut talks = random.below(100) < 46;
        let mut stream = Vec::new();
        while stream.len() < frames {
            let mut left = 50 + random.below(150);
            while left > 0 {
                let run = (3 + random.below(18)).min(left);
                let complexity =
                    [5, 3, 0][(random.below(100) / 5).saturating_sub(10).div_ceil(5).min(2) as usize];
                stream.extend((0..run).map(|_| talks.then_some(complexity)));
                left -= run;
            }
            talks = random.below(100) < if talks { 32 } else { 58 };
        }
        stream.truncate(frames);
        plan.push(stream);
    }
    plan
}

fn measure(path: Path, name: &str, speech: &[&[i16]], plan: &[Vec<Option<i32>>]) {
    let mut lanes = Lanes::new(path);
    let fresh = |of_lanes| speech.iter().map(|_| Encoder::new(of_lanes, 8_000)).collect::<Vec<_>>();
    let (mut plain, mut batched) = (fresh(false), fresh(true));
    let (mut plain_ns, mut lanes_ns, mut frames, mut differ) = (0, 0, 0u64, 0);
    let mut ratios = Vec::new();
    let code = |stream: usize, encoder: &mut Encoder, tick: usize, packets: &mut Packets| {
        for (n, (length, packet)) in (tick * TICK..).zip(packets) {
            *length = 0;
            if let Some(complexity) = plan[stream][n] {
                let frame = Frame { complexity, bitrate: 16_000, vbr: true, reset: false };
                *length = encoder.encode_into(&speech[stream][n * 160..][..160], frame, packet);
            }
        }
    };
    let mut expected = vec![[(0, [0; 400]); TICK]; speech.len()];
    let mut packets = expected.clone();
    for tick in 0..plan[0].len() / TICK {
        let start = thread_ns();
        for (stream, (encoder, packets)) in plain.iter_mut().zip(&mut expected).enumerate() {
            code(stream, encoder, tick, packets);
        }
        let middle = thread_ns();
        let tasks = batched.iter_mut().zip(&mut packets).enumerate();
        let results = lanes.run(tasks, |(stream, (encoder, packets))| code(stream, encoder, tick, packets));
        let end = thread_ns();
        results.into_iter().for_each(|result| result.expect("no task panics"));
        plain_ns += middle - start;
        lanes_ns += end - middle;
        ratios.push((middle - start) as f64 / (end - middle) as f64);
        for ((length, packet), (other_length, other)) in
            expected.iter().flatten().zip(packets.iter().flatten())
        {
            frames += u64::from(*length > 0);
            differ += u64::from(packet[..*length] != other[..*other_length]);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let counts = lanes.counts();
    println!(
        "{path:?}, {name}: {} streams, {frames} packets, {differ} differ; plain ÷ lanes {:.2} (median of ticks \
         {:.2}); {:.1} µs → {:.1} µs a frame; {:.2} calls a batch, {} redone",
        speech.len(),
        plain_ns as f64 / lanes_ns as f64,
        ratios[ratios.len() / 2],
        plain_ns as f64 / frames as f64 / 1e3,
        lanes_ns as f64 / frames as f64 / 1e3,
        counts.calls as f64 / counts.batches.max(1) as f64,
        counts.redone,
    );
    assert_eq!(differ, 0, "packets differ");
}
