//! Streams that are taken only after consent: inactive at first, then a re-INVITE of ours.

use std::time::Duration;

use optag_core::call::{Answer, ConsentHow, ConsentState, Evidence};
use optag_sip::feed::Control;
use optag_sip::siprec::server::Input;
use optag_sip::siprec::session::snapshot::SessionSnapshot;
use optag_sip::siprec::settings::UntilConsent;

use crate::sip_src::{Dialog, SDP, SIPREC, Src, code, header, media};

const UPDATES: &str = "Allow: INVITE, ACK, BYE, UPDATE\r\n";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A session whose streams wait, and its dialog.
fn waiting(headers: &str) -> (Src, Dialog) {
    let mut src = Src::with(|config| config.until_consent = UntilConsent::Inactive);
    let (answer, dialog) = src.invite(&format!("{SIPREC}{headers}"), SDP);
    assert!(
        media(&answer).iter().all(|m| m.contains("a=inactive") && !m.starts_with("m=audio 0 ")),
        "{answer}"
    );
    assert_eq!(src.controls(), ["pause"], "it must not end for want of packets");
    (src, dialog)
}

/// The caller says yes, to the API; what the server sends.
fn yes(src: &mut Src) -> Vec<String> {
    let call = src.call().view.id;
    let answer = Control::Answer {
        answer: Answer::Yes,
        how: ConsentHow::System,
        prompt_version: None,
        evidence: Evidence::Actor { name: "ivr".into(), staff: None },
    };
    src.feed.apply(call, answer).unwrap();
    let id = src.server.session_of(call).unwrap();
    src.play(Input::Consent(id, ConsentState::Granted))
}

/// The client's answer to a request of the server.
fn reply(src: &mut Src, request: &str, status: &str, more: &str, body: &str) -> Vec<String> {
    let field = |name: &str| header(request, name).unwrap();
    let text = format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {}\r\n{more}Content-Length: {}\r\n\r\n{body}",
        field("Via"),
        field("From"),
        field("To"),
        field("Call-ID"),
        field("CSeq"),
        body.len()
    );
    src.raw(text.as_bytes())
}

#[test]
fn streams_are_asked_for_after_the_yes_and_the_call_goes_on() {
    let (mut src, mut dialog) = waiting("");
    let sent = yes(&mut src);
    assert_eq!(sent.len(), 1);
    let invite = &sent[0];
    assert!(invite.starts_with("INVITE sip:src@127.0.0.1:5070 SIP/2.0\r\n"), "{invite}");
    assert!(media(invite).iter().all(|m| m.contains("a=recvonly")), "{invite}");
    assert!(invite.contains("a=label:1\r\n") && invite.contains("a=label:2\r\n"));
    let sent = reply(&mut src, invite, "200 OK", "Contact: <sip:new@127.0.0.1:5071>\r\n", SDP);
    let ack = &sent[0];
    assert!(
        ack.starts_with("ACK sip:new@127.0.0.1:5071 SIP/2.0\r\n"),
        "its Contact is the new target: {ack}"
    );
    assert_eq!(header(ack, "CSeq").unwrap(), header(invite, "CSeq").unwrap().replace("INVITE", "ACK"));
    assert_ne!(header(ack, "Via"), header(invite, "Via"), "a transaction of its own");
    assert_eq!(src.controls(), ["pause", "answer", "resume"]);
    // The answer again: its ACK was lost.
    assert_eq!(&reply(&mut src, invite, "200 OK", "", SDP), std::slice::from_ref(ack));
    // From now on its offers are answered as wanted, and version numbers go on.
    let answer = src.ask(&mut dialog, "INVITE", "", SDP);
    assert!(media(&answer).iter().all(|m| m.contains("a=recvonly")), "{answer}");
    assert_eq!(src.server.stats().taking_done, 1);
}

#[test]
fn a_yes_that_came_with_the_invite_needs_no_second_one() {
    let mut src = Src::with(|config| config.until_consent = UntilConsent::Inactive);
    let (answer, _) = src.invite(&format!("{SIPREC}X-Recording-Consent: yes\r\n"), SDP);
    assert!(media(&answer).iter().all(|m| m.contains("a=recvonly")), "{answer}");
    assert_eq!(src.controls(), ["answer"]);
    assert!(src.wait(ms(40_000)).is_empty());
}

