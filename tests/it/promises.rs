//! The owner's promises to callers, each against a running recorder: what is recorded, what is not, and that nothing
//! unrecorded can be found anywhere.

use serde_json::json;

use crate::phone::{Leg, talk, ulaw, voice};
use crate::server::{Server, Settings, call_request, files_below};

/// A call in progress with its two streams.
struct Call {
    id: String,
    legs: Vec<Leg>,
}

async fn admit(server: &Server, department: &str) -> Call {
    let (status, admitted) =
        server.ask("POST", "/api/v1/calls", Some(call_request(department, "pcmu"))).await;
    assert_eq!(status, 201, "{admitted}");
    let legs = vec![Leg::new(&admitted, 0, 0, 0x1111), Leg::new(&admitted, 1, 0, 0x2222)];
    Call { id: admitted["id"].as_str().unwrap().to_owned(), legs }
}

async fn end(server: &Server, id: &str) -> serde_json::Value {
    let (status, view) = server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
    assert_eq!(status, 200, "{view}");
    view
}

/// Sends both voices without blocking the runtime.
async fn speak(mut legs: Vec<Leg>, caller: Vec<i16>, employee: Vec<i16>) -> Vec<Leg> {
    tokio::task::spawn_blocking(move || {
        talk(&mut legs, &[&caller, &employee]);
        legs
    })
    .await
    .unwrap()
}

async fn press(mut legs: Vec<Leg>, leg: usize, keys: &'static str) -> Vec<Leg> {
    tokio::task::spawn_blocking(move || {
        keys.chars().for_each(|key| legs[leg].key(key));
        legs
    })
    .await
    .unwrap()
}

/// Any 20 ms of what a stream sent, raw (µ-law) or decoded (16-bit PCM), in any file.
fn traces_of(voice: &[i16], server: &Server) -> Vec<String> {
    let frames: Vec<&[i16]> = voice
        .chunks_exact(160)
        .filter(|frame| frame.iter().filter(|sample| sample.abs() > 500).count() > 80)
        .step_by(7)
        .collect();
    assert!(frames.len() > 3, "the voice is too quiet to be searched for");
    let mut found = Vec::new();
    for (path, bytes) in files_below(&server.dir) {
        for frame in &frames {
            let coded: Vec<u8> = frame[..60].iter().map(|&sample| ulaw(sample)).collect();
            let pcm: Vec<u8> = frame[..60].iter().flat_map(|sample| sample.to_le_bytes()).collect();
            if [coded, pcm].iter().any(|needle| contains(&bytes, needle)) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(hay, needle).is_some()
}

/// How many recordings and objects there are, once everything had time to settle.
async fn objects(server: &Server) -> usize {
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let store = server.dir.join("data").join("store");
    if !store.exists() {
        return 0;
    }
    files_below(&store).iter().filter(|(path, _)| path.to_string_lossy().ends_with(".opus.age")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_by_key_is_recorded_found_played_and_erased() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_000, 21_040))).await;
    let call = admit(&server, "demo").await;
    let before = voice(3, 600);
    let legs = speak(call.legs, before.clone(), voice(4, 600)).await;
    let legs = press(legs, 0, "1").await;
    let legs = speak(legs, voice(1, 2_000), voice(2, 2_000)).await;
    drop(legs);
    let view = end(&server, &call.id).await;
    assert_eq!(view["outcome"]["outcome"], "recorded", "{view}");

    let recording = server.recording(&call.id).await;
    let text = recording.to_string();
    assert!(text.contains("granted") && text.contains("12 34 56 78"), "{text}");
    let (_, found) = server
        .ask("GET", "/api/v1/recordings?number=12345678&name=ada&department=demo&purpose=training", None)
        .await;
    assert_eq!(found["total"], 1, "{found}");
    let opus =
        server.bytes(&format!("/api/v1/recordings/{}/audio?format=opus&purpose=training", call.id)).await;
    assert_eq!(&opus[..4], b"OggS");
    let wav =
        server.bytes(&format!("/api/v1/recordings/{}/audio?format=wav&purpose=training", call.id)).await;
    assert_eq!(&wav[..4], b"RIFF");
    assert_eq!(traces_of(&before, &server), Vec::<String>::new(), "audio from before consent");

    let erase = format!("/api/v1/recordings/{}?reason=asked+by+the+caller", call.id);
    let (status, receipt) = server.ask("DELETE", &erase, None).await;
    assert!(status == 200 || status == 202, "{status} {receipt}");
    assert_eq!(objects(&server).await, 0);
    assert_eq!(server.recordings().await, 0);
    let erased = server.ask("GET", &format!("/api/v1/recordings/{}?purpose=training", call.id), None).await;
    assert!(erased.0 == 410 || erased.0 == 404, "{erased:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_01_no_audio_from_before_consent_is_written_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_050, 21_090))).await;
    // Refused by key; unanswered (the test's consent timeout is 3 s); not selected.
    let (refused, silent, private) =
        (admit(&server, "demo").await, admit(&server, "demo").await, admit(&server, "private").await);
    let said = voice(11, 2_000);
    let legs = press(refused.legs, 0, "2").await;
    let after_no = speak(legs, said.clone(), said.clone());
    let unanswered = speak(silent.legs, voice(12, 4_000), voice(13, 4_000));
    let unselected = async {
        let legs = press(private.legs, 0, "1").await;
        speak(legs, voice(14, 2_000), voice(15, 2_000)).await
    };
    let (_a, unanswered, _c) = tokio::join!(after_no, unanswered, unselected);
    // A yes after the time to answer is over, or one after a no, changes nothing.
    let late = press(unanswered, 0, "1").await;
    let late = speak(late, voice(16, 500), voice(17, 500)).await;
    drop(late);
    let yes = json!({"answer": "yes", "how": "system", "prompt_version": "2026-1"});
    let (status, _) = server.ask("POST", &format!("/api/v1/calls/{}/consent", refused.id), Some(yes)).await;
    assert_eq!(status, 409);
    for (id, outcome) in [(&refused.id, "refused"), (&silent.id, "no_answer"), (&private.id, "not_selected")]
    {
        let view = end(&server, id).await;
        assert_eq!(view["outcome"]["outcome"], outcome, "{view}");
    }
    assert_eq!(objects(&server).await, 0);
    assert_eq!(server.recordings().await, 0);
    for seed in [11, 12, 13, 14, 15, 16, 17] {
        assert_eq!(traces_of(&voice(seed, 2_000), &server), Vec::<String>::new(), "voice {seed}");
    }
    let log = server.log();
    assert!(!log.contains("12345678") && !log.contains("12 34 56 78") && !log.contains("Lovelace"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_by_key_leaves_nothing_that_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_100, 21_140))).await;
    let call = admit(&server, "demo").await;
    let legs = press(call.legs, 0, "1").await;
    let legs = speak(legs, voice(21, 1_500), voice(22, 1_500)).await;
    let legs = press(legs, 0, "*9").await;
    let legs = speak(legs, voice(23, 1_000), voice(24, 1_000)).await;
    drop(legs);
    let keys = files_below(&server.dir.join("data").join("spool").join("keys"));
    assert!(keys.is_empty(), "the key of a withdrawn call is still there");
    let view = end(&server, &call.id).await;
    assert_eq!(view["outcome"]["outcome"], "withdrawn", "{view}");
    assert_eq!(objects(&server).await, 0);
    assert_eq!(server.recordings().await, 0);
    for seed in [21, 22, 23, 24] {
        assert_eq!(traces_of(&voice(seed, 1_000), &server), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_told_to_staff_erases_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_150, 21_190))).await;
    let call = admit(&server, "demo").await;
    let legs = press(call.legs, 0, "1").await;
    let legs = speak(legs, voice(31, 1_000), voice(32, 1_000)).await;
    let path = format!("/api/v1/calls/{}/withdraw", call.id);
    let (status, view) = server.ask("POST", &path, Some(json!({"how": "staff"}))).await;
    assert_eq!((status, &view["consent"]), (200, &json!("withdrawn")), "{view}");
    assert!(files_below(&server.dir.join("data").join("spool").join("keys")).is_empty());
    drop(speak(legs, voice(33, 500), voice(34, 500)).await);
    assert_eq!(end(&server, &call.id).await["outcome"]["outcome"], "withdrawn");
    assert_eq!(objects(&server).await, 0);
}

