//! Admits and steers calls: [`Feed`] on top of the engine, the spool and the port pool.
//!
//! In: what signalling asks. Out: calls in the engine whose admission is durable. Not here:
//! audio (the engine's), deliveries (settled after the end).

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::app::config::Config;
use crate::app::durable::{destroy_key, durable};
use crate::app::erasing::Erasing;
use crate::app::keyed_lock::KeyedLock;
use crate::app::registry::Registry;
use crate::base::clock::{BootId, Clock};
use crate::base::id::CallId;
use crate::base::limit;
use crate::base::private::Private;
use crate::call::consent::ConsentError;
use crate::call::number::normalise;
use crate::call::{
    CallContext, CallFacts, ConsentState, Department, Evidence, Outcome, StreamFacts, StreamRole,
};
use crate::media::call::{CallRules, CallState, Command};
use crate::media::engine::{CallPlan, Engine, EngineError, StreamPlan};
use crate::media::leg::LegPlan;
use crate::media::ports::{PortError, PortPool, StreamSockets};
use crate::media::saved::SavedCall;
use crate::media::stats::CallGauges;
use crate::metrics;
use crate::retention::deletion_log::Cause;
use crate::signalling::feed::{
    AdmitError, Admitted, CallView, Control, ControlError, Feed, NewCall, NewStream,
};
use crate::spool::Spool;
use crate::spool::record::{Body, SpoolRecord};

/// The recorder as signalling sees it.
pub struct Recorder {
    /// Checked configuration.
    pub config: Arc<Config>,
    /// Our clock dates every call.
    pub clock: Arc<dyn Clock>,
    /// The media engine.
    pub engine: Engine,
    /// The log.
    pub spool: Spool,
    /// RTP ports.
    pub ports: PortPool,
    /// Calls as people see them.
    pub registry: Arc<Registry>,
    /// Makes withdrawn audio unreadable.
    pub erasing: Arc<Erasing>,
    /// Set once the recorder shuts down.
    pub draining: Arc<AtomicBool>,
    /// Turns of streams that join a call.
    pub joining: KeyedLock,
}

impl Feed for Recorder {
    fn admit(&self, call: NewCall) -> BoxFuture<'_, Result<Admitted, AdmitError>> {
        async move {
            let admitted = self.try_admit(call).await;
            metrics::admission(admitted.as_ref().err());
            admitted
        }
        .boxed()
    }

    fn control(&self, id: CallId, control: Control) -> BoxFuture<'_, Result<CallView, ControlError>> {
        async move { self.try_control(id, control).await }.boxed()
    }

    fn keep(&self, id: CallId, text: Private<String>) {
        let recorded = self.registry.get(id).is_some_and(|view| view.consent != ConsentState::Unknown);
        let record = SpoolRecord { call: id, body: Body::DialogState(text) };
        // Where the queue is full, the dialog goes on after a crash as it was written before.
        if recorded && self.spool.append(vec![record]).is_err() {
            tracing::warn!(call = %id, "a change of a call's dialog could not be written down");
        }
    }

    fn call(&self, id: CallId) -> Option<CallView> {
        self.registry.get(id)
    }

    fn calls(&self) -> Vec<CallView> {
        self.registry.all()
    }
}

