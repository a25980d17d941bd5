//! Client transactions of the requests that the recorder sends inside a dialog: BYE, UPDATE, and
//! the re-INVITE that activates streams after consent.
//!
//! In: requests in wire form, responses, the time. Out: bytes, and how each request ended.
//! Not here: what a response means, and the text of an ACK (`dialog`).
//!
//! Source: RFC 3261 §17.1.1 (INVITE: timers A, B, D), §17.1.2 (others: timers E, F, K).

use std::collections::HashMap;
use std::time::Duration;

use crate::sip::flow::Flow;
use crate::sip::message::Response;
use crate::sip::transaction::{GIVE_UP, T1, T2};
use optag_core::clock::MonoTime;

/// Outputs of the transaction layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Send(Flow, Vec<u8>),
    /// The request with this branch has its final answer, or `None` after too long. A final
    /// answer to an INVITE waits for [`Clients::acknowledge`].
    Ended {
        /// The request's branch.
        branch: String,
        /// Its final answer.
        response: Option<Box<Response>>,
    },
}

/// The client transactions of an element.
#[derive(Debug, Default)]
pub struct Clients {
    open: HashMap<String, Client>,
}

#[derive(Debug)]
struct Client {
    flow: Flow,
    /// The request; once an INVITE is answered, its ACK.
    bytes: Vec<u8>,
    is_invite: bool,
    state: State,
    repeat: Option<(MonoTime, Duration)>,
    ends: MonoTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No final answer yet.
    Waiting,
    /// An INVITE has its final answer, of this number.
    Answered(u16),
}

impl Clients {
    /// No transactions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a request whose topmost Via has `branch`.
    pub fn send(&mut self, now: MonoTime, flow: Flow, branch: String, bytes: Vec<u8>, out: &mut Vec<Output>) {
        out.push(Output::Send(flow, bytes.clone()));
        let is_invite = bytes.starts_with(b"INVITE ");
        let repeat = (!flow.transport.is_reliable()).then_some((now + T1, T1));
        let client = Client { flow, bytes, is_invite, state: State::Waiting, repeat, ends: now + GIVE_UP };
        self.open.insert(branch, client);
    }

    /// Acknowledges the final answer to an INVITE, whenever it comes again.
    pub fn acknowledge(&mut self, now: MonoTime, branch: &str, ack: Vec<u8>, out: &mut Vec<Output>) {
        let Some(client) = self.open.get_mut(branch).filter(|client| client.is_invite) else { return };
        out.push(Output::Send(client.flow, ack.clone()));
        client.bytes = ack;
        client.ends = now + GIVE_UP;
    }

    /// Takes a response; one that answers nothing of ours is ignored.
    pub fn receive(&mut self, now: MonoTime, response: &Response, out: &mut Vec<Output>) {
        let Some((branch, cseq)) = response.answers() else { return };
        let Some(client) = self.open.get_mut(&branch) else { return };
        if client.is_invite != (cseq.method == "INVITE") {
            return;
        }
        match (client.state, response.code) {
            (State::Answered(code), again) => {
                if code == again && client.bytes.starts_with(b"ACK ") {
                    out.push(Output::Send(client.flow, client.bytes.clone()));
                }
                return;
            }
            (State::Waiting, ..200) => {
                // An INVITE that is being worked on is not sent again; others are, but rarely.
                client.repeat = client.repeat.filter(|_| !client.is_invite).map(|(at, _)| (at, T2));
                return;
            }
            (State::Waiting, code) => {
                client.state = State::Answered(code);
                client.repeat = None;
                client.ends = now + GIVE_UP;
            }
        }
        if !client.is_invite {
            self.open.remove(&branch);
        }
        out.push(Output::Ended { branch, response: Some(Box::new(response.clone())) });
    }

    /// Handles due timers.
    pub fn handle_timeout(&mut self, now: MonoTime, out: &mut Vec<Output>) {
        self.open.retain(|branch, client| {
            if client.ends <= now {
                if client.state == State::Waiting {
                    out.push(Output::Ended { branch: branch.clone(), response: None });
                }
                return false;
            }
            if let Some((_, pause)) = client.repeat.filter(|(at, _)| *at <= now) {
                out.push(Output::Send(client.flow, client.bytes.clone()));
                let pause = if client.is_invite { pause * 2 } else { (pause * 2).min(T2) };
                client.repeat = Some((now + pause, pause));
            }
            true
        });
    }

