//! What must hold for any sequence of SIP messages, answers of the feed and spans of time: the server
//! never panics, nobody is sent more than they sent before they have proved their address, nothing is
//! left over, and each session is accounted for once.
//!
//! The bytes choose who sends what; what they say is mostly sensible, so that sequences get far, and
//! partly bytes as they are.

use std::net::SocketAddr;
use std::time::Duration;

use optag_core::call::{ConsentState, Unrecorded};
use optag_sip::feed::AdmitError;
use optag_sip::sip::digest::Algorithm;
use optag_sip::sip::flow::{Flow, Transport};
use optag_sip::siprec::server::Input;

use super::srs::{REALM, Srs, USER};

/// Steps of a sequence that are taken.
const STEPS: usize = 300;
/// Dialogs at a time.
const DIALOGS: usize = 4;

const METHODS: [&str; 16] = [
    "INVITE", "INVITE", "INVITE", "ACK", "ACK", "BYE", "CANCEL", "UPDATE", "UPDATE", "INFO", "OPTIONS",
    "NOTIFY", "PRACK", "REFER", "REGISTER", "FOO",
];

/// Header fields, of which a request has up to three.
const FIELDS: [&str; 24] = [
    "Require: siprec\r\nContact: <sip:src@192.0.2.1:5060>;+sip.src\r\n",
    "Supported: siprec, timer\r\nContact: <sip:src@192.0.2.2>;+sip.src\r\n",
    "Contact: <sip:src@203.0.113.9>;+sip.src\r\n",
    "Contact: <sip:src@192.0.2.77:5062>\r\n",
    "Allow: INVITE, ACK, BYE, UPDATE\r\n",
    "Session-Expires: 90;refresher=uac\r\nSupported: timer\r\n",
    "Session-Expires: 90;refresher=uas\r\nSupported: timer\r\n",
    "Session-Expires: 4\r\nMin-SE: 4\r\n",
    "X-Recording-Consent: yes\r\n",
    "X-Recording-Consent: no\r\n",
    "Require: nothing-we-know\r\n",
    "Accept: text/plain\r\n",
    "Content-Encoding: gzip\r\n",
    "P-Asserted-Identity: <tel:+4588888888>\r\n",
    "Diversion: <sip:70102031@h>\r\n",
    "Record-Route: <sip:192.0.2.3;lr>\r\nRecord-Route: <sip:192.0.2.4;lr>\r\n",
    "Replaces: call-0;to-tag=x;from-tag=y\r\n",
    "Session-ID: ab;remote=cd\r\nUser-to-User: 0123;encoding=hex\r\n",
    "Content-Disposition: recording-session\r\n",
    "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKouter\r\n",
    "Expires: 1\r\n",
    "Authorization: Digest username=\"src\", realm=\"optag\", nonce=\"0\", uri=\"sip:70102030@r\", response=\"0\"\r\n",
    "X-Filler: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
    "",
];

const SESSION: &str = "v=0\r\no=src 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
const LINES: [&str; 8] = [
    "m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=label:1\r\na=sendonly\r\n",
    "m=audio 40002 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=label:2\r\na=sendonly\r\n",
    "m=audio 40004 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=label:3\r\na=sendonly\r\n",
    "m=audio 0 RTP/AVP 8\r\na=label:2\r\n",
    "m=audio 40000 RTP/AVP 8\r\na=label:1\r\na=inactive\r\n",
    "m=video 40008 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n",
    "m=audio 40010 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0\r\na=label:4\r\na=sendonly\r\n",
    "m=audio 40012 RTP/AVP 18\r\nc=IN IP4 0.0.0.0\r\na=label:1\r\n",
];
const DOCUMENTS: [&str; 6] = [
    "<recording><datamode>complete</datamode><participant participant_id='a'><nameID aor='sip:88888888@h'/><send>s1</send></participant><participant participant_id='b'><nameID aor='sip:70102030@h'/><send>s2</send></participant><stream stream_id='s1'><label>1</label></stream><stream stream_id='s2'><label>2</label></stream></recording>",
    "<recording><datamode>partial</datamode><participant participant_id='c'><nameID aor='sip:70102031@h'/></participant></recording>",
    "<recording><datamode>partial</datamode><participantsessionassoc participant_id='b'><disassociate-time>t</disassociate-time></participantsessionassoc></recording>",
    "<recording><datamode>partial</datamode><participantstreamassoc participant_id='z'><send>s9</send></participantstreamassoc></recording>",
    "<recording><datamode>partial</datamode><partic",
    "<recording><recordingconsent>yes</recordingconsent></recording>",
];
const CODES: [&str; 12] = [
    "200 OK",
    "200 OK",
    "200 OK",
    "100 Trying",
    "183 Progress",
    "401 Unauthorized",
    "408 Timeout",
    "481 None",
    "488 No",
    "491 Pending",
    "422 Small\r\nMin-SE: 1800",
    "503 Away",
];

