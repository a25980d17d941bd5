//! Tokens, roles, paths, the OpenAPI document, health, and the listener itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::auth::tokens::NewToken;
use crate::http::access::{Actor, Role};
use crate::http::fakes::{Api, id};
use crate::http::server::health::{Check, Readiness};
use crate::http::{ConnectionLimits, Limits, health_router, serve};
use crate::metrics::exporter::Exporter;

fn with_token(path: &str, header: &str) -> Request<Body> {
    Request::builder().uri(path).header("authorization", header).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn without_a_valid_token_nothing_is_answered() {
    let api = Api::new();
    let token = api.tokens.create(&NewToken::of("pbx", Role::Feed)).await.unwrap();
    assert_eq!(api.send(with_token("/api/v1/calls", &format!("Bearer {token}"))).await.status, 200);
    assert_eq!(api.send(with_token("/api/v1/calls", &format!("bearer  {token}"))).await.status, 200);
    for header in ["Bearer", "Bearer x", "Basic abc", "", "Bearer optag_"] {
        let answer = api.send(with_token("/api/v1/calls", header)).await;
        answer.problem(401);
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{header}");
    }
    api.send(Request::get("/api/v1/recordings").body(Body::empty()).unwrap()).await.problem(401);
}

#[tokio::test]
async fn a_flood_of_bad_tokens_is_slowed_and_a_good_one_is_not() {
    let api = Api::new();
    let token = api.tokens.create(&NewToken::of("pbx", Role::Feed)).await.unwrap();
    let mut slowed = false;
    for _ in 0..200 {
        slowed |= api.send(with_token("/api/v1/calls", "Bearer x")).await.status == 429;
    }
    assert!(slowed);
    assert_eq!(api.send(with_token("/api/v1/calls", &format!("Bearer {token}"))).await.status, 200);
}

#[tokio::test]
async fn a_role_opens_its_own_doors_alone() {
    let api = Api::new();
    let doors = |purpose: &str| {
        let audio = format!("/api/v1/recordings/{}/audio?purpose={purpose}", id());
        let search = format!("/api/v1/recordings?purpose={purpose}");
        let export = format!("{audio}&export=true");
        ["/api/v1/calls".to_owned(), search, audio, export]
    };
    for (role, purpose, open) in [
        (Role::Admin, "training", [true, true, true, true]),
        (Role::Feed, "training", [true, false, false, false]),
        (Role::Listener, "training", [false, true, true, false]),
        (Role::Contact, "caller_request", [false, true, false, true]),
        (Role::Agent, "training", [false, false, false, false]),
    ] {
        for (path, open) in doors(purpose).iter().zip(open) {
            let answer = api.as_role(role, Method::GET, path, None).await;
            assert_eq!(answer.status, if open { 200 } else { 403 }, "{role:?} {path}");
        }
    }
    let erase = format!("/api/v1/recordings/{}?reason=x", id());
    for role in [Role::Feed, Role::Listener] {
        api.as_role(role, Method::DELETE, &erase, None).await.problem(403);
    }
    assert!(api.fake.erased.lock().unwrap().is_empty());
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_problems_too() {
    let api = Api::new();
    api.get("/nowhere").await.problem(404);
    api.get("/api/v1/nothing").await.problem(404);
    let answer = api.as_role(Role::Admin, Method::PUT, "/api/v1/calls", None).await;
    answer.problem(405);
    assert!(answer.header("allow").contains("POST"), "{:?}", answer.headers);
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn the_openapi_document_lists_every_route_and_needs_no_token() {
    let api = Api::new();
    let answer = api.send(Request::get("/api/openapi.json").body(Body::empty()).unwrap()).await;
    let document = answer.json();
    let mut routes: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |m| format!("{m} {path}")))
        .collect();
    routes.sort();
    let expected = [
        "delete /api/v1/calls/{id}/streams/{label}",
        "delete /api/v1/cases/{case}/recordings/{id}/links",
        "delete /api/v1/recordings/{id}",
        "delete /api/v1/recordings/{id}/hold",
        "delete /api/v1/sign-ins/{sign_in}",
        "delete /api/v1/user-requests/{request}",
        "get /api/v1/audit",
        "get /api/v1/audit/entries",
        "get /api/v1/audit/unusual",
        "get /api/v1/calls",
        "get /api/v1/calls/{id}",
        "get /api/v1/candidates",
        "get /api/v1/cases",
        "get /api/v1/cases/{case}",
        "get /api/v1/cases/{case}/candidates",
        "get /api/v1/cases/{case}/letter",
        "get /api/v1/cases/{case}/preview",
        "get /api/v1/cases/{case}/recordings/{id}/audio",
        "get /api/v1/cases/{case}/recordings/{id}/sheet",
        "get /api/v1/departments",
        "get /api/v1/health",
        "get /api/v1/holds",
        "get /api/v1/me",
        "get /api/v1/recordings",
        "get /api/v1/recordings/{id}",
        "get /api/v1/recordings/{id}/accesses",
        "get /api/v1/recordings/{id}/audio",
        "get /api/v1/recordings/{id}/erasure",
        "get /api/v1/recordings/{id}/erasure/preview",
        "get /api/v1/recordings/{id}/erasure/receipt",
        "get /api/v1/recordings/{id}/waveform",
        "get /api/v1/retention/ages",
        "get /api/v1/retention/report",
        "get /api/v1/sign-ins",
        "get /api/v1/user-requests",
        "get /api/v1/users",
        "post /api/v1/admin/drain",
        "post /api/v1/calls",
        "post /api/v1/calls/{id}/consent",
        "post /api/v1/calls/{id}/end",
        "post /api/v1/calls/{id}/pause",
        "post /api/v1/calls/{id}/resume",
        "post /api/v1/calls/{id}/streams",
        "post /api/v1/calls/{id}/transfer",
        "post /api/v1/calls/{id}/withdraw",
        "post /api/v1/cases",
        "post /api/v1/cases/{case}/carry-out",
        "post /api/v1/cases/{case}/close",
        "post /api/v1/cases/{case}/decision",
        "post /api/v1/cases/{case}/extension",
        "post /api/v1/cases/{case}/identity",
        "post /api/v1/cases/{case}/recordings",
        "post /api/v1/cases/{case}/recordings/{id}/handout",
        "post /api/v1/cases/{case}/recordings/{id}/links",
        "post /api/v1/cases/{case}/told",
        "post /api/v1/consents",
        "post /api/v1/erasures",
        "post /api/v1/health/store",
        "post /api/v1/recordings/{id}/handout",
        "post /api/v1/recordings/{id}/links",
        "post /api/v1/retention/clock",
        "post /api/v1/user-requests/{request}/confirm",
        "post /api/v1/users",
        "post /api/v1/users/{user}/disable",
        "post /api/v1/users/{user}/enable",
        "post /api/v1/users/{user}/reset",
        "put /api/v1/calls/{id}/streams/{label}",
        "put /api/v1/recordings/{id}/hold",
        "put /api/v1/users/{user}/roles",
    ];
    assert_eq!(routes, expected);
    assert!(document["components"]["schemas"]["CallBody"].is_object());
    assert!(document["components"]["securitySchemes"]["token"].is_object());
}

struct Parts(Vec<Check>);

impl Readiness for Parts {
    fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
        std::future::ready(self.0.clone()).boxed()
    }
}

