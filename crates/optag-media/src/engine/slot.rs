//! A call with its sockets, as the tick owns it. A call whose processing panics ends there, and what
//! was made of it until then is kept; the others go on.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::sync::Arc;

use opus_lanes::Lanes;

use crate::call::fault::{self, Step};
use crate::call::output::{Fact, Output};
use crate::call::{Call, CallState, Command, Now};
use crate::fact::EndedBy;
use crate::net::port_pool::StreamSockets;
use crate::net::socket::InheritedSocket;
use crate::stats::{CallGauges, TickStats};
use crate::stream::plan::StreamPlan;
use optag_core::call::StreamFacts;
use optag_core::call::consent::ConsentError;
use optag_core::clock::{BootId, Clock};

/// Readings of the RTP ports for one of the RTCP ports, where a little comes and nothing hurries.
const RTCP_EVERY: u8 = 10;

/// A call with its sockets, as the tick owns it.
pub(crate) struct Slot {
    /// The call.
    pub call: Call,
    /// What its facts of this tick go to.
    pub out: Vec<Output>,
    /// What it counted since the counts were last taken.
    pub stats: TickStats,
    sockets: Vec<StreamSockets>,
    until_rtcp: u8,
    gauges: Arc<CallGauges>,
    boot: Option<BootId>,
}

impl Slot {
    /// A call and its sockets, in channel order.
    pub(crate) fn new(
        mut call: Call,
        sockets: Vec<StreamSockets>,
        gauges: Arc<CallGauges>,
        boot: Option<BootId>,
    ) -> Self {
        for (stream, sockets) in sockets.iter().enumerate() {
            if let Some(sender) = sockets.last_sender() {
                call.reject_stale(stream, sender);
            }
        }
        let (out, stats) = (Vec::new(), TickStats::default());
        Self { call, out, stats, sockets, until_rtcp: RTCP_EVERY, gauges, boot }
    }

    /// A stream joins, after what came before it was heard. False: the call takes none.
    pub(crate) fn join(
        &mut self,
        clock: &dyn Clock,
        now: Now,
        facts: StreamFacts,
        plan: StreamPlan,
        sockets: StreamSockets,
    ) -> bool {
        let Self { call, sockets: all, stats, .. } = self;
        let worked = fault::caught(|| {
            read_sockets(call, all, clock, now, stats);
            call.join(now, facts, plan)
        });
        let joined = worked.unwrap_or_else(|| {
            self.fault(now);
            false
        });
        if joined {
            if let Some(sender) = sockets.last_sender() {
                self.call.reject_stale(self.sockets.len(), sender);
            }
            self.sockets.push(sockets);
        }
        joined
    }

    /// One call's share of a tick.
    pub(crate) fn tick(&mut self, clock: &dyn Clock, now: Now, complexity: u8) {
        self.until_rtcp -= 1;
        let reads_rtcp = self.until_rtcp == 0;
        if reads_rtcp {
            self.until_rtcp = RTCP_EVERY;
        }
        let Self { call, sockets, stats, .. } = self;
        let worked = fault::caught(|| {
            call.set_complexity(complexity);
            read_sockets(call, sockets, clock, now, stats);
            if reads_rtcp {
                read_rtcp(call, sockets, clock, stats);
            }
            call.tick(now, stats);
            call.report(now.mono, stats, |stream, report| {
                sockets[stream].send(report.port, report.to, report.bytes);
            });
        });
        if worked.is_none() {
            self.fault(now);
        }
        self.publish();
    }

    /// Ends the call; what the sockets still hold is heard first.
    pub(crate) fn finish(&mut self, clock: &dyn Clock, now: Now, by: EndedBy) {
        let Self { call, sockets, stats, .. } = self;
        let worked = fault::caught(|| {
            read_sockets(call, sockets, clock, now, stats);
            call.end(now, by, stats);
        });
        if worked.is_none() {
            self.fault(now);
        }
        self.publish();
    }

