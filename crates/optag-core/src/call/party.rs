//! What is known about a call and its streams at admission.

use serde::{Deserialize, Serialize};

use crate::call::CallContext;
use crate::clock::WallTime;
use crate::id::CallId;
use crate::private::Private;

/// The facts of a call as reported by the feed. Stored sealed with the recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallFacts {
    /// The call's id.
    pub id: CallId,
    /// Its department.
    pub department: String,
    /// When it was admitted, by our clock: retention starts here.
    pub started_at: WallTime,
    /// Retention of its recording in days, as configured for the department at admission.
    pub retention_days: u8,
    /// Calling number, as reported.
    pub caller_number: Private<String>,
    /// Called number, as reported.
    pub called_number: Private<String>,
    /// The caller's name, if the feed knows it.
    pub caller_name: Option<Private<String>>,
    /// The feed's own identifier of the call (Call-ID, UCID, ticket).
    pub external_id: Option<Private<String>>,
    /// One entry per stream, in channel order.
    pub streams: Vec<StreamFacts>,
    /// Further signalling data at admission.
    #[serde(default)]
    pub context: Box<CallContext>,
}

impl CallFacts {
    /// Merges signalling data received after admission.
    pub fn learn(&mut self, later: CallContext) {
        let known = |text: &Option<Private<String>>| text.clone().filter(|t| !t.reveal().is_empty());
        self.caller_number = known(&later.caller_number).unwrap_or_else(|| self.caller_number.clone());
        self.called_number = known(&later.called_number).unwrap_or_else(|| self.called_number.clone());
        self.caller_name = known(&later.caller_name).or(self.caller_name.take());
        self.context.learn(later);
    }
}

/// The audio of one party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFacts {
    /// The feed's label of the stream; opaque, echoed, unique within the call.
    pub label: String,
    /// The role of the speaker.
    pub role: StreamRole,
}

/// The role of a stream's speaker. Only the caller's key presses answer the consent prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamRole {
    /// The caller, who must consent. Left channel.
    Caller,
    /// The employee. Right channel.
    Employee,
    /// Both in one stream: its key presses count as the caller's.
    Mixed,
    /// Anyone else, such as an interpreter or a supervisor.
    Other,
}

impl StreamRole {
    /// Whether key presses in such a stream count as the caller's.
    pub const fn may_answer(self) -> bool {
        matches!(self, StreamRole::Caller | StreamRole::Mixed)
    }
}
