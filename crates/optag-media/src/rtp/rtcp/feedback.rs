//! Receiver reports to a stream's sender. In: RTCP datagrams and the accepted packets. Out: reports that are
//! due, with their source port and destination, encrypted if the stream is.
//!
//! Only the sender of the stream is trusted and answered. A BYE is only a hint and ends nothing: some clients
//! send it on hold.

use std::net::SocketAddr;

use crate::rtp::rtcp::own_loss::{OwnLoss, own_loss};
use crate::rtp::rtcp::{REPORT_BYTES, ReportBlock, Reports, RtcpPacket, RtcpPlan, packets};
use crate::rtp::srtp::{OVERHEAD_BYTES, SrtpKey, SrtpReceiver, SrtpSender};
use crate::stats::TickStats;
use optag_core::clock::MonoTime;
use optag_core::limit;

/// One of a stream's two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The RTP port.
    Rtp,
    /// The RTCP port after it.
    Rtcp,
}

/// A report to send.
pub struct Outgoing<'a> {
    /// Its source port.
    pub port: Port,
    /// Its destination.
    pub to: SocketAddr,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// RTCP feedback for one stream.
pub struct Feedback {
    plan: RtcpPlan,
    reports: Reports,
    key: Option<SrtpKey>,
    protector: Option<Box<SrtpSender>>,
    /// Source of the sender's RTCP, and the port of ours that received it.
    heard: Option<(Port, SocketAddr)>,
    /// Arrival of the sender's last RTCP packet.
    reported: Option<MonoTime>,
    /// The SSRC of what we send, and what the peer last reported of it.
    own: Option<(u32, Option<OwnLoss>)>,
}

impl Feedback {
    /// Feedback for a sender that has not been received yet. `key` encrypts outgoing packets.
    pub fn new(plan: RtcpPlan, key: Option<&SrtpKey>, reports: Reports) -> Self {
        let protector = key.map(|key| Box::new(SrtpSender::new(key)));
        Self { plan, reports, key: key.cloned(), protector, heard: None, reported: None, own: None }
    }

    /// Signalling has changed something. A key that stays continues its indexes: none is used twice.
    pub fn renegotiate(&mut self, plan: RtcpPlan, key: Option<&SrtpKey>) {
        if plan != self.plan {
            self.heard = None;
        }
        self.plan = plan;
        if key != self.key.as_ref() {
            self.protector = key.map(|key| Box::new(SrtpSender::new(key)));
            self.key = key.cloned();
        }
    }

    /// We send under this SSRC: what the peer reports of it is kept.
    pub fn sends(&mut self, ssrc: u32) {
        self.own = Some((ssrc, None));
    }

    /// What the peer last reported of what we send, once.
    pub fn take_own_loss(&mut self) -> Option<OwnLoss> {
        self.own.as_mut()?.1.take()
    }

    /// The next index under our key, from which another process must continue.
    pub fn next_index(&self) -> u32 {
        self.protector.as_ref().map_or(0, |protector| protector.rtcp_index())
    }

    /// Continues after the indexes used by another process.
    pub fn resume_at(&mut self, index: u32) {
        self.protector = self.key.as_ref().map(|key| Box::new(SrtpSender::at(key, index)));
    }

    /// An accepted packet of the stream.
    pub fn packet(&mut self, arrival: MonoTime, sequence: u16, bytes: usize) {
        self.reports.packet(arrival, sequence, bytes);
    }

    /// The media clock of an accepted audio packet. Units: RTP ticks of `clock_hz`.
    pub fn timing(&mut self, timestamp: u32, clock_hz: u32, arrival: MonoTime) {
        self.reports.timing(timestamp, clock_hz, arrival);
    }

    /// The sender has changed.
    pub fn new_source(&mut self) {
        self.reports.new_source();
        self.heard = None;
    }

