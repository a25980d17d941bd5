//! Stream identification offered in the response to an announcement: an SSRC generated for the stream, and a
//! key if the body requests one.
//!
//! The SSRC need not be used; a stream that uses it is accepted from its first packets, before any other. It
//! excludes senders that cannot see the packets. A key excludes all others.

use serde::Serialize;
use utoipa::ToSchema;

use optag_core::base64;
use optag_media::rtp::srtp::{SrtpKey, Suite};

/// A key generated for a stream.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct DrawnKey {
    /// Its suite, as requested.
    suite: &'static str,
    /// Master key and salt, concatenated, in base64.
    #[schema(format = Password)]
    key: String,
}

/// The offer for a stream.
#[derive(Clone, Default, Serialize, ToSchema)]
pub(crate) struct Offer {
    /// Send with this SSRC, so that your packets are distinguished from others'. Absent if you gave your own
    /// or the packets are encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssrc: Option<u32>,
    /// The requested key; the packets must be encrypted with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srtp: Option<DrawnKey>,
}

/// Generates an SSRC; `None` if no random numbers are available.
pub(crate) fn draw_ssrc() -> Option<u32> {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// Generates master key and salt of a suite, in base64; `None` likewise.
pub(crate) fn draw_key(suite: Suite) -> Option<String> {
    let mut secret = vec![0; suite.secret_bytes()];
    aws_lc_rs::rand::fill(&mut secret).ok()?;
    Some(base64::encode(&secret))
}

impl DrawnKey {
    /// A key as in the response.
    pub(crate) fn of(key: &SrtpKey) -> Self {
        Self { suite: key.suite().name(), key: base64::encode(key.secret().reveal()) }
    }
}
