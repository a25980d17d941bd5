//! The load tool as a recording client, and the assurance report over what it did.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::server::{Server, Settings};

async fn optag(args: Vec<String>) -> Output {
    let run = move || Command::new(env!("CARGO_BIN_EXE_optag")).args(args).output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Runs `optag load … --json`; its report, which is good.
async fn load(line: &str) -> Value {
    let (good, report) = play(line).await;
    assert!(good, "{line}: {report:#}");
    report
}

/// Runs `optag load … --json`; whether all was as it must be, and its report.
async fn play(line: &str) -> (bool, Value) {
    let mut args = words(line);
    args.insert(0, "load".into());
    args.push("--json".into());
    let done = optag(args).await;
    let report: Value = serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|_| panic!("{line}: {}", String::from_utf8_lossy(&done.stderr)));
    (done.status.success(), report)
}

/// What was stored is what was sent, by ear: each channel its own leg, complete. Where on the
/// time axis is not looked at, as a machine that is busy with other tests sends late.
fn sounds_right(report: &Value, calls: u64) {
    assert_eq!(
        (report["failed"].as_u64(), report["verified"].as_u64()),
        (Some(0), Some(calls)),
        "{report:#}"
    );
    assert_eq!(report["outcomes"]["recorded"].as_u64(), Some(calls), "{report:#}");
    let (own, other) = (report["own_least"].as_f64().unwrap(), report["other_most"].as_f64().unwrap());
    assert!(own > 0.85 && other < 0.3, "{report:#}");
}

