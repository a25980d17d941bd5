//! A scripted client against the server without sockets, in simulated time.

use std::time::Duration;

use optag_core::call::AnnouncedCall;
use optag_core::clock::{MonoTime, WallTime};
use optag_sip::feed::{Control, Feed};
use optag_sip::sip::flow::{Flow, Transport};
use optag_sip::sip::parse::{Framing, parse};
use optag_sip::siprec::server::{Input, Output, Server};
use optag_sip::siprec::settings::Config;

use crate::sip_feed::{FakeFeed, Seen, config};

/// The client, the server and the feed.
pub(crate) struct Src {
    pub server: Server,
    pub feed: FakeFeed,
    pub now: MonoTime,
    pub transport: Transport,
    pub peer: std::net::SocketAddr,
    /// Admissions that the feed delays, if it does.
    pub held: Option<Vec<Input>>,
    /// Results of controls that the feed delays, if it does.
    pub held_controls: Option<Vec<Input>>,
    /// All announced calls so far.
    pub accounts: Vec<AnnouncedCall>,
    /// Signs of life that were passed on, and how long each is valid.
    pub silences: Vec<(optag_core::id::CallId, Duration)>,
    pub alive: Vec<(optag_core::id::CallId, Duration)>,
    branch: u32,
}

/// A dialog as the client knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialog {
    pub call_id: String,
    pub to: String,
    pub cseq: u32,
}

/// The two-stream offer of an ordinary client.
pub(crate) const SDP: &str = "v=0\r\no=src 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=label:1\r\na=sendonly\r\n\
    m=audio 40002 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=label:2\r\na=sendonly\r\n";

/// Marks of a recording session.
pub(crate) const SIPREC: &str = "Require: siprec\r\nContact: <sip:src@127.0.0.1:5070>;+sip.src\r\n";

impl Src {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(edit: impl FnOnce(&mut Config)) -> Self {
        let mut src = Self::unvalidated(edit);
        src.server.prove(src.now, src.flow());
        src
    }

    /// A client with an unvalidated address: no response may exceed its requests.
    pub(crate) fn unvalidated(edit: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        edit(&mut config);
        Self {
            server: Server::new(config, MonoTime::default()),
            feed: FakeFeed::default(),
            now: MonoTime::default(),
            transport: Transport::Udp,
            peer: "127.0.0.1:5070".parse().unwrap(),
            held: None,
            held_controls: None,
            accounts: Vec::new(),
            alive: Vec::new(),
            silences: Vec::new(),
            branch: 0,
        }
    }

