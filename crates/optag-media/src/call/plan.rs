//! What a call is set up with, what may be asked of it, and how it stands.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::snapshot::Resumption;
use crate::dtmf::tone_listener::ToneSettings;
use crate::fact::{Ended, StreamCounts};
use crate::net::port_pool::StreamSockets;
use crate::stats::CallGauges;
use crate::stream::plan::LegPlan;
use crate::stream::settings::CaptureSettings;
use optag_core::call::consent::ConsentError;
use optag_core::call::{Answer, ConsentHow, ConsentState, Evidence, Question, StreamFacts};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::id::CallId;

/// What every call of an engine shares.
#[derive(Clone, Copy, Debug)]
pub struct CallSettings {
    /// How streams are captured.
    pub capture: CaptureSettings,
    /// How keys pressed as tones are listened for.
    pub tones: ToneSettings,
    /// How long every stream may be silent until the call counts as over.
    pub rtp_timeout: Duration,
    /// Whether senders get receiver reports.
    pub reports: bool,
}

/// What a call starts with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallRules {
    /// Its id.
    pub id: CallId,
    /// What its department asks.
    pub question: Question,
    /// The prompt that the caller hears, where that is known.
    pub prompt_version: Option<String>,
}

/// A call to take in.
pub struct CallPlan {
    /// Its rules.
    pub rules: CallRules,
    /// Its streams in channel order, each with its sockets.
    pub streams: Vec<(LegPlan, StreamSockets)>,
    /// Where its packet counters are published.
    pub gauges: Arc<CallGauges>,
}

/// A call that an earlier process had.
pub struct ResumePlan {
    /// The call.
    pub resumption: Resumption,
    /// Its sockets, in channel order.
    pub sockets: Vec<StreamSockets>,
    /// Where its packet counters are published.
    pub gauges: Arc<CallGauges>,
}

/// A stream that joins a call.
pub struct StreamPlan {
    /// What is written down of it.
    pub facts: StreamFacts,
    /// What is known of it.
    pub leg: LegPlan,
    /// Its sockets.
    pub sockets: StreamSockets,
}

/// Something asked of a call.
#[derive(Clone, Debug)]
pub enum Command {
    /// An answer to the consent prompt.
    Answer {
        /// Yes or no.
        answer: Answer,
        /// By which way.
        how: ConsentHow,
        /// Which prompt was heard.
        prompt_version: Option<String>,
        /// What shows it.
        evidence: Evidence,
    },
    /// Consent is taken back.
    Withdraw {
        /// By which way.
        how: ConsentHow,
        /// What shows it.
        evidence: Evidence,
    },
    /// Another department takes the call.
    Transfer {
        /// What that department asks.
        to: Box<Question>,
        /// The prompt that the caller hears there, where that is known.
        prompt_version: Option<String>,
        /// What shows it.
        evidence: Evidence,
    },
    /// Keep nothing for now.
    Pause,
    /// Keep again.
    Resume,
    /// Signalling has shown that the call lives: silence does not end it for `vouched`, or for the
    /// usual time from now, whichever is longer.
    Alive {
        /// For how long signalling speaks for it.
        vouched: Duration,
    },
    /// The call may be silent for so long.
    Silence {
        /// Before it ends.
        silence: Duration,
    },
    /// A stream's sender, codings or payload types changed; its time axis goes on.
    Renegotiate {
        /// Index of the stream.
        stream: u8,
        /// What is known of it from now on; its role stays.
        plan: Box<LegPlan>,
    },
    /// Signalling has no use for a stream any more. Its channel stays, silent and marked.
    DropStream {
        /// Index of the stream.
        stream: u8,
    },
    /// The call is over.
    End,
}

/// How a call stands.
#[derive(Clone, Debug, PartialEq)]
pub struct CallState {
    /// Consent.
    pub consent: ConsentState,
    /// Whether it is paused.
    pub paused: bool,
    /// How it ended, if it has.
    pub ended: Option<Ended>,
    /// Packet counters, in channel order.
    pub streams: Vec<StreamCounts>,
}

/// Why the engine did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The threads cannot be started.
    #[error("the engine's threads cannot be started: {0}")]
    Threads(String),
    /// There are as many calls or commands as it takes.
    #[error("the engine is full")]
    Full,
    /// There is no such call.
    #[error("there is no such call")]
    NoSuchCall,
    /// The call has as many streams as it may have, or is over.
    #[error("the call takes no more streams")]
    NoMoreStreams,
    /// The consent rules forbid it.
    #[error(transparent)]
    Consent(#[from] ConsentError),
    /// Processing the call failed.
    #[error("processing the call failed")]
    Fault,
    /// It is shutting down.
    #[error("the engine is shutting down")]
    Stopped,
}

/// The time on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For measuring.
    pub mono: MonoTime,
    /// For dating.
    pub wall: WallTime,
}

impl Now {
    /// The wall time of a point a little while ago (or ahead).
    pub fn wall_at(&self, at: MonoTime) -> WallTime {
        let micros = (at.as_nanos() as i64 - self.mono.as_nanos() as i64) / 1_000;
        self.wall.plus_micros(micros)
    }
}
