//! What the answer to an announcement offers, so that a stream is told from whatever else comes to
//! its port: an SSRC drawn for it, and a key where the body asks for one.
//!
//! The SSRC need not be used; a stream that has it counts from its first packets, before any other.
//! It keeps out who cannot see the packets. A key keeps out everybody.

use serde::Serialize;
use utoipa::ToSchema;

use optag_core::base64;
use optag_media::rtp::srtp::{SrtpKey, Suite};

/// A key that was drawn for a stream.
#[derive(Clone, Serialize, ToSchema)]
pub struct DrawnKey {
    /// Its suite, as asked.
    suite: &'static str,
    /// Master key and salt, one after the other, in base64.
    #[schema(format = Password)]
    key: String,
}

/// What is offered for a stream.
#[derive(Clone, Default, Serialize, ToSchema)]
pub struct Offer {
    /// Send with this SSRC, and your packets are known from others'. Absent where you named yours
    /// or the packets are encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssrc: Option<u32>,
    /// The key that you asked for; the packets must be encrypted with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srtp: Option<DrawnKey>,
}

/// Draws an SSRC; `None` where the system has no random numbers.
pub fn draw_ssrc() -> Option<u32> {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// Draws master key and salt of a suite, in base64; `None` as before.
pub fn draw_key(suite: Suite) -> Option<String> {
    let mut secret = vec![0; suite.secret_bytes()];
    aws_lc_rs::rand::fill(&mut secret).ok()?;
    Some(base64::encode(&secret))
}

impl DrawnKey {
    /// A key as its answer words it.
    pub fn of(key: &SrtpKey) -> Self {
        Self { suite: key.suite().name(), key: base64::encode(key.secret().reveal()) }
    }
}