impl Recorder {
    async fn try_admit(&self, call: NewCall) -> Result<Admitted, AdmitError> {
        if self.draining.load(Ordering::Acquire) {
            return Err(AdmitError::Draining);
        }
        let department = self
            .config
            .departments
            .iter()
            .find(|department| department.id == call.department)
            .ok_or_else(|| AdmitError::UnknownDepartment(call.department.clone()))?
            .clone();
        check_streams(&call)?;
        if !self.spool.accepts_new_calls() {
            return Err(AdmitError::Overloaded("the spool is filling up"));
        }
        let own_rtcp = call.streams.iter().map(|stream| !stream.rtcp.mux);
        let sockets = self.ports.bind(own_rtcp, self.clock.mono()).map_err(|error| match error {
            PortError::Exhausted => AdmitError::PortsUsedUp,
            PortError::Socket(_) => AdmitError::Overloaded("no sockets left"),
        })?;
        let addresses: Vec<SocketAddr> =
            sockets.iter().map(|sockets| self.advertised(sockets.port())).collect();
        let facts = self.facts(&call, &department);
        let id = facts.id;
        let rules = CallRules { id, question: department.question(), prompt_version: call.prompt_version };
        let legs: Vec<LegPlan> = call.streams.into_iter().map(leg_plan).collect();
        if department.record {
            let ports: Vec<u16> = sockets.iter().map(StreamSockets::port).collect();
            let saved = SavedCall::new(rules.clone(), &legs, &ports, self.clock.mono());
            self.open_in_spool(&facts, Some(saved)).await?;
        }
        let consent = if department.record { ConsentState::Asked } else { ConsentState::Unknown };
        let gauges = Arc::new(CallGauges::new(limit::STREAMS_PER_CALL));
        self.registry.add(&facts, consent, &addresses, Arc::clone(&gauges));
        if department.record {
            self.registry.set_opened(id);
        }
        let plan = CallPlan { rules, streams: legs.into_iter().zip(sockets).collect(), gauges };
        let (reply, answer) = oneshot::channel();
        self.engine.admit(plan, Box::new(move |result| drop(reply.send(result))));
        match answer.await {
            Ok(Ok(_)) => Ok(Admitted { id, consent, streams: addresses }),
            _ => {
                self.registry.remove(id);
                self.forget_in_spool(id).await;
                Err(AdmitError::Overloaded("the media engine is at its limit"))
            }
        }
    }

    /// Makes the admission durable before anyone is told of it.
    async fn open_in_spool(&self, facts: &CallFacts, saved: Option<SavedCall>) -> Result<(), AdmitError> {
        let saved = saved.map(|saved| SavedCall { boot: BootId::current(), ..saved });
        let saved = saved.map(|saved| Body::CallState(saved.to_text().into()));
        let records = [Body::Opened(facts.clone())]
            .into_iter()
            .chain(saved)
            .map(|body| SpoolRecord { call: facts.id, body });
        let queued = self.spool.append(records.collect());
        if queued.is_err() || !durable(&self.spool).await {
            self.forget_in_spool(facts.id).await;
            return Err(AdmitError::Overloaded("the spool cannot be written"));
        }
        Ok(())
    }

    async fn forget_in_spool(&self, id: CallId) {
        if let Err(error) = destroy_key(&self.spool, id).await {
            tracing::error!(call = %id, %error, "the spool key of a call that was not admitted could not be destroyed");
        }
    }

    async fn try_control(&self, id: CallId, control: Control) -> Result<CallView, ControlError> {
        if let Control::AddStream(stream) = control {
            return self.add_stream(id, *stream).await;
        }
        if let Control::Describe(context) = &control
            && let Some(department) = self.moved_to(id, context)
        {
            let evidence = Evidence::Actor { name: "the number called changed".into(), staff: None };
            let transfer = Control::Transfer { department, prompt_version: None, evidence };
            Box::pin(self.try_control(id, transfer)).await?;
        }
        let withdraws = matches!(control, Control::Withdraw { .. });
        let moves_to = match &control {
            Control::Transfer { department, .. } => Some(self.department(department)?.clone()),
            _ => None,
        };
        let opened = match &moves_to {
            Some(department) if department.record => self.open_late(id, department).await?,
            _ => false,
        };
        let commanded = self.command(id, control).await;
        if commanded.is_err() && opened {
            self.forget_in_spool(id).await;
        }
        let state = match commanded {
            Err(ControlError::NoSuchCall(_) | ControlError::Consent(ConsentError::Ended)) if withdraws => {
                return self.withdraw_ended(id).await;
            }
            commanded => commanded?,
        };
        if let Some(department) = moves_to {
            self.registry.set_department(id, &department.id);
        }
        if !durable(&self.spool).await {
            return Err(ControlError::NotDurable);
        }
        if state.consent == ConsentState::Withdrawn {
            self.erasing.order(id, Cause::Withdrawal).await.map_err(|_| ControlError::NotDurable)?;
        }
        self.registry.set_consent(id, state.consent);
        self.registry.set_paused(id, state.paused);
        self.registry.get(id).ok_or(ControlError::NoSuchCall(id))
    }

