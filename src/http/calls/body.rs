//! The bodies of `/api/v1/calls`, and their checks.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::calls::offer::Offer;
use crate::http::calls::stream_body::{Leave, StreamBody};
use crate::http::problem::{FieldError, Problem};
use optag_core::call::text::{clean, is_plain};
use optag_core::call::{ConsentState, Outcome, StreamRole};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::limit;
use optag_core::private::Private;
use optag_media::fact::StreamCounts;
use optag_sip::feed::{CallView, NewCall};

/// A call to announce.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallBody {
    /// Id of the department that takes it.
    #[schema(example = "demo")]
    department: String,
    /// Calling number.
    #[schema(example = "+45 12 34 56 78")]
    caller_number: String,
    /// Called number.
    #[schema(example = "+45 87 65 43 21")]
    called_number: String,
    /// The caller's name. Control and invisible characters are removed, and everything beyond 200 characters.
    caller_name: Option<String>,
    /// Your own identifier of the call.
    external_id: Option<String>,
    /// The consent prompt that the caller hears; default: the department's first.
    prompt_version: Option<String>,
    /// 1 to 8 streams, in channel order.
    streams: Vec<StreamBody>,
}

/// An admitted call.
#[derive(Serialize, ToSchema)]
pub(crate) struct AdmittedBody {
    /// Id of the call and its recording.
    #[schema(value_type = String, format = Uuid)]
    pub id: CallId,
    /// `asked`, or `unknown` if the department is not recorded.
    #[schema(value_type = String)]
    pub consent: ConsentState,
    /// One per stream, in order.
    pub streams: Vec<StreamPlace>,
}

/// Destination of a stream.
#[derive(Serialize, ToSchema)]
pub(crate) struct StreamPlace {
    /// Your label of the stream.
    pub label: String,
    /// Send RTP to this address, and RTCP to the port after the RTP port unless both are multiplexed.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Destination port.
    pub port: u16,
    /// Identification of the stream's packets, only in the response to its announcement.
    #[serde(flatten)]
    pub offer: Offer,
}

/// The state of a call.
#[derive(Serialize, ToSchema)]
pub(crate) struct CallAnswer {
    #[schema(value_type = String, format = Uuid)]
    id: CallId,
    department: String,
    #[schema(value_type = Option<String>)]
    external_id: Option<Private<String>>,
    /// Who talks, where `parties` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    parties: Option<PartiesAnswer>,
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

/// The parties of a call in progress.
#[derive(Serialize, ToSchema)]
pub(crate) struct PartiesAnswer {
    /// Number called from.
    #[schema(value_type = String)]
    caller_number: Private<String>,
    /// Number called.
    #[schema(value_type = String)]
    called_number: Private<String>,
    /// The caller's name.
    #[schema(value_type = Option<String>)]
    caller_name: Option<Private<String>>,
}

/// The state of a stream.
#[derive(Serialize, ToSchema)]
pub(crate) struct StreamAnswer {
    #[schema(value_type = String)]
    role: StreamRole,
    #[serde(flatten)]
    place: StreamPlace,
    #[schema(value_type = Object)]
    counts: StreamCounts,
}

impl CallAnswer {
    /// The state with the parties.
    pub(crate) fn with_parties(mut view: CallView) -> Self {
        let parties = view.parties.take().map(|parties| PartiesAnswer {
            caller_number: parties.caller_number,
            called_number: parties.called_number,
            caller_name: parties.caller_name,
        });
        Self { parties, ..Self::from(view) }
    }
}

impl From<CallView> for CallAnswer {
    fn from(view: CallView) -> Self {
        let streams = view.streams.into_iter().map(|stream| StreamAnswer {
            role: stream.role,
            place: StreamPlace {
                label: stream.label,
                address: stream.address.ip(),
                port: stream.address.port(),
                offer: Offer::default(),
            },
            counts: stream.counts,
        });
        Self {
            id: view.id,
            department: view.department,
            external_id: view.external_id,
            parties: None,
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
    /// Validates everything; returns the call, and the response's offer for each stream. `learns` says
    /// whether streams may omit their source.
    ///
    /// Errors: every invalid field.
    pub(crate) fn check(self, learns: bool) -> Result<(NewCall, Vec<Offer>), Problem> {
        let mut wrong = Wrong(Vec::new());
        wrong.text("department", &self.department, limit::TEXT_CHARS);
        wrong.number("caller_number", &self.caller_number);
        wrong.number("called_number", &self.called_number);
        for (field, text) in [("external_id", &self.external_id), ("prompt_version", &self.prompt_version)] {
            if let Some(text) = text {
                wrong.text(field, text, limit::TEXT_CHARS);
            }
        }
        if !(1..=limit::STREAMS_PER_CALL).contains(&self.streams.len()) {
            wrong.add("streams", format!("1 to {} streams are allowed", limit::STREAMS_PER_CALL));
        }
        for (at, stream) in self.streams.iter().enumerate() {
            let leave = Leave { source: learns, key: true };
            stream.check(&format!("streams[{at}]."), leave, &mut wrong);
            if self.streams[..at].iter().any(|other| other.label == stream.label) {
                wrong.add(format!("streams[{at}].label"), "another stream has this label");
            }
        }
        if !wrong.0.is_empty() {
            return Err(Problem::fields(wrong.0));
        }
        let count = self.streams.len();
        let role = |at| match (at, count) {
            (0, 1) => StreamRole::Mixed,
            (0, _) => StreamRole::Caller,
            (1, _) => StreamRole::Employee,
            _ => StreamRole::Other,
        };
        let streams = self.streams.into_iter().enumerate().map(|(at, stream)| stream.stream(role(at)));
        let (streams, offers) = streams.unzip();
        let caller_name = self.caller_name.map(|name| clean(&name, limit::TEXT_CHARS));
        let call = NewCall {
            department: self.department,
            caller_number: self.caller_number.into(),
            called_number: self.called_number.into(),
            caller_name: caller_name.filter(|name| !name.is_empty()).map(Private::new),
            external_id: self.external_id.map(Private::new),
            streams,
            prompt_version: self.prompt_version,
            context: Default::default(),
            client: None,
        };
        Ok((call, offers))
    }
}

/// Collects invalid fields.
pub(in crate::http) struct Wrong(pub Vec<FieldError>);

impl Wrong {
    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    pub(crate) fn text(&mut self, field: &str, text: &str, most: usize) {
        if text.trim().is_empty() || text.chars().count() > most || !is_plain(text) {
            self.add(field, format!("1 to {most} characters, no control or invisible characters"));
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
