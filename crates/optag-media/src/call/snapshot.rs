//! What a later process needs to resume a call: written whenever it changes, and periodically for the
//! counters. It contains no audio.
//!
//! Its [`MonoTime`] values are valid only within one boot of the machine.

use serde::{Deserialize, Serialize};

use crate::call::plan::CallRules;
use crate::dtmf::sequences::KeyMatcher;
use crate::stream::plan::StreamPlan;
use crate::stream::snapshot::StreamSnapshot;
use optag_core::call::ConsentMachine;
use optag_core::clock::{BootId, MonoTime};

/// A call in progress, without its audio.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallSnapshot {
    /// The boot of the machine in which it was written; it cannot be used in another.
    pub boot: Option<BootId>,
    /// When this was written.
    pub at: MonoTime,
    /// Id, keys, whether it is recorded.
    pub rules: CallRules,
    /// State of consent, and the deadline for an answer.
    pub consent: ConsentMachine,
    /// Key presses so far that may become an answer.
    pub matcher: KeyMatcher,
    /// When it was admitted.
    pub admitted: MonoTime,
    /// Where its time axis begins: the moment of consent.
    pub zero: Option<MonoTime>,
    /// Whether any audio was accepted.
    pub had_audio: bool,
    /// Whether the feed has paused it.
    pub paused: bool,
    /// Until when signalling vouched for the call; at least the time of the last sign of life.
    #[serde(default)]
    pub vouched: Option<MonoTime>,
    /// Whether its audio is packed, to be encoded later.
    #[serde(default)]
    pub encodes_later: bool,
    /// Its streams, in channel order.
    #[serde(rename = "legs")]
    pub streams: Vec<StreamSnapshot>,
}

impl CallSnapshot {
    /// A call at admission, before any packet. `ports` has one entry per stream.
    pub fn new(rules: CallRules, streams: &[StreamPlan], ports: &[u16], now: MonoTime) -> Self {
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
            encodes_later: false,
            streams: streams.iter().zip(ports).map(|(plan, &port)| StreamSnapshot::new(plan, port)).collect(),
        }
    }

    /// Serialises it.
    pub fn to_text(&self) -> String {
        // Numbers, strings and lists under names: serialisation cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Parses a serialised snapshot; `None` if it is not one, or from a version that stored less.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// A call to resume, and what is known of its audio.
#[derive(Clone, Debug)]
pub struct Resumption {
    /// The call.
    pub saved: CallSnapshot,
    /// Number of its frames that are durable.
    pub frames: u32,
    /// Whether its sockets stayed open, so that nothing sent in the meantime is lost.
    pub sockets_kept: bool,
}
