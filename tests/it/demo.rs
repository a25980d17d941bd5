//! The main job as a new user runs it, and its files as other programs see them.

use std::path::Path;
use std::process::Command;

/// Runs a program of the system; `None`, with a word on the test's output, where it is missing.
fn run(program: &str, args: &[&str]) -> Option<(bool, String)> {
    match Command::new(program).args(args).output() {
        Ok(out) => {
            let text = [out.stdout, out.stderr].concat();
            Some((out.status.success(), String::from_utf8_lossy(&text).into_owned()))
        }
        Err(error) => {
            println!("skipped: {program} is not installed ({error})");
            None
        }
    }
}

fn objects(dir: &Path) -> Vec<String> {
    let store = dir.join("store");
    let all = crate::server::files_below(&store).into_iter().map(|(path, _)| path.display().to_string());
    all.filter(|path| path.ends_with(".opus.age")).collect()
}

/// What a sealed file opens to, by the reference program and the exported key of its day.
fn opened(file: &str, data: &Path, dir: &Path) -> Option<String> {
    let day: Vec<&str> = file.rsplit('/').skip(1).take(3).collect();
    let day = format!("{}-{}-{}", day[2], day[1], day[0]);
    let key = dir.join(format!("{day}.key")).display().to_string();
    if !Path::new(&key).exists() {
        let data = data.display().to_string();
        let args = ["keys", "--data", &data, "export", &day, "-o", &key];
        let (good, text) = run(env!("CARGO_BIN_EXE_optag"), &args)?;
        assert!(good, "{text}");
    }
    let plain = format!("{}.opus", dir.join(file.rsplit('/').next()?).display());
    let (good, text) = run("age", &["-d", "-i", &key, "-o", &plain, file])?;
    assert!(good, "{text}");
    Some(plain)
}

#[test]
fn the_demo_keeps_what_it_may_and_other_programs_play_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let demo = Command::new(env!("CARGO_BIN_EXE_optag"))
        .args(["demo", "--calls", "6", "--seconds", "8", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{said}\n{}", String::from_utf8_lossy(&demo.stderr));
    assert!(said.contains("All checks passed."), "{said}");
    let files = objects(&data);
    assert_eq!(files.len(), 2, "{files:?}");
    for sealed in &files {
        let Some(file) = &opened(sealed, &data, dir.path()) else { break };
        if let Some((good, text)) = run("opusinfo", &[file]) {
            assert!(good && !text.contains("WARNING"), "{text}");
            assert!(text.contains("Streams: 2, Coupled: 0"), "{text}");
        }
        let args = ["-v", "error", "-show_entries", "stream=channels,codec_name", "-of", "csv=p=0", file];
        if let Some((good, text)) = run("ffprobe", &args) {
            assert!(good && text.trim() == "opus,2", "{text}");
        }
        levels_agree(file, dir.path());
    }
    for name in ["Listen", "Search", "Erase", "Check"] {
        proposed(name, &said, dir.path());
    }
}

/// A command that the demo proposes works as it stands.
fn proposed(name: &str, said: &str, dir: &Path) {
    let line = said.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    let done = Command::new("sh").args(["-c", line]).current_dir(dir).output().unwrap();
    assert!(done.status.success(), "{line}\n{}", String::from_utf8_lossy(&done.stderr));
}

/// ffmpeg's own decoder and libopus find the same level in every half second of both channels.
fn levels_agree(file: &str, dir: &Path) {
    let decode = |decoder: &str| -> Option<Vec<f64>> {
        let raw = dir.join(format!("{decoder}.raw")).display().to_string();
        let args = ["-v", "error", "-y", "-c:a", decoder, "-i", file, "-ar", "8000", "-f", "s16le", &raw];
        let (good, text) = run("ffmpeg", &args)?;
        assert!(good, "{decoder}: {text}");
        let bytes = std::fs::read(raw).unwrap();
        let samples: Vec<i16> = bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        let rms = |part: &[i16]| {
            (part.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / part.len() as f64).sqrt()
        };
        Some(samples.chunks(8_000).map(rms).collect())
    };
    let (Some(native), Some(libopus)) = (decode("opus"), decode("libopus")) else { return };
    assert!(native.len().abs_diff(libopus.len()) <= 1 && native.len() > 5);
    for (n, (a, b)) in native.iter().zip(&libopus).enumerate() {
        assert!((a - b).abs() <= 20.0 + 0.15 * a.max(*b), "half second {n}: {a} and {b}");
    }
}

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in [
        "serve", "demo", "load", "search", "export", "erase", "import", "check", "doctor", "keys", "recover",
        "token", "user",
    ] {
        let help = Command::new(env!("CARGO_BIN_EXE_optag")).args([command, "--help"]).output().unwrap();
        let text = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(help.status.success() && text.contains("Example"), "{command}: {text}");
    }
}
