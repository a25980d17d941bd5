//! A department's question to its callers: the prompt, the keys, the time to answer.
//! In: the configuration. Out: values by which the consent machine evaluates answers.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConsentKeys;

/// One version of a consent prompt, in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Its version id: one version, one language.
    pub version: String,
    /// Its language (BCP 47), for example `da`.
    pub language: String,
    /// Its wording; not stored with calls, whose records refer to it by hash.
    #[serde(skip)]
    pub text: String,
    /// SHA-256 of its UTF-8 text, in hexadecimal.
    pub text_sha256: String,
    /// SHA-256 of its audio file, in hexadecimal.
    pub audio_sha256: Option<String>,
    /// Its audio file, for those who play it.
    #[serde(skip)]
    pub audio_file: Option<PathBuf>,
    /// Ids of the departments that it names: a yes to it covers these and no others.
    pub covers: Vec<String>,
    /// The keys that it announces; `None`: the department's.
    pub keys: Option<ConsentKeys>,
}

/// The consent question of a department.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The department's id.
    pub department: String,
    /// Whether it is recorded at all.
    pub selected: bool,
    /// Its keys, unless the prompt has its own.
    pub keys: ConsentKeys,
    /// Time to answer; no answer counts as no.
    pub timeout: Duration,
    /// Retention of its recordings in days.
    pub retention_days: u8,
    /// The prompts that its callers may hear. The first is the default.
    pub prompts: Vec<Prompt>,
    /// Whether its callers are asked before their calls come: a key pressed in such a call is no yes.
    #[serde(default)]
    pub asked_before: bool,
}

impl Question {
    /// A question without known prompts.
    pub fn new(department: &str, selected: bool, keys: ConsentKeys, timeout: Duration) -> Self {
        Self {
            department: department.to_owned(),
            selected,
            keys,
            timeout,
            retention_days: crate::limit::RETENTION_DAYS,
            prompts: Vec::new(),
            asked_before: false,
        }
    }

    /// The index of the prompt with this version.
    pub fn prompt(&self, version: &str) -> Option<usize> {
        self.prompts.iter().position(|prompt| prompt.version == version)
    }
}

/// The subject of a consent record: the department's question, and what the caller had heard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The department's id.
    pub department: String,
    /// Retention of its recordings in days.
    pub retention_days: u8,
    /// Language of the prompt.
    pub language: Option<String>,
    /// SHA-256 of the prompt's text, in hexadecimal.
    pub text_sha256: Option<String>,
    /// SHA-256 of the prompt's audio, in hexadecimal.
    pub audio_sha256: Option<String>,
    /// Departments named by the prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<String>,
}
