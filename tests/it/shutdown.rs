//! Ends and beginnings: SIGTERM, a store that is away.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::phone::{Leg, talk, voice};
use crate::server::{Server, Settings, call_request};

async fn record(server: &Server, millis: usize) -> String {
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
