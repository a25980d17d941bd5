//! Keys as tones, against the built program: a yes by tone opens the recording, and of what is
//! keyed afterwards (a card number) nothing can be found, by our own look or by others' tools.

use std::f64::consts::TAU;
use std::path::Path;
use std::process::{Command, Stdio};

use optag::load::speech::Voices;
use optag_media::codec::Encoding;
use optag_media::codec::coded::Codec;
use optag_media::codec::decoder::Decoder;
use optag_media::dtmf::goertzel::ToneDetector;

use crate::phone::{Leg, talk, voice};
use crate::server::{Server, Settings, call_request, files_below};

const CARD: &str = "4929123412341234";

/// A key's two tones at −9 dBm0 each, of whole packets.
pub(crate) fn tone(key: char, ms: usize) -> Vec<i16> {
    let at = "123A456B789C*0#D".find(key).unwrap();
    let (low, high) = ([697.0, 770.0, 852.0, 941.0][at / 4], [1_209.0, 1_336.0, 1_477.0, 1_633.0][at % 4]);
    let sample = |n: usize| {
        let t = n as f64 / 8_000.0 * TAU;
        ((t * low).sin() + (t * high).sin()) * 8_000.0
    };
    (0..ms * 8).map(|n| sample(n) as i16).collect()
}

/// What a receiver of others finds in samples at 8 kHz; `None` where it is not installed.
fn multimon(samples: &[i16], dir: &Path) -> Option<String> {
    let raw = dir.join("tones.raw");
    std::fs::write(&raw, samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>())
        .unwrap();
    let faster = dir.join("tones_22050.raw");
    let ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "s16le", "-ar", "8000", "-i"])
        .arg(&raw)
        .args(["-f", "s16le", "-ar", "22050"])
        .arg(&faster)
        .status();
    if !ffmpeg.is_ok_and(|status| status.success()) {
        println!("skipped: ffmpeg is not installed");
        return None;
    }
    let found = Command::new("multimon-ng")
        .args(["-q", "-t", "raw", "-a", "DTMF"])
        .arg(&faster)
        .stderr(Stdio::null())
        .output();
    let Ok(found) = found else {
        println!("skipped: multimon-ng is not installed");
        return None;
    };
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    Some(text.lines().filter_map(|line| line.strip_prefix("DTMF: ")).collect())
}

fn own(samples: &[i16]) -> String {
    let mut keys = String::new();
    ToneDetector::default().hear(8_000, samples, |tone| keys.extend(tone.pressed));
    keys
}

