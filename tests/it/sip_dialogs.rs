//! Dialogs over their whole life: repetitions, cancellation, timers, draining, resuming.

use std::time::Duration;

use optag_core::private::Private;
use optag_sip::feed::{AdmitError, Control};
use optag_sip::sip::digest::{Algorithm, Credentials};
use optag_sip::sip::flow::Transport;
use optag_sip::siprec::server::Input;
use optag_sip::siprec::session::snapshot::SessionSnapshot;
use optag_sip::siprec::settings::WhenUnavailable;

use crate::sip_src::{Dialog, SDP, SIPREC, Src, code, header, media};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn fresh(call_id: &str) -> Dialog {
    Dialog { call_id: call_id.into(), to: "<sip:srs@127.0.0.1>".into(), cseq: 0 }
}

#[test]
fn a_session_from_invite_to_bye_ends_its_call_once() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let mut src = Src::new();
        src.transport = transport;
        let (answer, mut dialog) = src.invite(SIPREC, SDP);
        assert_eq!(header(&answer, "Contact").unwrap().split('>').nth(1), Some(";+sip.srs"));
        let bye = src.request(&mut dialog, "BYE", "", "");
        assert_eq!(code(&src.raw(bye.as_bytes())[0]), 200);
        src.raw(bye.as_bytes());
        assert_eq!(src.controls(), ["end"]);
        assert_eq!(src.server.open_sessions(), 0);
        assert!(src.wait(secs(100)).is_empty());
    }
}

#[test]
fn a_repeated_invite_makes_one_call_and_gets_the_same_answer() {
    let mut src = Src::new();
    let invite = src.request(&mut fresh("a"), "INVITE", SIPREC, SDP);
    let first = src.raw(invite.as_bytes());
    assert_eq!(first.iter().map(|m| code(m)).collect::<Vec<_>>(), [100, 200]);
    assert_eq!(src.raw(invite.as_bytes()), [first[1].clone()]);
    assert_eq!(src.feed.seen().len(), 1);
}

#[test]
fn a_lost_ack_repeats_the_answer_and_at_last_ends_the_session() {
    let mut src = Src::new();
    let invite = src.request(&mut fresh("a"), "INVITE", SIPREC, SDP);
    src.raw(invite.as_bytes());
    let sent = src.wait(secs(31));
    assert!(sent.len() >= 9 && sent.iter().all(|m| code(m) == 200));
    let last = src.wait(secs(2));
    assert!(last.iter().any(|m| m.starts_with("BYE sip:src@127.0.0.1:5070 SIP/2.0\r\n")), "{last:?}");
    assert_eq!(src.controls(), ["end"]);
    assert_eq!(src.server.stats().unacknowledged, 1);
}

#[test]
fn a_cancelled_invite_ends_the_call_that_was_already_on_its_way() {
    let mut src = Src::new();
    src.held = Some(Vec::new());
    let mut dialog = fresh("a");
    let invite = src.request(&mut dialog, "INVITE", SIPREC, SDP);
    assert_eq!(src.raw(invite.as_bytes()).iter().map(|m| code(m)).collect::<Vec<_>>(), [100]);
    let branch = header(&invite, "Via").unwrap();
    let cancel = src.request(&mut dialog, "CANCEL", "", "");
    let own = header(&cancel, "Via").unwrap();
    let answers = src.raw(cancel.replace(&own, &branch).as_bytes());
    assert_eq!(answers.iter().map(|m| code(m)).collect::<Vec<_>>(), [200, 487]);
    for admitted in src.held.take().unwrap() {
        assert!(src.play(admitted).is_empty());
    }
    assert_eq!(src.controls(), ["end"]);
    assert_eq!(src.server.open_sessions(), 0);
}

#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    let mut src = Src::new();
    let mut dialog = fresh("a");
    let invite = src.request(&mut dialog, "INVITE", SIPREC, SDP);
    src.raw(invite.as_bytes());
    let cancel = src.request(&mut dialog, "CANCEL", "", "");
    let own = header(&cancel, "Via").unwrap();
    let answers = src.raw(cancel.replace(&own, &header(&invite, "Via").unwrap()).as_bytes());
    assert_eq!(answers.iter().map(|m| code(m)).collect::<Vec<_>>(), [200]);
    assert!(src.controls().is_empty());
    let stray = src.ask(&mut fresh("b"), "CANCEL", "", "");
    assert_eq!(code(&stray), 481);
}

