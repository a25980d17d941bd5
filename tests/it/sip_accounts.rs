//! Each recording session is accounted for exactly once, whatever happens to it.

use std::time::Duration;

use optag_core::call::Unrecorded;
use optag_sip::feed::AdmitError;
use optag_sip::siprec::server::Input;
use optag_sip::siprec::settings::WhenUnavailable;

use crate::sip_src::{Dialog, SDP, SIPREC, Src, code};

/// Announced calls that are final, in the order in which they ended.
fn ended(src: &Src) -> Vec<optag_core::call::AnnouncedCall> {
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
fn refused_invites_are_accounted_for_whatever_refused_them_and_once_each() {
    let mut src = Src::new();
    let (answer, _) = src.invite(&format!("{SIPREC}Require: foo\r\n"), SDP);
    assert_eq!(code(&answer), 420);
    let (answer, _) = src.invite(SIPREC, "v=0 and no more");
    assert_eq!(code(&answer), 488);
    let (answer, _) = src.invite("Contact: <sip:someone@h>\r\n", SDP);
    assert_eq!(code(&answer), 403, "an ordinary call, or a client that marks nothing");
    let mut gone = Dialog { call_id: "gone".into(), to: "<sip:srs@h>;tag=gone".into(), cseq: 3 };
    assert_eq!(code(&src.ask(&mut gone, "INVITE", SIPREC, SDP)), 481);
    assert_eq!(why(&src), [420, 488, 403, 481].map(|code| Some(Unrecorded::Rejected(code))));
    let whole = src.request(&mut Dialog { call_id: "m".into(), ..gone }, "INVITE", SIPREC, SDP);
    let filler = format!("X-Filler: {}\r\n", "x".repeat(70_000));
    for (at, (was, is, expect)) in [
        ("SIP/2.0\r\nVia", "SIP/3.0\r\nVia", 505),
        ("CSeq: 5 INVITE", "CSeq: 5 BYE", 400),
        ("INVITE sip:", "INVITE mailto:", 416),
        ("From: <sip:src@127.0.0.1>;tag=src\r\n", "", 400),
        ("Content-Length: ", "Content-Length: 9", 400),
        ("Max-Forwards: 70\r\n", &filler, 513),
        ("Via: ", "V?a: ", 0),
    ]
    .into_iter()
    .enumerate()
    {
        let bad = whole.replacen(was, is, 1).replace("Call-ID: m", &format!("Call-ID: m{at}"));
        for _ in 0..3 {
            assert_eq!(src.raw(bad.as_bytes()).pop().map_or(0, |answer| code(&answer)), expect, "{bad}");
        }
        let last = ended(&src);
        assert_eq!(last.len(), 5 + at, "{bad}");
        let expect = if expect == 0 { 400 } else { expect };
        assert_eq!(last[4 + at].unrecorded, Some(Unrecorded::Rejected(expect)));
    }
}

#[test]
fn a_challenge_is_no_refusal_and_wrong_credentials_are_one() {
    let mut src = Src::with(|config| {
        config.credentials = Some(optag_sip::sip::digest::Credentials {
            realm: "optag".into(),
            users: vec![("src".into(), optag_core::private::Private::new("secret".into()))],
            algorithms: vec![optag_sip::sip::digest::Algorithm::Md5],
        });
    });
    let filler = format!("{SIPREC}X-Filler: {}\r\n", "x".repeat(300));
    assert_eq!(code(&src.invite(&filler, SDP).0), 401);
    assert!(src.accounts.is_empty());
    let wrong = "Authorization: Digest username=\"src\", realm=\"optag\", nonce=\"0\", uri=\"sip:srs@127.0.0.1\", response=\"0\"\r\n";
    assert_eq!(code(&src.invite(&format!("{filler}{wrong}"), SDP).0), 401);
    assert_eq!(why(&src), [Some(Unrecorded::Rejected(401))]);
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

#[test]
fn a_session_that_is_ended_while_the_feed_decides_ends_its_call_once_and_is_accounted_for_by_it() {
    let mut src = Src::new();
    src.held = Some(Vec::new());
    let mut dialog = Dialog { call_id: "c".into(), to: "<sip:srs@h>".into(), cseq: 0 };
    let invite = src.request(&mut dialog, "INVITE", SIPREC, SDP);
    src.raw(invite.as_bytes());
    src.play(Input::EndAll);
    for input in src.held.take().unwrap() {
        src.play(input);
    }
    assert_eq!(src.controls(), ["end"]);
    assert_eq!(src.server.stats().controls_refused, 0);
    let last = ended(&src);
    assert_eq!((last.len(), last[0].call), (1, Some(src.call().view.id)));
}

#[test]
fn a_call_that_the_engine_ends_as_its_client_hangs_up_still_stands_in_its_account() {
    let mut src = Src::new();
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    let call = src.call().view.id;
    src.feed.calls.lock().unwrap().get_mut(&call).unwrap().view.ended_at = Some(Default::default());
    // The feed no longer has such a call.
    hang_up(&mut src, &mut dialog);
    let last = ended(&src);
    assert_eq!((last.len(), last[0].call, last[0].unrecorded), (1, Some(call), None));
}

#[test]
fn streams_that_were_refused_stand_in_the_account() {
    let mut src = Src::new();
    let strange = "m=audio 40010 RTP/AVP 96\r\na=rtpmap:96 SPEEX/8000\r\na=label:9\r\na=sendonly\r\n";
    let secret = "m=audio 40012 RTP/SAVP 8\r\na=label:10\r\na=sendonly\r\n";
    let other = "m=audio 40014 RTP/AVP 8\r\na=label:11\r\na=sendonly\r\nm=video 40016 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n";
    let (_, mut dialog) = src.invite(SIPREC, &format!("{SDP}{strange}{other}"));
    let first = src.accounts.last().unwrap().refused_streams;
    assert_eq!(first.causes(), [("no_codec", 1)].into(), "a video stream is no audio that is missing");
    // A stream that joins later and cannot be accepted.
    src.ask(&mut dialog, "INVITE", "", &format!("{SDP}{strange}{other}{secret}"));
    src.ask(&mut dialog, "ACK", "", "");
    hang_up(&mut src, &mut dialog);
    assert_eq!(ended(&src)[0].refused_streams.causes(), [("encrypted", 1), ("no_codec", 1)].into());
}