/// Both channels of a WAV file, at 8 kHz.
fn channels(wav: &[u8], dir: &Path) -> [Vec<i16>; 2] {
    let path = dir.join("call.wav");
    std::fs::write(&path, wav).unwrap();
    [0, 1].map(|channel| {
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&path)
            .args(["-af", &format!("pan=mono|c0=c{channel}"), "-ar", "8000", "-f", "s16le", "-"])
            .output()
            .unwrap();
        output.stdout.as_chunks::<2>().0.iter().map(|&bytes| i16::from_le_bytes(bytes)).collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_by_tone_is_recorded_and_a_card_number_keyed_afterwards_is_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_850, 21_890))).await;
    let (status, admitted) = server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcma"))).await;
    assert_eq!(status, 201, "{admitted}");
    let id = admitted["id"].as_str().unwrap().to_owned();
    let mut legs = vec![Leg::new(&admitted, 0, 8, 0x11), Leg::new(&admitted, 1, 8, 0x22)];

    let mut caller = voice(1, 400);
    caller.extend(vec![0; 800]);
    caller.extend(tone('1', 100));
    caller.extend(voice(3, 1_000));
    for digit in CARD.chars() {
        caller.extend(tone(digit, 80));
        caller.extend(vec![0; 480]);
    }
    caller.extend(voice(5, 400));
    for digit in CARD.chars().take(4) {
        // Over speech: what is heard of the caller's voice beside the tone.
        let spoken = voice(7, 80);
        caller.extend(tone(digit, 80).iter().zip(&spoken).map(|(tone, voice)| tone + voice / 6));
        caller.extend(voice(7, 60));
    }
    assert_eq!(own(&caller), format!("1{CARD}{}", &CARD[..4]), "the test itself");
    let sent = multimon(&caller, dir.path());
    let employee = voice(2, caller.len() / 8);
    tokio::task::spawn_blocking(move || {
        talk(&mut legs, &[&caller, &employee]);
        CARD.chars().take(6).for_each(|digit| legs[0].key(digit));
        talk(&mut legs, &[&voice(9, 800), &voice(4, 800)]);
    })
    .await
    .unwrap();
    let (status, view) = server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
    assert_eq!((status, view["outcome"]["outcome"].as_str()), (200, Some("recorded")), "{view}");

    let recording = server.recording(&id).await.to_string();
    assert!(recording.contains(r#""by":"tone""#) && recording.contains(r#""keys":"1""#), "{recording}");
    assert!(recording.contains(r#""reason":"key_tones""#), "{recording}");
    assert_eq!(recording.matches(r#""keys":"#).count(), 1, "{recording}");
    for (path, bytes) in files_below(&server.dir).iter().filter(|(path, _)| !path.ends_with("call.wav")) {
        for needle in [CARD, "4929", "9291", "1234123"] {
            let found = memchr::memmem::find(bytes, needle.as_bytes()).is_some();
            // Four digits may stand in any random bytes; texts have to be free of them.
            let is_text = std::str::from_utf8(bytes).is_ok() || needle.len() > 6;
            assert!(!(found && is_text), "{needle} stands in {}", path.display());
        }
    }
    let wav = server.bytes(&format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training")).await;
    if sent.is_none() {
        return;
    }
    assert!(sent.is_some_and(|found| found.contains("4929")), "the other receiver hears what was sent");
    for (channel, samples) in channels(&wav, dir.path()).iter().enumerate() {
        assert!(samples.len() > 40_000, "{} samples", samples.len());
        assert_eq!(own(samples), "", "channel {channel}");
        assert_eq!(multimon(samples, dir.path()).unwrap_or_default(), "", "channel {channel}");
    }
}

/// Speech of others, where it is installed: the prompts of Asterisk, 8 kHz.
fn prompts(dir: &Path, into: &mut Vec<Vec<i16>>) {
    for (path, bytes) in files_below(dir) {
        let data = memchr::memmem::find(&bytes, b"data").map(|at| &bytes[at + 8..]);
        if let Some(data) = data.filter(|_| path.extension().is_some_and(|ext| ext == "wav")) {
            into.push(data.as_chunks::<2>().0.iter().map(|&pair| i16::from_le_bytes(pair)).collect());
        }
    }
}

/// A part of the speech, as an unoptimised build takes minutes for all of it, which
/// `OPTAG_TALK_OFF=all` asks for: more than an hour.
#[test]
fn speech_at_several_levels_and_codings_is_taken_for_no_key() {
    let mut speech = Vec::new();
    prompts(Path::new("/usr/share/asterisk/sounds"), &mut speech);
    if speech.iter().map(Vec::len).sum::<usize>() < 20 * 60 * 8_000 {
        println!("skipped: asterisk-core-sounds-en-wav is not installed");
        return;
    }
    let all = std::env::var("OPTAG_TALK_OFF").is_ok_and(|wish| wish == "all");
    let mut speech: Vec<_> = speech.into_iter().step_by(if all { 1 } else { 20 }).collect();
    let own = Voices::embedded(1.0).unwrap();
    speech.extend([own.caller.to_vec(), own.employee.to_vec()]);
    let (mut keys, mut cut_ms, mut seconds) = (String::new(), 0, 0);
    // Each voice at three levels, each level by another coding.
    for (gain, codec) in [(1.0, Codec::Pcma), (2.0, Codec::Pcmu), (0.4, Codec::Pcma)] {
        for voice in &speech {
            let louder: Vec<i16> = voice.iter().map(|&sample| (f64::from(sample) * gain) as i16).collect();
            let encoding = if codec == Codec::Pcma { Encoding::Pcma } else { Encoding::Pcmu };
            let mut out = vec![0; louder.len()];
            Decoder::new(encoding).decode(&codec.encode(&louder), &mut out);
            let (mut detector, mut cut_to) = (ToneDetector::default(), 0);
            for packet in out.chunks(160) {
                detector.hear(8_000, packet, |tone| {
                    keys.extend(tone.pressed);
                    cut_ms += (tone.to - tone.from.max(cut_to)).max(0) / 8;
                    cut_to = cut_to.max(tone.to);
                });
            }
            seconds += out.len() / 8_000;
        }
    }
    println!("{seconds} s of speech: keys {keys:?}, {cut_ms} ms taken for tones to cut");
    assert!(seconds >= if all { 3_600 } else { 180 }, "{seconds} s");
    assert_eq!(keys, "");
    assert!(cut_ms < seconds as i64 + 500, "more than 0.1 % of the speech would be cut");
}
