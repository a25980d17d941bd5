//! Every coding a stream may come in: heard at its place, at its level, by three decoders.

use std::io::Cursor;
use std::path::Path;
use std::process::Command as Process;

use optag_media::call::Command;
use optag_media::codec::g726::{Packing, Rate};
use optag_media::codec::{Encoding, table};
use optag_storage::archive::render::{Renderer, Samples};

use crate::chain::{Chain, correlation, levels, voice};

const G726_32: Encoding = Encoding::G726 { rate: Rate::Kbps32, packing: Packing::Rtp };
const OPUS: (u8, Encoding) = (96, Encoding::Opus);

/// All samples of a one-stream file.
pub(crate) fn rendered(file: &[u8], rate_hz: u32) -> Vec<i16> {
    let mut renderer = Renderer::new(Cursor::new(file.to_vec()), rate_hz).unwrap();
    let mut samples = Vec::new();
    while let Some(block) = renderer.next_block().unwrap() {
        samples.extend_from_slice(block);
    }
    samples
}

/// The stored packets of a one-stream file.
pub(crate) fn packets(file: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = ogg::PacketReader::new(Cursor::new(file));
    std::iter::from_fn(|| reader.read_packet().unwrap()).skip(2).map(|packet| packet.data).collect()
}

fn linear(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_be_bytes()).collect()
}

/// Payloads of 20 ms of a coding, from samples at its own rate.
fn coded(encoding: Encoding, samples: &[i16]) -> Vec<Vec<u8>> {
    use optag_media::codec::coded::Codec;
    match encoding {
        Encoding::Pcmu => Codec::Pcmu.encode(samples).chunks(160).map(<[u8]>::to_vec).collect(),
        Encoding::Pcma => Codec::Pcma.encode(samples).chunks(160).map(<[u8]>::to_vec).collect(),
        Encoding::G726 { rate, packing } => {
            let coded = Codec::G726(rate, packing).encode(samples);
            coded.chunks(20 * rate.bits() as usize).map(<[u8]>::to_vec).collect()
        }
        Encoding::Gsm => Codec::Gsm.encode(samples).chunks(33).map(<[u8]>::to_vec).collect(),
        Encoding::G729 | Encoding::Amr { .. } | Encoding::AmrWb { .. } => {
            unreachable!("not sent here")
        }
        Encoding::G722 => {
            let mut encoder = audio_codec::g722::G722Encoder::new();
            let mut bytes = vec![0; samples.len() / 2];
            audio_codec::Encoder::encode_into(&mut encoder, samples, &mut bytes).unwrap();
            bytes.chunks(160).map(<[u8]>::to_vec).collect()
        }
        Encoding::L16 { rate_hz } => samples.chunks(rate_hz as usize / 50).map(linear).collect(),
        Encoding::Opus => opus_packets(samples, Shape::Speech, 20),
    }
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Linear prediction, wideband.
    Speech,
    /// Both, fullband.
    Hybrid,
    /// Transform, fullband.
    Music,
}

/// Opus of 16 kHz samples as a telephone sends it, with in-band FEC.
fn opus_packets(samples: &[i16], shape: Shape, packet_ms: usize) -> Vec<Vec<u8>> {
    use opus::{Application, Bandwidth, Bitrate, Channels, Encoder};
    let (application, bandwidth, bps) = match shape {
        Shape::Speech => (Application::Voip, Bandwidth::Wideband, 20_000),
        Shape::Hybrid => (Application::Voip, Bandwidth::Fullband, 32_000),
        Shape::Music => (Application::LowDelay, Bandwidth::Fullband, 48_000),
    };
    let mut encoder = Encoder::new(48_000, Channels::Mono, application).unwrap();
    encoder.set_bitrate(Bitrate::Bits(bps)).unwrap();
    encoder.set_bandwidth(bandwidth).unwrap();
    encoder.set_inband_fec(true).unwrap();
    encoder.set_packet_loss_perc(10).unwrap();
    let wide: Vec<i16> = samples
        .iter()
        .zip(samples.iter().skip(1).chain([&0]))
        .flat_map(|(&a, &b)| {
            let (a, b) = (i32::from(a), i32::from(b));
            [a as i16, ((2 * a + b) / 3) as i16, ((a + 2 * b) / 3) as i16]
        })
        .collect();
    wide.chunks_exact(48 * packet_ms).map(|frame| encoder.encode_vec(frame, 1_275).unwrap()).collect()
}

