//! An answer to the consent prompt that waits for its call, or is on its way to it. In: what was said. Out: the same as
//! JSON.

use serde::{Deserialize, Serialize};

use crate::call::{Answer, ConsentHow, ConsentState, Evidence};

/// An answer, with what shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenAnswer {
    /// Yes or no.
    pub answer: Answer,
    /// Its channel.
    pub how: ConsentHow,
    /// The prompt that the caller heard.
    pub prompt_version: Option<String>,
    /// What shows it.
    pub evidence: Evidence,
}

impl GivenAnswer {
    /// The state of a call after this answer.
    pub fn leads_to(&self) -> ConsentState {
        match self.answer {
            Answer::Yes => ConsentState::Granted,
            Answer::No => ConsentState::Refused,
        }
    }
}