    /// Handles an RTCP datagram. `sender` is the stream's current sender, with its SSRC.
    pub fn hear(
        &mut self,
        arrival: MonoTime,
        (port, from): (Port, SocketAddr),
        sender: Option<(SocketAddr, u32)>,
        srtp: Option<&mut SrtpReceiver>,
        datagram: &[u8],
        stats: &mut TickStats,
    ) {
        let known = sender.filter(|(address, _)| match port {
            Port::Rtp => *address == from,
            Port::Rtcp => address.ip() == from.ip() || self.plan.ip == Some(from.ip()),
        });
        // Before its first packet, a sender is known only by its signalled address.
        let early = sender.is_none() && self.plan.ip == Some(from.ip());
        if known.is_none() && !early {
            stats.rtcp_foreign += 1;
            return;
        }
        let mut clear = [0; limit::DATAGRAM_BYTES];
        let datagram = match srtp.map(|srtp| (srtp.takes_plain(), srtp.unprotect_rtcp(datagram, &mut clear)))
        {
            None | Some((true, Err(_))) => datagram,
            Some((_, Ok(length))) => &clear[..length],
            Some((false, Err(_))) => {
                stats.rtcp_auth_failed += 1;
                return;
            }
        };
        let Ok(packets) = packets(datagram) else {
            stats.rtcp_malformed += 1;
            return;
        };
        stats.rtcp_received += 1;
        if let Some((ssrc, loss)) = &mut self.own {
            *loss = own_loss(datagram, *ssrc).or(*loss);
        }
        for packet in packets {
            // A muted sender reports on what it receives, or sends nothing but reports.
            if let RtcpPacket::SenderReport { ssrc, .. } | RtcpPacket::ReceiverReport { ssrc } = packet
                && known.is_none_or(|(_, sender)| sender == ssrc)
            {
                self.reported = Some(arrival);
            }
            match packet {
                RtcpPacket::SenderReport { ssrc: reported, ntp, .. }
                    if known.is_some_and(|(_, ssrc)| ssrc == reported) =>
                {
                    self.reports.sender_report(ntp, arrival);
                    self.heard = Some((port, from));
                }
                RtcpPacket::Bye { .. } => stats.rtcp_byes += 1,
                _ => {}
            }
        }
    }

    /// Arrival of the sender's last RTCP packet: a sign of life, though not of audio.
    pub fn reported(&self) -> Option<MonoTime> {
        self.reported
    }

    /// Whether a report is due.
    pub fn is_due(&self, now: MonoTime) -> bool {
        self.reports.is_due(now)
    }

    /// Writes the report that is due and passes it to `send`. `protect` says whether the sender expects
    /// SRTCP; without a key for that there is no report.
    pub fn report(
        &mut self,
        now: MonoTime,
        sender: Option<(SocketAddr, u32)>,
        protect: bool,
        stats: &mut TickStats,
        send: &mut dyn FnMut(Outgoing<'_>),
    ) {
        let mut clear = [0; REPORT_BYTES];
        let block = sender.and_then(|(_, ssrc)| self.reports.write(now, ssrc, &mut clear));
        let (Some(block), Some((address, _))) = (block, sender) else { return };
        count(&block, stats);
        let Some((port, to)) = self.way_to(address) else { return };
        let mut sealed = [0; REPORT_BYTES + OVERHEAD_BYTES];
        let bytes = if protect {
            let length = self.protector.as_mut().and_then(|key| key.protect_rtcp(&clear, &mut sealed));
            let Some(length) = length else { return };
            &sealed[..length]
        } else {
            &clear[..]
        };
        stats.reports_sent += 1;
        send(Outgoing { port, to, bytes });
    }

    /// Destination of reports: the source of the sender's own, or until one has arrived, the RTCP port
    /// belonging to its RTP port. Never an address from which nothing was received.
    fn way_to(&self, sender: SocketAddr) -> Option<(Port, SocketAddr)> {
        if let Some(heard) = self.heard {
            return Some(heard);
        }
        if self.plan.mux {
            return Some((Port::Rtp, sender));
        }
        if self.plan.ip.is_some_and(|ip| ip != sender.ip()) {
            return None;
        }
        let port = self.plan.port.or(sender.port().checked_add(1))?;
        Some((Port::Rtcp, SocketAddr::new(sender.ip(), port)))
    }
}

/// Counts a report by its classes.
fn count(block: &ReportBlock, stats: &mut TickStats) {
    let class = match block.fraction_lost {
        0 => &mut stats.reports_lost_nothing,
        1..=2 => &mut stats.reports_lost_below_1,
        3..=12 => &mut stats.reports_lost_below_5,
        _ => &mut stats.reports_lost_more,
    };
    *class += 1;
    let jitter_ms = (block.jitter * 1_000).checked_div(block.clock_hz).unwrap_or(0);
    let class = match jitter_ms {
        0..5 => &mut stats.reports_jitter_below_5,
        5..20 => &mut stats.reports_jitter_below_20,
        20..60 => &mut stats.reports_jitter_below_60,
        _ => &mut stats.reports_jitter_more,
    };
    *class += 1;
}
