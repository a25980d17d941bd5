//! How an INVITE is answered: the one that begins a recording session, the ones inside it,
//! and UPDATE, which differs little.
//!
//! In: requests, decisions of the feed. Out: answers that repeat every m= line. A call that
//! is not to be recorded is answered 200 with inactive streams: several clients take any
//! refusal as a reason to record elsewhere.
//!
//! Source: RFC 7866 §7 and §8; RFC 3261 §13.3, §14.2; RFC 3311 §5.2; RFC 3264 §6, §8.

use super::body::{self, Body};
use super::metadata;
use super::parties::{self, Parties};
use super::server::{Incoming, Output, Server, SessionId};
use super::session::Saved;
use crate::feed::{CallView, Control, ControlError};
use crate::sdp::{self, Offer, SdpError, Taken};
use crate::sip::flow::{Flow, Transport};
use crate::sip::message::Request;
use crate::sip::response::Answer;
use crate::sip::transaction::Key;
use crate::siprec::outbound::set_timer;
use crate::siprec::session::activation::Taking;
use crate::siprec::session::admit::is_stale;
use crate::siprec::streams;
use crate::siprec::streams::Fate;
use optag_core::call::{ConsentState, RawBody, Unrecorded};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::limit::STREAMS_PER_CALL;

/// Methods that are answered, for Allow.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, PRACK, NOTIFY";
/// Extensions that are understood, for Supported.
pub const SUPPORTED: &str = "siprec, timer, replaces";
/// Media types that are understood, for Accept.
pub const ACCEPT: &str =
    "application/sdp, application/rs-metadata+xml, application/rs-metadata, multipart/mixed";
/// The field by which an answer names the call, as the HTTP API knows it.
pub const CALL_FIELD: &str = "X-Optag-Call";

impl Server {
    pub(super) fn invite(&mut self, incoming: Incoming, out: &mut Vec<Output>) {
        let Incoming { now, at, flow, ref key, ref request } = incoming;
        if request.to().is_some_and(|to| to.tag().is_some()) {
            match self.dialog_of(request) {
                Some(id) => self.inside(id, incoming, out),
                None => {
                    // Its client believes that it records a call.
                    self.account_refused(at, flow, request, Unrecorded::Rejected(481), out);
                    self.refuse(now, flow, key, request, Answer::new(481, ""), out);
                }
            }
            return;
        }
        let body = body::read(request, at);
        if let Some(answer) = self.objection(now, flow, request, &body) {
            // A challenge is no refusal yet; credentials that were refused are one.
            if answer.code != 401 || request.headers.text("authorization").is_some() && !is_stale(&answer) {
                self.account_refused(at, flow, request, Unrecorded::Rejected(answer.code), out);
            }
            return self.refuse(now, flow, key, request, answer, out);
        }
        let Ok(offer) = body.sdp.as_deref().map(|text| read_offer(text, flow)).transpose() else {
            self.account_refused(at, flow, request, Unrecorded::Rejected(488), out);
            return self.refuse(now, flow, key, request, Answer::new(488, ""), out);
        };
        let closed = self.draining && self.config.refuses_for(flow.peer.ip());
        if closed || self.sessions.len() >= self.config.sessions_max {
            self.stats.calls_unavailable += 1;
            let why = if closed { "draining" } else { "sessions_used_up" };
            self.account_refused(at, flow, request, Unrecorded::Unavailable(why), out);
            let answer = Answer::new(503, "").with("Retry-After", "30");
            return self.refuse(now, flow, key, request, answer, out);
        }
        if flow.transport == Transport::Udp {
            self.respond(now, flow, key, request, &Answer::new(100, ""), out);
        }
        self.begin(incoming, body, offer, out);
    }

