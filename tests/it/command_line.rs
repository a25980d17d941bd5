//! Commands given in the wrong place, and what they say of it.

use std::path::Path;
use std::process::{Command, Output};

use crate::server::{Server, Settings};

/// Runs a command of ours in a directory, with nothing of ours in its environment.
fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPTAG_")) {
        command.env_remove(name);
    }
    command.args(args).current_dir(dir).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn a_command_in_a_directory_without_an_installation_says_so_and_creates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("dead/spool/segments")).unwrap();
    std::fs::write(dir.path().join("table.csv"), "file,started_at,department,caller_number,consent\n")
        .unwrap();
    for args in [
        ["search", "--purpose", "training", "--number", "12345678"].as_slice(),
        &["search", "--purpose", "caller_request", "--date", "2026-11-24"],
        &["export", "0192d000-0000-7000-8000-000000000000", "-o", "x.opus", "--purpose", "training"],
        &["erase", "0192d000-0000-7000-8000-000000000000", "--request", "1", "--reason", "asked"],
        &["assurance", "--day", "2026-11-24"],
        &["import", "--csv", "table.csv", "."],
        &["check"],
        &["check", "--repair"],
        &["keys", "list"],
        &["keys", "rotate"],
        &["recover", "--spool", "dead/spool"],
        &["retention", "report"],
        &["retention", "holds"],
        &["audit", "verify"],
        &["audit", "export", "-o", "audit.jsonl"],
        &["replay-deletions"],
        &["token", "create", "pbx-1", "--role", "feed"],
        &["token", "list"],
        &["user", "add", "ada", "--role", "auditor"],
        &["user", "list"],
        &["user", "confirm", "x"],
    ] {
        let output = run(dir.path(), args);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("no installation in ./optag-data"), "{args:?}: {said}");
        let left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{args:?} left {left:?}");
    }
}

#[test]
fn the_configuration_in_the_working_directory_counts_where_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("optag.toml"), "data_dir = './elsewhere'\n").unwrap();
    let said = text(&run(dir.path(), &["token", "list"]));
    assert!(said.contains("no installation in ./elsewhere"), "{said}");
    std::fs::write(dir.path().join("optag.toml"), "[api]\nlisen = 1\n").unwrap();
    let output = run(dir.path(), &["serve", "--check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("did you mean `listen`"), "{}", text(&output));
    std::fs::write(dir.path().join("named.toml"), "").unwrap();
    assert_eq!(run(dir.path(), &["serve", "--check", "--config", "named.toml"]).status.code(), Some(0));
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(dir.path(), &["serve", "--check"]).status.code(), Some(0));
    for args in [["serve", "--chekc"].as_slice(), &["nothing"], &["serve", "--config", "missing.toml"]] {
        assert_eq!(run(dir.path(), args).status.code(), Some(2), "{args:?}");
    }
    let wrong = "[sip]\nlisten_tls = '127.0.0.1:5061'\ncertificate_file = '/none'\nkey_file = '/none'\n";
    std::fs::write(dir.path().join("optag.toml"), wrong).unwrap();
    let output = run(dir.path(), &["serve", "--check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("sip.certificate_file"), "{}", text(&output));
    assert!(text(&run(dir.path(), &["--help"])).contains("Exit codes: 0 success; 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_where_a_recorder_ran_before() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((23_650, 23_690))).await;
    assert_eq!(server.terminate().code(), Some(0));
    for args in [["token", "list"].as_slice(), &["retention", "report"], &["check"]] {
        let output = run(dir.path(), args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_what_is_wrong_with_how_to_mend_it_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "data_dir = '{}'\n[api]\nlisten = '{}'\n[metrics]\nlisten = '127.0.0.1:0'\n[sip]\nlisten_udp = ''\n\
         listen_tcp = ''\n[rtp]\nport_min = 28500\nport_max = 28590\n[spool]\nmin_free_gib = 0\nmax_gib = 1\n",
        dir.path().join("data").display(),
        taken.local_addr().unwrap()
    );
    std::fs::write(dir.path().join("optag.toml"), &config).unwrap();
    let output = run(dir.path(), &["doctor", "--json"]);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let wrong: Vec<_> =
        findings.as_array().unwrap().iter().filter(|one| one["state"] == "wrong").cloned().collect();
    assert!(wrong.len() == 1 && wrong[0]["check"] == "api.listen", "{}", text(&output));
    assert!(wrong[0]["mend"].as_str().unwrap().contains("ss -lnp"), "{wrong:?}");
    assert_eq!(output.status.code(), Some(1));
    assert!(!dir.path().join("data").exists(), "nothing is made");
    drop(taken);
    let output = run(dir.path(), &["doctor"]);
    assert!(output.status.code() == Some(0) && text(&output).contains("0 wrong"), "{}", text(&output));

    // Beside a recorder, on what it made.
    let server = Server::start(dir.path(), &Settings::with_ports((28_500, 28_590))).await;
    let output = run(dir.path(), &["doctor"]);
    assert!(output.status.code() == Some(0), "{}", text(&output));
    assert!(
        text(&output).contains("store: delete") && text(&output).contains("one runs"),
        "{}",
        text(&output)
    );
    assert_eq!(server.recordings().await, 0);
    let key = dir.path().join("data/master.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let output = run(dir.path(), &["doctor"]);
    assert!(output.status.code() == Some(1) && text(&output).contains("chmod 600"), "{}", text(&output));
}