#[test]
fn t14_refreshes_are_answered_and_their_absence_ends_the_session() {
    let mut src = Src::new();
    let timer = format!("{SIPREC}Session-Expires: 180;refresher=uac\r\nSupported: timer\r\n");
    let (answer, mut dialog) = src.invite(&timer, SDP);
    assert_eq!(header(&answer, "Session-Expires").as_deref(), Some("180;refresher=uac"));
    assert_eq!(header(&answer, "Require").as_deref(), Some("timer"));
    for _ in 0..5 {
        assert!(src.wait(secs(90)).is_empty());
        assert_eq!(media(&src.ask(&mut dialog, "INVITE", &timer, SDP)), media(&answer));
        src.ask(&mut dialog, "ACK", "", "");
    }
    assert!(src.wait(secs(205)).is_empty(), "a late refresh is forgiven");
    let end = src.wait(secs(10));
    assert!(end[0].starts_with("BYE "));
    assert_eq!((src.controls().as_slice(), src.server.stats().timers_expired), (["end"].as_slice(), 1));
}

#[test]
fn t14_we_refresh_by_update_where_the_client_wants_us_to() {
    let mut src = Src::new();
    let timer = format!(
        "{SIPREC}Session-Expires: 200;refresher=uas\r\nAllow: INVITE, UPDATE\r\nSupported: timer\r\n"
    );
    let (answer, _) = src.invite(&timer, SDP);
    assert_eq!(header(&answer, "Session-Expires").as_deref(), Some("200;refresher=uas"));
    let sent = src.wait(secs(101));
    assert!(sent[0].starts_with("UPDATE sip:src@127.0.0.1:5070 SIP/2.0\r\n"), "{sent:?}");
    assert_eq!(header(&sent[0], "Session-Expires").as_deref(), Some("200;refresher=uac"));
}

#[test]
fn t14_reliable_provisional_answers_are_no_obstacle() {
    let mut src = Src::new();
    let (answer, mut dialog) = src.invite(&format!("{SIPREC}Require: 100rel\r\n"), SDP);
    assert_eq!(code(&answer), 200);
    assert_eq!(code(&src.ask(&mut dialog, "PRACK", "RAck: 1 1 INVITE\r\n", "")), 481);
}

#[test]
fn t15_options_tell_whether_calls_are_taken() {
    let mut src = Src::new();
    let filler = format!("User-Agent: {}\r\n", "x".repeat(400));
    let answer = src.ask(&mut fresh("o"), "OPTIONS", &filler, "");
    assert_eq!(code(&answer), 200);
    assert!(header(&answer, "Allow").unwrap().contains("UPDATE"));
    src.play(Input::Drain);
    assert_eq!(code(&src.ask(&mut fresh("o"), "OPTIONS", "", "")), 503);
}

#[test]
fn t15_a_call_that_the_engine_ends_hangs_up() {
    let mut src = Src::new();
    src.invite(SIPREC, SDP);
    let (session, _) = src.server.calls()[0];
    let sent = src.play(Input::CallEnded(session));
    assert!(sent[0].starts_with("BYE "));
    assert_eq!(src.server.open_sessions(), 0);
    let bye = sent[0].clone();
    let answer = format!("SIP/2.0 200 OK\r\nVia: {}\r\nCSeq: 1 BYE\r\n\r\n", header(&bye, "Via").unwrap());
    assert!(src.raw(answer.as_bytes()).is_empty());
    assert!(src.wait(secs(60)).is_empty(), "answered: not repeated");
}

