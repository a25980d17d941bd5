//! The asking server without its sockets: requests in, prompts to play and answers to keep out.
//!
//! Each initial INVITE that is understood becomes an `Ask`, which ends in exactly one [`Output::Ended`]. Over UDP
//! nothing larger than a request goes to a peer that has not shown that it receives, and no media either. Not here:
//! how an INVITE begins an ask (`invite`), other requests (`requests`), how a call is sent on (`sending_on`).
//!
//! Source: RFC 3261 §8.2, §13.3.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::hmac;

use crate::ask::dialog::{Ask, Stage};
use crate::ask::events::{Action, Clip, Event, Given};
use crate::ask::outcome::Outcome;
use crate::ask::port::{AskId, Input, NamedAnswer, Output};
use crate::ask::settings::Settings;
use crate::sip::address_validation::Proofs;
use crate::sip::digest::Digest;
use crate::sip::flow::{Flow, Transport};
use crate::sip::message::Request;
use crate::sip::parse::{Parsed, Refusal};
use crate::sip::response::{Answer as Response, asks_rport};
use crate::sip::transaction::{self, Origin, Received, Transactions};
use crate::sip::user_agent_client::{self, Clients};
use optag_core::call::{Answer, ConsentHow, Evidence, GivenAnswer};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::hex::hex;
use optag_core::private::Private;
use optag_media::announce::AnnounceEvent;

/// Probes of addresses under way. When full, no further address is probed.
pub(super) const PROBES: usize = 4_096;
/// How long the answer to a probe counts.
const PROBE_LASTS: Duration = Duration::from_secs(2);
/// When early media is announced again, where none has come from the caller.
const AGAIN: Duration = Duration::from_millis(150);

/// The asking server.
#[derive(Debug)]
pub struct Server {
    pub(super) settings: Settings,
    pub(super) header: &'static str,
    pub(super) digest: Option<Digest>,
    pub(super) transactions: Transactions,
    pub(super) clients: Clients,
    pub(super) proofs: Proofs,
    pub(super) probes: HashMap<String, (SocketAddr, MonoTime)>,
    pub(super) asks: HashMap<AskId, Ask>,
    pub(super) by_call: HashMap<String, AskId>,
    /// Our requests under way, by branch.
    pub(super) requests: HashMap<String, AskId>,
    deadlines: BTreeSet<(MonoTime, AskId)>,
    pub(super) accepting: bool,
    pub(super) stopping: bool,
    heard: (MonoTime, WallTime),
    key: hmac::Key,
    pub(super) names: u64,
}

impl Server {
    /// A server that asks nobody yet.
    pub fn new(settings: Settings, now: MonoTime) -> Self {
        let secret = &settings.sip.secret;
        Self {
            digest: settings.sip.credentials.clone().map(|credentials| Digest::new(credentials, secret)),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            // Once a process: response fields have static names.
            header: settings.consent_header.clone().leak(),
            settings,
            transactions: Transactions::new(),
            clients: Clients::new(),
            proofs: Proofs::default(),
            probes: HashMap::new(),
            asks: HashMap::new(),
            by_call: HashMap::new(),
            requests: HashMap::new(),
            deadlines: BTreeSet::new(),
            accepting: true,
            stopping: false,
            heard: (now, WallTime::default()),
            names: 0,
        }
    }

