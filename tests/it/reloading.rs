//! SIGHUP: what a running recorder takes of a changed configuration, and what it leaves alone.

use serde_json::json;

use crate::phone::{Leg, talk, voice};
use crate::resume::admit;
use crate::server::{Server, Settings, call_request};
use crate::sip_recorder::{Client, apart};
use crate::sip_src::{code, header, media};

/// The departments of the tests' configuration, and what takes their place.
const DEMO: &str = "[[department]]\nid = \"demo\"\nname = \"Demo\"\nrecord = true\nconsent_timeout_s = 3\n";
const PRIVATE: &str = "[[department]]\nid = \"private\"\nname = \"Private\"\nrecord = false\n";
const NO_DEMO: &str = "[[department]]\nid = \"demo\"\nname = \"Demo\"\nrecord = false\nretention_days = 5\n";
const TAX: &str = "[[department]]\nid = \"tax\"\nname = \"Tax\"\nrecord = true\nkeys = { yes = \"5\" }\n";

fn rewrite(server: &Server, change: impl FnOnce(String) -> String) {
    let path = server.dir.join("optag.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(text)).unwrap();
    server.signal(libc::SIGHUP);
}

#[tokio::test(flavor = "multi_thread")]
async fn departments_change_for_new_calls_and_calls_in_progress_keep_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((28_300, 28_390));
    settings.extra = "[consent]\ntimeout_s = 30\n".into();
    let server = Server::start(dir.path(), &settings).await;
    let mut client = Client::new(&server, "reload-1").await;
    let (answer, sip_legs) = client.begin("X-Recording-Consent: yes\r\n").await;
    let by_sip = header(&answer, "X-Optag-Call").unwrap();
    let (before, admitted) = admit(&server, "demo").await;

    rewrite(&server, |text| {
        assert!(text.contains(DEMO) && text.contains(PRIVATE), "{text}");
        let text = text.replace(DEMO, NO_DEMO).replace(PRIVATE, TAX);
        text.replace("[consent]\ntimeout_s = 30", "[consent]\nearly_s = 77")
    });
    server.logs("configuration reloaded").await;
    server.logs("consent.early_s").await;

    // The key of then still answers a question of then.
    let legs = vec![Leg::new(&admitted, 0, 0, 1), Leg::new(&admitted, 1, 0, 2)];
    let legs = apart(legs, |legs| legs[0].key('1')).await;

    // New calls: one department is there, one is not recorded any more, one is gone.
    let (status, tax) = server.ask("POST", "/api/v1/calls", Some(call_request("tax", "pcmu"))).await;
    assert_eq!(status, 201, "{tax}");
    let (status, demo) = server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcmu"))).await;
    assert_eq!((status, &demo["consent"]), (201, &json!("unknown")), "{demo}");
    let (status, gone) = server.ask("POST", "/api/v1/calls", Some(call_request("private", "pcmu"))).await;
    assert_eq!(status, 422, "{gone}");
    let mut other = Client::new(&server, "reload-2").await;
    let (answer, _) = other.begin("X-Recording-Consent: yes\r\n").await;
    assert!(media(&answer).iter().all(|m| m.contains("a=inactive")), "{answer}");

    // Calls from before go on, and know the departments of then.
    let speak = |legs: &mut Vec<Leg>| talk(legs, &[&voice(1, 800), &voice(2, 800)]);
    drop((apart(legs, speak).await, apart(sip_legs, speak).await));
    let transfer = Some(json!({"department": "private"}));
    let (status, moved) = server.ask("POST", &format!("/api/v1/calls/{before}/transfer"), transfer).await;
    assert_eq!(status, 200, "{moved}");
    server.ask("POST", &format!("/api/v1/calls/{before}/end"), None).await;
    assert_eq!(code(&client.ask("BYE", "", "").await), 200);
    for id in [before, by_sip] {
        let recording = server.recording(&id).await;
        assert!(recording["duration_ms"].as_i64().unwrap() >= 700, "{recording}");
        assert_eq!(recording["department"], "demo", "{recording}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_wrong_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((28_400, 28_490))).await;
    rewrite(&server, |text| text.replace(DEMO, TAX).replace("[rtp]", "[rtp]\nreorder_ms = 1"));
    server.logs("keeping the current one").await;
    assert!(server.log().contains("rtp.reorder_ms"), "{}", server.log());
    rewrite(&server, |text| {
        text.replace(
            "[rtp]\nreorder_ms = 1",
            "[store]\nkind = 's3'\nbucket = 'calls'\nca_file = '/none'\n[rtp]",
        )
    });
    server.logs("store.ca_file").await;
    let (status, tax) = server.ask("POST", "/api/v1/calls", Some(call_request("tax", "pcmu"))).await;
    assert_eq!(status, 422, "{tax}");
    admit(&server, "demo").await;
}
