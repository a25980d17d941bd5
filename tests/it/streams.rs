//! One to eight streams per call, one channel each: who speaks where in the file, according to opusinfo, both
//! decoders of ffmpeg, and our own.

use std::io::Cursor;
use std::path::Path;
use std::process::Command as Process;

use optag_media::codec::Encoding;
use optag_media::codec::coded::Codec;
use optag_storage::archive::render::{Renderer, Samples};

use crate::chain::Chain;
use crate::sounds::FRAME;

const SECONDS: usize = 3;
/// Where ffmpeg puts the channels of a file of so many, as it knows them by loudspeakers: entry
/// n of a row is the stream that its output channel n plays. Source: RFC 7845 §5.1.1.2 for the
/// order of the streams, ffmpeg's channel layouts for that of its output.
const FFMPEG: [&[usize]; 8] = [
    &[0],
    &[0, 1],
    &[0, 2, 1],
    &[0, 1, 2, 3],
    &[0, 2, 1, 3, 4],
    &[0, 2, 1, 5, 3, 4],
    &[0, 2, 1, 6, 5, 3, 4],
    &[0, 2, 1, 7, 5, 6, 3, 4],
];

fn pitch_hz(stream: usize) -> f64 {
    400.0 + 300.0 * stream as f64
}

/// A call in which each stream has its own tone.
fn record(streams: usize) -> Vec<u8> {
    let pcma: &[(u8, Encoding)] = &[(8, Encoding::Pcma)];
    let mut chain = Chain::new(&vec![pcma; streams], 0);
    let tones: Vec<Vec<u8>> = (0..streams)
        .map(|stream| {
            let turn = std::f64::consts::TAU * pitch_hz(stream) / 8_000.0;
            let wave: Vec<i16> =
                (0..SECONDS * 8_000).map(|n| ((n as f64 * turn).sin() * 8_000.0) as i16).collect();
            Codec::Pcma.encode(&wave)
        })
        .collect();
    for n in 0..SECONDS * 50 {
        for (stream, tone) in tones.iter().enumerate() {
            let payload = &tone[n * FRAME..][..FRAME];
            chain.hear(stream as u8, n as u64 * 20, 8, n as u16, (n * FRAME) as u32, payload);
        }
    }
    let (file, manifest, stats) = chain.end(SECONDS as u64 * 1_000);
    assert_eq!((manifest.duration_ms as usize, stats.lost), (SECONDS * 1_000, 0), "{streams} streams");
    file
}

/// The stream whose tone a channel contains, in its second second at 8 kHz.
fn heard_in(channel: impl Iterator<Item = i16>) -> usize {
    let samples: Vec<f64> = channel.skip(8_000).take(8_000).map(f64::from).collect();
    let power = |stream: usize| {
        let turn = std::f64::consts::TAU * pitch_hz(stream) / 8_000.0;
        let (sine, cosine) = samples.iter().enumerate().fold((0.0, 0.0), |(sine, cosine), (n, sample)| {
            (sine + sample * (n as f64 * turn).sin(), cosine + sample * (n as f64 * turn).cos())
        });
        sine.hypot(cosine)
    };
    let powers: Vec<f64> = (0..8).map(power).collect();
    let loudest = (0..8).max_by(|&a, &b| powers[a].total_cmp(&powers[b])).unwrap();
    let others = (0..8).filter(|&n| n != loudest).map(|n| powers[n]).fold(0.0, f64::max);
    assert!(powers[loudest] > 1e7 && others < powers[loudest] / 10.0, "{powers:?}");
    loudest
}

fn channels_of(samples: &[i16], channels: usize) -> Vec<usize> {
    (0..channels).map(|n| heard_in(samples.iter().skip(n).step_by(channels).copied())).collect()
}

#[test]
fn each_of_up_to_eight_streams_has_a_channel_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    for streams in 1..=8 {
        let file = record(streams);
        assert_eq!(file[28..36], *b"OpusHead");
        let family = u8::from(streams > 1);
        assert_eq!((usize::from(file[37]), file[46]), (streams, family), "{streams} streams");
        let mut renderer = Renderer::new(Cursor::new(file.clone()), 8_000).unwrap();
        let mut samples = Vec::new();
        while let Some(block) = renderer.next_block().unwrap() {
            samples.extend_from_slice(block);
        }
        assert_eq!(channels_of(&samples, streams), (0..streams).collect::<Vec<_>>(), "ours");
        let path = dir.path().join(format!("{streams}.opus"));
        std::fs::write(&path, &file).unwrap();
        opusinfo_finds_no_fault(&path, streams);
        for decoder in ["opus", "libopus"] {
            let Some(samples) = ffmpeg(decoder, &path) else { continue };
            assert_eq!(channels_of(&samples, streams), FFMPEG[streams - 1], "ffmpeg's {decoder}");
        }
    }
}

fn opusinfo_finds_no_fault(path: &Path, channels: usize) {
    let Ok(ran) = Process::new("opusinfo").arg(path).output() else {
        return println!("skipped: opusinfo (opus-tools) is not installed");
    };
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && !said.contains("WARNING") && !said.contains("ERROR"), "{said}");
    assert!(said.contains(&format!("Channels: {channels}")), "{said}");
}

fn ffmpeg(decoder: &str, path: &Path) -> Option<Vec<i16>> {
    let ran = Process::new("ffmpeg")
        .args(["-v", "error", "-c:a", decoder, "-i"])
        .arg(path)
        .args(["-ar", "8000", "-f", "s16le", "-"])
        .output();
    let Ok(ran) = ran else {
        println!("skipped: ffmpeg is not installed");
        return None;
    };
    assert!(ran.status.success(), "{decoder}: {}", String::from_utf8_lossy(&ran.stderr));
    Some(ran.stdout.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect())
}
