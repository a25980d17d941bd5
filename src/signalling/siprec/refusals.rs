//! Answers that need no transaction, and the accounts of calls that are refused by them.
//!
//! In: requests that cannot be read or need no memory. Out: answers within the size of what they
//! answer, the same each time the request comes again. Not here: refusals under a transaction
//! (`invite`, `requests`).
//!
//! Source: RFC 3261 §8.2.7 (stateless user agent servers).

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use aws_lc_rs::hmac;

use super::server::{Output, Server};
use crate::base::clock::WallTime;
use crate::base::hex::hex;
use crate::call::Unrecorded;
use crate::signalling::sip::flow::Flow;
use crate::signalling::sip::header::Headers;
use crate::signalling::sip::message::Request;
use crate::signalling::sip::response::{Answer, asks_rport};
use crate::signalling::sip::uri::Uri;

/// Refused INVITEs that are remembered, so that one that comes again has one account.
const REMEMBERED: usize = 4_096;

/// INVITEs that were accounted for as refused.
#[derive(Debug, Default)]
pub(super) struct Accounted {
    seen: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Accounted {
    /// Whether this INVITE has no account yet; from now on it has.
    pub fn is_new(&mut self, request: &Headers) -> bool {
        let mut hasher = DefaultHasher::new();
        for name in ["call-id", "cseq", "from"] {
            request.all(name).next().unwrap_or_default().hash(&mut hasher);
        }
        let name = hasher.finish();
        if !self.seen.insert(name) {
            return false;
        }
        self.order.push_back(name);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

impl Server {
    /// Refuses a request that could not be read whole; where it is a call, it is accounted for.
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

    /// Answers without a transaction, under a tag that is the same when the request comes again.
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
            Some(bytes) => out.push(Output::Send(back, bytes)),
            None => self.stats.unanswered_too_small += 1,
        }
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

/// A request of which only the header fields are known.
fn unread(method: String, headers: Headers) -> Request {
    let uri = Uri { scheme: String::new(), user: String::new(), host: String::new(), text: String::new() };
    Request { method, uri, headers, body: Vec::new() }
}
