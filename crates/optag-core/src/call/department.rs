//! Departments: which are recorded, for how long, and with which consent keys.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::terms::{Prompt, Question};

/// A part of the organisation that receives calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Department {
    /// Identifier in API calls and searches, for example `demo`.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Its numbers, as configured.
    pub numbers: Vec<String>,
    /// Whether its calls may be recorded at all.
    pub record: bool,
    /// Retention of recordings in days, from the start of the call; 1 to 90.
    pub retention_days: u8,
    /// The key sequences of its consent prompt.
    pub keys: ConsentKeys,
    /// Time to answer; no answer counts as no.
    pub consent_timeout: Duration,
    /// The prompts that its callers may hear; the first is the default.
    pub prompts: Vec<Prompt>,
    /// Whether optag asks its callers before their calls come. A key pressed in such a call is no yes.
    pub asked_before: bool,
}

impl Department {
    /// The question to its callers.
    pub fn question(&self) -> Question {
        Question {
            department: self.id.clone(),
            selected: self.record,
            keys: self.keys.clone(),
            timeout: self.consent_timeout,
            retention_days: self.retention_days,
            prompts: self.prompts.clone(),
            asked_before: self.asked_before,
        }
    }

    /// The keys of its default prompt.
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
    /// "I withdraw my yes", at any time of the call.
    pub withdraw: String,
}

impl Default for ConsentKeys {
    fn default() -> Self {
        Self { yes: "1".into(), no: "2".into(), withdraw: "*9".into() }
    }
}
