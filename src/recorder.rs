//! Admission and control of calls: [`Feed`] on top of the engine, the spool and the port pool.
//!
//! In: requests from signalling. Out: calls in the engine whose admission is durable. Not here: audio (the
//! engine's), delivery (after the end of a call).

pub(crate) mod answers_by_name;
pub(crate) mod control;
pub mod engine_sink;
pub mod live_calls;
mod nodes;
mod objections;
pub mod pending_answers;
pub mod recovery;
pub mod resume;
pub mod settings;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{broadcast, oneshot};

use crate::cluster::shared_calls::SharedCalls;
use crate::erasure::deletion_log::Cause;
use crate::erasure::service::EraseService;
use crate::ledger::writer::Ledger;
use crate::metrics;
use crate::recorder::live_calls::{LiveCalls, names_in, names_of};
use crate::recorder::pending_answers::{NotKept, PendingAnswers};
use crate::recorder::settings::{RecorderSettings, department};
use crate::stores::durable::{destroy_key, durable};
use crate::stores::recording_lock::RecordingLocks;
use optag_core::call::consent::ConsentError;
use optag_core::call::{
    AnnouncedCall, CallContext, CallFacts, ConsentState, Department, GivenAnswer, LinkKind, Outcome,
    RefusedStreams, StreamFacts, Unrecorded,
};
use optag_core::clock::{BootId, Clock};
use optag_core::id::CallId;
use optag_core::limit;
use optag_core::private::Private;
use optag_media::call::snapshot::CallSnapshot;
use optag_media::call::{CallRules, CallState, Command};
use optag_media::engine::{CallPlan, Engine, EngineError, JoiningStream};
use optag_media::net::port_pool::{PortError, PortPool, StreamSockets};
use optag_media::stats::CallGauges;
use optag_media::stream::plan::StreamPlan;
use optag_sip::feed::{
    AdmitError, Admitted, CallView, Control, ControlError, Feed, Named, NewCall, NewStream,
};
use optag_storage::spool::Spool;
use optag_storage::spool::record::{Body, SpoolRecord};

/// The recorder as signalling sees it.
pub struct Recorder {
    /// Of the configuration.
    pub settings: RecorderSettings,
    /// Dates every call.
    pub clock: Arc<dyn Clock>,
    /// The media engine.
    pub engine: Engine,
    /// The spool.
    pub spool: Spool,
    /// RTP ports.
    pub ports: PortPool,
    /// Calls as shown by the API.
    pub live_calls: Arc<LiveCalls>,
    /// Makes withdrawn audio unreadable.
    pub erasure: Arc<EraseService>,
    /// Answers received before their calls.
    pub pending_answers: PendingAnswers,
    /// The ledger.
    pub ledger: Ledger,
    /// Set during shutdown.
    pub draining: Arc<AtomicBool>,
    /// What other nodes know of the calls here; none where there are no other nodes.
    pub shared: Option<Arc<SharedCalls>>,
    /// Serialises streams that join a call.
    pub joining: RecordingLocks,
    /// Serialises pending answers given to a call.
    pub answering: RecordingLocks,
}

impl Feed for Recorder {
    fn admit(&self, call: NewCall) -> BoxFuture<'_, Result<Admitted, AdmitError>> {
        async move {
            let announced = self.announced_call_of(&call);
            let admitted = self.try_admit(call).await;
            if let Some(announced) = announced {
                self.keep_in_ledger(announced, &admitted);
            }
            metrics::admission(admitted.as_ref().err());
            admitted
        }
        .boxed()
    }

    fn control(&self, id: CallId, control: Control) -> BoxFuture<'_, Result<CallView, ControlError>> {
        async move { self.try_control(id, control).await }.boxed()
    }

    fn stream_refused(&self, id: CallId, label: &str, refused: RefusedStreams) {
        if self.live_calls.refuse_stream(id, label) {
            self.ledger.refused(id, refused);
        }
    }

    fn keep(&self, id: CallId, text: Private<String>) {
        let recorded = self.live_calls.get(id).is_some_and(|view| view.consent != ConsentState::Unknown);
        let record = SpoolRecord { call: id, body: Body::DialogState(text) };
        // If the queue is full, the dialog continues after a crash from its previous snapshot.
        if recorded && self.spool.append(vec![record]).is_err() {
            tracing::warn!(call = %id, "cannot save SIP dialog state to the spool");
        }
    }

    fn alive(&self, id: CallId, vouched: Duration) {
        self.engine.control(id, Command::Alive { vouched }, Box::new(drop));
    }

    fn silence(&self, id: CallId, silence: Duration) {
        self.engine.control(id, Command::Silence { silence }, Box::new(drop));
    }

    fn call(&self, id: CallId) -> Option<CallView> {
        self.live_calls.get(id)
    }

    fn calls(&self) -> Vec<CallView> {
        self.live_calls.all()
    }

    fn answer_by_name(
        &self,
        name: Private<String>,
        answer: Control,
    ) -> BoxFuture<'_, Result<Named, ControlError>> {
        async move { self.try_answer(name, answer).await }.boxed()
    }

    fn answer_here(
        &self,
        name: Private<String>,
        answer: Control,
    ) -> BoxFuture<'_, Result<Named, ControlError>> {
        async move { self.answer_live(&name, &answer).await }.boxed()
    }

    fn consents(&self) -> broadcast::Receiver<(CallId, ConsentState)> {
        self.live_calls.consents()
    }
}