    /// Opens a port and lets the stream join; both are durable once this answers.
    async fn add_stream(&self, id: CallId, stream: NewStream) -> Result<CallView, ControlError> {
        // One at a time in a call, so that the streams shown are in the order of its channels.
        let _turn = self.joining.lock(id).await;
        let view = self.registry.get(id).filter(|view| view.outcome.is_none());
        let view = view.ok_or(ControlError::NoSuchCall(id))?;
        if view.streams.len() >= limit::STREAMS_PER_CALL {
            let most = limit::STREAMS_PER_CALL;
            return Err(ControlError::BadStream(format!(
                "the call has {most} streams, and none may be added"
            )));
        }
        if view.streams.iter().any(|known| known.label == stream.label) {
            return Err(ControlError::BadStream(format!(
                "a stream of the call is `{}` already",
                stream.label
            )));
        }
        if stream.formats.is_empty() {
            return Err(ControlError::BadStream(format!("stream `{}` has no codec", stream.label)));
        }
        let bound = self.ports.bind([!stream.rtcp.mux], self.clock.mono());
        let sockets = bound.ok().and_then(|mut all| all.pop()).ok_or(ControlError::PortsUsedUp)?;
        let address = self.advertised(sockets.port());
        let facts = StreamFacts { label: stream.label.clone(), role: stream.role };
        let plan = StreamPlan { facts: facts.clone(), leg: leg_plan(stream), sockets };
        let (reply, answer) = oneshot::channel();
        self.engine.join(id, plan, Box::new(move |result| drop(reply.send(result))));
        match answer.await {
            Ok(Ok(_)) => {}
            Ok(Err(EngineError::NoSuchCall)) => return Err(ControlError::NoSuchCall(id)),
            Ok(Err(error @ EngineError::NoMoreStreams)) => {
                return Err(ControlError::BadStream(error.to_string()));
            }
            Ok(Err(_)) | Err(_) => return Err(ControlError::NotDurable),
        }
        self.registry.joined(id, &facts, address);
        if !durable(&self.spool).await {
            return Err(ControlError::NotDurable);
        }
        self.registry.get(id).ok_or(ControlError::NoSuchCall(id))
    }

    async fn command(&self, id: CallId, control: Control) -> Result<CallState, ControlError> {
        let command = match control {
            Control::Answer { answer, how, prompt_version, evidence } => {
                Command::Answer { answer, how, prompt_version, evidence }
            }
            Control::Withdraw { how, evidence } => Command::Withdraw { how, evidence },
            Control::Transfer { department, prompt_version, evidence } => {
                let to = Box::new(self.department(&department)?.question());
                Command::Transfer { to, prompt_version, evidence }
            }
            Control::Pause => Command::Pause,
            Control::Resume => Command::Resume,
            Control::End => Command::End,
            Control::DropStream { stream } => Command::DropStream { stream },
            Control::AddStream(_) => return Err(ControlError::Unsupported("add a stream in this way")),
            Control::Describe(_) => {
                return Err(ControlError::Unsupported("keep what becomes known in mid-call"));
            }
            Control::Renegotiate { stream, formats, telephone_event, comfort_noise, source, srtp, rtcp } => {
                let role = StreamRole::Other;
                let plan = LegPlan { role, formats, telephone_event, comfort_noise, source, srtp, rtcp };
                Command::Renegotiate { stream, plan: Box::new(plan) }
            }
        };
        let (reply, answer) = oneshot::channel();
        self.engine.control(id, command, Box::new(move |result| drop(reply.send(result))));
        match answer.await {
            Ok(Ok(state)) => Ok(state),
            Ok(Err(EngineError::Consent(error))) => Err(ControlError::Consent(error)),
            Ok(Err(EngineError::NoSuchCall)) => Err(ControlError::NoSuchCall(id)),
            Ok(Err(_)) | Err(_) => Err(ControlError::NotDurable),
        }
    }

