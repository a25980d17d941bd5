//! From a datagram to a packet of the stream: refusals, and their counters. Part of [`Stream`]; what happens
//! to the stream's own packets is not here.

use std::net::SocketAddr;

use crate::fact::GapReason;
use crate::rtp::packet::{RtpPacket, is_rtcp};
use crate::rtp::rtcp::feedback::Port;
use crate::rtp::source_filter::{Origin, Step, Verdict};
use crate::rtp::srtp::SrtpError;
use crate::rtp::telephone_event::UnnamedEvents;
use crate::stats::TickStats;
use crate::stream::{Permit, Stream};
use optag_core::clock::MonoTime;
use optag_core::limit;

impl Stream {
    /// Handles a datagram, with what may be done with its audio. Key presses are queued in
    /// [`Stream::take_press`].
    pub fn handle(
        &mut self,
        arrival: MonoTime,
        from: SocketAddr,
        datagram: &[u8],
        permit: Permit,
        stats: &mut TickStats,
    ) {
        if datagram.len() > limit::DATAGRAM_BYTES {
            return self.refuse(&mut stats.oversized);
        }
        if self.dropped {
            return self.refuse(&mut stats.unwanted);
        }
        if is_rtcp(datagram) {
            return self.handle_rtcp(arrival, (Port::Rtp, from), datagram, stats);
        }
        if self.srtp.is_some() {
            return self.handle_protected(arrival, from, datagram, permit, stats);
        }
        self.handle_clear(arrival, (from, false), datagram, permit, stats)
    }

    /// Handles a datagram that must be from a holder of the key. Until it is authenticated, it changes
    /// nothing but the counter of failures.
    fn handle_protected(
        &mut self,
        arrival: MonoTime,
        from: SocketAddr,
        datagram: &[u8],
        permit: Permit,
        stats: &mut TickStats,
    ) {
        let Some(receiver) = &mut self.srtp else { return };
        if !self.rule.may_come_from(from) {
            return self.refuse_audio(arrival, GapReason::Refused, &mut stats.foreign_address);
        }
        let mut clear = [0; limit::DATAGRAM_BYTES];
        match receiver.unprotect(arrival, datagram, &mut clear) {
            Ok(length) => self.handle_clear(arrival, (from, true), &clear[..length], permit, stats),
            Err(_) if receiver.takes_plain() => {
                self.handle_clear(arrival, (from, false), datagram, permit, stats);
            }
            Err(SrtpError::Malformed) => self.refuse(&mut stats.malformed),
            Err(SrtpError::AuthFailed) => {
                self.refuse_audio(arrival, GapReason::Refused, &mut stats.auth_failed)
            }
            Err(SrtpError::Replayed) => self.refuse_audio(arrival, GapReason::Refused, &mut stats.replayed),
        }
    }

    /// Handles a datagram after decryption, with whether its sender is authenticated.
    fn handle_clear(
        &mut self,
        arrival: MonoTime,
        (from, proved): (SocketAddr, bool),
        datagram: &[u8],
        permit: Permit,
        stats: &mut TickStats,
    ) {
        let packet = match RtpPacket::parse(datagram) {
            Ok(packet) => packet,
            Err(_) => return self.refuse(&mut stats.malformed),
        };
        if !self.knows(packet.payload_type) && !UnnamedEvents::can_be(packet.payload_type, packet.payload) {
            return self.refuse_audio(arrival, GapReason::UnknownType, &mut stats.unknown_payload);
        }
        let origin = Origin { address: from, ssrc: packet.ssrc, proved };
        let before = self.rule.sender();
        let verdict = self.rule.judge(origin, self.step(arrival, &packet));
        self.count_junk(stats);
        match verdict {
            Verdict::Accept => {}
            Verdict::AcceptNew { waited } => {
                self.start_anew(before.is_some_and(|(address, _)| address != from));
                self.counts.received += u64::from(waited);
                stats.received += u64::from(waited);
            }
            Verdict::Beside => return self.beside(arrival, &packet, stats),
            Verdict::Probation => return self.not_kept(arrival, GapReason::Refused),
            Verdict::ForeignAddress => {
                return self.refuse_audio(arrival, GapReason::Refused, &mut stats.foreign_address);
            }
            Verdict::ForeignSsrc => {
                return self.refuse_audio(arrival, GapReason::Refused, &mut stats.foreign_ssrc);
            }
            Verdict::Stale => return self.refuse_audio(arrival, GapReason::Refused, &mut stats.stale),
        }
        self.last_heard = Some(arrival);
        self.feedback.packet(arrival, packet.sequence, datagram.len());
        self.counts.received += 1;
        stats.received += 1;
        self.keypad.set_sender(from, packet.ssrc);
        self.accept(arrival, &packet, permit, stats);
    }

    /// An event from the stream's sender with sequence numbers and timestamps unrelated to its audio.
    fn beside(&mut self, arrival: MonoTime, packet: &RtpPacket<'_>, stats: &mut TickStats) {
        self.last_heard = Some(arrival);
        self.counts.received += 1;
        stats.received += 1;
        self.take_event(arrival, packet);
    }

    /// The data of a packet that the source rule uses.
    fn step(&self, at: MonoTime, packet: &RtpPacket<'_>) -> Step {
        let format = self.plan.media.format(packet.payload_type);
        let audio = format.is_some() || self.is_comfort_noise(packet.payload_type);
        let clock_hz = format.map_or(self.clock_hz, |format| format.encoding.clock_hz());
        Step { at, sequence: packet.sequence, timestamp: packet.timestamp, clock_hz, audio }
    }

    /// Counts packets that turned out to be from other senders.
    fn count_junk(&mut self, stats: &mut TickStats) {
        let junk = u64::from(self.rule.take_junk());
        self.counts.refused += junk;
        stats.probation += junk;
    }

    /// The stream has ended: no candidate will become its sender.
    pub fn close(&mut self, stats: &mut TickStats) {
        self.rule.close();
        self.count_junk(stats);
    }

    /// Refuses a packet that may be a sender's audio.
    fn refuse_audio(&mut self, arrival: MonoTime, why: GapReason, cause: &mut u64) {
        self.not_kept(arrival, why);
        self.refuse(cause);
    }

    /// A packet arrived of which nothing is kept: this explains silence of the stream at that time.
    fn not_kept(&mut self, arrival: MonoTime, why: GapReason) {
        if let Some(capture) = &mut self.capture {
            capture.refused(arrival, why);
        }
    }

    fn refuse(&mut self, cause: &mut u64) {
        *cause += 1;
        self.counts.refused += 1;
    }
}
