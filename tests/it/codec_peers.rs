//! Codecs against programs that others wrote, over real speech and noise: libgsm and ffmpeg's own
//! G.726, as files and as RTP.

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use optag_media::codec::Encoding;
use optag_media::codec::decoder::{Decoder, LONGEST_SAMPLES};
use optag_media::codec::g726::{Packing, Rate};
use optag_media::codec::gsm_encoder;
use optag_media::rtp::packet::RtpPacket;
use optag_sip::sdp;

use crate::chain::{Chain, correlation};
use crate::codecs::rendered;
use crate::sounds;

/// The least that ffmpeg's G.726 and ours may be alike. Units: dB.
const ALIKE_DB: f64 = 20.0;

const fn g726(rate: Rate, packing: Packing) -> Encoding {
    Encoding::G726 { rate, packing }
}

/// Speech of two sets, quiet and loud, and noise that overdrives every coder.
fn sounds() -> Vec<(String, Vec<i16>)> {
    let mut seed = 5u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as i16
    };
    let noise: Vec<i16> = (0..40_000).map(|_| noise()).collect();
    let mut all = vec![("noise".to_owned(), noise)];
    for (name, speech) in sounds::speech() {
        let speech = &speech[..speech.len().min(240_000)];
        let scaled =
            |by: i32| speech.iter().map(move |&s| (i32::from(s) * by / 4).clamp(-32_768, 32_767) as i16);
        all.push((format!("{name}, quiet"), scaled(1).collect()));
        all.push((format!("{name}, loud"), scaled(12).collect()));
    }
    all
}

/// What ffmpeg makes of its standard input; `None` where it is not installed or lacks the codec.
fn ffmpeg(args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("in");
    std::fs::write(&from, input).unwrap();
    let args = args.iter().map(|arg| if *arg == "IN" { from.to_str().unwrap() } else { arg });
    let ran = Command::new("ffmpeg").args(["-nostdin", "-v", "fatal"]).args(args).output();
    let Ok(ran) = ran else {
        println!("skipped: ffmpeg is not installed");
        return None;
    };
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    if said.contains("Unknown encoder") || said.contains("Unknown decoder") {
        println!("skipped: {said}");
        return None;
    }
    assert!(ran.status.success(), "{said}");
    Some(ran.stdout)
}

fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.as_chunks::<2>().0.iter().map(|&bytes| i16::from_le_bytes(bytes)).collect()
}

/// Payloads of these lengths, one after the other and round again, as we decode them.
fn decoded(encoding: Encoding, coded: &[u8], lengths: &[usize]) -> Vec<i16> {
    let (mut decoder, mut all) = (Decoder::new(encoding), Vec::new());
    let mut out = [0; LONGEST_SAMPLES];
    let (mut rest, mut turn) = (coded, 0);
    while !rest.is_empty() {
        let (payload, next) = rest.split_at(lengths[turn % lengths.len()].min(rest.len()));
        let written = decoder.decode(payload, &mut out);
        all.extend_from_slice(&out[..written]);
        (rest, turn) = (next, turn + 1);
    }
    all
}

#[test]
fn simulated_telephones_send_the_frames_of_libgsm() {
    for (name, sound) in sounds() {
        let sound = &sound[..sound.len() / 160 * 160];
        let coding =
            ["-f", "s16le", "-ar", "8000", "-ac", "1", "-i", "IN", "-c:a", "libgsm", "-f", "gsm", "-"];
        let Some(theirs) = ffmpeg(&coding, &bytes(sound)) else { return };
        assert!(gsm_encoder::encode(sound) == theirs, "{name}");
    }
}

#[test]
fn gsm_gives_the_samples_of_libgsm() {
    for (name, sound) in sounds() {
        let coding =
            ["-f", "s16le", "-ar", "8000", "-ac", "1", "-i", "IN", "-c:a", "libgsm", "-f", "gsm", "-"];
        let Some(coded) = ffmpeg(&coding, &bytes(&sound)) else { return };
        let decoding = ["-c:a", "libgsm", "-f", "gsm", "-i", "IN", "-f", "s16le", "-"];
        let Some(theirs) = ffmpeg(&decoding, &coded) else { return };
        for frames in [&[1][..], &[6, 1, 3, 2, 5, 4]] {
            let lengths: Vec<usize> = frames.iter().map(|frames| frames * 33).collect();
            let ours = decoded(Encoding::Gsm, &coded, &lengths);
            assert!(ours == samples(&theirs), "{name} in packets of {frames:?} frames");
        }
    }
}

/// ffmpeg 5.1 deviates from the recommendation: it rounds another way where it mixes the scale factors,
/// and at 40 kbit/s it lets the zeros' coefficients leak twice as fast, so that what it codes there is
/// noise to every right decoder; samples beyond full scale wrap round. What is exact is tested against ITU-T's own program, with the decoder.
#[test]
fn g726_of_ffmpeg_sounds_as_ffmpeg_decodes_it() {
    for (name, sound) in sounds().into_iter().filter(|(name, _)| name.ends_with("quiet")) {
        for rate in [Rate::Kbps16, Rate::Kbps24, Rate::Kbps32] {
            let size = rate.bits().to_string();
            for (form, packing) in [("g726le", Packing::Rtp), ("g726", Packing::Aal2)] {
                let raw = ["-f", "s16le", "-ar", "8000", "-ac", "1", "-i", "IN"];
                let coding = ["-c:a", form, "-code_size", &size, "-f", form, "-"];
                let Some(coded) = ffmpeg(&[&raw[..], &coding].concat(), &bytes(&sound)) else { return };
                let decoding = ["-f", form, "-code_size", &size, "-i", "IN", "-f", "s16le", "-"];
                let Some(theirs) = ffmpeg(&decoding, &coded) else { return };
                let theirs = samples(&theirs);
                let ours = decoded(g726(rate, packing), &coded, &[20 * rate.bits() as usize]);
                assert!(ours.len().abs_diff(theirs.len()) <= 8, "{} and {}", ours.len(), theirs.len());
                let error: f64 =
                    ours.iter().zip(&theirs).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
                let power: f64 = theirs.iter().map(|&sample| f64::from(sample).powi(2)).sum();
                let alike_db = 10.0 * (power / error.max(1.0)).log10();
                assert!(alike_db > ALIKE_DB, "{name} {form} {size}: {alike_db:.1} dB");
            }
        }
    }
}

