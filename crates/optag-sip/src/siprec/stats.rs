//! Counters of the recording server.

use crate::siprec::response_counts::ResponseCounts;
use crate::siprec::streams::StreamDecision;

/// What has happened since the start. `sessions` and `draining` are states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Recording sessions right now.
    pub sessions: u64,
    /// 1 while no new calls are taken.
    pub draining: u64,
    /// Requests that could be read.
    pub requests: u64,
    /// Messages from addresses that are not on the list.
    pub dropped_foreign: u64,
    /// Messages too broken to answer.
    pub dropped_malformed: u64,
    /// Requests dropped because too many were under way.
    pub dropped_full: u64,
    /// Requests answered 400, 416, 505 and the like.
    pub refused_malformed: u64,
    /// Requests too small to be answered over UDP without amplifying.
    pub unanswered_too_small: u64,
    /// Requests that had been seen before.
    pub repeated_requests: u64,
    /// Answers sent again.
    pub repeated_answers: u64,
    /// Recording sessions that an earlier process had and that go on.
    pub sessions_resumed: u64,
    /// Recording sessions whose call was admitted.
    pub calls_admitted: u64,
    /// Recording sessions answered inactive: no department takes the call.
    pub calls_unselected: u64,
    /// Recording sessions answered inactive or 503: no call can be taken.
    pub calls_unavailable: u64,
    /// Recording sessions in whose offer there was no stream to take.
    pub calls_without_stream: u64,
    /// INVITEs without any sign of SIPREC that were refused.
    pub refused_plain: u64,
    /// INVITEs challenged for credentials.
    pub challenged: u64,
    /// Audio streams refused because they are encrypted and their description has no usable key.
    pub streams_encrypted: u64,
    /// Audio streams refused because no coding of theirs is decoded.
    pub streams_without_codec: u64,
    /// Lines refused because another line of the same stream was taken.
    pub streams_alternative: u64,
    /// Audio streams refused because they are sent to a multicast group.
    pub streams_multicast: u64,
    /// Audio streams whose description names no address: the client's own is taken.
    pub streams_without_address: u64,
    /// Calls in which no stream is known to be the caller's: keys in them are not heard.
    pub calls_without_caller: u64,
    /// Streams refused because a call had too many.
    pub streams_too_many: u64,
    /// Metadata bodies that could not be read at all.
    pub metadata_unreadable: u64,
    /// Calls in which the calling participant was only guessed.
    pub callers_guessed: u64,
    /// Times that a client was asked for its metadata anew.
    pub snapshots_asked: u64,
    /// Times that it refused for good.
    pub snapshots_refused: u64,
    /// Transfers that signalling told of.
    pub transfers: u64,
    /// Times that a call was paused because no department was known for who has it.
    pub departments_unknown: u64,
    /// Controls that the feed refused.
    pub controls_refused: u64,
    /// Sessions ended from our side.
    pub hung_up: u64,
    /// Times that a client was asked for its streams after consent.
    pub taking_asked: u64,
    /// Times that it then gave them.
    pub taking_done: u64,
    /// Times that it refused for good, or did not answer.
    pub taking_failed: u64,
    /// Sessions ended because nobody acknowledged the answer.
    pub unacknowledged: u64,
    /// ACKs that a resumed session awaited from before and that did not come: it went on.
    pub acks_missed: u64,
    /// Calls not taken because their client, or SIPREC as a whole, had as many streams as it may.
    pub over_quota: u64,
    /// Credentials that were not looked at, because their address had guessed too often.
    pub guesses_slowed: u64,
    /// Sessions ended because another took their place.
    pub replaced: u64,
    /// Requests that came by several ways and were answered once.
    pub merged: u64,
    /// Sessions ended because the client no longer refreshed them.
    pub timers_expired: u64,
    /// Responses sent, without retransmissions.
    pub responses: ResponseCounts,
}

impl Stats {
    /// Counts why lines became no streams.
    pub fn refused(&mut self, decisions: &[StreamDecision]) {
        for decision in decisions {
            match decision {
                StreamDecision::Encrypted => self.streams_encrypted += 1,
                StreamDecision::NoCodec => self.streams_without_codec += 1,
                StreamDecision::Alternative => self.streams_alternative += 1,
                StreamDecision::Multicast => self.streams_multicast += 1,
                StreamDecision::TooMany => self.streams_too_many += 1,
                StreamDecision::Stream(_) | StreamDecision::NotAudio | StreamDecision::Unused => {}
            }
        }
    }

    /// Every counter with its name, for metrics; without the responses.
    pub fn named(&self) -> [(&'static str, u64); 42] {
        [
            ("sessions", self.sessions),
            ("draining", self.draining),
            ("requests", self.requests),
            ("dropped_foreign", self.dropped_foreign),
            ("dropped_malformed", self.dropped_malformed),
            ("dropped_full", self.dropped_full),
            ("refused_malformed", self.refused_malformed),
            ("unanswered_too_small", self.unanswered_too_small),
            ("repeated_requests", self.repeated_requests),
            ("repeated_answers", self.repeated_answers),
            ("sessions_resumed", self.sessions_resumed),
            ("calls_admitted", self.calls_admitted),
            ("calls_unselected", self.calls_unselected),
            ("calls_unavailable", self.calls_unavailable),
            ("calls_without_stream", self.calls_without_stream),
            ("refused_plain", self.refused_plain),
            ("challenged", self.challenged),
            ("streams_encrypted", self.streams_encrypted),
            ("streams_without_codec", self.streams_without_codec),
            ("streams_alternative", self.streams_alternative),
            ("streams_multicast", self.streams_multicast),
            ("streams_without_address", self.streams_without_address),
            ("calls_without_caller", self.calls_without_caller),
            ("streams_too_many", self.streams_too_many),
            ("metadata_unreadable", self.metadata_unreadable),
            ("callers_guessed", self.callers_guessed),
            ("snapshots_asked", self.snapshots_asked),
            ("snapshots_refused", self.snapshots_refused),
            ("transfers", self.transfers),
            ("departments_unknown", self.departments_unknown),
            ("controls_refused", self.controls_refused),
            ("hung_up", self.hung_up),
            ("taking_asked", self.taking_asked),
            ("taking_done", self.taking_done),
            ("taking_failed", self.taking_failed),
            ("unacknowledged", self.unacknowledged),
            ("acks_missed", self.acks_missed),
            ("over_quota", self.over_quota),
            ("guesses_slowed", self.guesses_slowed),
            ("replaced", self.replaced),
            ("merged", self.merged),
            ("timers_expired", self.timers_expired),
        ]
    }
}