#[test]
fn draining_lets_sessions_go_on_and_takes_no_new_calls() {
    for (when, expect) in [(WhenUnavailable::Inactive, 200), (WhenUnavailable::Refuse, 503)] {
        let mut src = Src::with(|config| config.when_unavailable = when);
        let (_, mut dialog) = src.invite(SIPREC, SDP);
        src.play(Input::Drain);
        let (answer, _) = src.invite(SIPREC, SDP);
        assert_eq!(code(&answer), expect);
        assert!(media(&answer).iter().all(|m| m.contains("a=inactive")));
        assert_eq!(src.feed.seen().len(), 1);
        assert_eq!(code(&src.ask(&mut dialog, "INVITE", SIPREC, SDP)), 200);
        src.ask(&mut dialog, "ACK", "", "");
        src.ask(&mut dialog, "BYE", "", "");
        assert_eq!(src.controls(), ["end"]);
    }
}

#[test]
fn a_feed_that_takes_no_call_is_answered_as_configured() {
    for (when, expect) in [(WhenUnavailable::Inactive, 200), (WhenUnavailable::Refuse, 503)] {
        for error in [AdmitError::PortsUsedUp, AdmitError::Overloaded("x"), AdmitError::Draining] {
            let mut src = Src::with(|config| config.when_unavailable = when);
            *src.feed.refuse.lock().unwrap() = Some(error);
            assert_eq!(code(&src.invite(SIPREC, SDP).0), expect);
        }
        let mut src = Src::with(|config| config.when_unavailable = when);
        *src.feed.refuse.lock().unwrap() = Some(AdmitError::UnknownDepartment("x".into()));
        assert_eq!(code(&src.invite(SIPREC, SDP).0), 200, "what must not be recorded is never refused");
    }
}

#[test]
fn overlapping_offers_get_491() {
    let mut src = Src::new();
    let mut dialog = fresh("a");
    let invite = src.request(&mut dialog, "INVITE", SIPREC, "");
    let answer = src.raw(invite.as_bytes()).pop().unwrap();
    dialog.to = header(&answer, "To").unwrap();
    assert_eq!(code(&src.ask(&mut dialog, "INVITE", SIPREC, SDP)), 491);
    assert_eq!(code(&src.ask(&mut dialog, "UPDATE", "", SDP)), 491);
    assert_eq!(code(&src.ask(&mut dialog, "UPDATE", "", "")), 200, "an UPDATE without an offer may pass");
}

#[test]
fn an_offer_while_the_clients_last_one_waits_for_ports_gets_500_and_a_time() {
    let mut src = Src::new();
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    let third = format!("{SDP}m=audio 40004 RTP/AVP 8\r\na=label:3\r\na=sendonly\r\n");
    src.held_controls = Some(Vec::new());
    assert_eq!(code(&src.ask(&mut dialog, "INVITE", SIPREC, &third)), 100);
    let mut times = std::collections::BTreeSet::new();
    for method in ["INVITE", "UPDATE"].repeat(20) {
        let answer = src.ask(&mut dialog, method, SIPREC, SDP);
        assert_eq!(code(&answer), 500, "{method}");
        times.insert(header(&answer, "Retry-After").unwrap().parse::<u32>().unwrap());
    }
    assert!(times.len() > 1 && times.iter().all(|time| *time <= 10), "{times:?}");
    for input in src.held_controls.take().unwrap() {
        src.play(input);
    }
    src.ask(&mut dialog, "ACK", "", "");
    assert_eq!(code(&src.ask(&mut dialog, "UPDATE", SIPREC, &third)), 200);
}

#[test]
fn a_refused_request_moves_no_target() {
    let moved = "Contact: <sip:src@127.0.0.1:5099>;+sip.src\r\n";
    for (method, fields, body, refusal) in [
        ("INVITE", "Content-Encoding: gzip\r\n", SDP, 415),
        ("UPDATE", "", "v=0\r\nnothing\r\n", 488),
        ("UPDATE", "", "", 200),
    ] {
        let mut src = Src::new();
        let (_, mut dialog) = src.invite(SIPREC, SDP);
        assert_eq!(code(&src.ask(&mut dialog, method, &format!("{moved}{fields}"), body)), refusal);
        let (session, _) = src.server.calls()[0];
        let bye = src.play(Input::CallEnded(session)).remove(0);
        let target = if refusal == 200 { "5099" } else { "5070" };
        assert!(bye.starts_with(&format!("BYE sip:src@127.0.0.1:{target} SIP/2.0")), "{bye}");
    }
}