impl Recorder {
    /// Whether a client of the API may have this many more streams: a client that does not end its calls must
    /// leave ports to others. However few ports there are, one call with the maximum number of streams is
    /// permitted.
    fn has_share(&self, client: &str, more: usize) -> bool {
        let share = self.settings.client_streams.max(limit::STREAMS_PER_CALL);
        self.live_calls.streams_of(client) + more <= share
    }

    async fn try_admit(&self, call: NewCall) -> Result<Admitted, AdmitError> {
        if self.draining.load(Ordering::Acquire) {
            return Err(AdmitError::Draining);
        }
        let departments = self.settings.departments.now();
        let department = department(&departments, &call.department)
            .ok_or_else(|| AdmitError::UnknownDepartment(call.department.clone()))?
            .clone();
        check_streams(&call)?;
        if let Some(refusal) = self.spool.refuses() {
            return Err(AdmitError::Overloaded(refusal.name()));
        }
        if let Some(client) = &call.client
            && !self.has_share(client, call.streams.len())
        {
            return Err(AdmitError::Quota);
        }
        let (objections, objecting) = self.objecting(&call);
        let client = call.client.clone();
        let own_rtcp = call.streams.iter().map(|stream| !stream.media.rtcp.mux);
        let sockets = self.ports.bind(own_rtcp, self.clock.mono()).map_err(|error| match error {
            PortError::Exhausted => AdmitError::PortsUsedUp,
            PortError::Socket(_) => AdmitError::Overloaded("no sockets left"),
        })?;
        let addresses: Vec<SocketAddr> =
            sockets.iter().map(|sockets| self.advertised(sockets.port())).collect();
        let facts = self.facts(&call, &department);
        let id = facts.id;
        let rules = CallRules { id, question: department.question(), prompt_version: call.prompt_version };
        let legs: Vec<StreamPlan> = call
            .streams
            .into_iter()
            .map(|stream| {
                let withheld = objections.withholds(&objecting, &stream.label, stream.role);
                stream_plan(stream, withheld)
            })
            .collect();
        if department.record {
            let ports: Vec<u16> = sockets.iter().map(StreamSockets::port).collect();
            let saved = CallSnapshot::new(rules.clone(), &legs, &ports, self.clock.mono());
            self.open_in_spool(&facts, Some(saved)).await?;
        }
        let consent = if department.record { ConsentState::Asked } else { ConsentState::Unknown };
        let gauges = Arc::new(CallGauges::new(limit::STREAMS_PER_CALL));
        self.live_calls.add(&facts, consent, &addresses, Arc::clone(&gauges));
        self.live_calls.set_departments(id, departments);
        self.live_calls.change_objecting(id, |all| *all = objecting);
        if let Some(client) = client {
            self.live_calls.set_client(id, &client);
        }
        if department.record {
            self.live_calls.set_opened(id);
        }
        let may_spill = self.settings.spills && self.spool.takes_packed();
        let plan = CallPlan { rules, streams: legs.into_iter().zip(sockets).collect(), may_spill, gauges };
        let (reply, answer) = oneshot::channel();
        self.engine.admit(plan, Box::new(move |result| drop(reply.send(result))));
        match answer.await {
            Ok(Ok(_)) => {
                // Entered first, so that whoever keeps an answer from now on finds the call. And nobody knows the ports
                // yet: what waits for the call comes before any answer in it.
                if let Some(shared) = &self.shared {
                    shared.enter(id, &names_of(&facts)).await;
                }
                if let Err(error) = self.answer_pending(id, &names_of(&facts)).await {
                    tracing::error!(call = %id, %error, "cannot apply pending consent answer");
                }
                let consent = self.live_calls.get(id).map_or(consent, |view| view.consent);
                Ok(Admitted { id, consent, streams: addresses })
            }
            _ => {
                self.live_calls.remove(id);
                self.forget_in_spool(id).await;
                Err(AdmitError::Overloaded("the media engine is at its limit"))
            }
        }
    }

