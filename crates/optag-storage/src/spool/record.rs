//! What the spool stores of a call: the noun `SpoolRecord`.

use optag_core::call::{CallContext, CallFacts, ConsentRecord, StreamFacts};
use optag_core::id::CallId;
use optag_core::private::Private;
use optag_media::call::output::Fact;
use optag_media::fact::{Ended, Gap, MediaBlock};

/// One record of one call.
#[derive(Clone, Debug)]
pub struct SpoolRecord {
    /// The call it belongs to.
    pub call: CallId,
    /// What it says.
    pub body: Body,
}

/// What a record says. The first of a call is `Opened`, the last `Closed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// The call was admitted.
    Opened(CallFacts),
    /// Consent changed.
    Consent(ConsentRecord),
    /// Audio.
    Media(MediaBlock),
    /// A stream joined in mid-call.
    Joined(StreamFacts),
    /// Missing audio.
    Gap(Gap),
    /// The call is over.
    Closed(Ended),
    /// More became known of the call.
    Described(Box<CallContext>),
    /// What the engine needs to go on with the call after a restart; the last one counts. A
    /// `SavedCall` as JSON.
    CallState(Private<String>),
    /// The same of signalling: its dialog.
    DialogState(Private<String>),
}

impl From<Fact> for Body {
    fn from(fact: Fact) -> Self {
        match fact {
            Fact::Consent(record) => Body::Consent(record),
            Fact::Media(block) => Body::Media(block),
            Fact::Joined(facts) => Body::Joined(facts),
            Fact::Gap(gap) => Body::Gap(gap),
            Fact::State(saved) => Body::CallState(saved.to_text().into()),
            Fact::Ended(ended) => Body::Closed(ended),
        }
    }
}