/// Plays payloads of 20 ms in real time into a recording.
fn record(
    encoding: (u8, Encoding),
    payloads: &[Vec<u8>],
    pass: u32,
) -> (Vec<u8>, optag_storage::archive::manifest::Manifest) {
    let mut chain = Chain::new(&[&[encoding]], pass);
    for (n, payload) in payloads.iter().enumerate() {
        let ticks = encoding.1.clock_hz() / 50 * n as u32;
        chain.hear(0, n as u64 * 20 + 1, encoding.0, n as u16, ticks, payload);
    }
    let (file, manifest, _) = chain.end(payloads.len() as u64 * 20);
    (file, manifest)
}

#[test]
fn every_coding_is_heard_in_its_place_and_at_its_rate() {
    let cases = [
        (0, Encoding::Pcmu, 8_000, 0),
        (8, Encoding::Pcma, 8_000, 0),
        (9, Encoding::G722, 16_000, 0),
        (2, G726_32, 8_000, 0),
        (97, Encoding::G726 { rate: Rate::Kbps40, packing: Packing::Aal2 }, 8_000, 0),
        (97, Encoding::G726 { rate: Rate::Kbps24, packing: Packing::Rtp }, 8_000, 0),
        (3, Encoding::Gsm, 8_000, 0),
        (97, Encoding::L16 { rate_hz: 8_000 }, 8_000, 0),
        (97, Encoding::L16 { rate_hz: 16_000 }, 16_000, 0),
        (97, Encoding::L16 { rate_hz: 48_000 }, 48_000, 0),
        (96, Encoding::Opus, 16_000, 0),
        (96, Encoding::Opus, 16_000, 64_000),
    ];
    for (payload_type, encoding, rate_hz, pass) in cases {
        let said = voice(rate_hz, 6, 1_500.0);
        let payloads = coded(encoding, &said);
        let (file, manifest) = record((payload_type, encoding), &payloads, pass);
        assert_eq!(manifest.duration_ms, 6_000, "{encoding}");
        assert!(manifest.audio_rate_hz >= rate_hz.min(16_000), "{encoding}: {}", manifest.audio_rate_hz);
        let heard = rendered(&file, rate_hz);
        assert_eq!(heard.len(), said.len(), "{encoding}");
        let middle = rate_hz as usize..said.len() - rate_hz as usize;
        // Half of what may be off is looked for; packets arrive after a millisecond.
        let shift = i64::from(rate_hz) / 1_000;
        let (match_, lag) = correlation(&heard[middle.start..], &said[middle.clone()], shift * 5);
        assert!(match_ > 0.85, "{encoding} at {rate_hz} with {pass}: {match_} at {lag}");
        assert!(lag.abs() <= shift * 4, "{encoding}: {lag} samples off");
    }
}

#[test]
fn opus_is_kept_byte_for_byte_and_longer_packets_are_taken_apart() {
    let said = voice(16_000, 4, 6_000.0);
    for shape in [Shape::Speech, Shape::Hybrid, Shape::Music] {
        let sent = opus_packets(&said, shape, 20);
        let (file, manifest) = record(OPUS, &sent, 64_000);
        let kept = packets(&file);
        let first = kept.iter().position(|packet| packet == &sent[2]).expect("the third packet") - 2;
        for (n, packet) in sent.iter().enumerate().skip(2).take(190) {
            assert!(kept[first + n] == *packet, "{shape:?}: packet {n}");
        }
        assert_eq!(manifest.duration_ms, 4_000);
    }
    let sent = opus_packets(&said, Shape::Music, 40);
    let mut chain = Chain::new(&[&[OPUS]], 64_000);
    for (n, payload) in sent.iter().enumerate() {
        chain.hear(0, n as u64 * 40 + 1, 96, n as u16, n as u32 * 1_920, payload);
    }
    let (_, _, stats) = chain.end(4_000);
    assert_eq!(stats.frames_coded, 0, "40 ms packets of 20 ms frames need no decoding");
    let said = voice(16_000, 4, 1_500.0);
    let sent = opus_packets(&said, Shape::Speech, 60);
    let mut chain = Chain::new(&[&[OPUS]], 64_000);
    for (n, payload) in sent.iter().enumerate() {
        chain.hear(0, n as u64 * 60 + 1, 96, n as u16, n as u32 * 2_880, payload);
    }
    let (file, _, stats) = chain.end(3_900);
    assert!(stats.frames_coded > 100, "speech frames of 60 ms are decoded");
    let heard = rendered(&file, 16_000);
    assert!(correlation(&heard[16_000..], &said[16_000..48_000], 60).0 > 0.85);
}

