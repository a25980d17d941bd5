//! The API's interface to the audit log: an append that is durable before anything is answered.

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;

/// The audit log.
pub trait Audit: Send + Sync {
    /// Appends an entry. Once this answers `Ok`, the entry survives a crash.
    fn append(&self, entry: AuditEntry) -> BoxFuture<'_, Result<(), AuditError>>;

    /// The accesses to a recording on all nodes: node by node, each in the order of its log.
    fn about(&self, recording: CallId) -> BoxFuture<'_, Result<Vec<AuditEntry>, AuditError>>;

    /// A pseudonym for a number or name in entries: deterministic, and not reversible without the
    /// installation's key.
    fn pseudonym(&self, text: &str) -> String;
}

/// The entry is not durable; nothing may be served.
#[derive(Debug, thiserror::Error)]
#[error("the audit entry could not be made durable: {0}")]
pub struct AuditError(pub String);

/// An access or change: who, what, which recording, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: WallTime,
    /// The actor's name.
    pub actor: String,
    /// The action.
    pub action: AuditAction,
    /// The purpose.
    pub purpose: Option<Purpose>,
    /// The recording; none for a search.
    pub recording: Option<CallId>,
    /// The search criteria, or the reason of an erasure.
    pub detail: Option<Private<String>>,
}

/// Kinds of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// Recordings were searched.
    Search,
    /// The details of a recording were read.
    View,
    /// A recording, or part of it, was played.
    Playback,
    /// A recording was exported as a file.
    Export,
    /// The preview of an erasure was read.
    Preview,
    /// An erasure was ordered.
    Erase,
    /// A recording of an earlier system was imported.
    Import,
    /// A recording was handed out to the person recorded.
    HandOut,
    /// A hand-out link was created.
    Link,
    /// The playback or hand-out of the previous entry failed: nothing left the recorder.
    NotServed,
    /// The hand-out of the previous entry was interrupted.
    BrokenOff,
    /// A legal hold was placed or lifted.
    Hold,
    /// The retention report was read.
    Report,
    /// The audit log was read.
    ReadAudit,
    /// The owner confirmed the machine's clock.
    ConfirmClock,
    /// The deletion log was repaired and replayed.
    ReplayDeletions,
    /// A test object was written to the store and removed.
    TestStore,
    /// The recorder was told to drain.
    Drain,
    /// A recording outside of the actor's departments was asked for; nothing of it was shown.
    Refused,
    /// A step of a caller's request, or a look at it.
    Case,
    /// A token was created or revoked, or a user made or changed, or that was asked for, confirmed or denied.
    Access,
    /// A person paused or resumed a call in progress, or passed on that the caller withdrew.
    Control,
    /// Somebody signed in to the pages.
    SignIn,
    /// A machine's token was used to sign in to the pages, or by a user without a role.
    SignInRefused,
    /// Name, password or code of a sign-in was wrong.
    SignInFailed,
    /// Somebody signed out of the pages.
    SignOut,
}

impl AuditAction {
    /// Whether cover sheets list it, or it says what became of an access that they list.
    pub const fn is_access(self) -> bool {
        matches!(
            self,
            Self::View
                | Self::Playback
                | Self::Export
                | Self::Import
                | Self::HandOut
                | Self::NotServed
                | Self::BrokenOff
        )
    }
}

/// Purpose of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Internal training.
    Training,
    /// The caller asked for a copy or an erasure.
    CallerRequest,
    /// Operation of the recorder.
    Administration,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Training, Self::CallerRequest, Self::Administration];

    /// All names, as used in requests.
    pub const NAMES: [&str; 3] = ["training", "caller_request", "administration"];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::CallerRequest => "caller_request",
            Self::Administration => "administration",
        }
    }

    /// The purpose with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "training" => Some(Self::Training),
            "caller_request" => Some(Self::CallerRequest),
            "administration" => Some(Self::Administration),
            _ => None,
        }
    }
}
