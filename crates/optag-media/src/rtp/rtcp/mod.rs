//! RTCP between a stream's sender and the recorder. In: RTCP packets, the arrival of RTP packets.
//! Out: receiver reports that are due. Not here: sockets, SRTCP ([`srtp`](super::srtp)).
//!
//! Source: RFC 3550 §6 and appendix A, RFC 5506 (reduced size), RFC 5761 (multiplexing).

pub mod feedback;
pub mod own_loss;
mod packet;
mod reception;
mod reports;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use packet::{RtcpError, RtcpPacket, packets};
pub use reception::{Reception, ReportBlock};
pub use reports::{REPORT_BYTES, Reports, cname};

/// RTCP parameters of a stream from signalling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcpPlan {
    /// Whether it is multiplexed with RTP.
    pub mux: bool,
    /// The sender's RTCP port, if it is not the one after its RTP port.
    pub port: Option<u16>,
    /// The address of that port, if it is not the source address of RTP.
    pub ip: Option<IpAddr>,
}

/// Feeds arbitrary bytes to the parser; for fuzzing and its corpus.
pub fn exercise(bytes: &[u8]) {
    if let Ok(read) = packets(bytes) {
        assert!(read.count() <= bytes.len() / 4);
    }
}
