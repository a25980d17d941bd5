//! What the recording server supports, and the responses that say so.

use crate::sip::response::Answer;

/// Value of Allow.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, PRACK, NOTIFY";
/// Value of Supported.
pub(super) const SUPPORTED: &str = "siprec, timer, replaces";
/// Value of Accept.
pub(super) const ACCEPT: &str =
    "application/sdp, application/rs-metadata+xml, application/rs-metadata, multipart/mixed";

/// Known methods that a recorder does not support.
const KNOWN_METHODS: [&str; 5] = ["REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE", "REFER"];

/// The response to a method that is unsupported or outside its dialog. We send no reliable
/// provisional responses, so no PRACK matches.
pub(super) fn useless(method: &str) -> Answer {
    match method {
        "BYE" | "UPDATE" | "INFO" | "NOTIFY" | "PRACK" => Answer::new(481, ""),
        method if KNOWN_METHODS.contains(&method) => Answer::new(405, "").with("Allow", ALLOW),
        _ => Answer::new(501, ""),
    }
}

/// The response to OPTIONS.
pub(super) fn able() -> Answer {
    Answer::new(200, "")
        .with_optional("Allow", ALLOW)
        .with_optional("Accept", ACCEPT)
        .with_optional("Accept-Encoding", "identity")
        .with_optional("Supported", SUPPORTED)
}
