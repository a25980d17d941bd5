//! Candidates and copies of recordings as the API shows them.

use crate::http::recordings::library::{RecordingState, RecordingSummary};
use crate::http::requests::{CandidateView, CopyView, Fit};
use crate::index::Candidate;
use crate::recordings::playback::summary;
use optag_storage::store::versions::{CopyKind, StoredCopy};

/// A candidate, and how well it fits.
pub(super) fn view(candidate: Candidate, state: RecordingState) -> CandidateView {
    let fit = Fit {
        score: candidate.score,
        number: candidate.number.and_then(|likeness| {
            serde_json::to_value(likeness).ok().and_then(|json| json.as_str().map(str::to_owned))
        }),
        name: candidate.name.map(|name| (name * 100.0).round() / 100.0),
        minutes_off: candidate.off_us.map(|off| off / 60_000_000),
    };
    CandidateView { recording: RecordingSummary { state, ..summary(candidate.row) }, fit }
}

/// A copy in the store.
pub(super) fn copy_view(copy: StoredCopy) -> CopyView {
    let kind = match copy.kind {
        CopyKind::Object => "object",
        CopyKind::DeleteMarker => "delete_marker",
        CopyKind::Upload => "upload",
        CopyKind::Unfinished => "unfinished",
    };
    CopyView { name: copy.name(), kind, size_bytes: copy.bytes }
}
