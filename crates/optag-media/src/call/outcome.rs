//! The one outcome of a call, from what was permitted and what was received.

use std::time::Duration;

use crate::call::output::Fact;
use crate::call::{Call, Now};
use crate::fact::{Ended, EndedBy, StreamCounts};
use crate::stream::Stream;
use optag_core::call::outcome::LossCause;
use optag_core::call::{ConsentHow, ConsentMachine, ConsentState, NoAudio, Outcome};
use optag_core::clock::MonoTime;
use optag_core::limit;

/// How long a call may wait for its first packet, in multiples of the inactivity timeout.
const FIRST_PACKET_TIMEOUTS: u32 = 2;

impl Call {
    /// Whether a timeout ends the call, and which.
    pub(crate) fn timed_out(&self, now: MonoTime) -> Option<EndedBy> {
        if now.since(self.admitted) >= Duration::from_secs(limit::CALL_HOURS * 3_600) {
            return Some(EndedBy::TooLong);
        }
        let heard = self.streams.iter().filter_map(Stream::last_heard).chain(self.vouched).max();
        let silent = match heard {
            Some(at) => now.since(at) >= self.settings.rtp_timeout,
            None => now.since(self.admitted) >= self.settings.rtp_timeout * FIRST_PACKET_TIMEOUTS,
        };
        (silent && !self.paused).then_some(EndedBy::RtpTimeout)
    }
}

/// The outcome of a call that ends now with cause `by`. `had_audio`: at least one frame was kept.
pub(crate) fn outcome<'a>(
    consent: &ConsentMachine,
    by: EndedBy,
    had_audio: bool,
    counts: impl Iterator<Item = &'a StreamCounts>,
) -> Outcome {
    if consent.state() == ConsentState::Withdrawn {
        return Outcome::Withdrawn;
    }
    // What was granted for one department is unaffected by later answers to others.
    if consent.stands() {
        return match (had_audio, by) {
            (true, by) => by.of_recorded(),
            (false, EndedBy::Fault) => Outcome::Lost(LossCause::Fault),
            (false, _) => Outcome::NoAudio(why(counts)),
        };
    }
    match consent.refused_by() {
        // The answer may have been in flight.
        Some(ConsentHow::CallEnded) if by == EndedBy::Fault => Outcome::Lost(LossCause::Fault),
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

impl Call {
    /// Emits the one `Ended`; nothing follows it.
    pub(crate) fn close(&mut self, now: Now, by: EndedBy) {
        let counts = || self.streams.iter().map(Stream::counts);
        let ended = Ended {
            at: now.wall,
            by,
            outcome: outcome(&self.consent, by, self.had_audio, counts()),
            frames: self.frames_out,
            streams: counts().copied().collect(),
        };
        self.wipe();
        self.facts.push(Fact::Ended(ended.clone()));
        self.ended = Some(ended);
    }
}
