//! A recording server and its feed in simulated time, for bodies that send it sequences of messages.
//!
//! The feed admits what it is asked to and counts what became of it. What holds of every sequence is
//! checked here as it happens: what leaves is well-formed, an address that has proved nothing gets no more
//! bytes than it sent, a session that is written down is read again, an account is closed once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use optag_core::call::{AnnouncedCall, Answer, ConsentKeys, ConsentState, Department};
use optag_core::clock::{MonoTime, WallTime};
use optag_core::id::CallId;
use optag_core::private::Private;
use optag_sip::feed::{
    AdmitError, Admitted, CallView, Control, ControlError, NewCall, NewStream, StreamView,
};
use optag_sip::sip::allow_list::AllowList;
use optag_sip::sip::digest::{Algorithm, Credentials};
use optag_sip::sip::flow::{Flow, Transport};
use optag_sip::sip::parse::{Framing, Parsed, parse};
use optag_sip::siprec::parties::departments::Departments;
use optag_sip::siprec::server::{Input, Output, Server, SessionId};
use optag_sip::siprec::session::snapshot::SessionSnapshot;
use optag_sip::siprec::settings::{Config, MediaSource, UntilConsent, WhenUnavailable};

/// User name and password of the only user, where credentials are asked for.
pub(super) const USER: (&str, &str) = ("src", "secret");
/// Realm of the challenges.
pub(super) const REALM: &str = "optag";

/// Times that the server may want to be called in one span.
const CALLS_IN_SPAN: usize = 200_000;

/// A call as the feed has it.
struct Call {
    view: CallView,
    granted: BTreeSet<String>,
    /// Whether a process that knew it ended before it was written down.
    orphan: bool,
}

/// What an address outside of connections has sent and got. Units: bytes.
#[derive(Default)]
struct Exchange {
    came: usize,
    left: usize,
    proved: bool,
}

/// The server, its feed, and what the outside has seen.
pub(super) struct Srs {
    config: Config,
    pub server: Server,
    pub now: MonoTime,
    /// Messages that the server sent and nobody has looked at.
    pub sent: Vec<(Flow, Vec<u8>)>,
    /// Results that the feed keeps waiting, where it does.
    pub held: Option<Vec<Input>>,
    /// What the feed says to the next calls.
    pub refuses: Option<AdmitError>,
    calls: BTreeMap<CallId, Call>,
    exchanges: BTreeMap<IpAddr, Exchange>,
    /// Per account: whether it was opened, and how often it was closed.
    accounts: BTreeMap<String, (bool, usize)>,
    closed: Vec<AnnouncedCall>,
    restarted: bool,
}

/// Settings of which each bit chooses one.
pub(super) fn config(bits: u8) -> Config {
    let department = |id: &str, number: &str| Department {
        id: id.into(),
        name: id.into(),
        numbers: vec![number.into()],
        record: id != "private",
        retention_days: 90,
        keys: ConsentKeys::default(),
        consent_timeout: Duration::from_secs(30),
        prompts: Vec::new(),
        asked_before: false,
    };
    let bit = |n: u8| bits >> n & 1 == 1;
    let credentials = bit(0).then(|| Credentials {
        realm: REALM.into(),
        users: vec![(USER.0.into(), Private::new(USER.1.into()))],
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
    });
    let streams = if bit(6) { 6 } else { 100_000 };
    Config {
        clients: AllowList::parse(["192.0.2.0/24", "2001:db8::/32"]).expect("networks"),
        credentials,
        advertised: None,
        departments: Departments {
            all: vec![department("demo", "70102030"), department("private", "70102031")],
            country_code: "45".into(),
            otherwise: (!bit(7)).then(|| "demo".into()),
        },
        rules: Default::default(),
        consent: Default::default(),
        until_consent: if bit(1) { UntilConsent::Inactive } else { UntilConsent::Listen },
        plain_calls: bit(2),
        when_unavailable: if bit(3) { WhenUnavailable::Refuse } else { WhenUnavailable::Inactive },
        media_source: if bit(4) { MediaSource::Learned } else { MediaSource::Signalled },
        info_keys: true,
        unknown_party: Default::default(),
        profiles: Vec::new(),
        streams_max: streams,
        streams_per_client: streams / 2,
        sessions_max: if bit(5) { 3 } else { 5_000 },
        secret: [9; 32],
    }
}

