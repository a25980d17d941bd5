//! A data directory has one owner: one process that writes in it, and one user who reads it.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::erasure::record;
use crate::server::{Server, Settings};

/// A second configuration on the same data directory, with a spool and ports of its own.
fn second(dir: &Path, ports: (u16, u16)) -> PathBuf {
    let text = std::fs::read_to_string(dir.join("optag.toml")).unwrap();
    let spool = format!("[spool]\ndir = \"{}\"\n", dir.join("other-spool").display());
    let text = text.replace("[spool]\n", &spool).replace("22200", &ports.0.to_string());
    let text = text.replace("22240", &ports.1.to_string());
    let path = dir.join("second.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn optag(args: &[&str], config: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
    command.args(args).arg("--config").arg(config).env_remove("OPTAG_TOKEN").output().unwrap()
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_recorder_on_a_data_directory_is_refused_also_after_an_upgrade() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &Settings::with_ports((22_200, 22_240))).await;
    let config = second(dir.path(), (22_250, 22_290));
    let pid = format!("process {}", server.pid());
    for round in ["started", "upgraded"] {
        let refused = optag(&["serve"], &config);
        assert!(!refused.status.success() && said(&refused).contains(&pid), "{round}: {}", said(&refused));
        let checked = optag(&["check"], &config);
        assert!(!checked.status.success() && said(&checked).contains(&pid), "{round}: {}", said(&checked));
        if round == "started" {
            server.upgrade();
        }
    }
    // The first is none the worse for it.
    let id = record(&server).await;
    server.recording(&id).await;
    let (status, erased) = server.ask("DELETE", &format!("/api/v1/recordings/{id}?reason=x"), None).await;
    assert_eq!(status, 200, "{erased}");
    assert_eq!(server.terminate().code(), Some(0));
    let checked = optag(&["check"], &config);
    assert!(checked.status.success(), "its end frees the directory: {}", said(&checked));
}

/// Everything below a directory that others may use, as mode and path.
fn open_to_others(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let facts = path.symlink_metadata().unwrap();
        if facts.permissions().mode() & 0o077 != 0 {
            found.push(format!("{:04o} {}", facts.permissions().mode() & 0o7777, path.display()));
        }
        if facts.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_its_owners_alone_whatever_the_umask_and_never_through_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let config = dir.path().join("optag.toml");
    std::fs::write(&config, format!("data_dir = \"{}\"\n", data.display())).unwrap();
    let search = || {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_optag")]);
        command.args(["search", "--purpose", "training", "--config"]).arg(&config);
        command.env_remove("OPTAG_TOKEN").output().unwrap()
    };
    // An installation as an earlier version made it: readable by others.
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("deletions.log"), "").unwrap();
    for (path, mode) in [(data.clone(), 0o755), (data.join("deletions.log"), 0o644)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    assert!(search().status.success(), "{}", said(&search()));
    assert!(data.join("index.sqlite").exists() && data.join("audit.jsonl").exists());
    assert_eq!(open_to_others(&data), [""; 0]);
    // An earlier version left them open.
    let looser = ["index.sqlite", "deletions.log", "audit.jsonl", "."];
    for name in looser {
        let mode = if name == "." { 0o755 } else { 0o644 };
        std::fs::set_permissions(data.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    assert!(search().status.success());
    assert_eq!(open_to_others(&data), [""; 0]);
    // What someone put there to have it written elsewhere.
    for name in ["index.sqlite", "deletions.log", "audit.jsonl"] {
        let (path, aside, victim) = (data.join(name), data.join("aside"), dir.path().join("victim"));
        std::fs::rename(&path, &aside).unwrap();
        std::fs::write(&victim, "untouched").unwrap();
        symlink(&victim, &path).unwrap();
        let refused = search();
        assert!(!refused.status.success() && said(&refused).contains("link"), "{name}: {}", said(&refused));
        assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
        std::fs::rename(&aside, &path).unwrap();
    }
    assert!(search().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_directory_that_others_may_read_becomes_the_recorders_own_and_a_foreign_one_stays_as_it_is()
{
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mode = || data.metadata().unwrap().permissions().mode() & 0o777;
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((17_150, 17_190))).await;
    assert_eq!(mode(), 0o700);
    assert!(server.terminate().success());

    std::fs::remove_dir_all(&data).unwrap();
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(data.join("letter"), "somebody else's").unwrap();
    let refused = optag(&["serve"], &dir.path().join("optag.toml"));
    assert!(!refused.status.success() && said(&refused).contains("not the recorder's"), "{}", said(&refused));
    assert_eq!((mode(), std::fs::read_dir(&data).unwrap().count()), (0o755, 1), "nothing was created");
}
