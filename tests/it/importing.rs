//! Recordings of an earlier system, as files that ffmpeg made.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::conversation::wav_channels;
use crate::server::{Server, Settings};

/// Form, file name, what ffmpeg is told.
const FILES: &[(&str, &[&str])] = &[
    ("pcm.wav", &["-ac", "2", "-ar", "8000"]),
    ("ulaw.wav", &["-ac", "1", "-ar", "8000", "-c:a", "pcm_mulaw"]),
    ("alaw.wav", &["-ac", "2", "-ar", "8000", "-c:a", "pcm_alaw"]),
    ("mp3.mp3", &["-ac", "1", "-ar", "44100"]),
    ("flac.flac", &["-ac", "1", "-ar", "16000"]),
    ("vorbis.ogg", &["-ac", "2", "-ar", "22050", "-c:a", "libvorbis"]),
    ("opus.ogg", &["-ac", "2", "-c:a", "libopus"]),
    ("g722.wav", &["-ac", "1", "-ar", "16000", "-c:a", "adpcm_g722"]),
    ("raw.g722", &["-ac", "1", "-ar", "16000", "-c:a", "g722", "-f", "g722"]),
    ("ima.wav", &["-ac", "1", "-ar", "8000", "-c:a", "adpcm_ima_wav"]),
    ("ima_stereo.wav", &["-ac", "2", "-ar", "11025", "-c:a", "adpcm_ima_wav"]),
    ("ms.wav", &["-ac", "1", "-ar", "8000", "-c:a", "adpcm_ms"]),
    ("ms_stereo.wav", &["-ac", "2", "-ar", "16000", "-c:a", "adpcm_ms"]),
    ("gsm.wav", &["-ac", "1", "-ar", "8000", "-c:a", "libgsm_ms"]),
    ("raw.gsm", &["-ac", "1", "-ar", "8000", "-c:a", "libgsm", "-f", "gsm"]),
    ("rf64.wav", &["-ac", "2", "-ar", "8000", "-rf64", "always"]),
    ("mp3.wav", &["-ac", "1", "-ar", "16000", "-c:a", "libmp3lame"]),
    ("aac.m4a", &["-ac", "1", "-ar", "48000", "-c:a", "aac"]),
    ("adts.aac", &["-ac", "1", "-ar", "11025", "-c:a", "aac"]),
];
const TONE_HZ: f64 = 440.0;

/// Makes two seconds of a tone in a file; false, with a word, where ffmpeg is not there.
fn make(dir: &Path, name: &str, how: &[&str]) -> bool {
    let source = format!("sine=frequency={TONE_HZ}:duration=2:sample_rate=48000");
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", &source])
        .args(how)
        .arg(dir.join(name))
        .status();
    match made {
        Err(_) => {
            println!("skipped: ffmpeg is not installed");
            false
        }
        Ok(status) => {
            assert!(status.success(), "ffmpeg does not make {name}");
            true
        }
    }
}

fn ago(days: i64) -> String {
    (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days)).to_string()
}

fn import_command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
    command.args(["import", "--json", "--source", "the old archive", "--csv"]);
    command.arg(dir.join("index.csv")).arg("--config").arg(dir.join("optag.toml")).arg(dir.join("old"));
    command
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