    /// Handles an input.
    pub fn handle(&mut self, now: MonoTime, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Received { flow, message, bytes, at } => {
                self.heard = (now, at);
                self.received(now, flow, message, bytes, out);
            }
            Input::Opened(id, address) => self.opened(now, id, address, out),
            Input::Media(id, event) => {
                let event = match event {
                    AnnounceEvent::Heard => Event::Heard,
                    AnnounceEvent::Key(press) => Event::Key(press),
                    AnnounceEvent::Played { clip } => Event::Played(clip),
                    AnnounceEvent::Lost { packets } => Event::Lost(packets),
                    AnnounceEvent::Failed => Event::MediaFailed,
                };
                self.tell(now, id, event, out);
            }
            Input::Kept(id, number, kept) => self.tell(now, id, Event::Kept(number, kept), out),
            Input::Change(departments, prompts) => {
                self.settings.sip.departments.all.clone_from(&departments);
                for profile in &mut self.settings.sip.profiles {
                    profile.departments.all.clone_from(&departments);
                }
                self.settings.prompts = prompts;
            }
            Input::Accepting(accepting) => self.accepting = accepting,
            Input::Stop => {
                self.stopping = true;
                for id in self.asks.keys().copied().collect::<Vec<_>>() {
                    self.tell(now, id, Event::Stop, out);
                }
            }
        }
    }

    /// Handles due timers.
    pub fn handle_timeout(&mut self, now: MonoTime, out: &mut Vec<Output>) {
        let mut due = Vec::new();
        self.transactions.handle_timeout(now, &mut due);
        for said in due {
            self.transaction_says(now, said, out);
        }
        let mut due = Vec::new();
        self.clients.handle_timeout(now, &mut due);
        for said in due {
            self.client_says(now, said, out);
        }
        while let Some(&(_, id)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_first();
            let mut actions = Vec::new();
            let Some(ask) = self.asks.get_mut(&id) else { continue };
            ask.deadline = None;
            ask.machine.handle_timeout(now, &mut actions);
            let own = ask.own_timer.take_if(|at| *at <= now).is_some();
            self.carry_out(now, id, actions, out);
            if own {
                self.own_timer(now, id, out);
            }
            self.set_deadline(id);
        }
    }

    /// When [`Server::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        let asks = self.deadlines.first().map(|(at, _)| *at);
        [self.transactions.next_timeout(), self.clients.next_timeout(), asks].into_iter().flatten().min()
    }

    /// Callers who are being asked.
    pub fn asks(&self) -> usize {
        self.asks.len()
    }

    fn received(
        &mut self,
        now: MonoTime,
        flow: Flow,
        message: Result<Parsed, Refusal>,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        if !self.settings.sip.allows(flow.peer.ip()) {
            return;
        }
        match message {
            Ok(Parsed::KeepAlive) => {
                if flow.transport.is_reliable() && bytes >= 4 {
                    out.push(Output::Send(flow, b"\r\n".to_vec()));
                }
            }
            Ok(Parsed::Response(response)) => {
                if let Some((branch, _)) = response.answers()
                    && let Some((peer, sent_at)) = self.probes.remove(&branch)
                {
                    if peer == flow.peer && now.since(sent_at) < PROBE_LASTS {
                        self.proved(now, flow, out);
                    }
                    return;
                }
                let mut said = Vec::new();
                self.clients.receive(now, &response, &mut said);
                for said in said {
                    self.client_says(now, said, out);
                }
            }
            Ok(Parsed::Request(request)) => self.request(now, flow, *request, bytes, out),
            Err(Refusal::Drop(_)) => {}
            Err(Refusal::Answer { code, method, headers, .. }) => {
                if method == "INVITE" {
                    out.push(Output::Ended(Outcome::Rejected, Duration::ZERO));
                }
                if method != "ACK" {
                    self.answer_statelessly(flow, &headers, Response::new(code, ""), bytes, out);
                }
            }
        }
    }

    fn request(&mut self, now: MonoTime, flow: Flow, request: Request, bytes: usize, out: &mut Vec<Output>) {
        let back = request.via().map_or(flow, |via| flow.for_responses(&via, asks_rport(&request.headers)));
        // Only our responses tell the tag, whether it is that of a dialog or of a refusal.
        let knows = request.to().is_some_and(|to| to.tag() == Some(self.tag_of(&request).as_str()));
        if knows && !flow.transport.is_reliable() {
            self.proved(now, flow, out);
        }
        if request.method == "OPTIONS" && !knows {
            let answer = self.abilities(&request);
            return self.answer_statelessly(flow, &request.headers, answer, bytes, out);
        }
        let vouched = flow.transport.is_reliable() || self.proofs.holds(now, flow.peer);
        let dialog = self.ask_of(&request).filter(|_| knows);
        let origin = Origin { flow: back, weighs: (!vouched).then_some(bytes), dialog };
        let mut said = Vec::new();
        let received = self.transactions.receive(now, origin, &request, &mut said);
        for said in said {
            self.transaction_says(now, said, out);
        }
        match received {
            Received::Absorbed => {}
            Received::Full => {
                if request.method == "INVITE" {
                    out.push(Output::Ended(Outcome::Busy, Duration::ZERO));
                }
                self.answer_statelessly(flow, &request.headers, busy(), bytes, out);
            }
            Received::Ack => self.ack(now, &request, out),
            Received::Merged(key) => self.refuse(now, flow, &key, &request, Response::new(482, ""), out),
            Received::New(key) if request.method == "INVITE" && dialog.is_none() => {
                self.proofs.invited(flow.peer);
                self.invite(now, flow, key, request, out);
            }
            Received::New(key) => self.other_request(now, flow, key, request, dialog, out),
        }
    }

    /// Passes an event to an ask, and does what it wants.
    pub(super) fn tell(&mut self, now: MonoTime, id: AskId, event: Event, out: &mut Vec<Output>) {
        let mut actions = Vec::new();
        if let Some(ask) = self.asks.get_mut(&id) {
            if event == Event::Ready && ask.stage == Stage::Early && ask.flow.transport == Transport::Udp {
                ask.own_timer = Some(now + AGAIN);
            }
            if event == Event::Heard && ask.stage == Stage::Early {
                ask.own_timer = None;
            }
            ask.machine.handle(now, event, &mut actions);
        }
        self.carry_out(now, id, actions, out);
        self.set_deadline(id);
    }

    fn carry_out(&mut self, now: MonoTime, id: AskId, actions: Vec<Action>, out: &mut Vec<Output>) {
        for action in actions {
            let Some(ask) = self.asks.get(&id) else { return };
            match action {
                Action::Play(clip, what) => {
                    let version = match what {
                        Clip::Question(at) => ask.versions.get(at).cloned(),
                        Clip::Confirmation(Answer::Yes) => ask.confirmations[0].clone(),
                        Clip::Confirmation(Answer::No) => ask.confirmations[1].clone(),
                    };
                    out.extend(version.map(|version| Output::Play(id, clip, version)));
                }
                Action::Quiet => out.push(Output::Quiet(id)),
                Action::Keep(number, given) => {
                    let answer = self.given(ask, given);
                    let name = ask.name.clone();
                    out.push(Output::Keep(id, number, Box::new(NamedAnswer { name, answer })));
                }
                Action::SendOn(answer) => self.send_on(now, id, answer, out),
                Action::End(outcome) => self.end(now, id, outcome, out),
            }
        }
    }

    /// An answer with what shows it.
    fn given(&self, ask: &Ask, given: Given) -> GivenAnswer {
        let (how, evidence) = match given.keys {
            Some((keys, press)) => {
                let evidence = Evidence::Asked {
                    keys,
                    pressed_at: self.heard.1.plus_micros(press.at.since(self.heard.0).as_micros() as i64),
                    rtp_timestamp: press.timestamp,
                    ssrc: press.ssrc,
                    by: press.by,
                    source: press.source.map(Private::new),
                };
                (ConsentHow::Key, evidence)
            }
            None => (ConsentHow::Timeout, Evidence::Clock),
        };
        GivenAnswer {
            answer: given.answer,
            how,
            prompt_version: ask.versions.get(given.question).cloned(),
            evidence,
        }
    }

    pub(super) fn forget_deadline(&mut self, deadline: Option<MonoTime>, id: AskId) {
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, id));
        }
    }

    pub(super) fn set_deadline(&mut self, id: AskId) {
        let Some(ask) = self.asks.get_mut(&id) else { return };
        let next = [ask.machine.next_timeout(), ask.own_timer].into_iter().flatten().min();
        if ask.deadline != next {
            if let Some(before) = ask.deadline {
                self.deadlines.remove(&(before, id));
            }
            self.deadlines.extend(next.map(|at| (at, id)));
            ask.deadline = next;
        }
    }

    /// An unguessable, unique token.
    pub(super) fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        let proof = hmac::sign(&self.key, format!("{kind} {}", self.names).as_bytes());
        hex(&proof.as_ref()[..10])
    }

    /// Our tag in a dialog or a refusal: unguessable, and the same for every copy of a request.
    pub(super) fn tag_of(&self, request: &Request) -> String {
        let from = request.from().and_then(|from| from.tag().map(str::to_owned)).unwrap_or_default();
        let proof = hmac::sign(&self.key, format!("tag\n{}\n{from}", request.call_id()).as_bytes());
        hex(&proof.as_ref()[..10])
    }

    fn transaction_says(&mut self, now: MonoTime, said: transaction::Output, out: &mut Vec<Output>) {
        match said {
            transaction::Output::Send(flow, bytes) => out.push(Output::Send(flow, bytes)),
            transaction::Output::Unacknowledged(key) => {
                let found = self.asks.iter().find(|(_, ask)| ask.key == key).map(|(id, _)| *id);
                if let Some(id) = found {
                    self.tell(now, id, Event::CallerGone, out);
                }
            }
        }
    }

    fn client_says(&mut self, now: MonoTime, said: user_agent_client::Output, out: &mut Vec<Output>) {
        match said {
            user_agent_client::Output::Send(flow, bytes) => out.push(Output::Send(flow, bytes)),
            user_agent_client::Output::Ended { branch, response } => {
                if let Some(id) = self.requests.remove(&branch) {
                    self.refer_answered(now, id, response.as_deref(), out);
                }
            }
        }
    }
}

/// The response while nobody can be asked: a proxy tries its next way at once.
pub(super) fn busy() -> Response {
    Response::new(503, "").with_optional("Retry-After", "5")
}
