//! Whether a session lives, which one it is, and what ends it.

use std::time::Duration;

use optag_sip::sip::flow::Transport;
use optag_sip::siprec::server::Input;

use crate::sip_src::{Dialog, SDP, SIPREC, Src, code, header};

fn fresh(call_id: &str) -> Dialog {
    Dialog { call_id: call_id.into(), to: "<sip:srs@127.0.0.1>".into(), cseq: 0 }
}

#[test]
fn requests_in_a_dialog_that_is_gone_are_answered_481() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut src = Src::new();
        src.transport = transport;
        let (_, mut live) = src.invite(SIPREC, SDP);
        let ping = Dialog { cseq: 0, ..live.clone() };
        assert_eq!(code(&src.ask(&mut live, "OPTIONS", "", "")), 200);
        assert_eq!(code(&src.ask(&mut ping.clone(), "OPTIONS", "", "")), 200, "numbered as a ping");
        assert_eq!(code(&src.ask(&mut live, "UPDATE", "", "")), 200, "a ping leaves the numbers alone");
        src.play(Input::Drain);
        assert_eq!(code(&src.ask(&mut live, "OPTIONS", "", "")), 200, "this session goes on");
        assert_eq!(code(&src.ask(&mut fresh("o"), "OPTIONS", "", "")), 503, "and new ones do not");
        assert_eq!(code(&src.ask(&mut live, "BYE", "", "")), 200);
        for method in ["OPTIONS", "INFO", "UPDATE", "INVITE", "NOTIFY", "BYE"] {
            assert_eq!(code(&src.ask(&mut live, method, "", "")), 481, "{method}");
            let mut unknown = Dialog { to: "<sip:srs@h>;tag=none".into(), ..fresh("unknown") };
            assert_eq!(code(&src.ask(&mut unknown, method, "", "")), 481, "{method}");
        }
        assert_eq!(code(&src.ask(&mut fresh("outside"), "OPTIONS", "", "")), 503);
    }
}

#[test]
fn a_session_whose_end_the_feed_has_not_taken_is_over_all_the_same() {
    let mut src = Src::new();
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    let bye = src.request(&mut dialog, "BYE", "", "");
    let mut out = Vec::new();
    let flow = optag_sip::sip::flow::Flow {
        transport: Transport::Udp,
        link: 1,
        local: "127.0.0.1:5060".parse().unwrap(),
        peer: src.peer,
    };
    let message = optag_sip::sip::parse::parse(bye.as_bytes(), optag_sip::sip::parse::Framing::Datagram);
    // The control that ends the call is under way.
    src.server.handle(
        src.now,
        Input::Received { flow, message, bytes: bye.len(), at: Default::default() },
        &mut out,
    );
    assert_eq!(src.server.open_sessions(), 1);
    for method in ["OPTIONS", "INFO", "UPDATE", "NOTIFY"] {
        assert_eq!(code(&src.ask(&mut dialog, method, "", "")), 481, "{method}");
    }
}

#[test]
fn an_invite_that_comes_by_two_ways_makes_one_call() {
    let mut src = Src::new();
    let mut dialog = fresh("twice");
    let one = src.request(&mut dialog, "INVITE", SIPREC, SDP);
    let branch = header(&one, "Via").unwrap();
    let two = one.replace(&branch, &format!("{};x=y", branch.replace("z9hG4bK", "z9hG4bKother")));
    let first = src.raw(one.as_bytes());
    let second = src.raw(two.as_bytes());
    assert_eq!(code(first.last().unwrap()), 200);
    assert_eq!(second.iter().map(|m| code(m)).collect::<Vec<_>>(), [482]);
    dialog.to = header(first.last().unwrap(), "To").unwrap();
    src.ask(&mut dialog, "ACK", "", "");
    let third = one.replace(&branch, &branch.replace("z9hG4bK", "z9hG4bKthird"));
    assert_eq!(code(&src.raw(third.as_bytes())[0]), 482, "acknowledged or not");
    assert_eq!((src.feed.seen().len(), src.server.stats().merged), (1, 2));
    assert!(src.controls().is_empty(), "the call goes on");
    assert!(src.accounts.iter().all(|account| account.unrecorded.is_none()), "no call is lost by it");
}

