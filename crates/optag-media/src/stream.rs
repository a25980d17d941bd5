//! One stream of a call, from datagrams to Opus packets. It has two halves: one that always runs (source, key
//! presses, timing), and a `Capture` (in `capture`) that exists only while the gate is open, so that before
//! consent there is no place that could hold audio.

pub(crate) mod block_builder;
pub(crate) mod capture;
pub mod coder;
pub(crate) mod decode_buffer;
pub(crate) mod encoded;
pub(crate) mod gate;
mod intake;
pub mod media;
pub mod passthrough;
pub mod pcm_ring;
pub mod plan;
pub mod settings;
pub mod snapshot;
pub(crate) mod tracks;
pub mod transcode;

use std::net::SocketAddr;

use crate::dtmf::keypad::{KeyPress, Keypad};
use crate::dtmf::tone_listener::ToneSettings;
use crate::fact::StreamCounts;
use crate::playout::sender_clock::SenderClock;
use crate::rtp::packet::RtpPacket;
use crate::rtp::rtcp::Reports;
use crate::rtp::rtcp::feedback::{Feedback, Outgoing, Port};
use crate::rtp::rtcp::own_loss::OwnLoss;
use crate::rtp::source_filter::SourceRule;
use crate::rtp::srtp::{SrtpReceiver, SrtpState};
use crate::stats::TickStats;
use crate::stream::capture::{Capture, CaptureContext};
use crate::stream::media::StreamMedia;
use crate::stream::plan::StreamPlan;
use crate::stream::snapshot::StreamSnapshot;
use optag_core::call::StreamRole;
use optag_core::clock::MonoTime;

/// Clock rate of a stream without a known codec. Units: Hz.
const TELEPHONE_HZ: u32 = 8_000;

/// Indexes of our RTCP that an earlier process may have used after its last snapshot: far more than possible.
const INDEXES_UNKNOWN: u32 = 1_000;

/// What may currently be done with a stream's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// It may be kept: the gate is open and the recording not paused.
    pub keep: bool,
    /// It is examined for key presses, and nothing of it is kept.
    pub listen: bool,
}

/// The stream.
pub struct Stream {
    plan: StreamPlan,
    rule: SourceRule,
    keypad: Keypad,
    srtp: Option<Box<SrtpReceiver>>,
    feedback: Feedback,
    dropped: bool,
    clock: SenderClock,
    /// Clock rate of the last audio, also used for comfort noise. Units: Hz.
    clock_hz: u32,
    counts: StreamCounts,
    last_heard: Option<MonoTime>,
    /// Whether something changed that belongs in the snapshot.
    changed: bool,
    /// Exists only while the gate is open.
    pub(crate) capture: Option<Box<Capture>>,
}

impl Stream {
    /// A stream in its initial state, with its receiver reports.
    pub fn new(plan: StreamPlan, tones: ToneSettings, reports: Reports) -> Self {
        let own_key = plan.media.srtp.as_ref().and_then(|srtp| srtp.send.as_ref());
        Self {
            feedback: Feedback::new(plan.media.rtcp, own_key, reports),
            dropped: false,
            rule: SourceRule::new(plan.media.source),
            keypad: Keypad::new(tones),
            srtp: plan.media.srtp.clone().map(|srtp| Box::new(SrtpReceiver::new(srtp))),
            clock: SenderClock::default(),
            clock_hz: plan.media.formats.first().map_or(TELEPHONE_HZ, |format| format.encoding.clock_hz()),
            counts: StreamCounts::default(),
            last_heard: None,
            changed: false,
            capture: None,
            plan,
        }
    }

    /// A stream from its snapshot; `heard` stands for its last packet.
    pub fn resume(
        saved: StreamSnapshot,
        tones: ToneSettings,
        reports: Reports,
        heard: Option<MonoTime>,
    ) -> Self {
        let StreamSnapshot { plan, mut rule, trackers, timeline, srtp, rtcp_index, dropped, counts, .. } =
            saved;
        let mut stream = Self::new(plan, tones, reports);
        stream.feedback.resume_at(rtcp_index.saturating_add(INDEXES_UNKNOWN));
        stream.dropped = dropped;
        stream.keypad.resume(trackers);
        if let Some(now) = heard {
            rule.resume(now);
        }
        if let Some(state) = srtp {
            stream.srtp = Some(Box::new(SrtpReceiver::resume(state)));
        }
        Self { rule, clock: SenderClock::resume(timeline), counts, last_heard: heard, ..stream }
    }