#[test]
fn requests_out_of_order_or_outside_of_dialogs_are_told_so() {
    let mut src = Src::new();
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    dialog.cseq = 0;
    assert_eq!(code(&src.ask(&mut dialog, "UPDATE", "", "")), 500);
    let mut stray = Dialog { to: "<sip:srs@h>;tag=nobody".into(), ..dialog.clone() };
    for method in ["INVITE", "BYE", "UPDATE", "INFO", "NOTIFY", "PRACK"] {
        assert_eq!(
            code(&src.ask(&mut stray, method, &format!("X: {}\r\n", "x".repeat(100)), "")),
            481,
            "{method}"
        );
    }
    assert_eq!(src.ask(&mut stray, "ACK", "", ""), "");
    dialog.cseq = 50;
    assert_eq!(code(&src.ask(&mut dialog, "NOTIFY", "Event: x\r\n", "")), 200);
    for (method, expect) in [("REGISTER", 405), ("SUBSCRIBE", 405), ("MESSAGE", 405), ("NEWTHING", 501)] {
        assert_eq!(code(&src.ask(&mut dialog, method, &format!("X: {}\r\n", "x".repeat(200)), "")), expect);
    }
}

#[test]
fn digest_is_asked_for_once_where_it_is_configured() {
    let users = vec![("src".to_owned(), Private::new("secret".to_owned()))];
    let mut src = Src::with(|config| {
        config.credentials = Some(Credentials {
            realm: "optag".into(),
            users,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        })
    });
    let (answer, _) = src.invite(SIPREC, SDP);
    assert_eq!(code(&answer), 401);
    assert!(header(&answer, "WWW-Authenticate").unwrap().contains("algorithm=SHA-256"));
    let (again, _) = src.invite(&format!("{SIPREC}Authorization: NoOneKnowsThisScheme opaque=1\r\n"), SDP);
    assert_eq!((code(&again), src.server.stats().challenged), (401, 2));
    assert!(src.feed.seen().is_empty());
}

#[test]
fn a_datagram_never_gets_more_than_it_sent_unless_a_dialog_vouches() {
    let mut src = Src::new();
    let tiny = "OPTIONS sip:a SIP/2.0\nv:SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1\nf:<sip:a>;tag=1\nt:<sip:a>\ni:1\nCSeq:1 OPTIONS\n\n";
    for text in [
        tiny,
        &tiny.replace("1 OPTIONS", "x"),
        &tiny.replace("OPTIONS", "BYE"),
        &tiny.replace("SIP/2.0\nv", "SIP/3.0\nv"),
    ] {
        for answer in src.raw(text.as_bytes()) {
            assert!(answer.len() <= text.len(), "{} > {}: {answer}", answer.len(), text.len());
        }
    }
    assert!(src.server.stats().unanswered_too_small > 0);
}

#[test]
fn strangers_are_not_answered_at_all() {
    let mut src = Src::new();
    src.peer = "203.0.113.7:5060".parse().unwrap();
    assert_eq!(src.invite(SIPREC, SDP).0, "");
    assert_eq!(src.server.stats().dropped_foreign, 1);
}

#[test]
fn another_process_takes_up_where_the_first_one_stopped() {
    let mut old = Src::new();
    let (answer, mut dialog) = old.invite(SIPREC, SDP);
    let texts: Vec<String> = old.server.save().iter().map(SessionSnapshot::to_text).collect();
    let mut new = Src::new();
    new.feed = std::mem::take(&mut old.feed);
    for text in texts {
        new.server.resume(new.now, SessionSnapshot::from_text(&text).unwrap(), None);
    }
    let again = new.ask(&mut dialog, "INVITE", &format!("{SIPREC}X: new\r\n"), SDP);
    assert_eq!(media(&again), media(&answer));
    new.ask(&mut dialog, "ACK", "", "");
    assert_eq!(code(&new.ask(&mut dialog, "BYE", "", "")), 200);
    assert!(matches!(new.call().controls.last(), Some(Control::End)));
}

