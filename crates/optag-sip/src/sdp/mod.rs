//! Session descriptions: offers in, answers out.
//!
//! In: the SDP text of a client. Out: an [`Offer`] in which every line that a recorder can
//! use is understood and every other is skipped, and the text of an answer. Nothing in an
//! offer makes it unreadable as long as it has one m= line. Not here: which streams are
//! taken (`siprec::media`), RTP.
//!
//! Source: RFC 8866 (the format), RFC 3264 (offer and answer), RFC 4574 (label).

mod alternatives;
mod answer;
mod crypto;
mod offer;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use answer::{Description, Line, Taken};
pub use crypto::{Answered, Crypto};
pub use offer::parse;

use super::feed::PayloadFormat;

/// The most m= lines that are looked at; further ones make the offer unreadable.
pub const MEDIA_LINES: usize = 64;
/// The longest description that is read. Units: bytes.
pub const SDP_BYTES: usize = 64 * 1024;

/// A client's description of its streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Every m= line, in order.
    pub media: Vec<Media>,
    /// `a=group`: kind and mids of each.
    pub groups: Vec<(String, Vec<String>)>,
}

/// One m= line with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, …, as written.
    pub kind: String,
    /// 0 where the client has no use for the stream.
    pub port: u16,
    /// Profile, as written, for example `RTP/AVP`.
    pub proto: String,
    /// Formats, as written.
    pub formats: Vec<String>,
    /// Where its packets come from; `None` where the text names no address, or only a host's name.
    pub address: Option<IpAddr>,
    /// Whether another line offers the same stream in the clear: whoever cannot encrypt sends it so.
    pub plain_too: bool,
    /// Where the text came from, for a stream that names no address of its own.
    pub heard_from: Option<IpAddr>,
    /// Direction as the client sees it.
    pub direction: Direction,
    /// Its `a=label`.
    pub label: Option<String>,
    /// Audio formats that the recorder can decode, in the client's order.
    pub codecs: Vec<Codec>,
    /// Payload types of telephone events, with their clocks. Units: Hz.
    pub events: Vec<(u8, u32)>,
    /// Payload types of comfort noise, with their clocks. Units: Hz.
    pub noise: Vec<(u8, u32)>,
    /// Whether RTCP may share the port.
    pub rtcp_mux: bool,
    /// Port and address that its `a=rtcp` names.
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    /// Usable `a=crypto` lines, in the client's order.
    pub crypto: Vec<Crypto>,
    /// `a=record` says that recording is off or paused.
    pub record_paused: bool,
    /// Its `a=mid`.
    pub mid: Option<String>,
}

/// A payload type with the name it goes by in SDP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codec {
    /// Payload type.
    pub payload_type: u8,
    /// The value of `a=rtpmap`, for example `PCMU/8000`.
    pub rtpmap: String,
    /// The value of `a=fmtp`, where there is one.
    pub fmtp: Option<String>,
    /// How it is decoded.
    #[serde(skip)]
    pub format: Option<PayloadFormat>,
}

/// Which way media flows, as the side that wrote it sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Both ways; what a text without a direction means.
    #[default]
    Sendrecv,
    /// From its writer.
    Sendonly,
    /// To its writer.
    Recvonly,
    /// Neither.
    Inactive,
}

/// Why an SDP text is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// It has no m= line.
    #[error("no m= line")]
    NoMedia,
    /// It is too long or has too many m= lines.
    #[error("description too long, or too many m= lines")]
    TooLong,
}

impl Offer {
    /// The same, as a text that came from `peer`: whose streams name no address are its own.
    #[must_use]
    pub fn heard_from(mut self, peer: IpAddr) -> Self {
        for media in &mut self.media {
            media.heard_from = Some(peer.to_canonical());
        }
        self
    }
}

impl Direction {
    /// Whether its writer sends.
    pub const fn sends(self) -> bool {
        matches!(self, Direction::Sendrecv | Direction::Sendonly)
    }

    /// What a recorder answers: it receives what is sent, and never sends.
    pub const fn answered(self) -> Direction {
        if self.sends() { Direction::Recvonly } else { Direction::Inactive }
    }

    /// The same as the other side sees it. Source: RFC 3264 §6.1.
    pub const fn reversed(self) -> Direction {
        match self {
            Direction::Sendrecv => Direction::Sendrecv,
            Direction::Sendonly => Direction::Recvonly,
            Direction::Recvonly => Direction::Sendonly,
            Direction::Inactive => Direction::Inactive,
        }
    }

    /// As an attribute name.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Sendrecv => "sendrecv",
            Direction::Sendonly => "sendonly",
            Direction::Recvonly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

impl Media {
    /// Whether it is audio over RTP that the client wants to send.
    pub fn is_audio(&self) -> bool {
        self.kind.eq_ignore_ascii_case("audio")
            && self.port != 0
            && self.proto.to_ascii_uppercase().contains("RTP/")
    }

    /// Whether its packets must be encrypted.
    pub fn is_secure(&self) -> bool {
        self.proto.to_ascii_uppercase().contains("SAVP")
    }

    /// The `a=crypto` line that is taken: the first that is of use. Keys that are agreed in the
    /// media path (DTLS) are none of these. A profile that asks for no encryption may have one:
    /// its client encrypts where the other side can.
    pub fn chosen_crypto(&self) -> Option<&Crypto> {
        let in_the_path = self.proto.to_ascii_uppercase().contains("DTLS")
            || self.proto.to_ascii_uppercase().contains("TLS/");
        self.crypto.first().filter(|_| !in_the_path)
    }

    /// Whether it must be encrypted, and nobody told with what.
    pub fn is_without_key(&self) -> bool {
        self.is_secure() && self.chosen_crypto().is_none()
    }

    /// Whether it is sent to a group of receivers; nobody in particular sends it then.
    pub fn is_multicast(&self) -> bool {
        self.address.is_some_and(|ip| ip.is_multicast())
    }

    /// The address that its packets come from: the one named, else the one that the text came from.
    pub fn sender(&self) -> Option<IpAddr> {
        self.address.filter(|ip| !ip.is_unspecified()).or(self.heard_from)
    }

    /// Whether the client holds the stream: it does not send, or says so by a null address.
    pub fn is_held(&self) -> bool {
        !self.direction.sends() || self.address.is_some_and(|ip| ip.is_unspecified())
    }
}

#[cfg(test)]
mod tests;
