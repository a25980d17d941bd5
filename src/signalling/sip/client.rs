//! The few requests that a recorder sends itself: BYE and UPDATE, inside a dialog.
//!
//! In: requests in wire form, responses, the time. Out: bytes, and how each request ended.
//! Not here: INVITE, which a recorder never sends.
//!
//! Source: RFC 3261 §17.1.2 (timers E, F, K).

use std::collections::HashMap;
use std::time::Duration;

use super::flow::Flow;
use super::message::Response;
use super::transaction::{GIVE_UP, T1, T2};
use crate::base::clock::MonoTime;

/// What the layer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Send(Flow, Vec<u8>),
    /// The request with this branch has its final answer, or `None` after too long.
    Ended {
        /// The request's branch.
        branch: String,
        /// Status code.
        code: Option<u16>,
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
    bytes: Vec<u8>,
    repeat: Option<(MonoTime, Duration)>,
    ends: MonoTime,
}

impl Clients {
    /// No transactions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a request whose topmost Via has `branch`.
    pub fn send(&mut self, now: MonoTime, flow: Flow, branch: String, bytes: Vec<u8>, out: &mut Vec<Output>) {
        out.push(Output::Send(flow, bytes.clone()));
        let repeat = (!flow.transport.is_reliable()).then_some((now + T1, T1));
        self.open.insert(branch, Client { flow, bytes, repeat, ends: now + GIVE_UP });
    }

    /// Takes a response; one that answers nothing of ours is ignored.
    pub fn receive(&mut self, response: &Response, out: &mut Vec<Output>) {
        let Some((branch, _)) = response.answers() else { return };
        if response.code >= 200 && self.open.remove(&branch).is_some() {
            out.push(Output::Ended { branch, code: Some(response.code) });
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: MonoTime, out: &mut Vec<Output>) {
        self.open.retain(|branch, client| {
            if client.ends <= now {
                out.push(Output::Ended { branch: branch.clone(), code: None });
                return false;
            }
            if let Some((_, pause)) = client.repeat.filter(|(at, _)| *at <= now) {
                out.push(Output::Send(client.flow, client.bytes.clone()));
                let pause = (pause * 2).min(T2);
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
    use crate::signalling::sip::flow::Transport;
    use crate::signalling::sip::parse::{Framing, Parsed, parse};

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_request_is_repeated_until_it_is_answered_or_given_up() {
        let address = "127.0.0.1:5060".parse().unwrap();
        let flow = Flow { transport: Transport::Udp, link: 0, local: address, peer: address };
        let mut clients = Clients::new();
        let mut out = Vec::new();
        clients.send(at(0), flow, "z9hG4bKa".into(), b"BYE".to_vec(), &mut out);
        clients.send(at(0), flow, "z9hG4bKb".into(), b"BYE".to_vec(), &mut out);
        let text = "SIP/2.0 481 \r\nVia: SIP/2.0/UDP x;branch=z9hG4bKa\r\nCSeq: 1 BYE\r\n\r\n";
        let Ok(Parsed::Response(response)) = parse(text.as_bytes(), Framing::Datagram) else { panic!() };
        clients.receive(&response, &mut out);
        assert_eq!(out.pop(), Some(Output::Ended { branch: "z9hG4bKa".into(), code: Some(481) }));
        out.clear();
        while let Some(next) = clients.next_timeout() {
            clients.handle_timeout(next, &mut out);
        }
        assert_eq!(out.len(), 11, "ten repetitions and the end");
        assert_eq!(out.pop(), Some(Output::Ended { branch: "z9hG4bKb".into(), code: None }));
    }
}
