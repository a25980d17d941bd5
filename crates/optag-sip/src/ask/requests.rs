//! Requests other than the initial INVITE, and how responses are sent.
//!
//! Source: RFC 3261 §9.2, §11, §15.1.2; RFC 6086 (INFO); RFC 3515 §2.4 (NOTIFY).

use crate::ask::dialog::Stage;
use crate::ask::events::Event;
use crate::ask::port::{AskId, Output};
use crate::ask::server::{PROBES, Server, busy};
use crate::sip::flow::{Flow, Transport};
use crate::sip::header::Headers;
use crate::sip::message::Request;
use crate::sip::response::{Answer as Response, asks_rport};
use crate::sip::transaction::Key;
use crate::sip::uri::Uri;
use crate::siprec::body;
use crate::siprec::session::admit::unsupported;
use optag_core::call::KeySource;
use optag_core::clock::{MonoTime, WallTime};
use optag_media::dtmf::keypad::KeyPress;

/// Value of Allow.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY";

impl Server {
    /// The ask of a request's dialog.
    pub(super) fn ask_of(&self, request: &Request) -> Option<AskId> {
        let to = request.to()?;
        self.by_call.get(to.tag()?).copied()
    }

    pub(super) fn ack(&mut self, now: MonoTime, request: &Request, out: &mut Vec<Output>) {
        let Some(id) = self.ask_of(request) else { return };
        let Some(ask) = self.asks.get_mut(&id).filter(|ask| ask.stage == Stage::Unacknowledged) else {
            return;
        };
        ask.stage = Stage::Established;
        let key = ask.key.clone();
        let going = ask.going.take();
        self.transactions.acknowledged(now, &key);
        match going {
            Some(answer) => self.send_on(now, id, answer, out),
            None => self.tell(now, id, Event::Ready, out),
        }
    }

    pub(super) fn other_request(
        &mut self,
        now: MonoTime,
        flow: Flow,
        key: Key,
        request: Request,
        dialog: Option<AskId>,
        out: &mut Vec<Output>,
    ) {
        if request.method == "CANCEL" {
            return self.cancel(now, flow, &key, &request, out);
        }
        let Some(id) = dialog else {
            let answer = match request.method.as_str() {
                "BYE" | "INFO" | "NOTIFY" | "UPDATE" | "PRACK" => Response::new(481, ""),
                _ => Response::new(405, "").with("Allow", ALLOW),
            };
            return self.refuse(now, flow, &key, &request, answer, out);
        };
        let in_order = self.asks.get_mut(&id).is_some_and(|ask| ask.dialog.accept(&request).is_ok());
        let answer = match request.method.as_str() {
            _ if !in_order => Response::new(500, ""),
            "BYE" => {
                self.refuse(now, flow, &key, &request, Response::new(200, ""), out);
                return self.bye(now, id, out);
            }
            "INFO" if body::is_encoded(&request) => body::encoded(),
            "INFO" => {
                self.refuse(now, flow, &key, &request, Response::new(200, ""), out);
                return self.info(now, flow, id, &request, out);
            }
            "NOTIFY" => {
                self.refuse(now, flow, &key, &request, Response::new(200, ""), out);
                return self.notified(now, id, &request, out);
            }
            // The caller's side may refresh a session; for the moment of a question, nothing else changes.
            "UPDATE" if request.body.is_empty() => Response::new(200, ""),
            "INVITE" | "UPDATE" => Response::new(488, ""),
            _ => Response::new(405, "").with("Allow", ALLOW),
        };
        self.refuse(now, flow, &key, &request, answer, out);
    }

    fn cancel(&mut self, now: MonoTime, flow: Flow, key: &Key, request: &Request, out: &mut Vec<Output>) {
        let Some(meant) = self.transactions.cancelled_by(request) else {
            return self.refuse(now, flow, key, request, Response::new(481, ""), out);
        };
        self.refuse(now, flow, key, request, Response::new(200, ""), out);
        let found = self.asks.iter().find(|(_, ask)| ask.key == meant).map(|(id, _)| *id);
        if let Some(id) = found.filter(|_| self.transactions.is_open(&meant)) {
            self.tell(now, id, Event::CallerGone, out);
        }
    }

    fn bye(&mut self, now: MonoTime, id: AskId, out: &mut Vec<Output>) {
        let Some(ask) = self.asks.get_mut(&id) else { return };
        // Once the REFER is accepted, the caller's side may leave when it wants. Source: RFC 5589 §6.1.
        let event = match ask.stage {
            Stage::Referred => Event::SentOn(true),
            _ => Event::CallerGone,
        };
        if matches!(
            ask.stage,
            Stage::Established | Stage::Referring | Stage::Referred | Stage::Unacknowledged
        ) {
            ask.stage = Stage::Over;
        }
        let key = ask.key.clone();
        self.transactions.acknowledged(now, &key);
        self.tell(now, id, event, out);
    }

