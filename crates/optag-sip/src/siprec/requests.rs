//! Handles requests other than INVITE.
//!
//! In: requests. Out: responses, and their effect on a session. Not here: UPDATE, which `invite`
//! handles like a re-INVITE.
//!
//! Source: RFC 3261 §8.2, §9.2, §11, §15.1.2; RFC 6086 (INFO); RFC 3262 §3 (PRACK).

use super::body;
use super::capabilities::{able, useless};
use super::server::{Incoming, Output, Server, SessionId};
use super::session::Session;
use super::session::state::{Admitting, PendingRequest, State};
use crate::sip::flow::Flow;
use crate::sip::message::Request;
use crate::sip::response::Answer;
use crate::siprec::session::admit::unsupported;
use optag_core::call::Unrecorded;
use optag_core::clock::{MonoTime, WallTime};

impl Server {
    pub(super) fn other_request(&mut self, incoming: Incoming, out: &mut Vec<Output>) {
        let Incoming { now, at, flow, ref key, ref request } = incoming;
        if request.method == "CANCEL" {
            return self.cancel(&incoming, out);
        }
        let Some(id) = self.dialog_of(request) else {
            return self.refuse(now, flow, key, request, useless(&request.method), out);
        };
        let over = self.sessions.get(&id).is_none_or(|session| session.is_over());
        let answer = match request.method.as_str() {
            "BYE" => return self.bye(id, &incoming, out),
            "UPDATE" => return self.inside(id, incoming, out),
            _ if over => Answer::new(481, ""),
            "INFO" if body::is_encoded(request) => body::encoded(),
            "INFO" => {
                self.is_alive(now, id, flow, out);
                self.info(at, flow, id, request);
                Answer::new(200, "")
            }
            "NOTIFY" => {
                let _ = self.edit(id).map(|session| session.saved.dialog.accept(request));
                Answer::new(200, "")
            }
            method => useless(method),
        };
        self.refuse(now, flow, key, request, answer, out);
    }

    /// The response to OPTIONS outside a dialog: 200 while calls are admitted, 503 while draining or full, as
    /// load balancers expect.
    pub(super) fn abilities(&self, request: &Request) -> Answer {
        match unsupported(request) {
            Some(answer) => answer,
            None if self.draining || self.is_full() => {
                Answer::new(503, "").with_optional("Retry-After", "30")
            }
            None => able(),
        }
    }

    /// Whether calls do not fit, as far as can be known before there is one.
    fn is_full(&self) -> bool {
        !self.accepting || self.sessions.len() >= self.config.sessions_max
    }

    fn cancel(&mut self, incoming: &Incoming, out: &mut Vec<Output>) {
        let Incoming { now, flow, ref key, ref request, .. } = *incoming;
        let Some(meant) = self.transactions.cancelled_by(request) else {
            return self.refuse(now, flow, key, request, Answer::new(481, ""), out);
        };
        self.refuse(now, flow, key, request, Answer::new(200, ""), out);
        let waits = |session: &Session| matches!(&session.state, State::Admitting(admitting) if admitting.invite.key == meant);
        let found = self.sessions.iter().find(|(_, session)| waits(session)).map(|(id, _)| *id);
        if let Some(id) = found {
            self.give_up_opening(now, id, 487, out);
        }
    }

    fn bye(&mut self, id: SessionId, incoming: &Incoming, out: &mut Vec<Output>) {
        let Incoming { now, flow, ref key, ref request, .. } = *incoming;
        let over = self.sessions.get(&id).is_none_or(|session| session.is_over());
        let in_order =
            self.edit(id).is_some_and(|session| over || session.saved.dialog.accept(request).is_ok());
        if !in_order {
            return self.refuse(now, flow, key, request, Answer::new(500, ""), out);
        }
        self.respond(now, flow, key, request, &Answer::new(200, ""), out);
        self.give_up_opening(now, id, 487, out);
        self.give_up_growing(now, id, out);
        self.finish_call(id);
        if let Some(session) = self.edit(id) {
            session.end();
            if let State::Ended(awaited) = &mut session.state
                && let Some(invite) = awaited.take().and_then(|ack| ack.invite)
            {
                self.transactions.acknowledged(now, &invite);
            }
        }
        self.forget_if_done(now, id, out);
    }

    /// Rejects a re-INVITE or UPDATE that waits for ports of new streams: the session is ending.
    pub(super) fn give_up_growing(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(flow) = session.flow else { return };
        let pending = session.established().and_then(|established| established.pending_change.take());
        let Some(PendingRequest { key, request }) = pending else { return };
        self.refuse(now, flow, &key, &request, Answer::new(487, ""), out);
    }

    /// Ends a session whose initial INVITE has no final response yet. If the call is admitted all
    /// the same, it is ended at once.
    pub(super) fn give_up_opening(&mut self, now: MonoTime, id: SessionId, code: u16, out: &mut Vec<Output>) {
        let Some(session) = self.edit(id) else { return };
        let Some(flow) = session.flow else { return };
        let invite = match std::mem::replace(&mut session.state, State::Abandoned) {
            State::Admitting(Admitting { invite, .. }) => invite,
            other => {
                session.state = other;
                return;
            }
        };
        let PendingRequest { key, request } = invite;
        session.unrecorded = Some(match code {
            487 => Unrecorded::Cancelled,
            _ => Unrecorded::Unavailable("draining"),
        });
        self.refuse(now, flow, &key, &request, Answer::new(code, ""), out);
    }

    fn info(&mut self, at: WallTime, flow: Flow, id: SessionId, request: &Request) {
        let relayed = self.config.info_keys_for(self.client_of(id));
        let body = body::read(request, at);
        if let Some(session) = self.edit(id) {
            let in_order = session.saved.dialog.accept(request).is_ok();
            session.flow = Some(flow);
            if relayed && in_order && !session.is_over() {
                body.keys.iter().for_each(|key| session.key(*key));
            }
        }
        self.described(id, at, request, body);
    }
}
