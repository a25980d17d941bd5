//! The machine's wall clock jumps by 91 days while the recorder runs: libfaketime changes it under the built program,
//! and the time since boot continues unchanged.

use std::path::Path;
use std::time::Duration;

use crate::conversation::recorded;
use crate::server::{Server, Settings};

pub(crate) const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// A recording that is in the store.
async fn stored(server: &Server) -> String {
    let id = recorded(server, 1, 800).await;
    server.stored(&id).await;
    id
}

async fn status(server: &Server, id: &str) -> u16 {
    server.ask("GET", &format!("/api/v1/recordings/{id}?purpose=administration"), None).await.0
}

/// Waits until the recorder trusts the clock, or does not.
async fn trusts(server: &Server, wanted: f64) {
    for _ in 0..200 {
        if server.metric("optag_clock_trusted", "").await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the clock is not judged {wanted}:\n{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_15_a_running_recorder_neither_erases_nor_keeps_by_a_clock_that_jumped() {
    if !Path::new(LIBRARY).exists() {
        println!("skipped: libfaketime is not installed (Debian package faketime)");
        return;
    }
    if optag_core::steady::kept_by_a_time_server() {
        println!("skipped: the kernel says that a time server keeps the clock, and would confirm the jump");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let offset = dir.path().join("offset");
    let jump = |text: &str| std::fs::write(&offset, text).unwrap();
    jump("+0");
    let mut settings = Settings::with_ports((26_880, 26_900));
    settings.env = [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("OPTAG_RETENTION_SWEEP_INTERVAL_S", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let server = Server::start(dir.path(), &settings).await;
    let first = stored(&server).await;
    trusts(&server, 1.0).await;
    let mut all = vec![first];
    for far in ["+91d", "-91d"] {
        jump(far);
        trusts(&server, 0.0).await;
        all.push(stored(&server).await);
        // Several sweeps by the wrong clock.
        tokio::time::sleep(Duration::from_secs(4)).await;
        for id in &all {
            assert_eq!(status(&server, id).await, 200, "{far}: {}", server.log());
        }
        let newest = server.recording(all.last().unwrap()).await;
        let dated: jiff::Timestamp = newest["started_at"].as_str().unwrap().parse().unwrap();
        let off_s = (jiff::Timestamp::now().as_second() - dated.as_second()).abs();
        assert!(off_s < 300, "{far}: a call is dated {dated}");
        let (_, report) = server.ask("GET", "/api/v1/retention/report", None).await;
        let parts = report["parts"].as_array().unwrap();
        assert!(parts.iter().all(|part| part["too_old"] == 0), "{report:#}");
        assert_eq!(report["clean"], false, "a clock that nobody confirms proves nothing: {report:#}");
    }
    jump("+0");
    trusts(&server, 1.0).await;
    // The owner's confirmation is correct: three months have passed.
    jump("+91d");
    trusts(&server, 0.0).await;
    assert_eq!(server.ask("POST", "/api/v1/retention/clock", None).await.0, 200);
    for id in &all {
        for _ in 0..100 {
            if status(&server, id).await == 410 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(status(&server, id).await, 410, "{}", server.log());
    }
}
