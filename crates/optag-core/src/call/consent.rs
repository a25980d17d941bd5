//! The consent machine: what a caller said, and what may be recorded because of it.
//!
//! In: the admission, answers, transfers, withdrawals, the passing of time. Out: a state, and
//! one [`ConsentRecord`] for each change. Fails closed: only [`ConsentState::Granted`] lets
//! audio through, and nothing leads there but one clear, timely yes to a question that named
//! the department which has the call. `docs/reference/consent.md` has the table of every case.
//!
//! Not here: which key means yes (`media` matches keys to the sequences of
//! [`ConsentMachine::keys`]), and pausing, which is no matter of consent.

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

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentState {
    /// Not asked: the department is not selected.
    Unknown,
    /// Asked, no answer yet.
    Asked,
    /// Yes. The only state in which audio is kept.
    Granted,
    /// No, or no answer in time. Final for the departments that were asked about.
    Refused,
    /// A yes taken back. Final for the call.
    Withdrawn,
}

/// What a caller answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Record.
    Yes,
    /// Do not record.
    No,
}

/// By which way a change came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentHow {
    /// A key pressed, seen in the audio or its events.
    Key,
    /// A system (PBX, IVR) told us through the API or signalling.
    System,
    /// A member of staff, on the caller's word.
    Staff,
    /// Nobody answered in time.
    Timeout,
    /// The call ended unanswered.
    CallEnded,
    /// Another department took the call.
    Transfer,
    /// It was given in an earlier system, whose recording was imported.
    Imported,
}

/// What a key was heard in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// An RFC 4733 event.
    #[default]
    Event,
    /// Two tones in the audio itself.
    Tone,
}

/// What shows that a change was really made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Evidence {
    /// The keys of the answer and the packet that brought the last of them.
    Keys {
        /// The matched sequence, for example `1`.
        keys: String,
        /// Index of the stream.
        stream: u8,
        /// RTP timestamp of the event, or of the packet that the tone began in.
        rtp_timestamp: u32,
        /// SSRC of the event's packet.
        ssrc: u32,
        /// What the keys were heard in.
        #[serde(default)]
        by: KeySource,
        /// Address and port that the packet came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<Private<SocketAddr>>,
    },
    /// Who called the API: the name of an access token, or a member of staff.
    Actor {
        /// The actor's name.
        name: String,
        /// The member of staff who took the caller's word, where a system passed it on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        staff: Option<String>,
    },
    /// What an earlier system says.
    Import {
        /// Which system or archive.
        source: String,
        /// Who imported.
        actor: String,
    },
    /// Time alone.
    Clock,
}

/// One change of consent, as stored with the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// The state that this change led to.
    pub state: ConsentState,
    /// By which way.
    pub how: ConsentHow,
    /// When, by our wall clock.
    pub at: WallTime,
    /// Which prompt the caller heard.
    pub prompt_version: Option<String>,
    /// What shows it.
    pub evidence: Evidence,
    /// Whose question it was, and what the caller had heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
}

/// Something that a caller, a system or staff did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsentInput {
    /// An answer to the prompt.
    Answer(Answer),
    /// A yes taken back, or a recording not wanted.
    Withdraw,
}

/// Why an input changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// The department is not recorded; there is nothing to consent to.
    #[error("the department is not selected for recording")]
    NotAsked,
    /// The caller had already refused, or the time to answer had passed: it stays no.
    #[error("the caller has already refused or did not answer in time; that stays")]
    AlreadyRefused,
    /// Consent was withdrawn: it stays withdrawn.
    #[error("consent was withdrawn; that stays")]
    AlreadyWithdrawn,
    /// The prompt that the caller is said to have heard is not one of the department's.
    #[error("the department has no prompt of this version, so what the caller said yes to is not known")]
    UnknownPrompt,
    /// The answer was given before the call came to the department that asks.
    #[error("the answer was given before the question")]
    BeforeQuestion,
    /// The call is over.
    #[error("the call is over")]
    Ended,
}

/// The yes that allows a recording of what these records are about, in order; `None` where none
/// does: none was given, it was taken back, or the order makes no sense.
pub fn standing(records: &[ConsentRecord]) -> Option<&ConsentRecord> {
    let mut first = None;
    let mut before = ConsentState::Asked;
    for record in records {
        match record.state {
            ConsentState::Withdrawn => return None,
            // A no to the very question that was answered yes takes that yes back.
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
