//! Users in the pages and in the API: from the link to the end of a sign-in.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::auth::user::Rights;
use crate::auth::users::{By, NewUser};
use crate::auth::{Actor, Departments, Role, Roles};
use crate::http::audited::AuditAction;
use crate::http::fakes::{Answer, Api, id};
use crate::http::server::client_address::Peer;

const PASSWORD: &str = "fire gode heste";

fn form(path: &str, address: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    let mut request = request.header("sec-fetch-site", "same-origin").body(Body::from(body)).unwrap();
    request.extensions_mut().insert(Peer(SocketAddr::new(address.parse().unwrap(), 4_711)));
    request
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.bytes).into_owned()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).unwrap().1.split_once(after).unwrap().0
}

/// The path of a new user's link.
async fn invited(api: &Api, name: &str, role: Role) -> String {
    let departments = Some(Departments::only(["demo"])).filter(|_| !role.is_of_all());
    let rights = Rights::new(Roles::one(role), departments).unwrap();
    let new = NewUser { name: name.into(), display_name: "<b>Ada</b>".into(), rights };
    let by = By::LocalUser(Actor::with_role("root", Role::Admin));
    let (_, link, _) = api.users.add(&new, &by).await.unwrap();
    api.users.address_of(&link, "")
}

/// What a user keeps after the page of the link.
struct Kept {
    recovery: Vec<String>,
}

