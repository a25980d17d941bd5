//! The SIP layer against another one: what we write is read by `ezk-sip-types`, and of what
//! both can read, both understand the same.

use ezk_sip_types::header::typed::{CSeq, CallID, Contact, FromTo, Via};
use ezk_sip_types::msg::{Line, MessageLine, PullParser};
use ezk_sip_types::{Headers, Name};
use optag::load::sip::shape::{CallInfo, Shape, offer};
use optag_core::call::{Answer, ConsentHow, ConsentState, Evidence};
use optag_media::codec::coded::Codec;
use optag_sip::feed::Control;
use optag_sip::sip::parse::{Framing, Parsed, parse};
use optag_sip::siprec::server::Input;
use optag_sip::siprec::settings::UntilConsent;

use crate::sip_src::{SDP, SIPREC, Src};

/// A message as the other library reads it.
struct Other {
    line: MessageLine,
    headers: Headers,
    body: String,
}

fn other(text: &str) -> Option<Other> {
    let bytes = bytes::Bytes::copy_from_slice(text.as_bytes());
    let mut parser = PullParser::new(&bytes, 0);
    let mut lines = parser.by_ref().map(|line| std::str::from_utf8(line.ok()?).ok());
    let line = lines.next()??.parse().ok()?;
    let mut headers = Headers::new();
    for line in lines {
        let (_, line) = Line::parse(&bytes, line?).ok()?;
        headers.insert(line.name, line.value);
    }
    let body = text[parser.head_end()..].to_owned();
    Some(Other { line, headers, body })
}

/// Reads a message of ours by the other library; panics where it finds a fault.
fn check(text: &str) -> Other {
    let read = other(text).unwrap_or_else(|| panic!("unreadable:\n{text}"));
    let sound = read.headers.get_named::<Via>().is_ok()
        && read.headers.get_named::<CSeq>().is_ok()
        && read.headers.get_named::<CallID>().is_ok()
        && read.headers.get::<FromTo>(Name::FROM).is_ok_and(|from| from.tag.is_some());
    assert!(sound, "{text}");
    let length = read.headers.get_raw(&Name::CONTENT_LENGTH).next().expect("a Content-Length");
    assert_eq!(length.trim().parse(), Ok(read.body.len()), "{text}");
    if let Some(contact) = read.headers.try_get::<Contact>(Name::CONTACT) {
        contact.unwrap_or_else(|error| panic!("{error:?}:\n{text}"));
    }
    if !read.body.is_empty() && text.contains("application/sdp") && !text.contains("multipart") {
        sdp_types::Session::parse(read.body.as_bytes()).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    }
    read
}

#[test]
fn everything_that_the_server_writes_is_read_by_another_library() {
    let mut src = Src::with(|config| config.until_consent = UntilConsent::Inactive);
    let headers = format!(
        "{SIPREC}Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr>\r\nSession-Expires: 1800;refresher=uas\r\nAllow: UPDATE\r\n"
    );
    let (answer, mut dialog) = src.invite(&headers, SDP);
    let read = check(&answer);
    let MessageLine::Response(line) = &read.line else { panic!("{answer}") };
    assert_eq!(line.code.into_u16(), 200);
    assert!(read.headers.get::<FromTo>(Name::TO).unwrap().tag.is_some());
    let call = src.call().view.id;
    let (how, evidence) = (ConsentHow::System, Evidence::Clock);
    let yes = Control::Answer { answer: Answer::Yes, how, prompt_version: None, evidence };
    src.feed.apply(call, yes).unwrap();
    let id = src.server.session_of(call).unwrap();
    let mut sent = src.play(Input::Consent(id, ConsentState::Granted));
    for (method, more) in [("OPTIONS", ""), ("INFO", ""), ("UPDATE", ""), ("FOO", "Require: a, b\r\n")] {
        sent.push(src.ask(&mut dialog, method, more, ""));
    }
    sent.extend(src.wait(std::time::Duration::from_secs(901)));
    sent.extend(src.play(Input::EndAll));
    let requests: Vec<String> = sent
        .iter()
        .map(|text| check(text))
        .filter_map(|read| Some(read.line.request_method()?.to_string()))
        .collect();
    for method in ["INVITE", "BYE"] {
        assert!(requests.iter().any(|m| m == method), "{requests:?}");
    }
}

#[test]
fn what_both_can_read_both_understand_alike() {
    let info = CallInfo {
        name: "c1".into(),
        caller_number: "+4588888888".into(),
        called_number: "70102030".into(),
        caller_name: "Ida Lund".into(),
        codec: Codec::Opus,
        keys: None,
        ip: "2001:db8::1".parse().unwrap(),
    };
    let mut src = Src::new();
    let texts: Vec<String> = Shape::ALL
        .into_iter()
        .map(|shape| {
            let made = offer(shape, &info);
            let mut dialog =
                crate::sip_src::Dialog { call_id: "i".into(), to: "<sip:srs@h>".into(), cseq: 0 };
            let contact = "Contact: <sip:src@[2001:db8::1]:5070;transport=tcp>;+sip.src\r\n";
            src.request(&mut dialog, "INVITE", &format!("{contact}{}", made.fields), &made.body)
        })
        .collect();
    for text in texts {
        let Some(theirs) = other(&text) else { panic!("{text}") };
        let Ok(Parsed::Request(ours)) = parse(text.as_bytes(), Framing::Datagram) else { panic!("{text}") };
        assert_eq!(theirs.line.request_method().unwrap().to_string(), ours.method);
        let cseq: CSeq = theirs.headers.get_named().unwrap();
        assert_eq!((cseq.cseq, cseq.method.to_string()), (ours.cseq().unwrap().number, ours.method.clone()));
        let call_id: CallID = theirs.headers.get_named().unwrap();
        assert_eq!(call_id.0.to_string(), ours.call_id());
        let tag =
            |name| theirs.headers.get::<FromTo>(name).ok().and_then(|field| field.tag).map(|t| t.to_string());
        assert_eq!(tag(Name::FROM).as_deref(), ours.from().unwrap().tag(), "{text}");
        assert_eq!(tag(Name::TO).as_deref(), ours.to().unwrap().tag(), "{text}");
        let via: Via = theirs.headers.get_named().unwrap();
        assert_eq!(via.params.get_val("branch").map(|b| b.to_string()), Some(ours.via().unwrap().branch));
    }
}