fn fates(report: &Value) -> Vec<(String, String)> {
    let files = report["files"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    files.map(|file| (text(&file["file"]), text(&file["fate"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_of_every_form_are_taken_in_and_what_has_no_consent_or_is_too_old_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::with_ports((22_750, 22_790));
    assert_eq!(Server::start(dir.path(), &settings).await.terminate().code(), Some(0));
    let old = dir.path().join("old");
    std::fs::create_dir(&old).unwrap();
    let mut table = "file;started_at;department;caller_number;caller_name;consent\n".to_owned();
    for (n, (name, how)) in FILES.iter().enumerate() {
        if !make(&old, name, how) {
            return;
        }
        table += &format!("{name};{};demo;+45 20 00 00 {n:02};Ada {n};ja\n", ago(n as i64 + 1));
    }
    std::fs::write(old.join("broken.wav"), b"RIFF no more").unwrap();
    for (file, when, department, consent) in [
        ("pcm.wav", ago(2), "demo", "nej"),
        ("pcm.wav", ago(2), "demo", ""),
        ("pcm.wav", ago(91), "demo", "ja"),
        ("pcm.wav", ago(-1), "demo", "ja"),
        ("pcm.wav", ago(2), "private", "ja"),
        ("pcm.wav", ago(2), "nowhere", "ja"),
        ("broken.wav", ago(2), "demo", "ja"),
        ("missing.wav", ago(2), "demo", "ja"),
        ("../optag.toml", ago(2), "demo", "ja"),
    ] {
        table += &format!("{file};{when};{department};1;;{consent}\n");
    }
    std::fs::write(dir.path().join("index.csv"), table).unwrap();

    let output = import_command(dir.path()).output().unwrap();
    let first = report(&output);
    assert_eq!(output.status.code(), Some(1), "some failed: {first}");
    let fate: Vec<_> = fates(&first).into_iter().map(|(_, fate)| fate).collect();
    let expected = [vec!["imported"; FILES.len()], vec!["refused"; 5], vec!["failed"; 4]].concat();
    assert_eq!(fate, expected, "{first}");
    let again = report(&import_command(dir.path()).output().unwrap());
    assert_eq!(again["totals"]["already_there"], FILES.len());

    let server = Server::start(dir.path(), &settings).await;
    assert_eq!(server.recordings().await, FILES.len() as u64);
    for (n, (name, how)) in FILES.iter().enumerate() {
        let id = first["files"][n]["id"].as_str().unwrap();
        let recording = server.recording(id).await;
        let consent = &recording["consent"][0];
        assert_eq!((consent["state"].as_str(), consent["how"].as_str()), (Some("granted"), Some("imported")));
        assert_eq!(consent["evidence"]["source"], "the old archive");
        let time = |field: &str| recording[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert_eq!(time("expires_at").as_second() - time("started_at").as_second(), 90 * 86_400);
        let wav = server.bytes(&format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training")).await;
        let channels = wav_channels(&wav);
        assert_eq!(channels.len(), if how[1] == "2" { 2 } else { 1 }, "{name}");
        let rate = f64::from(u32::from_le_bytes(wav[24..28].try_into().unwrap()));
        for channel in channels {
            let length = channel.len() as f64 / rate;
            assert!((1.9..2.3).contains(&length), "{name} is {length} s long");
            let middle = &channel[channel.len() / 4..channel.len() * 3 / 4];
            let crossings = middle.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
            let hz = crossings as f64 / 2.0 / (middle.len() as f64 / rate);
            assert!((hz - TONE_HZ).abs() < 8.0, "{name} plays at {hz} Hz");
        }
    }
    let found = server.ask("GET", "/api/v1/recordings?number=20000003&purpose=training", None).await.1;
    assert_eq!(found["total"], 1);
    // What is erased does not come back by importing it again.
    let gone = first["files"][0]["id"].as_str().unwrap();
    let (status, _) = server.ask("DELETE", &format!("/api/v1/recordings/{gone}?reason=asked"), None).await;
    assert_eq!(status, 200);
    assert_eq!(server.terminate().code(), Some(0));
    let last = report(&import_command(dir.path()).output().unwrap());
    assert_eq!(last["files"][0]["fate"], "refused", "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_goes_on_where_it_was_and_takes_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::with_ports((22_800, 22_840));
    assert_eq!(Server::start(dir.path(), &settings).await.terminate().code(), Some(0));
    let old = dir.path().join("old");
    std::fs::create_dir(&old).unwrap();
    if !make(&old, "a.wav", &["-ac", "2", "-ar", "8000"]) {
        return;
    }
    let rows = 60;
    let mut table = "file,started_at,department,caller_number,consent\n".to_owned();
    (0..rows).for_each(|n| table += &format!("a.wav,{},demo,1,yes\n", ago(1 + n)));
    std::fs::write(dir.path().join("index.csv"), table).unwrap();
    let manifests = || {
        let files = crate::server::files_below(&dir.path().join("data/store"));
        files.iter().filter(|(path, _)| path.to_string_lossy().ends_with(".json.age")).count()
    };
    for reached in [5, 25] {
        let mut child = import_command(dir.path()).stdout(std::process::Stdio::null()).spawn().unwrap();
        while manifests() < reached && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = import_command(dir.path()).output().unwrap();
    let totals = report(&output)["totals"].clone();
    assert_eq!(output.status.code(), Some(0), "{totals}");
    let count = |name: &str| totals[name].as_u64().unwrap();
    assert_eq!(count("imported") + count("already_there"), rows as u64, "{totals}");
    assert!(count("already_there") >= 5, "{totals}");
    assert_eq!(manifests(), rows as usize);
    let mut check = Command::new(env!("CARGO_BIN_EXE_optag"));
    let checked = check.args(["check", "--config"]).arg(dir.path().join("optag.toml")).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

/// One second of 16-bit mono with what the header says of its rate and of the length of the audio.
fn wav(rate_hz: u32, declared: u32) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    file.extend_from_slice(&rate_hz.to_le_bytes());
    file.extend_from_slice(&rate_hz.wrapping_mul(2).to_le_bytes());
    file.extend_from_slice(b"\x02\0\x10\0data");
    file.extend_from_slice(&declared.to_le_bytes());
    let wave = |n: u32| ((n % 80) as i16 * 100 - 4_000).to_le_bytes();
    file.extend((0..8_000).flat_map(wave));
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_files_are_each_judged_and_stop_no_other_and_a_dry_run_stores_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::with_ports((22_850, 22_890));
    assert_eq!(Server::start(dir.path(), &settings).await.terminate().code(), Some(0));
    let old = dir.path().join("old");
    std::fs::create_dir(&old).unwrap();
    for (name, rate_hz, declared) in [
        ("rate0.wav", 0, 16_000),
        ("rate1.wav", 1, 16_000),
        ("rate4g.wav", 4_000_000_000, 16_000),
        ("unwritten.wav", 8_000, 0),
        ("unknown.wav", 8_000, u32::MAX),
        ("plain.wav", 8_000, 16_000),
    ] {
        std::fs::write(old.join(name), wav(rate_hz, declared)).unwrap();
    }
    // Each its own audio, so that none is there already.
    std::fs::write(dir.path().join("outside.wav"), wav(8_000, 16_000)).unwrap();
    std::os::unix::fs::symlink("../outside.wav", old.join("link.wav")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", old.join("endless.wav")).unwrap();
    assert!(Command::new("mkfifo").arg(old.join("fifo.wav")).status().unwrap().success());
    let expected = [
        ("fifo.wav", "failed", "FIFO"),
        ("rate0.wav", "failed", "0 Hz"),
        ("rate1.wav", "failed", "1 Hz"),
        ("rate4g.wav", "failed", "4000000000 Hz"),
        ("link.wav", "failed", "outside"),
        ("endless.wav", "failed", "outside"),
        ("gone.wav", "failed", "No such file"),
        ("unwritten.wav", "imported", ""),
        ("unknown.wav", "imported", ""),
        ("plain.wav", "imported", ""),
    ];
    let mut table = "file,started_at,department,caller_number,consent\n".to_owned();
    expected.iter().for_each(|(name, ..)| table += &format!("{name},{},demo,1,yes\n", ago(2)));
    std::fs::write(dir.path().join("index.csv"), table).unwrap();
    let objects = || crate::server::files_below(&dir.path().join("data/store")).len();
    let before = objects();

    let output = import_command(dir.path()).arg("--dry-run").output().unwrap();
    let trial = report(&output);
    assert_eq!(
        (trial["totals"]["would_import"].as_u64(), trial["totals"]["failed"].as_u64()),
        (Some(3), Some(7))
    );
    assert_eq!(objects(), before, "a dry run stores nothing: {trial}");

    let output = import_command(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let done = report(&output);
    for (n, (name, fate, why)) in expected.iter().enumerate() {
        let file = &done["files"][n];
        assert_eq!((file["file"].as_str(), file["fate"].as_str()), (Some(*name), Some(*fate)), "{done}");
        let told = file["why"].as_str().unwrap_or_default();
        assert!(told.contains(why) && told.matches("os error").count() <= 1, "{file}");
        if *fate == "imported" {
            assert_eq!(file["duration_ms"], 1_000, "{file}");
        }
    }
    let progress = String::from_utf8_lossy(&output.stderr);
    for (name, ..) in expected {
        assert!(progress.lines().any(|line| line.contains(name)), "no line on {name}: {progress}");
    }
    assert!(objects() > before);
}
