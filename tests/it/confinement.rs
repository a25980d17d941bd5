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
    assert!(server.log().contains("the process is confined"), "{}", server.log());
}