/// The bytes that are left.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn some(&mut self) -> &'a [u8] {
        let length = usize::from(self.next()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
}

/// A dialog as a client knows it.
#[derive(Default)]
struct Dialog {
    call_id: String,
    to_tag: Option<String>,
    /// Whether a request of it was sent with a byte that is another: it may be no INVITE any more.
    odd: bool,
    cseq: u32,
    branch: u32,
    nonce: Option<String>,
    last: Option<(Flow, Vec<u8>)>,
    invites: Option<u32>,
}

struct World {
    srs: Srs,
    dialogs: Vec<Dialog>,
    names: u32,
    branches: u32,
    /// INVITEs outside of dialogs that got a final answer, by Call-ID.
    answered: Vec<(String, u16)>,
    /// Requests of the server that wait for an answer.
    asked: Vec<(Flow, String)>,
}

fn flow(choice: u8) -> Flow {
    let (transport, link, peer) = [
        (Transport::Udp, 1, "192.0.2.1:5060"),
        (Transport::Udp, 1, "192.0.2.1:5070"),
        (Transport::Udp, 1, "192.0.2.2:5060"),
        (Transport::Tcp, 7, "192.0.2.1:40000"),
        (Transport::Tls, 8, "[2001:db8::1]:40001"),
        (Transport::Udp, 1, "203.0.113.9:5060"),
        (Transport::Udp, 2, "[2001:db8::2]:5060"),
        (Transport::Tcp, 9, "192.0.2.2:40002"),
    ][usize::from(choice & 7)];
    let peer: SocketAddr = peer.parse().expect("an address");
    let local = if peer.is_ipv4() { "192.0.2.200:5060" } else { "[2001:db8::200]:5060" };
    Flow { transport, link, local: local.parse().expect("an address"), peer }
}

fn field(message: &str, name: &str) -> Option<String> {
    let head = message.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
}

fn tag_of(message: &str) -> Option<String> {
    field(message, "To")?.split_once(";tag=").map(|(_, tag)| tag.to_owned())
}

impl World {
    fn new(bits: u8) -> Self {
        let mut world = Self {
            srs: Srs::new(bits),
            dialogs: Vec::new(),
            names: 0,
            branches: 0,
            answered: Vec::new(),
            asked: Vec::new(),
        };
        for _ in 0..DIALOGS {
            let fresh = world.fresh();
            world.dialogs.push(fresh);
        }
        world
    }

    fn fresh(&mut self) -> Dialog {
        self.names += 1;
        Dialog { call_id: format!("call-{}", self.names), ..Dialog::default() }
    }

    fn body(bytes: &mut Bytes<'_>) -> (&'static str, Vec<u8>) {
        let kind = bytes.next();
        let lines = bytes.next();
        let sdp = || -> String {
            let chosen = (0..LINES.len()).filter(|n| lines >> n & 1 == 1).map(|n| LINES[n]);
            let chosen: String = chosen.collect();
            if chosen.is_empty() {
                format!("{SESSION}{}{}", LINES[0], LINES[1])
            } else {
                SESSION.to_owned() + &chosen
            }
        };
        let document = DOCUMENTS[usize::from(lines) % DOCUMENTS.len()];
        match kind % 12 {
            0 | 1 => ("", Vec::new()),
            2..=4 => ("application/sdp", sdp().into_bytes()),
            5 | 6 => {
                let document = DOCUMENTS[usize::from(kind / 12) % DOCUMENTS.len()];
                let text = format!(
                    "--b\r\nContent-Type: application/sdp\r\n\r\n{}\r\n--b\r\nContent-Type: application/rs-metadata+xml\r\n\r\n{document}\r\n--b--\r\n",
                    sdp()
                );
                ("multipart/mixed;boundary=b", text.into_bytes())
            }
            7 => ("application/rs-metadata+xml", document.as_bytes().to_vec()),
            8 => {
                ("application/dtmf-relay", format!("Signal={}\r\nDuration=100\r\n", lines % 10).into_bytes())
            }
            9 => ("application/sdp", bytes.some().to_vec()),
            10 => ("multipart/mixed;boundary=b", bytes.some().to_vec()),
            _ => ("application/rs-metadata+xml", bytes.some().to_vec()),
        }
    }

