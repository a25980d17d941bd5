//! Resumes calls in progress after a restart: on the same ports, in the same recording.
//!
//! In: recovered calls. Out: calls back in the engine; the others are left to recovery. A call is resumed if
//! it may still be in progress: the machine was not rebooted, and the downtime is within
//! `rtp.resume_within_s`. Not here: the engine's part, SIP dialogs.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::erasure::deletion_log::DeletionLog;
use crate::metrics::{self, NotResumed};
use crate::recorder::live_calls::LiveCalls;
use crate::recorder::settings::RecorderSettings;
use optag_core::call::{CallFacts, ConsentState};
use optag_core::clock::{BootId, Clock, MonoTime};
use optag_core::id::CallId;
use optag_core::limit;
use optag_media::call::snapshot::CallSnapshot;
use optag_media::call::snapshot::Resumption;
use optag_media::engine::{Engine, EngineError, ResumePlan};
use optag_media::net::port_pool::{PortPool, StreamSockets};
use optag_media::net::socket::InheritedSocket;
use optag_media::stats::CallGauges;
use optag_media::timebase::FRAME_MS;
use optag_sip::siprec::session::snapshot::SessionSnapshot;
use optag_storage::spool::recover::RecoveredCall;

/// The resumed calls.
#[derive(Default)]
pub struct Resumed {
    /// The calls.
    pub calls: HashSet<CallId>,
    /// Their recording sessions, if they came by SIP.
    pub sessions: Vec<SessionSnapshot>,
}

/// What is needed to resume calls.
pub struct Resume<'a> {
    /// The time of the restart.
    pub clock: &'a dyn Clock,
    /// Calls in it are not resumed.
    pub log: &'a DeletionLog,
    /// Calls in progress, to which resumed ones are added.
    pub live_calls: &'a LiveCalls,
    /// Maximum downtime, and the address advertised to senders.
    pub settings: &'a RecorderSettings,
    /// The media engine.
    pub engine: &'a Engine,
    /// RTP ports.
    pub ports: &'a PortPool,
}

impl Resume<'_> {
    /// Puts every recovered call that may still be in progress back into the engine. `kept` are sockets that
    /// stayed open, by port.
    pub async fn resume(&self, calls: &[RecoveredCall], mut kept: HashMap<u16, InheritedSocket>) -> Resumed {
        let mut resumed = Resumed::default();
        let mut down = Duration::ZERO;
        for call in calls.iter().filter(|call| call.closed.is_none()) {
            if self.log.is_erased(call.id) {
                continue;
            }
            let candidate = match Candidate::of(call, self) {
                Ok(candidate) => candidate,
                Err(cause) => {
                    metrics::call_not_resumed(cause);
                    continue;
                }
            };
            let was_down = candidate.down;
            match put_back(candidate, self, &mut kept).await {
                Ok(()) => {
                    metrics::call_resumed(was_down);
                    down = down.max(was_down);
                    resumed.calls.insert(call.id);
                    resumed.sessions.extend(
                        call.dialog_state.as_ref().and_then(|text| SessionSnapshot::from_text(text.reveal())),
                    );
                }
                Err(cause) => {
                    tracing::warn!(call = %call.id, cause = cause.name(), "cannot resume call");
                    metrics::call_not_resumed(cause);
                }
            }
        }
        if !resumed.calls.is_empty() {
            let down_ms = down.as_millis() as u64;
            tracing::info!(calls = resumed.calls.len(), down_ms, "calls resumed after restart");
        }
        resumed
    }
}

/// A call that may still be in progress.
struct Candidate<'a> {
    facts: &'a CallFacts,
    saved: CallSnapshot,
    frames: u32,
    down: Duration,
}

impl<'a> Candidate<'a> {
    fn of(call: &'a RecoveredCall, with: &Resume<'_>) -> Result<Self, NotResumed> {
        let facts = call.facts.as_ref().ok_or(NotResumed::State)?;
        let text = call.call_state.as_ref().ok_or(NotResumed::State)?;
        let mut saved = CallSnapshot::from_text(text.reveal()).ok_or(NotResumed::State)?;
        if saved.rules.id != call.id || saved.streams.len() != facts.streams.len() {
            return Err(NotResumed::State);
        }
        let (now, wall) = with.clock.both();
        if saved.boot.is_none() || saved.boot != BootId::current() || saved.at > now {
            return Err(NotResumed::Boot);
        }
        // The consent records take precedence; the saved state may be older.
        match &call.consent {
            Some(record) if record.state == ConsentState::Withdrawn => return Err(NotResumed::State),
            Some(record) => saved.consent.catch_up(record),
            None if saved.consent.state() != ConsentState::Asked => return Err(NotResumed::State),
            _ => {}
        }
        if saved.consent.stands() && !saved.consent.is_open() && saved.zero.is_none() {
            // It was granted and closed again after the snapshot: the start of its time axis is unknown.
            return Err(NotResumed::State);
        }
        if saved.consent.is_open() && saved.zero.is_none() {
            let granted_at = call.consent.as_ref().map_or(wall, |record| record.at);
            saved.zero = Some(now - Duration::from_micros(wall.micros_since(granted_at).max(0) as u64));
        }
        let down = now.since(last_alive(&saved, call.frames));
        if down > with.settings.resume_within {
            return Err(NotResumed::TooLate);
        }
        Ok(Self { facts, saved, frames: call.frames, down })
    }
}

/// The last time at which the recorder was certainly running.
fn last_alive(saved: &CallSnapshot, frames: u32) -> MonoTime {
    let recorded =
        saved.zero.map(|zero| zero + Duration::from_millis(u64::from(frames) * u64::from(FRAME_MS)));
    recorded.unwrap_or_default().max(saved.at)
}

async fn put_back(
    candidate: Candidate<'_>,
    with: &Resume<'_>,
    kept: &mut HashMap<u16, InheritedSocket>,
) -> Result<(), NotResumed> {
    let Candidate { facts, saved, frames, .. } = candidate;
    let now = with.clock.mono();
    let sockets_kept = saved.streams.iter().all(|stream| kept.contains_key(&stream.port));
    let bind = |stream: &optag_media::stream::snapshot::StreamSnapshot| {
        with.ports.bind_at(stream.port, kept.remove(&stream.port), !stream.plan.media.rtcp.mux, now)
    };
    let sockets: Vec<StreamSockets> =
        saved.streams.iter().map(bind).collect::<Result<_, _>>().map_err(|_| NotResumed::Ports)?;
    let ip = with.settings.advertised_ip;
    let addresses: Vec<SocketAddr> =
        sockets.iter().map(|socket| SocketAddr::new(ip, socket.port())).collect();
    let gauges = Arc::new(CallGauges::new(limit::STREAMS_PER_CALL));
    with.live_calls.add(facts, saved.consent.state(), &addresses, Arc::clone(&gauges));
    with.live_calls.set_opened(facts.id);
    with.live_calls.set_department(facts.id, saved.consent.department());
    with.live_calls.set_paused(facts.id, saved.paused);
    let plan = ResumePlan { resumption: Resumption { saved, frames, sockets_kept }, sockets, gauges };
    let (reply, answer) = oneshot::channel();
    with.engine.resume(plan, Box::new(move |result| drop(reply.send(result))));
    match answer.await {
        Ok(Ok(_)) => Ok(()),
        failed => {
            with.live_calls.remove(facts.id);
            let state = matches!(failed, Ok(Err(EngineError::Fault)));
            Err(if state { NotResumed::State } else { NotResumed::Ports })
        }
    }
}