#[test]
fn a_no_leaves_the_streams_as_they_are() {
    let (mut src, mut dialog) = waiting("");
    let id = src.server.session_of(src.call().view.id).unwrap();
    assert!(src.play(Input::Consent(id, ConsentState::Refused)).is_empty());
    let answer = src.ask(&mut dialog, "INVITE", "", SDP);
    assert!(media(&answer).iter().all(|m| m.contains("a=inactive")), "{answer}");
}

#[test]
fn a_yes_before_the_ack_waits_for_it() {
    let mut src = Src::with(|config| config.until_consent = UntilConsent::Inactive);
    let mut dialog = Dialog { call_id: "x".into(), to: "<sip:srs@h>".into(), cseq: 0 };
    let answer = src.ask(&mut dialog, "INVITE", SIPREC, SDP);
    dialog.to = header(&answer, "To").unwrap();
    assert!(yes(&mut src).is_empty());
    let ack = src.request(&mut dialog, "ACK", "", "");
    let sent = src.raw(ack.as_bytes());
    assert!(sent[0].starts_with("INVITE "), "{sent:?}");
}

#[test]
fn both_sides_at_once_wait_a_random_while_and_the_server_asks_again() {
    let (mut src, mut dialog) = waiting("");
    let first = yes(&mut src).remove(0);
    // While ours is under way, the client's is answered 491, and it answers ours so.
    let theirs = src.ask(&mut dialog, "INVITE", "", SDP);
    assert_eq!(code(&theirs), 491);
    src.ask(&mut dialog, "ACK", "", "");
    let sent = reply(&mut src, &first, "491 Request Pending", "", "");
    assert!(sent[0].starts_with("ACK "));
    assert_eq!(header(&sent[0], "Via"), header(&first, "Via"), "the ACK of a refusal is of its transaction");
    let sent = src.wait(ms(2_000));
    let sent: Vec<String> = sent.into_iter().filter(|text| text.starts_with("INVITE ")).collect();
    assert!(!sent.is_empty(), "between 0 and 2 s");
    assert!(sent.iter().all(|text| *text == sent[0]), "repeated as long as nothing is heard");
    let number =
        |text: &str| header(text, "CSeq").unwrap().split(' ').next().unwrap().parse::<u32>().unwrap();
    assert_eq!(number(&sent[0]), number(&first) + 1);
    reply(&mut src, &sent[0], "200 OK", "", SDP);
    assert_eq!(src.controls(), ["pause", "answer", "resume"]);
}

#[test]
fn a_client_that_takes_no_re_invite_is_asked_by_update() {
    let (mut src, _) = waiting(UPDATES);
    let invite = yes(&mut src).remove(0);
    let sent = reply(&mut src, &invite, "488 Not Acceptable Here", "", "");
    assert!(sent[0].starts_with("ACK ") && sent[1].starts_with("UPDATE "), "{sent:?}");
    assert!(media(&sent[1]).iter().all(|m| m.contains("a=recvonly")));
    reply(&mut src, &sent[1], "200 OK", "", SDP);
    assert_eq!(src.controls(), ["pause", "answer", "resume"]);
}

#[test]
fn a_client_that_refuses_altogether_gets_its_streams_taken_with_its_own_next_offer() {
    let (mut src, mut dialog) = waiting("");
    let invite = yes(&mut src).remove(0);
    reply(&mut src, &invite, "501 Not Implemented", "", "");
    assert!(src.wait(ms(40_000)).is_empty(), "it is not asked for ever");
    // Not paused any more: without packets, the call ends with that as its outcome.
    assert_eq!(src.controls(), ["pause", "answer", "resume"]);
    let answer = src.ask(&mut dialog, "INVITE", "", SDP);
    assert!(media(&answer).iter().all(|m| m.contains("a=recvonly")), "{answer}");
    assert_eq!(src.server.stats().taking_failed, 1);
}