    fn authorization(dialog: &mut Dialog, method: &str) -> String {
        let Some(nonce) = &dialog.nonce else { return String::new() };
        let uri = "sip:70102030@192.0.2.200";
        let hash = |text: String| Algorithm::Md5.hash(&text);
        let (user, password) = USER;
        let ha1 = hash(format!("{user}:{REALM}:{password}"));
        let ha2 = hash(format!("{method}:{uri}"));
        let count = dialog.branch;
        let response = hash(format!("{ha1}:{nonce}:{count:08x}:c:auth:{ha2}"));
        format!(
            "Authorization: Digest username=\"{user}\",realm=\"{REALM}\",nonce=\"{nonce}\",uri=\"{uri}\",qop=auth,nc={count:08x},cnonce=\"c\",algorithm=MD5,response=\"{response}\"\r\n"
        )
    }

    /// A request of a client, with what only an answer told it.
    fn request(&mut self, bytes: &mut Bytes<'_>) {
        let (choice, who, how) = (bytes.next(), bytes.next(), bytes.next());
        let method = METHODS[usize::from(choice & 15)];
        let slot = usize::from(choice >> 4) % DIALOGS;
        let flow = flow(who);
        if who & 0x80 != 0 && method == "INVITE" {
            self.dialogs[slot] = self.fresh();
        }
        self.branches += 1;
        let branches = self.branches;
        let dialog = &mut self.dialogs[slot];
        let keeps_number = matches!(method, "ACK" | "CANCEL");
        match how & 3 {
            _ if keeps_number => {}
            0..=2 => dialog.cseq = dialog.cseq.wrapping_add(1) & 0x7fff_ffff,
            _ => dialog.cseq = dialog.cseq.wrapping_add(u32::from(bytes.next()) << 8) & 0x7fff_ffff,
        }
        let acknowledges = dialog.invites.filter(|_| keeps_number && how & 4 == 0);
        let number = acknowledges.unwrap_or(dialog.cseq);
        dialog.branch = if method == "CANCEL" { dialog.branch } else { branches };
        let tag = match how >> 3 & 3 {
            0..=1 => dialog.to_tag.clone(),
            2 => None,
            _ => Some("wrong".to_owned()),
        };
        // CANCEL repeats what its INVITE had.
        let tag = tag.filter(|_| method != "CANCEL" || dialog.invites.is_none());
        let proves = tag.is_some() && tag == dialog.to_tag;
        let fields = bytes.next();
        let mut headers = String::new();
        for n in 0..usize::from(fields >> 6) {
            headers += FIELDS[(usize::from(fields & 0x3f) + n * 7) % FIELDS.len()];
        }
        if method == "INVITE" {
            headers += FIELDS[usize::from(fields & 1)];
            headers += &Self::authorization(dialog, method);
            dialog.invites = Some(number);
        }
        let (kind, body) = Self::body(bytes);
        if !kind.is_empty() {
            headers += &format!("Content-Type: {kind}\r\n");
        }
        let to = tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let rport = if how & 0x20 != 0 { "" } else { ";rport" };
        let mut text = format!(
            "{method} sip:70102030@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/{} {};branch=z9hG4bK{}{rport}\r\nMax-Forwards: 70\r\n\
             From: <sip:88888888@192.0.2.1>;tag=src\r\nTo: <sip:70102030@192.0.2.200>{to}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\n\
             {headers}Content-Length: {}\r\n\r\n",
            flow.transport.name(),
            flow.peer,
            dialog.branch,
            dialog.call_id,
            body.len(),
        )
        .into_bytes();
        text.extend(body);
        let whole = how & 0x40 == 0;
        if !whole {
            // One byte is another.
            let at = (usize::from(bytes.next()) << 8 | usize::from(bytes.next())) % text.len();
            text[at] = bytes.next();
            dialog.odd = true;
        }
        dialog.last = Some((flow, text.clone()));
        self.send(flow, &text, proves || !whole);
    }

    fn send(&mut self, flow: Flow, text: &[u8], proves: bool) {
        self.srs.receive(flow, text, proves);
        self.look();
    }