    /// Takes an ACK: ends the repetitions, and reads the answer to an offer of ours.
    pub(super) fn ack(
        &mut self,
        now: MonoTime,
        at: WallTime,
        flow: Flow,
        request: &Request,
        out: &mut Vec<Output>,
    ) {
        let Some(id) = self.dialog_of(request) else { return };
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let source = self.config.media_source_for(self.client_of(id));
        let Some(session) = self.edit(id) else { return };
        session.flow = Some(flow);
        let resumed = session.resumed_ack.take_if(|invite| *invite == number).is_some();
        let open = session.unacknowledged.take_if(|(_, invite)| *invite == number);
        if open.is_none() && !resumed {
            return;
        }
        if std::mem::take(&mut session.offered)
            && let Some(answer) = body::read(request, at).sdp.and_then(|text| read_offer(&text, flow).ok())
        {
            session.follow(&answer, source);
        }
        set_timer(session, now);
        if let Some((key, _)) = open {
            self.transactions.acknowledged(now, &key);
        }
        self.take_streams(now, id, out);
    }

    /// An INVITE or UPDATE inside a dialog.
    pub(super) fn inside(&mut self, id: SessionId, incoming: Incoming, out: &mut Vec<Output>) {
        let Incoming { now, at, flow, ref key, ref request } = incoming;
        let is_invite = request.method == "INVITE";
        let body = body::read(request, at);
        let Some(session) = self.edit(id) else { return };
        let changes = is_invite || body.sdp.is_some();
        let ours = matches!(session.taking, Taking::Invite | Taking::Update);
        let theirs = session.opening.is_some() || session.growing.is_some() || session.offered;
        let overlaps = changes && (theirs || ours);
        let objection = if session.over {
            Some(Answer::new(481, ""))
        } else if body::is_encoded(request) {
            Some(body::encoded())
        } else if overlaps {
            Some(Answer::new(491, ""))
        } else if session.saved.dialog.accept(request).is_err() {
            Some(Answer::new(500, "").with("Retry-After", "1"))
        } else {
            None
        };
        if let Some(answer) = objection {
            return self.refuse(now, flow, key, request, answer, out);
        }
        session.flow = Some(flow);
        set_timer(session, now);
        let Ok(offer) = body.sdp.as_deref().map(|text| read_offer(text, flow)).transpose() else {
            return self.refuse(now, flow, key, request, Answer::new(488, ""), out);
        };
        let known = session.saved.ours.lines.len();
        self.is_alive(now, id, flow, out);
        if let Some(offer) = &offer {
            self.follow(id, offer);
        }
        self.described(id, at, request, body);
        if changes && let Some(session) = self.edit(id).filter(|session| session.saved.waits) {
            // The client's own offer is as good as one of ours.
            if session.consent == ConsentState::Granted {
                session.taking = Taking::Idle;
                session.taken();
            }
        }
        let grows = offer.as_ref().is_some_and(|offer| self.grow(id, flow, offer, known));
        if grows && let Some(session) = self.edit(id) {
            session.growing = Some((key.clone(), Box::new(request.clone())));
            if is_invite && flow.transport == Transport::Udp {
                self.respond(now, flow, key, request, &Answer::new(100, ""), out);
            }
            return;
        }
        self.answer_inside(now, id, flow, key, request, out);
    }

    /// Answers an INVITE or UPDATE inside a dialog.
    fn answer_inside(
        &mut self,
        now: MonoTime,
        id: SessionId,
        flow: Flow,
        key: &Key,
        request: &Request,
        out: &mut Vec<Output>,
    ) {
        let is_invite = request.method == "INVITE";
        let described = body::read(request, WallTime::default()).sdp.is_some();
        let answer = self.answer(id, flow, is_invite || described);
        if is_invite && let Some(session) = self.edit(id) {
            let number = request.cseq().map_or(0, |cseq| cseq.number);
            session.offered = !described;
            if let Some((old, _)) = session.unacknowledged.replace((key.clone(), number)) {
                self.transactions.acknowledged(now, &old);
            }
        }
        self.respond(now, flow, key, request, &answer, out);
    }

