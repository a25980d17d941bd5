//! Streams of any audio and settings, side by side on each path of the processor: packets are those of libopus alone.
//!
//! Input: the number of streams; then for each frame of each stream two bytes of settings and two of audio, until the
//! bytes end.
#![no_main]

#[path = "../../crates/opus-lanes/tests/common/mod.rs"]
mod common;

use common::{Encoder, Frame, Random};
use opus_lanes::{Lanes, Path};

/// More than fill the widest kernel.
const STREAMS: usize = 20;
/// Frames of a stream; an input is to take milliseconds.
const FRAMES: usize = 12;
/// Frames that a stream codes before it gives way to the next tick.
const TICK: usize = 3;

struct Stream {
    rate_hz: u32,
    frames: Vec<(Vec<i16>, Frame)>,
}

fn settings([first, second]: [u8; 2]) -> Frame {
    Frame {
        complexity: i32::from(first & 15).min(10),
        bitrate: 6_000 + i32::from(second) * 200,
        vbr: first & 16 == 0,
        reset: first & 0xe0 == 0xe0,
    }
}

/// A frame of audio by two bytes: what kind, and how loud or which.
fn audio([kind, much]: [u8; 2], samples: usize, at: usize) -> Vec<i16> {
    let mut random = Random::new(u64::from(much) << 8 | u64::from(kind));
    let loud = i32::from(much) * 128;
    let sample = |n: usize, random: &mut Random| -> i32 {
        let noise = i32::from(random.next() as i16);
        let t = (at + n) as i32;
        match kind % 8 {
            0 => 0,
            1 => noise,
            2 => noise * loud >> 15,
            3 => ((f64::from(t) * f64::from(kind) / 300.0).sin() * f64::from(loud)) as i32,
            // Pulses of a pitch, with some hiss.
            4 => (noise >> 9) + if t % (20 + i32::from(kind)) == 0 { loud } else { 0 },
            5 => if t / (1 + i32::from(kind >> 3)) % 2 == 0 { i32::from(i16::MAX) } else { i32::from(i16::MIN) },
            6 => if t % 160 < i32::from(much) / 2 { noise >> 2 } else { 0 },
            _ => if n == usize::from(much) { i32::from(i16::MIN) } else { 1 },
        }
    };
    (0..samples).map(|n| sample(n, &mut random).clamp(-32_768, 32_767) as i16).collect()
}

fn streams(bytes: &[u8]) -> Vec<Stream> {
    let Some((&count, rest)) = bytes.split_first() else { return Vec::new() };
    let count = usize::from(count) % STREAMS + 1;
    let mut streams: Vec<Stream> = (0..count)
        .map(|n| Stream { rate_hz: [8_000, 8_000, 16_000, 12_000][n % 4], frames: Vec::new() })
        .collect();
    for (n, frame) in rest.chunks_exact(4).enumerate().take(count * FRAMES) {
        let stream = &mut streams[n % count];
        let samples = stream.rate_hz as usize / 50;
        let at = stream.frames.len() * samples;
        stream.frames.push((audio([frame[2], frame[3]], samples, at), settings([frame[0], frame[1]])));
    }
    streams
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let streams = streams(bytes);
    let alone = |stream: &Stream| {
        let mut encoder = Encoder::new(false, stream.rate_hz);
        stream.frames.iter().map(|(pcm, frame)| encoder.encode(pcm, *frame)).collect::<Vec<_>>()
    };
    let expected: Vec<Vec<Vec<u8>>> = streams.iter().map(alone).collect();
    for &path in Path::available() {
        let mut lanes = Lanes::new(path);
        let mut encoders: Vec<_> = streams.iter().map(|stream| Encoder::new(true, stream.rate_hz)).collect();
        for tick in (0..FRAMES).step_by(TICK) {
            let tasks: Vec<_> = encoders.iter_mut().zip(&streams).collect();
            let packets = lanes.run(tasks, |(encoder, stream)| {
                let due = stream.frames.iter().skip(tick).take(TICK);
                due.map(|(pcm, frame)| encoder.encode(pcm, *frame)).collect::<Vec<_>>()
            });
            for (stream, packets) in packets.into_iter().enumerate() {
                let packets = packets.expect("no task panics");
                let expected = expected[stream].iter().skip(tick).take(TICK);
                assert!(packets.iter().eq(expected), "{path:?}: stream {stream}, frames from {tick} on");
            }
        }
    }
});
