//! The bodies of `/api/v1/calls`, and their checks.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::{FieldError, Problem};
use crate::base::clock::WallTime;
use crate::base::id::CallId;
use crate::base::limit;
use crate::base::private::Private;
use crate::call::{ConsentState, Outcome, StreamRole};
use crate::media::codec::Encoding;
use crate::media::output::StreamCounts;
use crate::signalling::feed::{CallView, EventFormat, ExpectedSource, NewCall, NewStream, PayloadFormat};

/// RFC 4733 payload type that nearly everyone uses.
const TELEPHONE_EVENT: u8 = 101;

/// A call to announce.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallBody {
    /// Id of the department that takes it.
    #[schema(example = "demo")]
    department: String,
    /// Number called from.
    #[schema(example = "+45 12 34 56 78")]
    caller_number: String,
    /// Number called.
    #[schema(example = "+45 87 65 43 21")]
    called_number: String,
    /// The caller's name.
    caller_name: Option<String>,
    /// Your own name for the call.
    external_id: Option<String>,
    /// Which consent prompt the caller hears; left out: the department's first.
    prompt_version: Option<String>,
    /// 1 to 8 streams, in channel order.
    streams: Vec<StreamBody>,
}

/// One direction of one party's audio.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamBody {
    /// Your name for it, unique in the call.
    label: String,
    /// `caller`, `employee`, `mixed` or `other`. Left out: the first is the caller, the second
    /// the employee; a single one is mixed.
    #[schema(value_type = Option<String>)]
    role: Option<StreamRole>,
    /// `pcmu`, `pcma`, `g722`, `opus`, or `l16/` and its rate: 8000, 16000, 24000 or 48000.
    #[schema(value_type = String)]
    codec: Encoding,
    /// Left out: the codec's own; `opus` and `l16` have none.
    payload_type: Option<u8>,
    /// Payload type of key presses (RFC 4733); null for none.
    #[serde(default = "default_event")]
    #[schema(default = 101)]
    telephone_event: Option<u8>,
    /// Where the packets will come from. Others are refused.
    source: Option<SourceBody>,
}

/// A stream's sender.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceBody {
    /// Its address.
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    /// Its port.
    port: Option<u16>,
    /// Its SSRC.
    ssrc: Option<u32>,
}

fn default_event() -> Option<u8> {
    Some(TELEPHONE_EVENT)
}

/// An admitted call.
#[derive(Serialize, ToSchema)]
pub struct AdmittedBody {
    /// Names the call, and its recording.
    #[schema(value_type = String, format = Uuid)]
    pub id: CallId,
    /// `asked`, or `unknown` where the department is not recorded.
    #[schema(value_type = String)]
    pub consent: ConsentState,
    /// As asked, in order.
    pub streams: Vec<StreamPlace>,
}

/// Where to send a stream.
#[derive(Serialize, ToSchema)]
pub struct StreamPlace {
    /// Your name for it.
    pub label: String,
    /// Send its RTP here.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// To this port.
    pub port: u16,
}

/// A call as it stands.
#[derive(Serialize, ToSchema)]
pub struct CallAnswer {
    #[schema(value_type = String, format = Uuid)]
    id: CallId,
    department: String,
    #[schema(value_type = Option<String>)]
    external_id: Option<Private<String>>,
    #[schema(value_type = String, format = DateTime)]
    started_at: WallTime,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<WallTime>,
    #[schema(value_type = String)]
    consent: ConsentState,
    paused: bool,
    #[schema(value_type = Option<Object>)]
    outcome: Option<Outcome>,
    streams: Vec<StreamAnswer>,
}

/// A stream as it stands.
#[derive(Serialize, ToSchema)]
pub struct StreamAnswer {
    #[schema(value_type = String)]
    role: StreamRole,
    #[serde(flatten)]
    place: StreamPlace,
    #[schema(value_type = Object)]
    counts: StreamCounts,
}

impl From<CallView> for CallAnswer {
    fn from(view: CallView) -> Self {
        let streams = view.streams.into_iter().map(|stream| StreamAnswer {
            role: stream.role,
            place: StreamPlace {
                label: stream.label,
                address: stream.address.ip(),
                port: stream.address.port(),
            },
            counts: stream.counts,
        });
        Self {
            id: view.id,
            department: view.department,
            external_id: view.external_id,
            started_at: view.started_at,
            ended_at: view.ended_at,
            consent: view.consent,
            paused: view.paused,
            outcome: view.outcome,
            streams: streams.collect(),
        }
    }
}