    /// Its snapshot; the socket provides the port.
    pub fn save(&self) -> StreamSnapshot {
        StreamSnapshot {
            plan: self.plan.clone(),
            port: 0,
            rule: self.rule.clone(),
            trackers: self.keypad.trackers().to_vec(),
            timeline: self.clock.timeline.clone(),
            srtp: self.srtp_state(),
            rtcp_index: self.feedback.next_index(),
            dropped: self.dropped,
            counts: self.counts,
            last_heard: self.last_heard,
        }
    }

    /// Whether the snapshot has changed.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The stream's codecs, payload types, keys or sender changed. A sender that still matches is kept;
    /// otherwise another may take over at once.
    pub fn renegotiate(&mut self, now: MonoTime, media: StreamMedia) {
        self.changed = true;
        self.rule.expect(media.source);
        self.keypad.renegotiate();
        match (&mut self.srtp, media.srtp.clone()) {
            (Some(receiver), Some(srtp)) => receiver.renegotiate(now, srtp),
            (receiver, srtp) => *receiver = srtp.map(|srtp| Box::new(SrtpReceiver::new(srtp))),
        }
        self.feedback.renegotiate(media.rtcp, media.srtp.as_ref().and_then(|srtp| srtp.send.as_ref()));
        self.set_dropped(false);
        self.plan.media = media;
    }

    /// Signalling removed the stream: its packets are refused, and what is missing from now on is not a hold.
    /// A renegotiation restores it.
    pub fn set_dropped(&mut self, dropped: bool) {
        self.changed = true;
        self.dropped = dropped;
        if let Some(capture) = &mut self.capture {
            capture.set_over(dropped);
        }
    }

    /// Who speaks objects to being recorded, or somebody else speaks now. `at` is a position of the axis, if there is one.
    pub fn withhold(&mut self, withheld: bool, at: Option<i64>) {
        if withheld == self.plan.withheld {
            return;
        }
        self.changed = true;
        self.plan.withheld = withheld;
        if let (Some(capture), Some(at)) = (&mut self.capture, at) {
            if withheld { capture.withhold(at) } else { capture.release(at) }
        }
    }

    /// Gives the stream its capture. Where who speaks objects, it keeps nothing from the beginning.
    pub(crate) fn open(&mut self, mut capture: Capture) {
        if self.plan.withheld {
            capture.withhold(i64::MIN);
        }
        self.capture = Some(Box::new(capture));
    }

    /// Whether signalling has removed the stream.
    pub fn is_dropped(&self) -> bool {
        self.dropped
    }

    /// Rejects packets of this sender: they belong to an earlier call that had the port.
    pub fn reject_stale(&mut self, sender: (SocketAddr, u32)) {
        self.rule.reject_stale(sender);
    }

    /// The accepted sender: address and SSRC.
    pub fn sender(&self) -> Option<(SocketAddr, u32)> {
        self.rule.sender()
    }

    /// Handles a datagram from the RTCP port, or RTCP from the RTP port.
    pub fn handle_rtcp(
        &mut self,
        arrival: MonoTime,
        came: (Port, SocketAddr),
        datagram: &[u8],
        stats: &mut TickStats,
    ) {
        let srtp = self.srtp.as_deref_mut();
        self.feedback.hear(arrival, came, self.rule.sender(), srtp, datagram, stats);
    }