    /// When [`Clients::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoTime> {
        let due = |client: &Client| client.repeat.map_or(client.ends, |(at, _)| at.min(client.ends));
        self.open.values().map(due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::flow::Transport;
    use crate::sip::parse::{Framing, Parsed, parse};

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos(ms * 1_000_000)
    }

    fn flow() -> Flow {
        let address = "127.0.0.1:5060".parse().unwrap();
        Flow { transport: Transport::Udp, link: 0, local: address, peer: address }
    }

    fn response(code: u16, branch: &str, method: &str) -> Response {
        let text =
            format!("SIP/2.0 {code} \r\nVia: SIP/2.0/UDP x;branch={branch}\r\nCSeq: 1 {method}\r\n\r\n");
        match parse(text.as_bytes(), Framing::Datagram) {
            Ok(Parsed::Response(response)) => *response,
            other => panic!("{other:?}"),
        }
    }

    /// Codes of what ended, and how often something was sent.
    fn seen(out: &mut Vec<Output>) -> (usize, Vec<Option<u16>>) {
        let all = std::mem::take(out);
        let sent = all.iter().filter(|output| matches!(output, Output::Send(..))).count();
        let ended = all.into_iter().filter_map(|output| match output {
            Output::Ended { response, .. } => Some(response.map(|r| r.code)),
            Output::Send(..) => None,
        });
        (sent, ended.collect())
    }

    fn run_down(clients: &mut Clients, out: &mut Vec<Output>) {
        while let Some(next) = clients.next_timeout() {
            clients.handle_timeout(next, out);
        }
    }

    #[test]
    fn a_request_is_repeated_until_it_is_answered_or_given_up() {
        let (mut clients, mut out) = (Clients::new(), Vec::new());
        clients.send(at(0), flow(), "z9hG4bKa".into(), b"BYE x".to_vec(), &mut out);
        clients.send(at(0), flow(), "z9hG4bKb".into(), b"BYE x".to_vec(), &mut out);
        clients.receive(at(1), &response(481, "z9hG4bKa", "BYE"), &mut out);
        assert_eq!(seen(&mut out), (2, vec![Some(481)]));
        run_down(&mut clients, &mut out);
        assert_eq!(seen(&mut out), (10, vec![None]), "ten repetitions and the end");
    }

    #[test]
    fn an_invite_is_repeated_ever_more_rarely_until_anything_is_heard() {
        let (mut clients, mut out) = (Clients::new(), Vec::new());
        clients.send(at(0), flow(), "z9hG4bKa".into(), b"INVITE x".to_vec(), &mut out);
        run_down(&mut clients, &mut out);
        // Source: RFC 3261 §17.1.1.2: seven transmissions within 32 s.
        assert_eq!(seen(&mut out), (7, vec![None]));
        clients.send(at(0), flow(), "z9hG4bKb".into(), b"INVITE x".to_vec(), &mut out);
        clients.receive(at(10), &response(100, "z9hG4bKb", "INVITE"), &mut out);
        run_down(&mut clients, &mut out);
        assert_eq!(seen(&mut out), (1, vec![None]));
    }

    #[test]
    fn the_answer_to_an_invite_is_acknowledged_as_often_as_it_comes() {
        for code in [200, 491] {
            let (mut clients, mut out) = (Clients::new(), Vec::new());
            clients.send(at(0), flow(), "z9hG4bKa".into(), b"INVITE x".to_vec(), &mut out);
            clients.receive(at(5), &response(code, "z9hG4bKa", "INVITE"), &mut out);
            assert_eq!(seen(&mut out), (1, vec![Some(code)]));
            clients.receive(at(6), &response(code, "z9hG4bKa", "INVITE"), &mut out);
            assert_eq!(seen(&mut out), (0, vec![]), "there is no ACK yet");
            clients.acknowledge(at(7), "z9hG4bKa", b"ACK x".to_vec(), &mut out);
            clients.receive(at(500), &response(code, "z9hG4bKa", "INVITE"), &mut out);
            assert_eq!(seen(&mut out), (2, vec![]));
            run_down(&mut clients, &mut out);
            assert_eq!(seen(&mut out), (0, vec![]));
        }
    }
}
