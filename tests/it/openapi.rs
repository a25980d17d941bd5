//! The OpenAPI document against the running API, by schemathesis.

use std::process::Command;

use crate::server::{Server, Settings};

/// What is checked of each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance";

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_the_api_is_missing_from_its_document() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((23_700, 23_790))).await;
    let address = format!("{}/api/openapi.json", server.api);
    let token = format!("Authorization: Bearer {}", server.token);
    let known = Command::new("python3").args(["-c", "import schemathesis"]).output();
    if !known.is_ok_and(|output| output.status.success()) {
        return println!("skipped: schemathesis is not installed");
    }
    let output = Command::new("python3")
        .args(["-c", "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"])
        .args(["run", &address, "-H", &token, "--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "10", "--seed", "1", "--no-color"])
        // It would end the recorder.
        .args(["--exclude-path", "/api/v1/admin/drain"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("passed"), "{said}");
}
