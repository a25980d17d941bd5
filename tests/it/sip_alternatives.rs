//! Offers in which two lines describe one stream, and descriptions without the source of streams.

use std::net::IpAddr;

use optag_core::call::StreamRole;
use optag_sip::feed::Control;
use optag_sip::siprec::settings::MediaSource;

use crate::sip_src::{SIPREC, Src, code, media, with_metadata};

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

/// A line of an offer: port, profile, attributes.
fn line(port: u16, proto: &str, attributes: &str) -> String {
    let crypto = if proto.contains("SAVP") {
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n")
    } else {
        String::new()
    };
    let attributes: String =
        attributes.split('|').filter(|a| !a.is_empty()).map(|a| format!("a={a}\r\n")).collect();
    format!(
        "m=audio {port} {proto} 8 101\r\na=rtpmap:101 telephone-event/8000\r\n{crypto}a=sendonly\r\n{attributes}"
    )
}

fn offer(session: &str, lines: &[String]) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{session}{}",
        lines.concat()
    )
}

/// The ports in the answer to an offer, and the roles of the streams.
fn answered(sdp: &str) -> (Vec<bool>, Vec<StreamRole>, Src) {
    let mut src = Src::new();
    let (answer, _) = src.invite(SIPREC, sdp);
    assert_eq!(code(&answer), 200, "{answer}");
    let lines = media(&answer);
    assert_eq!(lines.len(), sdp.matches("m=").count(), "one line of ours each: {answer}");
    let taken = lines.iter().map(|line| !line.starts_with("m=audio 0 ")).collect();
    let roles = src.feed.seen().iter().flat_map(|seen| seen.new.streams.iter().map(|s| s.role)).collect();
    (taken, roles, src)
}

#[test]
fn one_line_of_each_pair_is_taken_and_the_roles_are_those_of_two_streams() {
    use StreamRole::{Caller, Employee};
    let (plain, secure) = ("RTP/AVP", "RTP/SAVP");
    for (what, session, lines) in [
        (
            "one label, one port",
            "",
            [
                line(4000, secure, "label:1"),
                line(4000, plain, "label:1"),
                line(4002, secure, "label:2"),
                line(4002, plain, "label:2"),
            ],
        ),
        (
            "one label, two ports",
            "",
            [
                line(4000, secure, "label:1"),
                line(4004, plain, "label:1"),
                line(4002, secure, "label:2"),
                line(4006, plain, "label:2"),
            ],
        ),
        (
            "no label, one port",
            "",
            [line(4000, secure, ""), line(4000, plain, ""), line(4002, secure, ""), line(4002, plain, "")],
        ),
        (
            "ANAT",
            "a=group:ANAT 1 2\r\na=group:ANAT 3 4\r\n",
            [
                line(4000, plain, "mid:1|label:1"),
                line(4004, plain, "mid:2|label:11"),
                line(4002, plain, "mid:3|label:2"),
                line(4006, plain, "mid:4|label:12"),
            ],
        ),
        (
            "DUP",
            "a=group:DUP a b\r\na=group:DUP c d\r\n",
            [
                line(4000, plain, "mid:a|label:1"),
                line(4004, plain, "mid:b|label:3"),
                line(4002, plain, "mid:c|label:2"),
                line(4006, plain, "mid:d|label:4"),
            ],
        ),
    ] {
        let (taken, roles, src) = answered(&offer(session, &lines));
        assert_eq!(taken, [true, false, true, false], "{what}");
        assert_eq!(roles, [Caller, Employee], "{what}");
        assert_eq!(src.server.stats().streams_alternative, 2, "{what}");
        // A client that offered both may send either, until the first protected packet.
        let srtp: Vec<_> =
            src.call().new.streams.iter().filter_map(|s| s.media.srtp.as_ref().map(|s| s.required)).collect();
        assert!(srtp.iter().all(|required| !required), "{what}");
    }
}

