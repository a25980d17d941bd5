//! How a call leaves: 302 before it is answered, REFER afterwards; and how an ask ends.
//!
//! The answer goes along: in a header field of the 302, and as a header of the URI that the call goes on to.
//!
//! Source: RFC 3261 §8.3 and §19.1.1 (headers in a URI); RFC 3515, RFC 5589 §6.1 (transfer without consultation);
//! RFC 3326 §2 (Reason).

use std::net::IpAddr;
use std::time::Duration;

use crate::ask::dialog::Stage;
use crate::ask::events::Event;
use crate::ask::outcome::Outcome;
use crate::ask::port::{AskId, Output};
use crate::ask::server::Server;
use crate::sip::flow::{Flow, port_of};
use crate::sip::message::{Request, Response as Received};
use crate::sip::response::Answer as Response;
use crate::sip::uri::Uri;
use crate::sip::user_agent_client;
use optag_core::call::Answer;
use optag_core::clock::MonoTime;

/// Longest wait for the caller's side to tell what became of the REFER: as long as a telephone may ring.
const REFER_LASTS: Duration = Duration::from_secs(60);

impl Server {
    /// The answer as a header field: `yes;prompt=2026-1-da`.
    fn told(&self, id: AskId, answer: Answer) -> Option<String> {
        let ask = self.asks.get(&id)?;
        let word = if answer == Answer::Yes { "yes" } else { "no" };
        let version = ask.machine.question().and_then(|at| ask.versions.get(at));
        Some(version.map_or_else(|| word.to_owned(), |version| format!("{word};prompt={version}")))
    }

    /// The URI that the call goes on to, with the answer in it.
    fn target(&self, id: AskId, told: &str) -> String {
        let target = self.asks.get(&id).map(|ask| ask.target.clone()).unwrap_or_default();
        match self.header.is_empty() {
            true => target,
            false => format!("{target}?{}={}", self.header, escaped(told)),
        }
    }

    pub(super) fn send_on(&mut self, now: MonoTime, id: AskId, answer: Answer, out: &mut Vec<Output>) {
        let Some(told) = self.told(id, answer) else { return };
        let target = self.target(id, &told);
        let Some(ask) = self.asks.get_mut(&id) else { return };
        let (stage, flow, key, request) = (ask.stage, ask.flow, ask.key.clone(), (*ask.invite).clone());
        out.push(Output::Close(id));
        match stage {
            Stage::Opening | Stage::Probing | Stage::Early => {
                ask.stage = Stage::Over;
                let mut answer = Response::new(302, "").with("Contact", format!("<{target}>"));
                if !self.header.is_empty() {
                    answer.optional.push((self.header, told));
                }
                self.refuse(now, flow, &key, &request, answer, out);
                self.tell(now, id, Event::SentOn(true), out);
            }
            Stage::Established => {
                ask.stage = Stage::Referring;
                ask.own_timer = Some(now + REFER_LASTS);
                let contact = self.contact(flow);
                let extra = [("Refer-To", format!("<{target}>")), ("Referred-By", contact)];
                self.send_request(now, id, "REFER", &extra, out);
            }
            // A REFER before the ACK would be out of order. Without one, the call has no dialog that could go on.
            Stage::Unacknowledged => ask.going = Some(answer),
            _ => self.tell(now, id, Event::SentOn(false), out),
        }
    }

    /// The caller's side has answered our REFER; `None`: not in time.
    pub(super) fn refer_answered(
        &mut self,
        now: MonoTime,
        id: AskId,
        response: Option<&Received>,
        out: &mut Vec<Output>,
    ) {
        let Some(ask) = self.asks.get_mut(&id).filter(|ask| ask.stage == Stage::Referring) else { return };
        match response {
            Some(response) if response.code < 300 => ask.stage = Stage::Referred,
            _ => self.tell(now, id, Event::SentOn(false), out),
        }
    }

    /// What became of the REFER.
    pub(super) fn notified(&mut self, now: MonoTime, id: AskId, request: &Request, out: &mut Vec<Output>) {
        let referred = |stage: Stage| matches!(stage, Stage::Referring | Stage::Referred);
        if self.asks.get(&id).is_none_or(|ask| !referred(ask.stage)) {
            return;
        }
        let text = String::from_utf8_lossy(&request.body);
        let code =
            text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
        match code {
            Some(200..=299_u16) => self.tell(now, id, Event::SentOn(true), out),
            Some(300..) => self.tell(now, id, Event::SentOn(false), out),
            _ => {}
        }
    }

