//! Packets of lanes are those of the library that `opusic-sys` builds, to the byte.

mod common;

use common::{Encoder, Frame, Random, harsh, recorded_speech, synthetic_voice};
use opus_lanes::{Lanes, Path};

/// A stream: its audio, and how each frame is coded.
struct Stream {
    rate_hz: u32,
    pcm: Vec<i16>,
    frames: Vec<Option<Frame>>,
}

impl Stream {
    fn new(rate_hz: u32, pcm: Vec<i16>, mut plan: impl FnMut(usize) -> Option<Frame>) -> Self {
        let count = pcm.len() / (rate_hz as usize / 50);
        Self { rate_hz, pcm, frames: (0..count).map(&mut plan).collect() }
    }
}

/// The packets of each stream, coded by the library as it is.
type Expected = Vec<Vec<Option<Vec<u8>>>>;

fn plain(streams: &[Stream]) -> Expected {
    let stream = |stream: &Stream| {
        let mut encoder = Encoder::new(false, stream.rate_hz);
        let frames = stream.pcm.chunks_exact(encoder.samples).zip(&stream.frames);
        frames.map(|(pcm, frame)| frame.map(|frame| encoder.encode(pcm, frame))).collect()
    };
    streams.iter().map(stream).collect()
}

/// Codes all streams in lanes, in ticks of five frames, and compares each packet.
fn compare(path: Path, streams: &[Stream], plain: &Expected) {
    let mut lanes = Lanes::new(path);
    let mut encoders: Vec<_> = streams.iter().map(|stream| Encoder::new(true, stream.rate_hz)).collect();
    let longest = streams.iter().map(|stream| stream.frames.len()).max().unwrap_or(0);
    let mut compared = 0;
    for tick in (0..longest).step_by(5) {
        let tasks: Vec<_> = encoders.iter_mut().zip(streams).enumerate().collect();
        let packets = lanes.run(tasks, |(_, (encoder, stream))| {
            let frames = (tick..tick + 5).filter_map(|n| {
                let pcm = stream.pcm.chunks_exact(encoder.samples).nth(n)?;
                Some((n, (*stream.frames.get(n)?)?, pcm.to_vec()))
            });
            frames
                .collect::<Vec<_>>()
                .into_iter()
                .map(|(n, frame, pcm)| (n, encoder.encode(&pcm, frame)))
                .collect::<Vec<_>>()
        });
        for (stream, packets) in packets.into_iter().enumerate() {
            for (n, packet) in packets.expect("no task panics") {
                let expected = plain[stream][n].as_ref().expect("coded plainly as well");
                assert!(
                    *expected == packet,
                    "{path:?}: stream {stream}, frame {n}, {:?}: {} bytes, not {}",
                    streams[stream].frames[n],
                    packet.len(),
                    expected.len()
                );
                compared += 1;
            }
        }
    }
    assert_eq!(compared, plain.iter().flatten().flatten().count(), "all frames are compared");
    println!("{path:?}: {compared} packets");
}

fn on_each_path(streams: &[Stream]) {
    let plain = plain(streams);
    Path::available().iter().for_each(|&path| compare(path, streams, &plain));
}

fn steady(complexity: i32, bitrate: i32) -> impl Fn(usize) -> Option<Frame> {
    move |_| Some(Frame { complexity, bitrate, vbr: true, reset: false })
}

/// All settings anew with each frame; some frames are left out, some begin with a reset.
fn changing(seed: u64) -> impl FnMut(usize) -> Option<Frame> {
    let mut random = Random::new(seed);
    move |_| {
        let frame = Frame {
            complexity: random.below(11) as i32,
            bitrate: 6_000 + random.below(34_000) as i32,
            vbr: random.below(2) == 0,
            reset: random.below(50) == 0,
        };
        (random.below(12) != 0).then_some(frame)
    }
}

#[test]
fn recorded_speech_of_both_sides_is_coded_alike() {
    let (count, each) = (40, 8_000 * 6);
    let Some(speech) = recorded_speech(count * each) else {
        println!("skipped: Asterisk's sounds are not installed");
        return;
    };
    for complexity in [5, 3] {
        let streams =
            speech.chunks_exact(each).map(|pcm| Stream::new(8_000, pcm.to_vec(), steady(complexity, 16_000)));
        on_each_path(&streams.collect::<Vec<_>>());
    }
}

#[test]
fn voices_are_coded_alike_at_every_complexity() {
    for complexity in 0..=10 {
        let streams = (0..20).map(|n| {
            let bitrate = 6_000 + n * 1_700;
            Stream::new(8_000, synthetic_voice(8_000, 8_000, n as u64), steady(complexity, bitrate))
        });
        on_each_path(&streams.collect::<Vec<_>>());
    }
}

#[test]
fn settings_that_change_with_each_frame_are_coded_alike() {
    let each = 8_000 * 5;
    let recorded = recorded_speech(16 * each);
    let streams = (0..48u64).map(|n| {
        let pcm = match (&recorded, n % 3) {
            (_, 0) => harsh(each, 8_000, n),
            (Some(speech), 1) => speech[n as usize / 3 * each..][..each].to_vec(),
            _ => synthetic_voice(each, 8_000, n),
        };
        Stream::new(8_000, pcm, changing(n))
    });
    on_each_path(&streams.collect::<Vec<_>>());
}

#[test]
fn noise_tones_clicks_and_silence_are_coded_alike() {
    let streams =
        (0..32).map(|n| Stream::new(8_000, harsh(8_000 * 6, 8_000, n), steady(4 + n as i32 % 2, 16_000)));
    on_each_path(&streams.collect::<Vec<_>>());
}

#[test]
fn streams_of_all_rates_are_coded_alike_in_one_batch() {
    let streams = (0..36u64).map(|n| {
        let rate_hz = [8_000, 12_000, 16_000][n as usize % 3];
        let samples = rate_hz as usize * 4;
        let pcm = if n % 4 == 0 { harsh(samples, rate_hz, n) } else { synthetic_voice(samples, rate_hz, n) };
        match n % 2 {
            0 => Stream::new(rate_hz, pcm, changing(n)),
            _ => Stream::new(rate_hz, pcm, steady(5, 24_000)),
        }
    });
    on_each_path(&streams.collect::<Vec<_>>());
}

#[test]
fn streams_that_begin_and_end_in_mid_batch_are_coded_alike() {
    let streams = (0..60u64).map(|n| {
        let mut random = Random::new(n);
        let (from, to) = (random.below(60) as usize, 60 + random.below(90) as usize);
        let pcm = synthetic_voice(160 * 150, 8_000, n);
        let frame = Frame { complexity: 5, bitrate: 16_000, vbr: true, reset: false };
        Stream::new(8_000, pcm, move |at| (from..to).contains(&at).then_some(frame))
    });
    on_each_path(&streams.collect::<Vec<_>>());
}
