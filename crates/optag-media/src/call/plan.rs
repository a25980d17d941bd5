//! The parameters of a new call, the commands for a call, and its state.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::snapshot::Resumption;
use crate::dtmf::tone_listener::ToneSettings;
use crate::fact::{Ended, StreamCounts, StreamIndex};
use crate::net::port_pool::StreamSockets;
use crate::stats::CallGauges;
use crate::stream::media::StreamMedia;
use crate::stream::plan::StreamPlan;
use crate::stream::settings::CaptureSettings;
use optag_core::call::consent::ConsentError;
use optag_core::call::{Answer, ConsentHow, ConsentState, Evidence, Question, StreamFacts};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::id::CallId;

/// Settings shared by all calls of an engine.
#[derive(Clone, Copy, Debug)]
pub struct CallSettings {
    /// How streams are captured.
    pub capture: CaptureSettings,
    /// Detection of key tones.
    pub tones: ToneSettings,
    /// A call ends after this long without packets on any stream.
    pub rtp_timeout: Duration,
    /// Whether senders get receiver reports.
    pub reports: bool,
}

/// The rules that a call starts with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallRules {
    /// Its id.
    pub id: CallId,
    /// The consent question of its department.
    pub question: Question,
    /// The prompt that the caller hears, if known.
    pub prompt_version: Option<String>,
}

/// A call to admit.
pub struct CallPlan {
    /// Its rules.
    pub rules: CallRules,
    /// Its streams in channel order, each with its sockets.
    pub streams: Vec<(StreamPlan, StreamSockets)>,
    /// Whether it may be encoded later, where the engine nears its limit.
    pub may_spill: bool,
    /// Where its packet counters are published.
    pub gauges: Arc<CallGauges>,
}

/// A call of an earlier process.
pub struct ResumePlan {
    /// The call.
    pub resumption: Resumption,
    /// Its sockets, in channel order.
    pub sockets: Vec<StreamSockets>,
    /// Where its packet counters are published.
    pub gauges: Arc<CallGauges>,
}

/// A stream that joins a call.
pub struct JoiningStream {
    /// Its description as stored.
    pub facts: StreamFacts,
    /// Its media parameters.
    pub plan: StreamPlan,
    /// Its sockets.
    pub sockets: StreamSockets,
}

/// A command for a call.
#[derive(Clone, Debug)]
pub enum Command {
    /// An answer to the consent prompt.
    Answer {
        /// Yes or no.
        answer: Answer,
        /// The channel of the answer.
        how: ConsentHow,
        /// The prompt that was heard.
        prompt_version: Option<String>,
        /// Its evidence.
        evidence: Evidence,
    },
    /// Withdraws consent.
    Withdraw {
        /// The channel of the withdrawal.
        how: ConsentHow,
        /// Its evidence.
        evidence: Evidence,
    },
    /// Another department takes the call.
    Transfer {
        /// The consent question of that department.
        to: Box<Question>,
        /// The prompt that the caller hears there, if known.
        prompt_version: Option<String>,
        /// Its evidence.
        evidence: Evidence,
    },
    /// Stop keeping audio for now.
    Pause,
    /// Keep audio again.
    Resume,
    /// Signalling has shown that the call is alive: silence does not end it for `vouched`, or for the usual
    /// timeout from now, whichever is longer.
    Alive {
        /// How long signalling vouches for it.
        vouched: Duration,
    },
    /// Sets the call's inactivity timeout.
    Silence {
        /// The timeout.
        silence: Duration,
    },
    /// A stream's sender, codecs or payload types changed; its time axis continues.
    Renegotiate {
        /// The stream.
        stream: StreamIndex,
        /// Its media parameters from now on; its role stays the same.
        media: Box<StreamMedia>,
    },
    /// Signalling has removed a stream. Its channel remains, silent and marked.
    DropStream {
        /// The stream.
        stream: StreamIndex,
    },
    /// Which streams are not kept, as who speaks in them objects to being recorded; of those beyond the list nothing
    /// changes.
    Withhold {
        /// In channel order.
        streams: Vec<bool>,
    },
    /// The call is over.
    End,
}

/// The state of a call.
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

/// Why the engine rejected a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The threads cannot be started.
    #[error("the engine's threads cannot be started: {0}")]
    Threads(String),
    /// The limit of calls or commands is reached.
    #[error("the engine is full")]
    Full,
    /// There is no such call.
    #[error("there is no such call")]
    NoSuchCall,
    /// The call has its maximum number of streams, or has ended.
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

/// The time by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For measuring.
    pub mono: MonoTime,
    /// For dating.
    pub wall: WallTime,
}

impl Now {
    /// The wall time of a point in the recent past (or near future).
    pub fn wall_at(&self, at: MonoTime) -> WallTime {
        let micros = (at.as_nanos() as i64 - self.mono.as_nanos() as i64) / 1_000;
        self.wall.plus_micros(micros)
    }
}
