//! How the asking of a caller ended: each ask has exactly one.

/// The outcome of an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The caller said yes, and the answer is kept.
    Yes,
    /// The caller said no.
    No,
    /// No answer in time.
    Silence,
    /// The question was not heard completely, or media did not reach the caller.
    NotHeard,
    /// The caller hung up.
    CallerGone,
    /// The call is of a kind that is never asked: emergency, internal, listed.
    NotAsked,
    /// No department that asks its callers takes the call.
    NotSelected,
    /// The offer has no stream that a prompt can be played in.
    NoMedia,
    /// Ports, sockets or the player failed.
    MediaFailed,
    /// The caller said yes, but the answer could not be kept in time.
    NotKept,
    /// As many callers are asked as may be, or the recorder is full.
    Busy,
    /// The recorder stops.
    Stopping,
    /// The caller's side did not take the call on: a REFER was refused or failed.
    SendFailed,
    /// The INVITE was refused: not understood, or no credentials.
    Rejected,
}

impl Outcome {
    /// All of them, in order.
    pub const ALL: [Self; 14] = [
        Self::Yes,
        Self::No,
        Self::Silence,
        Self::NotHeard,
        Self::CallerGone,
        Self::NotAsked,
        Self::NotSelected,
        Self::NoMedia,
        Self::MediaFailed,
        Self::NotKept,
        Self::Busy,
        Self::Stopping,
        Self::SendFailed,
        Self::Rejected,
    ];
    /// Their names.
    pub const NAMES: &[&str] = &[
        "yes",
        "no",
        "silence",
        "not_heard",
        "caller_gone",
        "not_asked",
        "not_selected",
        "no_media",
        "media_failed",
        "not_kept",
        "busy",
        "stopping",
        "send_failed",
        "rejected",
    ];

    /// Stable name, for metrics and logs.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}