impl CallBody {
    /// Checks everything. Errors: every field that is wrong.
    pub fn check(self) -> Result<NewCall, Problem> {
        let mut wrong = Wrong(Vec::new());
        wrong.text("department", &self.department, limit::TEXT_CHARS);
        wrong.number("caller_number", &self.caller_number);
        wrong.number("called_number", &self.called_number);
        for (field, text) in [
            ("caller_name", &self.caller_name),
            ("external_id", &self.external_id),
            ("prompt_version", &self.prompt_version),
        ] {
            if let Some(text) = text {
                wrong.text(field, text, limit::TEXT_CHARS);
            }
        }
        if !(1..=limit::STREAMS_PER_CALL).contains(&self.streams.len()) {
            wrong.add("streams", format!("1 to {} streams are allowed", limit::STREAMS_PER_CALL));
        }
        for (at, stream) in self.streams.iter().enumerate() {
            stream.check(at, &mut wrong);
            if self.streams[..at].iter().any(|other| other.label == stream.label) {
                wrong.add(format!("streams[{at}].label"), "another stream has this label");
            }
        }
        if !wrong.0.is_empty() {
            return Err(Problem::fields(wrong.0));
        }
        let count = self.streams.len();
        let streams = self.streams.into_iter().enumerate().map(|(at, stream)| stream.stream(at, count));
        Ok(NewCall {
            department: self.department,
            caller_number: self.caller_number.into(),
            called_number: self.called_number.into(),
            caller_name: self.caller_name.map(Private::new),
            external_id: self.external_id.map(Private::new),
            streams: streams.collect(),
            prompt_version: self.prompt_version,
            context: Default::default(),
        })
    }
}

impl StreamBody {
    fn check(&self, at: usize, wrong: &mut Wrong) {
        wrong.text(&format!("streams[{at}].label"), &self.label, limit::TEXT_CHARS);
        let payload_type = self.payload_type.or(self.codec.static_payload_type());
        if payload_type.is_none() {
            wrong.add(format!("streams[{at}].payload_type"), "this codec has none of its own: say which");
        } else if self.audio_type() > 127 {
            wrong.add(format!("streams[{at}].payload_type"), "0 to 127 is allowed");
        }
        if self.telephone_event.is_some_and(|event| event > 127) {
            wrong.add(format!("streams[{at}].telephone_event"), "0 to 127 is allowed");
        } else if self.telephone_event == Some(self.audio_type()) {
            wrong.add(format!("streams[{at}].telephone_event"), "this is the payload type of the audio");
        }
        if self.source.as_ref().is_some_and(|source| source.port == Some(0)) {
            wrong.add(format!("streams[{at}].source.port"), "1 to 65535 is allowed");
        }
    }

    fn audio_type(&self) -> u8 {
        self.payload_type.or(self.codec.static_payload_type()).unwrap_or_default()
    }

    fn stream(self, at: usize, count: usize) -> NewStream {
        let payload_type = self.audio_type();
        let source = self.source.map_or_else(ExpectedSource::default, |source| ExpectedSource {
            ip: source.ip,
            port: source.port,
            ssrc: source.ssrc,
        });
        let role = self.role.unwrap_or(match (at, count) {
            (0, 1) => StreamRole::Mixed,
            (0, _) => StreamRole::Caller,
            (1, _) => StreamRole::Employee,
            _ => StreamRole::Other,
        });
        // Events share the clock of the audio that they interrupt (RFC 4733 §2.1).
        let event = |payload_type| EventFormat { payload_type, clock_hz: self.codec.clock_hz() };
        NewStream {
            label: self.label,
            role,
            formats: vec![PayloadFormat { payload_type, encoding: self.codec }],
            telephone_event: self.telephone_event.into_iter().map(event).collect(),
            comfort_noise: Vec::new(),
            source,
            srtp: None,
        }
    }
}

/// Gathers what is wrong.
pub(super) struct Wrong(pub Vec<FieldError>);

impl Wrong {
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    pub fn text(&mut self, field: &str, text: &str, most: usize) {
        if text.trim().is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
            self.add(field, format!("1 to {most} characters, no control characters"));
        }
    }

    fn number(&mut self, field: &str, text: &str) {
        let count = text.chars().count();
        if !(1..=limit::NUMBER_CHARS).contains(&count)
            || !text.chars().all(|c| c == ' ' || c.is_ascii_graphic())
        {
            self.add(field, format!("1 to {} printable ASCII characters", limit::NUMBER_CHARS));
        }
    }
}
