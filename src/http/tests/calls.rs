//! Announcing and controlling calls.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use futures::FutureExt;
use serde_json::{Value, json};

use crate::http::access::{Actor, Role};
use crate::http::fakes::{Api, NUMBER, id};
use optag_core::call::consent::ConsentError;
use optag_core::call::{Answer, ConsentHow, Evidence, StreamRole};
use optag_core::limit;
use optag_media::codec::Encoding;
use optag_sip::feed::{AdmitError, Control, EventFormat};

fn call() -> Value {
    json!({
        "department": "demo", "caller_number": NUMBER, "called_number": "+45 87 65 43 21",
        "streams": [
            {"label": "caller", "codec": "pcma", "source": {"ip": "192.0.2.7"}},
            {"label": "employee", "codec": "pcmu", "source": {"ip": "::1", "ssrc": 7}},
        ],
    })
}

/// `call()` with one value replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut call = call();
    *call.pointer_mut(pointer).unwrap() = value;
    call
}

#[tokio::test]
async fn an_announced_call_is_told_where_to_send_each_stream() {
    let api = Api::new();
    let answer = api.post("/api/v1/calls", &call()).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), format!("/api/v1/calls/{}", id()));
    let admitted = &api.fake.admitted.lock().unwrap()[0];
    let offered = admitted.streams[0].media.source.offered_ssrc.unwrap();
    let expected = json!({"id": id(), "consent": "asked", "streams": [
        {"label": "caller", "address": "127.0.0.1", "port": 20_000, "ssrc": offered},
        {"label": "employee", "address": "127.0.0.1", "port": 20_001}]});
    assert_eq!(answer.json(), expected, "where the feed named an SSRC, none is offered");
    assert_eq!(admitted.streams[0].role, StreamRole::Caller);
    assert_eq!(admitted.streams[1].role, StreamRole::Employee);
    assert_eq!(admitted.streams[0].media.formats[0].payload_type, 8);
    assert_eq!(admitted.streams[1].media.formats[0].encoding, Encoding::Pcmu);
    assert_eq!(
        admitted.streams[0].media.telephone_event,
        [EventFormat { payload_type: 101, clock_hz: 8_000 }]
    );
    assert_eq!(
        (admitted.streams[1].media.source.ssrc, admitted.streams[1].media.source.port),
        (Some(7), None)
    );
}

#[tokio::test]
async fn a_single_stream_is_mixed_and_key_events_can_be_left_out() {
    let api = Api::new();
    let one = with(
        "/streams",
        json!([{"label": "x", "codec": "pcmu", "telephone_event": null, "source": {"ip": "192.0.2.7"}}]),
    );
    assert_eq!(api.post("/api/v1/calls", &one).await.status, 201);
    let admitted = &api.fake.admitted.lock().unwrap()[0];
    assert_eq!(admitted.streams[0].role, StreamRole::Mixed);
    assert!(admitted.streams[0].media.telephone_event.is_empty());
}

