//! The one door for calls: what every signalling says of a call, and what it may ask of it.
//!
//! In: requests of the HTTP API and of SIPREC dialogs. Out: calls admitted to the engine.
//! Not here: how a request was worded on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;

use optag_core::call::consent::ConsentError;
use optag_core::call::{
    Answer, CallContext, ConsentHow, ConsentState, Evidence, GivenAnswer, Outcome, RefusedStreams, StreamRole,
};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;
pub use optag_media::codec::PayloadFormat;
use optag_media::fact::StreamCounts;
pub use optag_media::rtp::rtcp::RtcpPlan;
pub use optag_media::rtp::source_filter::ExpectedSource;
pub use optag_media::rtp::srtp::SrtpPlan;
pub use optag_media::rtp::telephone_event::EventFormat;
pub use optag_media::stream::media::StreamMedia;

/// A call that asks to be admitted.
#[derive(Clone, Debug)]
pub struct NewCall {
    /// Id of the department that takes it.
    pub department: String,
    /// Number called from.
    pub caller_number: Private<String>,
    /// Number called.
    pub called_number: Private<String>,
    /// The caller's name.
    pub caller_name: Option<Private<String>>,
    /// The feed's own name for the call.
    pub external_id: Option<Private<String>>,
    /// 1 to 8 streams, in channel order.
    pub streams: Vec<NewStream>,
    /// Which consent prompt the caller hears, where the feed knows.
    pub prompt_version: Option<String>,
    /// What else signalling knows of it; the default knows nothing.
    pub context: CallContext,
    /// Which client of the API announces it, whose share of the ports it takes. `None`: SIPREC, which has
    /// counted already.
    pub client: Option<String>,
}

/// A stream that asks for a port.
#[derive(Clone, Debug)]
pub struct NewStream {
    /// Unique in the call; echoed.
    pub label: String,
    /// The role of who speaks in it.
    pub role: StreamRole,
    /// Number, address or name of who speaks in it, where the feed says it with the stream. Only compared with the
    /// employees who object to being recorded.
    pub speaker: Option<Private<String>>,
    /// What it carries.
    pub media: StreamMedia,
}

/// An admitted call.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Names the call from now on.
    pub id: CallId,
    /// Its consent state: asked, or unknown where the department is not recorded.
    pub consent: ConsentState,
    /// Where to send each stream's RTP, in the order asked.
    pub streams: Vec<SocketAddr>,
}

/// Why a call was not admitted. Nothing of it remains.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// No department has this id.
    #[error("there is no department `{0}`")]
    UnknownDepartment(String),
    /// No stream, too many, or two with one label.
    #[error("{0}")]
    BadStreams(String),
    /// Every RTP port is in use. Try again shortly.
    #[error("all RTP ports are in use")]
    PortsUsedUp,
    /// The client, or its kind of signalling, has as many streams as it may have.
    #[error("the client has as many streams as it may have")]
    Quota,
    /// The recorder protects the calls it has. Try again shortly.
    #[error("the recorder takes no new calls at the moment: {0}")]
    Overloaded(&'static str),
    /// The recorder is shutting down.
    #[error("the recorder is shutting down")]
    Draining,
}

impl AdmitError {
    /// Stable name, for metrics and accounts.
    pub const fn name(&self) -> &'static str {
        match self {
            AdmitError::UnknownDepartment(_) => "unknown_department",
            AdmitError::BadStreams(_) => "bad_streams",
            AdmitError::PortsUsedUp => "ports_used_up",
            AdmitError::Quota => "client_quota",
            AdmitError::Overloaded(_) => "overloaded",
            AdmitError::Draining => "draining",
        }
    }
}

/// What may be asked of a call in progress.
#[derive(Clone, Debug)]
pub enum Control {
    /// An answer to the consent prompt.
    Answer {
        /// Yes or no.
        answer: Answer,
        /// By which way it was given.
        how: ConsentHow,
        /// Which prompt the caller heard.
        prompt_version: Option<String>,
        /// What shows it.
        evidence: Evidence,
    },
    /// Consent is taken back: capture stops, what there is is erased.
    Withdraw {
        /// By which way.
        how: ConsentHow,
        /// What shows it.
        evidence: Evidence,
    },
    /// Another department takes the call. Where the caller's yes did not name it, nothing is
    /// kept from this moment until a new answer.
    Transfer {
        /// The department's id.
        department: String,
        /// Which prompt the caller hears there.
        prompt_version: Option<String>,
        /// What shows it.
        evidence: Evidence,
    },
    /// Keep nothing until [`Control::Resume`]; the time axis goes on.
    Pause,
    /// Go on after [`Control::Pause`].
    Resume,
    /// More became known of the call: links and participants replace what was known, raw
    /// bodies are added. Changes no audio.
    Describe(Box<CallContext>),
    /// A stream's sender, codings or payload types changed in mid-call; its port stays.
    Renegotiate {
        /// Index of the stream.
        stream: u8,
        /// What it carries from now on. Keys that stay keep their roll-over counters.
        media: Box<StreamMedia>,
    },
    /// A stream joins in mid-call, behind those there are. The answer's last stream is it. Its
    /// channel is silence until now, and marked as such.
    AddStream(Box<NewStream>),
    /// Somebody else speaks in a stream from now on.
    Speaker {
        /// Index of the stream.
        stream: u8,
        /// Number, address or name, as [`NewStream::speaker`].
        speaker: Private<String>,
    },
    /// There is no use for a stream any more; [`Control::Renegotiate`] brings it back. Its
    /// channel and its port stay.
    DropStream {
        /// Index of the stream.
        stream: u8,
    },
    /// The call is over.
    End,
}

