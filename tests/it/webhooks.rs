//! Webhooks of the built program: what receivers are told, in which order, and what becomes of receivers that fail, hang,
//! redirect or are inside.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::conversation::{Conversation, recorded};
use crate::erasure::becomes;
use crate::server::{Server, Settings};

const KEY: [u8; 32] = [7; 32];

/// A receiver that answers as it is told, else with 204.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<Got>>>,
    /// Answers to the next requests.
    answers: Arc<Mutex<Vec<u16>>>,
}

/// A request that came.
#[derive(Clone, Debug)]
struct Got {
    path: String,
    event: Value,
    status: u16,
}

/// Answers nothing.
const HANGS: u16 = 0;

impl Receiver {
    async fn start(&self, address: SocketAddr) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(received).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }

    fn answers_next(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    /// Types of the events about a recording that were received, in order.
    fn told_of(&self, id: &str) -> Vec<String> {
        let got = self.got.lock().unwrap();
        let good = got.iter().filter(|one| one.status == 204 && one.event["subject"] == id);
        good.map(|one| one.event["type"].as_str().unwrap().rsplit('.').next().unwrap().to_owned()).collect()
    }
}

/// Checks the signature as Standard Webhooks say.
async fn received(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let field = |name: &str| headers[name].to_str().unwrap().to_owned();
    let event: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(field("content-type"), "application/cloudevents+json; charset=UTF-8");
    assert_eq!(
        (field("webhook-id"), &event["specversion"]),
        (event["id"].as_str().unwrap().to_owned(), &"1.0".into())
    );
    let signed =
        format!("{}.{}.{}", field("webhook-id"), field("webhook-timestamp"), String::from_utf8_lossy(&body));
    let signature = STANDARD.decode(field("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &KEY), signed.as_bytes(), &signature).unwrap();
    let sent_s: i64 = field("webhook-timestamp").parse().unwrap();
    assert!((jiff::Timestamp::now().as_second() - sent_s).abs() < 300);
    let text = String::from_utf8_lossy(&body).into_owned();
    for personal in ["12345678", "70101010", "Lovelace", "case-4711"] {
        assert!(!text.contains(personal), "{text}");
    }
    let status = {
        let mut answers = receiver.answers.lock().unwrap();
        if answers.is_empty() { 204 } else { answers.remove(0) }
    };
    receiver.got.lock().unwrap().push(Got { path: uri.path().to_owned(), event, status });
    match status {
        HANGS => std::future::pending().await,
        302 => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        status => StatusCode::from_u16(status).unwrap().into_response(),
    }
}

/// Settings of a recorder with receivers: name, address and further settings of each.
pub(crate) fn settings(dir: &Path, ports: (u16, u16), receivers: &[(&str, SocketAddr, &str)]) -> Settings {
    let secret = dir.join("secret");
    std::fs::write(&secret, format!("whsec_{}\n", STANDARD.encode(KEY))).unwrap();
    let mut settings = Settings::with_ports(ports);
    for (name, address, extra) in receivers {
        settings.extra += &format!(
            "[[webhook]]\nid = \"{name}\"\nurl = \"http://{address}/optag\"\nsecret_file = \"{}\"\nallow_http = true\n{extra}\n",
            secret.display()
        );
    }
    settings
}

const INSIDE: &str = "allow_private = true";

fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn erase(server: &Server, id: &str) {
    let path = format!("/api/v1/recordings/{id}?reason=asked&request=2026-17");
    assert_eq!(server.ask("DELETE", &path, None).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_are_told_what_happened_to_a_recording_in_order_and_signed() {
    let dir = tempfile::tempdir().unwrap();
    let (all, erasures) = (Receiver::default(), Receiver::default());
    let addresses = (all.start(any_port()).await, erasures.start(any_port()).await);
    let only = format!("{INSIDE}\nevents = \"erased\"");
    let receivers = [("all", addresses.0, INSIDE), ("erasures", addresses.1, only.as_str())];
    let server = Server::start(dir.path(), &settings(dir.path(), (12_000, 12_030), &receivers)).await;
    let id = recorded(&server, 1, 400).await;
    server.stored(&id).await;
    let mut call = Conversation::admit(&server, "demo").await;
    call.press("2").await;
    let refused = call.id.clone();
    assert_eq!(call.end(&server).await, "refused");
    erase(&server, &id).await;
    becomes("both are told", async || all.told_of(&id).len() == 2 && all.told_of(&refused).len() == 1).await;
    assert_eq!(
        (all.told_of(&id), all.told_of(&refused)),
        (vec!["stored".into(), "erased".into()], vec!["refused".to_owned()])
    );
    becomes("erasures are told", async || erasures.told_of(&id) == ["erased"]).await;
    assert_eq!(erasures.told_of(&refused), Vec::<String>::new());
    let told = all.got.lock().unwrap().clone();
    let refusal = told.iter().find(|one| one.event["subject"] == refused.as_str()).unwrap();
    assert_eq!(refusal.event["data"]["outcome"], "refused", "{refusal:?}");
    assert!(told.iter().all(|one| one.path == "/optag" && one.event["data"]["department"] == "demo"));
    server.metric_becomes("optag_webhooks_waiting", "", 0.0).await;
    assert_eq!(server.metric("optag_webhooks_total", "delivered").await, 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_received_is_sent_again_after_a_restart_too_and_holds_up_no_other_recording() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::default();
    // Nobody listens yet.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = settings(dir.path(), (12_040, 12_070), &[("late", free, INSIDE)]);
    let server = Server::start(dir.path(), &settings).await;
    let first = recorded(&server, 1, 400).await;
    server.stored(&first).await;
    erase(&server, &first).await;
    server.metric_becomes("optag_webhooks_waiting", "", 2.0).await;
    server.kill();
    // A redirect and a failure are no receipt; the one that waits behind them comes after.
    receiver.answers_next(&[302, 500]);
    receiver.start(free).await;
    let server = Server::start(dir.path(), &settings).await;
    becomes("a redirect came", async || !receiver.got.lock().unwrap().is_empty()).await;
    let second = recorded(&server, 3, 400).await;
    becomes("all is received", async || {
        receiver.told_of(&first) == ["stored", "erased"] && receiver.told_of(&second) == ["stored"]
    })
    .await;
    let got = receiver.got.lock().unwrap().clone();
    assert!(got.iter().all(|one| one.path == "/optag"), "no redirect is followed: {got:?}");
    let mut ids: HashMap<&str, u64> = HashMap::new();
    got.iter().for_each(|one| *ids.entry(one.event["id"].as_str().unwrap()).or_default() += 1);
    assert_eq!(ids.values().sum::<u64>(), 5, "{ids:?}");
    let at = |kind: &str, id: &str| {
        let wanted = format!("{id}.{kind}");
        got.iter().position(|one| one.status == 204 && one.event["id"] == wanted.as_str()).unwrap()
    };
    assert!(at("stored", &first) < at("erased", &first));
    server.metric_becomes("optag_webhooks_waiting", "", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_delays_no_other_and_one_inside_is_sent_nothing_unless_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let (hanging, well, inside) = (Receiver::default(), Receiver::default(), Receiver::default());
    hanging.answers_next(&[HANGS; 100]);
    let addresses =
        [hanging.start(any_port()).await, well.start(any_port()).await, inside.start(any_port()).await];
    // By its name as well: what it resolves to counts.
    let by_name = format!("localhost:{}", addresses[2].port());
    let receivers =
        [("hanging", addresses[0], INSIDE), ("well", addresses[1], INSIDE), ("inside", addresses[2], "")];
    let mut settings = settings(dir.path(), (12_080, 12_110), &receivers);
    settings.extra += &format!(
        "[[webhook]]\nid = \"named\"\nurl = \"http://{by_name}/optag\"\nsecret_file = \"{}\"\nallow_http = true\n",
        dir.path().join("secret").display()
    );
    let server = Server::start(dir.path(), &settings).await;
    let id = recorded(&server, 1, 400).await;
    becomes("the one that is well is told", async || well.told_of(&id) == ["stored"]).await;
    for name in ["inside", "named"] {
        becomes("it is refused", async || {
            server.metric("optag_webhooks_total", &format!("webhook=\"{name}\",result=\"failed\"")).await
                >= 1.0
        })
        .await;
    }
    assert!(inside.got.lock().unwrap().is_empty());
    assert!(server.log().contains("no address of the public Internet"), "{}", server.log());
    let second = recorded(&server, 3, 400).await;
    becomes("it goes on", async || well.told_of(&second) == ["stored"]).await;
    becomes("a receiver that hangs is no receiver", async || {
        server.metric("optag_webhooks_total", "webhook=\"hanging\",result=\"failed\"").await >= 1.0
    })
    .await;
    assert!(server.log().contains("no answer within 10 s"), "{}", server.log());
}
