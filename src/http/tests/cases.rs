//! Requests of callers, from intake to closing: who sees what, what is audited, and what sending twice does.

use std::sync::atomic::Ordering;

use axum::http::Method;
use serde_json::{Value, json};

use crate::http::access::{Actor, Departments, Role};
use crate::http::audited::{AuditAction, Purpose};
use crate::http::fakes::{Api, FILE, NAME, NUMBER, id};
use crate::http::recordings::library::LibraryError;
use optag_core::clock::{Clock, OsClock, WallTime};

const OPEN: &str = "/api/v1/cases";

fn told() -> Value {
    json!({"department": "demo", "asked": "erase", "received_on": null,
           "told": {"number": NUMBER, "name": NAME, "date": "2026-11-24", "time": "14:30:00"}})
}

/// The day so many days from today.
fn day(days: i64) -> String {
    OsClock.wall().plus_days(days).to_string()[..10].to_owned()
}

fn contact(name: &str, department: &str) -> Actor {
    Actor { departments: Departments::only([department]), ..Actor::with_role(name, Role::Contact) }
}

/// A case with its answers.
struct Case<'a> {
    api: &'a Api,
    number: String,
    actor: Actor,
}

impl<'a> Case<'a> {
    async fn open(api: &'a Api) -> Self {
        let actor = contact("inger", "demo");
        let made = api.as_actor(actor.clone(), Method::POST, OPEN, Some(&told())).await;
        assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.bytes));
        Self { api, number: made.json()["number"].as_str().unwrap().to_owned(), actor }
    }

    /// Open, with identity checked and the recording chosen: revision 3.
    async fn chosen(api: &'a Api) -> Self {
        let case = Self::open(api).await;
        assert_eq!(case.step("identity", json!({"revision": 1, "how": "knows_the_call"})).await.0, 200);
        assert_eq!(case.step("recordings", json!({"revision": 2, "recordings": [id()]})).await.0, 200);
        case
    }

    /// With a decision: revision 4, and a revision more for each result that was noted.
    async fn decided(api: &'a Api, decision: &str) -> Self {
        let case = Self::chosen(api).await;
        let (status, answer) = case.step("decision", json!({"revision": 3, "decision": decision})).await;
        assert_eq!(status, 200, "{answer}");
        case
    }

    fn path(&self, what: &str) -> String {
        format!("{OPEN}/{}/{what}", self.number)
    }

    async fn step(&self, what: &str, body: Value) -> (u16, Value) {
        let answer = self.api.as_actor(self.actor.clone(), Method::POST, &self.path(what), Some(&body)).await;
        (answer.status.as_u16(), answer.json())
    }

    async fn seen_by(&self, actor: &Actor) -> (u16, Value) {
        let path = format!("{OPEN}/{}", self.number);
        let answer = self.api.as_actor(actor.clone(), Method::GET, &path, None).await;
        (answer.status.as_u16(), answer.json())
    }

    async fn seen(&self) -> Value {
        self.seen_by(&self.actor).await.1
    }

    async fn result(&self) -> Value {
        self.seen().await["recordings"][0]["result"].clone()
    }
}

