//! Candidates, erasures of several recordings, holds, the report and the audit: permissions, and what is
//! audited.

use std::sync::atomic::Ordering;

use axum::http::Method;
use serde_json::json;

use crate::http::access::Role;
use crate::http::audited::AuditAction;
use crate::http::fakes::{Api, NAME, NUMBER, id};
use crate::http::recordings::library::LibraryError;
use optag_core::clock::WallTime;

const TOLD: &str =
    "/api/v1/candidates?purpose=caller_request&number=12345678&name=Karen&date=2026-11-24&time=14:30";

#[tokio::test]
async fn what_a_caller_tells_becomes_a_window_in_the_callers_zone() {
    let api = Api::new();
    let found = api.get(TOLD).await.json();
    assert_eq!(found["candidates"][0]["fit"]["number"], "same", "{found}");
    assert_eq!(
        (&found["from"], &found["to"]),
        (&json!("2026-11-24T13:15:00Z"), &json!("2026-11-24T13:45:00Z"))
    );
    api.get(&format!("{TOLD}&tz=Europe/London&tolerance_min=60")).await;
    let window = api.fake.wanted.lock().unwrap().remove(1).window.unwrap();
    assert_eq!(window.from.to_string(), "2026-11-24T13:30:00Z");
    for (query, field) in [
        ("number=1&date=2026-02-30", "date"),
        ("number=1&time=14:30", "date"),
        ("number=1&date=2026-11-24&time=25:00", "time"),
        ("number=1&tz=Nowhere", "tz"),
        ("number=1&tolerance_min=721", "tolerance_min"),
        ("number=1&most=0", "most"),
    ] {
        let path = format!("/api/v1/candidates?purpose=training&{query}");
        assert_eq!(api.get(&path).await.problem(422), field, "{query}");
    }
}

#[tokio::test]
async fn the_audit_of_a_search_names_nobody() {
    let api = Api::new();
    api.get(TOLD).await;
    api.get("/api/v1/recordings?purpose=training&number=12345678&name=Karen").await;
    let several = json!({"caller_number": NUMBER, "reason": "asked", "request": "2026-4711"});
    api.post("/api/v1/erasures", &several).await;
    let entries = serde_json::to_string(&*api.fake.audited.lock().unwrap()).unwrap();
    for private in ["12345678", "Karen", NAME, NUMBER] {
        assert!(!entries.contains(private), "{private}: {entries}");
    }
    assert!(entries.contains("hidden-"), "{entries}");
}

#[tokio::test]
async fn every_look_up_leaves_a_trace_before_it_is_answered_and_none_is_answered_without() {
    let api = Api::new();
    let one = format!("/api/v1/recordings/{}", id());
    let several = json!({"recordings": [id()], "reason": "asked"});
    let hold = json!({"until": "2026-12-01T00:00:00Z", "reason": "case"});
    let dry = json!({"recordings": [id()], "reason": "asked", "dry_run": true});
    let requests: Vec<(Method, String, Option<serde_json::Value>, AuditAction)> = vec![
        (Method::GET, TOLD.into(), None, AuditAction::Search),
        (Method::DELETE, format!("{one}?reason=x"), None, AuditAction::Erase),
        (Method::POST, "/api/v1/erasures".into(), Some(several), AuditAction::Erase),
        (Method::POST, "/api/v1/erasures".into(), Some(dry), AuditAction::Preview),
        (Method::GET, format!("{one}/erasure/preview"), None, AuditAction::Preview),
        (Method::GET, format!("{one}/erasure"), None, AuditAction::Preview),
        (Method::PUT, format!("{one}/hold"), Some(hold), AuditAction::Hold),
        (Method::DELETE, format!("{one}/hold"), None, AuditAction::Hold),
        (Method::GET, "/api/v1/holds".into(), None, AuditAction::Hold),
        (Method::GET, "/api/v1/retention/report".into(), None, AuditAction::Report),
        (Method::POST, "/api/v1/retention/clock".into(), None, AuditAction::ConfirmClock),
        (Method::GET, "/api/v1/audit".into(), None, AuditAction::ReadAudit),
        (Method::POST, "/api/v1/admin/drain".into(), None, AuditAction::Drain),
    ];
    for (method, path, body, action) in requests {
        api.fake.audit_fails.store(true, Ordering::Relaxed);
        let (wanted, erased) = (api.fake.wanted.lock().unwrap().len(), api.fake.erased.lock().unwrap().len());
        let answer = api.as_role(Role::Admin, method.clone(), &path, body.as_ref()).await;
        answer.problem(503);
        assert_eq!(api.fake.wanted.lock().unwrap().len(), wanted, "{path}");
        assert_eq!(api.fake.erased.lock().unwrap().len(), erased, "{path}");
        api.fake.audit_fails.store(false, Ordering::Relaxed);
        let answer = api.as_role(Role::Admin, method.clone(), &path, body.as_ref()).await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.status);
        assert_eq!(api.fake.audited.lock().unwrap().last().unwrap().action, action, "{path}");
    }
}