impl Srs {
    pub(super) fn new(bits: u8) -> Self {
        let config = config(bits);
        Self {
            server: Server::new(config.clone(), MonoTime::default()),
            config,
            now: MonoTime::default(),
            sent: Vec::new(),
            held: None,
            refuses: None,
            calls: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            accounts: BTreeMap::new(),
            closed: Vec::new(),
            restarted: false,
        }
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_micros(1_700_000_000_000_000 + self.now.as_nanos() as i64 / 1_000)
    }

    /// A message comes. `proves`: it holds what only an answer to its sender told.
    pub(super) fn receive(&mut self, flow: Flow, bytes: &[u8], proves: bool) {
        let framing = if flow.transport == Transport::Udp { Framing::Datagram } else { Framing::Stream };
        let exchange = self.exchanges.entry(flow.peer.ip()).or_default();
        exchange.came += bytes.len();
        exchange.proved |= proves || flow.transport != Transport::Udp;
        let message = parse(bytes, framing);
        self.play(Input::Received { flow, message, bytes: bytes.len(), at: self.wall() });
    }

    /// Gives the server an input, and the feed what comes of it.
    pub(super) fn play(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = Vec::new();
            self.server.handle(self.now, input, &mut out);
            self.carry(out, &mut inputs);
        }
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, span: Duration) {
        let until = self.now + span;
        let mut calls = 0;
        while let Some(next) = self.server.next_timeout().filter(|next| *next <= until) {
            calls += 1;
            assert!(calls < CALLS_IN_SPAN, "the server wants to be called again and again");
            self.now = self.now.max(next);
            let (mut out, mut inputs) = (Vec::new(), Vec::new());
            self.server.handle_timeout(self.now, &mut out);
            self.carry(out, &mut inputs);
            inputs.into_iter().for_each(|input| self.play(input));
        }
        self.now = until;
    }

    fn carry(&mut self, out: Vec<Output>, inputs: &mut Vec<Input>) {
        for output in out {
            match output {
                Output::Send(flow, bytes) => self.leaves(flow, bytes),
                Output::AnnouncedCall(account) => self.account(*account),
                Output::Alive(..) | Output::Silence(..) => {}
                Output::Keep(_, text) => {
                    let kept = SessionSnapshot::from_text(text.reveal()).expect("what is kept can be read");
                    assert_eq!(&kept.to_text(), text.reveal());
                }
                Output::Admit(id, call) => {
                    let result = self.admit(*call);
                    self.answers(Input::Admitted(id, result), inputs);
                }
                Output::Control(id, call, control) => {
                    let result = self.apply(call, control);
                    self.answers(Input::Controlled(id, result), inputs);
                }
            }
        }
    }

    fn answers(&mut self, input: Input, inputs: &mut Vec<Input>) {
        match &mut self.held {
            Some(held) => held.push(input),
            None => inputs.push(input),
        }
    }

    fn leaves(&mut self, flow: Flow, bytes: Vec<u8>) {
        if flow.transport == Transport::Udp {
            assert!(self.config.allows(flow.peer.ip()), "bytes to an address that is not listened to");
            let is_answer = bytes.starts_with(b"SIP/2.0 ");
            let exchange = self.exchanges.entry(flow.peer.ip()).or_default();
            if is_answer && !exchange.proved {
                exchange.left += bytes.len();
                assert!(exchange.left <= exchange.came, "invariant 13: answers outweigh what came");
            }
        }
        match parse(&bytes, Framing::Datagram) {
            Ok(Parsed::Request(_) | Parsed::Response(_)) => {}
            Ok(Parsed::KeepAlive) => assert!(flow.transport.is_reliable()),
            // A refusal repeats the fields of what could not be read.
            Err(_) if bytes.starts_with(b"SIP/2.0 4") || bytes.starts_with(b"SIP/2.0 5") => {}
            Err(refusal) => panic!("what was sent cannot be read: {refusal:?}"),
        }
        self.sent.push((flow, bytes));
    }

    fn account(&mut self, account: AnnouncedCall) {
        let (opened, closed) = self.accounts.entry(account.id.clone()).or_default();
        assert_eq!(*closed, 0, "an account goes on after it was closed");
        if account.ended_at.is_some() {
            *closed += 1;
            assert!(account.ended_at >= Some(account.began_at));
            self.closed.push(account);
        } else {
            assert!(!std::mem::replace(opened, true), "a session was answered twice");
        }
    }

    fn admit(&mut self, new: NewCall) -> Result<Admitted, AdmitError> {
        if let Some(error) = self.refuses.clone() {
            return Err(error);
        }
        assert!((1..=8).contains(&new.streams.len()), "1 to 8 streams");
        let labels: BTreeSet<&String> = new.streams.iter().map(|stream| &stream.label).collect();
        assert_eq!(labels.len(), new.streams.len(), "labels are unique");
        let at = self.calls.len();
        let id = CallId::new_at(WallTime::from_unix_micros(1_700_000_000_000_000 + at as i64 * 1_000_000));
        let consent = if new.department == "private" { ConsentState::Unknown } else { ConsentState::Asked };
        let views: Vec<StreamView> =
            new.streams.iter().enumerate().map(|(n, s)| stream_view(s, at, n)).collect();
        let streams = views.iter().map(|view| view.address).collect();
        let view = CallView {
            parties: None,
            id,
            department: new.department,
            external_id: new.external_id,
            started_at: self.wall(),
            ended_at: None,
            consent,
            paused: false,
            outcome: None,
            streams: views,
        };
        self.calls.insert(id, Call { view, granted: BTreeSet::new(), orphan: false });
        Ok(Admitted { id, consent, streams })
    }

    fn apply(&mut self, id: CallId, control: Control) -> Result<CallView, ControlError> {
        let now = self.wall();
        let at = self.calls.keys().position(|call| *call == id).unwrap_or_default();
        let call = self.calls.get_mut(&id).filter(|call| call.view.ended_at.is_none());
        let Call { view, granted, .. } = call.ok_or(ControlError::NoSuchCall(id))?;
        match control {
            Control::Answer { answer: Answer::Yes, .. } => {
                view.consent = ConsentState::Granted;
                granted.insert(view.department.clone());
            }
            Control::Answer { answer: Answer::No, .. } => view.consent = ConsentState::Refused,
            Control::Withdraw { .. } => view.consent = ConsentState::Withdrawn,
            Control::Transfer { department, .. } => {
                view.consent = match granted.contains(&department) {
                    true => ConsentState::Granted,
                    false if department == "private" => ConsentState::Unknown,
                    false => ConsentState::Asked,
                };
                view.department = department;
            }
            Control::Pause => view.paused = true,
            Control::Resume => view.paused = false,
            Control::AddStream(_) if view.streams.len() >= 8 => {
                return Err(ControlError::BadStream("too many".into()));
            }
            Control::AddStream(stream) => {
                let view_of = stream_view(&stream, at, view.streams.len());
                view.streams.push(view_of);
            }
            Control::Renegotiate { stream, .. }
            | Control::DropStream { stream }
            | Control::Speaker { stream, .. } => {
                assert!(usize::from(stream) < view.streams.len(), "there is no stream {stream}");
            }
            Control::Describe(_) => {}
            Control::End => view.ended_at = Some(now),
        }
        Ok(view.clone())
    }

    /// Lets one result of the feed through that waits; which, as `choice` says.
    pub(super) fn release(&mut self, choice: u8) {
        let Some(held) = self.held.as_mut().filter(|held| !held.is_empty()) else { return };
        let at = usize::from(choice) % held.len();
        let input = held.remove(at);
        self.play(input);
    }

    /// The session of one of the calls in progress.
    pub(super) fn session(&self, choice: u8) -> Option<(SessionId, CallId)> {
        let calls = self.server.calls();
        calls.get(usize::from(choice) % calls.len().max(1)).copied()
    }

    /// The caller answers by a key in the audio.
    pub(super) fn says(&mut self, choice: u8, consent: ConsentState) {
        let Some((session, id)) = self.session(choice) else { return };
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.view.ended_at.is_none()) else { return };
        if call.view.consent == ConsentState::Unknown {
            return;
        }
        call.view.consent = consent;
        self.play(Input::Consent(session, consent));
    }

    /// The engine ends a call by itself.
    pub(super) fn engine_ends(&mut self, choice: u8) {
        let Some((session, id)) = self.session(choice) else { return };
        let now = self.wall();
        if let Some(call) = self.calls.get_mut(&id) {
            call.view.ended_at.get_or_insert(now);
        }
        self.play(Input::CallEnded(session));
    }

    /// Another process takes over, by what this one wrote down.
    pub(super) fn restart(&mut self, reach: impl Fn(&SessionSnapshot) -> Option<Flow>) {
        self.restarted = true;
        self.held = self.held.as_ref().map(|_| Vec::new());
        let kept = self.server.save();
        let saved: BTreeSet<CallId> = kept.iter().filter_map(|kept| kept.saved.call).collect();
        assert_eq!(saved.len(), kept.len(), "each session has a call of its own");
        for (id, call) in &mut self.calls {
            call.orphan |= !saved.contains(id);
        }
        // Drawn anew at each start: tags and names of accounts come from it.
        self.config.secret[0] = self.config.secret[0].wrapping_add(1);
        let mut next = Server::new(self.config.clone(), self.now);
        for kept in kept {
            let text = kept.to_text();
            let kept = SessionSnapshot::from_text(&text).expect("what is kept can be read");
            assert_eq!(kept.to_text(), text, "what is kept is read as it was");
            let flow = reach(&kept);
            if let Some(flow) = flow {
                self.exchanges.entry(flow.peer.ip()).or_default().proved = true;
            }
            next.resume(self.now, kept, flow);
        }
        self.server = next;
    }

    /// Ends everything, and holds the accounts against the calls.
    pub(super) fn finish(mut self) -> Vec<AnnouncedCall> {
        for _ in 0..2 {
            for held in self.held.take().unwrap_or_default() {
                self.play(held);
            }
            self.play(Input::EndAll);
            self.wait(Duration::from_secs(3 * 3_600));
        }
        assert_eq!(self.server.open_sessions(), 0, "a session never ends");
        assert_eq!(self.server.next_timeout(), None, "something is left to do");
        for (id, call) in self.calls.iter().filter(|(_, call)| !call.orphan) {
            assert!(call.view.ended_at.is_some(), "a call goes on without its session");
            let accounts = self.closed.iter().filter(|account| account.call == Some(*id)).count();
            assert_eq!(accounts, 1, "invariant 6: each call is accounted for once");
        }
        for (opened, closed) in self.accounts.values() {
            assert!(*closed == 1 || self.restarted && *opened, "an account is closed once");
        }
        self.closed
    }
}

fn stream_view(stream: &NewStream, call: usize, at: usize) -> StreamView {
    StreamView {
        label: stream.label.clone(),
        role: stream.role,
        address: SocketAddr::from(([192, 0, 2, 200], (20_000 + call % 2_000 * 16 + at * 2) as u16)),
        counts: Default::default(),
    }
}
