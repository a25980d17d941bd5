//! Candidates and copies of recordings as the API shows them.

use crate::http::recordings::library::{RecordingState, RecordingSummary};
use crate::http::requests::{CandidateView, CopyView, Fit, FitReason};
use crate::index::likeness::NumberLikeness;
use crate::index::{Candidate, Wanted};
use crate::recordings::playback::summary;
use optag_storage::store::versions::{CopyKind, StoredCopy};

/// A candidate, and how well it fits what was wanted.
pub(super) fn view(candidate: Candidate, state: RecordingState, wanted: &Wanted) -> CandidateView {
    let word = |likeness: Option<NumberLikeness>| likeness.map(|likeness| likeness.name().to_owned());
    let fit = Fit {
        reasons: reasons(&candidate, wanted),
        score: candidate.score,
        number: word(candidate.number),
        called_number: word(candidate.called_number),
        name: candidate.name.map(|name| (name * 100.0).round() / 100.0),
        minutes_off: candidate.off_us.map(|off| off / 60_000_000),
    };
    CandidateView { recording: RecordingSummary { state, ..summary(candidate.row) }, fit }
}

/// One reason for each criterion.
fn reasons(candidate: &Candidate, wanted: &Wanted) -> Vec<FitReason> {
    use FitReason::*;
    let number = wanted.number.as_ref().map(|_| match candidate.number {
        Some(NumberLikeness::Same) => NumberSame,
        Some(NumberLikeness::Ending) => NumberEnding,
        Some(NumberLikeness::OneDigitOff) => NumberOneDigitOff,
        None => NumberUnknown,
    });
    let called = wanted.called_number.as_ref().map(|_| match candidate.called_number {
        Some(NumberLikeness::Same) => CalledNumberSame,
        Some(NumberLikeness::Ending) => CalledNumberEnding,
        Some(NumberLikeness::OneDigitOff) => CalledNumberOneDigitOff,
        None => CalledNumberUnknown,
    });
    let name = wanted.name.as_ref().map(|_| match candidate.name {
        Some(alike) if alike >= 1.0 => NameExact,
        Some(_) => NameNear,
        None => NameUnknown,
    });
    let time = candidate.off_us.map(|off| if off == 0 { TimeWithin } else { TimeNear });
    [number, called, name, time].into_iter().flatten().collect()
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
