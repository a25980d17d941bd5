//! The audio codings that a stream may arrive in.

pub mod g711;

use serde::{Deserialize, Serialize};

/// How a stream's audio is coded on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// G.711 µ-law, 8 kHz. Static payload type 0 (RFC 3551 §6).
    Pcmu,
    /// G.711 A-law, 8 kHz. Static payload type 8 (RFC 3551 §6).
    Pcma,
}

impl Encoding {
    /// The payload type that means this coding without being negotiated.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Encoding::Pcmu => Some(0),
            Encoding::Pcma => Some(8),
        }
    }

    /// RTP clock rate. Units: Hz.
    pub const fn clock_hz(self) -> u32 {
        8_000
    }
}

/// A payload type and its coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadFormat {
    /// 0 to 127.
    pub payload_type: u8,
    /// How its payload is coded.
    pub encoding: Encoding,
}

impl Encoding {
    /// Decodes `payload` into the front of `out`; the samples written, as many as fit.
    pub fn decode(self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            Encoding::Pcmu => g711::decode_ulaw(payload, out),
            Encoding::Pcma => g711::decode_alaw(payload, out),
        }
        payload.len().min(out.len())
    }
}
