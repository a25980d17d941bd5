//! Media types of a request for metadata, by what the client understands.

use serde::{Deserialize, Serialize};

use crate::sip::message::Request;
use crate::siprec::body::Body;

/// The request in the form of RFC 7865 §7.
const DOCUMENT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
    <requestsnapshot xmlns='urn:ietf:params:xml:ns:recording:1'>\r\n\
    <requestreason xml:lang=\"en\">Metadata incomplete</requestreason>\r\n</requestsnapshot>\r\n";
/// The request in the form of the drafts.
const REASON: &str = "Metadata incomplete\r\n";

/// Media type of the request, by what the client understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestType {
    /// That of RFC 7865 and RFC 9806.
    #[default]
    Corrected,
    /// That of RFC 7866.
    Uncorrected,
    /// That of the drafts.
    Draft,
}

impl RequestType {
    /// How many there are.
    pub(super) const ALL: u8 = 3;

    /// The type to try first: one that the client lists in Accept, or else that of its own documents.
    pub(in crate::siprec) fn of(invite: &Request, body: &Body) -> Self {
        let all = [Self::Corrected, Self::Uncorrected, Self::Draft];
        let own = if body.uncorrected_type { Self::Uncorrected } else { Self::Corrected };
        all.into_iter().find(|kind| invite.headers.lists("accept", kind.name())).unwrap_or(own)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Corrected => "application/rs-metadata+xml",
            Self::Uncorrected => "application/rs-metadata",
            Self::Draft => "application/rs-metadata-request",
        }
    }

    pub(super) const fn body(self) -> &'static str {
        match self {
            Self::Corrected | Self::Uncorrected => DOCUMENT,
            Self::Draft => REASON,
        }
    }

    /// The type to try after this one; every type comes once in [`RequestType::ALL`] steps.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Corrected => Self::Uncorrected,
            Self::Uncorrected => Self::Draft,
            Self::Draft => Self::Corrected,
        }
    }
}