#[tokio::test]
async fn every_wrong_field_is_named_and_nothing_is_admitted() {
    let api = Api::new();
    let stream = |extra: Value| {
        let mut stream = json!({"label": "x", "codec": "pcmu", "source": {"ip": "192.0.2.7"}});
        stream.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        with("/streams", json!([stream]))
    };
    let mut unknown = call();
    unknown["callerNumber"] = json!("1");
    let mut missing = call();
    missing.as_object_mut().unwrap().remove("department");
    for (body, field) in [
        (unknown, "callerNumber"),
        (missing, "department"),
        (with("/department", json!(7)), "department"),
        (with("/department", json!("")), "department"),
        (with("/caller_number", json!("1".repeat(limit::NUMBER_CHARS + 1))), "caller_number"),
        (with("/called_number", json!("1\n2")), "called_number"),
        (with("/streams", json!([])), "streams"),
        (with("/streams", json!(vec![call()["streams"][0].clone(); 9])), "streams"),
        (with("/streams/1/label", json!("caller")), "streams[1].label"),
        (with("/streams/1/codec", json!("mp3")), "streams[1].codec"),
        (with("/streams/0", json!({"label": "x"})), "streams[0].codec"),
        (with("/streams/1/source/ip", json!("nowhere")), "streams[1].source.ip"),
        (with("/streams/1/source", json!({"ip": "::1", "port": 0})), "streams[1].source.port"),
        (with("/streams/1/source", json!({"port": 9})), "streams[1].source.ip"),
        (with("/streams/1/source", json!(null)), "streams[1].source.ip"),
        (with("/streams/1/source/ip", json!("0.0.0.0")), "streams[1].source.ip"),
        (with("/streams/1/source/ip", json!("224.0.0.1")), "streams[1].source.ip"),
        (with("/streams/1/source", json!({"mac": 0})), "streams[1].source.mac"),
        (stream(json!({"payload_type": 128})), "streams[0].payload_type"),
        (stream(json!({"payload_type": 101})), "streams[0].telephone_event"),
        (stream(json!({"telephone_event": 128})), "streams[0].telephone_event"),
        (stream(json!({"role": "boss"})), "streams[0].role"),
    ] {
        let answer = api.post("/api/v1/calls", &body).await;
        assert_eq!(answer.problem(422), field, "{body}");
        assert_eq!(answer.json()["errors"][0]["field"], field);
    }
    assert!(api.fake.admitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_stream_names_where_it_comes_from_unless_the_owner_says_otherwise() {
    let nobody = with("/streams", json!([{"label": "x", "codec": "pcmu"}]));
    let answer = Api::new().post("/api/v1/calls", &nobody).await;
    assert_eq!(answer.problem(422), "streams[0].source.ip");
    let said = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("learn_rtp_source") && said.contains("[api]"), "{said}");
    let api = Api::that_learns();
    assert_eq!(api.post("/api/v1/calls", &nobody).await.status, 201);
    // A key distinguishes legitimate packets wherever they come from.
    let key =
        with("/streams", json!([{"label": "x", "codec": "pcmu", "srtp": {"suite": "AEAD_AES_128_GCM"}}]));
    assert_eq!(Api::new().post("/api/v1/calls", &key).await.status, 201);
    // The same applies during a call.
    let api = Api::new();
    let path = format!("/api/v1/calls/{}/streams", id());
    let stream = |label: &str| json!({"label": label, "codec": "pcmu"});
    assert_eq!(api.post(&path, &stream("b")).await.problem(422), "source.ip");
    let change = api.as_role(Role::Feed, Method::PUT, &format!("{path}/a"), Some(&stream("a"))).await;
    assert_eq!(change.problem(422), "source.ip");
}

#[tokio::test]
async fn a_key_is_drawn_for_a_stream_that_asks_for_one() {
    let api = Api::new();
    let suite = "AES_CM_128_HMAC_SHA1_80";
    let stream = json!({"label": "x", "codec": "pcmu", "srtp": {"suite": suite}});
    let answer = api.post("/api/v1/calls", &with("/streams", json!([stream, call()["streams"][0]]))).await;
    assert_eq!(answer.status, 201);
    let drawn = answer.json()["streams"][0]["srtp"].clone();
    let admitted = api.fake.admitted.lock().unwrap().remove(0);
    let plan = admitted.streams[0].media.srtp.as_ref().unwrap();
    let key = optag_core::base64::encode(plan.receive[0].secret().reveal());
    assert_eq!(drawn, json!({"suite": suite, "key": key}));
    assert!(plan.required && admitted.streams[0].media.source.offered_ssrc.is_none());
    assert!(answer.json()["streams"][1].get("srtp").is_none());
    // A key in use must be given again, and is not regenerated silently.
    let path = format!("/api/v1/calls/{}/streams/a", id());
    let change = json!({"label": "a", "codec": "pcmu", "srtp": {"suite": suite}});
    assert_eq!(api.as_role(Role::Feed, Method::PUT, &path, Some(&change)).await.problem(422), "srtp.key");
}

#[tokio::test]
async fn a_body_that_is_no_json_or_too_long_is_refused() {
    let api = Api::new();
    let send = async |media_type: &'static str, body: String| {
        let mut request = Request::builder().method(Method::POST).uri("/api/v1/calls");
        request = request.header("content-type", media_type);
        let mut request = request.body(Body::from(body)).unwrap();
        request.extensions_mut().insert(Actor::with_role("test", Role::Feed));
        api.send(request).await
    };
    send("application/json", "{".into()).await.problem(400);
    send("application/json", "{}{}".into()).await.problem(400);
    send("application/json", call().to_string() + "x").await.problem(400);
    send("application/json", "\u{0}".repeat(40)).await.problem(400);
    send("application/json", "[".repeat(5_000)).await.problem(400);
    send("text/plain", call().to_string()).await.problem(415);
    send("application/json", " ".repeat(limit::REQUEST_BODY_BYTES + 1)).await.problem(413);
    assert!(api.fake.admitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_call_that_is_not_admitted_says_why_and_when_to_try_again() {
    let api = Api::new();
    for (refusal, status) in [
        (AdmitError::PortsUsedUp, 503),
        (AdmitError::Overloaded("the spool is filling up"), 503),
        (AdmitError::Draining, 503),
        (AdmitError::UnknownDepartment("x".into()), 422),
    ] {
        *api.fake.refuse.lock().unwrap() = Some(refusal);
        let answer = api.post("/api/v1/calls", &call()).await;
        let field = answer.problem(status);
        assert_eq!(answer.header("retry-after").is_empty(), status != 503);
        assert_eq!(field, if status == 422 { "department" } else { "" });
    }
}

#[tokio::test]
async fn consent_comes_with_who_vouches_for_it() {
    let api = Api::new();
    let path = format!("/api/v1/calls/{}/consent", id());
    let body = json!({"answer": "yes", "how": "staff", "prompt_version": "3", "staff": "BKJ"});
    assert_eq!(api.post(&path, &body).await.status, 200);
    let Control::Answer { answer, how, prompt_version, evidence } =
        api.fake.controls.lock().unwrap().remove(0)
    else {
        panic!("no answer arrived")
    };
    assert_eq!((answer, how, prompt_version.as_deref()), (Answer::Yes, ConsentHow::Staff, Some("3")));
    assert_eq!(evidence, Evidence::Actor { name: "test".into(), staff: Some("BKJ".into()) });
    for (body, field) in [
        (json!({"answer": "maybe", "how": "key"}), "answer"),
        (json!({"answer": "yes", "how": "timeout"}), "how"),
        (json!({"answer": "yes"}), "how"),
        (json!({"answer": "yes", "how": "staff"}), "staff"),
        (json!({"answer": "yes", "how": "key", "staff": ""}), "staff"),
        (json!({"answer": "yes", "how": "key", "prompt_version": "\u{7}"}), "prompt_version"),
    ] {
        assert_eq!(api.post(&path, &body).await.problem(422), field, "{body}");
    }
    assert!(api.fake.controls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn both_ways_to_give_an_answer_have_one_rule_for_what_shows_it() {
    let named = |mut body: Value| {
        body["external_id"] = json!("x");
        body
    };
    for (role, body, wrong) in [
        (Role::Feed, json!({"answer": "yes", "how": "staff"}), Some("staff")),
        (Role::Feed, json!({"answer": "yes", "how": "staff", "staff": " "}), Some("staff")),
        (Role::Feed, json!({"answer": "yes", "how": "key", "prompt_version": ""}), Some("prompt_version")),
        (Role::Feed, json!({"answer": "no", "how": "staff"}), None),
        (Role::Feed, json!({"answer": "yes", "how": "staff", "staff": "BKJ"}), None),
        (Role::Feed, json!({"answer": "yes", "how": "key"}), None),
        (Role::Agent, json!({"answer": "yes", "how": "key"}), None),
        (Role::Agent, json!({"answer": "yes", "how": "system"}), None),
    ] {
        let api = Api::new();
        let by_id = format!("/api/v1/calls/{}/consent", id());
        for (path, body) in [(by_id.as_str(), body.clone()), ("/api/v1/consents", named(body.clone()))] {
            let answer = api.as_role(role, Method::POST, path, Some(&body)).await;
            match wrong {
                Some(field) => assert_eq!(answer.problem(422), field, "{path} {body}"),
                None => assert!((200..300).contains(&answer.status.as_u16()), "{path} {body}"),
            }
        }
        let controls = api.fake.controls.lock().unwrap();
        assert_eq!(controls.len(), if wrong.is_some() { 0 } else { 2 }, "{body}");
        let given: Vec<_> = controls.iter().map(|control| format!("{control:?}")).collect();
        assert!(given.windows(2).all(|pair| pair[0] == pair[1]), "{given:?}");
        assert!(role != Role::Agent || given.iter().all(|one| one.contains("how: Staff")), "{given:?}");
    }
}

#[tokio::test]
async fn an_agents_token_is_the_staff_member_and_can_do_nothing_else() {
    let api = Api::new();
    let ask = async |what: &str, body: Option<Value>| {
        let path = format!("/api/v1/calls/{}/{what}", id());
        api.as_role(Role::Agent, Method::POST, &path, body.as_ref()).await
    };
    assert_eq!(ask("consent", Some(json!({"answer": "yes", "how": "system"}))).await.status, 200);
    assert_eq!(ask("withdraw", None).await.status, 200);
    for what in ["pause", "resume", "end"] {
        ask(what, None).await.problem(403);
    }
    let controls = api.fake.controls.lock().unwrap();
    let evidence = Evidence::Actor { name: "test".into(), staff: None };
    let Control::Answer { how, evidence: one, .. } = &controls[0] else { panic!("{controls:?}") };
    assert_eq!((how, one), (&ConsentHow::Staff, &evidence));
    let Control::Withdraw { how, evidence: two } = &controls[1] else { panic!("{controls:?}") };
    assert_eq!((how, two), (&ConsentHow::Staff, &evidence));
}

#[tokio::test]
async fn a_transfer_names_the_department_that_takes_the_call() {
    let api = Api::new();
    let path = format!("/api/v1/calls/{}/transfer", id());
    assert_eq!(api.post(&path, &json!({"department": "b", "prompt_version": "2"})).await.status, 200);
    let Control::Transfer { department, prompt_version, evidence } =
        api.fake.controls.lock().unwrap().remove(0)
    else {
        panic!("no transfer arrived")
    };
    assert_eq!((department.as_str(), prompt_version.as_deref()), ("b", Some("2")));
    assert_eq!(evidence, Evidence::Actor { name: "test".into(), staff: None });
    assert_eq!(api.post(&path, &json!({})).await.problem(422), "department");
    assert_eq!(api.post(&path, &json!({"department": ""})).await.problem(422), "department");
}

#[tokio::test]
async fn a_change_that_the_consent_rules_forbid_is_a_conflict() {
    let api = Api::new();
    *api.fake.forbid.lock().unwrap() = Some(ConsentError::AlreadyWithdrawn);
    let path = format!("/api/v1/calls/{}/consent", id());
    api.post(&path, &json!({"answer": "yes", "how": "key"})).await.problem(409);
}

#[tokio::test]
async fn a_call_is_paused_resumed_withdrawn_ended_and_seen() {
    let api = Api::new();
    for step in ["pause", "resume", "withdraw", "end"] {
        let path = format!("/api/v1/calls/{}/{step}", id());
        assert_eq!(api.as_role(Role::Feed, Method::POST, &path, None).await.status, 200, "{step}");
    }
    let controls: Vec<_> = api.fake.controls.lock().unwrap().iter().map(|one| format!("{one:?}")).collect();
    assert!(controls[0] == "Pause" && controls[1] == "Resume" && controls[3] == "End", "{controls:?}");
    assert!(controls[2].starts_with("Withdraw { how: System"), "{controls:?}");
    let list = api.get("/api/v1/calls").await.json();
    assert_eq!(list[0]["streams"][0]["port"], 20_000);
    assert_eq!(list[0]["streams"][0]["address"], "::1");
    assert_eq!(api.get(&format!("/api/v1/calls/{}", id())).await.json(), list[0]);
    let stranger = "00000000-0000-7000-8000-000000000000";
    api.get(&format!("/api/v1/calls/{stranger}")).await.problem(404);
    api.as_role(Role::Feed, Method::POST, &format!("/api/v1/calls/{stranger}/end"), None).await.problem(404);
    assert_eq!(api.get("/api/v1/calls/x").await.problem(422), "id");
}

#[tokio::test]
async fn more_requests_than_allowed_at_a_time_are_told_to_come_again() {
    use crate::http::server::router::Limits;
    let api = Api::with_limits(Limits { requests: 0, timeout: Duration::from_secs(1), ..Limits::default() });
    let answer = api.get("/api/v1/calls").await;
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn a_call_whose_client_goes_away_is_not_left_half_made() {
    let api = Api::new();
    assert!(api.post("/api/v1/calls", &call()).now_or_never().is_none());
    assert!(api.fake.admitted.lock().unwrap().is_empty());
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(api.fake.admitted.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_name_is_cleaned_as_signalling_cleans_it_and_an_identifier_is_refused() {
    let api = Api::new();
    let mut call = call();
    for (name, kept) in [
        ("S\u{f8}ren\u{202e}\u{1b}[2J", Some("S\u{f8}ren [2J")),
        ("\u{645}\u{6cc}\u{200c}\u{631}", Some("\u{645}\u{6cc}\u{200c}\u{631}")),
        ("", None),
    ] {
        call["caller_name"] = json!(name);
        assert_eq!(api.post("/api/v1/calls", &call).await.status, 201, "{name:?}");
        let admitted = api.fake.admitted.lock().unwrap();
        let admitted = admitted.last().unwrap();
        assert_eq!(admitted.caller_name.as_ref().map(|name| name.reveal().as_str()), kept);
        assert_eq!(admitted.client.as_deref(), Some("test"));
    }
    call["external_id"] = json!("a\u{202e}b");
    assert_eq!(api.post("/api/v1/calls", &call).await.problem(422), "external_id");
}

#[tokio::test]
async fn a_compressed_body_is_refused_with_what_is_taken() {
    let api = Api::new();
    for (coding, status) in [("gzip", 415), ("identity", 201), ("Identity, br", 415)] {
        let request = Request::builder()
            .method("POST")
            .uri("/api/v1/calls")
            .header("content-type", "application/json")
            .header("content-encoding", coding);
        let mut request = request.body(Body::from(call().to_string())).unwrap();
        request.extensions_mut().insert(Actor::with_role("test", Role::Feed));
        let answer = api.send(request).await;
        assert_eq!(answer.status, status, "{coding}");
        if status == 415 {
            assert_eq!(answer.header("accept-encoding"), "identity");
        }
    }
}
