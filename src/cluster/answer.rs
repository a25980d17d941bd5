//! An answer on its way between nodes: in a row that waits for a call, or in a request to the node that has it. In: a
//! control that carries one. Out: the same as JSON, with what shows it, so that whoever gave it is named in the end.

use serde::{Deserialize, Serialize};

use crate::index::EarlyKind;
use optag_core::call::{Answer, ConsentHow, Evidence, GivenAnswer};
use optag_sip::feed::Control;

/// An answer or a withdrawal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SentAnswer {
    /// As [`Control::Answer`].
    Answer(GivenAnswer),
    /// As [`Control::Withdraw`].
    Withdraw {
        /// Its channel.
        how: ConsentHow,
        /// What shows it.
        evidence: Evidence,
    },
}

impl SentAnswer {
    /// The answer of a control, if it is one.
    pub fn of(control: &Control) -> Option<Self> {
        match control.clone() {
            Control::Withdraw { how, evidence } => Some(Self::Withdraw { how, evidence }),
            control => control.answer().map(Self::Answer),
        }
    }

    /// What it says.
    pub fn kind(&self) -> EarlyKind {
        match self {
            Self::Answer(GivenAnswer { answer: Answer::Yes, .. }) => EarlyKind::Yes,
            Self::Answer(GivenAnswer { answer: Answer::No, .. }) => EarlyKind::No,
            Self::Withdraw { .. } => EarlyKind::Withdraw,
        }
    }
}

impl From<SentAnswer> for Control {
    fn from(sent: SentAnswer) -> Self {
        match sent {
            SentAnswer::Answer(given) => given.into(),
            SentAnswer::Withdraw { how, evidence } => Self::Withdraw { how, evidence },
        }
    }
}
