//! Hand-outs of recordings.

use std::sync::atomic::Ordering;

use axum::http::Method;
use serde_json::json;

use crate::http::access::Role;
use crate::http::audited::AuditAction;
use crate::http::fakes::{Api, FILE, id};
use crate::http::recordings::library::LibraryError;

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

fn cover(package: &[u8]) -> String {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(package)).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut zip.by_name("cover.txt").unwrap(), &mut text).unwrap();
    text
}

#[tokio::test]
async fn a_hand_out_that_failed_stands_in_no_letter() {
    let api = Api::new();
    let handed = |text: &str| text.matches("copy handed out").count();
    *api.fake.fail_audio.lock().unwrap() = Some(LibraryError::StoreDown);
    for _ in 0..3 {
        api.post(&path("handout"), &json!({})).await.problem(503);
    }
    let audio = format!("/api/v1/recordings/{}/audio?purpose=training", id());
    api.get(&audio).await.problem(503);
    *api.fake.fail_audio.lock().unwrap() = None;
    let text = cover(&api.post(&path("handout"), &json!({})).await.bytes);
    assert_eq!((handed(&text), text.matches(": played").count()), (1, 0), "{text}");
}

#[tokio::test]
async fn a_hand_out_that_broke_off_is_said_to_have() {
    let api = Api::new();
    let answer = api.unread(&path("handout"), &json!({})).await;
    let mut body = answer.into_body().into_data_stream();
    futures::StreamExt::next(&mut body).await.unwrap().unwrap();
    drop(body);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while api.fake.audited.lock().unwrap().last().unwrap().action != AuditAction::BrokenOff {
        assert!(std::time::Instant::now() < until, "the end was not noted");
        tokio::task::yield_now().await;
    }
    let text = cover(&api.post(&path("handout"), &json!({})).await.bytes);
    assert!(text.contains("hand-out of a copy started but not completed"), "{text}");
}

#[tokio::test]
async fn a_link_is_not_used_up_by_a_store_that_is_away_and_its_browser_may_try_again() {
    let api = Api::new();
    let url = api.post(&path("links"), &json!({})).await.json()["url"].as_str().unwrap().to_owned();
    let link = url.strip_prefix("https://calls.example").unwrap().to_owned();
    *api.fake.fail_audio.lock().unwrap() = Some(LibraryError::StoreDown);
    api.post(&link, &json!({})).await.problem(503);
    *api.fake.fail_audio.lock().unwrap() = None;
    let answer = api.post(&link, &json!({})).await;
    assert_eq!(answer.status, 200);
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.contains("HttpOnly; SameSite=Strict; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let with = |cookie: &str, accept: &str| {
        let request = axum::http::Request::post(&link).header("cookie", cookie).header("accept", accept);
        request.body(axum::body::Body::empty()).unwrap()
    };
    assert_eq!(api.send(with(cookie, "*/*")).await.status, 200);
    api.send(with("optag_handout=another", "*/*")).await.problem(404);
    let page = api.send(with("", "text/html")).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (404, "text/html; charset=utf-8"));
}

#[tokio::test]
async fn a_flood_of_wrong_links_from_one_address_keeps_no_citizen_out() {
    use crate::http::server::client_address::Peer;
    let api = Api::new();
    let url = api.post(&path("links"), &json!({})).await.json()["url"].as_str().unwrap().to_owned();
    let from = |address: &str, path: &str| {
        let mut request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        request.extensions_mut().insert(Peer(address.parse().unwrap()));
        request
    };
    let mut slowed = 0;
    for n in 0..200 {
        let answer = api.send(from("192.0.2.66:4711", &format!("/handout/{n:064x}"))).await;
        slowed += usize::from(answer.status == 429);
    }
    assert!(slowed > 100, "{slowed}");
    let link = url.strip_prefix("https://calls.example").unwrap();
    assert_eq!(api.send(from("198.51.100.7:4711", link)).await.status, 200);
}
