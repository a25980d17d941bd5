//! Which departments are recorded, for how long, and by which keys a caller answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
