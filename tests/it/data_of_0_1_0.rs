//! This version reads the data of version 0.1.0.
//!
//! `tests/fixtures/data-0.1.0` is a data directory made by the program of 0.1.0; its README says how. Its recordings
//! are due 90 days after they were made: libfaketime runs each command on the day after.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where Debian installs libfaketime.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data-0.1.0")
}

/// Copies a directory, private to its owner as the recorder creates its own.
fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// Runs a command on the data directory, on the day after the fixture was made.
fn optag(data: &Path, args: &[&str]) -> Output {
    let day = std::fs::read_to_string(fixture().join("MADE")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
    command.args(args).env("OPTAG_DATA_DIR", data).env_remove("OPTAG_TOKEN").current_dir(data);
    command.env("LD_PRELOAD", LIBRARY).env("FAKETIME", format!("@{} 12:00:00", day.trim()));
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn recordings_of_0_1_0_are_checked_found_and_exported() {
    if !Path::new(LIBRARY).exists() {
        println!("skipped: libfaketime is not installed (Debian package faketime)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    copy(&fixture(), &data);

    let checked = optag(&data, &["check"]);
    assert!(checked.status.success(), "{}", said(&checked));
    let waits = "0 differences, 0 repaired; 1 calls in the spool";
    assert!(said(&checked).contains(waits), "the call that kill -9 cut off: {}", said(&checked));

    let found = optag(&data, &["search", "--purpose", "training", "--json"]);
    assert!(found.status.success(), "{}", said(&found));
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    let recordings = found["recordings"].as_array().unwrap();
    assert_eq!(recordings.len(), 2, "one more was erased: {found:#}");

    for recording in recordings {
        let id = recording["id"].as_str().unwrap();
        let wav = dir.path().join(format!("{id}.wav"));
        let out = wav.to_str().unwrap();
        let export = ["export", id, "--format", "wav", "-o", out, "--purpose", "training"];
        let exported = optag(&data, &export);
        assert!(exported.status.success(), "{}", said(&exported));
        let channels = crate::conversation::wav_channels(&std::fs::read(&wav).unwrap());
        assert_eq!(channels.len(), 2);
        let loudest = |samples: &Vec<i16>| samples.iter().map(|sample| sample.unsigned_abs()).max();
        let peaks: Vec<_> = channels.iter().map(loudest).collect();
        // In one of them the employee did not speak before it ended.
        assert!(peaks[0] > Some(1_000), "{id} holds the caller's speech: {peaks:?}");
    }
    let audited = optag(&data, &["audit", "verify"]);
    assert!(audited.status.success(), "{}", said(&audited));
}
