//! What the pages show of a recording besides its audio, and what they do to calls in progress: each with its entry.

use std::sync::atomic::Ordering;

use axum::http::Method;
use serde_json::json;

use crate::http::access::{Actor, Departments, Role};
use crate::http::audited::{AuditAction, Purpose};
use crate::http::fakes::{Api, NAME, NUMBER, id};
use crate::http::recordings::library::LibraryError;

fn of(what: &str) -> String {
    format!("/api/v1/recordings/{}/{what}", id())
}

#[tokio::test]
async fn a_waveform_is_audited_before_it_is_shown_and_for_listeners_alone() {
    let api = Api::new();
    let waveform = of("waveform?purpose=training");
    let answer = api.as_role(Role::Listener, Method::GET, &waveform, None).await;
    assert_eq!(answer.json(), json!({"every_ms": 100, "channels": ["AMg=", "WgA="]}));
    let audited = api.fake.audited.lock().unwrap().clone();
    let (entry, detail) = (&audited[0], audited[0].detail.as_ref().unwrap().reveal());
    assert_eq!(
        (entry.action, entry.purpose, entry.recording),
        (AuditAction::View, Some(Purpose::Training), Some(id()))
    );
    assert_eq!((audited.len(), detail.as_str()), (1, "waveform"));
    let contact = of("waveform?purpose=caller_request");
    api.as_role(Role::Contact, Method::GET, &contact, None).await.problem(403);
    api.as_role(Role::Listener, Method::GET, &of("waveform?purpose=training&points=0"), None)
        .await
        .problem(422);
    api.fake.audit_fails.store(true, Ordering::Relaxed);
    api.as_role(Role::Listener, Method::GET, &waveform, None).await.problem(503);
    api.fake.audit_fails.store(false, Ordering::Relaxed);
    *api.fake.fail.lock().unwrap() = Some(LibraryError::Erased);
    api.get(&waveform).await.problem(410);
    assert_eq!(api.fake.audited.lock().unwrap().last().unwrap().action, AuditAction::NotServed);
}

#[tokio::test]
async fn who_listened_is_told_to_whoever_may_see_the_recording() {
    let api = Api::new();
    let ada = Actor::new("ada", "listener".parse().unwrap(), Departments::only(["demo"]));
    let audio = of("audio?purpose=training");
    assert_eq!(api.as_actor(ada.clone(), Method::GET, &audio, None).await.status, 200);
    *api.fake.fail_audio.lock().unwrap() = Some(LibraryError::StoreDown);
    api.as_actor(ada.clone(), Method::GET, &audio, None).await.problem(503);
    let told = api.as_actor(ada, Method::GET, &of("accesses"), None).await.json();
    assert_eq!(told.as_array().unwrap().len(), 1, "what was not served is no access: {told}");
    assert_eq!(
        (&told[0]["actor"], &told[0]["action"], &told[0]["purpose"]),
        (&json!("ada"), &json!("heard"), &json!("training"))
    );
    let audited = api.fake.audited.lock().unwrap().last().cloned().unwrap();
    assert_eq!((audited.action, audited.recording), (AuditAction::ReadAudit, Some(id())));
    for (role, status) in
        [(Role::Auditor, 200), (Role::Contact, 200), (Role::Administrator, 403), (Role::Feed, 403)]
    {
        assert_eq!(api.as_role(role, Method::GET, &of("accesses"), None).await.status, status, "{role:?}");
    }
}

#[tokio::test]
async fn numbers_and_names_of_calls_in_progress_are_shown_where_they_are_asked_for_and_audited() {
    let api = Api::new();
    let ask = async |path: &str| api.as_role(Role::Supervisor, Method::GET, path, None).await;
    let without = ask("/api/v1/calls").await;
    let text = String::from_utf8_lossy(&without.bytes);
    assert!(!text.contains(NUMBER) && !text.contains(NAME) && !text.contains("parties"), "{text}");
    assert!(api.fake.audited.lock().unwrap().is_empty());
    let with = ask("/api/v1/calls?parties=true").await.json();
    assert_eq!(
        (&with[0]["parties"]["caller_number"], &with[0]["parties"]["caller_name"]),
        (&json!(NUMBER), &json!(NAME))
    );
    assert_eq!(api.fake.audited.lock().unwrap()[0].action, AuditAction::Search);
    api.fake.audit_fails.store(true, Ordering::Relaxed);
    ask("/api/v1/calls?parties=true").await.problem(503);
}

#[tokio::test]
async fn what_a_person_does_to_a_call_is_audited_with_its_reason_and_never_waits_for_the_log() {
    let api = Api::new();
    let path = |step: &str| format!("/api/v1/calls/{}/{step}", id());
    let body = json!({"reason": "card number"});
    let post = async |role, step: &str, body| {
        api.as_role(role, Method::POST, &path(step), body).await.status.as_u16()
    };
    assert_eq!(post(Role::Feed, "pause", Some(&body)).await, 200);
    assert!(api.fake.audited.lock().unwrap().is_empty(), "a machine's pauses are not a person's");
    assert_eq!(post(Role::Supervisor, "pause", Some(&body)).await, 200);
    assert_eq!(post(Role::Supervisor, "resume", None).await, 200);
    assert_eq!(post(Role::Supervisor, "withdraw", Some(&body)).await, 200);
    let told: Vec<String> = {
        let audited = api.fake.audited.lock().unwrap();
        assert!(
            audited.iter().all(|entry| entry.action == AuditAction::Control && entry.recording == Some(id()))
        );
        audited.iter().map(|entry| entry.detail.as_ref().unwrap().reveal().clone()).collect()
    };
    assert_eq!(told, ["pause: card number", "resume", "withdraw: card number"]);
    api.fake.audit_fails.store(true, Ordering::Relaxed);
    assert_eq!(post(Role::Supervisor, "withdraw", Some(&body)).await, 200, "the caller's will counts first");
    assert_eq!(post(Role::Supervisor, "resume", None).await, 503);
    assert_eq!(post(Role::Supervisor, "pause", Some(&json!({"reason": "x".repeat(300)}))).await, 422);
}
