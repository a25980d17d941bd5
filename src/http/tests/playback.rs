//! Audio: ranges, formats, and the audit before it.

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Method, Request};

use crate::http::access::{Actor, Role};
use crate::http::audited::{AuditAction, Purpose};
use crate::http::fakes::{Answer, Api, FILE, id};
use crate::http::recordings::library::{AudioFormat, LibraryError};

fn path(query: &str) -> String {
    format!("/api/v1/recordings/{}/audio?purpose=training{query}", id())
}

async fn ask(api: &Api, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(Method::GET).uri(path(""));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Actor::with_role("test", Role::Listener));
    api.send(request).await
}

#[tokio::test]
async fn invariant_14_no_audio_is_served_without_an_audit_entry() {
    let api = Api::new();
    api.fake.audit_fails.store(true, Ordering::Relaxed);
    for query in ["", "&format=wav", "&export=true"] {
        let answer = api.get(&path(query)).await;
        answer.problem(503);
        assert!(!String::from_utf8_lossy(&answer.bytes).contains("0123"));
    }
    assert!(api.fake.opened.lock().unwrap().is_empty(), "the audio was opened before the audit held");
    api.fake.audit_fails.store(false, Ordering::Relaxed);
    assert_eq!(api.get(&path("")).await.bytes, FILE);
    assert_eq!(api.get(&path("&export=true")).await.bytes, FILE);
    let audited = api.fake.audited.lock().unwrap();
    let seen: Vec<_> = audited.iter().map(|entry| (entry.action, entry.purpose, entry.recording)).collect();
    let entry = |action| (action, Some(Purpose::Training), Some(id()));
    assert_eq!(seen, [entry(AuditAction::Playback), entry(AuditAction::Export)]);
}

#[tokio::test]
async fn what_is_taken_out_says_what_is_missing_without_another_look() {
    let api = Api::new();
    let answer = api.get(&path("&export=true")).await;
    assert_eq!(answer.header(crate::http::VERDICTS), "ok, late");
    assert_eq!(api.fake.audited.lock().unwrap().len(), 1);
    assert_eq!(api.get(&path("")).await.header(crate::http::VERDICTS), "");
}

#[tokio::test]
async fn a_file_is_named_typed_and_served_whole() {
    let api = Api::new();
    let answer = api.get(&path("")).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "audio/ogg; codecs=opus"));
    assert_eq!(answer.header("content-length"), FILE.len().to_string());
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("content-disposition"), format!("inline; filename=\"{}.opus\"", id()));
    let answer = api.get(&path("&format=wav&channel=1&export=true")).await;
    assert_eq!(answer.header("content-type"), "audio/wav");
    assert_eq!(answer.header("content-disposition"), format!("attachment; filename=\"{}-1.wav\"", id()));
    let opened = api.fake.opened.lock().unwrap();
    assert_eq!((opened[1].format, opened[1].channel), (AudioFormat::Wav, Some(1)));
}

#[tokio::test]
async fn a_range_is_served_alone_and_an_impossible_one_is_refused() {
    let api = Api::new();
    for (range, part, shown) in [
        ("bytes=0-3", &FILE[..4], "bytes 0-3/36"),
        ("bytes=30-", &FILE[30..], "bytes 30-35/36"),
        ("bytes=-2", &FILE[34..], "bytes 34-35/36"),
        ("bytes=35-99", &FILE[35..], "bytes 35-35/36"),
    ] {
        let answer = ask(&api, &[("range", range)]).await;
        assert_eq!((answer.status.as_u16(), &answer.bytes[..]), (206, part), "{range}");
        assert_eq!(answer.header("content-range"), shown);
        assert_eq!(answer.header("content-length"), part.len().to_string());
    }
    let answer = ask(&api, &[("range", "bytes=36-")]).await;
    answer.problem(416);
    assert_eq!(answer.header("content-range"), "bytes */36");
    assert_eq!(ask(&api, &[("range", "bytes=0-1,4-5")]).await.bytes, FILE);
}

#[tokio::test]
async fn a_range_of_another_version_gets_the_whole_file() {
    let api = Api::new();
    let tag = api.get(&path("")).await.header("etag").to_owned();
    assert_eq!(ask(&api, &[("range", "bytes=0-3"), ("if-range", &tag)]).await.status, 206);
    assert_eq!(ask(&api, &[("range", "bytes=0-3"), ("if-range", "\"other\"")]).await.bytes, FILE);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_for_audio_is_named() {
    let api = Api::new();
    for (query, field) in [("&format=mp3", "format"), ("&channel=x", "channel"), ("&speed=2", "speed")] {
        assert_eq!(api.get(&path(query)).await.problem(422), field);
    }
    let bare = format!("/api/v1/recordings/{}/audio", id());
    assert_eq!(api.get(&bare).await.problem(400), "purpose");
    assert!(api.fake.audited.lock().unwrap().is_empty());
    for (error, status) in [
        (LibraryError::Erased, 410),
        (LibraryError::NotReady, 409),
        (LibraryError::StoreDown, 503),
        (LibraryError::NoSuchChannel { last: 1 }, 422),
        (LibraryError::Damaged, 500),
    ] {
        *api.fake.fail.lock().unwrap() = Some(error);
        api.get(&path("")).await.problem(status);
    }
}