    /// The timer of an ask beside its machine's.
    pub(super) fn own_timer(&mut self, now: MonoTime, id: AskId, out: &mut Vec<Output>) {
        match self.asks.get(&id).map(|ask| ask.stage) {
            Some(Stage::Early) => self.announce_again(now, id, out),
            // The caller's side took the call on and does not tell what became of it.
            Some(Stage::Referred) => self.tell(now, id, Event::SentOn(true), out),
            Some(Stage::Referring) => self.tell(now, id, Event::SentOn(false), out),
            _ => {}
        }
    }

    /// An ask is over.
    pub(super) fn end(&mut self, now: MonoTime, id: AskId, outcome: Outcome, out: &mut Vec<Output>) {
        let Some(ask) = self.asks.get(&id) else { return };
        out.push(Output::Ended(outcome, ask.machine.own_delay(now)));
        let (stage, flow, key, request) = (ask.stage, ask.flow, ask.key.clone(), (*ask.invite).clone());
        match stage {
            Stage::Opening | Stage::Probing | Stage::Early => {
                self.refuse(now, flow, &key, &request, Response::new(487, ""), out);
            }
            Stage::Unacknowledged if !self.is_proved(now, flow) => {}
            Stage::Unacknowledged | Stage::Established | Stage::Referring | Stage::Referred => {
                let cause = match outcome {
                    Outcome::SendFailed => "SIP;cause=500;text=\"The call could not be sent on\"",
                    _ => "SIP;cause=200;text=\"The call was sent on\"",
                };
                self.send_request(now, id, "BYE", &[("Reason", cause.to_owned())], out);
            }
            Stage::Over => {}
        }
        out.push(Output::Close(id));
        if let Some(ask) = self.asks.remove(&id) {
            self.by_call.remove(&ask.dialog.local_tag);
            self.forget_deadline(ask.deadline, id);
        }
    }

    /// Sends a request inside the dialog of an ask.
    fn send_request(
        &mut self,
        now: MonoTime,
        id: AskId,
        method: &str,
        extra: &[(&str, String)],
        out: &mut Vec<Output>,
    ) {
        let branch = format!("z9hG4bK{}", self.name("branch"));
        let Some(ask) = self.asks.get(&id) else { return };
        let flow = ask.flow;
        let to = self.way_to(ask.dialog.next_hop(), flow);
        let contact = self.contact(flow);
        let via = format!("SIP/2.0/{} {};branch={branch};rport", flow.transport.name(), flow.local);
        let Some(ask) = self.asks.get_mut(&id) else { return };
        let bytes = ask.dialog.request(method, &via, &contact, extra);
        if method == "REFER" {
            self.requests.insert(branch.clone(), id);
        }
        let mut said = Vec::new();
        self.clients.send(now, to, branch, bytes, &mut said);
        for said in said {
            if let user_agent_client::Output::Send(flow, bytes) = said {
                out.push(Output::Send(flow, bytes));
            }
        }
    }

    /// The flow of our request: the client's connection; over UDP the address in its Contact or route, if that is
    /// an allowed client.
    fn way_to(&self, next_hop: Option<Uri>, mut flow: Flow) -> Flow {
        if flow.transport.is_reliable() {
            return flow;
        }
        let host = next_hop.map(|uri| uri.host).unwrap_or_default();
        let port = port_of(&host).unwrap_or(5060);
        let bare = host.strip_suffix(&format!(":{port}")).unwrap_or(&host).trim_matches(['[', ']']);
        if let Ok(ip) = bare.parse::<IpAddr>()
            && ip.is_ipv4() == flow.peer.is_ipv4()
            && self.settings.sip.allows(ip)
        {
            flow.peer = (ip, port).into();
        }
        flow
    }
}

/// A value as it stands in a URI's headers.
///
/// Source: RFC 3261 §25.1 (`hvalue`).
fn escaped(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/?:+$".contains(&byte);
    value
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
