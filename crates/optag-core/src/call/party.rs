//! What is known of a call and its streams when it is admitted.

use serde::{Deserialize, Serialize};

use crate::call::CallContext;
use crate::clock::WallTime;
use crate::id::CallId;
use crate::private::Private;

/// The facts of a call, as the feed gave them. Stored sealed with the recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallFacts {
    /// Names the call.
    pub id: CallId,
    /// Which department took it.
    pub department: String,
    /// When it was admitted, by our clock: retention counts from here.
    pub started_at: WallTime,
    /// Days that a recording of it may live, as the department had it at admission.
    pub retention_days: u8,
    /// Number called from, as given.
    pub caller_number: Private<String>,
    /// Number called, as given.
    pub called_number: Private<String>,
    /// The caller's name, where the feed knows it.
    pub caller_name: Option<Private<String>>,
    /// The feed's own name for the call (Call-ID, UCID, ticket).
    pub external_id: Option<Private<String>>,
    /// One entry a stream, in channel order.
    pub streams: Vec<StreamFacts>,
    /// What else signalling told when it was admitted.
    #[serde(default)]
    pub context: Box<CallContext>,
}

impl CallFacts {
    /// Takes in what signalling told after the admission.
    pub fn learn(&mut self, later: CallContext) {
        let known = |text: &Option<Private<String>>| text.clone().filter(|t| !t.reveal().is_empty());
        self.caller_number = known(&later.caller_number).unwrap_or_else(|| self.caller_number.clone());
        self.called_number = known(&later.called_number).unwrap_or_else(|| self.called_number.clone());
        self.caller_name = known(&later.caller_name).or(self.caller_name.take());
        self.context.learn(later);
    }
}

/// One direction of one party's audio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFacts {
    /// The feed's name for the stream; opaque, echoed, unique in the call.
    pub label: String,
    /// Who speaks in it.
    pub role: StreamRole,
}

/// Who speaks in a stream. Only the caller's keys answer the consent prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamRole {
    /// The person who called and must consent. Left channel.
    Caller,
    /// The employee. Right channel.
    Employee,
    /// Both in one stream: its keys count as the caller's.
    Mixed,
    /// Anyone else: an interpreter, a supervisor.
    Other,
}

impl StreamRole {
    /// Whether a key pressed in such a stream is the caller's answer.
    pub const fn may_answer(self) -> bool {
        matches!(self, StreamRole::Caller | StreamRole::Mixed)
    }
}
