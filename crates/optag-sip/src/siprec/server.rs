//! The recording server without its sockets: requests in, calls and answers out.
//!
//! In: messages with the way they came, results of the [`Feed`](crate::feed),
//! the time. Out: bytes to send, calls to admit, controls to apply. Requests of one session
//! are answered in order; a call's controls are handed out one at a time. Not here: how an
//! INVITE (`invite`) or another request (`requests`) is answered, and sockets (`service`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use aws_lc_rs::hmac;

use super::session::Session;
use super::stats::Stats;
use crate::feed::{AdmitError, Admitted, CallView, Control, ControlError, NewCall};
use crate::sip::address_validation::Proofs;
use crate::sip::digest::Digest;
use crate::sip::flow::Flow;
use crate::sip::message::Request;
use crate::sip::parse::{Parsed, Refusal};
use crate::sip::response::{Answer, asks_rport};
use crate::sip::transaction::{self, Key, Origin, Received, Transactions};
use crate::sip::user_agent_client::Clients;
use crate::siprec::accounted::Accounted;
use crate::siprec::generations::Earlier;
use crate::siprec::own_requests::{EndReason, Purpose};
use crate::siprec::session::snapshot::SessionSnapshot;
use crate::siprec::settings::Config;
use crate::siprec::timers::{Deadlines, Timer, Timers};
use optag_core::call::{AnnouncedCall, ConsentState, Department};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::id::CallId;
use optag_core::private::Private;

/// Identifies a recording session within this process.
pub type SessionId = u64;

/// Inputs of the server.
#[derive(Debug)]
pub enum Input {
    /// A message was received.
    Received {
        /// The flow it arrived on.
        flow: Flow,
        /// The message, or why it is not one.
        message: Result<Parsed, Refusal>,
        /// Its size. Units: bytes.
        bytes: usize,
        /// When it was received.
        at: WallTime,
    },
    /// The feed has decided about a call.
    Admitted(SessionId, Result<Admitted, AdmitError>),
    /// The feed has carried out or refused a control.
    Controlled(SessionId, Result<CallView, ControlError>),
    /// The engine has ended the call of a session.
    CallEnded(SessionId),
    /// Consent of a session's call has changed.
    Consent(SessionId, ConsentState),
    /// Admit no new calls from now on.
    Drain,
    /// Departments of sessions that begin from now on.
    Departments(Vec<Department>),
    /// Whether calls fit: what OPTIONS answers. Each INVITE is tried all the same.
    Accepting(bool),
    /// End every session with a BYE.
    EndAll,
}

/// Outputs of the server.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes.
    Send(Flow, Vec<u8>),
    /// Ask the feed to admit this call, and report [`Input::Admitted`].
    Admit(SessionId, Box<NewCall>),
    /// Store this with the call, so that another process can resume the session.
    Keep(CallId, Private<String>),
    /// Ask the feed to apply this, and report [`Input::Controlled`].
    Control(SessionId, CallId, Control),
    /// The client has confirmed that the session of this call is alive: silence does not end the
    /// call for this long.
    Alive(CallId, Duration),
    /// The call's own silence timeout.
    Silence(CallId, Duration),
    /// Store this account.
    AnnouncedCall(Box<AnnouncedCall>),
}

/// A new request, with what is needed to answer it.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub now: MonoTime,
    pub at: WallTime,
    pub flow: Flow,
    pub key: Key,
    pub request: Request,
}

/// The recording server.
#[derive(Debug)]
pub struct Server {
    pub(super) config: Config,
    pub(super) digest: Option<Digest>,
    pub(super) transactions: Transactions,
    pub(super) clients: Clients,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) by_dialog: HashMap<(String, String), SessionId>,
    pub(super) draining: bool,
    /// Whether calls fit.
    pub(super) accepting: bool,
    pub(super) earlier: Earlier,
    pub(super) stats: Stats,
    pub(super) proofs: Proofs,
    pub(super) touched: BTreeSet<SessionId>,
    pub(super) timers: Timers,
    pub(super) accounted: Accounted,
    /// Our requests under way, by branch.
    pub(super) asked: HashMap<String, (SessionId, Purpose)>,
    /// When the last message was received, by both clocks.
    pub(super) heard: (MonoTime, WallTime),
    pub(super) key: hmac::Key,
    pub(super) names: u64,
}

