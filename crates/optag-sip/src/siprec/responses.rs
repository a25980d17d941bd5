//! Sends responses: within a transaction, or statelessly if the request changes nothing.
//!
//! In: requests and responses to them. Out: bytes, no more than were received from an unvalidated
//! peer; accounts of calls that are rejected statelessly. Not here: which response
//! is sent (`invite`, `requests`).
//!
//! Source: RFC 3261 §8.2.7 (stateless user agent servers).

use aws_lc_rs::hmac;

use crate::sip::flow::Flow;
use crate::sip::header::Headers;
use crate::sip::message::Request;
use crate::sip::response::{Answer, asks_rport};
use crate::sip::transaction::Key;
use crate::sip::uri::Uri;
use crate::siprec::capabilities::{able, useless};
use crate::siprec::server::{Output, Server, SessionId};
use crate::siprec::session::admit::unsupported;
use optag_core::call::Unrecorded;
use optag_core::clock::{MonoTime, WallTime};
use optag_core::hex::hex;

/// Size of the fields that only a final response has, and of the session part of an SDP.
/// Units: bytes.
const FIELDS_AND_SESSION: usize = 400;

impl Server {
    /// Records that a peer receives what we send to it.
    pub fn prove(&mut self, now: MonoTime, flow: Flow) {
        if !flow.transport.is_reliable() {
            self.proofs.prove(now, flow.peer);
        }
    }

    /// Responds within a transaction. To an unvalidated UDP peer, a response never exceeds the bytes
    /// received: a 2xx is sent once enough retransmissions have arrived, others are dropped.
    pub(super) fn respond(
        &mut self,
        now: MonoTime,
        flow: Flow,
        key: &Key,
        request: &Request,
        answer: &Answer,
        out: &mut Vec<Output>,
    ) {
        let accepts = request.method == "INVITE" && (200..300).contains(&answer.code);
        let limit = self.transactions.credit(key).unwrap_or(usize::MAX);
        let within = answer.to_bytes_within(&request.headers, flow.peer, limit);
        let bytes = match within {
            None if accepts => Some(answer.to_bytes(&request.headers, flow.peer)),
            within => within,
        };
        // A provisional response uses up credit of the final one, and stops the retransmissions that
        // would add credit.
        let leaves =
            |bytes: &Vec<u8>| limit.saturating_sub(bytes.len()) >= final_answer(request, bytes.len());
        if answer.code < 200 && !bytes.as_ref().is_some_and(leaves) {
            return;
        }
        match bytes {
            Some(bytes) => {
                self.stats.responses.add(&request.method, answer.code);
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

    /// Rejects a malformed request; an INVITE is accounted for.
    pub(super) fn refuse_unread(
        &mut self,
        at: WallTime,
        flow: Flow,
        (code, method, headers): (u16, String, Headers),
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        self.stats.refused_malformed += 1;
        if method == "ACK" {
            return;
        }
        let request = unread(method, headers);
        if request.method == "INVITE" {
            self.account_refused(at, flow, &request, Unrecorded::Rejected(code), out);
        }
        self.answer_statelessly(flow, &request.headers, Answer::new(code, ""), bytes, out);
    }

    /// Responds statelessly, within `bytes` over UDP, with a To tag that is the same for retransmissions.
    pub(super) fn answer_statelessly(
        &mut self,
        flow: Flow,
        headers: &Headers,
        mut answer: Answer,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        answer.to_tag = self.lasting_tag(headers);
        let request = unread(String::new(), headers.clone());
        let Some(via) = request.via() else { return };
        let back = flow.for_responses(&via, asks_rport(headers));
        let limit = if flow.transport.is_reliable() { usize::MAX } else { bytes };
        match answer.to_bytes_within(headers, flow.peer, limit) {
            Some(bytes) => {
                let method = request.cseq().map(|cseq| cseq.method).unwrap_or_default();
                self.stats.responses.add(&method, answer.code);
                out.push(Output::Send(back, bytes));
            }
            None => self.stats.unanswered_too_small += 1,
        }
    }

    /// Whether a request is answered statelessly: it changes nothing, so each retransmission can be
    /// answered anew, and a flood of such requests uses no transaction slots.
    pub(super) fn needs_no_transaction(&self, request: &Request, dialog: Option<SessionId>) -> bool {
        match request.method.as_str() {
            "OPTIONS" => true,
            "INVITE" | "ACK" | "CANCEL" => false,
            _ => dialog.is_none(),
        }
    }

    /// The response to a request that needs no transaction.
    pub(super) fn stateless_answer(
        &mut self,
        now: MonoTime,
        flow: Flow,
        request: &Request,
        dialog: Option<SessionId>,
        out: &mut Vec<Output>,
    ) -> Answer {
        let live = dialog.filter(|id| self.sessions.get(id).is_some_and(|session| !session.is_over()));
        let inside = request.to().is_some_and(|to| to.tag().is_some());
        match (request.method.as_str(), live) {
            // A dialog ping; its CSeq need not increase.
            ("OPTIONS", Some(id)) => {
                self.is_alive(now, id, flow, out);
                unsupported(request).unwrap_or_else(able)
            }
            ("OPTIONS", None) if inside => Answer::new(481, ""),
            ("OPTIONS", None) => self.abilities(request),
            (method, _) => useless(method),
        }
    }

    /// Rejects a request with 503 because the transaction table is full.
    pub(super) fn turn_away(
        &mut self,
        at: WallTime,
        flow: Flow,
        request: &Request,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        if request.method == "INVITE" && request.to().is_none_or(|to| to.tag().is_none()) {
            self.account_refused(at, flow, request, Unrecorded::Unavailable("transactions_used_up"), out);
        }
        let answer = Answer::new(503, "").with_optional("Retry-After", "10");
        self.answer_statelessly(flow, &request.headers, answer, bytes, out);
    }

    fn lasting_tag(&self, headers: &Headers) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        for name in ["call-id", "cseq", "from"] {
            context.update(headers.all(name).next().unwrap_or_default());
            context.update(b"\n");
        }
        hex(&context.sign().as_ref()[..10])
    }
}

/// Estimated size of the final response to an INVITE whose provisional response takes `provisional`.
/// Units: bytes.
fn final_answer(request: &Request, provisional: usize) -> usize {
    let routes: usize = request.headers.all("record-route").map(|route| route.len() + 16).sum();
    let lines = request.body.windows(2).filter(|two| two == b"m=").count().max(1);
    let encrypted = request.body.windows(9).any(|word| word == b"a=crypto:");
    provisional + routes + FIELDS_AND_SESSION + lines * if encrypted { 350 } else { 220 }
}

/// A request of which only the header fields could be parsed.
fn unread(method: String, headers: Headers) -> Request {
    let uri = Uri { scheme: String::new(), user: String::new(), host: String::new(), text: String::new() };
    Request { method, uri, headers, body: Vec::new() }
}