#[test]
fn the_line_that_can_be_received_is_taken_in_place_of_its_alternative() {
    let no_key = line(4000, "RTP/AVP", "label:1").replace("RTP/AVP", "RTP/SAVP");
    let dtls = line(4000, "UDP/TLS/RTP/SAVPF", "label:1");
    let multicast =
        line(4000, "RTP/SAVP", "label:1").replace("a=sendonly", "c=IN IP4 224.2.1.1\r\na=sendonly");
    let codec = line(4000, "RTP/SAVP", "label:1").replace(" 8 101", " 18 101");
    for first in [no_key, dtls, codec, multicast] {
        let (taken, roles, _) = answered(&offer(
            "",
            &[first.clone(), line(4000, "RTP/AVP", "label:1"), line(4002, "RTP/AVP", "label:2")],
        ));
        assert_eq!(taken, [false, true, true], "{first}");
        assert_eq!(roles.len(), 2);
    }
    // Over IPv4 the IPv4 line is accepted, whichever comes first.
    let six =
        line(4000, "RTP/AVP", "mid:1|label:1").replace("a=sendonly", "c=IN IP6 2001:db8::1\r\na=sendonly");
    let (taken, _, _) =
        answered(&offer("a=group:ANAT 1 2\r\n", &[six.clone(), line(4002, "RTP/AVP", "mid:2|label:1")]));
    assert_eq!(taken, [false, true]);
    let (taken, _, _) = answered(&offer("", &[six]));
    assert_eq!(taken, [true], "there is no other");
}

#[test]
fn lines_that_are_no_alternatives_stay_streams_of_their_own() {
    for (lines, streams) in [
        (vec![line(4000, "RTP/AVP", "label:1"), line(4002, "RTP/AVP", "label:1")], 2),
        (vec![line(4000, "RTP/SAVP", "label:1"), line(4002, "RTP/AVP", "label:2")], 2),
        (vec![line(4000, "RTP/AVP", ""), line(4002, "RTP/AVP", "")], 2),
        (vec![line(4000, "RTP/AVP", "mid:1|label:1"), line(4000, "RTP/AVP", "mid:2|label:2")], 2),
        (vec![line(0, "RTP/SAVP", "label:1"), line(4000, "RTP/AVP", "label:1")], 1),
    ] {
        let (_, roles, _) =
            answered(&offer("a=group:BUNDLE 1 2\r\na=group:LS 1 2\r\na=group:FID 1 2\r\n", &lines));
        assert_eq!(roles.len(), streams, "{lines:?}");
    }
    // Capabilities of RFC 5939 request nothing that was not offered.
    let capable = line(
        4000,
        "RTP/AVP",
        "label:1|tcap:1 RTP/SAVP|acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x|pcfg:1 t=1 a=1|csup:cap-v0",
    );
    let (taken, _, src) = answered(&offer("", &[capable]));
    assert_eq!((taken, src.call().new.streams[0].media.srtp.is_none()), (vec![true], true));
}

#[test]
fn a_client_that_gives_up_one_line_goes_on_in_the_other() {
    let both = |secure: u16, plain: u16| {
        offer(
            "",
            &[
                line(secure, "RTP/SAVP", "label:1"),
                line(plain, "RTP/AVP", "label:1"),
                line(4002, "RTP/AVP", "label:2"),
            ],
        )
    };
    let mut src = Src::new();
    let (first, mut dialog) = src.invite(SIPREC, &both(4000, 4000));
    let port = |answer: &str, at: usize| media(answer)[at].split(' ').nth(1).unwrap().to_owned();
    let again = src.ask(&mut dialog, "INVITE", "", &both(4000, 4000));
    assert_eq!(media(&again)[1], media(&first)[1]);
    src.ask(&mut dialog, "ACK", "", "");
    let other = src.ask(&mut dialog, "INVITE", "", &both(0, 4000));
    src.ask(&mut dialog, "ACK", "", "");
    assert_eq!((port(&other, 0), port(&other, 1)), ("0".into(), port(&first, 0)), "the same stream and port");
    let [Control::Renegotiate { stream: 0, media }] = &src.call().controls[..] else {
        panic!("{:?}", src.call().controls)
    };
    assert!(media.srtp.is_none());
    // An offer that adds the second line later gets no third channel.
    let mut src = Src::new();
    let (_, mut dialog) = src.invite(SIPREC, &offer("", &[line(4000, "RTP/AVP", "label:1")]));
    let more = offer("", &[line(4000, "RTP/AVP", "label:1"), line(4000, "RTP/SAVP", "label:1")]);
    let answer = src.ask(&mut dialog, "INVITE", "", &more);
    assert_eq!((port(&answer, 1), src.controls().len()), ("0".into(), 0));
}

