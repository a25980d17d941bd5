//! The parts of a request's body that matter to a recorder.
//!
//! In: a request. Out: its session description, its metadata, what else it carries. Types
//! that equipment mangles are recognised by what they hold. Not here: what they say.

use crate::sdp::{self, Offer, SdpError};
use crate::sip::flow::Flow;
use crate::sip::message::Request;
use crate::sip::multipart::{Part, parts};
use crate::sip::response::Answer;
use optag_core::call::RawBody;
use optag_core::clock::WallTime;

/// The longest body that is kept as it came. Units: bytes.
pub const KEPT_BYTES: usize = 256 * 1024;

/// What a body is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The session description.
    pub sdp: Option<Vec<u8>>,
    /// Metadata documents.
    pub metadata: Vec<Vec<u8>>,
    /// Whether a document came as `application/rs-metadata`, the name that RFC 9806 corrected.
    pub uncorrected_type: bool,
    /// Keys relayed by INFO.
    pub keys: Vec<char>,
    /// Whether there is nothing but what nobody here understands.
    pub unknown: bool,
    /// Everything but the description, as it came.
    pub raw: Vec<RawBody>,
}

/// Whether a request's body is packed in a way that is not undone here.
///
/// Source: RFC 3261 §20.12 and §21.4.13.
pub fn is_encoded(request: &Request) -> bool {
    let foreign = |name: &String| !name.is_empty() && !name.eq_ignore_ascii_case("identity");
    !request.body.is_empty() && request.headers.list("content-encoding").iter().any(foreign)
}

/// The answer to such a request: it says what is taken.
pub fn encoded() -> Answer {
    Answer::new(415, "").with("Accept-Encoding", "identity")
}

/// Takes a request's body apart.
pub fn read(request: &Request, at: WallTime) -> Body {
    let mut body = Body::default();
    if request.body.trim_ascii().is_empty() {
        return body;
    }
    let (_, whole) = request.content_type().unwrap_or_default();
    let all = parts(&whole, &request.body);
    let mut understood = all.iter().all(|part| !part.required);
    for part in &all {
        let kind = kind_of(part);
        understood |= kind != Kind::Unknown;
        match kind {
            Kind::Sdp => {
                body.sdp.get_or_insert(part.content.to_vec());
                continue;
            }
            Kind::Metadata => {
                body.uncorrected_type |= part.media_type == "application/rs-metadata";
                body.metadata.push(part.content.to_vec());
            }
            Kind::Keys => body.keys.extend(keys_of(&part.content)),
            Kind::Unknown => {}
        }
        if kind != Kind::Keys {
            let text = String::from_utf8_lossy(&part.content[..part.content.len().min(KEPT_BYTES)]);
            body.raw.push(RawBody {
                at,
                media_type: part.media_type.clone(),
                text: text.into_owned().into(),
            });
        }
    }
    body.unknown = !understood;
    body
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sdp,
    Metadata,
    Keys,
    Unknown,
}

fn kind_of(part: &Part<'_>) -> Kind {
    let starts = |text: &[u8]| part.content.trim_ascii_start().starts_with(text);
    match part.media_type.as_str() {
        "application/sdp" => Kind::Sdp,
        "application/rs-metadata" | "application/rs-metadata+xml" => Kind::Metadata,
        "application/dtmf-relay" | "application/dtmf" => Kind::Keys,
        _ if part.disposition == "recording-session" => Kind::Metadata,
        _ if starts(b"v=0") => Kind::Sdp,
        media_type if starts(b"<") && (media_type.contains("xml") || media_type.is_empty()) => Kind::Metadata,
        _ => Kind::Unknown,
    }
}

/// The key in `Signal=5` lines, or in a body that is nothing but a key.
fn keys_of(content: &[u8]) -> Option<char> {
    let text = String::from_utf8_lossy(content);
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let signal = lines.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("signal"));
    let value = signal.map_or(text.trim(), |(_, value)| value.trim());
    let key = match value {
        "10" => '*',
        "11" => '#',
        _ => value.chars().next().filter(|_| value.len() == 1)?.to_ascii_uppercase(),
    };
    (key.is_ascii_digit() || "*#ABCD".contains(key)).then_some(key)
}

/// Parses an SDP received on this flow.
pub(crate) fn read_offer(text: &[u8], flow: Flow) -> Result<Offer, SdpError> {
    sdp::parse(text).map(|offer| offer.heard_from(flow.peer.ip()))
}