#[test]
fn a_session_that_replaces_another_ends_it_and_is_found_by_its_name() {
    for require in ["", "Require: replaces\r\n"] {
        let mut src = Src::new();
        let (answer, old) = src.invite(SIPREC, SDP);
        let tag = header(&answer, "To").unwrap().split("tag=").nth(1).unwrap().to_owned();
        let replaces = format!("{SIPREC}{require}Replaces: {};from-tag=src;to-tag={tag}\r\n", old.call_id);
        let sent = {
            let mut new = fresh("new");
            let invite = src.request(&mut new, "INVITE", &replaces, SDP);
            src.raw(invite.as_bytes())
        };
        assert_eq!(code(sent.iter().find(|m| code(m) >= 200).unwrap()), 200);
        let bye = sent.iter().find(|m| m.starts_with("BYE ")).expect("the old session ends");
        assert_eq!(header(bye, "Call-ID"), Some(old.call_id.clone()));
        assert!(header(bye, "Reason").unwrap().starts_with("SIP;cause=200"));
        let calls = src.feed.seen();
        let ended: Vec<usize> = calls.iter().map(|call| call.controls.len()).collect();
        assert_eq!(ended.iter().sum::<usize>(), 1, "one of the two was ended");
        let new = calls.iter().find(|call| call.controls.is_empty()).unwrap();
        assert!(new.new.context.links.iter().any(|link| *link.value.reveal() == old.call_id));
    }
    // One that means nothing of ours is a call like any other.
    let mut src = Src::new();
    let (answer, _) = src.invite(&format!("{SIPREC}Replaces: other;from-tag=a;to-tag=b\r\n"), SDP);
    assert_eq!(code(&answer), 200);
}

#[test]
fn extensions_that_ask_nothing_of_a_recorder_cost_no_call() {
    for option in
        "replaces resource-priority sdp-anat 100rel timer precondition answermode privacy from-change \
        uui ice eventlist geolocation-sip"
            .split_whitespace()
    {
        let (answer, _) = Src::new().invite(&format!("{SIPREC}Require: {option}\r\n"), SDP);
        assert_eq!(code(&answer), 200, "{option}");
    }
}

#[test]
fn a_packed_body_is_refused_with_what_is_taken_instead() {
    let mut src = Src::new();
    for encoding in ["gzip", "DEFLATE", "identity, gzip"] {
        let (answer, _) = src.invite(&format!("{SIPREC}Content-Encoding: {encoding}\r\n"), SDP);
        assert_eq!((code(&answer), header(&answer, "Accept-Encoding").as_deref()), (415, Some("identity")));
    }
    assert_eq!(src.accounts.len(), 3, "and it is accounted for");
    let (_, mut dialog) = src.invite(&format!("{SIPREC}e: identity\r\n"), SDP);
    for method in ["INVITE", "UPDATE", "INFO"] {
        assert_eq!(code(&src.ask(&mut dialog, method, "Content-Encoding: gzip\r\n", SDP)), 415, "{method}");
    }
    assert_eq!(code(&src.ask(&mut dialog, "BYE", "Content-Encoding: gzip\r\n", "")), 200);
}

#[test]
fn what_comes_in_a_dialog_is_a_sign_of_life_and_the_timer_says_for_how_long() {
    let mut src = Src::new();
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    let call = src.call().view.id;
    assert!(src.alive.is_empty(), "to be set up is none: media must come");
    for method in ["OPTIONS", "UPDATE", "INFO", "INVITE"] {
        src.ask(&mut dialog, method, "", if method == "INVITE" { SDP } else { "" });
        assert_eq!(src.alive.pop(), Some((call, Duration::ZERO)), "{method}");
        src.ask(&mut dialog, "ACK", "", "");
        src.alive.clear();
    }
    let timer = "Session-Expires: 1800;refresher=uac\r\nSupported: timer\r\n";
    src.ask(&mut dialog, "UPDATE", timer, "");
    assert_eq!(src.alive.pop(), Some((call, Duration::from_secs(1_800))));
    let mut stranger = Dialog { to: "<sip:srs@h>;tag=guessed".into(), ..dialog };
    src.ask(&mut stranger, "UPDATE", "", "");
    src.ask(&mut stranger, "OPTIONS", "", "");
    assert!(src.alive.is_empty(), "a stranger is no sign of it");
}

#[test]
fn our_bye_says_why() {
    for (input, expect) in
        [(Input::CallEnded(1), "SIP;cause=408"), (Input::EndAll, "SIP;cause=503"), (Input::Drain, "")]
    {
        let mut src = Src::new();
        src.invite(SIPREC, SDP);
        let id = src.server.calls()[0].0;
        let input = match input {
            Input::CallEnded(_) => Input::CallEnded(id),
            other => other,
        };
        let sent = src.play(input);
        let reason = sent.first().and_then(|bye| header(bye, "Reason")).unwrap_or_default();
        assert_eq!(reason.get(..13).unwrap_or_default(), expect, "{sent:?}");
    }
}