#[tokio::test]
async fn roles_keep_to_their_work() {
    let api = Api::new();
    let one = format!("/api/v1/recordings/{}", id());
    let several = json!({"recordings": [id()], "reason": "asked"});
    let hold = json!({"until": "2026-12-01T00:00:00Z", "reason": "case"});
    for (role, allowed) in [
        (Role::Feed, [false; 6]),
        // Candidates are for a caller's request, which is not a listener's purpose.
        (Role::Listener, [false; 6]),
        (Role::Contact, [true, true, true, true, false, false]),
        (Role::Admin, [true; 6]),
    ] {
        let answers = [
            api.as_role(role, Method::GET, TOLD, None).await,
            api.as_role(role, Method::POST, "/api/v1/erasures", Some(&several)).await,
            api.as_role(role, Method::GET, &format!("{one}/erasure/preview"), None).await,
            api.as_role(role, Method::GET, "/api/v1/retention/report", None).await,
            api.as_role(role, Method::PUT, &format!("{one}/hold"), Some(&hold)).await,
            api.as_role(role, Method::GET, "/api/v1/audit", None).await,
        ];
        assert_eq!(answers.map(|answer| answer.status.is_success()), allowed, "{role:?}");
    }
}

#[tokio::test]
async fn several_erasures_tell_of_each_and_a_hold_refuses() {
    let api = Api::new();
    let body = json!({"caller_number": NUMBER, "reason": "asked", "request": "2026-4711"});
    let done = api.post("/api/v1/erasures", &body).await;
    assert_eq!((done.status.as_u16(), &done.json()["erasures"][0]["state"]), (200, &json!("done")));
    assert_eq!(*api.fake.erased.lock().unwrap(), ["2026-4711"]);
    for (body, field) in [
        (json!({"reason": "asked"}), "recordings"),
        (json!({"recordings": [id()], "reason": " "}), "reason"),
        (json!({"recordings": [id()], "reason": "x", "request": "Karen Blixen"}), "request"),
        (json!({"recordings": [id()], "reason": "x", "request": "Karen"}), "request"),
    ] {
        assert_eq!(api.post("/api/v1/erasures", &body).await.problem(422), field);
    }
    let held = LibraryError::Held { until: WallTime::default(), reason: "case 17".into() };
    *api.fake.fail.lock().unwrap() = Some(held);
    let refused =
        api.post("/api/v1/erasures", &json!({"recordings": [id()], "reason": "asked"})).await.json();
    assert_eq!(refused["erasures"][0]["state"], "refused");
    assert!(refused["erasures"][0]["refused"].as_str().unwrap().contains("case 17"));
    api.delete(&format!("/api/v1/recordings/{}?reason=asked", id())).await.problem(409);
}

#[tokio::test]
async fn the_public_key_is_there_for_everyone() {
    let api = Api::new();
    let request = axum::http::Request::get("/api/v1/public-key").body(axum::body::Body::empty()).unwrap();
    assert_eq!(api.send(request).await.json()["public_key"], "00".repeat(32));
}