#[test]
fn a_client_that_is_busy_is_asked_again_when_it_said_and_not_without_end() {
    let (mut src, _) = waiting("");
    let mut invite = yes(&mut src).remove(0);
    let mut asked = 1;
    loop {
        reply(&mut src, &invite, "503 Service Unavailable", "Retry-After: 5\r\n", "");
        assert!(src.wait(ms(4_900)).is_empty());
        match src.wait(ms(200)).pop() {
            Some(again) => invite = again,
            None => break,
        }
        asked += 1;
    }
    assert_eq!(asked, 8);
}

#[test]
fn a_dialog_that_is_gone_or_a_client_that_is_silent_ends_the_session() {
    let (mut src, _) = waiting("");
    let invite = yes(&mut src).remove(0);
    reply(&mut src, &invite, "481 Call Does Not Exist", "", "");
    assert_eq!(src.controls().last(), Some(&"end"));
    let (mut src, _) = waiting("");
    yes(&mut src);
    let sent = src.wait(ms(33_000));
    let invites = sent.iter().filter(|text| text.starts_with("INVITE ")).count();
    assert_eq!(invites, 6, "repeated after 0.5, 1, 2, 4, 8 and 16 s");
    assert!(sent.iter().any(|text| text.starts_with("BYE ")), "{sent:?}");
    assert_eq!(src.controls().last(), Some(&"end"));
}

#[test]
fn an_offer_of_the_client_after_the_yes_takes_the_streams_as_well() {
    let (mut src, mut dialog) = waiting("");
    let invite = yes(&mut src).remove(0);
    reply(&mut src, &invite, "491 Request Pending", "", "");
    let answer = src.ask(&mut dialog, "INVITE", "", SDP);
    assert!(media(&answer).iter().all(|m| m.contains("a=recvonly")), "{answer}");
    src.ask(&mut dialog, "ACK", "", "");
    assert!(src.wait(ms(5_000)).is_empty(), "there is nothing left to ask for");
    assert_eq!(src.controls(), ["pause", "answer", "resume"]);
}

#[test]
fn a_hold_of_the_client_outlasts_the_waiting_for_consent() {
    let (mut src, mut dialog) = waiting("");
    src.ask(&mut dialog, "INVITE", "", &SDP.replace("sendonly", "inactive"));
    src.ask(&mut dialog, "ACK", "", "");
    let invite = yes(&mut src).remove(0);
    reply(&mut src, &invite, "200 OK", "", &SDP.replace("sendonly", "inactive"));
    assert_eq!(src.controls(), ["pause", "answer"], "still on hold");
    src.ask(&mut dialog, "INVITE", "", SDP);
    assert_eq!(src.controls(), ["pause", "answer", "resume"]);
}

#[test]
fn after_a_restart_the_streams_are_asked_for_once_the_client_has_been_heard_from() {
    let (mut old, dialog) = waiting("");
    let texts: Vec<String> = old.server.save().iter().map(SessionSnapshot::to_text).collect();
    for offers in [true, false] {
        let mut new = Src::with(|config| config.until_consent = UntilConsent::Inactive);
        let mut dialog = Dialog { call_id: dialog.call_id.clone(), to: dialog.to.clone(), cseq: dialog.cseq };
        for text in &texts {
            new.server.resume(new.now, SessionSnapshot::from_text(text).unwrap(), None);
        }
        new.feed = std::mem::take(&mut old.feed);
        assert_eq!(yes(&mut new), Vec::<String>::new(), "no flow to the client yet");
        if offers {
            let answer = new.ask(&mut dialog, "INVITE", "", SDP);
            assert_eq!(code(&answer), 200, "no offer of ours is under way: {answer}");
            assert!(media(&answer).iter().all(|m| m.contains("a=recvonly")), "{answer}");
        } else {
            assert_eq!(code(&new.ask(&mut dialog, "UPDATE", "", "")), 200);
            let sent = new.wait(ms(0));
            assert!(sent.iter().any(|sent| sent.starts_with("INVITE ")), "{sent:?}");
        }
        old.feed = std::mem::take(&mut new.feed);
    }
}
