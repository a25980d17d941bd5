//! The negotiated parameters of a stream.

use serde::{Deserialize, Serialize};

use crate::codec::PayloadFormat;
use crate::rtp::rtcp::RtcpPlan;
use crate::rtp::source_filter::ExpectedSource;
use crate::rtp::srtp::SrtpPlan;
use crate::rtp::telephone_event::EventFormat;
use optag_core::call::StreamRole;

/// Comfort noise: the static payload type and the older one. Source: RFC 3389 §4.
const COMFORT_NOISE: [u8; 2] = [13, 19];

/// The parameters of a stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LegPlan {
    /// Who speaks in it.
    pub role: StreamRole,
    /// Audio payload types.
    pub formats: Vec<PayloadFormat>,
    /// Payload types of key events.
    pub telephone_event: Vec<EventFormat>,
    /// Payload types of comfort noise besides the static ones.
    pub comfort_noise: Vec<u8>,
    /// The expected sender.
    pub source: ExpectedSource,
    /// SRTP parameters; `None` for plain RTP.
    pub srtp: Option<SrtpPlan>,
    /// RTCP parameters.
    #[serde(default)]
    pub rtcp: RtcpPlan,
}

impl LegPlan {
    /// Whether a payload type is comfort noise.
    pub fn is_comfort_noise(&self, payload_type: u8) -> bool {
        COMFORT_NOISE.contains(&payload_type) || self.comfort_noise.contains(&payload_type)
    }
}
