//! Progress of the activation of streams after consent.

use optag_core::clock::MonoTime;

/// The step that the activation of a session's streams has reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::siprec) enum ActivationStep {
    /// Nothing to do.
    #[default]
    Idle,
    /// A re-INVITE is to be sent at this time.
    Due(MonoTime),
    /// A re-INVITE is under way.
    Invite,
    /// An UPDATE is under way.
    Update,
}
