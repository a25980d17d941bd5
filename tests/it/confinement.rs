//! A running recorder is held to what it needs, as the kernel tells.

use crate::server::{Server, Settings};

/// A field of every thread's status.
fn of_every_thread(pid: u32, field: &str) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let statuses =
        threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("status")).ok());
    let value = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(field).map(str::to_owned));
        line.unwrap().trim_start_matches(':').trim().to_owned()
    };
    statuses.map(value).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_thread_of_a_running_recorder_is_confined_after_an_upgrade_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &Settings::with_ports((23_800, 23_840))).await;
    if server.log().contains("not confined") {
        return println!("skipped: the kernel does not offer all of it");
    }
    for upgraded in [false, true] {
        if upgraded {
            server.upgrade();
        }
        for (field, value) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("CapEff", "0000000000000000")] {
            let all = of_every_thread(server.pid(), field);
            assert!(all.len() > 3 && all.iter().all(|one| one == value), "{field}: {all:?}");
        }
    }
    assert!(server.log().contains("process confined"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_takes_over_from_one_that_was_not_confined_is_confined_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((23_850, 23_890));
    settings.extra = "[process]\nconfine = false\n".into();
    let mut server = Server::start(dir.path(), &settings).await;
    assert!(server.log().contains("process not confined"), "{}", server.log());
    assert_eq!(server.metric("optag_confined", "").await, 0.0);
    let config = dir.path().join("optag.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("confine = false", "confine = true")).unwrap();
    server.upgrade();
    if server.log().contains("not confined: ") {
        return println!("skipped: the kernel does not offer all of it");
    }
    let all = of_every_thread(server.pid(), "NoNewPrivs");
    assert!(all.len() > 3 && all.iter().all(|one| one == "1"), "{all:?}");
    server.metric_reaches("optag_confined", 4.0).await;
    // The next one inherits it, and knows that it does.
    server.upgrade();
    server.metric_reaches("optag_confined", 4.0).await;
}
