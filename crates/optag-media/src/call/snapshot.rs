//! What a later process needs to go on with a call: written down whenever it changes, and now and
//! then for the counters. It holds no audio.
//!
//! Points of [`MonoTime`] in it mean something within one boot of the machine only.

use serde::{Deserialize, Serialize};

use crate::call::plan::CallRules;
use crate::dtmf::sequences::KeyMatcher;
use crate::stream::plan::LegPlan;
use crate::stream::snapshot::StreamSnapshot;
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

impl CallSnapshot {
    /// A call as it is admitted, before any packet came. `ports` has one a stream.
    pub fn new(rules: CallRules, legs: &[LegPlan], ports: &[u16], now: MonoTime) -> Self {
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
            legs: legs.iter().zip(ports).map(|(plan, &port)| StreamSnapshot::new(plan, port)).collect(),
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

/// A call to take up, and what is known of its audio.
#[derive(Clone, Debug)]
pub struct Resumption {
    /// The call.
    pub saved: CallSnapshot,
    /// Frames of it that are durable.
    pub frames: u32,
    /// Whether its sockets stayed open, so that nothing sent meanwhile is lost.
    pub sockets_kept: bool,
}