    /// Reads what the server sent.
    fn look(&mut self) {
        for (flow, bytes) in std::mem::take(&mut self.srs.sent) {
            let message = String::from_utf8_lossy(&bytes).into_owned();
            let Some(code) = message.strip_prefix("SIP/2.0 ") else {
                if !message.starts_with("ACK") && bytes.len() > 4 {
                    self.asked.push((flow, message));
                }
                continue;
            };
            let code: u16 = code.get(..3).and_then(|code| code.parse().ok()).expect("a status");
            let call_id = field(&message, "Call-ID").unwrap_or_default();
            let is_invite = field(&message, "CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"));
            let Some(dialog) = self.dialogs.iter_mut().find(|dialog| dialog.call_id == call_id) else {
                continue;
            };
            if code == 401 {
                let challenge = field(&message, "WWW-Authenticate").unwrap_or_default();
                dialog.nonce =
                    challenge.split("nonce=\"").nth(1).and_then(|rest| Some(rest.split_once('"')?.0.into()));
            }
            if is_invite && code >= 200 {
                if dialog.to_tag.is_none() && !dialog.odd {
                    self.answered.push((call_id, code));
                }
                if code < 300 {
                    dialog.to_tag = tag_of(&message);
                }
            }
        }
        let extra = self.asked.len().saturating_sub(16);
        self.asked.drain(..extra);
    }

    /// A client answers a request of the server.
    fn reply(&mut self, bytes: &mut Bytes<'_>) {
        let (choice, how) = (bytes.next(), bytes.next());
        let (kind, body) = Self::body(bytes);
        if self.asked.is_empty() {
            return;
        }
        let (flow, request) = self.asked.remove(usize::from(choice) % self.asked.len());
        let fields: String = ["Via", "From", "To", "Call-ID", "CSeq"]
            .map(|name| format!("{name}: {}\r\n", field(&request, name).unwrap_or_default()))
            .concat();
        let code = CODES[usize::from(how) % CODES.len()];
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let contact = if how & 0x80 != 0 { FIELDS[usize::from(choice) % 4] } else { "" };
        let mut text =
            format!("SIP/2.0 {code}\r\n{fields}{contact}{kind}Content-Length: {}\r\n\r\n", body.len())
                .into_bytes();
        text.extend(body);
        self.send(flow, &text, false);
        if code.starts_with('1') {
            self.asked.push((flow, request));
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let (action, choice) = (bytes.next(), bytes.0.first().copied().unwrap_or_default());
        match action % 24 {
            0..=11 => return self.request(bytes),
            12 | 13 => return self.reply(bytes),
            _ => {}
        }
        bytes.next();
        match action % 24 {
            14 => self.srs.wait(Duration::from_millis(u64::from(choice) * 4)),
            15 => self.srs.wait(Duration::from_secs(u64::from(choice))),
            16 => self.srs.wait(Duration::from_secs(u64::from(choice) * 60)),
            17 => {
                // The request before once more, maybe from elsewhere.
                let slot = usize::from(choice) % DIALOGS;
                if let Some((from, text)) = self.dialogs[slot].last.clone() {
                    let from = if choice & 0x80 != 0 { flow(choice >> 2) } else { from };
                    self.send(from, &text, true);
                }
            }
            18 => {
                let consent = [ConsentState::Granted, ConsentState::Refused, ConsentState::Withdrawn];
                self.srs.says(choice >> 2, consent[usize::from(choice & 3) % 3]);
            }
            19 if choice & 1 == 0 => self.srs.engine_ends(choice >> 1),
            19 => {
                let reach = |at: u8| {
                    move |kept: &optag_sip::siprec::session::snapshot::SessionSnapshot| {
                        kept.way.filter(|_| at & 2 != 0).map(|way| Flow {
                            transport: way.transport,
                            link: 1,
                            local: way.local,
                            peer: way.peer,
                        })
                    }
                };
                self.srs.restart(reach(choice));
                self.answered.clear();
                self.asked.clear();
            }
            20 => match choice & 3 {
                0 => self.srs.held = self.srs.held.take().or(Some(Vec::new())),
                1 => {
                    for held in self.srs.held.take().unwrap_or_default() {
                        self.srs.play(held);
                    }
                }
                _ => self.srs.release(choice >> 2),
            },
            21 => {
                let errors = [
                    None,
                    Some(AdmitError::PortsUsedUp),
                    Some(AdmitError::UnknownDepartment("x".into())),
                    Some(AdmitError::Overloaded("governor")),
                ];
                self.srs.refuses = errors[usize::from(choice & 3)].clone();
            }
            22 if choice == 0 => self.srs.play(Input::Drain),
            22 => {
                let raw = bytes.some().to_vec();
                // Whatever it is, it may hold what an answer told.
                self.send(flow(choice), &raw, true);
            }
            _ => self.srs.play(Input::EndAll),
        }
        self.look();
    }
}

/// Plays a sequence to its end.
pub(super) fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut world = World::new(bytes.next());
    for _ in 0..STEPS {
        if bytes.0.is_empty() {
            break;
        }
        world.step(&mut bytes);
    }
    let accounts = world.srs.finish();
    let lost = world.answered.iter().find(|(call_id, code)| {
        // A challenge is no refusal yet, and a copy that came by another way is the same call.
        let excused = matches!(code, 401 | 482);
        let named = accounts.iter().any(|account| account.names.iter().any(|name| name.reveal() == call_id));
        !excused && !named
    });
    assert_eq!(lost, None, "invariant 6: an answered INVITE has no account");
    let refused = |why: Option<Unrecorded>| matches!(why, Some(Unrecorded::Rejected(code)) if code < 300);
    assert!(!accounts.iter().any(|account| refused(account.unrecorded)));
}
