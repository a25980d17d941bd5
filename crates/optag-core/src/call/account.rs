//! What must be accounted for: each call that anyone announced, whatever became of it.
//!
//! In: facts of signalling. Out: an [`Account`], written down when a call is answered and
//! again when it is over. Not here: the outcome of a call that was admitted ([`Outcome`]).

use crate::clock::WallTime;
use crate::id::CallId;
use crate::private::Private;

#[cfg(doc)]
use super::Outcome;

/// A call as signalling saw it. The later account of the same id replaces the earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Names the account.
    pub id: String,
    /// When it was announced.
    pub began_at: WallTime,
    /// When its signalling was over.
    pub ended_at: Option<WallTime>,
    /// Who announced it: the address of a recording client, or `api`.
    pub client: String,
    /// The department, where one takes it.
    pub department: String,
    /// Number called from, empty where nothing tells.
    pub caller_number: Private<String>,
    /// Number called, likewise.
    pub called_number: Private<String>,
    /// Names of the call that others use: Call-ID, Session-ID, UCID and the like.
    pub names: Vec<Private<String>>,
    /// The call, if it was admitted.
    pub call: Option<CallId>,
    /// Why it was not.
    pub unrecorded: Option<Unrecorded>,
}

/// Why an announced call was never admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrecorded {
    /// No department takes it.
    NotSelected,
    /// The offer had no stream to take.
    NoStream,
    /// All of its streams are encrypted in a way that is not understood.
    Encrypted,
    /// None of its codings is decoded.
    NoCodec,
    /// The recorder took no calls, for this reason.
    Unavailable(&'static str),
    /// The announcement was refused with this status.
    Rejected(u16),
    /// Whoever announced it took it back before it was answered.
    Cancelled,
}

impl Unrecorded {
    /// Outcome and cause, in the words of [`Outcome`].
    pub fn outcome(self) -> (&'static str, String) {
        let said = |outcome, cause: &str| (outcome, cause.to_owned());
        match self {
            Unrecorded::NotSelected => said("not_selected", ""),
            Unrecorded::NoStream => said("no_audio", "no_stream"),
            Unrecorded::Encrypted => said("no_audio", "encrypted"),
            Unrecorded::NoCodec => said("no_audio", "no_codec"),
            Unrecorded::Cancelled => said("no_audio", "cancelled"),
            Unrecorded::Unavailable(why) => said("lost", why),
            Unrecorded::Rejected(code) => ("lost", format!("rejected_{code}")),
        }
    }
}
