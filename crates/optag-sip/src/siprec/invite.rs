//! Handles INVITE: the initial one, re-INVITEs, and UPDATE, which differs little.
//!
//! In: requests, decisions of the feed. Out: answers that repeat every m= line. A call that
//! is not to be recorded is answered 200 with inactive streams: several clients take any
//! refusal as a reason to record elsewhere.
//!
//! Source: RFC 7866 §7.2, §9.2; RFC 3261 §12.2.2, §13.3, §14.2; RFC 3311 §5.2; RFC 6141 §4.6; RFC 3264 §6,
//! §8. An UPDATE without an offer is taken while another request waits for its answer, which RFC 3311 §5.2
//! would refuse: it changes no stream, and the metadata in it may close the recording.

use super::body::{self, Body, read_offer};
use super::capabilities::{ALLOW, SUPPORTED};
use super::metadata;
use super::parties::{self, Parties};
use super::server::{Incoming, Output, Server, SessionId};
use super::session::Saved;
use crate::feed::{CallView, Control, ControlError};
use crate::sdp::{Offer, Taken};
use crate::sip::flow::{Flow, Transport};
use crate::sip::message::Request;
use crate::sip::response::Answer;
use crate::sip::transaction::Key;
use crate::siprec::session::activation_step::ActivationStep;
use crate::siprec::session::admit::is_stale;
use crate::siprec::session::state::{AwaitedAck, PendingRequest, Unanswered};
use crate::siprec::streams::{self, StreamDecision};
use optag_core::call::{ConsentState, RawBody, Unrecorded};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::limit::STREAMS_PER_CALL;

/// Longest Retry-After for an offer that overlaps another one. Source: RFC 3261 §14.2. Units: seconds.
const RETRY_MOST_S: u32 = 10;
/// Response field with the call's id in the HTTP API.
pub(super) const CALL_FIELD: &str = "X-Optag-Call";

impl Server {
    pub(super) fn invite(&mut self, incoming: Incoming, out: &mut Vec<Output>) {
        let Incoming { now, at, flow, ref key, ref request } = incoming;
        if request.to().is_some_and(|to| to.tag().is_some()) {
            match self.dialog_of(request) {
                Some(id) => self.inside(id, incoming, out),
                None => {
                    // The client believes that the call is being recorded.
                    self.account_refused(at, flow, request, Unrecorded::Rejected(481), out);
                    self.refuse(now, flow, key, request, Answer::new(481, ""), out);
                }
            }
            return;
        }
        let body = body::read(request, at);
        if let Some(answer) = self.objection(now, flow, request, &body) {
            // A challenge is not a rejection; rejected credentials are.
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

    /// Handles an ACK: stops retransmissions and reads the answer to our offer.
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
        let Some(ack) = session.take_awaited_ack(number) else { return };
        if ack.carries_answer
            && !session.is_over()
            && let Some(answer) = body::read(request, at).sdp.and_then(|text| read_offer(&text, flow).ok())
        {
            session.follow(&answer, source);
        }
        session.set_timer(now);
        if let Some(invite) = ack.invite {
            self.transactions.acknowledged(now, &invite);
        }
        self.take_streams(now, id, out);
    }

    /// Waits no longer for an ACK that an earlier process may have missed: the session goes on as it was
    /// last described.
    pub(super) fn give_up_ack(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        let Some(established) = self.edit(id).and_then(|session| session.established()) else { return };
        if established.awaited_ack.take_if(|ack| ack.until.is_some_and(|at| at <= now)).is_some() {
            self.stats.acks_missed += 1;
            self.take_streams(now, id, out);
        }
    }

    /// Handles a re-INVITE or UPDATE.
    pub(super) fn inside(&mut self, id: SessionId, incoming: Incoming, out: &mut Vec<Output>) {
        let Incoming { now, at, flow, ref key, ref request } = incoming;
        let is_invite = request.method == "INVITE";
        let body = body::read(request, at);
        let Some(session) = self.edit(id) else { return };
        let changes = is_invite || body.sdp.is_some();
        let offer = body.sdp.as_deref().map(|text| read_offer(text, flow)).transpose();
        let unanswered = session.unanswered(request).filter(|_| changes);
        let objection = if session.is_over() {
            Some(Answer::new(481, ""))
        } else if session.saved.dialog.accept(request).is_err() {
            Some(Answer::new(500, ""))
        } else if body::is_encoded(request) {
            Some(body::encoded())
        } else if let Some(unanswered) = unanswered {
            Some(self.come_again(unanswered))
        } else if offer.is_err() {
            Some(Answer::new(488, ""))
        } else {
            None
        };
        if let Some(answer) = objection {
            return self.refuse(now, flow, key, request, answer, out);
        }
        let (Ok(offer), Some(session)) = (offer, self.edit(id)) else { return };
        session.flow = Some(flow);
        session.saved.dialog.refresh(request);
        if changes && let Some(established) = session.established() {
            established.awaited_ack.take_if(|ack| ack.is_lost(request));
        }
        session.set_timer(now);
        let known = session.saved.ours.lines.len();
        self.is_alive(now, id, flow, out);
        if let Some(offer) = &offer {
            self.follow(id, offer);
        }
        self.described(id, at, request, body);
        if changes && let Some(session) = self.edit(id).filter(|session| session.saved.waits) {
            // The client's own offer activates the streams as well.
            if session.consent == ConsentState::Granted {
                if let Some(established) = session.established() {
                    established.activation = ActivationStep::Idle;
                }
                session.taken();
            }
        }
        let grows = offer.as_ref().is_some_and(|offer| self.grow(id, flow, offer, known));
        if grows && let Some(established) = self.edit(id).and_then(|session| session.established()) {
            established.pending_change =
                Some(PendingRequest { key: key.clone(), request: Box::new(request.clone()) });
            if is_invite && flow.transport == Transport::Udp {
                self.respond(now, flow, key, request, &Answer::new(100, ""), out);
            }
            return;
        }
        self.answer_inside(now, id, flow, key, request, out);
    }

    /// The answer to an offer that comes while another one is unanswered.
    fn come_again(&mut self, unanswered: Unanswered) -> Answer {
        match unanswered {
            Unanswered::Ours => Answer::new(491, ""),
            Unanswered::Theirs => {
                Answer::new(500, "").with("Retry-After", (self.random() % (RETRY_MOST_S + 1)).to_string())
            }
        }
    }

    /// Answers a re-INVITE or UPDATE.
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
        if is_invite && let Some(established) = self.edit(id).and_then(|session| session.established()) {
            let cseq = request.cseq().map_or(0, |cseq| cseq.number);
            let ack = AwaitedAck { invite: Some(key.clone()), cseq, carries_answer: !described, until: None };
            if let Some(old) = established.awaited_ack.replace(ack).and_then(|old| old.invite) {
                self.transactions.acknowledged(now, &old);
            }
        }
        self.respond(now, flow, key, request, &answer, out);
    }