/// Runs `optag assurance … --json` on the data of a test's recorder; exit code and report.
async fn assurance(dir: &Path, line: &str) -> (i32, Value) {
    let day = jiff::Timestamp::now().to_string()[..10].to_owned();
    let config = dir.join("optag.toml").display().to_string();
    let mut args = words(&format!("assurance --json --config {config} --day {day}"));
    args.extend(words(line));
    let done = optag(args).await;
    let report = serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)));
    (done.status.code().unwrap_or(-1), report)
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_of_every_maker_are_recorded_and_match_what_was_sent() {
    sounds_right(&play("--own --sip udp --calls 8 --rate 8 --seconds 5 --verify 8").await.1, 8);
    let delayed = "--own --sip tcp --sip-shape delayed --calls 2 --rate 4 --seconds 4 --verify 2";
    sounds_right(&play(delayed).await.1, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_calls_are_all_accounted_for_and_a_lost_object_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((22_300, 22_360))).await;
    let target = format!("--target sip:{} --api {} --token {}", server.sip, server.api, server.token);
    let yes = load(&format!("{target} --calls 2 --rate 4 --seconds 3 --hold")).await;
    assert_eq!(yes["sip"]["re_invites"], 4, "{yes:#}");
    load(&format!("{target} --calls 1 --seconds 2 --consent no --answer-by header")).await;
    load(&format!("{target} --calls 1 --seconds 2 --consent yes --answer-by info --department private"))
        .await;
    server.metric_reaches("optag_stored_objects_total", 2.0).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;

    let (code, report) = assurance(dir.path(), "").await;
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["calls"].as_array().unwrap().len(), 4);
    let outcomes = &report["outcomes"];
    assert_eq!(
        (&outcomes["recorded"], &outcomes["refused"], &outcomes["not_selected"]),
        (&2.into(), &1.into(), &1.into())
    );
    assert!(report["calls"].as_array().unwrap().iter().all(|call| call["client"] == "127.0.0.1"));

    // The PBX knows three of them, and one that never came.
    let now = jiff::Timestamp::now();
    let csv = dir.path().join("cdr.csv");
    let row = |n: usize| format!("{now};+452000000{n};70101010;in\n");
    let text = format!("Start;From;To;Dir\n{}{}{now};33333333;1;in\n", row(0), row(1));
    std::fs::write(&csv, text).unwrap();
    let columns = "--cdr-start start --cdr-caller from --cdr-called to --separator ; --tolerance 120";
    let (code, report) = assurance(dir.path(), &format!("--cdr {} {columns}", csv.display())).await;
    assert_eq!(code, 1);
    assert_eq!((&report["cdr"]["rows"], &report["cdr"]["matched"]), (&3.into(), &2.into()), "{report:#}");
    let faults = report["faults"].to_string();
    assert!(faults.contains("line 4") && faults.contains("no call was announced"), "{faults}");

    // Somebody removes an object behind the recorder's back.
    let store = dir.path().join("data").join("store");
    let audio = crate::server::files_below(&store).into_iter().map(|(path, _)| path);
    let audio = audio.into_iter().find(|path| path.to_string_lossy().contains(".opus")).unwrap();
    std::fs::remove_file(audio).unwrap();
    let (code, report) = assurance(dir.path(), "").await;
    assert_eq!(code, 1);
    assert_eq!(report["faults"].as_array().unwrap().len(), 1, "{report:#}");
    assert!(report["faults"][0].as_str().unwrap().contains("the store has no such object"));
    let text = optag(words(&format!(
        "assurance --config {} --day {}",
        dir.path().join("optag.toml").display(),
        &now.to_string()[..10]
    )))
    .await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("2 recorded") && text.contains("1 faults"), "{text}");
    let kept = std::fs::read(dir.path().join("data").join("index.sqlite")).unwrap();
    let sees = |text: &[u8]| kept.windows(text.len()).any(|window| window == text);
    assert!(!sees(b"4520000002"), "the number of a refused call is not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn signalling_and_audio_over_ipv6_are_recorded() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((22_500, 22_520));
    settings.env = vec![
        ("OPTAG_SIP_LISTEN_UDP".into(), "[::1]:0".into()),
        ("OPTAG_SIP_LISTEN_TCP".into(), String::new()),
        ("OPTAG_RTP_LISTEN_IP".into(), "::1".into()),
        ("OPTAG_API_LISTEN".into(), "[::1]:0".into()),
    ];
    let server = Server::start(dir.path(), &settings).await;
    let line = format!(
        "--target sip:{} --api {} --token {} --calls 2 --rate 4 --seconds 4 --verify 2 --sip-shape plain,cube",
        server.sip, server.api, server.token
    );
    sounds_right(&play(&line).await.1, 2);
    let by_api =
        format!("--target {} --token {} --calls 2 --rate 4 --seconds 4 --verify 2", server.api, server.token);
    sounds_right(&play(&by_api).await.1, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_protected_by_srtp_are_recorded_and_match_what_was_sent() {
    let by_sip = "--own --sip tcp --srtp AEAD_AES_256_GCM --calls 8 --rate 8 --seconds 5 --verify 8";
    sounds_right(&play(by_sip).await.1, 8);
    let by_api = "--own --srtp aes_cm_128_hmac_sha1_32 --calls 2 --rate 4 --seconds 4 --verify 2";
    sounds_right(&play(by_api).await.1, 2);
    for (line, said) in [
        ("--own --srtp NULL_AUTH --calls 1", "AES_CM_128_HMAC_SHA1_80"),
        ("--own --sip udp --srtp AEAD_AES_128_GCM --sip-shape delayed", "delayed"),
    ] {
        let done = optag(words(&format!("load {line}"))).await;
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && text.contains(said), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_ends_a_call_as_it_must_by_whichever_way_it_comes() {
    for way in ["key", "header", "info"] {
        let line = "--own --sip udp --calls 4 --rate 8 --seconds 4 --consent mixed --answer-by";
        let (_, report) = play(&format!("{line} {way}")).await;
        let ended = [("recorded", 1), ("refused", 1), ("no_answer", 1), ("withdrawn", 1)];
        for (outcome, count) in ended {
            assert_eq!(report["outcomes"][outcome], count, "{way}: {report:#}");
        }
        assert_eq!(report["outcomes_unexpected"], 0, "{way}: {report:#}");
    }
    // The answering key is lost on the way: no recording, and the tool does not hide it.
    let (good, report) = play("--own --calls 1 --seconds 2 --loss 99.999").await;
    assert_eq!((good, &report["outcomes_unexpected"]), (false, &1.into()), "{report:#}");
    assert!(report["faults"][0].as_str().unwrap().contains("not as `recorded`"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_asked_for_after_consent_are_recorded_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((22_250, 22_290));
    settings.env = vec![("OPTAG_SIP_UNTIL_CONSENT".into(), "inactive".into())];
    let server = Server::start(dir.path(), &settings).await;
    let target = format!("--target sip:{} --api {} --token {}", server.sip, server.api, server.token);
    for way in ["info", "header"] {
        let line = format!("{target} --calls 2 --rate 4 --seconds 5 --answer-by {way}");
        let report = play(&line).await.1;
        assert_eq!(report["outcomes"]["recorded"], 2, "{way}: {report:#}");
        // A yes that comes with the INVITE is answered with open streams at once.
        let asked = if way == "info" { 2 } else { 0 };
        assert_eq!(report["sip"]["server_re_invites"], asked, "{way}: {report:#}");
    }
    let (good, report) = play(&format!("{target} --calls 1 --seconds 3 --answer-by key")).await;
    assert!(!good && report["faults"].to_string().contains("never accepted the streams"), "{report:#}");
    let (good, report) = play(&format!("{target} --calls 1 --seconds 3 --consent no --answer-by info")).await;
    assert!(good && report["outcomes"]["refused"] == 1, "{report:#}");
}
