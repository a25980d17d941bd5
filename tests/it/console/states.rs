//! The states in which pages are looked at.

use serde_json::{Value, json};

use crate::conversation::recorded;
use crate::server::Server;

/// The mark of an address whose form is sent as it is, to see what is said of wrong fields.
const SENT: &str = "#sent";

/// The form that is sent on a page.
pub(super) fn sent(page: &str) -> Option<&'static str> {
    page.ends_with(SENT).then_some("main form.tall[method=post]")
}

/// Whether an address is that of a document for the caller.
pub(super) fn is_document(page: &str) -> bool {
    page.ends_with("/letter") || page.ends_with("/sheet")
}

/// A case after these steps; its address.
async fn case(server: &Server, asked: &str, steps: &[(&str, Value)]) -> String {
    let told = json!({"number": "12 34 56 78", "name": "Ada Lovlace", "note": "letter"});
    let opened = json!({"department": "demo", "asked": asked, "told": told});
    let (_, mut case) = server.ask("POST", "/api/v1/cases", Some(opened)).await;
    let place = format!("/cases/{}", case["number"].as_str().unwrap());
    for (step, body) in steps {
        let mut body = body.clone();
        body["revision"] = case["revision"].clone();
        let (status, answer) = server.ask("POST", &format!("/api/v1{place}/{step}"), Some(body)).await;
        assert_eq!(status, 200, "{step}: {answer}");
        case = answer;
    }
    place
}

/// Cases in every state, and the pages of their steps; `id` is a recording that stays.
pub(super) async fn of_cases(server: &Server, id: &str) -> Vec<String> {
    let erased = recorded(server, 7, 600).await;
    server.stored(&erased).await;
    let identity = || ("identity", json!({"how": "called_back"}));
    let chosen = |id: &str| ("recordings", json!({"recordings": [id]}));
    let decision = |what: &str| ("decision", json!({"decision": what}));
    let open = case(server, "erase", &[]).await;
    let ready = case(server, "erase", &[identity(), chosen(id)]).await;
    let erase = case(server, "erase", &[identity(), chosen(&erased), decision("erase")]).await;
    let hand_out = case(server, "hand_out", &[identity(), chosen(id), decision("hand_out")]).await;
    let refusal = ("decision", json!({"decision": "refuse", "ground": "not_found"}));
    let closed = case(server, "access", &[refusal, ("close", json!({}))]).await;
    let extended = case(server, "erase", &[("extension", json!({"reason": "many requests"}))]).await;
    let mut pages = vec![open.clone(), ready.clone(), erase.clone(), hand_out.clone(), closed, extended];
    for part in ["told", "identity", "extension", "candidates", "candidates?other=1&name=nobody", "letter"] {
        pages.push(format!("{open}/{part}"));
    }
    for decision in ["erase", "hand-out", "refuse"] {
        pages.push(format!("{ready}/decide/{decision}"));
    }
    let one = format!("{hand_out}/recordings/{id}");
    pages.extend([format!("{one}/hand-out"), format!("{one}/link"), format!("{one}/sheet")]);
    pages.extend([format!("/recordings/{erased}/erased")]);
    let wrong = [format!("{ready}/decide/refuse"), format!("{open}/identity"), format!("{open}/extension")];
    pages.extend(
        wrong.iter().map(String::as_str).chain(["/cases/new", "/verify"]).map(|page| format!("{page}{SENT}")),
    );
    pages
}
