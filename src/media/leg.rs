//! One stream of a call, from datagram to Opus packets. Two halves: what runs always (source,
//! key presses, timing), and a `Capture` (in `capture`) that exists only while
//! the gate is open, so that before consent there is no place that could hold audio.

use std::net::SocketAddr;

use super::capture::{Capture, Lent};
use super::codec::PayloadFormat;
use super::output::StreamCounts;
use super::rtp::packet::{RtpError, RtpPacket, is_rtcp};
use super::rtp::source::{ExpectedSource, SourceRule, Verdict};
use super::rtp::srtp::{SrtpError, SrtpPlan, SrtpReceiver, SrtpState};
use super::rtp::telephone_event::{EventTracker, TelephoneEvent};
use super::stats::TickStats;
use super::timeline::Timeline;
use crate::base::clock::MonoTime;
use crate::base::limit;
use crate::call::StreamRole;

/// Comfort noise: the static type and the one in older use. Source: RFC 3389 §4.
const COMFORT_NOISE: [u8; 2] = [13, 19];

/// How a stream is set up.
#[derive(Clone, Debug)]
pub struct LegPlan {
    /// Who speaks in it.
    pub role: StreamRole,
    /// Audio payload types.
    pub formats: Vec<PayloadFormat>,
    /// Payload types of key events.
    pub telephone_event: Vec<u8>,
    /// What is known of the sender.
    pub source: ExpectedSource,
    /// How its packets are protected; `None` where they come in the clear.
    pub srtp: Option<SrtpPlan>,
}

/// A key that was pressed in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPress {
    /// The key.
    pub key: char,
    /// RTP timestamp of the event.
    pub timestamp: u32,
    /// SSRC of its packet.
    pub ssrc: u32,
}

/// The stream.
pub struct Leg {
    plan: LegPlan,
    rule: SourceRule,
    srtp: Option<Box<SrtpReceiver>>,
    tracker: EventTracker,
    timeline: Timeline,
    counts: StreamCounts,
    last_heard: Option<MonoTime>,
    /// Exists only while the gate is open.
    pub(super) capture: Option<Box<Capture>>,
}

impl Leg {
    /// A stream that has heard nothing yet.
    pub fn new(plan: LegPlan) -> Self {
        Self {
            rule: SourceRule::new(plan.source),
            srtp: plan.srtp.clone().map(|srtp| Box::new(SrtpReceiver::new(srtp))),
            tracker: EventTracker::default(),
            timeline: Timeline::default(),
            counts: StreamCounts::default(),
            last_heard: None,
            capture: None,
            plan,
        }
    }

    /// What is known of the stream changed: its codings, payload types, keys or sender. A sender
    /// that still fits is kept; another may take over at once.
    pub fn renegotiate(&mut self, now: MonoTime, plan: LegPlan) {
        self.rule.expect(plan.source);
        match (&mut self.srtp, plan.srtp.clone()) {
            (Some(receiver), Some(srtp)) => receiver.renegotiate(now, srtp),
            (receiver, srtp) => *receiver = srtp.map(|srtp| Box::new(SrtpReceiver::new(srtp))),
        }
        self.plan = LegPlan { role: self.plan.role, ..plan };
    }

    /// Takes a datagram; the key, if it is a new press. `keep` says whether audio may be kept
    /// now: the gate is open and the recording not paused.
    pub fn handle(
        &mut self,
        arrival: MonoTime,
        from: SocketAddr,
        datagram: &[u8],
        keep: bool,
        stats: &mut TickStats,
    ) -> Option<KeyPress> {
        if datagram.len() > limit::DATAGRAM_BYTES {
            return self.refuse(&mut stats.oversized);
        }
        if self.srtp.is_some() {
            return self.handle_protected(arrival, from, datagram, keep, stats);
        }
        self.handle_clear(arrival, from, datagram, keep, stats)
    }

    /// Takes a datagram that someone with the key has to have sent. Until that is proved, it
    /// changes nothing but the counter of those that are not.
    fn handle_protected(
        &mut self,
        arrival: MonoTime,
        from: SocketAddr,
        datagram: &[u8],
        keep: bool,
        stats: &mut TickStats,
    ) -> Option<KeyPress> {
        let Some(receiver) = &mut self.srtp else { return None };
        if !self.rule.may_come_from(from) {
            return self.refuse(&mut stats.foreign_address);
        }
        if is_rtcp(datagram) {
            return None;
        }
        let mut clear = [0; limit::DATAGRAM_BYTES];
        match receiver.unprotect(arrival, datagram, &mut clear) {
            Ok(length) => self.handle_clear(arrival, from, &clear[..length], keep, stats),
            Err(_) if receiver.takes_plain() => self.handle_clear(arrival, from, datagram, keep, stats),
            Err(SrtpError::Malformed) => self.refuse(&mut stats.malformed),
            Err(SrtpError::Unproved) => self.refuse(&mut stats.unproved),
            Err(SrtpError::Replayed) => self.refuse(&mut stats.replayed),
        }
    }

