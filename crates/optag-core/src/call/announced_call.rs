//! Ledger entries: every call that was announced, whatever happened to it.
//!
//! In: facts from signalling. Out: an [`AnnouncedCall`], written when a call is answered and again when it has
//! ended. Not here: the outcome of an admitted call ([`Outcome`]).

use crate::call::RefusedStreams;
use crate::clock::WallTime;
use crate::id::CallId;
use crate::private::Private;

#[cfg(doc)]
use super::Outcome;

/// A call as seen by signalling. A later entry with the same id replaces the earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedCall {
    /// The id of the entry.
    pub id: String,
    /// When it was announced.
    pub began_at: WallTime,
    /// When its signalling ended.
    pub ended_at: Option<WallTime>,
    /// The client that announced it: the address of a recording client, or `api`.
    pub client: String,
    /// The department, if there is one.
    pub department: String,
    /// Calling number, empty if unknown.
    pub caller_number: Private<String>,
    /// Called number, likewise.
    pub called_number: Private<String>,
    /// Identifiers of the call in other systems: Call-ID, Session-ID, UCID and the like.
    pub names: Vec<Private<String>>,
    /// The call's id, if it was admitted.
    pub call: Option<CallId>,
    /// Why it was not recorded.
    pub unrecorded: Option<Unrecorded>,
    /// Audio streams that it was offered with and that are not recorded.
    pub refused_streams: RefusedStreams,
}

/// Why an announced call was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrecorded {
    /// It belongs to no department.
    NotSelected,
    /// The offer had no usable stream.
    NoStream,
    /// All of its streams use unsupported encryption.
    Encrypted,
    /// None of its codecs is supported.
    NoCodec,
    /// The recorder admitted no calls, for this reason.
    Unavailable(&'static str),
    /// The announcement was rejected with this status.
    Rejected(u16),
    /// The client cancelled it before it was answered.
    Cancelled,
}

impl Unrecorded {
    /// Outcome and cause, with the names of [`Outcome`].
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
