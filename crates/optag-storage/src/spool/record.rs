//! What the spool stores of a call: `SpoolRecord`.

use optag_core::call::{CallContext, CallFacts, ConsentRecord, StreamFacts};
use optag_core::id::CallId;
use optag_core::private::Private;
use optag_media::call::output::Fact;
use optag_media::fact::{Ended, Gap, MediaBlock};

/// One record of one call.
#[derive(Clone, Debug)]
pub struct SpoolRecord {
    /// The call.
    pub call: CallId,
    /// Its content.
    pub body: Body,
}

/// Content of a record. A call's first record is `Opened`, its last `Closed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Admission of the call.
    Opened(CallFacts),
    /// Change of consent.
    Consent(ConsentRecord),
    /// Audio.
    Media(MediaBlock),
    /// A stream that joined during the call.
    Joined(StreamFacts),
    /// Missing audio.
    Gap(Gap),
    /// End of the call.
    Closed(Ended),
    /// Further information about the call.
    Described(Box<CallContext>),
    /// State that the engine needs to resume the call after a restart; the last one counts. A `SavedCall` as JSON.
    CallState(Private<String>),
    /// State that signalling needs to resume the call: its dialog.
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