    /// The ledger entry of a call announced through the API; SIP has its own.
    fn announced_call_of(&self, call: &NewCall) -> Option<AnnouncedCall> {
        if call.context.links.iter().any(|link| link.kind == LinkKind::CallId) {
            return None;
        }
        Some(AnnouncedCall {
            id: CallId::new_at(self.clock.wall()).to_string(),
            began_at: self.clock.wall(),
            ended_at: None,
            client: "api".to_owned(),
            department: call.department.clone(),
            caller_number: call.caller_number.clone(),
            called_number: call.called_number.clone(),
            names: call.external_id.iter().cloned().collect(),
            call: None,
            unrecorded: None,
            // Of an announcement over HTTP all streams are taken, or none; those that are refused later are added.
            refused_streams: Default::default(),
        })
    }

    fn keep_in_ledger(&self, mut announced: AnnouncedCall, admitted: &Result<Admitted, AdmitError>) {
        match admitted {
            Ok(admitted) => announced.call = Some(admitted.id),
            Err(error) => {
                announced.ended_at = Some(self.clock.wall());
                announced.unrecorded = Some(Unrecorded::Unavailable(error.name()));
            }
        }
        self.ledger.keep(announced);
    }

    /// Makes the admission durable before it is reported.
    async fn open_in_spool(&self, facts: &CallFacts, saved: Option<CallSnapshot>) -> Result<(), AdmitError> {
        let saved = saved.map(|saved| CallSnapshot { boot: BootId::current(), ..saved });
        let saved = saved.map(|saved| Body::CallState(saved.to_text().into()));
        let records = [Body::Opened(facts.clone())]
            .into_iter()
            .chain(saved)
            .map(|body| SpoolRecord { call: facts.id, body });
        let queued = self.spool.append(records.collect());
        if queued.is_err() || !durable(&self.spool).await {
            self.forget_in_spool(facts.id).await;
            return Err(AdmitError::Overloaded("cannot write to the spool"));
        }
        Ok(())
    }

    async fn forget_in_spool(&self, id: CallId) {
        if let Err(error) = destroy_key(&self.spool, id).await {
            tracing::error!(call = %id, %error, "cannot destroy the spool key of a rejected call");
        }
    }

    fn facts(&self, call: &NewCall, department: &Department) -> CallFacts {
        let started_at = self.clock.wall();
        let streams = call
            .streams
            .iter()
            .map(|stream| StreamFacts { label: stream.label.clone(), role: stream.role })
            .collect();
        CallFacts {
            id: CallId::new_on(self.shared.as_ref().map_or(0, |shared| shared.members.number()), started_at),
            department: department.id.clone(),
            started_at,
            retention_days: department.retention_days,
            caller_number: call.caller_number.clone(),
            called_number: call.called_number.clone(),
            caller_name: call.caller_name.clone(),
            external_id: call.external_id.clone(),
            streams,
            context: Box::new(call.context.clone()),
        }
    }

    fn advertised(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.settings.advertised_ip, port)
    }
}

fn stream_plan(stream: NewStream, withheld: bool) -> StreamPlan {
    StreamPlan { role: stream.role, withheld, media: stream.media }
}

fn check_streams(call: &NewCall) -> Result<(), AdmitError> {
    let count = call.streams.len();
    if !(1..=limit::STREAMS_PER_CALL).contains(&count) {
        let most = limit::STREAMS_PER_CALL;
        return Err(AdmitError::BadStreams(format!("a call has 1 to {most} streams, not {count}")));
    }
    let labels: HashSet<_> = call.streams.iter().map(|stream| stream.label.as_str()).collect();
    if labels.len() != count {
        return Err(AdmitError::BadStreams("two streams have the same label".into()));
    }
    match call.streams.iter().find(|stream| stream.media.formats.is_empty()) {
        Some(stream) => Err(AdmitError::BadStreams(format!("stream `{}` has no codec", stream.label))),
        None => Ok(()),
    }
}
