//! What a stream carries, as signalling negotiated it.

use serde::{Deserialize, Serialize};

use crate::codec::PayloadFormat;
use crate::rtp::rtcp::RtcpPlan;
use crate::rtp::source_filter::ExpectedSource;
use crate::rtp::srtp::SrtpPlan;
use crate::rtp::telephone_event::EventFormat;

/// Comfort noise: the static type, and the one of an earlier draft, reserved since. Source: RFC 3389 §4,
/// RFC 3551 §6.
const COMFORT_NOISE: [u8; 2] = [13, 19];

/// Payload types, sender and protection of a stream. Feeds name it, a renegotiation replaces it as a whole,
/// and snapshots hold it; stored ones may be lists in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamMedia {
    /// Audio payload types that may come, at least one.
    pub formats: Vec<PayloadFormat>,
    /// Payload types that carry RFC 4733 events; often 101.
    pub telephone_event: Vec<EventFormat>,
    /// Payload types that carry comfort noise (RFC 3389), beside the static ones.
    pub comfort_noise: Vec<u8>,
    /// Where the packets will come from, as far as it is known. Packets from elsewhere are refused; with no
    /// address, the first source that proves itself is kept.
    pub source: ExpectedSource,
    /// How the packets are protected; `None` where they come in the clear.
    pub srtp: Option<SrtpPlan>,
    /// Where its RTCP comes from and goes to.
    #[serde(default)]
    pub rtcp: RtcpPlan,
}

impl StreamMedia {
    /// The audio format of a payload type.
    pub fn format(&self, payload_type: u8) -> Option<&PayloadFormat> {
        self.formats.iter().find(|format| format.payload_type == payload_type)
    }

    /// Whether a payload type brings comfort noise.
    pub fn is_comfort_noise(&self, payload_type: u8) -> bool {
        COMFORT_NOISE.contains(&payload_type) || self.comfort_noise.contains(&payload_type)
    }

    /// Whether a payload type brings key events.
    pub fn is_event(&self, payload_type: u8) -> bool {
        self.telephone_event.iter().any(|event| event.payload_type == payload_type)
    }
}