    fn department(&self, id: &str) -> Result<&Department, ControlError> {
        let found = self.config.departments.iter().find(|department| department.id == id);
        found.ok_or_else(|| ControlError::UnknownDepartment(id.to_owned()))
    }

    /// The department that a changed number called belongs to, where it is not the present one.
    fn moved_to(&self, id: CallId, context: &CallContext) -> Option<String> {
        let number = context.called_number.as_ref()?;
        let changes = self.registry.called_changes(id, number);
        let country = &self.config.country_code;
        let called = normalise(number.reveal(), country).filter(|_| changes)?;
        let reaches = |one: &&Department| {
            one.numbers.iter().any(|written| normalise(written, country).as_ref() == Some(&called))
        };
        let department = self.config.departments.iter().find(reaches)?;
        let now = self.registry.get(id)?.department;
        (department.id != now).then(|| department.id.clone())
    }

    /// A call that no department recorded so far is opened in the spool as one of `department`'s,
    /// so that a yes has somewhere to go. True: it was opened now.
    async fn open_late(&self, id: CallId, department: &Department) -> Result<bool, ControlError> {
        let Some(mut facts) = self.registry.unopened(id) else { return Ok(false) };
        facts.department.clone_from(&department.id);
        facts.retention_days = department.retention_days;
        // The engine saves the call itself, with its next turn.
        self.open_in_spool(&facts, None).await.map_err(|_| ControlError::NotDurable)?;
        self.registry.set_opened(id);
        Ok(true)
    }

    /// A yes that is taken back just after the call's end: the recording is erased wherever it is.
    async fn withdraw_ended(&self, id: CallId) -> Result<CallView, ControlError> {
        let view = self.registry.get(id).ok_or(ControlError::NoSuchCall(id))?;
        if view.consent == ConsentState::Granted || view.outcome == Some(Outcome::Recorded) {
            self.erasing.order(id, Cause::Withdrawal).await.map_err(|_| ControlError::NotDurable)?;
            self.registry.set_consent(id, ConsentState::Withdrawn);
            let erasing = Arc::clone(&self.erasing);
            // What cannot be reached now, the sweeper tries again.
            tokio::spawn(async move { drop(erasing.complete(id, Cause::Withdrawal).await) });
        }
        self.registry.get(id).ok_or(ControlError::NoSuchCall(id))
    }

    fn facts(&self, call: &NewCall, department: &Department) -> CallFacts {
        let started_at = self.clock.wall();
        let streams = call
            .streams
            .iter()
            .map(|stream| StreamFacts { label: stream.label.clone(), role: stream.role })
            .collect();
        CallFacts {
            id: CallId::new_at(started_at),
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
        SocketAddr::new(self.config.rtp.advertised_ip, port)
    }
}

fn leg_plan(stream: NewStream) -> LegPlan {
    LegPlan {
        role: stream.role,
        formats: stream.formats,
        telephone_event: stream.telephone_event,
        comfort_noise: stream.comfort_noise,
        source: stream.source,
        srtp: stream.srtp,
        rtcp: stream.rtcp,
    }
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
    match call.streams.iter().find(|stream| stream.formats.is_empty()) {
        Some(stream) => Err(AdmitError::BadStreams(format!("stream `{}` has no codec", stream.label))),
        None => Ok(()),
    }
}
