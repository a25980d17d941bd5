//! A recorder that drains: what goes on, what is refused, and what happens at the limit.

use crate::phone::{Leg, talk, voice};
use crate::resume::admit;
use crate::server::{Server, Settings, call_request};
use crate::sip_recorder::{Client, apart};
use crate::sip_src::{SDP, SIPREC, code, header};
use serde_json::json;

const YES: &str = "X-Recording-Consent: yes\r\n";

fn settings(rtp_ports: (u16, u16), drain_limit_s: u32) -> Settings {
    let mut settings = Settings::with_ports(rtp_ports);
    settings.extra = format!("[shutdown]\ndrain_limit_s = {drain_limit_s}\n");
    // As where there is another recorder to turn to.
    settings.env = vec![("OPTAG_SIP_REFUSE_WHEN_FULL".into(), "true".into())];
    settings
}

async fn speak(legs: Vec<Leg>, millis: usize) -> Vec<Leg> {
    apart(legs, move |legs| talk(legs, &[&voice(1, millis), &voice(2, millis)])).await
}

/// A call over HTTP with a yes.
async fn announced(server: &Server) -> (String, Vec<Leg>) {
    let (id, admitted) = admit(server, "demo").await;
    let yes = json!({"answer": "yes", "how": "system"});
    let (status, view) = server.ask("POST", &format!("/api/v1/calls/{id}/consent"), Some(yes)).await;
    assert_eq!(status, 200, "{view}");
    (id, vec![Leg::new(&admitted, 0, 0, 1), Leg::new(&admitted, 1, 0, 2)])
}

/// A recording session with a yes.
async fn invited(client: &mut Client) -> (String, Vec<Leg>) {
    let (answer, legs) = client.begin(YES).await;
    (header(&answer, "X-Optag-Call").unwrap(), legs)
}