/// What ffmpeg sends of two seconds of a voice, and the description that it writes.
fn sent(args: &[&str], sound: &[i16]) -> Option<(String, Vec<Vec<u8>>)> {
    let dir = tempfile::tempdir().unwrap();
    let (from, description) = (dir.path().join("in"), dir.path().join("sdp"));
    std::fs::write(&from, bytes(sound)).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let to = format!("rtp://127.0.0.1:{}?pkt_size=412", socket.local_addr().unwrap().port());
    let child = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "fatal", "-re", "-f", "s16le", "-ar", "8000", "-ac", "1", "-i"])
        .arg(&from)
        .args(args)
        .args(["-f", "rtp", "-sdp_file"])
        .arg(&description)
        .arg(&to)
        .stdout(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: ffmpeg is not installed");
        return None;
    };
    let (mut packets, mut datagram) = (Vec::new(), [0; 2_048]);
    while let Ok(length) = socket.recv(&mut datagram) {
        packets.push(datagram[..length].to_vec());
    }
    assert!(child.wait().unwrap().success(), "{args:?}");
    Some((std::fs::read_to_string(description).unwrap(), packets))
}

#[test]
fn g726_that_ffmpeg_sends_is_recorded_by_what_its_description_says() {
    let sound = sounds::speech().remove(0).1[..16_000].to_vec();
    for (form, rate, packing) in [
        ("g726le", Rate::Kbps16, Packing::Rtp),
        ("g726le", Rate::Kbps24, Packing::Rtp),
        ("g726le", Rate::Kbps32, Packing::Rtp),
        ("g726", Rate::Kbps24, Packing::Aal2),
        ("g726", Rate::Kbps32, Packing::Aal2),
    ] {
        let size = rate.bits().to_string();
        let Some((text, packets)) = sent(&["-c:a", form, "-code_size", &size], &sound) else { return };
        let offer = sdp::parse(text.as_bytes()).unwrap();
        let format = offer.media[0].codecs[0].format.unwrap();
        assert_eq!(format.encoding, g726(rate, packing), "{text}");

        let mut chain = Chain::new(&[&[(format.payload_type, format.encoding)]], 0);
        let packets: Vec<_> = packets.iter().filter_map(|packet| RtpPacket::parse(packet).ok()).collect();
        assert!(packets.len() > 5, "{form} {size}: {} packets", packets.len());
        let first = packets[0].timestamp;
        let mut end = 0;
        for packet in &packets {
            let ms = u64::from(packet.timestamp.wrapping_sub(first)) / 8;
            end = ms + format.encoding.length_axis(packet.payload) as u64 / 48;
            chain.hear(0, ms, packet.payload_type, packet.sequence, packet.timestamp, packet.payload);
        }
        assert_eq!((chain.stats.undecodable, chain.stats.lost), (0, 0), "{form} {size}");
        let (file, ..) = chain.end(end);
        let heard = rendered(&file, 8_000);
        assert!(heard.len() > 14_000, "{form} {size}: {}", heard.len());
        let (alike, lag) = correlation(&heard[4_000..], &sound[4_000..12_000], 400);
        assert!(alike > 0.75, "{form} {size}: {alike} at {lag}");
    }
}

/// Speech that libgsm coded, in packets of one frame to six, of which some are lost.
#[test]
fn gsm_is_recorded_in_its_place_whatever_the_packets_and_losses() {
    let sound = sounds::speech().remove(0).1[..48_000].to_vec();
    let coding = ["-f", "s16le", "-ar", "8000", "-ac", "1", "-i", "IN", "-c:a", "libgsm", "-f", "gsm", "-"];
    let Some(coded) = ffmpeg(&coding, &bytes(&sound)) else { return };
    for frames in 1..=6usize {
        for loses in [false, true] {
            let mut chain = Chain::new(&[&[(3, Encoding::Gsm)]], 0);
            let packets = coded.chunks(33 * frames);
            let lost = |n: usize| loses && n % 10 == 7;
            for (n, payload) in packets.enumerate().filter(|(n, _)| !lost(*n)) {
                let ms = (n * frames * 20) as u64;
                chain.hear(0, ms, 3, n as u16, (n * frames * 160) as u32, payload);
            }
            assert_eq!(chain.stats.undecodable, 0);
            let (file, manifest, _) = chain.end(6_000);
            assert_eq!(manifest.duration_ms, 6_000);
            let heard = rendered(&file, 8_000);
            let (alike, lag) = correlation(&heard[8_000..], &sound[8_000..40_000], 60);
            // Of six frames in ten packets one is missing for 120 ms.
            assert!(alike > if loses { 0.7 } else { 0.9 }, "{frames} frames, {loses}: {alike} at {lag}");
            assert!(lag.abs() <= 32, "{frames} frames: {lag} samples off");
        }
    }
}
