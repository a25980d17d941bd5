//! What a later process needs to go on with a call: written down whenever it changes, and now and
//! then for the counters. It holds no audio.
//!
//! Points of [`MonoTime`] in it mean something within one boot of the machine only.

use serde::{Deserialize, Serialize};

use crate::call::plan::CallRules;
use crate::dtmf::sequences::KeyMatcher;
use crate::fact::StreamCounts;
use crate::playout::clock_mapping::ClockMapping;
use crate::rtp::source_filter::SourceRule;
use crate::rtp::srtp::{SrtpReceiver, SrtpState};
use crate::rtp::telephone_event::EventTracker;
use crate::stream::LegPlan;
use optag_core::call::ConsentMachine;
use optag_core::clock::{BootId, MonoTime};

/// A call in progress, without its audio.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallSnapshot {
    /// In which boot of the machine this was written; another one cannot go on with it.
    pub boot: Option<BootId>,
    /// When this was written.
    pub at: MonoTime,
    /// Id, keys, whether it is recorded.
    pub rules: CallRules,
    /// Where consent stands, and until when an answer counts.
    pub consent: ConsentMachine,
    /// Keys typed so far that may become an answer.
    pub matcher: KeyMatcher,
    /// When it was admitted.
    pub admitted: MonoTime,
    /// Where its time axis begins: the moment of consent.
    pub zero: Option<MonoTime>,
    /// Whether any audio was accepted.
    pub had_audio: bool,
    /// Whether the feed has paused it.
    pub paused: bool,
    /// Until when, and at least since when, signalling had shown that it lives.
    #[serde(default)]
    pub vouched: Option<MonoTime>,
    /// Its streams, in channel order.
    pub legs: Vec<StreamSnapshot>,
}

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

impl CallSnapshot {
    /// A call as it is admitted, before any packet came. `ports` has one a stream.
    pub fn new(rules: CallRules, legs: &[LegPlan], ports: &[u16], now: MonoTime) -> Self {
        let saved = |(plan, &port): (&LegPlan, &u16)| StreamSnapshot {
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
        };
        let consent = ConsentMachine::new(rules.question.clone(), rules.prompt_version.as_deref(), now);
        Self {
            boot: None,
            at: now,
            matcher: KeyMatcher::new(consent.keys().clone()),
            consent,
            rules,
            admitted: now,
            zero: None,
            had_audio: false,
            paused: false,
            vouched: None,
            legs: legs.iter().zip(ports).map(saved).collect(),
        }
    }

    /// As it is written down.
    pub fn to_text(&self) -> String {
        // Numbers, texts and lists under names: nothing in it can fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From what was written down; `None` where it is not that, or of a version that knew less.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
