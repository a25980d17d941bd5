//! Ends and beginnings: SIGTERM, a store that is away.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::phone::{Leg, talk, voice};
use crate::server::{Server, Settings, call_request};

pub(crate) async fn record(server: &Server, millis: usize) -> String {
    let (status, admitted) = server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcmu"))).await;
    assert_eq!(status, 201, "{admitted}");
    let id = admitted["id"].as_str().unwrap().to_owned();
    tokio::task::spawn_blocking(move || {
        let mut legs = [Leg::new(&admitted, 0, 0, 7), Leg::new(&admitted, 1, 0, 8)];
        legs[0].key('1');
        talk(&mut legs, &[&voice(1, millis), &voice(2, millis)]);
    })
    .await
    .unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_makes_what_was_heard_durable_and_ends_with_zero() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::with_ports((21_430, 21_460));
    let server = Server::start(dir.path(), &settings).await;
    let id = record(&server, 2_000).await;
    let status = server.terminate();
    assert_eq!(status.code(), Some(0));
    let server = Server::start(dir.path(), &settings).await;
    let recording = server.recording(&id).await;
    let heard = recording["duration_ms"].as_i64().unwrap();
    assert!((1_900..=2_600).contains(&heard), "{recording}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_at_the_start_gets_everything_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((21_470, 21_500));
    let missing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    settings.extra = format!(
        "[store]\nkind = \"s3\"\nbucket = \"optag\"\nendpoint = \"http://{missing}\"\nregion = \"us-east-1\"\nallow_http = true\n"
    );
    let secret = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    settings.env =
        vec![secret("AWS_ACCESS_KEY_ID", "testkey"), secret("AWS_SECRET_ACCESS_KEY", "testsecret")];
    let server = Server::start(dir.path(), &settings).await;
    let (status, page) = server.health("/readyz").await;
    assert!(status == 200 && page.contains("degraded"), "{page}");
    assert_eq!(server.metric("optag_store_up", "").await, 0.0);
    assert_eq!(server.health("/healthz").await.0, 200);
    let id = record(&server, 1_500).await;
    server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.recordings().await, 0);
    server.metric_reaches("optag_spool_oldest_seconds", 1.0).await;
    server.metric_reaches("optag_upload_failures_total", 1.0).await;
    server.terminate();
    settings.extra = String::new();
    let server = Server::start(dir.path(), &settings).await;
    server.recording(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_that_others_may_read_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::with_ports((21_510, 21_540));
    Server::start(dir.path(), &settings).await.terminate();
    let key = dir.path().join("data").join("master.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_optag"))
        .args(["serve", "--config"])
        .arg(dir.path().join("optag.toml"))
        .output()
        .unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("master.key"), "{said}");
}

/// Starts a recorder with so many calls in progress, each with a yes and a second of talk.
async fn with_calls(dir: &std::path::Path, settings: &Settings, calls: usize) -> (Server, Vec<String>) {
    let server = Server::start(dir, settings).await;
    let mut ids = Vec::new();
    for _ in 0..calls {
        ids.push(record(&server, 300).await);
    }
    (server, ids)
}

fn recordings_in(dir: &std::path::Path) -> usize {
    let files = crate::server::files_below(&dir.join("data").join("store").join("recordings"));
    files.iter().filter(|(path, _)| path.to_string_lossy().contains(".opus")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_06_sigterm_delivers_every_call_that_it_ended_run_after_run() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::with_ports((21_550, 21_590));
    for run in 1..=6 {
        let (server, _) = with_calls(dir.path(), &settings, 4).await;
        assert_eq!(server.terminate().code(), Some(0));
        let log = std::fs::read_to_string(dir.path().join("log.txt")).unwrap();
        assert_eq!(recordings_in(dir.path()), 4 * run, "{log}");
        assert_eq!(log.matches("all recordings delivered").count(), run, "{log}");
        assert!(!log.contains("drain incomplete"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stop_could_not_deliver_is_counted_and_a_second_signal_ends_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((21_600, 21_640));
    settings.extra = "[shutdown]\ndrain_limit_s = 0\ndeliver_limit_s = 3600\n".into();
    let (server, ids) = with_calls(dir.path(), &settings, 3).await;
    // The store's directory is gone and cannot be made again: a file is in its place.
    let store = dir.path().join("data").join("store");
    std::fs::rename(&store, dir.path().join("aside")).unwrap();
    std::fs::write(&store, b"in the way").unwrap();
    server.signal(libc::SIGTERM);
    server.logs("delivering recordings").await;
    server.signal(libc::SIGHUP);
    assert_eq!(server.health("/readyz").await.0, 503);
    server.metric_reaches("optag_unsettled_calls", 3.0).await;
    server.metric_reaches("optag_calls_cut_total", 3.0).await;
    let partly = "outcome=\"recorded_partly\",cause=\"restart\"";
    assert_eq!(server.metric("optag_outcomes_total", partly).await, 3.0);
    assert_eq!(server.terminate().code(), Some(0));
    let log = std::fs::read_to_string(dir.path().join("log.txt")).unwrap();
    assert!(log.contains("waiting=3") && log.contains("interrupted=true"), "{log}");
    std::fs::remove_file(&store).unwrap();
    std::fs::rename(dir.path().join("aside"), &store).unwrap();
    let server = Server::start(dir.path(), &settings).await;
    for id in ids {
        assert_eq!(server.recording(&id).await["ended_by"], "shutdown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_takes_a_new_log_level_and_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((21_650, 21_680));
    settings.extra = "[log]\nlevel = \"info\"\n".into();
    let (mut server, ids) = with_calls(dir.path(), &settings, 1).await;
    let config = dir.path().join("optag.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("level = \"info\"", "level = \"debug\"")).unwrap();
    server.signal(libc::SIGHUP);
    server.logs("configuration reloaded").await;
    server.logs("DEBUG").await;
    std::fs::write(&config, text.replace("level = \"info\"", "level = 7")).unwrap();
    server.signal(libc::SIGHUP);
    server.logs("keeping the current one").await;
    std::fs::write(&config, text).unwrap();
    server.signal(libc::SIGUSR1);
    server.logs("SIGUSR1 ignored").await;
    // Signals that come while the program takes its own place end nothing either.
    server.signal(libc::SIGUSR2);
    let pid = server.pid();
    for _ in 0..200 {
        for signal in [libc::SIGHUP, libc::SIGUSR1] {
            // SAFETY: the process is our own child and has not been waited for.
            unsafe { libc::kill(pid as i32, signal) };
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    server.is_ready_again();
    let (status, view) = server.ask("GET", &format!("/api/v1/calls/{}", ids[0]), None).await;
    assert_eq!(status, 200, "{view}");
    // Some managers stop a program by it.
    server.signal(libc::SIGQUIT);
    assert_eq!(server.ended().code(), Some(0));
}