fn audited(api: &Api, action: AuditAction) -> Vec<String> {
    let entries = api.fake.audited.lock().unwrap();
    let of = entries.iter().filter(|entry| entry.action == action);
    of.map(|entry| entry.detail.as_ref().map(|text| text.reveal().clone()).unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_request_goes_from_intake_to_a_closed_case_that_names_nobody() {
    let api = Api::new();
    let case = Case::decided(&api, "erase").await;
    let seen = case.seen().await;
    assert_eq!((&seen["state"], &seen["decision"]), (&json!("decided"), &json!("erase")), "{seen}");
    assert_eq!(seen["recordings"][0]["result"]["outcome"], "erased", "{seen}");
    assert_eq!(api.fake.erased.lock().unwrap().join(" "), case.number);
    let (status, closed) = case.step("close", json!({"revision": seen["revision"]})).await;
    assert_eq!((status, &closed["state"], &closed["counts"]), (200, &json!("closed"), &json!({"erased": 1})));
    for (key, value) in [("decided_by", "inger"), ("opened_by", "inger"), ("closed_by", "inger")] {
        assert_eq!(closed[key], value, "{closed}");
    }
    let text = case.seen().await.to_string();
    for personal in [NUMBER, NAME, "14:30", &id().to_string()] {
        assert!(!text.contains(personal), "{personal}: {text}");
    }
    // Nothing is done to a closed case, and closing it once more is no error.
    assert_eq!(case.step("close", json!({"revision": seen["revision"]})).await.0, 200);
    for (what, body) in [
        ("recordings", json!({"revision": closed["revision"], "recordings": []})),
        ("decision", json!({"revision": closed["revision"], "decision": "refuse", "ground": "not_found"})),
        ("carry-out", json!({"revision": closed["revision"]})),
    ] {
        assert_eq!(case.step(what, body).await.0, 409, "{what}");
    }
    let steps = audited(&api, AuditAction::Case);
    for step in ["open", "identify", "choose", "decide", "close"] {
        assert!(steps.iter().any(|said| said.contains(&format!("\"{step}\""))), "{step}: {steps:?}");
    }
    let all = serde_json::to_string(&*api.fake.audited.lock().unwrap()).unwrap();
    assert!(!all.contains(NAME) && !all.contains(NUMBER), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_twice_is_done_once_and_of_two_at_once_one_counts() {
    let api = Api::new();
    let key = json!({"key": "a1b2c3d4e5", "department": "demo", "asked": "erase", "told": {"name": NAME}});
    let made = futures::future::join_all((0..4).map(|_| api.post(OPEN, &key))).await;
    let numbers: Vec<Value> = made.iter().map(|answer| answer.json()["number"].clone()).collect();
    assert!(numbers[0].is_string() && numbers.iter().all(|one| *one == numbers[0]), "{numbers:?}");

    let case = Case::chosen(&api).await;
    let erase = json!({"revision": 3, "decision": "erase"});
    let same = futures::future::join_all((0..6).map(|_| case.step("decision", erase.clone()))).await;
    assert!(same.iter().all(|(status, _)| *status == 200), "{same:?}");
    assert_eq!(case.step("decision", erase).await.0, 200);
    assert_eq!(api.fake.erased.lock().unwrap().len(), 1);
    assert_eq!(audited(&api, AuditAction::Erase).len(), 1);

    // Two people, one case, two decisions.
    let case = Case::chosen(&api).await;
    let other = Case { api: &api, number: case.number.clone(), actor: contact("bo", "demo") };
    let (one, two) = tokio::join!(
        case.step("decision", json!({"revision": 3, "decision": "erase"})),
        other.step("decision", json!({"revision": 3, "decision": "hand_out"})),
    );
    assert_eq!([one.0, two.0].into_iter().filter(|status| *status == 200).count(), 1, "{one:?} {two:?}");
    assert_eq!([one.0, two.0].into_iter().filter(|status| *status == 409).count(), 1);
    // What one has not seen, one does not decide.
    let case = Case::chosen(&api).await;
    assert_eq!(case.step("recordings", json!({"revision": 3, "recordings": []})).await.0, 200);
    assert_eq!(
        case.step("decision", json!({"revision": 3, "decision": "refuse", "ground": "held"})).await.0,
        409
    );
}

#[tokio::test]
async fn a_case_of_another_department_does_not_exist_and_an_auditor_sees_whom_nothing_names() {
    let api = Api::new();
    let case = Case::chosen(&api).await;
    let stranger = contact("bo", "elsewhere");
    let (status, text) = case.seen_by(&stranger).await;
    let nothing = Case { api: &api, number: "1999-0001".into(), actor: stranger.clone() };
    assert_eq!((status, text), nothing.seen_by(&stranger).await);
    assert_eq!(audited(&api, AuditAction::Refused).len(), 1);
    let list = api.as_actor(stranger, Method::GET, OPEN, None).await.json();
    assert_eq!(list, json!({"cases": [], "more": false}));
    let auditor =
        Actor { departments: Departments::only(["demo"]), ..Actor::with_role("aud", Role::Auditor) };
    let (status, seen) = case.seen_by(&auditor).await;
    assert_eq!((status, &seen["state"], &seen["days_left"].is_i64()), (200, &json!("open"), &true));
    let list = api.as_actor(auditor, Method::GET, OPEN, None).await.json();
    assert_eq!(list["cases"][0]["number"], case.number.as_str());
    for text in [seen.to_string(), list.to_string()] {
        for personal in [NUMBER, NAME, "told", &id().to_string()] {
            assert!(!text.contains(personal), "{personal}: {text}");
        }
    }
    // A case of one department is about no recording of another, whatever its contact may see.
    let both = Actor { departments: Departments::All, ..Actor::with_role("eva", Role::Contact) };
    let opened = json!({"department": "elsewhere", "asked": "erase", "told": {"name": NAME}});
    let made = api.as_actor(both.clone(), Method::POST, OPEN, Some(&opened)).await.json();
    let path = format!("{OPEN}/{}/recordings", made["number"].as_str().unwrap());
    let body = json!({"revision": 1, "recordings": [id()]});
    assert_eq!(api.as_actor(both, Method::POST, &path, Some(&body)).await.problem(422), "recordings[0]");
}

#[tokio::test]
async fn a_hold_keeps_a_recording_and_a_failure_is_carried_out_once_more() {
    let api = Api::new();
    let case = Case::chosen(&api).await;
    *api.fake.held.lock().unwrap() = Some(WallTime::from_unix_micros(1_800_000_000_000_000));
    let erase = json!({"revision": 3, "decision": "erase"});
    let (_, held) = case.step("decision", erase).await;
    let result = &held["recordings"][0]["result"];
    assert_eq!((&result["outcome"], &result["detail"]), (&json!("held"), &json!("2027-01-15T08:00:00Z")));
    *api.fake.held.lock().unwrap() = None;
    let (_, erased) = case.step("carry-out", json!({"revision": held["revision"]})).await;
    assert_eq!(erased["recordings"][0]["result"]["outcome"], "erased", "{erased}");

    let case = Case::chosen(&api).await;
    *api.fake.fail.lock().unwrap() = Some(LibraryError::StoreDown);
    let (status, _) = case.step("decision", json!({"revision": 3, "decision": "erase"})).await;
    assert_eq!(status, 503);
    *api.fake.fail.lock().unwrap() = None;
    let seen = case.seen().await;
    assert_eq!((&seen["state"], &seen["recordings"][0]["result"]), (&json!("decided"), &Value::Null));
    assert_eq!(case.step("close", json!({"revision": seen["revision"]})).await.0, 409);
    let (_, erased) = case.step("carry-out", json!({"revision": seen["revision"]})).await;
    assert_eq!(erased["recordings"][0]["result"]["outcome"], "erased", "{erased}");
    // An erasure under way is looked at again, and no case is closed before.
    api.fake.pending.store(true, Ordering::Relaxed);
    let case = Case::decided(&api, "erase").await;
    assert_eq!(case.result().await["outcome"], "erasing");
    let revision = case.seen().await["revision"].clone();
    assert_eq!(case.step("close", json!({"revision": revision})).await.0, 409);
    api.fake.pending.store(false, Ordering::Relaxed);
    assert_eq!(case.result().await["outcome"], "erased");
}

#[tokio::test]
async fn invariant_14_a_chosen_recording_is_heard_for_the_request_alone_and_audited_before() {
    let api = Api::new();
    let case = Case::open(&api).await;
    let path = case.path(&format!("recordings/{}/audio", id()));
    let hear = async || api.as_actor(case.actor.clone(), Method::GET, &path, None).await;
    hear().await.problem(404);
    let case = Case::chosen(&api).await;
    let path = case.path(&format!("recordings/{}/audio", id()));
    let hear = async || api.as_actor(case.actor.clone(), Method::GET, &path, None).await;
    api.fake.audit_fails.store(true, Ordering::Relaxed);
    hear().await.problem(503);
    assert!(api.fake.opened.lock().unwrap().is_empty());
    api.fake.audit_fails.store(false, Ordering::Relaxed);
    let heard = hear().await;
    assert_eq!((heard.status.as_u16(), &heard.bytes[..]), (200, FILE));
    let last = api.fake.audited.lock().unwrap().last().cloned().unwrap();
    assert_eq!((last.action, last.purpose), (AuditAction::Playback, Some(Purpose::CallerRequest)));
    assert_eq!(last.detail.unwrap().reveal(), &format!("request {}", case.number));
}

#[tokio::test]
async fn a_hand_out_is_done_once_all_of_it_was_sent_and_not_before() {
    let api = Api::new();
    let case = Case::chosen(&api).await;
    let path = case.path(&format!("recordings/{}/handout", id()));
    let hand = async || api.as_actor(case.actor.clone(), Method::POST, &path, Some(&json!({}))).await;
    hand().await.problem(409);
    case.step("decision", json!({"revision": 3, "decision": "hand_out"})).await;
    assert_eq!(case.result().await, Value::Null);
    *api.fake.fail_audio.lock().unwrap() = Some(LibraryError::StoreDown);
    hand().await.problem(503);
    assert_eq!(case.result().await["outcome"], "failed");
    let revision = case.seen().await["revision"].clone();
    assert_eq!(case.step("close", json!({"revision": revision})).await.0, 409);
    *api.fake.fail_audio.lock().unwrap() = None;
    let answer = api.unread(&path, &json!({})).await;
    let mut body = answer.into_body().into_data_stream();
    futures::StreamExt::next(&mut body).await.unwrap().unwrap();
    assert_eq!(case.result().await["outcome"], "handing_out");
    drop(body);
    becomes(&case, "broken_off").await;
    assert_eq!(hand().await.status, 200);
    becomes(&case, "handed_out").await;
    let revision = case.seen().await["revision"].clone();
    let (_, closed) = case.step("close", json!({"revision": revision})).await;
    assert_eq!(closed["counts"], json!({"handed_out": 1}));
}

async fn becomes(case: &Case<'_>, outcome: &str) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while case.result().await["outcome"] != outcome {
        assert!(std::time::Instant::now() < until, "never {outcome}: {}", case.seen().await);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_link_of_a_case_is_known_to_it_until_it_is_used_or_revoked() {
    let api = Api::new();
    let case = Case::decided(&api, "hand_out").await;
    let path = case.path(&format!("recordings/{}/links", id()));
    let link = async || {
        let made = api.as_actor(case.actor.clone(), Method::POST, &path, Some(&json!({}))).await;
        made.json()["url"].as_str().unwrap().strip_prefix("https://calls.example").unwrap().to_owned()
    };
    let first = link().await;
    assert_eq!(case.result().await["outcome"], "link_open");
    assert!(!case.seen().await.to_string().contains("\"link\":"));
    // A second one makes the first one worthless.
    let second = link().await;
    assert_eq!(api.get(&first).await.status, 404);
    let revoked = api.as_actor(case.actor.clone(), Method::DELETE, &path, None).await;
    assert_eq!((revoked.status.as_u16(), api.get(&second).await.status.as_u16()), (204, 404));
    assert_eq!(case.result().await["outcome"], "link_expired");
    // Of several at once, one works; and one that is made after all is known to the case, which is not closed over it.
    let several = futures::future::join_all((0..4).map(|_| link())).await;
    let looks = futures::future::join_all(several.iter().map(|one| api.get(one))).await;
    assert_eq!(looks.iter().filter(|look| look.status == 200).count(), 1, "{several:?}");
    assert_eq!(case.result().await["outcome"], "link_open");
    let revision = case.seen().await["revision"].clone();
    assert_eq!(case.step("close", json!({"revision": revision})).await.0, 409);
    let third = link().await;
    assert_eq!(api.post(&third, &json!({})).await.status, 200);
    becomes(&case, "handed_out").await;
}

#[tokio::test]
async fn the_time_limit_is_extended_once_and_with_a_reason() {
    let api = Api::new();
    let case = Case::open(&api).await;
    let before = case.seen().await;
    assert_eq!((&before["extended"], &before["overdue"]), (&json!(false), &json!(false)));
    assert!((28..=31).contains(&before["days_left"].as_i64().unwrap()), "{before}");
    assert_eq!(case.step("extension", json!({"revision": 1, "reason": " "})).await.0, 422);
    let (status, after) = case.step("extension", json!({"revision": 1, "reason": "many requests"})).await;
    assert_eq!((status, &after["extended"]), (200, &json!(true)));
    assert!((89..=92).contains(&after["days_left"].as_i64().unwrap()), "{after}");
    assert_eq!(case.step("extension", json!({"revision": 2, "reason": "still many"})).await.0, 409);
    // After the first month the caller can no longer be told in time.
    let mut late = told();
    late["received_on"] = json!(day(-60));
    let made = api.as_actor(case.actor.clone(), Method::POST, OPEN, Some(&late)).await.json();
    assert_eq!(made["overdue"], true);
    let late = Case { api: &api, number: made["number"].as_str().unwrap().into(), actor: case.actor.clone() };
    assert_eq!(late.step("extension", json!({"revision": 1, "reason": "many requests"})).await.0, 409);
    let list = api.as_actor(case.actor.clone(), Method::GET, &format!("{OPEN}?most=1"), None).await.json();
    assert_eq!((&list["cases"][0]["number"], &list["more"]), (&json!(late.number), &json!(true)));
    let next = format!("{OPEN}?after={}", late.number);
    let list = api.as_actor(case.actor.clone(), Method::GET, &next, None).await.json();
    assert_eq!((&list["cases"][0]["number"], &list["more"]), (&json!(case.number), &json!(false)));
}

#[tokio::test]
async fn wrong_fields_are_named_and_nothing_is_decided_without_identity_and_recordings() {
    let api = Api::new();
    let tomorrow = day(2);
    for (change, field) in [
        (json!({"department": "nowhere"}), "department"),
        (json!({"received_on": tomorrow}), "received_on"),
        (json!({"key": "short"}), "key"),
        (json!({"told": {}}), "told.number"),
        (json!({"told": {"number": "1", "time": "10:00"}}), "told.date"),
        (json!({"told": {"name": "a\u{202e}b"}}), "told.name"),
        (json!({"told": {"name": "x", "tolerance_min": 721}}), "told.tolerance_min"),
    ] {
        let mut body = told();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(api.post(OPEN, &body).await.problem(422), field, "{body}");
    }
    let case = Case::open(&api).await;
    let decide = |decision: &str| json!({"revision": 1, "decision": decision});
    assert_eq!(case.step("decision", decide("erase")).await.1["field"], "recordings");
    assert_eq!(case.step("decision", decide("refuse")).await.1["field"], "ground");
    let other = json!({"revision": 1, "decision": "refuse", "ground": "other"});
    assert_eq!(case.step("decision", other).await.1["field"], "reason");
    assert_eq!(case.step("identity", json!({"revision": 1, "how": "other"})).await.1["field"], "note");
    assert_eq!(case.step("recordings", json!({"revision": 1, "recordings": [id()]})).await.0, 200);
    let erase = json!({"revision": 2, "decision": "erase"});
    assert_eq!(case.step("decision", erase).await.1["field"], "identity");
    assert_eq!(case.seen().await["state"], "open");
    assert!(api.fake.erased.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_was_told_is_corrected_until_the_case_is_closed() {
    let api = Api::new();
    let case = Case::decided(&api, "erase").await;
    let revision = case.seen().await["revision"].clone();
    let wrong = json!({"revision": revision, "told": {"name": "a", "time": "10:00:00"}});
    assert_eq!(case.step("told", wrong).await.1["field"], "told.date");
    let told = json!({"revision": revision, "told": {"name": "Karin Blixen"}});
    for _ in 0..2 {
        let (status, seen) = case.step("told", told.clone()).await;
        assert_eq!((status, &seen["told"]), (200, &json!({"name": "Karin Blixen"})), "{seen}");
    }
    let letter = api.get(&case.path("letter")).await;
    assert!(String::from_utf8_lossy(&letter.bytes).contains("Karin Blixen"));
    let revision = case.seen().await["revision"].clone();
    assert_eq!(case.step("close", json!({"revision": revision})).await.0, 200);
    let revision = case.seen().await["revision"].clone();
    let told = json!({"revision": revision, "told": {"name": "x"}});
    assert_eq!(case.step("told", told).await.0, 409);
}

#[tokio::test]
async fn candidates_of_a_case_are_of_its_department_and_a_receipt_is_what_was_signed() {
    let api = Api::new();
    let case = Case::open(&api).await;
    let all = Actor { departments: Departments::All, ..case.actor.clone() };
    let found = api.as_actor(all, Method::GET, &case.path("candidates"), None).await;
    assert_eq!(found.json()["candidates"][0]["id"], id().to_string());
    let wanted = api.fake.wanted.lock().unwrap().pop().unwrap();
    assert_eq!(wanted.within, Departments::only(["demo"]));
    assert!(wanted.name.is_some() && wanted.window.is_some());
    // By something else, which the case does not say; the departments stay its own.
    let look = async |query: &str| api.get(&case.path(&format!("candidates?{query}"))).await;
    assert_eq!(look("called_number=1010").await.status, 200);
    let wanted = api.fake.wanted.lock().unwrap().pop().unwrap();
    assert_eq!((wanted.name, wanted.number, wanted.window), (None, None, None));
    assert_eq!(
        (wanted.called_number.unwrap().reveal().as_str(), wanted.within),
        ("1010", Departments::only(["demo"]))
    );
    for (query, field) in [
        ("time=14:30", "date"),
        ("date=x", "date"),
        ("name=x&tolerance_min=721", "tolerance_min"),
        ("department=elsewhere", "department"),
    ] {
        assert_eq!(look(query).await.problem(422), field, "{query}");
    }
    assert_eq!(case.seen().await["told"]["name"], NAME);
    let receipt = api.get(&format!("/api/v1/recordings/{}/erasure/receipt", id())).await;
    assert_eq!(&receipt.bytes[..], br#"{"kind": "erasure-receipt"}"#);
    assert!(receipt.header("content-disposition").starts_with("attachment; filename=\"receipt-"));
    api.fake.pending.store(true, Ordering::Relaxed);
    api.get(&format!("/api/v1/recordings/{}/erasure/receipt", id())).await.problem(409);
}