    /// Leaves the call to the next program; what the sockets hold is heard first.
    pub(crate) fn leave(&mut self, clock: &dyn Clock, now: Now) {
        let Self { call, sockets, stats, .. } = self;
        let worked = fault::caught(|| {
            read_sockets(call, sockets, clock, now, stats);
            call.leave(now, stats);
        });
        if worked.is_none() {
            self.fault(now);
        }
        self.publish();
    }

    /// Its sockets for RTP, still open; those for RTCP are bound anew.
    pub(crate) fn into_sockets(self) -> impl Iterator<Item = (u16, InheritedSocket)> {
        self.sockets.into_iter().map(|sockets| (sockets.port(), sockets.rtp.keep()))
    }

    /// Applies a command after what came before it was heard.
    ///
    /// Errors: the consent rules forbid it; or processing failed, and the call is over.
    pub(crate) fn command(
        &mut self,
        clock: &dyn Clock,
        now: Now,
        command: Command,
    ) -> Result<CallState, ConsentError> {
        let ends = matches!(command, Command::End);
        let Self { call, sockets, stats, .. } = self;
        let applied = fault::caught(|| {
            read_sockets(call, sockets, clock, now, stats);
            call.command(now, command, stats)
        });
        match applied {
            Some(done) => done.map(|()| self.call.state()),
            None => {
                self.fault(now);
                // Whoever wanted anything else of the call hears that it is over: a withdrawal is
                // then carried out as one that comes after the end.
                if ends { Ok(self.call.state()) } else { Err(ConsentError::Ended) }
            }
        }
    }

    fn fault(&mut self, now: Now) {
        tracing::error!(
            call = %self.call.id(),
            "processing a call failed; its recording ends here, and what was recorded is kept"
        );
        self.stats.call_faults += 1;
        self.call.fail(now);
    }

    fn publish(&mut self) {
        for stream in 0..self.sockets.len() {
            if let Some(counts) = self.call.counts(stream) {
                self.gauges.publish(stream, counts);
            }
            self.sockets[stream].sent_by(self.call.sender(stream));
        }
        self.call.take_facts(&mut self.out);
        for output in &mut self.out {
            if let Fact::State(saved) = &mut output.fact {
                saved.boot = self.boot;
                saved
                    .streams
                    .iter_mut()
                    .zip(&self.sockets)
                    .for_each(|(stream, socket)| stream.port = socket.port());
            }
        }
    }
}

/// Does `work` for each call, so that they encode together.
pub(crate) fn side_by_side(calls: &mut [Slot], work: impl Fn(&mut Slot)) {
    thread_local! {
        static LANES: RefCell<Lanes> = RefCell::default();
    }
    let results = LANES.with_borrow_mut(|lanes| lanes.run(calls, work));
    // A slot catches what its call does: this is the engine's own.
    if let Some(panic) = results.into_iter().find_map(Result::err) {
        resume_unwind(panic);
    }
}

fn read_sockets(
    call: &mut Call,
    sockets: &mut [StreamSockets],
    clock: &dyn Clock,
    now: Now,
    stats: &mut TickStats,
) {
    fault::reached(call.id(), Step::Read);
    for stream in call.reading_order() {
        let dropped = sockets[stream].rtp.read(clock, |arrival, from, datagram| {
            call.handle(now, stream, arrival, from, datagram, stats);
        });
        stats.kernel_dropped += dropped;
    }
}

fn read_rtcp(call: &mut Call, sockets: &mut [StreamSockets], clock: &dyn Clock, stats: &mut TickStats) {
    for (stream, sockets) in sockets.iter_mut().enumerate() {
        if let Some(socket) = &mut sockets.rtcp {
            socket.read(clock, |arrival, from, datagram| {
                call.handle_rtcp(stream, arrival, from, datagram, stats);
            });
        }
    }
}