    /// A control is done. Where it was the last that adds a stream of a client's text, that text
    /// is answered: its streams have their ports, or got none.
    pub(super) fn stream_added(
        &mut self,
        now: MonoTime,
        id: SessionId,
        result: &Result<CallView, ControlError>,
        out: &mut Vec<Output>,
    ) {
        let Some(session) = self.edit(id) else { return };
        session.done();
        if session.added(result.as_ref().ok().map(|view| &view.streams[..])) != Some(true) {
            return;
        }
        let Some((key, request)) = session.growing.take() else { return };
        let Some(flow) = session.flow else { return };
        self.answer_inside(now, id, flow, &key, &request, out);
    }

    /// Asks for a stream for each line of a later text that has none and can be one. True: there
    /// are some, and the answer waits for their ports. `known` lines were there before.
    fn grow(&mut self, id: SessionId, flow: Flow, offer: &Offer, known: usize) -> bool {
        let parties = self.parties(id);
        let client = self.client_of(id);
        let source = self.config.media_source_for(client);
        let room = self.streams_left(client);
        let mut over_quota = 0;
        let Some(session) = self.edit(id) else { return false };
        let Saved { view, hints, ours, .. } = &session.saved;
        let spare = streams::spare(offer, |at| ours.lines.get(at).is_some_and(|line| line.taken.is_some()));
        let usable = streams::count(offer, &spare);
        let mut taken = ours.lines.iter().filter(|line| line.taken.is_some()).count();
        let mut new = Vec::new();
        let mut refused = Vec::new();
        for (at, (line, media)) in ours.lines.iter().zip(&offer.media).enumerate() {
            if line.taken.is_some() {
                continue;
            }
            match streams::refused(media) {
                None if spare.contains(&at) => {
                    refused.extend((at >= known).then_some(Fate::Alternative));
                    continue;
                }
                None if taken < STREAMS_PER_CALL && new.len() < room => {}
                fate => {
                    let is_new = fate.is_none() && at >= known && taken < STREAMS_PER_CALL;
                    over_quota += u64::from(is_new);
                    refused.extend((at >= known).then_some(fate.unwrap_or(Fate::TooMany)));
                    continue;
                }
            }
            let others = ours.lines.iter().take(at).filter_map(|line| line.label());
            let written = media.label.clone().unwrap_or_default();
            let role = parties::role(view, hints, &parties, &written, taken, usable);
            let stream = streams::added(media, source, line.own_key(), others, at, role);
            taken += 1;
            new.push((at, stream));
        }
        let recorded = session.saved.call.is_some();
        let asked = recorded && !new.is_empty();
        for (at, stream) in new {
            if recorded {
                session.add(at, stream);
            } else {
                let address = std::net::SocketAddr::new(flow.local.ip(), 9);
                session.saved.ours.lines[at].taken = Some(Taken { stream: None, address });
            }
        }
        self.stats.refused(&refused);
        self.stats.over_quota += over_quota;
        asked
    }

    /// New metadata and consent in a request of a dialog.
    pub(super) fn described(&mut self, id: SessionId, at: WallTime, request: &Request, body: Body) {
        let now = self.heard.0;
        let client = self.client_of(id);
        let (signal, rules) = (self.config.consent_for(client).clone(), self.config.rules_for(client));
        if let Some(session) = self.sessions.get_mut(&id) {
            session.saved.hints.renew(request, rules);
        }
        let Some(session) = self.edit(id) else { return };
        let header = signal.header.as_ref().and_then(|name| request.headers.text(name));
        let mut consent = header.map(|value| value.into_owned());
        let mut unreadable = 0;
        for document in &body.metadata {
            match metadata::parse(document) {
                Ok(snapshot) => {
                    match session.saved.take_in(&snapshot, at) {
                        true if snapshot.is_whole() => session.has_snapshot(),
                        true => {}
                        false => session.want_snapshot(now),
                    }
                    let element = signal.element.as_deref().and_then(|name| snapshot.root.text_of(name));
                    consent = element.map(str::to_owned).or(consent);
                }
                Err(_) => {
                    session.saved.transfers.doubt();
                    session.want_snapshot(now);
                    unreadable += 1;
                }
            }
        }
        if let Some(value) = consent {
            session.signalled(&signal, &value, "sip signalling");
        }
        self.stats.metadata_unreadable += unreadable;
        self.follow_call(id);
        if !body.raw.is_empty() {
            self.describe(id, body.raw);
        }
    }

