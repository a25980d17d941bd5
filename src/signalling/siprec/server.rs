//! The recording server without its sockets: requests in, calls and answers out.
//!
//! In: messages with the way they came, results of the [`Feed`](crate::signalling::feed),
//! the time. Out: bytes to send, calls to admit, controls to apply. Requests of one session
//! are answered in order; a call's controls are handed out one at a time. Not here: how an
//! INVITE (`invite`) or another request (`requests`) is answered, and sockets (`link`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use aws_lc_rs::hmac;

use super::config::Config;
use super::kept::Kept;
use super::session::Session;
use super::stats::Stats;
use crate::base::clock::{MonoTime, WallTime};
use crate::base::id::CallId;
use crate::base::private::Private;
use crate::signalling::feed::{AdmitError, Admitted, CallView, Control, ControlError, NewCall};
use crate::signalling::sip::client::Clients;
use crate::signalling::sip::digest::Digest;
use crate::signalling::sip::flow::{Flow, Transport};
use crate::signalling::sip::header::Headers;
use crate::signalling::sip::message::Request;
use crate::signalling::sip::parse::{Parsed, Refusal};
use crate::signalling::sip::response::{Answer, asks_rport};
use crate::signalling::sip::transaction::{self, Key, Received, Transactions};
use crate::signalling::sip::uri::Uri;

/// Names a recording session for the life of the process.
pub type SessionId = u64;

/// What happens to the server.
#[derive(Debug)]
pub enum Input {
    /// A message came.
    Received {
        /// The way it came.
        flow: Flow,
        /// What it is.
        message: Result<Parsed, Refusal>,
        /// How long it was.
        bytes: usize,
        /// When it came.
        at: WallTime,
    },
    /// The feed has decided about a call.
    Admitted(SessionId, Result<Admitted, AdmitError>),
    /// The feed has carried out a control.
    Controlled(SessionId, Result<CallView, ControlError>),
    /// The engine has ended the call of a session by itself.
    CallEnded(SessionId),
    /// No new calls from now on.
    Drain,
    /// End every session with a BYE.
    EndAll,
}

/// What the server asks for.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes.
    Send(Flow, Vec<u8>),
    /// Ask the feed to admit this call, and say [`Input::Admitted`].
    Admit(SessionId, Box<NewCall>),
    /// Have this written down with the call: another process goes on with it.
    Keep(CallId, Private<String>),
    /// Ask the feed for this, and say [`Input::Controlled`].
    Control(SessionId, CallId, Control),
}

/// A request that is new, with what is needed to answer it.
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
    pub(super) stats: Stats,
    pub(super) request_bytes: HashMap<Key, usize>,
    pub(super) touched: BTreeSet<SessionId>,
    pub(super) key: hmac::Key,
    pub(super) names: u64,
}

