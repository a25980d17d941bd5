//! What a caller is asked on behalf of a department: the prompt, the keys, the time to answer.
//! In: the configuration. Out: values that the consent machine judges answers by.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConsentKeys;

/// One version of what callers are told and asked, in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Names it: one version, one language.
    pub version: String,
    /// Its language (BCP 47), for example `da`.
    pub language: String,
    /// Its words; not saved with calls, whose records name them by their hash.
    #[serde(skip)]
    pub text: String,
    /// SHA-256 of its text in UTF-8, in hexadecimal.
    pub text_sha256: String,
    /// SHA-256 of its audio file, in hexadecimal.
    pub audio_sha256: Option<String>,
    /// Departments that it names, by id: a yes to it is a yes for these and no others.
    pub covers: Vec<String>,
    /// The keys that it tells; none: the department's.
    pub keys: Option<ConsentKeys>,
}

/// What a department asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The department's id.
    pub department: String,
    /// Whether it is recorded at all.
    pub selected: bool,
    /// Its keys, where the prompt tells none.
    pub keys: ConsentKeys,
    /// How long no answer may take until it is a no.
    pub timeout: Duration,
    /// Days that its recordings live.
    pub retention_days: u8,
    /// The prompts that its callers may hear. The first is the one that they hear where nobody
    /// says otherwise.
    pub prompts: Vec<Prompt>,
}

impl Question {
    /// A question whose prompt is not known here.
    pub fn new(department: &str, selected: bool, keys: ConsentKeys, timeout: Duration) -> Self {
        Self {
            department: department.to_owned(),
            selected,
            keys,
            timeout,
            retention_days: crate::limit::RETENTION_DAYS,
            prompts: Vec::new(),
        }
    }

    /// The place of the prompt called `version`.
    pub fn prompt(&self, version: &str) -> Option<usize> {
        self.prompts.iter().position(|prompt| prompt.version == version)
    }
}

/// What a consent record is about: whose question, and what the caller had heard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The department's id.
    pub department: String,
    /// Days that recordings of it live.
    pub retention_days: u8,
    /// Language of the prompt.
    pub language: Option<String>,
    /// SHA-256 of the prompt's text, in hexadecimal.
    pub text_sha256: Option<String>,
    /// SHA-256 of the prompt's audio, in hexadecimal.
    pub audio_sha256: Option<String>,
    /// Departments that the prompt named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<String>,
}