    /// Tells the feed what is known of the call by now, with these new bodies.
    fn describe(&mut self, id: SessionId, raw: Vec<RawBody>) {
        let parties = self.parties(id);
        if let Some(session) = self.edit(id) {
            let context = session.context(&parties, raw);
            session.control(Control::Describe(Box::new(context)));
        }
    }

    /// The parties as they are known by now.
    pub(super) fn parties(&mut self, id: SessionId) -> Parties {
        let client = self.client_of(id);
        let (rules, departments) = (self.config.rules_for(client), self.config.departments_for(client));
        let Some(session) = self.sessions.get_mut(&id) else { return Parties::default() };
        let Saved { view, hints, caller, guessed, .. } = &mut session.saved;
        let resolve = |known| parties::resolve(view, hints, rules, departments, known);
        // A guess gives way to anything better.
        let better = guessed.then(|| resolve(None)).filter(|parties| !parties.guessed);
        let parties = match better {
            Some(better) => better,
            None => {
                let parties = resolve(caller.as_deref());
                Parties { guessed: parties.guessed || *guessed && parties.caller.is_some(), ..parties }
            }
        };
        *guessed = parties.guessed;
        if let Some(at) = parties.caller {
            *caller = Some(view.participants[at].id.clone());
        }
        parties
    }

    /// Follows what a later text says of the streams there are.
    fn follow(&mut self, id: SessionId, offer: &Offer) {
        let source = self.config.media_source_for(self.client_of(id));
        let now = self.heard.1;
        let Some(session) = self.edit(id) else { return };
        session.follow(offer, source);
        if session.notes_holds(offer, now) {
            self.describe(id, Vec::new());
        }
    }

    /// 200 to an INVITE or UPDATE, with our description where one is due.
    pub(super) fn answer(&mut self, id: SessionId, flow: Flow, with_sdp: bool) -> Answer {
        let contact = self.contact(flow);
        let Some(session) = self.sessions.get(&id) else { return Answer::new(481, "") };
        let mut answer = Answer::new(200, &session.saved.dialog.local_tag)
            .with("Contact", contact)
            .with("Allow", ALLOW)
            .with("Supported", SUPPORTED);
        answer.routes = true;
        answer.headers.extend(session.saved.dialog.timer_headers());
        if let Some(call) = session.saved.call {
            answer.headers.push((CALL_FIELD, call.to_string()));
        }
        if with_sdp {
            let listening = session.saved.listening;
            answer.body = Some(("application/sdp", self.description(id, flow, listening)));
        }
        answer
    }

    /// Our side of a session's streams.
    pub(super) fn description(&mut self, id: SessionId, flow: Flow, listening: bool) -> Vec<u8> {
        let advertised = self.config.advertised;
        let Some(session) = self.sessions.get_mut(&id) else { return Vec::new() };
        let Saved { ours, lines, .. } = &mut session.saved;
        let taken = ours.lines.iter().filter_map(|line| line.taken).map(|taken| taken.address.ip());
        let open = taken.into_iter().find(|ip| !ip.is_unspecified());
        let own = advertised.or(open).unwrap_or(flow.local.ip());
        if advertised.is_some() {
            for taken in ours.lines.iter_mut().filter_map(|line| line.taken.as_mut()) {
                taken.address.set_ip(own);
            }
        }
        ours.text(own, *lines, listening)
    }

    /// Answers under a tag of our own where the request has none.
    pub(super) fn refuse(
        &mut self,
        now: MonoTime,
        flow: Flow,
        key: &Key,
        request: &Request,
        mut answer: Answer,
        out: &mut Vec<Output>,
    ) {
        answer.to_tag = self.name("tag");
        self.respond(now, flow, key, request, &answer, out);
    }
}

/// A client's description, that came this way.
pub(super) fn read_offer(text: &[u8], flow: Flow) -> Result<Offer, SdpError> {
    sdp::parse(text).map(|offer| offer.heard_from(flow.peer.ip()))
}