#[test]
fn a_stream_richer_than_the_cap_is_coded_anew() {
    let said = voice(16_000, 14, 6_000.0);
    let mut chain = Chain::new(&[&[OPUS]], 20_000);
    let sent = opus_packets(&said, Shape::Music, 20);
    for (n, payload) in sent.iter().enumerate() {
        chain.hear(0, n as u64 * 20 + 1, 96, n as u16, n as u32 * 960, payload);
    }
    let (file, manifest, stats) = chain.end(14_000);
    assert!(stats.frames_passed > 200 && stats.frames_coded > 200, "{stats:?}");
    assert_eq!(manifest.duration_ms, 14_000);
    three_decoders_agree(&file, 14_000);
}

#[test]
fn a_stream_changes_its_coding_in_mid_call_and_nothing_shifts() {
    let narrow = voice(8_000, 12, 3_200.0);
    let wide = voice(16_000, 12, 6_400.0);
    let formats = [(8, Encoding::Pcma), (9, Encoding::G722), OPUS];
    let pcma = coded(Encoding::Pcma, &narrow);
    let g722 = coded(Encoding::G722, &wide);
    let opus = coded(Encoding::Opus, &wide);
    let mut chain = Chain::new(&[&formats], 64_000);
    for n in 0..600usize {
        let (payload_type, payload, ticks) = match n / 150 {
            0 => (8, &pcma[n], 160 * n as u32),
            1 => (9, &g722[n], 160 * n as u32),
            2 => (96, &opus[n], 960 * n as u32),
            _ => (8, &pcma[n], 160 * n as u32),
        };
        chain.hear(0, n as u64 * 20 + 1, payload_type, n as u16, ticks, payload);
    }
    let (file, manifest, _) = chain.end(12_000);
    assert_eq!((manifest.duration_ms, manifest.audio_rate_hz), (12_000, 16_000));
    assert!(
        manifest.gaps.iter().map(|gap| gap.to_frame - gap.from_frame).sum::<u32>() <= 4,
        "{:?}",
        manifest.gaps
    );
    let heard = rendered(&file, 8_000);
    for part in [8_000..23_000, 26_000..46_000, 50_000..70_000, 76_000..94_000] {
        let (match_, lag) = correlation(&heard[part.start..], &narrow[part.clone()], 120);
        assert!(match_ > 0.75 && lag.abs() <= 100, "{part:?}: {match_} at {lag}");
    }
    three_decoders_agree(&file, 12_000);
}

#[test]
fn kept_opus_with_losses_holds_and_pauses_plays_alike_everywhere() {
    for shape in [Shape::Speech, Shape::Hybrid, Shape::Music] {
        let said = voice(16_000, 20, 6_400.0);
        let sent = opus_packets(&said, shape, 20);
        let mut chain = Chain::new(&[&[OPUS]], 64_000);
        let mut sequence = 0;
        for (n, payload) in sent.iter().enumerate() {
            let lost = (n > 100 && n < 300 && n % 20 == 7) || (n > 320 && n < 335);
            let held = (400..500).contains(&n);
            match n {
                600 => chain.command(Command::Pause),
                700 => chain.command(Command::Resume),
                _ => {}
            }
            if !held {
                sequence += 1;
            }
            if !lost && !held {
                chain.hear(0, n as u64 * 20 + 1, 96, sequence, n as u32 * 960, payload);
            } else {
                chain.run_to(n as u64 * 20 + 1);
            }
        }
        let (file, manifest, stats) = chain.end(20_000);
        assert_eq!(manifest.duration_ms, 20_000, "{shape:?}");
        assert_eq!(stats.lost, 24, "{shape:?}");
        assert!(packets(&file).iter().all(|packet| packet.len() > 1), "{shape:?}: a bare table of contents");
        let heard = levels(&rendered(&file, 16_000), 1_600);
        let spoken = levels(&said, 1_600);
        for n in 11..59 {
            // Single losses are concealed; what is there is as loud as it was.
            assert!(heard[n] > spoken[n] * 0.4 - 100.0, "{shape:?}: {n}: {} of {}", heard[n], spoken[n]);
        }
        for n in (82..99).chain(122..139) {
            assert!(heard[n] < 60.0, "{shape:?}: tenth of a second {n} is not silent: {}", heard[n]);
        }
        three_decoders_agree(&file, 20_000);
    }
}

