//! How requests other than INVITE are answered.
//!
//! In: requests. Out: answers, and what they mean for a session. Not here: UPDATE's body
//! (`invite` has it, as it is a re-INVITE in small).
//!
//! Source: RFC 3261 §8.2, §9.2, §11, §15.1.2; RFC 6086 (INFO); RFC 3262 §3 (PRACK).

use super::body;
use super::invite::{ACCEPT, ALLOW, SUPPORTED};
use super::server::{Incoming, Output, Server, SessionId};
use super::session::Session;
use crate::sip::flow::Flow;
use crate::sip::message::Request;
use crate::sip::response::Answer;
use crate::siprec::session::admit::unsupported;
use optag_core::call::Unrecorded;
use optag_core::clock::{MonoTime, WallTime};

/// Methods that exist and are of no use to a recorder.
const KNOWN_METHODS: [&str; 5] = ["REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE", "REFER"];

/// The answer to a method that is of no use where it came. Nothing of ours is sent reliably: no
/// PRACK matches.
pub(super) fn useless(method: &str) -> Answer {
    match method {
        "BYE" | "UPDATE" | "INFO" | "NOTIFY" | "PRACK" => Answer::new(481, ""),
        method if KNOWN_METHODS.contains(&method) => Answer::new(405, "").with("Allow", ALLOW),
        _ => Answer::new(501, ""),
    }
}

/// What we can do.
pub(super) fn able() -> Answer {
    Answer::new(200, "")
        .with_optional("Allow", ALLOW)
        .with_optional("Accept", ACCEPT)
        .with_optional("Accept-Encoding", "identity")
        .with_optional("Supported", SUPPORTED)
}

impl Server {
    pub(super) fn other_request(&mut self, incoming: Incoming, out: &mut Vec<Output>) {
        let Incoming { now, at, flow, ref key, ref request } = incoming;
        if request.method == "CANCEL" {
            return self.cancel(&incoming, out);
        }
        let Some(id) = self.dialog_of(request) else {
            return self.refuse(now, flow, key, request, useless(&request.method), out);
        };
        let over = self.sessions.get(&id).is_none_or(|session| session.over);
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

    /// 200 while calls are taken, 503 once they are not: what load balancers ask for.
    pub(super) fn abilities(&self, request: &Request) -> Answer {
        match unsupported(request) {
            Some(answer) => answer,
            None if self.draining => Answer::new(503, "").with_optional("Retry-After", "30"),
            None => able(),
        }
    }

    fn cancel(&mut self, incoming: &Incoming, out: &mut Vec<Output>) {
        let Incoming { now, flow, ref key, ref request, .. } = *incoming;
        let Some(meant) = self.transactions.cancelled_by(request) else {
            return self.refuse(now, flow, key, request, Answer::new(481, ""), out);
        };
        self.refuse(now, flow, key, request, Answer::new(200, ""), out);
        let waits = |session: &Session| session.opening.as_ref().is_some_and(|(invite, _)| *invite == meant);
        let found = self.sessions.iter().find(|(_, session)| waits(session)).map(|(id, _)| *id);
        if let Some(id) = found {
            self.give_up_opening(now, id, 487, out);
        }
    }

    fn bye(&mut self, id: SessionId, incoming: &Incoming, out: &mut Vec<Output>) {
        let Incoming { now, flow, ref key, ref request, .. } = *incoming;
        let over = self.sessions.get(&id).is_none_or(|session| session.over);
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
            session.over = true;
            session.timer_at = None;
            if let Some((key, _)) = session.unacknowledged.take() {
                self.transactions.acknowledged(now, &key);
            }
        }
        self.forget_if_done(now, id, out);
    }

    /// A session ends while a text of its client waits for the ports of new streams.
    pub(super) fn give_up_growing(&mut self, now: MonoTime, id: SessionId, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (Some((key, request)), Some(flow)) = (session.growing.take(), session.flow) else { return };
        self.refuse(now, flow, &key, &request, Answer::new(487, ""), out);
    }

    /// Ends a session whose INVITE has no answer yet. A call that is admitted all the same
    /// is ended as soon as the feed tells of it.
    pub(super) fn give_up_opening(&mut self, now: MonoTime, id: SessionId, code: u16, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some((key, request)) = session.opening.take() else { return };
        let Some(flow) = session.flow else { return };
        session.over = true;
        session.timer_at = None;
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
            if relayed && in_order && !session.over {
                body.keys.iter().for_each(|key| session.key(*key));
            }
        }
        self.described(id, at, request, body);
    }
}
