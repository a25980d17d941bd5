//! Before consent nothing is written: a tone that no speech contains is sent before it, and searched afterwards in
//! every file, raw and decoded, with the spool unsealed by the master key.

use std::path::Path;
use std::sync::Arc;

use optag_files::disk::OsDisk;
use optag_storage::spool::record::Body;
use optag_storage::spool::{MasterSecret, Spool, SpoolConfig};

use crate::conversation::{Conversation, wav_channels};
use crate::phone::{ulaw, voice};
use crate::server::{Server, Settings, files_below};

/// The tone. Units: Hz.
const TONE_HZ: f64 = 3_100.0;
/// Amplitude above which the tone counts as found; it is sent with 8,000.
pub(crate) const FOUND: f64 = 100.0;

pub(crate) fn tone(millis: usize) -> Vec<i16> {
    let turn = TONE_HZ * std::f64::consts::TAU / 8_000.0;
    (0..millis * 8).map(|n| ((n as f64 * turn).sin() * 8_000.0) as i16).collect()
}

/// The loudest 40 ms of the tone. Source: Goertzel's recurrence over 8 kHz samples.
pub(crate) fn loudest(samples: &[i16]) -> f64 {
    let turn = TONE_HZ * std::f64::consts::TAU / 8_000.0;
    let level = |window: &[i16]| {
        let (mut one, mut two) = (0.0f64, 0.0f64);
        for &sample in window {
            (one, two) = (f64::from(sample) + 2.0 * turn.cos() * one - two, one);
        }
        let power = one * one + two * two - 2.0 * turn.cos() * one * two;
        2.0 * power.max(0.0).sqrt() / window.len() as f64
    };
    samples.chunks_exact(320).map(level).fold(0.0, f64::max)
}

/// The decoded audio of each call in the spool of a killed recorder: all streams, one after the other.
pub(crate) fn decoded_spool(data: &Path) -> Vec<(String, Vec<i16>)> {
    let master = MasterSecret::load_or_create(&data.join("master.key")).unwrap().0.key().unwrap();
    let config = SpoolConfig {
        dir: data.join("spool"),
        segment_bytes: 1 << 20,
        max_bytes: 1 << 30,
        queue_bytes: 1 << 20,
        min_free_bytes: 0,
        packed_max_bytes: 1 << 30,
    };
    let (spool, recovered) = Spool::open(config, Arc::new(OsDisk), master, Box::new(|_| {})).unwrap();
    let calls = recovered.calls.iter().map(|call| call.id);
    let decoded = calls.map(|id| {
        let mut streams: Vec<opus::Decoder> = Vec::new();
        let mut samples: Vec<Vec<i16>> = Vec::new();
        for body in spool.read(id).unwrap() {
            let Body::Media(block) = body.unwrap() else { continue };
            let count = usize::from(block.streams);
            while streams.len() < count {
                streams.push(opus::Decoder::new(8_000, opus::Channels::Mono).unwrap());
                samples.push(Vec::new());
            }
            for (n, packet) in block.packets().enumerate() {
                let mut frame = [0i16; 160];
                let length = streams[n % count].decode(packet, &mut frame, false).unwrap();
                samples[n % count].extend(&frame[..length]);
            }
        }
        (id.to_string(), samples.concat())
    });
    let decoded = decoded.collect();
    spool.close();
    decoded
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_01_a_tone_from_before_the_yes_is_nowhere_even_when_everything_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((22_500, 22_540))).await;
    keys_are_locked_no_core_is_dumped_and_pages_are_small(server.pid());

    let mut delivered = Conversation::admit(&server, "demo").await;
    let mut spooled = Conversation::admit(&server, "demo").await;
    let mut refused = Conversation::admit(&server, "demo").await;
    let mut control = Conversation::admit(&server, "demo").await;
    let before = || tone(800);
    tokio::join!(
        delivered.speak(before(), before()),
        spooled.speak(before(), before()),
        refused.speak(before(), before()),
        control.press("1"),
    );
    tokio::join!(delivered.press("1"), spooled.press("1"), refused.press("2"));
    tokio::join!(
        delivered.speak(voice(61, 1_200), voice(62, 1_200)),
        spooled.speak(voice(63, 1_200), voice(64, 1_200)),
        refused.speak(before(), before()),
        // The tone after consent is found, so the search works.
        control.speak(tone(1_200), voice(65, 1_200)),
    );
    let id = delivered.id.clone();
    assert_eq!(delivered.end(&server).await, "recorded");
    assert_eq!(refused.end(&server).await, "refused");
    server.recording(&id).await;
    let wav = server.bytes(&format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training")).await;
    for channel in wav_channels(&wav) {
        assert!(loudest(&channel) < FOUND, "the tone is in the stored recording: {}", loudest(&channel));
        assert!(channel.iter().any(|sample| sample.abs() > 1_000), "there is speech in it");
    }

    let (with_yes, with_tone) = (spooled.id.clone(), control.id.clone());
    let data = server.dir.join("data");
    tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    server.kill();
    let frames: Vec<Vec<i16>> = tone(800).chunks_exact(160).step_by(5).map(<[i16]>::to_vec).collect();
    for (path, bytes) in files_below(dir.path()) {
        for frame in &frames {
            let coded: Vec<u8> = frame[..60].iter().map(|&sample| ulaw(sample)).collect();
            let little: Vec<u8> = frame[..60].iter().flat_map(|sample| sample.to_le_bytes()).collect();
            let big: Vec<u8> = frame[..60].iter().flat_map(|sample| sample.to_be_bytes()).collect();
            for needle in [coded, little, big] {
                assert!(memchr::memmem::find(&bytes, &needle).is_none(), "the tone is in {}", path.display());
            }
        }
    }
    let decoded = decoded_spool(&data);
    let level = |id: &str| {
        let samples = decoded.iter().find(|(call, _)| call == id).map(|(_, samples)| samples).unwrap();
        assert!(samples.len() > 8_000, "{id} has {} samples in the spool", samples.len());
        loudest(samples)
    };
    assert!(level(&with_yes) < FOUND, "the tone is in the spool: {}", level(&with_yes));
    assert!(level(&with_tone) > 4_000.0, "the control has no tone: {}", level(&with_tone));
}

/// Source: proc_pid_limits(5), proc_pid_status(5).
fn keys_are_locked_no_core_is_dumped_and_pages_are_small(pid: u32) {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let locked = status.lines().find(|line| line.starts_with("VmLck:")).unwrap();
    assert!(!locked.contains(" 0 kB"), "no memory is locked: {locked}");
    // Kernels before 6.0 do not say.
    let large = status.lines().find(|line| line.starts_with("THP_enabled:"));
    assert!(large.is_none_or(|line| line.trim().ends_with('0')), "{large:?}");
}
