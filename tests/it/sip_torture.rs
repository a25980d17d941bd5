//! Torture messages of RFC 4475, and how a recorder handles each.

use optag_sip::sip::allow_list::AllowList;
use optag_sip::sip::parse::{Framing, Parsed, parse};

use crate::sip_src::{Src, code};

/// A request with the given start line, fields and body.
fn message(start: &str, fields: &str, body: &str) -> String {
    let method = start.split(' ').next().unwrap();
    let padding = format!("User-Agent: {}\r\n", "x".repeat(300));
    let mut text = format!("{start}\r\n");
    for (name, default) in [
        ("Via", "SIP/2.0/UDP host.example.com;branch=z9hG4bK.torture"),
        ("To", "<sip:user@example.com>"),
        ("From", "<sip:caller@example.net>;tag=1"),
        ("Call-ID", "torture"),
        ("Max-Forwards", "70"),
        ("Contact", "<sip:caller@host.example.net>"),
    ] {
        let there =
            fields.lines().any(|line| line.starts_with(&format!("{name}:")) || line == format!("!{name}"));
        if !there {
            text.push_str(&format!("{name}: {default}\r\n"));
        }
    }
    if !fields.contains("CSeq") {
        text.push_str(&format!("CSeq: 1 {method}\r\n"));
    }
    for line in fields.lines().filter(|line| !line.starts_with('!')) {
        text.push_str(&format!("{line}\r\n"));
    }
    if !fields.contains("Content-Length") {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text + &padding + "\r\n" + body
}

const SDP: &str =
    "v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 49217 RTP/AVP 0\r\n";

/// The status codes of everything sent in response to these bytes.
fn codes(bytes: &[u8]) -> Vec<u16> {
    let mut src = Src::with(|config| {
        config.plain_calls = true;
        config.clients = AllowList::parse(["0.0.0.0/0"]).unwrap();
    });
    src.raw(bytes).iter().map(|m| code(m)).collect()
}

fn answered(start: &str, fields: &str, body: &str) -> u16 {
    codes(message(start, fields, body).as_bytes()).pop().unwrap_or(0)
}

const INVITE: &str = "INVITE sip:user@example.com SIP/2.0";
const OPTIONS: &str = "OPTIONS sip:user@example.com SIP/2.0";
const WITH_SDP: &str = "Content-Type: application/sdp\n";

#[test]
fn a_short_tortuous_invite_is_taken() {
    let bytes = include_bytes!("../data/sip/wsinv.dat");
    let Ok(Parsed::Request(request)) = parse(bytes, Framing::Datagram) else { panic!("refused") };
    assert_eq!(request.headers.list("via").len(), 3);
    assert_eq!(request.via().unwrap().sent_by, "192.0.2.2");
    assert_eq!(request.via().unwrap().branch, "390skdjuw");
    assert_eq!(request.cseq().unwrap().number, 9);
    assert_eq!(request.from().unwrap().display, "J Rosenberg \\\"");
    assert_eq!(request.from().unwrap().tag(), Some("98asjd8"));
    assert_eq!(request.to().unwrap().tag(), Some("1918181833n"));
    assert_eq!(codes(bytes), [481], "its To has a tag, and there is no such dialog");
}

#[test]
fn a_multipart_body_with_binary_parts_is_cut_right() {
    let bytes = include_bytes!("../data/sip/mpart01.dat");
    let Ok(Parsed::Request(request)) = parse(bytes, Framing::Datagram) else { panic!("refused") };
    let kind = request.content_type().unwrap().1;
    let parts = optag_sip::sip::multipart::parts(&kind, &request.body);
    assert_eq!((parts.len(), &*parts[0].content), (2, b"Hello".as_slice()));
    assert_eq!(codes(bytes), [405]);
}

#[test]
fn valid_messages_of_every_shape_are_taken() {
    let long = format!("sip:{}@example.com", "verylong".repeat(120));
    for (name, expect, start, fields) in [
        (
            "esc01",
            200,
            "OPTIONS sip:sips%3Auser%40example.com@example.net SIP/2.0",
            "To: <sip:%75se%72@example.com>",
        ),
        (
            "escnull",
            405,
            "REGISTER sip:example.com SIP/2.0",
            "To: <sip:null-%00-null@example.com>\nContact: <sip:%00@host5.example.com>",
        ),
        (
            "esc02",
            501,
            "RE%47IST%45R sip:registrar.example.com SIP/2.0",
            "To: \"%Z%45\" <sip:resource@example.com>",
        ),
        ("lwsdisp", 200, OPTIONS, "From: caller<sip:caller@example.com>;tag=323"),
        (
            "longreq",
            200,
            OPTIONS,
            &format!("To: \"{}\" <{long}>", "I have a user name of extreme proportion".repeat(8)),
        ),
        (
            "semiuri",
            200,
            "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0",
            "To: <sip:j_user@example.com>",
        ),
        (
            "transports",
            200,
            OPTIONS,
            "Via: SIP/2.0/UNKNOWN t1.example.com;branch=z9hG4bKkdjuw, SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf",
        ),
        ("zeromf", 200, OPTIONS, "Max-Forwards: 0"),
        ("baddate is ignored", 200, OPTIONS, "Date: Fri, 01 Jan 2010 16:00:00 EST"),
        (
            "cparam01",
            405,
            "REGISTER sip:example.com SIP/2.0",
            "Contact: sip:+19725552222@gw1.example.net;unknownparam",
        ),
        (
            "regaut01",
            405,
            "REGISTER sip:example.com SIP/2.0",
            "Authorization: NoOneKnowsThisScheme opaque-data=here",
        ),
        (
            "unksm2",
            405,
            "REGISTER sip:example.com SIP/2.0",
            "To: isbn:2983792873\nFrom: <http://www.example.com>;tag=3234233",
        ),
        (
            "cparam02",
            405,
            "REGISTER sip:example.com SIP/2.0",
            "Contact: <sip:+19725552222@gw1.example.net;unknownparam>",
        ),
        (
            "regescrt",
            405,
            "REGISTER sip:example.com SIP/2.0",
            "Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>",
        ),
    ] {
        assert_eq!(answered(start, fields, ""), expect, "{name}");
    }
    let odd = "!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0";
    assert_eq!(
        answered(odd, "To: \"BEL:\\\u{7} NUL:\\\u{0} DEL:\\\u{7f}\" <sip:1_unusual@example.com>", ""),
        501,
        "intmeth"
    );
}

/// `dblreq`.
#[test]
fn a_second_request_behind_the_body_of_a_datagram_is_not_looked_at() {
    let two = message(OPTIONS, "", "") + &message(INVITE, WITH_SDP, SDP);
    assert_eq!(codes(two.as_bytes()), [200]);
}

/// RFC 4475 permits tolerance for these: the meaning is clear, and a rejection costs a recording.
#[test]
fn requests_whose_meaning_survives_their_fault_are_taken() {
    for (name, expect, start, fields, body) in [
        ("badinv01", 200, INVITE, "Contact: \"Joe\" <sip:joe@example.org>;;;;", ""),
        ("scalar02 Max-Forwards", 200, OPTIONS, "Max-Forwards: 300", ""),
        ("quotbal", 200, INVITE, "To: \"Mr. J. User <sip:j.user@example.com>", ""),
        ("ltgtruri", 200, "INVITE <sip:user@example.com> SIP/2.0", "", ""),
        ("lwsruri", 200, "INVITE sip:user@example.com; lr SIP/2.0", "", ""),
        ("lwsstart", 200, "INVITE  sip:user@example.com  SIP/2.0", "", ""),
        ("trws", 200, "OPTIONS sip:user@example.com SIP/2.0  ", "", ""),
        ("escruri", 200, "INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0", "", ""),
        (
            "regbadct",
            405,
            "REGISTER sip:example.com SIP/2.0",
            "Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E",
            "",
        ),
        ("badaspec", 200, OPTIONS, "To: \"Watson, Thomas\" < sip:t.watson@example.org >", ""),
        ("baddn", 200, OPTIONS, "From: Bell, Alexander <sip:a.g.bell@example.com>;tag=43", ""),
    ] {
        assert_eq!(answered(start, fields, body), expect, "{name}");
    }
}

#[test]
fn malformed_requests_are_answered_400_or_as_their_fault_asks() {
    for (name, expect, start, fields, body) in [
        ("clerr", 400, INVITE, "Content-Length: 9999", "v=0"),
        ("ncl", 400, INVITE, "Content-Length: -999", "v=0"),
        ("scalar02 CSeq", 400, OPTIONS, "CSeq: 36893488147419103232 OPTIONS", ""),
        ("badvers", 505, "OPTIONS sip:t.watson@example.org SIP/7.0", "", ""),
        ("mismatch01", 400, OPTIONS, "CSeq: 8 INVITE", ""),
        ("mismatch02", 400, "NEWMETHOD sip:user@example.com SIP/2.0", "CSeq: 8 INVITE", ""),
        ("insuf", 400, INVITE, "!From\n!To\n!Call-ID", ""),
        ("unkscm", 416, "OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0", "", ""),
        ("novelsc", 416, "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0", "", ""),
        ("bext01", 420, OPTIONS, "Require: nothingSupportsThis, nothingSupportsThisEither", ""),
        ("invut", 415, INVITE, "Content-Type: application/unknownformat", "<audio/>"),
        ("multi01", 400, INVITE, "CSeq: 5 INVITE\nCSeq: 59 INVITE\nCall-ID: a\nCall-ID: b", ""),
        ("mcl01", 400, OPTIONS, "Content-Length: 13\nContent-Length: 5", "There's no way"),
        ("sdp01", 406, INVITE, "Accept: text/nobodyKnowsThis\nContent-Type: application/sdp", SDP),
    ] {
        assert_eq!(answered(start, fields, body), expect, "{name}");
    }
}

#[test]
fn a_branch_that_is_only_the_magic_cookie_and_clients_of_rfc_2543_are_served() {
    assert_eq!(answered(OPTIONS, "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK", ""), 200, "badbranch");
    let old =
        "Via: SIP/2.0/UDP iftgw.example.com\nFrom: <sip:+13035551111@ift.client.example.net;user=phone>\n";
    assert_eq!(answered(INVITE, &format!("{old}{WITH_SDP}"), SDP), 200, "inv2543");
}

#[test]
fn responses_that_answer_nothing_of_ours_are_dropped() {
    let here = "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1";
    for (name, start, fields) in [
        ("unreason", "SIP/2.0 200 = 2**3 * 5**2 \u{43d}\u{43e} \u{441}\u{442}\u{43e}", here),
        ("noreason", "SIP/2.0 100 ", here),
        ("bigcode", "SIP/2.0 4294967301 better not break the receiver", here),
        ("bcast", "SIP/2.0 200 OK", "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23"),
        ("scalarlg", "SIP/2.0 503 Service Unavailable", "CSeq: 9292394834772304023312 OPTIONS"),
        ("scalarlg", "SIP/2.0 503 Service Unavailable", "Retry-After: 949302838503028349304023988"),
        ("scalarlg", "SIP/2.0 503 Service Unavailable", "Warning: 1812 overture \"In Progress\""),
        ("a code that is none", "SIP/2.0 99 x", here),
    ] {
        let text = message("OPTIONS x SIP/2.0", fields, "").replacen("OPTIONS x SIP/2.0", start, 1);
        assert_eq!(codes(text.as_bytes()), Vec::<u16>::new(), "{name}");
    }
}

/// The names of all messages of RFC 4475, §3.1 to §3.4.
#[test]
fn no_message_of_the_torture_test_is_left_out() {
    let names = "wsinv intmeth esc01 escnull esc02 lwsdisp longreq dblreq semiuri transports mpart01 unreason \
        noreason badinv01 clerr ncl scalar02 scalarlg quotbal ltgtruri lwsruri lwsstart trws escruri baddate \
        regbadct badaspec baddn badvers mismatch01 mismatch02 bigcode badbranch insuf unkscm novelsc unksm2 bext01 \
        invut regaut01 multi01 mcl01 bcast zeromf cparam01 cparam02 regescrt sdp01 inv2543";
    let all: Vec<&str> = names.split_whitespace().collect();
    assert_eq!(all.len(), 49);
    let here = include_str!("sip_torture.rs");
    let (before, after) = here.split_once("let names").unwrap();
    let elsewhere = format!("{before}{}", after.split_once("inv2543\";").unwrap().1);
    let missing: Vec<&&str> = all.iter().filter(|name| !elsewhere.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn what_is_no_sip_gets_no_answer() {
    for junk in [
        b"".as_slice(),
        b"\0\0\0\0",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS",
        b"OPTIONS sip:a@b SIP/2.0\r\n\r\n",
        b"\x00\x01\x00\x00\x21\x12\xa4\x42",
        b"SIP/2.0\r\n\r\n",
        &[0xff; 2000],
    ] {
        assert_eq!(codes(junk), Vec::<u16>::new(), "{junk:?}");
    }
}

/// Cuts, duplicates and flips bytes of real messages, from a printed seed.
#[test]
fn no_mutilated_message_panics() {
    let mut seed: u64 = 0x5eed_0001;
    println!("seed {seed:#x}");
    let mut next = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below.max(1)
    };
    let samples: [Vec<u8>; 4] = [
        include_bytes!("../data/sip/wsinv.dat").to_vec(),
        include_bytes!("../data/sip/mpart01.dat").to_vec(),
        message(INVITE, WITH_SDP, SDP).into_bytes(),
        message(
            INVITE,
            "Require: siprec\nContent-Type: multipart/mixed;boundary=uniqueBoundary",
            include_str!("../data/siprec/cisco-siprec-offer.txt"),
        )
        .into_bytes(),
    ];
    for round in 0..4_000 {
        let mut bytes = samples[round % samples.len()].clone();
        for _ in 0..1 + next(6) {
            let at = next(bytes.len());
            match next(5) {
                0 => bytes.truncate(at),
                1 => bytes[at] = next(256) as u8,
                2 => bytes.insert(at, b"\r\n\"<>;,:=\0"[next(10)]),
                3 => {
                    let end = (at + next(40)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        codes(&bytes);
    }
}
