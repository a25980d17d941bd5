//! No log line shows personal data.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::app::logging;
use crate::config::{LogConfig, LogFormat};
use crate::http::fakes::{Api, NAME, NUMBER, id};
use optag_sip::feed::AdmitError;

#[test]
fn no_log_line_shows_a_number_or_a_name_at_any_level() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let log = LogConfig { format, level: "trace".into() };
        let text = logging::capture(&log, || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(requests());
        });
        assert!(text.contains("/api/v1/calls"), "nothing was logged");
        for private in [NUMBER, &NUMBER[1..], NAME, "Blixen"] {
            assert!(!text.contains(private), "{private} is in the log:\n{text}");
        }
    }
}

async fn requests() {
    let api = Api::new();
    let call = json!({"department": "demo", "caller_number": NUMBER, "called_number": NUMBER,
        "caller_name": NAME, "external_id": NAME, "streams": [{"label": "a", "codec": "pcmu", "source": {"ip": "192.0.2.7"}}]});
    assert_eq!(api.post("/api/v1/calls", &call).await.status, 201);
    let mut wrong = call.clone();
    wrong["streams"] = json!(NAME);
    api.post("/api/v1/calls", &wrong).await.problem(422);
    *api.fake.refuse.lock().unwrap() = Some(AdmitError::PortsUsedUp);
    api.post("/api/v1/calls", &call).await.problem(503);
    let search = format!("/api/v1/recordings?purpose=training&number={NUMBER}&name=Karen%20Blixen")
        .replace('+', "%2B");
    assert_eq!(api.get(&search).await.status, 200);
    api.get(&format!("/api/v1/recordings/{}", id())).await;
    api.get(&format!("/nowhere/{NUMBER}")).await.problem(404);
    api.fake.audit_fails.store(true, Ordering::Relaxed);
    api.get(&search).await.problem(503);
    api.delete(&format!("/api/v1/recordings/{}?reason=Karen%20Blixen", id())).await.problem(503);
}
