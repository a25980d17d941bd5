//! A call and its streams' senders: streams that join during the call, RTCP, current senders.

use std::net::SocketAddr;

use crate::call::output::Fact;
use crate::call::{Call, Now};
use crate::fact::StreamIndex;
use crate::rtp::rtcp::feedback::{Outgoing, Port};
use crate::rtp::rtcp::{Reports, cname};
use crate::rtp::srtp::SrtpState;
use crate::stats::TickStats;
use crate::stream::Stream;
use crate::stream::capture::Capture;
use crate::stream::plan::StreamPlan;
use crate::timebase;
use optag_core::call::{ConsentState, StreamFacts};
use optag_core::clock::MonoTime;
use optag_core::limit;

impl Call {
    /// What another process needs to continue an SRTP stream; secret.
    pub fn srtp_state(&self, stream: usize) -> Option<SrtpState> {
        self.streams.get(stream).and_then(Stream::srtp_state)
    }

    /// Handles a datagram from a stream's RTCP port.
    pub fn handle_rtcp(
        &mut self,
        index: usize,
        arrival: MonoTime,
        from: SocketAddr,
        datagram: &[u8],
        stats: &mut TickStats,
    ) {
        if let Some(stream) = self.streams.get_mut(index) {
            stream.handle_rtcp(arrival, (Port::Rtcp, from), datagram, stats);
        }
    }

    /// Passes the receiver reports that are due to `send`, each with its stream.
    pub fn report(
        &mut self,
        now: MonoTime,
        stats: &mut TickStats,
        mut send: impl FnMut(usize, Outgoing<'_>),
    ) {
        if self.settings.reports && self.ended.is_none() {
            for (index, stream) in self.streams.iter_mut().enumerate() {
                stream.report(now, stats, &mut |outgoing| send(index, outgoing));
            }
        }
    }

    /// The accepted sender of a stream: address and SSRC.
    pub fn sender(&self, stream: usize) -> Option<(SocketAddr, u32)> {
        self.streams.get(stream).and_then(Stream::sender)
    }

    /// Rejects packets of this sender: they belong to an earlier call that used the stream's port.
    pub fn reject_stale(&mut self, index: usize, sender: (SocketAddr, u32)) {
        if let Some(stream) = self.streams.get_mut(index) {
            stream.reject_stale(sender);
        }
    }

    /// Adds a stream. False: the call has ended, or has its maximum number of streams.
    pub fn join(&mut self, now: Now, facts: StreamFacts, plan: StreamPlan) -> bool {
        let index = self.streams.len();
        if self.ended.is_some() || index >= limit::STREAMS_PER_CALL {
            return false;
        }
        let mut stream =
            Stream::new(plan, self.settings.tones, Reports::new(cname(&self.rules.id.to_bytes()), index));
        if let Some(zero) = self.zero {
            let mut capture = Capture::new(StreamIndex(index as u8), zero, self.settings.capture)
                .joining_at(self.frames_out);
            if self.closed {
                capture.pause(timebase::length(now.mono.since(zero)));
            }
            stream.open(capture);
        }
        self.streams.push(stream);
        self.changed = true;
        // Nothing is written for a call that is not, or no longer, recorded.
        if !matches!(self.consent.state(), ConsentState::Unknown | ConsentState::Withdrawn) {
            self.facts.push(Fact::Joined(facts));
        }
        true
    }
}
