//! The one outcome of a call, by what was allowed and what was heard.

use super::output::StreamCounts;
use crate::call::{ConsentHow, ConsentMachine, ConsentState, NoAudio, Outcome};

/// The outcome of a call that ends now. `had_audio`: at least one frame of it was kept.
pub(super) fn outcome<'a>(
    consent: &ConsentMachine,
    had_audio: bool,
    counts: impl Iterator<Item = &'a StreamCounts>,
) -> Outcome {
    if consent.state() == ConsentState::Withdrawn {
        return Outcome::Withdrawn;
    }
    // What one department's callers allowed stays, whatever they told the next.
    if consent.stands() {
        return if had_audio { Outcome::Recorded } else { Outcome::NoAudio(why(counts)) };
    }
    match consent.refused_by() {
        Some(ConsentHow::Timeout | ConsentHow::CallEnded) => Outcome::NoAnswer,
        Some(_) => Outcome::Refused,
        None if consent.was_asked() => Outcome::NoAnswer,
        None => Outcome::NotSelected,
    }
}

fn why<'a>(counts: impl Iterator<Item = &'a StreamCounts>) -> NoAudio {
    let (received, refused) =
        counts.fold((0, 0), |(received, refused), one| (received + one.received, refused + one.refused));
    match (received, refused) {
        (0, 0) => NoAudio::NoPackets,
        (0, _) => NoAudio::NothingAccepted,
        _ => NoAudio::OnlyWhileClosed,
    }
}
