//! What the API needs of the audit: an append that holds before anything is answered.

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;

/// Keeps the trail of look-ups.
pub trait Audit: Send + Sync {
    /// Appends an entry. Once this answers `Ok`, the entry survives a crash.
    fn append(&self, entry: AuditEntry) -> BoxFuture<'_, Result<(), AuditError>>;

    /// Everything that was done with a recording, the oldest first.
    fn about(&self, recording: CallId) -> BoxFuture<'_, Result<Vec<AuditEntry>, AuditError>>;

    /// A word that stands for a number or name in entries: the same for the same text, and not
    /// to be turned back without the installation's key.
    fn pseudonym(&self, text: &str) -> String;
}

/// The entry is not durable; nothing may be served.
#[derive(Debug, thiserror::Error)]
#[error("the audit entry could not be made durable: {0}")]
pub struct AuditError(pub String);

/// Who did what with which recording, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: WallTime,
    /// The actor's name.
    pub actor: String,
    /// What.
    pub action: AuditAction,
    /// Why.
    pub purpose: Option<Purpose>,
    /// Which recording; none for a search.
    pub recording: Option<CallId>,
    /// What was searched for, or why it is erased.
    pub detail: Option<Private<String>>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// Recordings were searched.
    Search,
    /// What is known of a recording was read.
    View,
    /// A recording, or a part of it, was played.
    Playback,
    /// A recording was taken out as a file.
    Export,
    /// What an erasure would take away was looked at.
    Preview,
    /// An erasure was ordered.
    Erase,
    /// A recording of an earlier system was taken in.
    Import,
    /// A recording was handed to whom it is about.
    HandOut,
    /// A link to hand a recording out was made.
    Link,
    /// What the entry before says was played or handed out was not: nothing left the recorder.
    NotServed,
    /// The hand-out that the entry before speaks of broke off on its way.
    BrokenOff,
    /// A legal hold was placed or lifted.
    Hold,
    /// The report on retention was read.
    Report,
    /// The audit itself was read.
    ReadAudit,
    /// The owner confirmed the machine's clock.
    ConfirmClock,
    /// The deletion log was mended and replayed.
    ReplayDeletions,
}

/// Why someone looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Internal training.
    Training,
    /// The caller asked for a copy or an erasure.
    CallerRequest,
    /// Running the recorder.
    Administration,
}

impl Purpose {
    /// Every name, as a request gives it.
    pub const NAMES: [&str; 3] = ["training", "caller_request", "administration"];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::CallerRequest => "caller_request",
            Self::Administration => "administration",
        }
    }

    /// The purpose called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "training" => Some(Self::Training),
            "caller_request" => Some(Self::CallerRequest),
            "administration" => Some(Self::Administration),
            _ => None,
        }
    }
}
