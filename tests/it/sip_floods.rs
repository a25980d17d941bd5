//! Floods of requests, and what an unvalidated peer can cause.

use std::time::Duration;

use optag_sip::sip::allow_list::AllowList;
use optag_sip::sip::flow::Transport;
use optag_sip::siprec::server::Input;

use crate::sip_src::{Dialog, SDP, SIPREC, Src, code, header};

fn fresh(call_id: &str) -> Dialog {
    Dialog { call_id: call_id.into(), to: "<sip:srs@127.0.0.1>".into(), cseq: 0 }
}

fn any_client() -> Src {
    Src::with(|config| config.clients = AllowList::parse(["0.0.0.0/0"]).unwrap())
}

#[test]
fn a_flood_of_any_method_leaves_room_for_calls_and_for_what_their_dialogs_need() {
    for (method, copies) in
        [("OPTIONS", 48_000), ("REGISTER", 30_000), ("BYE", 30_000), ("FOO", 25_000), ("INVITE", 16_000)]
    {
        let mut src = any_client();
        let (_, mut live) = src.invite(SIPREC, SDP);
        let (caller, flooder) = (src.peer, "10.9.9.9:5060".parse().unwrap());
        src.peer = flooder;
        let filler = format!("User-Agent: {}\r\n", "x".repeat(200));
        // Without a mark of SIPREC an INVITE is rejected, in its own transaction.
        for n in 0..copies {
            src.ask(&mut fresh(&format!("flood-{n}")), method, &filler, "");
        }
        src.peer = caller;
        for method in ["INFO", "UPDATE", "INVITE", "OPTIONS"] {
            assert_eq!(code(&src.ask(&mut live, method, "", "")), 200, "{method} in a flood");
        }
        let (answer, mut other) = src.invite(SIPREC, SDP);
        assert_eq!(code(&answer), 200, "a new call in a flood of {method}");
        for dialog in [&mut live, &mut other] {
            assert_eq!(code(&src.ask(dialog, "BYE", "", "")), 200);
        }
    }
}

#[test]
fn a_call_that_finds_no_place_is_refused_and_accounted_for() {
    let mut src = any_client();
    let filler = format!("User-Agent: {}\r\n", "x".repeat(200));
    for n in 0..4_000 {
        src.ask(&mut fresh(&format!("flood-{n}")), "INVITE", &filler, "");
    }
    let before = src.accounts.len();
    let answer = src.ask(&mut fresh("one-more"), "INVITE", SIPREC, SDP);
    assert_eq!((code(&answer), src.accounts.len()), (503, before + 1));
    assert!(src.server.stats().dropped_full > 0);
}

/// Everything sent to `src` because of one unacknowledged INVITE.
fn bytes_back(src: &mut Src, invite: &str, copies: usize) -> usize {
    let mut back = 0;
    for _ in 0..copies {
        back += src.raw(invite.as_bytes()).iter().map(String::len).sum::<usize>();
    }
    back + src.wait(Duration::from_secs(120)).iter().map(String::len).sum::<usize>()
}

#[test]
fn invariant_13_an_unacknowledged_invite_brings_no_more_back_than_it_is_long() {
    for body in [SDP, ""] {
        for filler in [0, 200, 1_000, 4_000] {
            for copies in [1, 2, 5] {
                let mut src = Src::unvalidated(|_| {});
                let headers = format!("{SIPREC}X-Filler: {}\r\n", "x".repeat(filler));
                let invite = src.request(&mut fresh("forged"), "INVITE", &headers, body);
                let back = bytes_back(&mut src, &invite, copies);
                let sent = copies * invite.len();
                assert!(back <= sent, "{back} bytes for {sent} ({copies} copies, filler {filler})");
                assert_eq!(src.server.open_sessions(), 0);
            }
        }
    }
}

#[test]
fn a_client_that_repeats_its_first_invite_is_answered_and_then_known() {
    let mut src = Src::unvalidated(|_| {});
    let mut dialog = fresh("first");
    let invite = src.request(&mut dialog, "INVITE", SIPREC, SDP);
    let answers: Vec<String> = (0..3).flat_map(|_| src.raw(invite.as_bytes())).collect();
    let answer = answers.iter().find(|m| code(m) == 200).expect("the copies pay for the answer");
    dialog.to = header(answer, "To").unwrap();
    src.ask(&mut dialog, "ACK", "", "");
    assert_eq!(src.feed.seen().len(), 1);
    // From now on its responses are retransmitted as RFC 3261 requires.
    let invite = src.request(&mut fresh("second"), "INVITE", SIPREC, SDP);
    assert_eq!(src.raw(invite.as_bytes()).iter().map(|m| code(m)).collect::<Vec<_>>(), [100, 200]);
    assert!(src.wait(Duration::from_secs(31)).len() >= 9);
}

#[test]
fn invariant_13_a_known_address_that_stops_acknowledging_is_known_no_longer() {
    let mut src = Src::new();
    let (mut sent, mut back) = (0, 0);
    for n in 0..200 {
        let invite = src.request(&mut fresh(&format!("forged-{n}")), "INVITE", SIPREC, SDP);
        sent += invite.len();
        back += src.raw(invite.as_bytes()).iter().map(String::len).sum::<usize>();
    }
    back += src.wait(Duration::from_secs(120)).iter().map(String::len).sum::<usize>();
    assert!(back < 6 * sent, "{back} bytes for {sent}, {} times", back / sent);
}

#[test]
fn over_connections_every_answer_is_sent_at_once() {
    let mut src = Src::unvalidated(|_| {});
    src.transport = Transport::Tcp;
    let invite = src.request(&mut fresh("tcp"), "INVITE", SIPREC, "");
    assert_eq!(code(&src.raw(invite.as_bytes())[0]), 200);
    assert!(src.play(Input::EndAll).iter().any(|m| m.starts_with("BYE ")));
}
