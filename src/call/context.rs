//! What signalling tells of a call beside its two numbers: who else took part and when, what
//! it belongs to, and the bodies that said so.

use serde::{Deserialize, Serialize};

use crate::base::clock::WallTime;
use crate::base::private::Private;

/// The circumstances of a call. Personal data, stored sealed with the recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallContext {
    /// Number called from, where a later message knows it better than the first one.
    pub caller_number: Option<Private<String>>,
    /// Number called, likewise.
    pub called_number: Option<Private<String>>,
    /// The caller's name, likewise.
    pub caller_name: Option<Private<String>>,
    /// Names under which other systems, or other recordings of the same call, know it.
    pub links: Vec<CallLink>,
    /// Everyone who took part, in the order they were named.
    pub participants: Vec<Participant>,
    /// What was received, as it was received. A later context has only what is new.
    pub raw: Vec<RawBody>,
}

/// One name of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallLink {
    /// What kind of name.
    pub kind: LinkKind,
    /// The name.
    pub value: Private<String>,
}

/// Kinds of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// SIP Call-ID of the recording session.
    CallId,
    /// Communication session group: transfers and consultations share it.
    Group,
    /// Communication session.
    CommunicationSession,
    /// Session-ID (RFC 7989) of the recorded call.
    SessionId,
    /// Universal call identifier (User-to-User, or a metadata extension).
    Ucid,
    /// Cisco-Guid.
    CiscoGuid,
    /// The reference by which two streams of one forking phone find each other.
    ForkReference,
}

/// Someone who took part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Addresses: numbers or SIP URIs.
    pub addresses: Vec<Private<String>>,
    /// Name, where it is known.
    pub name: Option<Private<String>>,
    /// Labels of the streams that carry this voice.
    pub labels: Vec<String>,
    /// When this participant was first named, by our clock.
    pub joined_at: WallTime,
    /// When it was said to have left.
    pub left_at: Option<WallTime>,
}

/// One received body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawBody {
    /// When it came.
    pub at: WallTime,
    /// Its media type; `message/sip` for header fields of a request.
    pub media_type: String,
    /// Its text; bytes that are not UTF-8 are replaced.
    pub text: Private<String>,
}
