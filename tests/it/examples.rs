//! The programs shown in `examples/` work as they are.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::conversation::wav_channels;
use crate::server::{Server, Settings};

fn example(name: &str) -> Command {
    Command::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name))
}

/// Whether a program is installed; if not, prints a note.
fn has(program: &str, argument: &str) -> bool {
    let found = Command::new(program).arg(argument).output();
    found.inspect_err(|error| println!("skipped: {program} is not installed ({error})")).is_ok()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Three seconds of a tone in a WAV.
fn tone(path: &std::path::Path, hz: u32) {
    let source = format!("sine=frequency={hz}:sample_rate=8000:duration=3");
    let done =
        Command::new("ffmpeg").args(["-loglevel", "error", "-f", "lavfi", "-i", &source]).arg(path).output();
    assert!(done.unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_fed_from_a_shell_is_recorded_and_its_sealed_file_is_read_with_age_alone() {
    if !has("ffmpeg", "-version") || !has("curl", "--version") || !has("age", "--version") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((24_650, 24_690))).await;
    let (caller, employee) = (dir.path().join("caller.wav"), dir.path().join("employee.wav"));
    tone(&caller, 440);
    tone(&employee, 700);
    let mut feed = example("feed-with-ffmpeg.sh");
    feed.arg(&caller).arg(&employee).arg(&server.api).env("OPTAG_TOKEN", server.token_of("feed"));
    let done = tokio::task::spawn_blocking(move || feed.output().unwrap()).await.unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let id = said(&done).split("announced: ").nth(1).and_then(|rest| rest.lines().next()).unwrap().to_owned();

    let recording = server.stored(&id).await;
    let duration_ms = recording["duration_ms"].as_u64().unwrap() as usize;
    let sealed = crate::server::files_below(dir.path());
    let (file, _) = sealed.iter().find(|(path, _)| path.to_string_lossy().ends_with(".opus.age")).unwrap();
    let day = recording["started_at"].as_str().unwrap()[..10].to_owned();
    let key = dir.path().join("day.key");
    let exported = Command::new(env!("CARGO_BIN_EXE_optag"))
        .args(["keys", "--config"])
        .arg(dir.path().join("optag.toml"))
        .args(["export", &day, "-o"])
        .arg(&key)
        .output()
        .unwrap();
    assert!(exported.status.success(), "{}", said(&exported));
    let wav = dir.path().join("out.wav");
    let read = example("read-sealed.sh").arg(file).arg(&key).arg(&wav).output().unwrap();
    assert!(read.status.success(), "{}", said(&read));
    let channels = wav_channels(&std::fs::read(&wav).unwrap());
    assert_eq!(channels.len(), 2);
    // Three seconds of a tone were sent, which is this loud for 84 % of its time. How long ffmpeg takes to start, the
    // recording shows as silence.
    let loud_ms = |samples: &[i16]| {
        let loud = samples.iter().filter(|sample| sample.unsigned_abs() > 1_000).count();
        loud * duration_ms / samples.len()
    };
    let loud: Vec<_> = channels.iter().map(|samples| loud_ms(samples)).collect();
    assert!(loud.iter().all(|ms| (2_000..3_000).contains(ms)), "{loud:?} ms of {duration_ms}: {recording:#}");
}