    /// The addition of a stream has finished. After the last one of an offer, the offer is
    /// answered: its streams have ports, or were refused one.
    pub(super) fn stream_added(
        &mut self,
        now: MonoTime,
        id: SessionId,
        result: &Result<CallView, ControlError>,
        out: &mut Vec<Output>,
    ) {
        let Some(session) = self.edit(id) else { return };
        if !session.stream_added(result.as_ref().ok().map(|view| &view.streams[..])) {
            return;
        }
        let pending = session.established().and_then(|established| established.pending_change.take());
        let Some(PendingRequest { key, request }) = pending else { return };
        let Some(flow) = session.flow else { return };
        self.answer_inside(now, id, flow, &key, &request, out);
    }

    /// Requests a stream for each usable m= line of a later offer that has none. True: some were
    /// requested, and the answer waits for their ports. `known` is the number of earlier lines.
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
                    refused.extend((at >= known).then_some(StreamDecision::Alternative));
                    continue;
                }
                None if taken < STREAMS_PER_CALL && new.len() < room => {}
                decision => {
                    let is_new = decision.is_none() && at >= known && taken < STREAMS_PER_CALL;
                    over_quota += u64::from(is_new);
                    refused.extend((at >= known).then_some(decision.unwrap_or(StreamDecision::TooMany)));
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
                session.controls.add_stream(at, stream);
            } else {
                let address = std::net::SocketAddr::new(flow.local.ip(), 9);
                session.saved.ours.lines[at].taken = Some(Taken { stream: None, address });
            }
        }
        streams::count_refused(&mut session.saved.refused, &refused);
        self.stats.refused(&refused);
        self.stats.over_quota += over_quota;
        asked
    }

    /// Applies metadata and consent carried by a request.
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

    /// Sends the feed the current call context, with these new bodies.
    fn describe(&mut self, id: SessionId, raw: Vec<RawBody>) {
        let parties = self.parties(id);
        if let Some(session) = self.edit(id) {
            let context = session.context(&parties, raw);
            session.control(Control::Describe(Box::new(context)));
        }
    }

    /// The parties as currently known.
    pub(super) fn parties(&mut self, id: SessionId) -> Parties {
        let client = self.client_of(id);
        let (rules, departments) = self.earlier.rules(&self.config, id, client);
        let Some(session) = self.sessions.get_mut(&id) else { return Parties::default() };
        let Saved { view, hints, caller, guessed, .. } = &mut session.saved;
        let resolve = |known| parties::resolve(view, hints, rules, departments, known);
        // A better source replaces a guess.
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

    /// Applies a later offer to the existing streams.
    fn follow(&mut self, id: SessionId, offer: &Offer) {
        let source = self.config.media_source_for(self.client_of(id));
        let now = self.heard.1;
        let Some(session) = self.edit(id) else { return };
        session.follow(offer, source);
        if session.notes_holds(offer, now) {
            self.describe(id, Vec::new());
        }
    }

    /// The 200 to an INVITE or UPDATE, with our SDP if `with_sdp`.
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

    /// Our SDP for a session.
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

    /// Responds with a To tag of ours if the request has none.
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