#[test]
fn packets_of_any_length_lie_where_they_belong() {
    let said = voice(8_000, 6, 1_500.0);
    let whole = coded(Encoding::Pcma, &said).concat();
    for packet_ms in [10, 20, 30, 40, 60, 120] {
        let mut chain = Chain::new(&[&[(8, Encoding::Pcma)]], 0);
        for (n, payload) in whole.chunks(8 * packet_ms).enumerate() {
            let sent_at = (n * packet_ms) as u64;
            chain.hear(0, sent_at + 1, 8, n as u16, sent_at as u32 * 8, payload);
        }
        let (file, manifest, stats) = chain.end(6_000);
        assert_eq!((manifest.duration_ms, stats.lost, stats.late), (6_000, 0, 0), "{packet_ms} ms");
        let heard = rendered(&file, 8_000);
        let (match_, lag) = correlation(&heard[8_000..], &said[8_000..40_000], 40);
        assert!(match_ > 0.9 && lag.abs() <= 9, "{packet_ms} ms: {match_} at {lag}");
    }
}

/// libopus (ours and ffmpeg's) and ffmpeg's own decoder find the same level in every span.
pub(crate) fn three_decoders_agree(file: &[u8], duration_ms: u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.opus");
    std::fs::write(&path, file).unwrap();
    let ours = levels(&rendered(file, 16_000), 8_000);
    assert_eq!(ours.len() as u64, duration_ms / 500);
    for decoder in ["opus", "libopus"] {
        let Some(theirs) = decode(decoder, &path) else { return };
        assert!(theirs.len().abs_diff(ours.len()) <= 1, "{decoder}: {} of {}", theirs.len(), ours.len());
        for (n, (a, b)) in ours.iter().zip(&theirs).enumerate() {
            assert!((a - b).abs() <= 40.0 + 0.2 * a.max(*b), "{decoder}, half second {n}: {a} and {b}");
        }
    }
}

fn decode(decoder: &str, path: &Path) -> Option<Vec<f64>> {
    let ran = Process::new("ffmpeg")
        .args(["-v", "error", "-c:a", decoder, "-i"])
        .arg(path)
        .args(["-ar", "16000", "-ac", "1", "-f", "s16le", "-"])
        .output();
    let Ok(ran) = ran else {
        println!("skipped: ffmpeg is not installed");
        return None;
    };
    assert!(ran.status.success(), "{decoder}: {}", String::from_utf8_lossy(&ran.stderr));
    let samples: Vec<i16> = ran.stdout.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    Some(levels(&samples, 8_000))
}

/// One row of the documentation for each of the table.
#[test]
fn the_documentation_lists_the_codecs_of_the_table() {
    let docs =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/feeding.md")).unwrap();
    let listed: Vec<_> = docs
        .lines()
        .skip_while(|line| !line.starts_with("| `codec` |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let rows = table::TABLE.iter().map(|codec| {
        let own = codec.static_payload_type.map_or("none".to_owned(), |own| own.to_string());
        let built = codec.feature.map_or("always".to_owned(), |name| format!("with the feature `{name}`"));
        let fmtp = codec.fmtp.map(|fmtp| format!(" with `{fmtp}`")).unwrap_or_default();
        let (name, rtpmap, title, source) = (codec.name, codec.rtpmap(), codec.title, codec.source);
        format!("| `{name}` | {title} | `{rtpmap}`{fmtp} | {own} | {source} | {built} |")
    });
    assert_eq!(listed, rows.collect::<Vec<_>>());
}
