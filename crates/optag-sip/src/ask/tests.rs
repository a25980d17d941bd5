//! The asking server by its messages, without sockets.

use std::time::Duration;

use super::outcome::Outcome;
use super::port::{Input, Output};
use super::server::Server;
use super::settings::{AskedDepartment, SendOn, Settings, Target, Unasked};
use crate::sip::allow_list::AllowList;
use crate::sip::flow::{Flow, Transport};
use crate::sip::parse::{Framing, parse};
use crate::siprec::parties::{Departments, PartyRules};
use crate::siprec::settings::{
    Config, ConsentSignal, MediaSource, UnknownParty, UntilConsent, WhenUnavailable,
};
use optag_core::call::{Answer, ConsentKeys, Department, KeySource, Prompt};
use optag_core::clock::{MonoTime, WallTime};
use optag_media::announce::AnnounceEvent;
use optag_media::dtmf::keypad::KeyPress;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

fn at(ms: u64) -> MonoTime {
    MonoTime::from_nanos(ms * 1_000_000)
}

fn settings(send_on: SendOn) -> Settings {
    let prompt = Prompt {
        version: "7-da".into(),
        language: "da".into(),
        text: String::new(),
        text_sha256: String::new(),
        audio_sha256: None,
        audio_file: None,
        covers: vec!["tax".into()],
        keys: None,
    };
    let department = |id: &str, number: &str, prompts: Vec<Prompt>| Department {
        id: id.into(),
        name: id.into(),
        numbers: vec![number.into()],
        record: true,
        retention_days: 90,
        keys: ConsentKeys::default(),
        consent_timeout: Duration::from_secs(30),
        prompts,
        asked_before: true,
    };
    let all = vec![department("tax", "70101010", vec![prompt]), department("other", "70202020", Vec::new())];
    let sip = Config {
        clients: AllowList::parse(["192.0.2.0/24"]).unwrap(),
        credentials: None,
        advertised: None,
        departments: Departments { all, country_code: "45".into(), otherwise: None },
        rules: PartyRules::default(),
        consent: ConsentSignal::default(),
        until_consent: UntilConsent::Listen,
        plain_calls: false,
        when_unavailable: WhenUnavailable::Inactive,
        media_source: MediaSource::Signalled,
        info_keys: true,
        unknown_party: UnknownParty::Pause,
        profiles: Vec::new(),
        streams_max: 100,
        streams_per_client: 100,
        sessions_max: 100,
        secret: [7; 32],
    };
    Settings {
        sip,
        departments: vec![AskedDepartment {
            id: "tax".into(),
            send_to: Target::parse("sip:{called}@192.0.2.50").unwrap(),
            languages: Vec::new(),
            confirm_yes: None,
            confirm_no: None,
        }],
        prompts: [("7-da".to_owned(), Duration::from_secs(2))].into(),
        send_on,
        answer: Duration::from_secs(5),
        loss_percent: 5,
        max_asks: 2,
        unasked: Unasked { numbers: vec!["112".into()], internal_digits: 4 },
        consent_header: "X-Recording-Consent".into(),
        external_id_header: Some("x-call".into()),
    }
}

/// A server with a client.
struct Bench {
    server: Server,
    flow: Flow,
    now: u64,
    sent: Vec<String>,
    rest: Vec<Output>,
}

impl Bench {
    fn new(send_on: SendOn, transport: Transport) -> Self {
        let (local, peer) = ("192.0.2.1:5070".parse().unwrap(), "192.0.2.7:5060".parse().unwrap());
        let server = Server::new(settings(send_on), at(0));
        Self { server, flow: Flow { transport, link: 1, local, peer }, now: 0, sent: vec![], rest: vec![] }
    }

