//! The report of a day, as text and as JSON with stable keys.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::ledger::call_detail_records::Matched;
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// A day's calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The day.
    pub day: String,
    /// Calls by outcome, and by cause where there is one: `no_audio/no_packets`.
    pub outcomes: BTreeMap<String, u64>,
    /// What was owed and kept in the recordings of the day, by the role of the stream.
    pub audio: BTreeMap<&'static str, RoleAudio>,
    /// Audio streams of admitted calls that are not recorded, by cause.
    pub refused_streams: BTreeMap<&'static str, u64>,
    /// Every call, in the order in which they were announced.
    pub calls: Vec<Line>,
    /// How the PBX's records compare, where they were given.
    pub cdr: Option<Matched>,
    /// What does not agree, or should not be, in words.
    pub faults: Vec<String>,
}

/// What the streams of a role owed and brought, in all recordings of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RoleAudio {
    /// Streams.
    pub streams: u64,
    /// Time in which they sent, or should have been recorded. Units: ms.
    pub owed_ms: u64,
    /// Of that, what the recordings have. Units: ms.
    pub kept_ms: u64,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// When it was announced.
    pub began_at: WallTime,
    /// Address of the recording client, or `api`.
    pub client: String,
    /// Department id, empty where none took it.
    pub department: String,
    /// The call, if it was admitted.
    pub call: Option<CallId>,
    /// Its one outcome.
    pub outcome: String,
    /// The outcome's cause, empty where the outcome says it all.
    pub cause: String,
    /// What there is of its audio.
    pub object: Object,
    /// Line of the PBX's record of it.
    pub cdr_line: Option<u64>,
}

/// What there is of a call's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// Nothing, and there should be nothing.
    None,
    /// In the store.
    Stored,
    /// On its way there.
    Waiting,
    /// Erased, as ordered.
    Erased,
    /// Not where it should be.
    Missing,
}

impl Report {
    /// Whether every call is accounted for and none was lost.
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} calls", self.day, self.calls.len())?;
        for (outcome, count) in &self.outcomes {
            writeln!(f, "  {count:>7} {outcome}")?;
        }
        for (role, audio) in &self.audio {
            writeln!(
                f,
                "audio of {role}: {} streams, {:.1} of {:.1} minutes kept",
                audio.streams,
                minutes(audio.kept_ms),
                minutes(audio.owed_ms)
            )?;
        }
        for (cause, count) in &self.refused_streams {
            writeln!(f, "streams not recorded: {count} {cause}")?;
        }
        if let Some(cdr) = &self.cdr {
            writeln!(f, "call records: {} of that day, {} have a call here", cdr.rows, cdr.matched)?;
        }
        for fault in &self.faults {
            writeln!(f, "fault: {fault}")?;
        }
        writeln!(f, "{} faults", self.faults.len())
    }
}

fn minutes(ms: u64) -> f64 {
    ms as f64 / 60_000.0
}