    /// Passes the receiver report that is due to `send`.
    pub fn report(&mut self, now: MonoTime, stats: &mut TickStats, send: &mut dyn FnMut(Outgoing<'_>)) {
        if self.feedback.is_due(now) {
            let protect = self.srtp.as_ref().is_some_and(|srtp| !srtp.takes_plain());
            self.feedback.report(now, self.rule.sender(), protect, stats, send);
        }
    }

    /// We send to the stream's sender under this SSRC: see [`Stream::take_own_loss`].
    pub fn sends(&mut self, ssrc: u32) {
        self.feedback.sends(ssrc);
    }

    /// What the stream's sender last reported of what we send, once.
    pub fn take_own_loss(&mut self) -> Option<OwnLoss> {
        self.feedback.take_own_loss()
    }

    /// The next unprocessed key press, once its sender's key presses count.
    pub fn take_press(&mut self) -> Option<KeyPress> {
        self.keypad.take_press(self.rule.keys_since())
    }

    /// What another process needs to continue decryption; secret.
    pub fn srtp_state(&self) -> Option<SrtpState> {
        self.srtp.as_ref().map(|receiver| receiver.state())
    }

    /// When a packet, or RTCP of its sender, was last accepted.
    pub fn last_heard(&self) -> Option<MonoTime> {
        self.last_heard.max(self.feedback.reported())
    }

    /// Who speaks.
    pub fn role(&self) -> StreamRole {
        self.plan.role
    }

    /// Packet counters.
    pub fn counts(&self) -> &StreamCounts {
        &self.counts
    }

    /// Decodes and encodes every frame that ends at or before `due`, on the axis that begins at the opening
    /// of the gate.
    pub fn advance(&mut self, due: i64, stats: &mut TickStats) {
        if let Some((capture, mut lent)) = self.capturing(stats) {
            capture.advance(due, &mut lent);
        }
    }

    fn accept(&mut self, arrival: MonoTime, packet: &RtpPacket<'_>, permit: Permit, stats: &mut TickStats) {
        let format = self.plan.media.format(packet.payload_type);
        let encoding = format.map(|format| format.encoding);
        if let Some(encoding) = encoding {
            self.clock_hz = encoding.clock_hz();
            self.feedback.timing(packet.timestamp, self.clock_hz, arrival);
        }
        if let Some((capture, mut lent)) = self.capturing(stats) {
            capture.catch_up(arrival, &mut lent);
        }
        if encoding.is_none() && !self.is_comfort_noise(packet.payload_type) {
            self.clock.event(packet.sequence);
            return self.take_event(arrival, packet);
        }
        let lasts = encoding.map_or(0, |encoding| encoding.length_axis(packet.payload));
        let Some(place) = self.clock.place(arrival, packet, self.clock_hz, lasts) else { return };
        // A packet whose audio is not kept still occupies its position in the sequence.
        let keeps = encoding.is_some() && permit.keep && !self.plan.withheld;
        if let Some((capture, mut lent)) = self.capturing(stats) {
            let payload = if keeps { packet.payload } else { &[] };
            capture.insert(&place, packet.payload_type, payload, &mut lent);
        }
        let heard = encoding.filter(|_| permit.listen && !permit.keep);
        if let Some(encoding) = heard.filter(|&it| self.keypad.hears(it, &self.plan.media.telephone_event)) {
            let (payload, timeline) = (packet.payload, &self.clock.timeline);
            self.keypad.hear_payload(arrival, place.ticks, encoding, payload, timeline, |_, _| {});
        }
    }

    fn take_event(&mut self, arrival: MonoTime, packet: &RtpPacket<'_>) {
        let StreamMedia { telephone_event, formats, .. } = &self.plan.media;
        let found = self.keypad.event(arrival, packet, telephone_event, formats);
        if let Some((event, clock_hz)) = found
            && let Some(capture) = &mut self.capture
        {
            let timeline = &self.clock.timeline;
            let began = timeline.beside(packet.timestamp);
            capture.cut_event(arrival, began, event.lasts(clock_hz), timeline);
        }
    }

    /// The capture, if the gate is open, with what it needs from the stream.
    fn capturing<'a>(
        &'a mut self,
        stats: &'a mut TickStats,
    ) -> Option<(&'a mut Capture, CaptureContext<'a>)> {
        let Self { plan, clock, counts, capture, keypad, .. } = self;
        let lent =
            CaptureContext { timeline: &mut clock.timeline, media: &plan.media, keypad, counts, stats };
        capture.as_deref_mut().map(|capture| (capture, lent))
    }

    fn is_comfort_noise(&self, payload_type: u8) -> bool {
        self.plan.media.is_comfort_noise(payload_type)
    }

    fn knows(&self, payload_type: u8) -> bool {
        self.plan.media.format(payload_type).is_some()
            || self.plan.media.is_event(payload_type)
            || self.is_comfort_noise(payload_type)
    }

    fn start_anew(&mut self, moved: bool) {
        self.changed = true;
        self.feedback.new_source();
        self.keypad.start_anew(moved);
        self.clock.start_anew();
    }
}
