//! Erasure, holds, the report and the audit against a running recorder and with the commands.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::phone::{Leg, talk, voice};
use crate::server::{PATIENCE, Server, Settings, call_request, files_below};

/// Records a short call; its id once it has ended.
pub(crate) async fn record(server: &Server) -> String {
    let (status, admitted) = server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcmu"))).await;
    assert_eq!(status, 201, "{admitted}");
    let id = admitted["id"].as_str().unwrap().to_owned();
    tokio::task::spawn_blocking(move || {
        let mut legs = [Leg::new(&admitted, 0, 0, 7), Leg::new(&admitted, 1, 0, 8)];
        legs[0].key('1');
        talk(&mut legs, &[&voice(1, 600), &voice(2, 600)]);
    })
    .await
    .unwrap();
    let (status, view) = server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
    assert_eq!((status, &view["outcome"]["outcome"]), (200, &json!("recorded")), "{view}");
    id
}

fn settings(ports: (u16, u16)) -> Settings {
    let mut settings = Settings::with_ports(ports);
    settings.extra =
        "[retention]\nsweep_interval_s = 1\nlegal_hold = true\n[audit]\ncheckpoint_interval_s = 1\n".into();
    settings
}

/// Runs a command on a data directory that no recorder works on.
fn optag(dir: &Path, args: &[&str]) -> Output {
    let out = Command::new(env!("CARGO_BIN_EXE_optag"))
        .args(args)
        .arg("--config")
        .arg(dir.join("optag.toml"))
        .env_remove("OPTAG_TOKEN")
        .output();
    out.unwrap()
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// Waits for something to become so; how long it took.
pub(crate) async fn becomes(what: &str, mut so: impl AsyncFnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !so().await {
        assert!(started.elapsed() < PATIENCE, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started.elapsed()
}

fn copies_of(server: &Server, id: &str) -> usize {
    let store = server.dir.join("data/store/recordings");
    if !store.is_dir() {
        return 0;
    }
    files_below(&store).iter().filter(|(path, _)| path.display().to_string().contains(id)).count()
}

fn spool_keys(server: &Server) -> usize {
    files_below(&server.dir.join("data/spool/keys")).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_found_shown_beforehand_done_and_signed_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &settings((22_000, 22_040))).await;
    let (one, two) = (record(&server).await, record(&server).await);
    for id in [&one, &two] {
        server.recording(id).await;
    }
    let zone = jiff::tz::TimeZone::get("Europe/Copenhagen").unwrap();
    let today = zone.to_datetime(jiff::Timestamp::now());
    let told = format!(
        "/api/v1/candidates?purpose=caller_request&number=%2B4512345687&name=Ada+Lovlace&date={}&time={:02}:{:02}",
        today.date(),
        today.hour(),
        today.minute()
    );
    let (status, found) = server.ask("GET", &told, None).await;
    assert_eq!((status, &found["total"]), (200, &json!(2)), "{found}");
    assert_eq!(found["candidates"][0]["fit"]["number"], "one_digit_off", "{found}");

    let all =
        json!({"caller_number": "0045 12345678", "reason": "asked", "request": "2026-4711", "dry_run": true});
    let (_, shown) = server.ask("POST", "/api/v1/erasures", Some(all)).await;
    let previews = shown["previews"].as_array().unwrap();
    assert_eq!(previews.len(), 2, "{shown}");
    assert!(
        previews.iter().all(|one| one["state"] == "stored" && one["copies"].as_array().unwrap().len() == 2)
    );
    assert_eq!((copies_of(&server, &one), copies_of(&server, &two)), (2, 2), "a preview changes nothing");

    let all = json!({"caller_number": "12345678", "reason": "asked", "request": "2026-4711"});
    let (status, erased) = server.ask("POST", "/api/v1/erasures", Some(all)).await;
    assert_eq!(status, 200, "{erased}");
    assert_eq!((copies_of(&server, &one), copies_of(&server, &two)), (0, 0));
    let receipts = erased.to_string();
    assert!(
        receipts.contains("2026-4711") && receipts.contains(&one) && receipts.contains(".opus"),
        "{receipts}"
    );
    for private in ["12345678", "12 34 56 78", "Lovelace", "case-4711"] {
        assert!(!receipts.contains(private), "{private} is in a receipt");
    }
    let path = format!("/api/v1/recordings/{one}/erasure");
    let progress = String::from_utf8(server.bytes(&path).await).unwrap();
    std::fs::write(dir.path().join("receipt.json"), &progress).unwrap();
    assert_eq!(server.ask("GET", &format!("/api/v1/recordings/{one}?purpose=training"), None).await.0, 410);
    let anchors = dir.path().join("data/store/anchors");
    becomes("a checkpoint of the audit", async || {
        anchors.is_dir()
            && files_below(&anchors).iter().any(|(path, _)| path.display().to_string().contains("/audit/"))
    })
    .await;
    assert_eq!(server.terminate().code(), Some(0));

    let receipt = dir.path().join("receipt.json");
    let verify = ["erase", "--verify-receipt", receipt.to_str().unwrap()];
    let right = optag(dir.path(), &verify);
    assert!(right.status.success() && said(&right).contains("request 2026-4711"), "{}", said(&right));
    std::fs::write(&receipt, progress.replace("2026-4711", "2026-4712")).unwrap();
    let forged = optag(dir.path(), &verify);
    assert!(!forged.status.success() && said(&forged).contains("invalid receipt"), "{}", said(&forged));

    // The report, the audit and its checkpoints, with nothing personal in the audit.
    let report = optag(dir.path(), &["retention", "report"]);
    assert!(report.status.success() && said(&report).contains("clean"), "{}", said(&report));
    let later = optag(dir.path(), &["retention", "report", "--at", "2100-01-01", "--json"]);
    assert!(later.status.success(), "nothing is left that could be too old: {}", said(&later));
    let verified = optag(dir.path(), &["audit", "verify"]);
    assert!(verified.status.success() && !said(&verified).contains(" 0 of them"), "{}", said(&verified));
    let trail = dir.path().join("data/audit.jsonl");
    let text = std::fs::read_to_string(&trail).unwrap();
    for private in ["12345678", "12345687", "Lovlace", "Lovelace"] {
        assert!(!text.contains(private), "{private} is in the audit");
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    std::fs::write(&trail, lines[..1].concat()).unwrap();
    let _ = std::fs::remove_file(dir.path().join("data/audit.checkpoints.jsonl"));
    let cut = optag(dir.path(), &["audit", "verify"]);
    assert!(!cut.status.success() && said(&cut).contains("truncated"), "{}", said(&cut));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_store_down_the_key_goes_at_once_and_the_objects_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &settings((22_050, 22_090))).await;
    let stored = record(&server).await;
    server.recording(&stored).await;
    assert_eq!(copies_of(&server, &stored), 2);
    // The store goes away: a file is in the directory's place.
    let (store, away) = (dir.path().join("data/store"), dir.path().join("data/store.away"));
    std::fs::rename(&store, &away).unwrap();
    std::fs::write(&store, b"in the way").unwrap();
    let waiting = record(&server).await;
    assert_eq!(spool_keys(&server), 1, "the second call waits in the spool");
    // It is found there too, by what its caller says.
    let told = "/api/v1/candidates?purpose=caller_request&number=12345678";
    becomes("the waiting call is found", async || server.ask("GET", told, None).await.1["total"] == 2).await;

    let started = Instant::now();
    let both = json!({"caller_number": "12345678", "reason": "asked", "request": "2026-4711"});
    let (status, erased) = server.ask("POST", "/api/v1/erasures", Some(both)).await;
    assert_eq!(status, 202, "{erased}");
    let key_gone = started.elapsed();
    assert_eq!(spool_keys(&server), 0, "the key of the waiting call is destroyed");
    let ask = async |id: &str| server.ask("GET", &format!("/api/v1/recordings/{id}/erasure"), None).await;
    for id in [&stored, &waiting] {
        let (status, progress) = ask(id).await;
        assert_eq!((status, &progress["state"]), (202, &json!("pending")), "{progress}");
        let served =
            server.ask("GET", &format!("/api/v1/recordings/{id}/audio?purpose=training"), None).await;
        assert_eq!(served.0, 410);
    }
    // Their objects and rows are still there, and no search or candidate names them.
    for search in ["", "&number=12345678", "&number=5678", "&name=lovelace", "&department=demo"] {
        let path = format!("/api/v1/recordings?purpose=training{search}");
        let (status, found) = server.ask("GET", &path, None).await;
        assert_eq!((status, &found["recordings"], &found["total"]), (200, &json!([]), &json!(0)), "{search}");
    }
    let (status, found) = server.ask("GET", told, None).await;
    assert_eq!((status, &found["candidates"], &found["total"]), (200, &json!([]), &json!(0)), "{found}");
    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&away, &store).unwrap();
    let back = becomes("every copy is gone", async || {
        ask(&stored).await.1["state"] == "done" && ask(&waiting).await.1["state"] == "done"
    })
    .await;
    assert_eq!((copies_of(&server, &stored), copies_of(&server, &waiting)), (0, 0));
    println!("key destroyed after {key_gone:?}, objects gone {back:?} after the store was back");
    assert_eq!(server.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_a_restored_backup_is_refused_until_the_deletions_are_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings((22_100, 22_140));
    let server = Server::start(dir.path(), &settings).await;
    let (one, two) = (record(&server).await, record(&server).await);
    for id in [&one, &two] {
        server.recording(id).await;
    }
    let backup = files_below(&dir.path().join("data/store/recordings"));
    server.ask("DELETE", &format!("/api/v1/recordings/{one}?reason=asked"), None).await;
    let log = dir.path().join("data/deletions.log");
    let old_log = std::fs::read(&log).unwrap();
    server.ask("DELETE", &format!("/api/v1/recordings/{two}?reason=asked"), None).await;
    let anchors = dir.path().join("data/store/anchors");
    becomes("the copy of the deletion log", async || {
        anchors.is_dir()
            && files_below(&anchors).iter().any(|(_, text)| String::from_utf8_lossy(text).contains(&two))
    })
    .await;
    assert_eq!(server.terminate().code(), Some(0));

    // Only the objects are restored: the log knows better, and the sweeper sees to it.
    let restore = || {
        for (path, bytes) in &backup {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    };
    restore();
    let server = Server::start(dir.path(), &settings).await;
    assert_eq!(server.recordings().await, 0);
    becomes("what came back is erased anew", async || {
        copies_of(&server, &one) + copies_of(&server, &two) == 0
    })
    .await;
    server.metric_reaches("optag_erased_returned_total", 2.0).await;
    assert_eq!(server.terminate().code(), Some(0));

    // The deletion log is restored too: it has forgotten the second erasure, and nothing is served.
    restore();
    std::fs::write(&log, &old_log).unwrap();
    let server = Server::start(dir.path(), &settings).await;
    for path in
        ["/api/v1/recordings?purpose=training", &format!("/api/v1/recordings/{two}/audio?purpose=training")]
    {
        assert_eq!(server.ask("GET", path, None).await.0, 503, "{path}");
    }
    let (status, health) = server.health("/readyz").await;
    assert!(status == 200 && health.contains("degraded") && health.contains("replay-deletions"), "{health}");
    assert_eq!(server.metric("optag_deletion_log_ok", "").await, 0.0);
    // Calls are recorded all the same, and wait.
    let third = record(&server).await;
    assert_eq!(spool_keys(&server), 1);
    assert_eq!(server.terminate().code(), Some(0));

    let replayed = optag(dir.path(), &["replay-deletions"]);
    assert!(replayed.status.success(), "{}", said(&replayed));
    println!("{}", said(&replayed));
    let server = Server::start(dir.path(), &settings).await;
    server.recording(&third).await;
    assert_eq!(server.recordings().await, 1);
    assert_eq!((copies_of(&server, &one), copies_of(&server, &two)), (0, 0));
    assert_eq!(server.ask("GET", &format!("/api/v1/recordings/{two}?purpose=training"), None).await.0, 410);
    assert_eq!(server.terminate().code(), Some(0));
    let checked = optag(dir.path(), &["check"]);
    assert!(checked.status.success(), "{}", said(&checked));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legal_hold_refuses_an_erasure_and_says_why_and_nothing_is_held_past_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &settings((22_150, 22_190))).await;
    let id = record(&server).await;
    server.recording(&id).await;
    let path = format!("/api/v1/recordings/{id}/hold");
    let until = |days: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        json!({"until": at.to_string(), "reason": "case 17/2026"})
    };
    let (status, problem) = server.ask("PUT", &path, Some(until(91))).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("lawful_basis"), "{problem}");
    let (status, hold) = server.ask("PUT", &path, Some(until(80))).await;
    assert_eq!((status, &hold["reason"]), (200, &json!("case 17/2026")), "{hold}");
    let erase = format!("/api/v1/recordings/{id}?reason=asked");
    let (status, problem) = server.ask("DELETE", &erase, None).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("case 17/2026"), "{problem}");
    let (_, preview) = server.ask("GET", &format!("/api/v1/recordings/{id}/erasure/preview"), None).await;
    assert!(preview["held_until"].is_string(), "{preview}");
    assert_eq!(copies_of(&server, &id), 2);
    assert_eq!(server.ask("DELETE", &path, None).await, (204, Value::Null));
    assert_eq!(server.ask("DELETE", &erase, None).await.0, 200);
    assert_eq!(server.ask("PUT", &path, Some(until(80))).await.0, 410, "what is erased cannot be held");
    assert_eq!(server.terminate().code(), Some(0));
}