impl Server {
    /// A server without sessions.
    pub fn new(config: Config, _now: MonoTime) -> Self {
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
            stats: Stats::default(),
            request_bytes: HashMap::new(),
            touched: BTreeSet::new(),
            names: 0,
        }
    }

    /// Takes up a session that another process kept; `flow` leads to its client, where it is open.
    pub fn resume(&mut self, now: MonoTime, kept: Kept, flow: Option<Flow>) -> SessionId {
        self.stats.sessions_resumed += 1;
        self.insert(kept.session(now, flow))
    }

    /// What another process needs to take up each session that has a call.
    pub fn save(&self) -> Vec<Kept> {
        let lasting = self.sessions.values().filter(|s| s.saved.call.is_some() && !s.over);
        lasting.map(Kept::of).collect()
    }

    /// Does what an input asks for.
    pub fn handle(&mut self, now: MonoTime, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Received { flow, message, bytes, at } => self.received(now, at, flow, message, bytes, out),
            Input::Admitted(id, result) => self.admitted(now, id, result, out),
            Input::Controlled(id, result) => self.controlled(now, id, result, out),
            Input::CallEnded(id) => self.hang_up(now, id, out),
            Input::Drain => self.draining = true,
            Input::EndAll => {
                for id in self.sessions.keys().copied().collect::<Vec<_>>() {
                    self.finish_call(id);
                    self.hang_up(now, id, out);
                }
            }
        }
        self.hand_out_controls(out);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: MonoTime, out: &mut Vec<Output>) {
        let mut due = Vec::new();
        self.transactions.handle_timeout(now, &mut due);
        for output in due {
            self.transaction_says(now, output, out);
        }
        let mut due = Vec::new();
        self.clients.handle_timeout(now, &mut due);
        for output in due {
            self.client_says(output, out);
        }
        let timers: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.timer_at.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in timers {
            self.session_timer(now, id, out);
        }
        self.hand_out_controls(out);
    }

    /// When [`Server::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        let timers = self.sessions.values().filter_map(|session| session.timer_at).min();
        [self.transactions.next_timeout(), self.clients.next_timeout(), timers].into_iter().flatten().min()
    }

    /// Sessions that have a call, and the calls.
    pub fn calls(&self) -> Vec<(SessionId, CallId)> {
        let live = self.sessions.iter().filter(|(_, session)| !session.over);
        live.filter_map(|(id, session)| Some((*id, session.saved.call?))).collect()
    }

    /// Sessions that are not over, or whose end the feed has not taken yet.
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
        if !self.config.clients.allows(flow.peer.ip()) {
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
                self.clients.receive(&response, &mut said);
                for output in said {
                    self.client_says(output, out);
                }
            }
            Ok(Parsed::Request(request)) => {
                self.stats.requests += 1;
                self.request(now, at, flow, *request, bytes, out);
            }
            Err(Refusal::Drop(_)) => self.stats.dropped_malformed += 1,
            Err(Refusal::Answer { code, method, headers, .. }) => {
                self.stats.refused_malformed += 1;
                if method != "ACK" {
                    let answer = Answer::new(code, &self.name("tag"));
                    self.answer_statelessly(flow, &headers, &answer, bytes, out);
                }
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
        let back = request.via().map_or(flow, |via| flow.for_responses(&via, asks_rport(&request.headers)));
        let mut said = Vec::new();
        let received = self.transactions.receive(now, back, &request, &mut said);
        for output in said {
            self.transaction_says(now, output, out);
        }
        match received {
            Received::Absorbed | Received::Full => {}
            Received::Ack => self.ack(now, at, flow, &request),
            Received::New(key) => {
                if flow.transport == Transport::Udp {
                    self.request_bytes.insert(key.clone(), bytes);
                }
                let incoming = Incoming { now, at, flow, key, request };
                match incoming.request.method.as_str() {
                    "INVITE" => self.invite(incoming, out),
                    _ => self.other_request(incoming, out),
                }
            }
        }
    }

    /// Answers under a transaction. Over UDP, what no dialog vouches for is kept within the
    /// size of its request; if it cannot be, there is no answer.
    pub(super) fn respond(
        &mut self,
        now: MonoTime,
        flow: Flow,
        key: &Key,
        request: &Request,
        answer: &Answer,
        out: &mut Vec<Output>,
    ) {
        let in_dialog = self.dialog_of(request).is_some();
        let free = in_dialog || (request.method == "INVITE" && answer.code < 300);
        let limit = self.request_bytes.get(key).copied().filter(|_| !free).unwrap_or(usize::MAX);
        if answer.code >= 200 {
            self.request_bytes.remove(key);
        }
        match answer.to_bytes_within(&request.headers, flow.peer, limit) {
            Some(bytes) => {
                let mut said = Vec::new();
                self.transactions.respond(now, key, answer.code, bytes, &mut said);
                for output in said {
                    self.transaction_says(now, output, out);
                }
            }
            None => {
                self.stats.unanswered_too_small += 1;
                self.transactions.forget(key);
            }
        }
    }

    /// The session in whose dialog a request is.
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

    /// Forgets a session once nothing of it is left to do.
    pub(super) fn forget_if_done(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(&id).filter(|s| s.over && s.is_idle()) else { return };
        let dialog = &session.saved.dialog;
        self.by_dialog.remove(&(dialog.call_id.clone(), dialog.local_tag.clone()));
        self.sessions.remove(&id);
    }

    fn answer_statelessly(
        &mut self,
        flow: Flow,
        headers: &Headers,
        answer: &Answer,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        let request = Request {
            method: String::new(),
            uri: Uri { scheme: String::new(), user: String::new(), host: String::new(), text: String::new() },
            headers: headers.clone(),
            body: Vec::new(),
        };
        let Some(via) = request.via() else { return };
        let back = flow.for_responses(&via, asks_rport(headers));
        let limit = if flow.transport.is_reliable() { usize::MAX } else { bytes };
        match answer.to_bytes_within(headers, flow.peer, limit) {
            Some(bytes) => out.push(Output::Send(back, bytes)),
            None => self.stats.unanswered_too_small += 1,
        }
    }

    fn controlled(
        &mut self,
        now: MonoTime,
        id: SessionId,
        result: Result<CallView, ControlError>,
        out: &mut Vec<Output>,
    ) {
        self.stream_added(now, id, &result, out);
        let Some(session) = self.edit(id) else { return };
        match result {
            Ok(view) => session.consent = view.consent,
            Err(ControlError::NoSuchCall(_)) => {
                session.saved.call = None;
                self.hang_up(now, id, out);
            }
            Err(ControlError::BadStream(_) | ControlError::PortsUsedUp) => self.stats.streams_too_many += 1,
            Err(_) => self.stats.controls_refused += 1,
        }
        self.hand_out_controls(out);
        self.forget_if_done(id);
    }

    fn hand_out_controls(&mut self, out: &mut Vec<Output>) {
        while let Some(id) = self.touched.pop_first() {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            out.extend(keep(session));
            if let Some((call, control)) = session.next_control() {
                out.push(Output::Control(id, call, control));
            }
        }
    }

    /// A session to be changed; what it then wants of the feed is handed out.
    pub(super) fn edit(&mut self, id: SessionId) -> Option<&mut Session> {
        self.touched.insert(id);
        self.sessions.get_mut(&id)
    }

    fn transaction_says(&mut self, now: MonoTime, output: transaction::Output, out: &mut Vec<Output>) {
        match output {
            transaction::Output::Send(flow, bytes) => out.push(Output::Send(flow, bytes)),
            transaction::Output::Unacknowledged(key) => {
                let mut all = self.sessions.iter();
                let waits = |s: &Session| s.unacknowledged.as_ref().is_some_and(|(k, _)| *k == key);
                if let Some((&id, _)) = all.find(|(_, session)| waits(session)) {
                    self.stats.unacknowledged += 1;
                    self.finish_call(id);
                    self.hang_up(now, id, out);
                }
            }
        }
    }
}

/// What is to be written down of a session whose lasting part has changed.
fn keep(session: &mut Session) -> Option<Output> {
    let call = session.saved.call.filter(|_| !session.over)?;
    let text = Kept::of(session).to_text();
    let mut proof = DefaultHasher::new();
    text.hash(&mut proof);
    let proof = proof.finish();
    (std::mem::replace(&mut session.kept, proof) != proof).then(|| Output::Keep(call, text.into()))
}