#[test]
fn a_stream_whose_description_names_no_address_is_taken_from_the_client_alone() {
    let client: IpAddr = "127.0.0.1".parse().unwrap();
    for connection in
        ["", "c=IN IP4 pbx.example\r\n", "c=IN IP4 0.0.0.0\r\n", "c=IN IP6 ::\r\n", "c=IN IP4\r\n", "c=\r\n"]
    {
        let sdp = format!("v=0\r\ns=-\r\n{connection}t=0 0\r\n{}", line(4000, "RTP/AVP", "label:1"));
        let (taken, _, src) = answered(&sdp);
        assert_eq!(
            (taken, src.call().new.streams[0].media.source.ip),
            (vec![true], Some(client)),
            "{connection}"
        );
        let nameless = u64::from(!connection.contains("0.0.0.0") && !connection.contains("::"));
        assert_eq!(src.server.stats().streams_without_address, nameless, "{connection}");
        let mut learned = Src::with(|config| config.media_source = MediaSource::Learned);
        learned.invite(SIPREC, &sdp);
        assert_eq!(learned.call().new.streams[0].media.source.ip, None, "where the owner wants it so");
    }
    let named = format!("v=0\r\nc=IN IP6 ::ffff:192.0.2.7\r\n{}", line(4000, "RTP/AVP", ""));
    let (_, _, src) = answered(&named);
    assert_eq!(src.call().new.streams[0].media.source.ip, Some("192.0.2.7".parse().unwrap()));
    for group in ["IP4 239.1.2.3/127", "IP6 ff02::1"] {
        let (taken, _, src) = answered(&format!("v=0\r\nc=IN {group}\r\n{}", line(4000, "RTP/AVP", "")));
        assert_eq!((taken, src.server.stats().streams_multicast), (vec![false], 1), "{group}");
        assert!(src.feed.seen().is_empty());
    }
}

#[test]
fn every_m_line_has_its_answer_however_odd_it_is() {
    let lines = "m=audio 4000 RTP/AVP 8 8 0 8\r\na=label:1\r\na=sendonly\r\nm=audio\r\na=label:2\r\n\
        m=audio 70000 RTP/AVP 0\r\nm=\r\nm=audio 4003/2 RTP/AVP 8\r\na=rtcp:4009\r\na=rtcp-mux\r\na=fmtp:8\r\na=rtpmap:8\r\na=sendonly\r\n";
    let mut src = Src::new();
    let (answer, _) = src.invite(SIPREC, &format!("v=0\r\nc=IN IP4 127.0.0.1\r\n{lines}"));
    let ours = media(&answer);
    assert_eq!(ours.len(), 5, "{answer}");
    assert!(ours[0].starts_with("m=audio 20000 RTP/AVP 8 0|"), "each payload type once: {answer}");
    assert!(ours[1].starts_with("m=audio 0 ") && ours[2].starts_with("m=audio 0 RTP/AVP 0|"), "{answer}");
    assert!(ours[3].starts_with("m=audio 0 RTP/AVP "), "{answer}");
    assert!(ours[4].starts_with("m=audio 20002 RTP/AVP 8|"), "{answer}");
}

#[test]
fn a_call_in_which_nobody_is_known_to_call_says_why_keys_do_not_count() {
    let xml = "<recording><participant participant_id='a'><nameID aor='sip:1@h'/></participant>\
        <participant participant_id='b'><nameID aor='sip:2@h'/></participant>\
        <stream stream_id='s'><label>7</label></stream></recording>";
    let mut src = Src::new();
    let sdp = offer("", &[line(4000, "RTP/AVP", "label:1"), line(4002, "RTP/AVP", "label:2")]);
    src.invite(SIPREC, &with_metadata(&sdp, xml));
    assert!(src.call().new.streams.iter().all(|stream| stream.role == StreamRole::Other));
    assert_eq!(src.server.stats().calls_without_caller, 1);
}
