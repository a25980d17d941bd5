//! How requests other than INVITE are answered.
//!
//! In: requests. Out: answers, and what they mean for a session. Not here: UPDATE's body
//! (`invite` has it, as it is a re-INVITE in small).
//!
//! Source: RFC 3261 §8.2, §9.2, §11, §15.1.2; RFC 6086 (INFO); RFC 3262 §3 (PRACK).

use super::body;
use super::invite::{ACCEPT, ALLOW};
use super::opening::unsupported;
use super::server::{Incoming, Output, Server, SessionId};
use super::session::Session;
use crate::base::clock::{MonoTime, WallTime};
use crate::signalling::sip::flow::Flow;
use crate::signalling::sip::message::Request;
use crate::signalling::sip::response::Answer;

/// Methods that exist and are of no use to a recorder.
const KNOWN_METHODS: [&str; 5] = ["REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE", "REFER"];

impl Server {
    pub(super) fn other_request(&mut self, incoming: Incoming, out: &mut Vec<Output>) {
        let Incoming { now, at, flow, ref key, ref request } = incoming;
        let answer = match (request.method.as_str(), self.dialog_of(request)) {
            ("CANCEL", _) => return self.cancel(&incoming, out),
            ("OPTIONS", _) => self.abilities(request),
            ("UPDATE", Some(id)) => return self.inside(id, incoming, out),
            ("BYE", Some(id)) => return self.bye(id, &incoming, out),
            ("INFO", Some(id)) => {
                self.info(at, flow, id, request);
                Answer::new(200, "")
            }
            ("NOTIFY", Some(id)) => {
                let _ = self.edit(id).map(|session| session.saved.dialog.accept(request));
                Answer::new(200, "")
            }
            // Nothing of ours is sent reliably: no PRACK matches.
            ("BYE" | "UPDATE" | "INFO" | "NOTIFY" | "PRACK", _) => Answer::new(481, ""),
            (method, _) if KNOWN_METHODS.contains(&method) => Answer::new(405, "").with("Allow", ALLOW),
            _ => Answer::new(501, ""),
        };
        self.refuse(now, flow, key, request, answer, out);
    }

    /// 200 while calls are taken, 503 once they are not: what load balancers ask for.
    fn abilities(&self, request: &Request) -> Answer {
        if let Some(answer) = unsupported(request) {
            return answer;
        }
        if self.draining {
            return Answer::new(503, "").with_optional("Retry-After", "30");
        }
        Answer::new(200, "")
            .with_optional("Allow", ALLOW)
            .with_optional("Accept", ACCEPT)
            .with_optional("Supported", "siprec, timer")
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
                self.transactions.acknowledged(&key);
            }
        }
        self.forget_if_done(id);
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
        self.refuse(now, flow, &key, &request, Answer::new(code, ""), out);
    }

    fn info(&mut self, at: WallTime, flow: Flow, id: SessionId, request: &Request) {
        let relayed = self.config.info_keys;
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
