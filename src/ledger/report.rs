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
    /// Calls by outcome, and by cause if there is one: `no_audio/no_packets`.
    pub outcomes: BTreeMap<String, u64>,
    /// Audio owed and kept in the recordings of the day, by the role of the stream.
    pub audio: BTreeMap<&'static str, RoleAudio>,
    /// Audio streams of admitted calls that are not recorded, by cause.
    pub refused_streams: BTreeMap<&'static str, u64>,
    /// Every call, in the order in which they were announced.
    pub calls: Vec<Line>,
    /// Comparison with the PBX's records, if given.
    pub cdr: Option<Matched>,
    /// Contradictions and faults, in words.
    pub faults: Vec<String>,
}

/// Audio owed and kept for the streams of a role, in all recordings of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RoleAudio {
    /// Streams.
    pub streams: u64,
    /// Time in which they sent, or should have been recorded. Units: ms.
    pub owed_ms: u64,
    /// Part of that in the recordings. Units: ms.
    pub kept_ms: u64,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// When it was announced.
    pub began_at: WallTime,
    /// Address of the recording client, or `api`.
    pub client: String,
    /// Department id; empty if none matched.
    pub department: String,
    /// The call, if it was admitted.
    pub call: Option<CallId>,
    /// Its one outcome.
    pub outcome: String,
    /// The outcome's cause; empty if there is none.
    pub cause: String,
    /// State of its audio.
    pub object: Object,
    /// Line of the PBX's record of it.
    pub cdr_line: Option<u64>,
}

/// State of a call's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// None, as expected.
    None,
    /// In the store.
    Stored,
    /// Not delivered yet.
    Waiting,
    /// Erased, as ordered.
    Erased,
    /// Missing.
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
