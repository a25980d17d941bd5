//! Signing in with the form, and what the cookie is worth afterwards.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{Method, Request};

use crate::auth::Departments;
use crate::auth::tokens::NewToken;
use crate::http::access::Role;
use crate::http::audited::AuditAction;
use crate::http::fakes::{Answer, Api, id};
use crate::http::server::client_address::Peer;

/// A token of a person.
async fn token(api: &Api, name: &str, role: Role) -> String {
    let departments = Some(Departments::only(["demo"])).filter(|_| !role.is_of_all());
    api.tokens.create(&NewToken { departments, ..NewToken::of(name, role) }).await.unwrap()
}

fn form(secret: &str, site: &str) -> Request<Body> {
    let body = format!("secret={secret}&lang=da");
    let request = Request::post("/sign-in").header("content-type", "application/x-www-form-urlencoded");
    request.header("sec-fetch-site", site).body(Body::from(body)).unwrap()
}

/// The cookie of an answer, as the browser sends it back.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").to_owned();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    set.split(';').next().unwrap().to_owned()
}

async fn signed_in(api: &Api, secret: &str) -> String {
    let answer = api.send(form(secret, "same-origin")).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/"));
    cookie(&answer)
}

async fn ask(api: &Api, method: Method, path: &str, cookie: &str, more: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("cookie", cookie);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    api.send(request.body(Body::empty()).unwrap()).await
}

fn actions(api: &Api) -> Vec<AuditAction> {
    api.fake.audited.lock().unwrap().iter().map(|entry| entry.action).collect()
}

#[tokio::test]
async fn a_form_signs_in_and_the_cookie_has_the_rights_of_the_token_until_it_is_revoked() {
    let api = Api::new();
    let secret = token(&api, "ada", Role::Listener).await;
    let cookie = signed_in(&api, &secret).await;
    assert!(!cookie.contains(&secret));
    let me = ask(&api, Method::GET, "/api/v1/me", &cookie, &[]).await.json();
    assert_eq!((&me["name"], &me["departments"][0]), (&"ada".into(), &"demo".into()));
    let audio = format!("/api/v1/recordings/{}/audio?purpose=training", id());
    assert_eq!(ask(&api, Method::GET, &audio, &cookie, &[]).await.status, 200);
    ask(&api, Method::GET, "/api/v1/audit", &cookie, &[]).await.problem(403);
    api.tokens.revoke("ada").await.unwrap();
    ask(&api, Method::GET, "/api/v1/me", &cookie, &[]).await.problem(401);
    assert_eq!(actions(&api), [AuditAction::SignIn, AuditAction::Playback]);
}

#[tokio::test]
async fn machines_do_not_sign_in_and_neither_does_a_wrong_token_or_a_form_from_elsewhere() {
    let api = Api::new();
    for role in [Role::Feed, Role::Agent] {
        let secret = token(&api, role.name(), role).await;
        let answer = api.send(form(&secret, "same-origin")).await;
        assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (403, ""));
        assert!(String::from_utf8_lossy(&answer.bytes).contains("tilhører en maskine"));
    }
    assert_eq!(actions(&api), [AuditAction::SignInRefused; 2]);
    let secret = token(&api, "ada", Role::Listener).await;
    for (secret, site, status) in [("optag_wrong", "same-origin", 401), (&secret, "cross-site", 403)] {
        let answer = api.send(form(secret, site)).await;
        assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (status, ""), "{site}");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    }
    api.fake.audit_fails.store(true, std::sync::atomic::Ordering::Relaxed);
    let answer = api.send(form(&secret, "same-origin")).await;
    assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (503, ""));
}

#[tokio::test]
async fn a_change_with_the_cookie_needs_the_key_that_our_page_was_told() {
    let api = Api::new();
    let secret = token(&api, "ole", Role::Contact).await;
    let cookie = signed_in(&api, &secret).await;
    let key = ask(&api, Method::GET, "/api/v1/me", &cookie, &[]).await.json()["change_key"].clone();
    let key = key.as_str().unwrap();
    let erase = format!("/api/v1/recordings/{}?reason=asked", id());
    let site = |site| ("sec-fetch-site", site);
    for wrong in [&[][..], &[site("same-origin")], &[site("cross-site"), ("optag-change", key)]] {
        ask(&api, Method::DELETE, &erase, &cookie, wrong).await.problem(403);
    }
    assert!(api.fake.erased.lock().unwrap().is_empty());
    let meant = [site("same-origin"), ("optag-change", key)];
    assert_eq!(ask(&api, Method::DELETE, &erase, &cookie, &meant).await.status, 200);
    ask(&api, Method::GET, "/api/v1/me", &cookie, &[site("cross-site")]).await.problem(403);
}

#[tokio::test]
async fn whoever_is_signed_in_sees_where_and_ends_it_there_and_here() {
    let api = Api::new();
    let secret = token(&api, "ada", Role::Listener).await;
    let (here, there) = (signed_in(&api, &secret).await, signed_in(&api, &secret).await);
    let other = signed_in(&api, &token(&api, "ole", Role::Listener).await).await;
    let listed = ask(&api, Method::GET, "/api/v1/sign-ins", &here, &[]).await.json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 2);
    let theirs =
        listed.iter().find(|one| one["current"] == false).unwrap()["id"].as_str().unwrap().to_owned();
    let change = async |cookie: &str, id: &str| {
        let me = ask(&api, Method::GET, "/api/v1/me", cookie, &[]).await.json();
        let headers =
            [("sec-fetch-site", "same-origin"), ("optag-change", me["change_key"].as_str().unwrap())];
        ask(&api, Method::DELETE, &format!("/api/v1/sign-ins/{id}"), cookie, &headers).await.status.as_u16()
    };
    assert_eq!(change(&other, &theirs).await, 404, "somebody else's");
    assert_eq!(change(&here, &theirs).await, 204);
    ask(&api, Method::GET, "/api/v1/me", &there, &[]).await.problem(401);
    let out = |site: &'static str| {
        let request = Request::post("/sign-out").header("cookie", &here).header("sec-fetch-site", site);
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(api.send(out("cross-site")).await.status, 403);
    let answer = api.send(out("same-origin")).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/sign-in"));
    assert!(cookie(&answer).ends_with("optag_session="));
    ask(&api, Method::GET, "/api/v1/me", &here, &[]).await.problem(401);
}

#[tokio::test]
async fn attempts_of_one_address_are_slowed_and_keep_nobody_else_out() {
    let api = Api::new();
    let secret = token(&api, "ada", Role::Listener).await;
    let from = |address: &str, secret: &str| {
        let mut request = form(secret, "same-origin");
        request.extensions_mut().insert(Peer(SocketAddr::new(address.parse().unwrap(), 4_711)));
        request
    };
    let mut slowed = false;
    for _ in 0..20 {
        slowed |= api.send(from("192.0.2.1", "optag_wrong")).await.status == 429;
    }
    assert!(slowed);
    assert_eq!(api.send(from("192.0.2.1", &secret)).await.status, 429);
    assert_eq!(api.send(from("192.0.2.2", &secret)).await.status, 303);
}

#[tokio::test]
async fn the_form_needs_no_token_and_obeys_its_policy() {
    let api = Api::new();
    let answer =
        api.send(Request::get("/sign-in").header("accept-language", "da").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert!(String::from_utf8_lossy(&answer.bytes).contains("Log ind"));
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self'"), "{policy}");
    assert_eq!(
        (answer.header("cache-control"), answer.header("referrer-policy")),
        ("no-store", "no-referrer")
    );
}
