//! What is asked of the audit log, and what is found: entries, the state of the chain, and unusual listening.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::audited::{AuditAction, AuditEntry, Purpose};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// Which entries are wanted. What is not given is not asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditQuery {
    /// The name of whoever did it, or a part of it.
    pub actor: Option<String>,
    /// What was done.
    pub action: Option<AuditAction>,
    /// What for.
    pub purpose: Option<Purpose>,
    /// To which recording.
    pub recording: Option<CallId>,
    /// A part of the detail: the number of a case, words of a reason.
    pub text: Option<String>,
    /// Not before.
    pub from: Option<WallTime>,
    /// Before.
    pub to: Option<WallTime>,
    /// Only entries with smaller numbers.
    pub before: Option<u64>,
    /// At most this many.
    pub most: usize,
}

/// Entries, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AuditFound {
    /// The entries.
    pub entries: Vec<FoundEntry>,
    /// `before` of the next request; none: there are no more.
    pub next: Option<u64>,
    /// Whether the log is as it was written.
    pub chain: ChainView,
}

/// An entry with its number.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FoundEntry {
    /// Its number in the log.
    pub sequence: u64,
    /// What it says.
    #[schema(value_type = Object)]
    pub entry: AuditEntry,
}

/// Whether each entry follows from the one before, and fits the signed checkpoints beside the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChainView {
    /// Nothing was changed, removed, moved or cut off.
    pub intact: bool,
    /// First entry that is kept; 0 for none.
    pub first: u64,
    /// Last entry.
    pub last: u64,
    /// Signed checkpoints that were compared.
    pub checkpoints: u64,
    /// Where it is broken.
    pub fault: Option<String>,
}

/// Something about somebody's listening that is worth asking about. It proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Unusual {
    /// `volume`, `hours`, `own_name` or `same_caller`.
    pub kind: &'static str,
    /// Who listened.
    pub actor: String,
    /// When that was last.
    #[schema(value_type = String, format = DateTime)]
    pub at: WallTime,
    /// How many recordings.
    pub count: u64,
    /// `volume`: how many this person usually hears on a day.
    pub usual: Option<u64>,
    /// The recordings, the first few.
    #[schema(value_type = Vec<String>)]
    pub recordings: Vec<CallId>,
}
