//! What leaves the engine: the events of each call, one batch a tick. Within a batch the entries of a call are in
//! the order in which they became true (consent before the first audio it allows, everything before `Ended`).

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
    /// A stream joined; the blocks that follow hold it, after those there were.
    Joined(StreamFacts),
    /// A span without media, and why.
    Gap(Gap),
    /// What a later process needs to go on with the call; the last one counts.
    State(Box<CallSnapshot>),
    /// The call is over; nothing follows.
    Ended(Ended),
}