impl Server {
    /// A server without sessions.
    pub fn new(config: Config, now: MonoTime) -> Self {
        let digest = config.credentials.clone().map(|c| Digest::new(c, &config.secret));
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &config.secret),
            config,
            digest,
            transactions: Transactions::new(),
            clients: Clients::new(),
            sessions: BTreeMap::new(),
            by_dialog: HashMap::new(),
            draining: false,
            accepting: true,
            earlier: Earlier::default(),
            stats: Stats::default(),
            proofs: Proofs::default(),
            touched: BTreeSet::new(),
            timers: Timers::default(),
            accounted: Accounted::default(),
            asked: HashMap::new(),
            heard: (now, WallTime::default()),
            names: 0,
        }
    }

    /// Resumes a session that another process saved; `flow` is its flow to the client, if still open.
    pub fn resume(&mut self, now: MonoTime, kept: SessionSnapshot, flow: Option<Flow>) -> SessionId {
        self.stats.sessions_resumed += 1;
        if let Some(flow) = flow {
            self.prove(now, flow);
        }
        let mut session = kept.session(now, flow);
        if !session.saved.view.is_empty() {
            // Metadata sent during the restart is lost.
            session.want_snapshot(now);
        }
        let deadlines = session.deadlines();
        let id = self.insert(session);
        self.timers.set(id, deadlines);
        id
    }

    /// What another process needs to resume each session that has a call.
    pub fn save(&self) -> Vec<SessionSnapshot> {
        let lasting = self.sessions.values().filter(|s| s.saved.call.is_some() && !s.is_over());
        lasting.map(SessionSnapshot::of).collect()
    }

    /// Handles an input.
    pub fn handle(&mut self, now: MonoTime, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Received { flow, message, bytes, at } => self.received(now, at, flow, message, bytes, out),
            Input::Admitted(id, result) => self.admitted(now, id, result, out),
            Input::Controlled(id, result) => self.controlled(now, id, result, out),
            Input::CallEnded(id) => self.hang_up(now, id, EndReason::CallEnded, out),
            Input::Consent(id, consent) => self.consent_is(now, id, consent, out),
            Input::Drain => self.draining = true,
            Input::Accepting(accepting) => self.accepting = accepting,
            Input::Departments(all) => {
                let oldest = self.sessions.keys().next().copied();
                self.earlier.change(&mut self.config, &all, oldest, self.names);
            }
            Input::EndAll => {
                for id in self.sessions.keys().copied().collect::<Vec<_>>() {
                    self.finish_call(id);
                    self.hang_up(now, id, EndReason::Stopping, out);
                }
            }
        }
        self.hand_out_controls(out);
    }

    /// Handles due timers.
    pub fn handle_timeout(&mut self, now: MonoTime, out: &mut Vec<Output>) {
        let mut due = Vec::new();
        self.transactions.handle_timeout(now, &mut due);
        for output in due {
            self.transaction_says(now, output, out);
        }
        let mut due = Vec::new();
        self.clients.handle_timeout(now, &mut due);
        for output in due {
            self.client_says(now, output, out);
        }
        for (id, timer) in self.timers.due(now) {
            // An earlier one may have ended the session or put this one off.
            let Some(session) = self.edit(id) else { continue };
            if session.deadlines().of(timer).is_none_or(|at| at > now) {
                continue;
            }
            match timer {
                Timer::Activation => self.take_streams(now, id, out),
                Timer::Session => self.session_timer(now, id, out),
                Timer::MetadataRequest => self.request_metadata(now, id, out),
                Timer::LostAck => self.give_up_ack(now, id, out),
            }
        }
        self.hand_out_controls(out);
    }

    /// When [`Server::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        let all = [self.transactions.next_timeout(), self.clients.next_timeout(), self.timers.next()];
        all.into_iter().flatten().min()
    }

    /// Sessions that have a call, and the calls.
    pub fn calls(&self) -> Vec<(SessionId, CallId)> {
        let live = self.sessions.iter().filter(|(_, session)| !session.is_over());
        live.filter_map(|(id, session)| Some((*id, session.saved.call?))).collect()
    }

    /// The session of a call in progress.
    pub fn session_of(&self, call: CallId) -> Option<SessionId> {
        let mut live = self.sessions.iter().filter(|(_, session)| !session.is_over());
        live.find(|(_, session)| session.saved.call == Some(call)).map(|(id, _)| *id)
    }

    /// Whether a session's streams are inactive until consent.
    pub fn waits(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.saved.waits)
    }

    /// Number of sessions, including those whose end the feed has not carried out yet.
    pub fn open_sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Counters so far.
    pub fn stats(&self) -> Stats {
        let repeats = self.transactions.stats();
        Stats {
            sessions: self.sessions.len() as u64,
            draining: u64::from(self.draining),
            repeated_requests: repeats.repeated_requests,
            repeated_answers: repeats.repeated_answers,
            dropped_full: repeats.refused_full,
            ..self.stats
        }
    }

    fn received(
        &mut self,
        now: MonoTime,
        at: WallTime,
        flow: Flow,
        message: Result<Parsed, Refusal>,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        self.heard = (now, at);
        if !self.config.allows(flow.peer.ip()) {
            self.stats.dropped_foreign += 1;
            return;
        }
        match message {
            Ok(Parsed::KeepAlive) => {
                if flow.transport.is_reliable() && bytes >= 4 {
                    out.push(Output::Send(flow, b"\r\n".to_vec()));
                }
            }
            Ok(Parsed::Response(response)) => {
                let mut said = Vec::new();
                self.clients.receive(now, &response, &mut said);
                for output in said {
                    self.client_says(now, output, out);
                }
            }
            Ok(Parsed::Request(request)) => {
                self.stats.requests += 1;
                self.request(now, at, flow, *request, bytes, out);
            }
            Err(Refusal::Drop(_)) => self.stats.dropped_malformed += 1,
            Err(Refusal::Answer { code, method, headers, .. }) => {
                self.refuse_unread(at, flow, (code, method, headers), bytes, out);
            }
        }
    }

    fn request(
        &mut self,
        now: MonoTime,
        at: WallTime,
        flow: Flow,
        request: Request,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        let dialog = self.dialog_of(&request);
        if dialog.is_some() {
            self.prove(now, flow);
        }
        if !self.transactions.knows(&request) && self.needs_no_transaction(&request, dialog) {
            let answer = self.stateless_answer(now, flow, &request, dialog, out);
            let limit = if dialog.is_some() { usize::MAX } else { bytes };
            return self.answer_statelessly(flow, &request.headers, answer, limit, out);
        }
        let back = request.via().map_or(flow, |via| flow.for_responses(&via, asks_rport(&request.headers)));
        let vouched = flow.transport.is_reliable() || self.proofs.holds(now, flow.peer);
        let origin = Origin { flow: back, weighs: (!vouched).then_some(bytes), dialog };
        let mut said = Vec::new();
        let received = self.transactions.receive(now, origin, &request, &mut said);
        for output in said {
            self.transaction_says(now, output, out);
        }
        match received {
            Received::Absorbed => {}
            Received::Full => self.turn_away(at, flow, &request, bytes, out),
            Received::Ack => self.ack(now, at, flow, &request, out),
            Received::Merged(key) => {
                self.stats.merged += 1;
                self.refuse(now, flow, &key, &request, Answer::new(482, ""), out);
            }
            Received::New(key) => {
                let incoming = Incoming { now, at, flow, key, request };
                match incoming.request.method.as_str() {
                    "INVITE" => {
                        self.proofs.invited(flow.peer);
                        self.invite(incoming, out);
                    }
                    _ => self.other_request(incoming, out),
                }
            }
        }
    }

    /// The session of the request's dialog.
    pub(super) fn dialog_of(&self, request: &Request) -> Option<SessionId> {
        let to = request.to()?;
        let id = *self.by_dialog.get(&(request.call_id(), to.tag()?.to_owned()))?;
        let session = self.sessions.get(&id)?;
        let from = request.from()?;
        (from.tag().unwrap_or_default() == session.saved.dialog.remote_tag).then_some(id)
    }

    pub(super) fn insert(&mut self, session: Session) -> SessionId {
        self.names += 1;
        let dialog = &session.saved.dialog;
        self.by_dialog.insert((dialog.call_id.clone(), dialog.local_tag.clone()), self.names);
        self.sessions.insert(self.names, session);
        self.names
    }

    /// Removes a session that is over and idle.
    pub(super) fn forget_if_done(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        if self.sessions.get(&id).is_none_or(|s| !s.is_over() || !s.is_idle()) {
            return;
        }
        let Some(session) = self.sessions.get(&id) else { return };
        // A resumed session may end before any message was received.
        let ended_at = self.wall(now).max(session.saved.began_at);
        self.output_announced_call(id, Some(ended_at), out);
        let Some(session) = self.sessions.get(&id) else { return };
        let dialog = &session.saved.dialog;
        self.by_dialog.remove(&(dialog.call_id.clone(), dialog.local_tag.clone()));
        self.sessions.remove(&id);
        self.timers.set(id, Deadlines::default());
    }

    pub(super) fn transaction_says(
        &mut self,
        now: MonoTime,
        output: transaction::Output,
        out: &mut Vec<Output>,
    ) {
        match output {
            transaction::Output::Send(flow, bytes) => out.push(Output::Send(flow, bytes)),
            transaction::Output::Unacknowledged(key) => {
                let mut all = self.sessions.iter();
                if let Some((&id, _)) = all.find(|(_, session)| session.awaits_ack_of(&key)) {
                    self.stats.unacknowledged += 1;
                    self.finish_call(id);
                    self.leave_unacknowledged(now, id, out);
                }
            }
        }
    }
}