    /// Sends raw bytes; returns what the server sends in response.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Vec<String> {
        let flow = self.flow();
        let framing = if self.transport == Transport::Udp { Framing::Datagram } else { Framing::Stream };
        let at = WallTime::from_unix_micros(self.now.as_nanos() as i64 / 1_000);
        let message = parse(bytes, framing);
        self.play(Input::Received { flow, message, bytes: bytes.len(), at })
    }

    fn flow(&self) -> Flow {
        let local = "127.0.0.1:5060".parse().unwrap();
        Flow { transport: self.transport, link: 1, local, peer: self.peer }
    }

    /// Passes an input to the server, and its outputs to the feed.
    pub(crate) fn play(&mut self, input: Input) -> Vec<String> {
        let (mut inputs, mut sent) = (vec![input], Vec::new());
        while !inputs.is_empty() {
            let mut out = Vec::new();
            self.server.handle(self.now, inputs.remove(0), &mut out);
            self.carry(out, &mut inputs, &mut sent);
        }
        sent
    }

    /// Advances simulated time; returns what the server sends meanwhile.
    pub(crate) fn wait(&mut self, span: Duration) -> Vec<String> {
        let (until, mut sent) = (self.now + span, Vec::new());
        while let Some(next) = self.server.next_timeout().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            let (mut out, mut inputs) = (Vec::new(), Vec::new());
            self.server.handle_timeout(self.now, &mut out);
            self.carry(out, &mut inputs, &mut sent);
            for input in inputs {
                sent.extend(self.play(input));
            }
        }
        self.now = until;
        sent
    }

    fn carry(&mut self, out: Vec<Output>, inputs: &mut Vec<Input>, sent: &mut Vec<String>) {
        for output in out {
            match output {
                Output::AnnouncedCall(account) => self.accounts.push(*account),
                Output::Send(_, bytes) => sent.push(bytes.iter().map(|b| *b as char).collect()),
                Output::Silence(call, silence) => self.silences.push((call, silence)),
                Output::Alive(call, vouched) => self.alive.push((call, vouched)),
                Output::Keep(call, text) => self.feed.keep(call, text),
                Output::Admit(id, call) => {
                    let admitted = Input::Admitted(id, self.feed.take(*call));
                    match &mut self.held {
                        Some(held) => held.push(admitted),
                        None => inputs.push(admitted),
                    }
                }
                Output::Control(id, call, control) => {
                    let controlled = Input::Controlled(id, self.feed.apply(call, control));
                    self.held_controls.as_mut().unwrap_or(inputs).push(controlled);
                }
            }
        }
    }

    /// A request in wire form.
    pub(crate) fn request(&mut self, dialog: &mut Dialog, method: &str, headers: &str, body: &str) -> String {
        self.branch += 1;
        if !matches!(method, "ACK" | "CANCEL") {
            dialog.cseq += 1;
        }
        let kind = if body.is_empty() || headers.to_ascii_lowercase().contains("content-type") {
            ""
        } else if body.starts_with("v=0") {
            "Content-Type: application/sdp\r\n"
        } else {
            "Content-Type: multipart/mixed;boundary=b\r\n"
        };
        format!(
            "{method} sip:srs@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{} 127.0.0.1:5070;branch=z9hG4bK{};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:src@127.0.0.1>;tag=src\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\n\
             {headers}{kind}Content-Length: {}\r\n\r\n{body}",
            self.transport.name(),
            self.branch,
            dialog.to,
            dialog.call_id,
            dialog.cseq,
            body.len()
        )
    }

    /// Sends a request; returns the last message that the server sends in response.
    pub(crate) fn ask(&mut self, dialog: &mut Dialog, method: &str, headers: &str, body: &str) -> String {
        let text = self.request(dialog, method, headers, body);
        self.raw(text.as_bytes()).pop().unwrap_or_default()
    }

    /// Starts a session and acknowledges it; returns the answer and the dialog.
    pub(crate) fn invite(&mut self, headers: &str, body: &str) -> (String, Dialog) {
        let mut dialog =
            Dialog { call_id: format!("call-{}", self.branch), to: "<sip:srs@127.0.0.1>".into(), cseq: 0 };
        let answer = self.ask(&mut dialog, "INVITE", headers, body);
        if let Some(to) = header(&answer, "To") {
            dialog.to = to;
        }
        if answer.starts_with("SIP/2.0 200") {
            assert_eq!(self.ask(&mut dialog, "ACK", "", ""), "");
        }
        (answer, dialog)
    }

    /// The only admitted call.
    pub(crate) fn call(&self) -> Seen {
        let all = self.feed.seen();
        assert_eq!(all.len(), 1, "one call");
        all.into_iter().next().unwrap()
    }

    /// The controls of the only call, by name.
    pub(crate) fn controls(&self) -> Vec<&'static str> {
        self.call().controls.iter().map(control_name).collect()
    }
}

/// A body with a description and metadata.
pub(crate) fn with_metadata(sdp: &str, xml: &str) -> String {
    format!(
        "--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b\r\nContent-Type: application/rs-metadata+xml\r\n\
         Content-Disposition: recording-session\r\n\r\n{xml}\r\n--b--\r\n"
    )
}

/// The value of the first field of that name.
pub(crate) fn header(message: &str, name: &str) -> Option<String> {
    let head = message.split("\r\n\r\n").next()?;
    let prefix = format!("{name}: ");
    head.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
}

/// The m= lines with their attributes, without the session part.
pub(crate) fn media(message: &str) -> Vec<String> {
    let body = message.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    body.split("m=").skip(1).map(|section| format!("m={}", section.replace("\r\n", "|"))).collect()
}

pub(crate) fn code(message: &str) -> u16 {
    message.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)).and_then(|n| n.parse().ok()).unwrap_or(0)
}

pub(crate) fn control_name(control: &Control) -> &'static str {
    match control {
        Control::Answer { .. } => "answer",
        Control::Withdraw { .. } => "withdraw",
        Control::Transfer { .. } => "transfer",
        Control::Pause => "pause",
        Control::Resume => "resume",
        Control::Describe(_) => "describe",
        Control::Renegotiate { .. } => "renegotiate",
        Control::Speaker { .. } => "speaker",
        Control::AddStream(_) => "add stream",
        Control::DropStream { .. } => "drop stream",
        Control::End => "end",
    }
}
