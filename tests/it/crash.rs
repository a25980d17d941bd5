//! The cost of a kill: nothing that was acknowledged, and at most half a second of audio.

use crate::phone::{Leg, talk, voice};
use crate::server::{Server, Settings, call_request};

/// Calls end where the recorder did.
fn nobody_goes_on(ports: (u16, u16)) -> Settings {
    Settings { extra: "resume_within_s = 0\n".into(), ..Settings::with_ports(ports) }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_03_what_was_heard_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let settings = nobody_goes_on((21_300, 21_380));
    let server = Server::start(dir.path(), &settings).await;
    let mut ids = Vec::new();
    let mut speakers = Vec::new();
    for n in 0..5u32 {
        let (status, admitted) =
            server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcma"))).await;
        assert_eq!(status, 201, "{admitted}");
        ids.push(admitted["id"].as_str().unwrap().to_owned());
        speakers.push(tokio::task::spawn_blocking(move || {
            let mut legs = [Leg::new(&admitted, 0, 8, n), Leg::new(&admitted, 1, 8, 100 + n)];
            legs[0].key('1');
            talk(&mut legs, &[&voice(n, 3_000), &voice(n + 7, 3_000)]);
        }));
    }
    for speaker in speakers {
        speaker.await.unwrap();
    }
    server.kill();

    let server = Server::start(dir.path(), &settings).await;
    for id in &ids {
        let recording = server.recording(id).await;
        let heard = recording["duration_ms"].as_i64().unwrap();
        assert!((2_500..=3_600).contains(&heard), "{heard} ms of 3,000 survived: {recording}");
        let opus = server.bytes(&format!("/api/v1/recordings/{id}/audio?format=opus&purpose=training")).await;
        assert_eq!(&opus[..4], b"OggS");
    }
    assert_eq!(server.recordings().await, 5);
    server.kill();

    // A second start finds everything delivered: nothing is delivered twice.
    let server = Server::start(dir.path(), &settings).await;
    assert_eq!(server.recordings().await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_06_a_call_that_was_not_answered_when_the_recorder_died_is_a_counted_loss() {
    let dir = tempfile::tempdir().unwrap();
    let settings = nobody_goes_on((21_390, 21_420));
    let server = Server::start(dir.path(), &settings).await;
    let (status, admitted) = server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcmu"))).await;
    assert_eq!(status, 201, "{admitted}");
    server.kill();
    let server = Server::start(dir.path(), &settings).await;
    assert_eq!(server.recordings().await, 0);
    let lost = server.metric("optag_outcomes_total", "restart").await;
    assert_eq!(lost, 1.0, "{}", server.metrics_page().await);
}
