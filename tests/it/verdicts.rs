//! A recording that looks complete and is not says so, wherever one looks.

use crate::phone::{Leg, talk, voice};
use crate::server::{Server, Settings, call_request};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_which_nothing_could_be_used_is_told_searched_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((26_910, 26_950))).await;
    let mut ids = Vec::new();
    for payload_type in [8, 96] {
        let (status, admitted) =
            server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcma"))).await;
        assert_eq!(status, 201, "{admitted}");
        let id = admitted["id"].as_str().unwrap().to_owned();
        tokio::task::spawn_blocking(move || {
            let mut legs = [Leg::new(&admitted, 0, 8, 1), Leg::new(&admitted, 1, payload_type, 2)];
            legs[0].key('1');
            talk(&mut legs, &[&voice(1, 2_500), &voice(2, 2_500)]);
        })
        .await
        .unwrap();
        let (status, view) = server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
        assert_eq!((status, view["outcome"]["outcome"].as_str()), (200, Some("recorded")), "{view}");
        ids.push(id);
    }
    let whole = server.recording(&ids[0]).await;
    assert_eq!(whole["verdicts"], serde_json::json!(["ok", "ok"]), "{whole}");
    let broken = server.recording(&ids[1]).await;
    assert_eq!(broken["verdicts"], serde_json::json!(["ok", "unknown_type"]), "{broken}");
    for (verdict, found) in [("fault", &ids[1]), ("unknown_type", &ids[1]), ("ok", &ids[0])] {
        let path = format!("/api/v1/recordings?verdict={verdict}&purpose=administration");
        let (status, page) = server.ask("GET", &path, None).await;
        assert_eq!((status, &page["total"]), (200, &serde_json::json!(1)), "{page}");
        assert_eq!(page["recordings"][0]["id"], **found);
    }
    let path = "/api/v1/recordings?verdict=fine&purpose=administration";
    assert_eq!(server.ask("GET", path, None).await.0, 422);
    assert_eq!(server.metric("optag_recorded_streams_total", "unknown_type").await, 1.0);
}

#[test]
fn the_api_document_explains_every_verdict() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/api.md")).unwrap();
    let table: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let missing = optag_core::call::StreamVerdict::NAMES.iter().filter(|name| {
        !table.iter().any(|line| line.split('|').nth(1).unwrap().contains(&format!("`{name}`")))
    });
    assert_eq!(missing.collect::<Vec<_>>(), [&""; 0]);
}
