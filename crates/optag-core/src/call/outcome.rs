//! How a call ended, for the recorder: exactly one outcome each, counted and listed.

use serde::{Deserialize, Serialize};

/// The one end of an admitted call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "cause", rename_all = "snake_case")]
pub enum Outcome {
    /// There is a recording.
    Recorded,
    /// There is a recording, and the call went on after its end; the cause says why.
    RecordedPartly(CutShort),
    /// The caller said no.
    Refused,
    /// The caller did not answer in time, or the call ended before an answer.
    NoAnswer,
    /// The caller took the yes back; what there was is erased.
    Withdrawn,
    /// The department is not selected for recording.
    NotSelected,
    /// Consent was given, yet nothing was heard.
    NoAudio(NoAudio),
    /// Audio that should have been kept is not; the cause says why.
    Lost(LossCause),
}

/// Why a call with consent has no audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoAudio {
    /// No datagram ever came.
    NoPackets,
    /// Datagrams came, but none that the streams accept (source, SSRC, payload type, form).
    NothingAccepted,
    /// Accepted packets came only before consent, while paused, or too late for a single frame.
    OnlyWhileClosed,
}

/// Why a recording ends before its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutShort {
    /// The recorder stopped, and the call could not go on afterwards.
    Restart,
    /// Processing the call failed.
    Fault,
}

/// Why audio was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossCause {
    /// The recorder died before the answer was durable.
    Restart,
    /// The spool could not be written (full or failing disk).
    Spool,
    /// What the spool holds of it cannot be read.
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

    /// Stable name of the cause, empty where the outcome says it all.
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
