//! What a later process needs to go on with a stream. It holds no audio.

use serde::{Deserialize, Serialize};

use crate::fact::StreamCounts;
use crate::playout::clock_mapping::ClockMapping;
use crate::rtp::source_filter::SourceRule;
use crate::rtp::srtp::{SrtpReceiver, SrtpState};
use crate::rtp::telephone_event::EventTracker;
use crate::stream::plan::LegPlan;
use optag_core::clock::MonoTime;

/// A stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamSnapshot {
    /// Codings, payload types, role, what is known of the sender.
    pub plan: LegPlan,
    /// The port that its packets come to.
    pub port: u16,
    /// Whose packets it takes.
    pub rule: SourceRule,
    /// The last key event of each payload type.
    pub trackers: Vec<(u8, EventTracker)>,
    /// Where its timestamps lie in time.
    pub timeline: ClockMapping,
    /// Keys and roll-over counters, where it is encrypted. Secret.
    #[serde(default)]
    pub srtp: Option<SrtpState>,
    /// The next index of the RTCP that we send, where it is encrypted.
    #[serde(default)]
    pub rtcp_index: u32,
    /// Whether signalling has no use for it now.
    #[serde(default)]
    pub dropped: bool,
    /// Packet counters.
    pub counts: StreamCounts,
    /// When a packet was accepted last.
    pub last_heard: Option<MonoTime>,
}

impl StreamSnapshot {
    /// A stream as it is admitted, before any packet came.
    pub fn new(plan: &LegPlan, port: u16) -> Self {
        Self {
            plan: plan.clone(),
            port,
            rule: SourceRule::new(plan.source),
            trackers: Vec::new(),
            timeline: ClockMapping::default(),
            srtp: plan.srtp.clone().map(|plan| SrtpReceiver::new(plan).state()),
            rtcp_index: 0,
            dropped: false,
            counts: StreamCounts::default(),
            last_heard: None,
        }
    }
}
