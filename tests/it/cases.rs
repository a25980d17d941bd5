//! Requests of callers, answered on running recorders: by the commands from intake to closing, and by two people at two nodes
//! at once.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::conversation::recorded;
use crate::erasure::becomes;
use crate::index::found_in_files;
use crate::nodes::Site;
use crate::nodes_holds;
use crate::server::{Server, Settings};

/// What only a case says of the caller.
const NOTE: &str = "by the blue door at number 9";

fn optag(server: &Server, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
    command.args(args).arg("--config").arg(server.dir.join("optag.toml")).env("OPTAG_TOKEN", &server.token);
    // The configuration leaves the port to the system.
    command.env("OPTAG_API_LISTEN", server.api.trim_start_matches("http://"));
    command.output().unwrap()
}

/// What a command that succeeds prints.
fn done(server: &Server, args: &[&str]) -> String {
    let out = optag(server, args);
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "{args:?}: {said}");
    said
}

/// Asks whoever wants to know whether a receipt is right: without a token.
async fn verdict(server: &Server, receipt: Vec<u8>) -> Value {
    let client = reqwest::Client::new();
    let answer =
        client.post(format!("{}/api/v1/receipts/verify", server.api)).body(receipt).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json::<Value>().await.unwrap()["receipts"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_request_is_answered_by_commands_and_its_receipt_verifies_for_everyone() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((27_100, 27_130))).await;
    let id = recorded(&server, 21, 600).await;
    server.stored(&id).await;
    let number = done(
        &server,
        &[
            "case",
            "open",
            "--asked",
            "erase",
            "--department",
            "demo",
            "--number",
            "12 34 56 78",
            "--name",
            "Adda Lovlace",
            "--called-number",
            "1011",
            "--note",
            NOTE,
        ],
    );
    let number = number.trim();
    // A slip of the pen is mended before anything is looked for.
    let told =
        ["--number", "12 34 56 78", "--name", "Ada Lovlace", "--called-number", "1010", "--note", NOTE];
    done(&server, &[["case", "amend", number].as_slice(), &told].concat());
    let found: Value =
        serde_json::from_str(&done(&server, &["case", "candidates", number, "--json"])).unwrap();
    assert_eq!(found["candidates"][0]["id"], id, "{found}");
    let reasons = json!(["number_same", "called_number_ending", "name_near"]);
    assert_eq!(found["candidates"][0]["fit"]["reasons"], reasons, "{found}");
    // Nothing is erased before it is known who asks for what.
    assert_eq!(optag(&server, &["case", "decide", number, "erase"]).status.code(), Some(1));
    done(&server, &["case", "choose", number, &id]);
    done(&server, &["case", "identify", number, "--how", "called-back"]);
    assert_eq!(optag(&server, &["case", "decide", number, "burn"]).status.code(), Some(2));
    assert!(done(&server, &["case", "decide", number, "erase", "--dry-run"]).contains("copies in the store"));
    let heard = server.bytes(&format!("/api/v1/cases/{number}/recordings/{id}/audio")).await;
    assert!(heard.starts_with(b"OggS"));
    let sheet = server.bytes(&format!("/api/v1/cases/{number}/recordings/{id}/sheet?language=da")).await;
    let sheet = String::from_utf8(sheet).unwrap();
    assert!(sheet.contains("Afdeling: Demo") && sheet.contains("afspillet"), "{sheet}");
    assert!(done(&server, &["case", "list"]).contains("days left"));
    let erased = done(&server, &["case", "decide", number, "erase", "--json"]);
    let erased: Value = serde_json::from_str(&erased).unwrap();
    assert_eq!(erased["recordings"][0]["result"]["outcome"], "erased", "{erased}");
    let path = format!("/api/v1/recordings/{id}?purpose=administration");
    assert_eq!(server.ask("GET", &path, None).await.0, 410);

    // The receipt as a file: as it was signed, and verified by whoever has it.
    let receipt = server.bytes(&format!("/api/v1/recordings/{id}/erasure/receipt")).await;
    let seen = verdict(&server, receipt.clone()).await;
    assert_eq!((&seen["verdict"], &seen["content"]["request"]), (&json!("valid"), &json!(number)), "{seen}");
    let text = String::from_utf8(receipt).unwrap();
    std::fs::write(dir.path().join("receipt.json"), &text).unwrap();
    let file = dir.path().join("receipt.json");
    assert!(done(&server, &["erase", "--verify-receipt", file.to_str().unwrap()]).contains("valid"));
    let forged = text.replace(number, "2026-9999");
    assert_eq!(verdict(&server, forged.into_bytes()).await, json!({"verdict": "forged", "content": null}));

    let letter = server.bytes(&format!("/api/v1/cases/{number}/letter?language=da")).await;
    let letter = String::from_utf8(letter).unwrap();
    assert!(letter.contains("Demo: slettet") && letter.contains("Ada Lovlace"), "{letter}");
    assert!(
        !found_in_files(&dir.path().join("data"), &[NOTE]).is_empty(),
        "the test looks in the wrong place"
    );
    done(&server, &["case", "close", number]);
    assert_eq!(found_in_files(&dir.path().join("data"), &[NOTE, "Lovlace"]), Vec::<String>::new());
    assert_eq!(done(&server, &["case", "list"]), "");
    let closed = done(&server, &["case", "list", "--state", "closed", "--json"]);
    let closed: Value = serde_json::from_str(&closed).unwrap();
    assert_eq!(closed["cases"][0]["counts"], json!({"erased": 1}), "{closed}");
    server.metric_becomes("optag_cases_open", "", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_of_two_decisions_at_two_nodes_one_is_carried_out_and_its_receipt_verifies_at_both() {
    let Some(site) = Site::new(16_700, 2) else { return };
    let (one, two) = site.two_with("[seal]\nescrow_to = \"store\"\n").await;
    for round in 0..3 {
        let id = nodes_holds::recorded(&one, &format!("caller {round}")).await;
        two.stored(&id).await;
        let opened = json!({"asked": "erase", "told": {"name": "Ada"}});
        let (_, case) = one.ask("POST", "/api/v1/cases", Some(opened)).await;
        let path = format!("/api/v1/cases/{}", case["number"].as_str().unwrap());
        for (node, step, body) in [
            (&two, "identity", json!({"revision": 1, "how": "in_person"})),
            (&one, "recordings", json!({"revision": 2, "recordings": [id]})),
        ] {
            let (status, answer) = node.ask("POST", &format!("{path}/{step}"), Some(body)).await;
            assert_eq!(status, 200, "{answer}");
        }
        let decision = format!("{path}/decision");
        let decide = |what: &str| Some(json!({"revision": 3, "decision": what}));
        let (here, there) = tokio::join!(
            one.ask("POST", &decision, decide("erase")),
            two.ask("POST", &decision, decide("hand_out")),
        );
        let mut both = [here.0, there.0];
        both.sort_unstable();
        assert_eq!(both, [200, 409], "{here:?} {there:?}");
        let erases = here.0 == 200;
        let (_, seen) = two.ask("GET", &path, None).await;
        assert_eq!(seen["decision"], if erases { "erase" } else { "hand_out" }, "{seen}");
        let (status, _) =
            two.ask("GET", &format!("/api/v1/recordings/{id}?purpose=administration"), None).await;
        assert_eq!(status, if erases { 410 } else { 200 });
        if !erases {
            continue;
        }
        let receipt = format!("/api/v1/recordings/{id}/erasure/receipt");
        becomes("the erasure is complete", async || one.ask("GET", &receipt, None).await.0 == 200).await;
        let receipt = one.bytes(&receipt).await;
        for node in [&one, &two] {
            let what = "the key is known at every node";
            becomes(what, async || verdict(node, receipt.clone()).await["verdict"] == "valid").await;
        }
    }
}
