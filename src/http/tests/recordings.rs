//! Searching, reading and erasing recordings.

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;

use crate::http::access::{Actor, Role};
use crate::http::audited::{AuditAction, Purpose};
use crate::http::fakes::{Api, NAME, NUMBER, id};
use crate::http::recordings::library::LibraryError;

const SEARCH: &str = "/api/v1/recordings?purpose=caller_request";

#[tokio::test]
async fn a_search_is_audited_with_what_was_searched_for() {
    let api = Api::new();
    let path = format!(
        "{SEARCH}&number=%2B45%2012345678&name=Karen&department=demo&from=2026-11-01&to=2026-11-24T10:00:00Z&page=2"
    );
    let answer = api.get(&path).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["recordings"][0]["caller_number"], NUMBER);
    assert_eq!(answer.json()["recordings"][0]["caller_name"], NAME);
    let query = api.fake.searches.lock().unwrap().remove(0);
    assert_eq!(query.number.unwrap().reveal(), "+45 12345678");
    assert_eq!(query.from.unwrap().to_string(), "2026-11-01T00:00:00Z");
    assert_eq!((query.page, query.page_size), (2, 50));
    let entry = api.fake.audited.lock().unwrap().remove(0);
    assert_eq!(
        (entry.action, entry.purpose, entry.actor.as_str()),
        (AuditAction::Search, Some(Purpose::CallerRequest), "test")
    );
    let detail = entry.detail.unwrap();
    assert!(detail.reveal().contains("\"department\":\"demo\"") && detail.reveal().contains("hidden-12"));
    assert!(!detail.reveal().contains("12345678") && !detail.reveal().contains("Karen"));
}

#[tokio::test]
async fn a_role_looks_only_for_its_purposes_and_nothing_is_audited_or_shown_for_another() {
    let api = Api::new();
    let ask = async |role, path: &str| api.as_role(role, axum::http::Method::GET, path, None).await;
    let one = format!("/api/v1/recordings/{}?purpose=", id());
    for (role, path) in [
        (Role::Listener, SEARCH.to_owned()),
        (Role::Listener, format!("{one}administration")),
        (Role::Contact, format!("{one}training")),
    ] {
        ask(role, &path).await.problem(403);
    }
    assert!(api.fake.audited.lock().unwrap().is_empty() && api.fake.searches.lock().unwrap().is_empty());
    assert_eq!(ask(Role::Listener, &format!("{one}training")).await.status, 200);
    assert_eq!(ask(Role::Contact, SEARCH).await.status, 200);
    let list = api.get(&one[..one.len() - "?purpose=".len()]).await;
    assert_eq!(list.problem(400), "purpose");
    assert!(list.json()["detail"].as_str().unwrap().contains("training, caller_request, administration"));
}

#[tokio::test]
async fn the_purpose_may_come_in_a_header() {
    let api = Api::new();
    let mut request =
        Request::get("/api/v1/recordings").header("optag-purpose", "training").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Actor::with_role("test", Role::Listener));
    assert_eq!(api.send(request).await.status, 200);
}

#[tokio::test]
async fn a_wrong_parameter_is_named_and_nothing_is_searched() {
    let api = Api::new();
    assert_eq!(api.get("/api/v1/recordings").await.problem(400), "purpose");
    assert_eq!(api.get("/api/v1/recordings?purpose=curiosity").await.problem(400), "purpose");
    for (query, field) in [
        ("page=0", "page"),
        ("page=x", "page"),
        ("page_size=201", "page_size"),
        ("from=yesterday", "from"),
        ("to=2026-13-01", "to"),
        ("nmae=x", "nmae"),
        ("name=a&name=b", "name"),
    ] {
        assert_eq!(api.get(&format!("{SEARCH}&{query}")).await.problem(422), field);
    }
    let long = format!("{SEARCH}&name={}", "x".repeat(201));
    assert_eq!(api.get(&long).await.problem(422), "name");
    assert!(api.fake.searches.lock().unwrap().is_empty() && api.fake.audited.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_searched_read_or_erased_without_an_audit_entry() {
    let api = Api::new();
    api.fake.audit_fails.store(true, Ordering::Relaxed);
    let one = format!("/api/v1/recordings/{}", id());
    let read = format!("{one}?purpose=training");
    for answer in [api.get(SEARCH).await, api.get(&read).await, api.delete(&format!("{one}?reason=x")).await]
    {
        answer.problem(503);
        assert!(!String::from_utf8_lossy(&answer.bytes).contains(NAME));
    }
    assert!(api.fake.searches.lock().unwrap().is_empty() && api.fake.erased.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_erasure_needs_a_reason_and_answers_with_a_receipt() {
    let api = Api::new();
    let path = format!("/api/v1/recordings/{}", id());
    assert_eq!(api.delete(&path).await.problem(422), "reason");
    assert_eq!(api.delete(&format!("{path}?reason=%20")).await.problem(422), "reason");
    let wrong = json!({"why": "x"});
    assert_eq!(api.as_role(Role::Admin, Method::DELETE, &path, Some(&wrong)).await.problem(422), "why");
    assert_eq!(api.delete(&format!("{path}?reason=asked")).await.status, 200);
    api.fake.pending.store(true, Ordering::Relaxed);
    let body = json!({"reason": "asked again"});
    let answer = api.as_role(Role::Contact, Method::DELETE, &path, Some(&body)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (202, &json!("pending")));
    assert_eq!(api.fake.erased.lock().unwrap().len(), 2);
    let audited = api.fake.audited.lock().unwrap();
    assert_eq!(audited[0].action, AuditAction::Erase);
    assert_eq!(audited[1].detail.as_ref().unwrap().reveal(), "asked again");
}

#[tokio::test]
async fn a_recording_is_read_or_said_to_be_gone() {
    let api = Api::new();
    let path = format!("/api/v1/recordings/{}?purpose=training", id());
    let detail = api.get(&path).await.json();
    assert_eq!((&detail["id"], &detail["state"]), (&json!(id()), &json!("stored")));
    assert_eq!(api.fake.audited.lock().unwrap()[0].action, AuditAction::View);
    for (error, status) in
        [(LibraryError::NotFound, 404), (LibraryError::Erased, 410), (LibraryError::IndexDown, 503)]
    {
        *api.fake.fail.lock().unwrap() = Some(error);
        api.get(&path).await.problem(status);
    }
    assert_eq!(api.get("/api/v1/recordings/1").await.problem(422), "id");
}
