//! Requests that the recording server originates: their purposes, and the reasons of a BYE.

/// The purpose of a request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::siprec) enum Purpose {
    /// End of the session.
    Bye,
    /// Refresh of the session timer (RFC 4028).
    Refresh,
    /// Activation of streams after consent.
    Activate,
    /// Request for a complete metadata document.
    Snapshot,
}

/// Why we end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::siprec) enum EndReason {
    /// The engine ended the call: silence timeout or maximum duration.
    CallEnded,
    /// Our 2xx was never acknowledged.
    Unacknowledged,
    /// The client did not refresh the session, or did not answer our refresh.
    TimerExpired,
    /// Another session replaced it.
    Replaced,
    /// The recorder is stopping.
    Stopping,
}

impl EndReason {
    /// The Reason field.
    ///
    /// Source: RFC 3326 §2.
    pub(in crate::siprec) const fn field(self) -> &'static str {
        match self {
            EndReason::CallEnded => "SIP;cause=408;text=\"No media for too long, or the call was too long\"",
            EndReason::Unacknowledged => "SIP;cause=408;text=\"No ACK\"",
            EndReason::TimerExpired => "SIP;cause=408;text=\"Session timer expired\"",
            EndReason::Replaced => "SIP;cause=200;text=\"Replaced by another session\"",
            EndReason::Stopping => "SIP;cause=503;text=\"Recorder stops\"",
        }
    }
}