/// Staff are told of it just after the call: what the index says of the call is that alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_after_the_call_is_all_that_is_said_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_245, 21_275))).await;
    let call = admit(&server, "demo").await;
    let legs = press(call.legs, 0, "1").await;
    let legs = speak(legs, voice(1, 600), voice(2, 600)).await;
    drop(legs);
    let view = end(&server, &call.id).await;
    assert_eq!(view["outcome"]["outcome"], "recorded", "{view}");
    server.recording(&call.id).await;
    let (status, view) = server
        .ask("POST", &format!("/api/v1/calls/{}/withdraw", call.id), Some(json!({"how": "staff"})))
        .await;
    assert_eq!(status, 200, "{view}");
    assert_eq!((&view["outcome"]["outcome"], &view["consent"]), (&"withdrawn".into(), &"withdrawn".into()));
    server.metric_reaches("optag_erasures_total", 1.0).await;
    assert_eq!(objects(&server).await, 0);
    use sqlx::{ConnectOptions, Connection, Row};
    let file = server.dir.join("data").join("index.sqlite");
    let mut index = sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    let query = sqlx::query("SELECT outcome, cause FROM calls WHERE id = ?").bind(&call.id);
    let row = query.fetch_one(&mut index).await.unwrap();
    assert_eq!((row.get::<String, _>(0), row.get::<String, _>(1)), ("withdrawn".into(), String::new()));
    index.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_employee_is_no_consent() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_200, 21_240))).await;
    let call = admit(&server, "demo").await;
    let legs = press(call.legs, 1, "1").await;
    drop(speak(legs, voice(41, 1_000), voice(42, 1_000)).await);
    assert_eq!(end(&server, &call.id).await["outcome"]["outcome"], "no_answer");
    assert_eq!(objects(&server).await, 0);
}
