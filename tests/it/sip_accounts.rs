//! Each recording session is accounted for, exactly once, whatever becomes of it.

use std::time::Duration;

use optag::call::Unrecorded;
use optag::signalling::feed::AdmitError;
use optag::signalling::siprec::config::WhenUnavailable;
use optag::signalling::siprec::server::Input;

use crate::sip_src::{Dialog, SDP, SIPREC, Src, code};

/// Accounts that are final, in the order in which they ended.
fn ended(src: &Src) -> Vec<optag::call::Account> {
    src.accounts.iter().filter(|account| account.ended_at.is_some()).cloned().collect()
}

fn why(src: &Src) -> Vec<Option<Unrecorded>> {
    ended(src).iter().map(|account| account.unrecorded).collect()
}

fn hang_up(src: &mut Src, dialog: &mut Dialog) {
    assert_eq!(code(&src.ask(dialog, "BYE", "", "")), 200);
}

#[test]
fn a_session_with_a_call_is_accounted_for_when_it_is_answered_and_when_it_is_over() {
    let mut src = Src::new();
    let headers = format!("{SIPREC}P-Asserted-Identity: <tel:+4588888888>\r\nSession-ID: ab;remote=cd\r\n");
    let (_, mut dialog) = src.invite(&headers, SDP);
    let call = src.call().view.id;
    let first = src.accounts.last().unwrap().clone();
    assert_eq!((first.call, first.ended_at, first.client.as_str()), (Some(call), None, "127.0.0.1"));
    assert_eq!(first.caller_number.reveal(), "+4588888888");
    let names: Vec<&str> = first.names.iter().map(|name| name.reveal().as_str()).collect();
    assert!(names.contains(&"ab;remote=cd") && names.contains(&dialog.call_id.as_str()), "{names:?}");
    src.wait(Duration::from_secs(60));
    hang_up(&mut src, &mut dialog);
    let last = ended(&src);
    assert_eq!(last.len(), 1);
    assert_eq!((last[0].id.clone(), last[0].call, last[0].unrecorded), (first.id, Some(call), None));
    assert!(last[0].ended_at.unwrap().micros_since(first.began_at) >= 60_000_000);
}

#[test]
fn sessions_without_a_call_say_why() {
    let mut src = Src::with(|config| config.departments.otherwise = None);
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    hang_up(&mut src, &mut dialog);
    assert_eq!(why(&src), [Some(Unrecorded::NotSelected)]);

    for (sdp, expect) in [
        (SDP.replace("m=audio", "m=video"), Unrecorded::NoStream),
        (SDP.replace("8 0 101", "100 101"), Unrecorded::NoCodec),
    ] {
        let mut src = Src::new();
        let (_, mut dialog) = src.invite(SIPREC, &sdp);
        hang_up(&mut src, &mut dialog);
        assert_eq!(why(&src), [Some(expect)]);
    }
}

#[test]
fn a_recorder_that_takes_no_calls_accounts_for_each_all_the_same() {
    for when in [WhenUnavailable::Inactive, WhenUnavailable::Refuse] {
        let mut src = Src::with(|config| config.when_unavailable = when);
        *src.feed.refuse.lock().unwrap() = Some(AdmitError::PortsUsedUp);
        let (answer, mut dialog) = src.invite(SIPREC, SDP);
        if code(&answer) == 200 {
            hang_up(&mut src, &mut dialog);
        }
        assert_eq!(why(&src), [Some(Unrecorded::Unavailable("ports_used_up"))], "{when:?}");
        src.play(Input::Drain);
        let (answer, mut dialog) = src.invite(SIPREC, SDP);
        if code(&answer) == 200 {
            hang_up(&mut src, &mut dialog);
        }
        assert_eq!(why(&src)[1..], [Some(Unrecorded::Unavailable("draining"))], "{when:?}");
    }
}

#[test]
fn refused_invites_are_accounted_for_but_challenges_and_strangers_are_not() {
    let mut src = Src::new();
    let (answer, _) = src.invite(&format!("{SIPREC}Require: foo\r\n"), SDP);
    assert_eq!(code(&answer), 420);
    let (answer, _) = src.invite(SIPREC, "v=0 and no more");
    assert_eq!(code(&answer), 488);
    let (answer, _) = src.invite("Contact: <sip:someone@h>\r\n", SDP);
    assert_eq!(code(&answer), 403, "an ordinary call");
    assert_eq!(why(&src), [Some(Unrecorded::Rejected(420)), Some(Unrecorded::Rejected(488))]);
}

#[test]
fn a_cancelled_session_is_accounted_for_by_its_call_where_there_was_one() {
    let mut src = Src::new();
    src.held = Some(Vec::new());
    let mut dialog = Dialog { call_id: "c".into(), to: "<sip:srs@h>".into(), cseq: 0 };
    let invite = src.request(&mut dialog, "INVITE", SIPREC, SDP);
    src.raw(invite.as_bytes());
    let cancel = invite.replace("INVITE sip", "CANCEL sip").replace("1 INVITE", "1 CANCEL");
    src.raw(cancel.as_bytes());
    assert!(ended(&src).is_empty(), "the feed has not answered yet");
    for input in src.held.take().unwrap() {
        src.play(input);
    }
    let last = ended(&src);
    assert_eq!(last.len(), 1);
    assert!(last[0].call.is_some() && last[0].unrecorded.is_none());
}
