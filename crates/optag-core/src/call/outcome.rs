//! The outcome of a call, for the recorder: exactly one each, counted and listed.

use serde::{Deserialize, Serialize};

/// The outcome of an admitted call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "cause", rename_all = "snake_case")]
pub enum Outcome {
    /// There is a recording.
    Recorded,
    /// There is a recording that ends before the call; the cause says why.
    RecordedPartly(CutShort),
    /// The caller said no.
    Refused,
    /// The caller did not answer in time, or the call ended before an answer.
    NoAnswer,
    /// The caller withdrew the yes; the recording is erased.
    Withdrawn,
    /// The department is not selected for recording.
    NotSelected,
    /// Consent was given, but no audio was received.
    NoAudio(NoAudio),
    /// Audio that should have been kept was lost; the cause says why.
    Lost(LossCause),
}

/// Why a call with consent has no audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoAudio {
    /// No datagram was received.
    NoPackets,
    /// Datagrams were received, but none that the streams accept (source, SSRC, payload type, format).
    NothingAccepted,
    /// Packets were accepted only before consent, while paused, or too late for a frame.
    OnlyWhileClosed,
}

/// Why a recording ends before its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutShort {
    /// The recorder stopped, and the call could not be resumed.
    Restart,
    /// Processing the call failed.
    Fault,
}

/// Why audio was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossCause {
    /// The recorder was killed before the answer was durable.
    Restart,
    /// The spool could not be written (full or failing disk).
    Spool,
    /// Its spool records are unreadable.
    Damaged,
    /// Processing the call failed before any of its audio was kept.
    Fault,
}

impl Outcome {
    /// Whether there is a recording.
    pub const fn is_recorded(self) -> bool {
        matches!(self, Outcome::Recorded | Outcome::RecordedPartly(_))
    }

    /// Stable name for metrics and the index.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Recorded => "recorded",
            Outcome::RecordedPartly(_) => "recorded_partly",
            Outcome::Refused => "refused",
            Outcome::NoAnswer => "no_answer",
            Outcome::Withdrawn => "withdrawn",
            Outcome::NotSelected => "not_selected",
            Outcome::NoAudio(_) => "no_audio",
            Outcome::Lost(_) => "lost",
        }
    }

    /// Stable name of the cause, empty if there is none.
    pub const fn cause(self) -> &'static str {
        match self {
            Outcome::NoAudio(NoAudio::NoPackets) => "no_packets",
            Outcome::NoAudio(NoAudio::NothingAccepted) => "nothing_accepted",
            Outcome::NoAudio(NoAudio::OnlyWhileClosed) => "only_while_closed",
            Outcome::Lost(LossCause::Restart) => "restart",
            Outcome::Lost(LossCause::Spool) => "spool",
            Outcome::Lost(LossCause::Damaged) => "damaged",
            Outcome::Lost(LossCause::Fault) | Outcome::RecordedPartly(CutShort::Fault) => "fault",
            Outcome::RecordedPartly(CutShort::Restart) => "restart",
            _ => "",
        }
    }
}
