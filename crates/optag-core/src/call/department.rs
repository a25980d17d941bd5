//! Which departments are recorded, for how long, and by which keys a caller answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::terms::{Prompt, Question};

/// A part of the organisation that takes calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Department {
    /// Short name in API calls and searches, for example `demo`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Numbers that reach it, as the owner wrote them.
    pub numbers: Vec<String>,
    /// Whether its calls may be recorded at all.
    pub record: bool,
    /// Days that a recording lives, counted from the start of the call; 1 to 90.
    pub retention_days: u8,
    /// How a caller answers by key press.
    pub keys: ConsentKeys,
    /// How long no answer may take until it counts as no.
    pub consent_timeout: Duration,
    /// The prompts that its callers may hear; the first where nobody says which.
    pub prompts: Vec<Prompt>,
}

impl Department {
    /// What its callers are asked.
    pub fn question(&self) -> Question {
        Question {
            department: self.id.clone(),
            selected: self.record,
            keys: self.keys.clone(),
            timeout: self.consent_timeout,
            retention_days: self.retention_days,
            prompts: self.prompts.clone(),
        }
    }

    /// The keys of the prompt that its callers hear where nobody says which.
    pub fn default_keys(&self) -> &ConsentKeys {
        self.prompts.first().and_then(|prompt| prompt.keys.as_ref()).unwrap_or(&self.keys)
    }
}

/// Key sequences of the consent prompt. Each is one or more of `0-9 * # A-D`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsentKeys {
    /// "Yes, record."
    pub yes: String,
    /// "No."
    pub no: String,
    /// "I take my yes back", at any time of the call.
    pub withdraw: String,
}

impl Default for ConsentKeys {
    fn default() -> Self {
        Self { yes: "1".into(), no: "2".into(), withdraw: "*9".into() }
    }
}