/// A session whose description was left to us, taken up by another process before its ACK came.
fn resumed_before_its_ack() -> (Src, Dialog) {
    let (mut old, mut dialog) = (Src::new(), fresh("a"));
    let answer = old.ask(&mut dialog, "INVITE", SIPREC, "");
    assert_eq!(code(&answer), 200);
    dialog.to = header(&answer, "To").unwrap();
    let text = old.server.save()[0].to_text();
    let mut new = Src::new();
    new.feed = std::mem::take(&mut old.feed);
    new.server.resume(new.now, SessionSnapshot::from_text(&text).unwrap(), None);
    (new, dialog)
}

#[test]
fn after_a_restart_no_lost_ack_keeps_the_client_from_its_next_offer() {
    for method in ["INVITE", "UPDATE"] {
        let (mut new, mut dialog) = resumed_before_its_ack();
        // By its number the request shows that the ACK was sent, to a process that is gone.
        let answer = new.ask(&mut dialog, method, "", SDP);
        assert_eq!(code(&answer), 200, "{method}: {answer}");
        assert!(new.controls().contains(&"renegotiate"), "{:?}", new.controls());
        let seen = new.controls().len();
        if method == "INVITE" {
            new.ask(&mut dialog, "ACK", "", "");
        }
        // What the old ACK says is older than the offer, should it still come.
        let mut late = Dialog { cseq: 1, call_id: dialog.call_id.clone(), to: dialog.to.clone() };
        new.ask(&mut late, "ACK", "", &SDP.replace("RTP/AVP 8", "RTP/AVP 0"));
        assert_eq!(new.controls().len(), seen, "{method}");
    }
}

#[test]
fn after_a_restart_an_invite_whose_answer_was_lost_is_answered_again() {
    let mut old = Src::new();
    let (_, mut dialog) = old.invite(SIPREC, SDP);
    old.ask(&mut dialog, "ACK", "", "");
    let invite = old.request(&mut dialog, "INVITE", "", "");
    let answer = old.raw(invite.as_bytes()).pop().unwrap();
    let text = old.server.save()[0].to_text();
    let mut new = Src::new();
    new.feed = std::mem::take(&mut old.feed);
    new.server.resume(new.now, SessionSnapshot::from_text(&text).unwrap(), None);
    let again = new.raw(invite.as_bytes()).pop().unwrap();
    assert_eq!((code(&again), media(&again)), (200, media(&answer)));
    // From here on it is an INVITE as any: the 200 is repeated until its ACK comes.
    assert!(new.wait(secs(5)).iter().any(|sent| code(sent) == 200));
    new.ask(&mut dialog, "ACK", "", SDP);
    assert!(new.wait(secs(100)).is_empty());
    assert_eq!(new.server.open_sessions(), 1);
}

#[test]
fn after_a_restart_the_wait_for_an_ack_ends_by_time_and_the_session_goes_on() {
    let (mut new, mut dialog) = resumed_before_its_ack();
    let before = new.server.save()[0].clone();
    assert!(before.offered && before.unacknowledged.is_some());
    new.wait(secs(31));
    assert_eq!(new.server.stats().acks_missed, 0);
    assert!(new.wait(secs(2)).is_empty(), "no BYE: whether it was acknowledged cannot be told");
    assert_eq!((new.server.stats().acks_missed, new.server.stats().unacknowledged), (1, 0));
    let after = new.server.save()[0].clone();
    assert!(!after.offered && after.unacknowledged.is_none());
    assert_eq!(code(&new.ask(&mut dialog, "INVITE", "", SDP)), 200);
    new.ask(&mut dialog, "ACK", "", "");
    assert_eq!(code(&new.ask(&mut dialog, "BYE", "", "")), 200);
}

#[test]
fn sessions_beyond_the_limit_are_sent_elsewhere() {
    let mut src = Src::with(|config| config.sessions_max = 2);
    let codes: Vec<u16> = (0..3).map(|_| code(&src.invite(SIPREC, SDP).0)).collect();
    assert_eq!(codes, [200, 200, 503]);
}
