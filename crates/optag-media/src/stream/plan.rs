//! What signalling negotiated for a stream.

use serde::{Deserialize, Serialize};

use crate::codec::PayloadFormat;
use crate::rtp::rtcp::RtcpPlan;
use crate::rtp::source_filter::ExpectedSource;
use crate::rtp::srtp::SrtpPlan;
use crate::rtp::telephone_event::EventFormat;
use optag_core::call::StreamRole;

/// Comfort noise: the static type and the one in older use. Source: RFC 3389 §4.
const COMFORT_NOISE: [u8; 2] = [13, 19];

/// How a stream is set up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LegPlan {
    /// Who speaks in it.
    pub role: StreamRole,
    /// Audio payload types.
    pub formats: Vec<PayloadFormat>,
    /// Payload types of key events.
    pub telephone_event: Vec<EventFormat>,
    /// Payload types of comfort noise beside the static ones.
    pub comfort_noise: Vec<u8>,
    /// What is known of the sender.
    pub source: ExpectedSource,
    /// How its packets are protected; `None` where they come in the clear.
    pub srtp: Option<SrtpPlan>,
    /// Where its RTCP comes from and goes to.
    #[serde(default)]
    pub rtcp: RtcpPlan,
}

impl LegPlan {
    /// Whether a payload type brings comfort noise.
    pub fn is_comfort_noise(&self, payload_type: u8) -> bool {
        COMFORT_NOISE.contains(&payload_type) || self.comfort_noise.contains(&payload_type)
    }
}