async fn kept_ms(server: &Server, id: &str, ended_by: &str) -> i64 {
    let recording = server.recording(id).await;
    assert_eq!(recording["ended_by"], ended_by, "{recording}");
    recording["duration_ms"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_06_calls_in_progress_at_sigterm_are_recorded_to_their_end_and_new_ones_refused() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings((28_000, 28_090), 3_600);
    let server = Server::start(dir.path(), &settings).await;
    let (by_http, mut legs) = announced(&server).await;
    let mut client = Client::new(&server, "drain-1").await;
    let (by_sip, mut sip_legs) = invited(&mut client).await;
    (legs, sip_legs) = tokio::join!(speak(legs, 1_000), speak(sip_legs, 1_000));

    server.signal(libc::SIGTERM);
    server.logs("draining: no new calls are taken").await;
    let (status, page) = server.health("/readyz").await;
    assert!(status == 503 && page.contains("draining"), "{status} {page}");
    assert_eq!(server.metric("optag_draining", "").await, 1.0);
    let (status, refused) = server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcmu"))).await;
    assert_eq!(status, 503, "{refused}");
    let mut other = Client::new(&server, "drain-2").await;
    assert_eq!(code(&other.ask("OPTIONS", "", "").await), 503);
    let answer = other.ask("INVITE", &format!("{SIPREC}{YES}"), SDP).await;
    assert!(code(&answer) == 503 && header(&answer, "Retry-After").is_some(), "{answer}");

    (legs, sip_legs) = tokio::join!(speak(legs, 1_500), speak(sip_legs, 1_500));
    drop((legs, sip_legs));
    let (status, ended) = server.ask("POST", &format!("/api/v1/calls/{by_http}/end"), None).await;
    assert_eq!(status, 200, "{ended}");
    assert_eq!(code(&client.ask("BYE", "", "").await), 200);
    assert_eq!(server.ended().code(), Some(0));
    let log = std::fs::read_to_string(dir.path().join("log.txt")).unwrap();
    assert!(log.contains("no call is left in progress") && log.contains("all recordings delivered"), "{log}");

    let server = Server::start(dir.path(), &settings).await;
    for id in [by_http, by_sip] {
        let kept = kept_ms(&server, &id, "feed").await;
        assert!(kept >= 2_400, "{kept} of 2,500 ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_06_at_the_drain_limit_calls_of_every_kind_end_and_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings((28_100, 28_190), 3_600);
    let server = Server::start(dir.path(), &settings).await;
    let (by_http, mut legs) = announced(&server).await;
    let mut client = Client::new(&server, "drain-3").await;
    let (by_sip, mut sip_legs) = invited(&mut client).await;
    (legs, sip_legs) = tokio::join!(speak(legs, 800), speak(sip_legs, 800));

    let (status, state) = server.ask("POST", "/api/v1/admin/drain", None).await;
    assert_eq!((status, &state["calls"]), (202, &json!(2)), "{state}");
    let (_, again) = server.ask("POST", "/api/v1/admin/drain?limit_s=86401", None).await;
    assert_eq!(again["field"], "limit_s", "{again}");
    // A service manager's signal after the order is no second signal.
    server.signal(libc::SIGTERM);
    server.logs("signal while draining").await;
    assert_eq!(server.metric("optag_calls_cut_total", "").await, 0.0);
    let (_, view) = server.ask("GET", &format!("/api/v1/calls/{by_http}"), None).await;
    assert!(view["ended_at"].is_null(), "{view}");
    (legs, sip_legs) = tokio::join!(speak(legs, 400), speak(sip_legs, 400));
    drop((legs, sip_legs));

    let (status, state) = server.ask("POST", "/api/v1/admin/drain?limit_s=0", None).await;
    assert_eq!((status, &state["left_s"]), (202, &json!(0)), "{state}");
    let bye = client.hears().await;
    assert!(bye.starts_with("BYE ") && bye.contains("cause=503"), "{bye}");
    assert_eq!(server.ended().code(), Some(0));
    let log = std::fs::read_to_string(dir.path().join("log.txt")).unwrap();
    assert!(log.contains("drain limit reached") && log.contains("calls=2"), "{log}");

    let server = Server::start(dir.path(), &settings).await;
    for id in [by_http, by_sip] {
        let kept = kept_ms(&server, &id, "shutdown").await;
        assert!(kept >= 1_100, "{kept} of 1,200 ms");
    }
    let (_, trail) = server.ask("GET", "/api/v1/audit", None).await;
    assert_eq!(trail.to_string().matches("\"action\":\"drain\"").count(), 2, "{trail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_shortens_the_limit_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings((28_200, 28_290), 3_600);
    let server = Server::start(dir.path(), &settings).await;
    let (id, legs) = announced(&server).await;
    drop(speak(legs, 500).await);
    server.signal(libc::SIGINT);
    server.logs("draining: waiting for calls in progress").await;
    assert_eq!(server.terminate().code(), Some(0));
    let server = Server::start(dir.path(), &settings).await;
    kept_ms(&server, &id, "shutdown").await;
}

/// The answer to OPTIONS once it is `wanted`.
async fn options_becomes(client: &mut Client, wanted: u16) {
    for _ in 0..200 {
        if code(&client.ask("OPTIONS", "", "").await) == wanted {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("OPTIONS was never answered {wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_without_a_free_port_says_that_it_is_full_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    // Two calls of two streams, with RTCP.
    let server = Server::start(dir.path(), &Settings::with_ports((24_300, 24_307))).await;
    assert_eq!(server.metric("optag_accepting", "").await, 1.0);
    server.metric_becomes("optag_capacity_calls", "", 2.0).await;
    let mut client = Client::new(&server, "full-1").await;
    assert_eq!(code(&client.ask("OPTIONS", "", "").await), 200);

    let (one, _legs) = announced(&server).await;
    server.metric_becomes("optag_capacity_calls", "", 1.0).await;
    let (_, _more) = announced(&server).await;
    server.metric_becomes("optag_accepting", "", 0.0).await;
    server.metric_becomes("optag_not_accepting", "reason=\"ports\"", 1.0).await;
    let (status, page) = server.health("/readyz").await;
    assert!(status == 503 && page.contains(r#""reason":"ports""#), "{status} {page}");
    options_becomes(&mut client, 503).await;

    server.ask("POST", &format!("/api/v1/calls/{one}/end"), None).await;
    server.metric_becomes("optag_accepting", "", 1.0).await;
    server.metric_becomes("optag_capacity_calls", "", 1.0).await;
    assert_eq!(server.metric("optag_not_accepting", "").await, 0.0);
    options_becomes(&mut client, 200).await;
    assert_eq!(server.health("/readyz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_without_a_free_session_says_that_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((24_310, 24_390));
    settings.env = vec![("OPTAG_SIP_MAX_SESSIONS".into(), "1".into())];
    let server = Server::start(dir.path(), &settings).await;
    let mut client = Client::new(&server, "full-2").await;
    let (_, _legs) = invited(&mut client).await;
    let mut other = Client::new(&server, "full-3").await;
    assert_eq!(code(&other.ask("OPTIONS", "", "").await), 503, "at once");
    server.metric_becomes("optag_not_accepting", "reason=\"sip_sessions\"", 1.0).await;
    assert_eq!(code(&client.ask("BYE", "", "").await), 200);
    options_becomes(&mut other, 200).await;
}
