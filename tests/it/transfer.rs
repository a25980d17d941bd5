//! Calls that go from one department to the next.

use serde_json::{Value, json};

use crate::conversation::{Conversation, wav_channels};
use crate::phone::voice;
use crate::server::{Server, Settings, call_request, files_below};

/// Departments beside those of every test's server: `near` is named by the prompt of `front`, `far`
/// is not.
const DEPARTMENTS: &str = r#"
[[prompt]]
version = "7-da"
language = "da"
text = "Må vi optage? Tast 5 for ja."
departments = ["front", "near"]
keys = { yes = "5", no = "6", withdraw = "*9" }
[[department]]
id = "front"
name = "Front"
record = true
prompts = ["7-da"]
[[department]]
id = "near"
name = "Near"
record = true
retention_days = 30
[[department]]
id = "far"
name = "Far"
record = true
"#;

async fn server(dir: &std::path::Path, ports: (u16, u16)) -> Server {
    let mut settings = Settings::with_ports(ports);
    settings.extra = DEPARTMENTS.into();
    Server::start(dir, &settings).await
}

async fn move_to(call: &Conversation, server: &Server, department: &str) -> Value {
    let (status, view) = call.ask(server, "transfer", Some(json!({"department": department}))).await;
    assert_eq!((status, &view["department"]), (200, &json!(department)), "{view}");
    view["consent"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_keeps_only_what_a_yes_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), (22_550, 22_590)).await;
    let mut call = Conversation::admit(&server, "front").await;
    call.press("1").await;
    call.press("5").await;
    call.speak(voice(71, 600), voice(72, 600)).await;
    assert_eq!(move_to(&call, &server, "near").await, "granted", "the prompt named it");
    call.speak(voice(71, 600), voice(72, 600)).await;
    assert_eq!(move_to(&call, &server, "far").await, "asked");
    call.speak(voice(73, 600), voice(74, 600)).await;
    call.press("1").await;
    call.speak(voice(71, 600), voice(72, 600)).await;
    assert_eq!(move_to(&call, &server, "private").await, "unknown");
    call.speak(voice(73, 600), voice(74, 600)).await;
    let nowhere = call.ask(&server, "transfer", Some(json!({"department": "nowhere"}))).await;
    assert_eq!((nowhere.0, &nowhere.1["field"]), (422, &json!("department")));
    let id = call.id.clone();
    assert_eq!(call.end(&server).await, "recorded");

    let recording = server.recording(&id).await;
    let consent = recording["consent"].as_array().unwrap();
    let told: Vec<_> = consent
        .iter()
        .map(|record| (record["state"].as_str().unwrap(), record["terms"]["department"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("granted", "front"),
            ("granted", "near"),
            ("asked", "far"),
            ("granted", "far"),
            ("unknown", "private")
        ]
    );
    let first = &consent[0];
    assert_eq!((&first["prompt_version"], &first["terms"]["language"]), (&json!("7-da"), &json!("da")));
    assert_eq!(first["terms"]["text_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(first["evidence"]["keys"], "5");
    assert!(first["evidence"]["ssrc"].is_u64() && first["evidence"]["rtp_timestamp"].is_u64());
    let time = |field: &str| recording[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let days = (time("expires_at").as_second() - time("started_at").as_second()) / 86_400;
    assert_eq!(days, 30, "as long as the strictest department allows");

    let wav = server.bytes(&format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training")).await;
    let channels = wav_channels(&wav);
    let gaps = recording["gaps"].as_array().unwrap();
    let paused: Vec<_> = gaps.iter().filter(|gap| gap["reason"] == "paused").collect();
    assert_eq!(paused.len(), 4, "two spans in two channels: {gaps:?}");
    for gap in paused {
        let at = |field: &str| gap[field].as_u64().unwrap() as usize * 160;
        let channel = &channels[gap["stream"].as_u64().unwrap() as usize];
        let span = &channel[at("from_frame") + 800..at("to_frame") - 160];
        let loudest = span.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!(span.len() > 3_000 && loudest < 100, "{loudest} in {gap}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_comes_from_an_unrecorded_department_is_asked_and_recorded_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), (22_600, 22_640)).await;
    let mut call = Conversation::admit(&server, "private").await;
    let mut never = Conversation::admit(&server, "private").await;
    call.speak(voice(75, 400), voice(76, 400)).await;
    assert!(files_below(&server.dir.join("data/spool/keys")).is_empty(), "nothing of it is in the spool");
    assert_eq!(move_to(&call, &server, "front").await, "asked");
    call.press("5").await;
    call.speak(voice(77, 800), voice(78, 800)).await;
    never.speak(voice(75, 200), voice(76, 200)).await;
    let (id, other) = (call.id.clone(), never.id.clone());
    assert_eq!(call.end(&server).await, "recorded");
    assert_eq!(never.end(&server).await, "not_selected");
    let recording = server.recording(&id).await;
    assert_eq!(
        (&recording["department"], &recording["caller_number"]),
        (&json!("front"), &json!("+45 12 34 56 78"))
    );
    let (status, _) = server.ask("GET", &format!("/api/v1/recordings/{other}?purpose=training"), None).await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_to_nobody_knows_what_or_on_nobodys_word_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), (22_650, 22_690)).await;
    let mut request = call_request("front", "pcmu");
    request["prompt_version"] = json!("7-da");
    let mut call = Conversation::admit_as(&server, request).await;
    let answer = |body: Value| call.ask(&server, "consent", Some(body));
    let unknown = json!({"answer": "yes", "how": "system", "prompt_version": "6-da"});
    assert_eq!(answer(unknown).await.0, 409);
    assert_eq!(answer(json!({"answer": "yes", "how": "staff"})).await.0, 422);
    let (status, view) = answer(json!({"answer": "yes", "how": "staff", "staff": "BKJ"})).await;
    assert_eq!((status, &view["consent"]), (200, &json!("granted")));
    call.speak(voice(79, 500), voice(80, 500)).await;
    let id = call.id.clone();
    let end = format!("/api/v1/calls/{id}");
    assert_eq!(call.end(&server).await, "recorded");
    let recording = server.recording(&id).await;
    assert_eq!(
        recording["consent"][0]["evidence"],
        json!({"kind": "actor", "name": "admin", "staff": "BKJ"})
    );
    // After the end an answer finds nothing; a withdrawal erases.
    let late = json!({"answer": "yes", "how": "system"});
    assert_eq!(server.ask("POST", &format!("{end}/consent"), Some(late)).await.0, 404);
    let (status, view) = server.ask("POST", &format!("{end}/withdraw"), None).await;
    assert_eq!((status, &view["consent"]), (200, &json!("withdrawn")), "{view}");
    let (status, _) = server.ask("GET", &format!("/api/v1/recordings/{id}?purpose=training"), None).await;
    assert_eq!(status, 410);
}
