//! RTCP between a stream's sender and the recorder. In: RTCP packets, the arrival of RTP packets.
//! Out: receiver reports that are due. Not here: sockets, SRTCP
//! ([`srtp`](super::srtp)).
//!
//! Source: RFC 3550 §6 and appendix A, RFC 5506 (reduced size), RFC 5761 (one port for both).

pub mod feedback;
mod packet;
mod reception;
mod reports;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use packet::{RtcpError, RtcpPacket, packets};
pub use reception::{Reception, ReportBlock};
pub use reports::{REPORT_BYTES, Reports, cname};

/// What signalling says of a stream's RTCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcpPlan {
    /// Whether it shares the port of RTP.
    pub mux: bool,
    /// Where the sender takes reports, where that is not the port after its RTP port.
    pub port: Option<u16>,
    /// The address of that port, where it is not the one that RTP comes from.
    pub ip: Option<IpAddr>,
}

/// Any bytes through the parser; for fuzzing and its corpus.
pub fn exercise(bytes: &[u8]) {
    if let Ok(read) = packets(bytes) {
        assert!(read.count() <= bytes.len() / 4);
    }
}
