//! Handing recordings out.

use std::sync::atomic::Ordering;

use axum::http::Method;
use serde_json::json;

use crate::http::access::Role;
use crate::http::audit::AuditAction;
use crate::http::fakes::{Api, FILE, id};
use crate::http::library::LibraryError;

fn path(what: &str) -> String {
    format!("/api/v1/recordings/{}/{what}?purpose=caller_request", id())
}

#[tokio::test]
async fn nothing_is_handed_out_without_an_audit_entry_and_no_link_is_used_up_before_its_end_is_durable() {
    let api = Api::new();
    let made = api.post(&path("links"), &json!({})).await;
    assert_eq!(made.status, 201);
    let url = made.json()["url"].as_str().unwrap().to_owned();
    let link = url.strip_prefix("https://calls.example").unwrap().to_owned();
    api.fake.audit_fails.store(true, Ordering::Relaxed);
    for what in ["handout", "links"] {
        let answer = api.post(&path(what), &json!({})).await;
        answer.problem(503);
        assert!(!answer.bytes.windows(FILE.len()).any(|part| part == FILE));
    }
    assert!(api.fake.opened.lock().unwrap().is_empty());
    api.fake.audit_fails.store(false, Ordering::Relaxed);
    let answer = api.post(&link, &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.header("referrer-policy")), (200, "no-referrer"));
    assert!(answer.bytes.windows(FILE.len()).any(|part| part == FILE));
    let last = api.fake.audited.lock().unwrap().last().cloned().unwrap();
    assert_eq!((last.action, last.actor.as_str()), (AuditAction::HandOut, "holder of a link"));
    api.post(&link, &json!({})).await.problem(404);
}

#[tokio::test]
async fn only_those_who_hand_out_may_and_what_is_gone_is_not() {
    let api = Api::new();
    for role in [Role::Feed, Role::Listener, Role::Agent] {
        for what in ["handout", "links"] {
            api.as_role(role, Method::POST, &path(what), Some(&json!({}))).await.problem(403);
        }
    }
    let own = json!({"own_voice_only": true});
    assert_eq!(api.post(&path("handout"), &own).await.problem(422), "own_voice_only");
    assert_eq!(api.post(&path("links"), &json!({"expires_hours": 0})).await.problem(422), "expires_hours");
    *api.fake.fail.lock().unwrap() = Some(LibraryError::Erased);
    api.post(&path("handout"), &json!({})).await.problem(410);
    api.post(&path("links"), &json!({})).await.problem(410);
    assert!(api.fake.opened.lock().unwrap().is_empty());
}
