//! Answers that come before their call: across a kill and an upgrade, to every call of the name.

use serde_json::{Value, json};

use crate::resume::end;
use crate::server::{Server, Settings, call_request};

fn said(name: &str, answer: &str) -> Option<Value> {
    Some(json!({"external_id": name, "answer": answer, "how": "system"}))
}

async fn announce(server: &Server, name: &str) -> (String, Value) {
    let mut request = call_request("demo", "pcmu");
    request["external_id"] = json!(name);
    let (status, admitted) = server.ask("POST", "/api/v1/calls", Some(request)).await;
    assert_eq!(status, 201, "{admitted}");
    (admitted["id"].as_str().unwrap().to_owned(), admitted["consent"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_acknowledged_before_its_call_survives_a_kill_and_an_upgrade() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::with_ports((21_700, 21_740));
    let mut server = Server::start(dir.path(), &settings).await;
    for (name, answer) in [("no-1", "no"), ("yes-1", "yes"), ("yes-2", "yes"), ("no-2", "no")] {
        let (status, given) = server.ask("POST", "/api/v1/consents", said(name, answer)).await;
        assert_eq!((status, given["calls"].as_array().unwrap().len()), (202, 0), "{given}");
    }
    server.upgrade();
    assert_eq!(announce(&server, "no-1").await.1, "refused");
    assert_eq!(announce(&server, "yes-1").await.1, "granted");
    server.kill();
    let server = Server::start(dir.path(), &settings).await;
    assert_eq!(announce(&server, "yes-1").await.1, "asked", "a yes is for one call");
    assert_eq!(announce(&server, "no-1").await.1, "refused", "a no is for each of its name");
    assert_eq!(announce(&server, "no-2").await.1, "refused");
    assert_eq!(announce(&server, "yes-2").await.1, "granted");
    // What others call a call is not written down in the clear.
    let kept = std::fs::read_to_string(dir.path().join("data/early-answers")).unwrap();
    assert!(!kept.contains("no-1") && kept.contains("\"no\""), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_by_name_reaches_every_call_of_the_name_or_says_which_it_did_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_750, 21_790))).await;
    let (one, two, three) =
        (announce(&server, "x").await.0, announce(&server, "x").await.0, announce(&server, "x").await.0);
    // The first has its answer already, and a yes after a no is forbidden.
    let path = format!("/api/v1/calls/{one}/consent");
    let (status, _) = server.ask("POST", &path, Some(json!({"answer": "no", "how": "system"}))).await;
    assert_eq!(status, 200);
    let (status, given) = server.ask("POST", "/api/v1/consents", said("x", "yes")).await;
    assert_eq!(status, 200, "{given}");
    assert_eq!(given["calls"], json!([two, three]), "{given}");
    assert_eq!(given["missed"][0]["call"], json!(one), "{given}");
    for (call, consent) in [(&one, "refused"), (&two, "granted"), (&three, "granted")] {
        let (_, view) = server.ask("GET", &format!("/api/v1/calls/{call}"), None).await;
        assert_eq!(view["consent"], consent, "{view}");
    }
    end(&server, &two).await;
    end(&server, &three).await;
    // Where it reaches nobody, nobody is told that it did.
    let (status, given) = server.ask("POST", "/api/v1/consents", said("x", "yes")).await;
    assert_eq!(status, 409, "{given}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_made_durable_is_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_800, 21_840))).await;
    // A directory in the place of the next file, and no file to go on with after a restart.
    let draft = dir.path().join("data/early-answers.new");
    std::fs::create_dir(&draft).unwrap();
    for n in 0..3_000 {
        let (status, given) =
            server.ask("POST", "/api/v1/consents", said(&format!("n{}", n % 2), "no")).await;
        if status == 503 {
            std::fs::remove_dir(&draft).unwrap();
            let (status, _) = server.ask("POST", "/api/v1/consents", said("after", "no")).await;
            assert_eq!(status, 202);
            assert_eq!(announce(&server, "after").await.1, "refused");
            return;
        }
        assert_eq!(status, 202, "{given}");
    }
    panic!("the file was never made anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_calls_that_begin_while_a_yes_of_their_name_comes_each_that_is_said_to_have_it_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((29_000, 29_190))).await;
    for n in 0..12 {
        let name = format!("race-{n}");
        let ((status, given), one, two, three) = tokio::join!(
            server.ask("POST", "/api/v1/consents", said(&name, "yes")),
            announce(&server, &name),
            announce(&server, &name),
            announce(&server, &name)
        );
        let mut granted = Vec::new();
        for (call, _) in [one, two, three] {
            let (_, view) = server.ask("GET", &format!("/api/v1/calls/{call}"), None).await;
            let reached = given["calls"].as_array().is_some_and(|calls| calls.contains(&json!(call)));
            assert!(!reached || view["consent"] == "granted", "{status} {given}: {view}");
            granted.extend((view["consent"] == "granted").then_some(call));
        }
        // Whoever came first has it, and nobody is told that it is lost.
        assert!(status == 409 || status == 202 || status == 200, "{status} {given}");
        assert!(!granted.is_empty(), "{status} {given}");
        for call in granted {
            end(&server, &call).await;
        }
    }
}
