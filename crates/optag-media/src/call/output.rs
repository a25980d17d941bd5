//! What leaves the engine: the events of each call, one batch per tick. Within a batch the entries of a call
//! are in the order in which they occurred (consent before the first audio that it permits, everything before
//! `Ended`).

use crate::call::snapshot::CallSnapshot;
use crate::fact::{Ended, Gap, MediaBlock};
use optag_core::call::{ConsentRecord, StreamFacts};
use optag_core::id::CallId;

/// One fact about one call.
#[derive(Clone, Debug)]
pub struct Output {
    /// The call.
    pub call: CallId,
    /// The fact.
    pub fact: Fact,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Fact {
    /// Consent changed. `Granted` is the zero of the recording's time axis.
    Consent(ConsentRecord),
    /// Encoded audio, all streams over the same frames.
    Media(MediaBlock),
    /// A stream joined; the following blocks contain it after the existing streams.
    Joined(StreamFacts),
    /// A span without media, with its reason.
    Gap(Gap),
    /// The snapshot that a later process needs to resume the call; the last one is used.
    State(Box<CallSnapshot>),
    /// The call has ended; nothing follows.
    Ended(Ended),
}
