//! Any method, query and body at every route of the OpenAPI document, for fuzzing and its corpus. In: bytes.
//! Out: a panic where a request that nothing fails is answered with a server error, where a refusal is no
//! problem document or repeats a key, or where a call is admitted that its checks should have refused.
//!
//! Layout of the bytes: which route, who asks and how, a query up to the first line end, a body.

use std::cell::RefCell;
use std::net::IpAddr;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;

use crate::http::access::{Actor, Departments, Role};
use crate::http::fakes::{Answer, Api, Fake, id};
use optag_core::limit;
use optag_sip::feed::NewCall;

/// Requests after which everything is made anew: links and entries of the audit are kept.
const REQUESTS: usize = 2_000;

/// The API on stand-ins, with its routes.
struct Bench {
    runtime: tokio::runtime::Runtime,
    strict: Api,
    learning: Api,
    routes: Vec<(Method, String)>,
    left: usize,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        // The connections of an index belong to a runtime.
        let _entered = runtime.enter();
        let (strict, learning) = (Api::new(), Api::that_learns());
        let document = runtime.block_on(strict.get("/api/openapi.json")).json();
        let mut routes = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let methods = item.as_object().unwrap().keys().map(|name| name.to_uppercase());
            let path = path
                .replace("{id}", &id().to_string())
                .replace("{label}", "a")
                .replace("{case}", "1999-0001");
            let methods = methods.filter_map(|name| Method::from_bytes(name.as_bytes()).ok());
            routes.extend(methods.map(|method| (method, path.clone())));
        }
        Self { runtime, strict, learning, routes, left: REQUESTS }
    }
}

/// One request of these bytes.
pub fn exercise(bytes: &[u8]) {
    thread_local!(static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) });
    BENCH.with_borrow_mut(|bench| {
        bench.take_if(|bench| bench.left == 0);
        let bench = bench.get_or_insert_with(Bench::new);
        bench.left -= 1;
        ask(bench, bytes);
    });
}

fn ask(bench: &Bench, bytes: &[u8]) {
    let [route, how, rest @ ..] = bytes else { return };
    let (method, path) = &bench.routes[usize::from(*route) % bench.routes.len()];
    let line = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let (query, body) = (&rest[..line], rest.get(line + 1..).unwrap_or_default());
    let Ok(query) = std::str::from_utf8(query) else { return };
    let asked = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
    let role = Role::ALL[usize::from(how & 7) % Role::ALL.len()].1;
    let mut request = Request::builder().method(method.clone()).uri(asked);
    if how & 8 == 0 {
        request = request.header("content-type", "application/json");
    }
    if how & 16 != 0 {
        request = request.header("range", query);
    }
    if how & 32 != 0 {
        request = request.header("optag-purpose", query);
    }
    let Ok(mut request) = request.body(Body::from(body.to_vec())) else { return };
    let mut actor = Actor::with_role("fuzz", role);
    if how & 128 != 0 {
        actor.departments = Departments::only(["elsewhere"]);
    }
    request.extensions_mut().insert(actor);
    let learns = how & 64 != 0;
    let api = if learns { &bench.learning } else { &bench.strict };
    let answer = bench.runtime.block_on(api.send(request));
    check(&answer, body, &format!("{method} {path}"));
    for call in forget(&api.fake) {
        check_admitted(&call, learns);
    }
}

fn check(answer: &Answer, body: &[u8], route: &str) {
    let status = answer.status.as_u16();
    assert!(status < 500, "{route} is answered {status}: {}", String::from_utf8_lossy(&answer.bytes));
    if status < 400 {
        return;
    }
    assert_eq!(answer.header("content-type"), "application/problem+json", "{route}");
    let problem = answer.json();
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{route}: {problem}");
    let text = String::from_utf8_lossy(&answer.bytes);
    let sent = String::from_utf8_lossy(body);
    for key in keys(&serde_json::from_slice(body).unwrap_or_default()) {
        let once = sent.matches(&key).count() == 1;
        assert!(!once || !text.contains(&key), "{route}: a refusal repeats a key");
    }
}

/// Keys of streams in a body, those that are long enough to be told from other words.
fn keys(body: &Value) -> Vec<String> {
    let streams = body["streams"].as_array().into_iter().flatten().chain([body]);
    let texts = streams.flat_map(|stream| [&stream["srtp"]["key"], &stream["srtp"]["report_key"]]);
    texts.filter_map(|text| text.as_str()).filter(|text| text.len() >= 16).map(str::to_owned).collect()
}

/// Forgets what was asked of the stand-ins; the calls that were admitted.
fn forget(fake: &Fake) -> Vec<NewCall> {
    fake.erased.lock().unwrap().clear();
    fake.controls.lock().unwrap().clear();
    fake.searches.lock().unwrap().clear();
    fake.opened.lock().unwrap().clear();
    fake.wanted.lock().unwrap().clear();
    fake.audited.lock().unwrap().clear();
    std::mem::take(&mut *fake.admitted.lock().unwrap())
}

fn check_admitted(call: &NewCall, learns: bool) {
    assert!((1..=limit::STREAMS_PER_CALL).contains(&call.streams.len()));
    for number in [&call.caller_number, &call.called_number] {
        assert!((1..=limit::NUMBER_CHARS).contains(&number.reveal().chars().count()));
    }
    for (at, stream) in call.streams.iter().enumerate() {
        assert!((1..=limit::TEXT_CHARS).contains(&stream.label.chars().count()));
        assert!(call.streams[..at].iter().all(|other| other.label != stream.label), "two of one label");
        let one = |ip: IpAddr| !ip.is_unspecified() && !ip.is_multicast();
        assert!(
            stream.media.source.ip.map_or(learns || stream.media.srtp.is_some(), one),
            "anyone's packets would count"
        );
        assert!(stream.media.formats.iter().all(|format| format.payload_type < 128));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_request_is_answered_or_refused_in_words_and_repeats_no_key() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/api");
        let files: Vec<Vec<u8>> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .collect();
        assert!(files.len() >= 10, "the corpus of api is missing");
        for bytes in files {
            exercise(&bytes);
            for at in 0..bytes.len() {
                exercise(&bytes[..at]);
                let mut changed = bytes.clone();
                changed[at] ^= 0x81;
                exercise(&changed);
            }
            // The same by each role, without a media type, and by streams without a source.
            for how in 0..128 {
                let mut other = bytes.clone();
                other[1] = how;
                exercise(&other);
            }
        }
    }
}