    fn handle_clear(
        &mut self,
        arrival: MonoTime,
        from: SocketAddr,
        datagram: &[u8],
        keep: bool,
        stats: &mut TickStats,
    ) -> Option<KeyPress> {
        let packet = match RtpPacket::parse(datagram) {
            Ok(packet) => packet,
            Err(RtpError::Rtcp) => return None,
            Err(_) => return self.refuse(&mut stats.malformed),
        };
        if !self.knows(packet.payload_type) {
            return self.refuse(&mut stats.unknown_payload);
        }
        match self.rule.judge(arrival, from, packet.ssrc, packet.sequence) {
            Verdict::Accept => {}
            Verdict::AcceptNew => self.start_anew(),
            Verdict::Probation => {
                // Its timing counts already; nothing of it is kept.
                self.counts.received += 1;
                stats.received += 1;
                return None;
            }
            Verdict::ForeignAddress => return self.refuse(&mut stats.foreign_address),
            Verdict::ForeignSsrc => return self.refuse(&mut stats.foreign_ssrc),
        }
        self.last_heard = Some(arrival);
        self.counts.received += 1;
        stats.received += 1;
        self.accept(arrival, &packet, keep, stats)
    }

    /// What another process needs to go on decrypting; secret.
    pub fn srtp_state(&self) -> Option<SrtpState> {
        self.srtp.as_ref().map(|receiver| receiver.state())
    }

    /// When a packet was accepted last.
    pub fn last_heard(&self) -> Option<MonoTime> {
        self.last_heard
    }

    /// Who speaks.
    pub fn role(&self) -> StreamRole {
        self.plan.role
    }

    /// Packet counters.
    pub fn counts(&self) -> &StreamCounts {
        &self.counts
    }

    /// Decodes and encodes every frame that ends at or before `due`, on the axis that began when
    /// the gate opened.
    pub fn advance(&mut self, due: i64, stats: &mut TickStats) {
        if let Some((capture, mut lent)) = self.capturing(stats) {
            capture.advance(due, &mut lent);
        }
    }

    fn accept(
        &mut self,
        arrival: MonoTime,
        packet: &RtpPacket<'_>,
        keep: bool,
        stats: &mut TickStats,
    ) -> Option<KeyPress> {
        let format = self.plan.formats.iter().find(|format| format.payload_type == packet.payload_type);
        let is_audio = format.is_some();
        let ticks = match format {
            Some(format) => self.timeline.unwrap(packet.timestamp, format.encoding.clock_hz(), arrival),
            None => self.timeline.last(),
        };
        if let Some((capture, mut lent)) = self.capturing(stats) {
            capture.catch_up(arrival, &mut lent);
            // A packet whose audio is not kept still fills its place in the sequence.
            let payload = if is_audio && keep { packet.payload } else { &[] };
            capture.insert(packet, ticks, payload, &mut lent);
        }
        let is_event = self.plan.telephone_event.contains(&packet.payload_type);
        let event = is_event.then(|| TelephoneEvent::parse(packet.payload))??;
        let key = self.tracker.handle(packet.timestamp, event)?;
        Some(KeyPress { key, timestamp: packet.timestamp, ssrc: packet.ssrc })
    }

    /// The capture, if the gate is open, with what it needs of the rest.
    fn capturing<'a>(&'a mut self, stats: &'a mut TickStats) -> Option<(&'a mut Capture, Lent<'a>)> {
        let Self { plan, timeline, counts, capture, .. } = self;
        let lent = Lent { timeline, formats: &plan.formats, counts, stats };
        capture.as_deref_mut().map(|capture| (capture, lent))
    }

    fn knows(&self, payload_type: u8) -> bool {
        self.plan.formats.iter().any(|format| format.payload_type == payload_type)
            || self.plan.telephone_event.contains(&payload_type)
            || COMFORT_NOISE.contains(&payload_type)
    }

    fn start_anew(&mut self) {
        self.tracker.reset();
        self.timeline = Timeline::default();
        if let Some(capture) = &mut self.capture {
            capture.new_source();
        }
    }

    fn refuse(&mut self, cause: &mut u64) -> Option<KeyPress> {
        *cause += 1;
        self.counts.refused += 1;
        None
    }
}