async fn enrolled(api: &Api, path: &str, fields: &[(&str, &str)]) -> Kept {
    let page = text(&api.send(Request::get(path).body(Body::empty()).unwrap()).await);
    let secret = between(&page, "<code id=\"secret\">", "<").replace(' ', "");
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let code = totp_rs::Builder::new().with_secret(secret).build().unwrap().generate(now).to_string();
    let mut all = vec![("display_name", "Ada"), ("password", PASSWORD), ("again", PASSWORD), ("code", &code)];
    all.retain(|(name, _)| fields.iter().all(|(other, _)| name != other));
    all.extend(fields);
    let done = api.send(form(path, "192.0.2.1", &all)).await;
    assert_eq!(done.status, 200, "{}", text(&done));
    let done = text(&done);
    let list = between(&done, "<ol id=\"codes\">", "</ol>");
    let recovery: Vec<String> =
        list.split("<code>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect();
    assert_eq!(recovery.len(), 10);
    Kept { recovery }
}

async fn sign_in(api: &Api, address: &str, name: &str, password: &str, code: &str) -> Answer {
    let fields = [("name", name), ("password", password), ("code", code), ("lang", "en")];
    api.send(form("/sign-in", address, &fields)).await
}

fn cookie(answer: &Answer) -> String {
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/"), "{}", text(answer));
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn with_cookie(api: &Api, cookie: &str, path: &str) -> Answer {
    api.send(Request::get(path).header("cookie", cookie).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_user_comes_from_the_link_to_the_recordings_and_no_further_than_the_role() {
    let api = Api::new();
    let link = invited(&api, "ada", Role::Listener).await;
    let page =
        api.send(Request::get(&link).header("accept-language", "da").body(Body::empty()).unwrap()).await;
    let html = text(&page);
    assert!(
        html.contains("Vælg din adgangskode")
            && html.contains("<svg id=\"qr\"")
            && html.contains("otpauth://")
    );
    assert!(html.contains("&lt;b&gt;Ada") && !html.contains("<b>Ada") && !html.contains("<script"));
    assert_eq!((page.header("cache-control"), page.header("referrer-policy")), ("no-store", "no-referrer"));
    let kept = enrolled(&api, &link, &[]).await;
    assert_eq!(api.send(Request::get(&link).body(Body::empty()).unwrap()).await.status, 404);
    let cookie = cookie(&sign_in(&api, "192.0.2.1", "Ada", PASSWORD, &kept.recovery[0]).await);
    let me = with_cookie(&api, &cookie, "/api/v1/me").await.json();
    assert_eq!((&me["name"], &me["departments"]), (&json!("ada"), &json!(["demo"])));
    let audio = format!("/api/v1/recordings/{}/audio?purpose=training", id());
    assert_eq!(with_cookie(&api, &cookie, &audio).await.status, 200);
    with_cookie(&api, &cookie, "/api/v1/users").await.problem(403);
    api.users.set_disabled("ada", true).await.unwrap();
    with_cookie(&api, &cookie, "/api/v1/me").await.problem(401);
    let audited = api.fake.audited.lock().unwrap();
    let actions: Vec<_> = audited.iter().map(|entry| (entry.actor.as_str(), entry.action)).collect();
    let expected = [AuditAction::Access, AuditAction::SignIn, AuditAction::Playback];
    assert_eq!(actions, expected.map(|action| ("ada", action)));
}

#[tokio::test]
async fn a_playback_that_runs_is_cut_when_its_user_is_disabled_or_loses_the_role() {
    use futures::StreamExt;
    use tower::ServiceExt;
    let api = Api::new();
    api.fake.endless.store(true, std::sync::atomic::Ordering::Relaxed);
    let kept = enrolled(&api, &invited(&api, "ada", Role::Listener).await, &[]).await;
    let cookie = cookie(&sign_in(&api, "192.0.2.1", "ada", PASSWORD, &kept.recovery[0]).await);
    let play = async || {
        let path = format!("/api/v1/recordings/{}/audio?purpose=training", id());
        let request = Request::get(path).header("cookie", &cookie).body(Body::empty()).unwrap();
        let answer = api.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body().into_data_stream();
        body.next().await.unwrap().unwrap();
        body
    };
    let mut playing = play().await;
    let rights = Rights::new(Roles::one(Role::Auditor), None).unwrap();
    let root = By::LocalUser(Actor::with_role("root", Role::Admin));
    api.users.set_rights("ada", &rights, &root).await.unwrap();
    assert!(playing.next().await.unwrap().is_err(), "an auditor hears nothing");
    let rights = Rights::new(Roles::one(Role::Listener), Some(Departments::All)).unwrap();
    api.users.set_rights("ada", &rights, &root).await.unwrap();
    let mut playing = play().await;
    api.users.set_disabled("ada", true).await.unwrap();
    assert!(playing.next().await.unwrap().is_err());
}

#[tokio::test]
async fn a_failed_sign_in_says_the_same_whatever_was_wrong_and_is_audited() {
    let api = Api::new();
    let kept = enrolled(&api, &invited(&api, "ada", Role::Listener).await, &[]).await;
    let mut pages = std::collections::HashSet::new();
    for (name, password, code) in [
        ("ada", "fire gode hest", kept.recovery[0].as_str()),
        ("ada", PASSWORD, "123456"),
        ("nobody", PASSWORD, kept.recovery[0].as_str()),
        ("", "", ""),
    ] {
        let answer = sign_in(&api, "192.0.2.1", name, password, code).await;
        assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (401, ""));
        pages.insert(text(&answer));
    }
    assert_eq!(pages.len(), 1);
    let entries = api.fake.audited.lock().unwrap().clone();
    let failed = entries.iter().filter(|entry| entry.action == AuditAction::SignInFailed);
    let who: Vec<_> = failed.map(|entry| entry.actor.as_str()).collect();
    assert_eq!(who, ["ada", "ada", "unknown", "unknown"]);
    api.fake.audit_fails.store(true, std::sync::atomic::Ordering::Relaxed);
    let answer = sign_in(&api, "192.0.2.1", "ada", PASSWORD, &kept.recovery[0]).await;
    assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (503, ""));
}

#[tokio::test]
async fn attempts_at_a_user_from_everywhere_keep_the_user_out_of_nowhere_that_is_known() {
    let api = Api::new();
    let kept = enrolled(&api, &invited(&api, "ada", Role::Listener).await, &[]).await;
    cookie(&sign_in(&api, "198.51.100.1", "ada", PASSWORD, &kept.recovery[0]).await);
    let mut slowed = 0;
    for n in 0..30 {
        let answer = sign_in(&api, &format!("203.0.113.{n}"), "ada", "wrong password", "1").await;
        slowed += usize::from(answer.status == 429);
    }
    assert!(slowed > 0);
    // The right password from an unknown place is slowed as well; from the known one it is not.
    assert_eq!(sign_in(&api, "203.0.113.99", "ada", PASSWORD, &kept.recovery[1]).await.status, 429);
    cookie(&sign_in(&api, "198.51.100.1", "ada", PASSWORD, &kept.recovery[1]).await);
}

#[tokio::test]
async fn a_new_sign_in_has_a_new_cookie_and_ends_the_earlier_one_of_the_browser() {
    let api = Api::new();
    let kept = enrolled(&api, &invited(&api, "ada", Role::Listener).await, &[]).await;
    let first = cookie(&sign_in(&api, "192.0.2.1", "ada", PASSWORD, &kept.recovery[0]).await);
    let fields = [("name", "ada"), ("password", PASSWORD), ("code", kept.recovery[1].as_str())];
    let mut again = form("/sign-in", "192.0.2.1", &fields);
    again.headers_mut().insert("cookie", first.parse().unwrap());
    let second = cookie(&api.send(again).await);
    assert_ne!(first, second);
    with_cookie(&api, &first, "/api/v1/me").await.problem(401);
    let all = with_cookie(&api, &second, "/api/v1/sign-ins").await.json();
    assert_eq!(all.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_wrong_on_the_page_of_a_link_is_said_beside_what_was_typed_without_passwords() {
    let api = Api::new();
    let link = invited(&api, "ada", Role::Listener).await;
    let send = async |fields: &[(&str, &str)]| api.send(form(&link, "192.0.2.1", fields)).await;
    for (fields, said) in [
        ([("password", PASSWORD), ("again", "other password")], "not the same"),
        ([("password", "short"), ("again", "short")], "too short"),
        ([("password", "password1234"), ("again", "password1234")], "easy to guess"),
        ([("password", PASSWORD), ("again", PASSWORD)], "code is not right"),
    ] {
        let all = [&fields[..], &[("display_name", "Ada <i>"), ("code", "000000"), ("lang", "en")]].concat();
        let answer = send(&all).await;
        let page = text(&answer);
        assert_eq!(answer.status, 422, "{said}");
        assert!(page.contains(said) && page.contains("Ada &lt;i&gt;"), "{said}: {page}");
        assert!(!page.contains(PASSWORD) && !page.contains("password1234"));
    }
    let mut elsewhere = form(&link, "192.0.2.1", &[("password", PASSWORD)]);
    elsewhere.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(api.send(elsewhere).await.status, 403);
    assert_eq!(api.send(form("/enrol/guessed", "192.0.2.1", &[])).await.status, 404);
}

#[tokio::test]
async fn the_first_user_administers_and_hears_nothing_unless_the_page_was_told_so() {
    for (more, role) in [(None, "administrator"), (Some(("everything", "on")), "admin")] {
        let api = Api::new();
        let link = api.users.first_link(false).await.unwrap().unwrap();
        let mut fields = vec![("name", "boss")];
        fields.extend(more);
        let kept = enrolled(&api, &api.users.address_of(&link, ""), &fields).await;
        let cookie = cookie(&sign_in(&api, "192.0.2.1", "boss", PASSWORD, &kept.recovery[0]).await);
        assert_eq!(with_cookie(&api, &cookie, "/api/v1/me").await.json()["roles"], json!([role]));
        assert!(api.users.first_link(false).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn four_eyes_hold_in_the_api_and_each_step_is_audited() {
    let api = Api::new();
    let as_user = async |name: &str, method: Method, path: &str, body: Option<Value>| {
        let actor = Actor::with_role(name, Role::Administrator);
        api.as_actor(actor, method, path, body.as_ref()).await
    };
    let body = json!({"name": "ole", "roles": ["listener", "supervisor"], "departments": ["demo"]});
    let made = as_user("ada", Method::POST, "/api/v1/users", Some(body.clone())).await;
    assert_eq!(made.status, 201, "{}", text(&made));
    let made = made.json();
    assert_eq!(made["user"]["roles"], json!(["supervisor"]), "what nobody has to confirm");
    assert!(made["link"]["url"].as_str().unwrap().starts_with("/enrol/"));
    let request = format!("/api/v1/user-requests/{}", made["request"]["id"].as_str().unwrap());
    as_user("ada", Method::POST, "/api/v1/users", Some(body)).await.problem(409);
    as_user("ada", Method::POST, &format!("{request}/confirm"), None).await.problem(403);
    let done = as_user("per", Method::POST, &format!("{request}/confirm"), None).await.json();
    assert_eq!(done["user"]["roles"], json!(["listener", "supervisor"]));
    as_user("per", Method::POST, &format!("{request}/confirm"), None).await.problem(404);
    for (body, field) in [
        (json!({"name": "x y", "roles": ["auditor"]}), "name"),
        (json!({"name": "eva", "roles": ["feed"]}), "roles"),
        (json!({"name": "eva", "roles": ["king"]}), "roles"),
        (json!({"name": "eva", "roles": ["listener"]}), "departments"),
        (json!({"name": "eva", "roles": ["administrator"], "departments": ["demo"]}), "departments"),
    ] {
        let answer = as_user("ada", Method::POST, "/api/v1/users", Some(body.clone())).await;
        assert_eq!(answer.problem(422), field, "{body}");
    }
    let details: Vec<String> = {
        let audited = api.fake.audited.lock().unwrap();
        let access = audited.iter().filter(|entry| entry.action == AuditAction::Access);
        access.map(|entry| entry.detail.as_ref().unwrap().reveal().clone()).collect()
    };
    assert!(details[0].starts_with("make user ole: listener,supervisor; departments demo"), "{details:?}");
    assert!(details.iter().any(|one| one.starts_with("confirm: user ole") && one.ends_with("asked by ada")));
}