    fn take(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send(_, bytes) => self.sent.push(String::from_utf8(bytes).unwrap()),
                other => self.rest.push(other),
            }
        }
    }

    fn hear(&mut self, text: &str) -> Vec<String> {
        let message = parse(text.as_bytes(), Framing::Datagram);
        let bytes = text.len();
        self.input(Input::Received { flow: self.flow, message, bytes, at: WallTime::default() });
        std::mem::take(&mut self.sent)
    }

    fn input(&mut self, input: Input) {
        let mut out = Vec::new();
        self.server.handle(at(self.now), input, &mut out);
        self.take(out);
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now + ms;
        while let Some(next) = self.server.next_timeout().filter(|next| *next <= at(until)) {
            let mut out = Vec::new();
            self.server.handle_timeout(next, &mut out);
            self.take(out);
        }
        self.now = until;
    }

    fn request(&self, method: &str, number: u32, to: &str, extra: &str, body: &str) -> String {
        let transport = self.flow.transport.name();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:ask@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/{transport} 192.0.2.7;branch=z9hG4bK{method}{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+4511223344@192.0.2.7>;tag=caller\r\nTo: {to}\r\nCall-ID: call-1\r\n\
             CSeq: {number} {method}\r\nContact: <sip:caller@192.0.2.7:5060>\r\n{extra}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn invite(&self, called: &str, extra: &str) -> String {
        self.request("INVITE", 1, &format!("<sip:{called}@192.0.2.1>"), extra, SDP)
    }

    /// The leg that is to be opened is open.
    fn opens(&mut self) -> u64 {
        let id = self.rest.iter().find_map(|output| match output {
            Output::Open(id, leg) => {
                assert_eq!((leg.to, leg.payload_type), ("192.0.2.7:30000".parse().unwrap(), 0));
                Some(*id)
            }
            _ => None,
        });
        let id = id.expect("a leg is opened");
        self.input(Input::Opened(id, Some("192.0.2.1:20000".parse().unwrap())));
        id
    }

    fn outcomes(&mut self) -> Vec<Outcome> {
        let ended = |output: &Output| match output {
            Output::Ended(outcome, _) => Some(*outcome),
            _ => None,
        };
        self.rest.iter().filter_map(ended).collect()
    }

    /// The question is heard, the key pressed, the answer kept.
    fn answers(&mut self, id: u64, key: char) {
        self.input(Input::Media(id, AnnounceEvent::Heard));
        assert!(self.rest.iter().any(|o| matches!(o, Output::Play(_, 1, version) if version == "7-da")));
        self.wait(2_000);
        self.input(Input::Media(id, AnnounceEvent::Played { clip: 1 }));
        self.wait(500);
        let press = KeyPress {
            key,
            at: at(self.now),
            timestamp: 9,
            ssrc: 5,
            source: None,
            by: KeySource::Event,
            negotiated: true,
        };
        self.input(Input::Media(id, AnnounceEvent::Key(press)));
        self.input(Input::Kept(id, 1, true));
    }

    fn kept(&self) -> Vec<(String, Answer)> {
        let keep = |output: &Output| match output {
            Output::Keep(_, _, named) => Some((named.name.reveal().clone(), named.answer.answer)),
            _ => None,
        };
        self.rest.iter().filter_map(keep).collect()
    }
}

fn to_of(answer: &str) -> String {
    answer.lines().find_map(|line| line.strip_prefix("To: ")).unwrap().to_owned()
}

#[test]
fn a_caller_is_asked_in_early_media_and_redirected_with_the_answer() {
    let mut bench = Bench::new(SendOn::Redirect, Transport::Tcp);
    let invite = bench
        .invite("70101010", "X-Call: pbx-9\r\nSession-ID: aa11;remote=00000000000000000000000000000000\r\n");
    assert_eq!(bench.hear(&invite), [""; 0]);
    let id = bench.opens();
    let [early] = &std::mem::take(&mut bench.sent)[..] else { panic!("a 183") };
    assert!(early.starts_with("SIP/2.0 183") && early.contains("m=audio 20000 RTP/AVP 0 101"), "{early}");
    assert!(early.contains("a=sendrecv") && early.contains("c=IN IP4 192.0.2.1"), "{early}");
    bench.answers(id, '1');
    let [redirect] = &std::mem::take(&mut bench.sent)[..] else { panic!("a 302") };
    assert!(redirect.starts_with("SIP/2.0 302"), "{redirect}");
    assert!(redirect.contains("X-Recording-Consent: yes;prompt=7-da\r\n"), "{redirect}");
    let contact = "Contact: <sip:70101010@192.0.2.50?X-Recording-Consent=yes%3Bprompt%3D7-da>\r\n";
    assert!(redirect.contains(contact), "{redirect}");
    assert_eq!(bench.kept(), [("call-1;remote=aa11;remote=pbx-9".to_owned(), Answer::Yes)]);
    assert_eq!((bench.outcomes(), bench.server.asks()), (vec![Outcome::Yes], 0));
    assert!(bench.rest.iter().any(|output| matches!(output, Output::Close(_))));
}

#[test]
fn a_caller_is_asked_in_an_answered_call_and_sent_on_by_refer() {
    let mut bench = Bench::new(SendOn::Refer, Transport::Tcp);
    let invite = bench.invite("70101010", "Allow: INVITE, ACK, BYE, REFER, NOTIFY\r\n");
    bench.hear(&invite);
    let id = bench.opens();
    let [answer] = &std::mem::take(&mut bench.sent)[..] else { panic!("a 200") };
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    let to = to_of(answer);
    let ack = bench.request("ACK", 1, &to, "", "");
    bench.hear(&ack);
    bench.answers(id, '2');
    let [refer] = &std::mem::take(&mut bench.sent)[..] else { panic!("a REFER") };
    assert!(refer.starts_with("REFER sip:caller@192.0.2.7:5060"), "{refer}");
    assert!(
        refer.contains("Refer-To: <sip:70101010@192.0.2.50?X-Recording-Consent=no%3Bprompt%3D7-da>"),
        "{refer}"
    );
    let via = refer.lines().find(|line| line.starts_with("Via")).unwrap();
    bench.hear(&format!("SIP/2.0 202 Accepted\r\n{via}\r\nCSeq: 1 REFER\r\nCall-ID: call-1\r\n\r\n"));
    assert_eq!(bench.outcomes(), []);
    let notify = |number: u32, body: &str| {
        bench
            .request("NOTIFY", number, &to, "Event: refer\r\n", body)
            .replace("application/sdp", "message/sipfrag")
    };
    let (ringing, taken) = (notify(2, "SIP/2.0 180 Ringing\r\n"), notify(3, "SIP/2.0 200 OK\r\n"));
    assert!(bench.hear(&ringing)[0].starts_with("SIP/2.0 200"));
    let sent = bench.hear(&taken);
    assert!(sent[0].starts_with("SIP/2.0 200") && sent[1].starts_with("BYE "), "{sent:?}");
    assert_eq!((bench.outcomes(), bench.server.asks()), (vec![Outcome::No], 0));
}

#[test]
fn without_refer_in_its_allow_a_caller_is_asked_before_the_answer() {
    let mut bench = Bench::new(SendOn::Refer, Transport::Tcp);
    let invite = bench.invite("70101010", "Allow: INVITE, ACK, BYE\r\n");
    bench.hear(&invite);
    bench.opens();
    assert!(bench.sent[0].starts_with("SIP/2.0 183"));
}

#[test]
fn a_refused_refer_is_counted_and_takes_a_yes_back() {
    let mut bench = Bench::new(SendOn::Refer, Transport::Tcp);
    let invite = bench.invite("70101010", "Allow: REFER\r\n");
    bench.hear(&invite);
    let id = bench.opens();
    let to = to_of(&std::mem::take(&mut bench.sent)[0]);
    let ack = bench.request("ACK", 1, &to, "", "");
    bench.hear(&ack);
    bench.answers(id, '1');
    let refer = std::mem::take(&mut bench.sent).remove(0);
    let via = refer.lines().find(|line| line.starts_with("Via")).unwrap();
    let sent =
        bench.hear(&format!("SIP/2.0 603 Decline\r\n{via}\r\nCSeq: 1 REFER\r\nCall-ID: call-1\r\n\r\n"));
    assert!(sent[0].starts_with("BYE "), "{sent:?}");
    assert_eq!(bench.outcomes(), [Outcome::SendFailed]);
    assert_eq!(bench.kept().last().map(|(_, answer)| *answer), Some(Answer::No));
}

#[test]
fn who_is_not_asked_is_sent_on_at_once_and_who_cannot_be_asked_gets_503() {
    for (called, extra, outcome) in [
        ("70202020", "", Outcome::NotSelected),
        ("12345678", "", Outcome::NotSelected),
        ("112", "", Outcome::NotSelected),
        ("70101010", "Priority: emergency\r\n", Outcome::NotAsked),
        ("70101010", "Require: 100rel\r\n", Outcome::NoMedia),
    ] {
        let mut bench = Bench::new(SendOn::Redirect, Transport::Tcp);
        let invite = bench.invite(called, extra);
        let sent = bench.hear(&invite);
        assert!(sent[0].starts_with("SIP/2.0 302"), "{called} {extra}: {sent:?}");
        assert!(!sent[0].contains("Consent"), "nobody answered: {sent:?}");
        assert_eq!((bench.outcomes(), bench.server.asks()), (vec![outcome], 0), "{called} {extra}");
    }
    let mut bench = Bench::new(SendOn::Redirect, Transport::Tcp);
    let internal = bench.invite("70101010", "").replace("+4511223344", "4711");
    assert!(bench.hear(&internal)[0].starts_with("SIP/2.0 302"));
    assert_eq!(bench.outcomes(), [Outcome::NotAsked]);
    let mut bench = Bench::new(SendOn::Redirect, Transport::Tcp);
    let anonymous =
        bench.invite("70101010", "").replace("+4511223344@192.0.2.7", "anonymous@anonymous.invalid");
    bench.hear(&anonymous);
    bench.opens();
    bench.sent.clear();
    // As many as may be.
    let another = |n: u32| bench_invite(n);
    assert_eq!(bench.hear(&another(2)), [""; 0]);
    let sent = bench.hear(&another(3));
    assert!(sent[0].starts_with("SIP/2.0 503"), "{sent:?}");
    assert_eq!(bench.outcomes(), [Outcome::Busy]);
    let options = bench.request("OPTIONS", 9, "<sip:192.0.2.1>", "", "");
    assert!(bench.hear(&options)[0].starts_with("SIP/2.0 503"));
}

fn bench_invite(n: u32) -> String {
    let bench = Bench::new(SendOn::Redirect, Transport::Tcp);
    let invite = bench.invite("70101010", "");
    invite.replace("Call-ID: call-1", &format!("Call-ID: call-{n}")).replace("INVITE1", &format!("INVITE{n}"))
}

#[test]
fn a_caller_who_hangs_up_in_the_question_ends_it() {
    let mut bench = Bench::new(SendOn::Redirect, Transport::Tcp);
    let invite = bench.invite("70101010", "");
    bench.hear(&invite);
    let id = bench.opens();
    bench.input(Input::Media(id, AnnounceEvent::Heard));
    bench.sent.clear();
    let cancel = bench.request("CANCEL", 1, "<sip:70101010@192.0.2.1>", "", "").replace("CANCEL1", "INVITE1");
    let sent = bench.hear(&cancel);
    assert!(sent[0].starts_with("SIP/2.0 200") && sent[1].starts_with("SIP/2.0 487"), "{sent:?}");
    assert_eq!((bench.outcomes(), bench.kept().len()), (vec![Outcome::CallerGone], 0));
}

#[test]
fn ports_that_are_used_up_and_a_stop_send_calls_on() {
    let mut bench = Bench::new(SendOn::Redirect, Transport::Tcp);
    let invite = bench.invite("70101010", "");
    bench.hear(&invite);
    bench.input(Input::Opened(1 + 1, None));
    bench.wait(1_100);
    assert!(bench.sent.iter().any(|text| text.starts_with("SIP/2.0 302")), "{:?}", bench.sent);
    assert_eq!(bench.outcomes(), [Outcome::MediaFailed]);
    let mut bench = Bench::new(SendOn::Redirect, Transport::Tcp);
    bench.hear(&invite);
    let id = bench.opens();
    bench.input(Input::Media(id, AnnounceEvent::Heard));
    bench.input(Input::Stop);
    bench.wait(600);
    assert!(bench.sent.last().unwrap().starts_with("SIP/2.0 302"), "{:?}", bench.sent);
    assert_eq!((bench.outcomes(), bench.server.asks()), (vec![Outcome::Stopping], 0));
    bench.sent.clear();
    assert!(bench.hear(&bench_invite(5))[0].starts_with("SIP/2.0 503"));
}

#[test]
fn invariant_13_an_unproved_udp_peer_gets_no_media_and_nothing_larger_than_it_sent() {
    let mut bench = Bench::new(SendOn::Redirect, Transport::Udp);
    let invite = bench.invite("70101010", "");
    bench.hear(&invite);
    bench.opens();
    let sent = std::mem::take(&mut bench.sent);
    assert!(sent.iter().all(|text| !text.contains("183")), "{sent:?}");
    let probe = sent.iter().find(|text| text.starts_with("OPTIONS ")).expect("a probe");
    assert!(sent.iter().map(String::len).sum::<usize>() <= invite.len(), "{sent:?}");
    // Nobody answers: the call goes on, and no media was sent.
    bench.wait(3_000);
    let later = std::mem::take(&mut bench.sent);
    assert!(later.iter().any(|text| text.starts_with("SIP/2.0 302")), "{later:?}");
    assert!(!bench.rest.iter().any(|output| matches!(output, Output::Play(..))));
    let _ = probe;
    // Whoever answers the probe receives.
    let mut bench = Bench::new(SendOn::Redirect, Transport::Udp);
    bench.hear(&invite);
    bench.opens();
    let probe = bench.sent.iter().find(|text| text.starts_with("OPTIONS ")).unwrap().clone();
    let line = |name: &str| probe.lines().find(|line| line.starts_with(name)).unwrap();
    bench.sent.clear();
    let answer =
        format!("SIP/2.0 404 No\r\n{}\r\n{}\r\n{}\r\n\r\n", line("Via"), line("CSeq"), line("Call-ID"));
    let sent = bench.hear(&answer);
    assert!(sent[0].starts_with("SIP/2.0 183"), "{sent:?}");
    // And so does whoever acknowledges a refusal: it knows our tag.
    let mut bench = Bench::new(SendOn::Redirect, Transport::Udp);
    let elsewhere = bench.invite("12345678", "");
    let refusal = bench.hear(&elsewhere).remove(0);
    let ack = bench.request("ACK", 1, &to_of(&refusal), "", "").replace("ACK1", "INVITE1");
    bench.hear(&ack);
    bench.hear(&bench_invite(2).replace("SIP/2.0/TCP", "SIP/2.0/UDP"));
    bench.opens();
    assert!(bench.sent.iter().any(|text| text.starts_with("SIP/2.0 183")), "{:?}", bench.sent);
}
