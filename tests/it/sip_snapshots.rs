//! Metadata that is asked for anew: after a restart, and after a document that says too little.

use std::time::Duration;

use optag_sip::sip::flow::{Flow, Transport};
use optag_sip::siprec::session::snapshot::SessionSnapshot;

use crate::sip_src::{Dialog, SDP, SIPREC, Src, code, header, with_metadata};

const ALLOW: &str = "Allow: INVITE, ACK, BYE, UPDATE\r\n";
const WHOLE: &str = "<recording><datamode>complete</datamode><participant participant_id='a'><nameID aor='sip:88888888@h'/></participant>\
    <participant participant_id='b'><nameID aor='sip:70102030@h'/></participant></recording>";

/// The request of RFC 7865 §7.
const DOCUMENT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<requestsnapshot xmlns='urn:ietf:params:xml:ns:recording:1'>\r\n\
    <requestreason xml:lang=\"en\">Metadata incomplete</requestreason>\r\n</requestsnapshot>\r\n";

fn call(fields: &str) -> (Src, Dialog) {
    let mut src = Src::new();
    let fields = format!("{SIPREC}{fields}X-Recording-Consent: yes\r\n");
    let (_, dialog) = src.invite(&fields, &with_metadata(SDP, WHOLE));
    assert!(src.call().is_open() && src.wait(Duration::from_secs(1)).is_empty(), "nothing to ask for");
    (src, dialog)
}

fn update(src: &mut Src, dialog: &mut Dialog, xml: &str) {
    let kind = "Content-Type: application/rs-metadata+xml\r\n";
    assert_eq!(code(&src.ask(dialog, "UPDATE", kind, xml)), 200);
}

/// The client's answer to a request of the server.
fn reply(src: &mut Src, request: &str, status: &str) {
    let fields: String = ["Via", "From", "To", "Call-ID", "CSeq"]
        .map(|name| format!("{name}: {}\r\n", header(request, name).unwrap()))
        .concat();
    src.raw(format!("SIP/2.0 {status}\r\n{fields}Content-Length: 0\r\n\r\n").as_bytes());
}

/// The questions among what was sent within a time.
fn asked(src: &mut Src, seconds: u64) -> Vec<String> {
    let sent = src.wait(Duration::from_secs(seconds));
    let question = |text: &String| text.starts_with("UPDATE ") && text.contains("\r\nContent-Type: ");
    sent.into_iter().filter(question).collect()
}

/// Media type and body of a question.
fn form(question: &str) -> (String, &str) {
    (header(question, "Content-Type").unwrap(), question.split_once("\r\n\r\n").unwrap().1)
}

#[test]
fn a_document_that_cannot_be_understood_is_asked_for_anew_and_its_answer_goes_on() {
    let stranger = "<recording><datamode>partial</datamode><participantstreamassoc participant_id='z'><send>s9</send></participantstreamassoc></recording>";
    for (broken, open) in
        [("no xml", false), ("<recording><datamode>partial</datamode><partic", false), (stranger, true)]
    {
        let (mut src, mut dialog) = call(ALLOW);
        update(&mut src, &mut dialog, broken);
        assert_eq!(src.call().is_open(), open, "{broken}");
        let [question] = &asked(&mut src, 0)[..] else { panic!("one question: {broken}") };
        assert!(question.starts_with("UPDATE sip:src@127.0.0.1:5070 SIP/2.0\r\n"), "{question}");
        assert!(question.contains("\r\nContent-Disposition: recording-session\r\n"), "{question}");
        assert!(!question.contains("v=0"), "no session description: {question}");
        assert_eq!(form(question), ("application/rs-metadata+xml".into(), DOCUMENT));
        reply(&mut src, question, "200 OK");
        update(&mut src, &mut dialog, WHOLE);
        assert!(src.call().is_open(), "{broken}");
        assert_eq!(asked(&mut src, 120).len(), 0, "nothing more to ask for");
    }
}

