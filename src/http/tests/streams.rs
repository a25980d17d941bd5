//! Streams that join, change and leave; their keys.

use axum::http::Method;
use serde_json::{Value, json};

use crate::http::access::Role;
use crate::http::fakes::{Answer, Api, NUMBER, id};
use optag_core::base64;
use optag_media::rtp::srtp::Suite;
use optag_sip::feed::Control;

fn key(bytes: usize) -> String {
    base64::encode(&(0..bytes as u8).map(|n| n ^ 0x5a).collect::<Vec<_>>())
}

fn stream() -> Value {
    json!({"label": "b", "codec": "pcma", "srtp": {"suite": "AEAD_AES_128_GCM", "key": key(28),
        "mki": "00ff", "roc": 3, "report_key": key(28)}, "rtcp": {"mux": true, "port": 4001}})
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.bytes).into_owned()
}

fn path() -> String {
    format!("/api/v1/calls/{}/streams", id())
}

#[tokio::test]
async fn a_stream_that_joins_is_told_its_port() {
    let api = Api::new();
    let answer = api.post(&path(), &stream()).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), format!("{}/b", path()));
    assert_eq!(answer.json(), json!({"label": "b", "address": "127.0.0.1", "port": 20_010}));
    let controls = api.fake.controls.lock().unwrap();
    let [Control::AddStream(new)] = &controls[..] else { panic!("{controls:?}") };
    let srtp = new.media.srtp.as_ref().unwrap();
    assert_eq!((srtp.receive[0].suite(), srtp.receive[0].mki()), (Suite::AeadAes128Gcm, &[0, 255][..]));
    assert_eq!((srtp.roc, srtp.required, srtp.send.is_some()), (3, true, true));
    assert_eq!((new.media.rtcp.mux, new.media.rtcp.port), (true, Some(4_001)));
}

#[tokio::test]
async fn a_stream_that_is_refused_is_told_to_the_ledger_with_its_cause() {
    let api = Api::new();
    for (field, value, cause) in [
        ("/codec", json!("speex"), Some("no_codec")),
        ("/srtp/suite", json!("F8_128_HMAC_SHA1_80"), Some("encrypted")),
        ("/source", json!({"ip": "239.1.2.3"}), Some("multicast")),
        // Written wrongly: the client corrects it and asks again.
        ("/codec", json!(7), None),
        ("/rtcp/port", json!(0), None),
        ("/label", json!(""), None),
    ] {
        let mut body = stream();
        body["source"] = json!({"ip": "127.0.0.1"});
        *body.pointer_mut(field).unwrap() = value;
        api.post(&path(), &body).await.problem(422);
        let told = std::mem::take(&mut *api.fake.refused_streams.lock().unwrap());
        let told: Vec<_> =
            told.iter().map(|(call, label, refused)| (*call, label.as_str(), refused.causes())).collect();
        let expected = cause.map(|cause| (id(), "b", [(cause, 1)].into()));
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{field}");
    }
    assert!(api.fake.controls.lock().unwrap().is_empty());
    api.fake.no_ports.store(true, std::sync::atomic::Ordering::Relaxed);
    api.post(&path(), &stream()).await.problem(503);
    let told = api.fake.refused_streams.lock().unwrap();
    assert_eq!((told[0].1.as_str(), told[0].2.causes()), ("b", [("no_room", 1)].into()));
}

#[tokio::test]
async fn a_stream_changes_and_goes_by_its_label() {
    let api = Api::new();
    let mut change = stream();
    change["label"] = json!("a");
    let answer = api.as_role(Role::Feed, Method::PUT, &format!("{}/a", path()), Some(&change)).await;
    assert_eq!(answer.status, 200, "{}", text(&answer));
    assert_eq!(api.delete(&format!("{}/a", path())).await.status, 200);
    assert!(matches!(
        api.fake.controls.lock().unwrap()[..],
        [Control::Renegotiate { stream: 0, ref media }, Control::DropStream { stream: 0 }] if media.srtp.is_some()
    ));
    api.delete(&format!("{}/nobody", path())).await.problem(404);
    let other = api.as_role(Role::Feed, Method::PUT, &format!("{}/a", path()), Some(&stream())).await;
    assert_eq!(other.problem(422), "label");
}

#[tokio::test]
async fn keys_are_checked_and_never_returned() {
    let api = Api::new();
    let wrong = |pointer: &str, value: Value| {
        let mut body = stream();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let secret = key(28);
    for (body, field) in [
        (wrong("/srtp/suite", json!("NULL")), "srtp.suite"),
        (wrong("/srtp/key", json!(key(30))), "srtp.key"),
        (wrong("/srtp/report_key", json!(format!("{secret}!"))), "srtp.report_key"),
        (wrong("/srtp/mki", json!("xyz")), "srtp.mki"),
        (wrong("/srtp/roc", json!(u32::MAX)), "srtp.roc"),
        (wrong("/srtp/key", json!([secret.clone()])), "srtp"),
        (wrong("/srtp", json!(secret.clone())), "srtp"),
        (
            wrong(
                "/srtp",
                json!({"suite": "AEAD_AES_128_GCM", "key": secret.clone(), "keys": secret.clone()}),
            ),
            "srtp",
        ),
        (wrong("/rtcp/port", json!(0)), "rtcp.port"),
    ] {
        let answer = api.post(&path(), &body).await;
        assert!(!text(&answer).contains(&secret[..12]), "{}", text(&answer));
        assert_eq!(answer.problem(422), field, "{}", text(&answer));
    }
    let call = json!({"department": "demo", "caller_number": NUMBER, "called_number": NUMBER, "streams": [stream()]});
    let answer = api.post("/api/v1/calls", &call).await;
    assert_eq!(answer.status, 201);
    assert!(!text(&answer).contains(&secret[..12]));
    let shown = format!("{:?}", api.fake.admitted.lock().unwrap());
    assert!(!shown.contains(&secret[..12]) && shown.contains("‹secret›"), "{shown}");
    assert!(
        !format!("{:?}", text(&api.get(&format!("/api/v1/calls/{}", id())).await)).contains(&secret[..12])
    );
}