#[tokio::test]
async fn health_tells_ready_from_degraded_from_not_ready() {
    let check = |ok, optional| Check { name: "store", ok, optional, reason: None, detail: "refused".into() };
    for (checks, code, status) in [
        (vec![check(true, false)], 200, "ready"),
        (vec![check(true, false), check(false, true)], 200, "degraded"),
        (vec![check(false, false)], 503, "not_ready"),
    ] {
        let router = health_router(Arc::new(Parts(checks)), Exporter::build().1);
        let ask = async |path: &'static str| {
            let answer =
                router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            let status = answer.status().as_u16();
            (
                status,
                String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap(),
            )
        };
        let (got, body) = ask("/readyz").await;
        assert_eq!(got, code);
        assert!(body.contains(&format!("\"status\":\"{status}\"")), "{body}");
        assert_eq!(ask("/healthz").await, (200, "ok\n".into()));
        let (_, text) = ask("/metrics").await;
        assert!(text.contains("optag_build_info{version="), "{text}");
        assert_eq!(ask("/nothing").await.0, 404);
    }
}

#[tokio::test]
async fn a_client_that_never_ends_its_request_is_let_go_and_others_are_served() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = ConnectionLimits {
        connections: 1,
        header_timeout: Duration::from_millis(200),
        ..ConnectionLimits::default()
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, Api::new().router, limits, async move { drop(stopped.await) }));
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap();
    let mut patient = TcpStream::connect(address).await.unwrap();
    patient
        .write_all(b"GET /api/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), patient.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    drop(stop);
    tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn clients_that_send_and_never_read_keep_nobody_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = ConnectionLimits { connections: 16, ..ConnectionLimits::default() };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, Api::new().router, limits, async move { drop(stopped.await) }));
    let request = b"GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
    let mut greedy = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The kernel buffers a part; the server then waits for the reader.
        let _ = tokio::time::timeout(Duration::from_millis(20), stream.write_all(&request)).await;
        greedy.push(stream);
    }
    for _ in 0..8 {
        let mut patient = TcpStream::connect(address).await.unwrap();
        patient.write_all(b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), patient.read_to_end(&mut answer)).await;
        read.expect("the listener is shut").unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 404"));
    }
    drop(greedy);
    drop(stop);
    tokio::time::timeout(Duration::from_secs(20), server).await.unwrap().unwrap();
}

/// Real sockets and simulated time: it advances while everything is idle.
#[tokio::test(start_paused = true)]
async fn a_body_that_comes_a_byte_a_second_is_answered_when_its_time_is_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let api = Api::new();
    // A database's answer would take no simulated time.
    let router = api.router.clone().layer(Extension(Actor::with_role("pbx", Role::Admin)));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let limits = ConnectionLimits::default();
    let server = tokio::spawn(serve(listener, router, limits, async move { drop(stopped.await) }));
    let mut slow = TcpStream::connect(address).await.unwrap();
    let head = "POST /api/v1/calls HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Content-Length: 5000\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let began = tokio::time::Instant::now();
    let (mut reader, mut writer) = slow.split();
    let mut answer = Vec::new();
    let ended = reader.read_to_end(&mut answer);
    tokio::pin!(ended);
    loop {
        tokio::select! {
            _ = &mut ended => break,
            () = tokio::time::sleep(Duration::from_secs(1)) => drop(writer.write_all(b" ").await),
        }
        assert!(began.elapsed() <= 2 * Limits::default().timeout, "the connection stays open");
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("took too long"), "{answer}");
    assert!(began.elapsed() >= Limits::default().timeout);
    drop(stop);
    server.await.unwrap();
}
