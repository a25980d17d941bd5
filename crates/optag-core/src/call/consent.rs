//! The consent rules: what a caller answered, and what may be recorded because of it.
//!
//! In: the admission, answers, transfers, withdrawals, the passing of time. Out: a state, and one
//! [`ConsentRecord`] per change. Fails closed: only [`ConsentState::Granted`] permits audio, and it is
//! reached only by a clear, timely yes to a question that named the department that has the call.
//! `docs/reference/consent.md` has the complete state table.
//!
//! Not here: which key means yes (`media` matches keys to the sequences of [`ConsentMachine::keys`]), and
//! pausing, which is unrelated to consent.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::terms::Terms;
use crate::clock::WallTime;
use crate::private::Private;

mod machine;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub use machine::ConsentMachine;

/// Consent state of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentState {
    /// Not asked: the department is not selected.
    Unknown,
    /// Asked, no answer yet.
    Asked,
    /// Yes. The only state in which audio is kept.
    Granted,
    /// No, or no answer in time. Final for the departments in question.
    Refused,
    /// A yes was withdrawn. Final for the call.
    Withdrawn,
}

/// A caller's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Record.
    Yes,
    /// Do not record.
    No,
}

/// The channel of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentHow {
    /// A key press, as an event or a tone.
    Key,
    /// A system (PBX, IVR), through the API or signalling.
    System,
    /// A member of staff, reporting the caller's oral answer.
    Staff,
    /// Timeout: no answer in time.
    Timeout,
    /// The call ended without an answer.
    CallEnded,
    /// Another department took the call.
    Transfer,
    /// Given in an earlier system, whose recording was imported.
    Imported,
}

/// How a key press was detected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// An RFC 4733 event.
    #[default]
    Event,
    /// Two tones in the audio itself.
    Tone,
}

/// The evidence for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Evidence {
    /// The keys of the answer, and the packet that completed it.
    Keys {
        /// The matched sequence, for example `1`.
        keys: String,
        /// Index of the stream.
        stream: u8,
        /// RTP timestamp of the event, or of the packet in which the tone began.
        rtp_timestamp: u32,
        /// SSRC of the event's packet.
        ssrc: u32,
        /// How the keys were detected.
        #[serde(default)]
        by: KeySource,
        /// Source address and port of the packet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<Private<SocketAddr>>,
    },
    /// Keys that the caller pressed while optag itself asked, before the call came to its department.
    Asked {
        /// The matched sequence, for example `1`.
        keys: String,
        /// When the last key was pressed, by our wall clock.
        pressed_at: WallTime,
        /// RTP timestamp of the event or tone; 0 where signalling relayed the key.
        rtp_timestamp: u32,
        /// SSRC of its packet.
        ssrc: u32,
        /// How the keys were detected.
        by: KeySource,
        /// Source address and port of the packet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<Private<SocketAddr>>,
    },
    /// The user of the API: the name of an access token, or a member of staff.
    Actor {
        /// The actor's name.
        name: String,
        /// The member of staff who heard the caller's answer, if a system relayed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        staff: Option<String>,
    },
    /// Data from an earlier system.
    Import {
        /// The system or archive.
        source: String,
        /// Who imported it.
        actor: String,
    },
    /// The passing of time only.
    Clock,
}

/// One change of consent, as stored with the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// The resulting state.
    pub state: ConsentState,
    /// Its channel.
    pub how: ConsentHow,
    /// Its time, by our wall clock.
    pub at: WallTime,
    /// The prompt that the caller heard.
    pub prompt_version: Option<String>,
    /// Its evidence.
    pub evidence: Evidence,
    /// The department that asked, and what the caller had heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
}

/// An action of a caller, a system or staff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsentInput {
    /// An answer to the prompt.
    Answer(Answer),
    /// Withdrawal of a yes, or a refusal of recording.
    Withdraw,
}

/// Why an input had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// The department is not recorded; there is nothing to consent to.
    #[error("the department is not selected for recording")]
    NotAsked,
    /// The caller had already refused, or the deadline had passed: the refusal is final.
    #[error("the caller has already refused or did not answer in time; that stays")]
    AlreadyRefused,
    /// Consent was withdrawn: this is final.
    #[error("consent was withdrawn; that stays")]
    AlreadyWithdrawn,
    /// The prompt that the caller reportedly heard is not one of the department's.
    #[error("the department has no prompt of this version, so what the caller said yes to is not known")]
    UnknownPrompt,
    /// The answer was given before the call reached the department that asks.
    #[error("the answer was given before the question")]
    BeforeQuestion,
    /// Callers of the department are asked before their calls come.
    #[error("callers of this department are asked before the call: a key pressed in it is no yes")]
    AskedBefore,
    /// The call has ended.
    #[error("the call is over")]
    Ended,
}

/// The yes that permits a recording of the call with these records, in order; `None` if there is none: it was
/// not given, it was withdrawn, or the order is inconsistent.
pub fn standing(records: &[ConsentRecord]) -> Option<&ConsentRecord> {
    let mut first = None;
    let mut before = ConsentState::Asked;
    for record in records {
        match record.state {
            ConsentState::Withdrawn => return None,
            // A no to the question that was answered yes withdraws that yes.
            ConsentState::Refused
                if before == ConsentState::Granted && record.how != ConsentHow::Transfer =>
            {
                return None;
            }
            ConsentState::Granted => first = first.or(Some(record)),
            _ => {}
        }
        before = record.state;
    }
    first
}
