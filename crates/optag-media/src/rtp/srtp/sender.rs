//! The sending side: RTCP reports of the recorder, and RTP of simulated telephones. No index is used twice.

use super::index::Window;
use super::key::SrtpKey;
use super::session::Session;
use crate::rtp::packet::RtpPacket;

/// The last RTCP index; the key is exhausted after it. Source: RFC 3711 §3.4, §9.2.
const LAST_INDEX: u32 = (1 << 31) - 1;

/// The sender of one SSRC under one key.
pub struct SrtpSender {
    session: Session,
    rtp: Option<Window>,
    rtcp: u32,
}

impl SrtpSender {
    /// A sender in its initial state.
    pub fn new(key: &SrtpKey) -> Self {
        Self::at(key, 0)
    }

    /// A sender whose next RTCP index is `rtcp`: to continue after another process, it must be beyond the
    /// last one used there.
    pub fn at(key: &SrtpKey, rtcp: u32) -> Self {
        Self { session: Session::new(key), rtp: None, rtcp }
    }

    /// The next RTCP index.
    pub fn rtcp_index(&self) -> u32 {
        self.rtcp
    }

    /// Sets the initial roll-over counter, if nothing was sent yet.
    pub fn start_at(&mut self, index: u64) {
        self.rtp.get_or_insert(Window::resumed(index));
    }

    /// Protects an RTP packet. Returns its length; `None` if it is not one, was already sent, or `out` is too
    /// short.
    pub fn protect(&mut self, packet: &[u8], out: &mut [u8]) -> Option<usize> {
        let header = RtpPacket::header_bytes(packet)?;
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let index = match self.rtp {
            None => u64::from(sequence),
            Some(window) => window.estimate(sequence).filter(|&index| window.is_new(index))?,
        };
        let length = self.session.seal(packet, header, ssrc, index, out)?;
        self.rtp.get_or_insert(Window::starting(index)).mark(index);
        Some(length)
    }

    /// Protects an RTCP packet. Returns its length; `None` if the key is exhausted or `out` is too short.
    pub fn protect_rtcp(&mut self, packet: &[u8], out: &mut [u8]) -> Option<usize> {
        if self.rtcp > LAST_INDEX {
            return None;
        }
        let length = self.session.seal_rtcp(packet, self.rtcp, out)?;
        self.rtcp += 1;
        Some(length)
    }
}