impl Control {
    /// The answer that it gives, if it is one.
    pub fn answer(&self) -> Option<GivenAnswer> {
        let Self::Answer { answer, how, prompt_version, evidence } = self.clone() else { return None };
        Some(GivenAnswer { answer, how, prompt_version, evidence })
    }
}

impl From<GivenAnswer> for Control {
    fn from(GivenAnswer { answer, how, prompt_version, evidence }: GivenAnswer) -> Self {
        Self::Answer { answer, how, prompt_version, evidence }
    }
}

/// Why a control did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such call in progress.
    #[error("there is no call {0} in progress")]
    NoSuchCall(CallId),
    /// No department has this id.
    #[error("there is no department `{0}`")]
    UnknownDepartment(String),
    /// The consent rules forbid it.
    #[error(transparent)]
    Consent(#[from] ConsentError),
    /// Too many answers wait for calls that were not announced yet.
    #[error("too many answers wait for their calls")]
    TooManyPending,
    /// A yes is for one call, and another of the same name got it.
    #[error("another call of this name has the answer")]
    AnotherHasIt,
    /// This recorder cannot do it; the call goes on as it was.
    #[error("the recorder cannot {0}")]
    Unsupported(&'static str),
    /// A stream that asks to join does not fit the call.
    #[error("{0}")]
    BadStream(String),
    /// Every RTP port is in use. Try again shortly.
    #[error("all RTP ports are in use")]
    PortsUsedUp,
    /// The client that announced the call has its share of them. Its calls must end first.
    #[error("this client has its share of the RTP ports")]
    Quota,
    /// The spool cannot make it durable; the call keeps nothing more.
    #[error("the change could not be made durable")]
    NotDurable,
}

/// A call as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct CallView {
    /// Its id.
    pub id: CallId,
    /// The department's id.
    pub department: String,
    /// The feed's own name for it.
    pub external_id: Option<Private<String>>,
    /// Who talks; none once it has ended.
    pub parties: Option<Parties>,
    /// When it was admitted.
    pub started_at: WallTime,
    /// When it ended.
    pub ended_at: Option<WallTime>,
    /// Where consent stands.
    pub consent: ConsentState,
    /// Whether the feed has paused it.
    pub paused: bool,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// Per stream, in channel order.
    pub streams: Vec<StreamView>,
}

/// The parties of a call, as the feed announced them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parties {
    /// Number called from.
    pub caller_number: Private<String>,
    /// Number called.
    pub called_number: Private<String>,
    /// The caller's name.
    pub caller_name: Option<Private<String>>,
}

/// A stream as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct StreamView {
    /// The feed's name for it.
    pub label: String,
    /// Who speaks in it.
    pub role: StreamRole,
    /// Where its RTP is taken.
    pub address: SocketAddr,
    /// Packet counters, as of the last tick.
    pub counts: StreamCounts,
}

/// What became of an answer by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Calls that have it.
    pub reached: Vec<CallId>,
    /// Calls of the name that have not, and why.
    pub missed: Vec<(CallId, String)>,
}

/// Admits calls and steers them.
pub trait Feed: Send + Sync {
    /// Takes a call in. Once this answers, its ports are open and the admission is durable.
    fn admit(&self, call: NewCall) -> BoxFuture<'_, Result<Admitted, AdmitError>>;

    /// Applies a control. Once this answers, the change holds and is durable; a withdrawal
    /// has made what was stored unreadable.
    fn control(&self, id: CallId, control: Control) -> BoxFuture<'_, Result<CallView, ControlError>>;

    /// A stream that asked to join a call in progress was refused. Whoever keeps an account of the call himself, as
    /// SIPREC does, does not say it here.
    fn stream_refused(&self, id: CallId, label: &str, refused: RefusedStreams);

    /// Writes down what another process needs to go on with the call's signalling; the last text
    /// counts. Does not wait for it to be durable.
    fn keep(&self, id: CallId, text: Private<String>);

    /// The client of a call has shown that it lives: for `vouched`, and for the usual time at least,
    /// silence is no reason to end it.
    fn alive(&self, _id: CallId, _vouched: Duration) {}

    /// A call may be silent for so long before it ends.
    fn silence(&self, _id: CallId, _silence: Duration) {}

    /// A call in progress or ended lately.
    fn call(&self, id: CallId) -> Option<CallView>;

    /// Calls in progress and those ended lately, newest first.
    fn calls(&self) -> Vec<CallView>;

    /// Gives an answer to every call that has this name, or keeps it, durably, for those that will. A
    /// name is a Call-ID, a Session-ID, a UCID or the feed's own id.
    ///
    /// Errors: no call was reached and nothing is kept; why.
    fn answer_by_name(
        &self,
        name: Private<String>,
        answer: Control,
    ) -> BoxFuture<'_, Result<Named, ControlError>>;

    /// Gives an answer to every call of this name that is in progress here. There may be none; nothing is kept.
    ///
    /// Errors: there are calls of this name, and none was reached; why.
    fn answer_here(
        &self,
        name: Private<String>,
        answer: Control,
    ) -> BoxFuture<'_, Result<Named, ControlError>>;

    /// Changes of consent as they happen; who reads too slowly misses some.
    fn consents(&self) -> tokio::sync::broadcast::Receiver<(CallId, ConsentState)>;
}
