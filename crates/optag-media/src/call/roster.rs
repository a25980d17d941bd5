//! A call and the senders of its streams: streams that join in mid-call, RTCP, who sends.

use std::net::SocketAddr;

use crate::call::output::Fact;
use crate::call::{Call, Now};
use crate::rtp::rtcp::feedback::{Outgoing, Port};
use crate::rtp::rtcp::{Reports, cname};
use crate::rtp::srtp::SrtpState;
use crate::stats::TickStats;
use crate::stream::Stream;
use crate::stream::capture::Capture;
use crate::stream::plan::LegPlan;
use crate::timebase;
use optag_core::call::{ConsentState, StreamFacts};
use optag_core::clock::MonoTime;
use optag_core::limit;

impl Call {
    /// What another process needs to go on with a stream that comes encrypted; secret.
    pub fn srtp_state(&self, stream: usize) -> Option<SrtpState> {
        self.legs.get(stream).and_then(Stream::srtp_state)
    }

    /// Takes a datagram that came to a stream's RTCP port.
    pub fn handle_rtcp(
        &mut self,
        stream: usize,
        arrival: MonoTime,
        from: SocketAddr,
        datagram: &[u8],
        stats: &mut TickStats,
    ) {
        if let Some(leg) = self.legs.get_mut(stream) {
            leg.handle_rtcp(arrival, (Port::Rtcp, from), datagram, stats);
        }
    }

    /// Hands the receiver reports that are due to `send`, each with its stream.
    pub fn report(
        &mut self,
        now: MonoTime,
        stats: &mut TickStats,
        mut send: impl FnMut(usize, Outgoing<'_>),
    ) {
        if self.settings.reports && self.ended.is_none() {
            for (stream, leg) in self.legs.iter_mut().enumerate() {
                leg.report(now, stats, &mut |outgoing| send(stream, outgoing));
            }
        }
    }

    /// Whose packets a stream takes: address and SSRC.
    pub fn sender(&self, stream: usize) -> Option<(SocketAddr, u32)> {
        self.legs.get(stream).and_then(Stream::sender)
    }

    /// Packets of this sender belong to an earlier call that had the stream's port.
    pub fn reject_stale(&mut self, stream: usize, sender: (SocketAddr, u32)) {
        if let Some(leg) = self.legs.get_mut(stream) {
            leg.reject_stale(sender);
        }
    }

    /// A stream joins. False: the call is over, or has as many as it may have.
    pub fn join(&mut self, now: Now, facts: StreamFacts, plan: LegPlan) -> bool {
        let stream = self.legs.len();
        if self.ended.is_some() || stream >= limit::STREAMS_PER_CALL {
            return false;
        }
        let mut leg =
            Stream::new(plan, self.settings.tones, Reports::new(cname(&self.rules.id.to_bytes()), stream));
        if let Some(zero) = self.zero {
            let mut capture =
                Capture::new(stream as u8, zero, self.settings.capture).joining_at(self.frames_out);
            if self.closed {
                capture.pause(timebase::length(now.mono.since(zero)));
            }
            leg.capture = Some(Box::new(capture));
        }
        self.legs.push(leg);
        self.changed = true;
        // Of a call that is not recorded, or no more, nothing is written down.
        if !matches!(self.consent.state(), ConsentState::Unknown | ConsentState::Withdrawn) {
            self.facts.push(Fact::Joined(facts));
        }
        true
    }
}
