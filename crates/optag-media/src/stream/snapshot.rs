//! What a later process needs to continue a stream. It contains no audio.

use serde::{Deserialize, Serialize};

use crate::fact::StreamCounts;
use crate::playout::clock_mapping::ClockMapping;
use crate::rtp::source_filter::SourceRule;
use crate::rtp::srtp::{SrtpReceiver, SrtpState};
use crate::rtp::telephone_event::EventTracker;
use crate::stream::plan::StreamPlan;
use optag_core::clock::MonoTime;

/// A stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamSnapshot {
    /// Codecs, payload types, role, expected sender.
    pub plan: StreamPlan,
    /// The receive port.
    pub port: u16,
    /// The source rule, with the accepted sender.
    pub rule: SourceRule,
    /// The last key event of each payload type.
    pub trackers: Vec<(u8, EventTracker)>,
    /// The mapping of its timestamps.
    pub timeline: ClockMapping,
    /// Keys and roll-over counters, if encrypted. Secret.
    #[serde(default)]
    pub srtp: Option<SrtpState>,
    /// The next index of our RTCP, if encrypted.
    #[serde(default)]
    pub rtcp_index: u32,
    /// Whether signalling has removed it.
    #[serde(default)]
    pub dropped: bool,
    /// Packet counters.
    pub counts: StreamCounts,
    /// When a packet was last accepted.
    pub last_heard: Option<MonoTime>,
}

impl StreamSnapshot {
    /// A stream at admission, before any packet.
    pub fn new(plan: &StreamPlan, port: u16) -> Self {
        Self {
            plan: plan.clone(),
            port,
            rule: SourceRule::new(plan.media.source),
            trackers: Vec::new(),
            timeline: ClockMapping::default(),
            srtp: plan.media.srtp.clone().map(|plan| SrtpReceiver::new(plan).state()),
            rtcp_index: 0,
            dropped: false,
            counts: StreamCounts::default(),
            last_heard: None,
        }
    }
}