#[test]
fn a_client_that_never_sends_it_is_asked_a_few_times_and_stays_paused() {
    let (mut src, mut dialog) = call(ALLOW);
    let mut questions = std::collections::BTreeSet::new();
    for _ in 0..30 {
        update(&mut src, &mut dialog, "no xml");
        for question in asked(&mut src, 5) {
            // Over UDP a question is repeated until it is answered.
            questions.insert(header(&question, "CSeq"));
            reply(&mut src, &question, "200 OK");
        }
    }
    assert_eq!((questions.len(), src.server.stats().snapshots_asked), (4, 4));
    assert!(!src.call().is_open());
}

#[test]
fn a_client_that_refuses_or_cannot_be_asked_is_not_asked_again() {
    for refusal in ["405 Method Not Allowed", "488 Not Acceptable Here", "481 No Such Call"] {
        let (mut src, mut dialog) = call(ALLOW);
        update(&mut src, &mut dialog, "no xml");
        let question = asked(&mut src, 0).remove(0);
        reply(&mut src, &question, refusal);
        assert_eq!((asked(&mut src, 100).len(), src.server.stats().snapshots_refused), (0, 1));
        assert_eq!(src.server.open_sessions(), 1, "the session is none the worse");
    }
    let (mut src, mut dialog) = call("");
    update(&mut src, &mut dialog, "no xml");
    assert_eq!(asked(&mut src, 100).len(), 0, "it does not allow UPDATE");
}

#[test]
fn the_question_has_a_type_that_the_client_takes_and_415_tries_the_others() {
    let (corrected, uncorrected, draft) =
        ("application/rs-metadata+xml", "application/rs-metadata", "application/rs-metadata-request");
    for (accept, own, types) in [
        ("", corrected, [corrected, uncorrected, draft]),
        ("", uncorrected, [uncorrected, draft, corrected]),
        ("Accept: application/sdp, application/rs-metadata\r\n", corrected, [uncorrected, draft, corrected]),
        (
            "Accept: application/sdp, application/rs-metadata, application/rs-metadata-request\r\n",
            corrected,
            [uncorrected, draft, corrected],
        ),
        (
            "Accept: application/sdp, application/rs-metadata-request\r\n",
            corrected,
            [draft, corrected, uncorrected],
        ),
    ] {
        let mut src = Src::new();
        let fields = format!("{SIPREC}{ALLOW}{accept}X-Recording-Consent: yes\r\n");
        let (_, mut dialog) = src.invite(&fields, &with_metadata(SDP, WHOLE).replace(corrected, own));
        assert!(src.wait(Duration::from_secs(1)).is_empty(), "nothing to ask for");
        update(&mut src, &mut dialog, "no xml");
        for (at, kind) in types.into_iter().enumerate() {
            let [question] = &asked(&mut src, 0)[..] else { panic!("question {at}: {accept}{own}") };
            let body = if kind == draft { "Metadata incomplete\r\n" } else { DOCUMENT };
            assert_eq!(form(question), (kind.to_owned(), body), "{accept}{own}");
            assert_eq!(src.server.stats().snapshots_refused, 0);
            reply(&mut src, question, "415 Unsupported Media Type");
        }
        assert_eq!((asked(&mut src, 100).len(), src.server.stats().snapshots_refused), (0, 1));
    }
}

#[test]
fn after_a_restart_the_metadata_is_asked_for_once_the_client_can_be_reached() {
    let (mut old, mut dialog) = call(ALLOW);
    let texts: Vec<String> = old.server.save().iter().map(SessionSnapshot::to_text).collect();
    for reached in [true, false] {
        let mut new = Src::new();
        let flow = Flow {
            transport: Transport::Udp,
            link: 1,
            local: "127.0.0.1:5060".parse().unwrap(),
            peer: "127.0.0.1:5070".parse().unwrap(),
        };
        for text in &texts {
            new.server.resume(new.now, SessionSnapshot::from_text(text).unwrap(), reached.then_some(flow));
        }
        new.feed = std::mem::take(&mut old.feed);
        if !reached {
            assert_eq!(asked(&mut new, 60).len(), 0, "there is no way to it yet");
            assert_eq!(code(&new.ask(&mut dialog, "UPDATE", "", "")), 200);
        }
        assert_eq!(asked(&mut new, 0).len(), 1, "{reached}");
        old.feed = std::mem::take(&mut new.feed);
    }
}
