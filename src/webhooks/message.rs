//! An event as it is sent: a CloudEvent in JSON, signed. No personal data but ids.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::index::DueEvent;

/// What every event type begins with.
const TYPE: &str = "optag.recording.";
/// Where events come from: all nodes of an index are one source.
const SOURCE: &str = "urn:optag";

/// Body and header fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The same each time that the event is sent.
    pub id: String,
    /// Units: s since 1970.
    pub timestamp: i64,
    /// One signature for each key.
    pub signature: String,
    pub body: String,
}

/// Source: CloudEvents 1.0.2, "Context Attributes".
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    r#type: String,
    subject: String,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    recording: String,
    department: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    outcome: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cause: &'a str,
}

impl Message {
    /// Of an event, at this time (s since 1970), signed by these keys.
    pub(super) fn new(event: &DueEvent, timestamp: i64, keys: &[Zeroizing<Vec<u8>>]) -> Self {
        // Each happens once to a recording.
        let id = format!("{}.{}", event.recording, event.kind.name());
        let cloud_event = CloudEvent {
            specversion: "1.0",
            id: &id,
            source: SOURCE,
            r#type: format!("{TYPE}{}", event.kind.name()),
            subject: event.recording.to_string(),
            time: event.at.timestamp().to_string(),
            datacontenttype: "application/json",
            data: Data {
                recording: event.recording.to_string(),
                department: &event.department,
                outcome: &event.outcome,
                cause: &event.cause,
            },
        };
        let body = serde_json::to_string(&cloud_event).unwrap_or_default();
        let signature = signature(&id, timestamp, &body, keys);
        Self { id, timestamp, signature, body }
    }
}

/// `v1,…` of each key, with spaces between. Source: Standard Webhooks, "Signature scheme".
fn signature(id: &str, timestamp: i64, body: &str, keys: &[Zeroizing<Vec<u8>>]) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let of = |key: &Zeroizing<Vec<u8>>| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    };
    keys.iter().map(of).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::EventKind;
    use optag_core::clock::WallTime;
    use optag_core::id::CallId;

    #[test]
    fn a_signature_is_that_of_the_published_example() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
            &[Zeroizing::new(key)],
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_event_has_what_cloud_events_need_and_no_personal_data() {
        let at = WallTime::from_unix_micros(1_700_000_000_000_000);
        let recording = CallId::new_at(at);
        let event = DueEvent {
            seq: 1,
            recording,
            kind: EventKind::Failed,
            department: "tax".into(),
            outcome: "lost".into(),
            cause: "spool".into(),
            at,
            attempts: 3,
        };
        let message =
            Message::new(&event, 1_700_000_100, &[Zeroizing::new(vec![1; 32]), Zeroizing::new(vec![2; 32])]);
        let body: serde_json::Value = serde_json::from_str(&message.body).unwrap();
        let id = recording.to_string();
        assert_eq!(
            body,
            serde_json::json!({
                "specversion": "1.0", "id": format!("{id}.failed"), "source": "urn:optag",
                "type": "optag.recording.failed", "subject": id, "time": "2023-11-14T22:13:20Z",
                "datacontenttype": "application/json",
                "data": {"recording": id, "department": "tax", "outcome": "lost", "cause": "spool"},
            })
        );
        assert_eq!((message.id, message.signature.matches("v1,").count()), (format!("{id}.failed"), 2));
        let stored =
            DueEvent { kind: EventKind::Stored, outcome: String::new(), cause: String::new(), ..event };
        let body = Message::new(&stored, 0, &[]).body;
        assert!(!body.contains("outcome") && !body.contains("cause"), "{body}");
    }
}
