//! Errors of equipment and attacks of strangers: a clear answer or a counter, and no harm.

use serde_json::json;

use crate::phone::{Leg, talk, voice};
use crate::server::{Server, Settings, call_request};

#[tokio::test(flavor = "multi_thread")]
async fn every_malformed_request_is_a_problem_that_names_the_field() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_550, 21_580))).await;
    let mut no_department = call_request("demo", "pcmu");
    no_department["department"] = json!("nowhere");
    let mut wrong_type = call_request("demo", "pcmu");
    wrong_type["streams"][1]["codec"] = json!(7);
    let mut unknown_field = call_request("demo", "pcmu");
    unknown_field["colour"] = json!("red");
    for (body, field) in
        [(no_department, "department"), (wrong_type, "streams[1].codec"), (unknown_field, "colour")]
    {
        let (status, problem) = server.ask("POST", "/api/v1/calls", Some(body)).await;
        assert!((400..500).contains(&status), "{status} {problem}");
        assert!(problem.to_string().contains(field), "{field} is not named in {problem}");
    }
    let large = json!({"department": "x".repeat(1_000_000)});
    // The response may arrive while the body is still being sent, and be lost with the connection.
    let mut status = None;
    for _ in 0..20 {
        let url = format!("{}/api/v1/calls", server.api);
        let post = reqwest::Client::new().post(url).bearer_auth(&server.token).json(&large);
        if let Ok(answer) = post.send().await {
            status = Some(answer.status().as_u16());
            break;
        }
    }
    assert_eq!(status, Some(413));
    let (_, calls) = server.ask("GET", "/api/v1/calls", None).await;
    assert_eq!(calls.as_array().map(Vec::len), Some(0), "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn used_up_ports_refuse_new_calls_and_leave_the_old_ones_alone() {
    let dir = tempfile::tempdir().unwrap();
    // Ports for two streams: one call.
    let server = Server::start(dir.path(), &Settings::with_ports((21_590, 21_593))).await;
    let (status, admitted) = server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcmu"))).await;
    assert_eq!(status, 201, "{admitted}");
    let (status, problem) = server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcmu"))).await;
    assert_eq!(status, 503, "{problem}");
    let id = admitted["id"].as_str().unwrap().to_owned();
    tokio::task::spawn_blocking(move || {
        let mut legs = [Leg::new(&admitted, 0, 0, 7), Leg::new(&admitted, 1, 0, 8)];
        legs[0].key('1');
        talk(&mut legs, &[&voice(1, 1_000), &voice(2, 1_000)]);
    })
    .await
    .unwrap();
    let (_, view) = server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
    assert_eq!(view["outcome"]["outcome"], "recorded", "{view}");
    server.recording(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_11_packets_from_elsewhere_never_reach_a_recording() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_600, 21_630))).await;
    let (_, admitted) = server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcmu"))).await;
    let id = admitted["id"].as_str().unwrap().to_owned();
    let quiet = vec![0i16; 160 * 50];
    tokio::task::spawn_blocking(move || {
        let mut legs = [Leg::new(&admitted, 0, 0, 7), Leg::new(&admitted, 1, 0, 8)];
        legs[0].key('1');
        talk(&mut legs, &[&quiet[..1_600], &quiet[..1_600]]);
        // A stranger sends to the caller's port, from another socket with the same SSRC, and sends datagrams that are
        // not RTP, or of a payload type that nobody offered.
        let mut stranger = Leg::new(&admitted, 0, 0, 7);
        let shout = vec![12_000i16; 160];
        for _ in 0..40 {
            stranger.audio(&shout);
            legs[0].audio(&quiet[..160]);
            legs[1].audio(&quiet[..160]);
            legs[0].raw(b"\x80");
            legs[0].raw(&[0x80, 99, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7, 1, 2, 3, 4]);
            legs[0].raw(b"not rtp at all, but long enough to be taken for it");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    })
    .await
    .unwrap();
    let (_, view) = server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
    assert!(view["streams"][0]["counts"]["refused"].as_u64().unwrap() >= 120, "{view}");
    server.recording(&id).await;
    let wav = server.bytes(&format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training")).await;
    let loudest = wav[44..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]]).unsigned_abs()).max();
    assert!(loudest.unwrap() < 200, "the stranger is heard at {loudest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_nobody_without_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &Settings::with_ports((21_640, 21_660))).await;
    server.token = "0".repeat(64);
    for path in ["/api/v1/calls", "/api/v1/recordings?purpose=training"] {
        assert_eq!(server.ask("GET", path, None).await.0, 401);
    }
    assert_eq!(server.ask("GET", "/api/openapi.json", None).await.0, 200);
    assert_eq!(server.health("/healthz").await.0, 200);
}