    fn info(&mut self, now: MonoTime, flow: Flow, id: AskId, request: &Request, out: &mut Vec<Output>) {
        if !self.settings.sip.info_keys_for(flow.peer.ip()) {
            return;
        }
        for key in body::read(request, WallTime::default()).keys {
            let press = KeyPress {
                key,
                at: now,
                timestamp: 0,
                ssrc: 0,
                source: None,
                by: KeySource::Event,
                negotiated: true,
            };
            self.tell(now, id, Event::Key(press), out);
        }
    }

    /// The response to OPTIONS: 503 while nobody can be asked, as load balancers expect.
    pub(super) fn abilities(&self, request: &Request) -> Response {
        if let Some(answer) = unsupported(request) {
            return answer;
        }
        match self.stopping || !self.accepting || self.asks.len() >= self.settings.max_asks {
            true => busy(),
            false => Response::new(200, "")
                .with_optional("Allow", ALLOW)
                .with_optional("Accept", "application/sdp"),
        }
    }

    /// Whether a peer receives what is sent to it.
    pub(super) fn is_proved(&self, now: MonoTime, flow: Flow) -> bool {
        flow.transport.is_reliable() || self.proofs.holds(now, flow.peer)
    }

    /// A peer has shown that it receives: what waited for that goes on.
    pub(super) fn proved(&mut self, now: MonoTime, flow: Flow, out: &mut Vec<Output>) {
        self.proofs.prove(now, flow.peer);
        let waiting =
            self.asks.iter().filter(|(_, ask)| ask.stage == Stage::Probing && ask.flow.peer == flow.peer);
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.go_ahead(now, id, out);
        }
    }

    /// Asks an address whether it receives: once, and smaller than the INVITE that came from there. The branch is
    /// unguessable, so whoever answers has received it.
    pub(super) fn probe(&mut self, now: MonoTime, flow: Flow, out: &mut Vec<Output>) {
        self.probes.retain(|_, (_, sent_at)| now.since(*sent_at) < std::time::Duration::from_secs(2));
        let under_way = self.probes.values().any(|(peer, _)| *peer == flow.peer);
        if under_way || self.probes.len() >= PROBES {
            return;
        }
        let branch = format!("z9hG4bK{}", self.name("probe"));
        let (tag, call) = (self.name("tag"), self.name("call"));
        let (local, peer) = (flow.local, flow.peer);
        let text = format!(
            "OPTIONS sip:{peer} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch={branch};rport\r\nMax-Forwards: 1\r\n\
             From: <sip:{local}>;tag={tag}\r\nTo: <sip:{peer}>\r\nCall-ID: {call}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        self.probes.insert(branch, (peer, now));
        out.push(Output::Send(flow, text.into_bytes()));
    }

    /// The Contact of our side.
    pub(super) fn contact(&self, flow: Flow) -> String {
        let mut local = flow.local;
        if let Some(ip) = self.settings.sip.advertised {
            local.set_ip(ip);
        }
        let transport = match flow.transport {
            Transport::Udp => String::new(),
            other => format!(";transport={}", other.name().to_ascii_lowercase()),
        };
        format!("<sip:ask@{local}{transport}>")
    }

    /// Responds with our tag, if the request has none.
    pub(super) fn refuse(
        &mut self,
        now: MonoTime,
        flow: Flow,
        key: &Key,
        request: &Request,
        mut answer: Response,
        out: &mut Vec<Output>,
    ) {
        answer.to_tag = self.tag_of(request);
        self.respond(now, flow, key, request, &answer, out);
    }

    /// Responds within a transaction. A peer that has not shown that it receives gets no more than it sent: a 200
    /// is sent once enough copies of the INVITE have come, another response is left out.
    pub(super) fn respond(
        &mut self,
        now: MonoTime,
        flow: Flow,
        key: &Key,
        request: &Request,
        answer: &Response,
        out: &mut Vec<Output>,
    ) {
        let limit = self.transactions.credit(key).unwrap_or(usize::MAX);
        let accepts = request.method == "INVITE" && (200..300).contains(&answer.code);
        let bytes = match answer.to_bytes_within(&request.headers, flow.peer, limit) {
            None if accepts => Some(answer.to_bytes(&request.headers, flow.peer)),
            within => within,
        };
        let Some(bytes) = bytes else { return self.transactions.forget(key) };
        let mut said = Vec::new();
        self.transactions.respond(now, key, answer.code, bytes, &mut said);
        for said in said {
            if let crate::sip::transaction::Output::Send(flow, bytes) = said {
                out.push(Output::Send(flow, bytes));
            }
        }
    }

    /// Responds without a transaction, to what changes nothing.
    pub(super) fn answer_statelessly(
        &mut self,
        flow: Flow,
        headers: &Headers,
        mut answer: Response,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        let uri =
            Uri { scheme: String::new(), user: String::new(), host: String::new(), text: String::new() };
        let request = Request { method: String::new(), uri, headers: headers.clone(), body: Vec::new() };
        answer.to_tag = self.tag_of(&request);
        let Some(via) = request.via() else { return };
        let back = flow.for_responses(&via, asks_rport(headers));
        let limit = if flow.transport.is_reliable() { usize::MAX } else { bytes };
        if let Some(bytes) = answer.to_bytes_within(headers, flow.peer, limit) {
            out.push(Output::Send(back, bytes));
        }
    }
}
