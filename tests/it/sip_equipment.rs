//! Offers as the load tool sends them, in the shapes of several makers, and oddities beyond
//! those, against the server without sockets: each is answered, and its parties are found.

use optag::load::sip::shape::{CallInfo, Shape, offer};
use optag_core::call::{LinkKind, StreamRole};
use optag_media::codec::coded::Codec;

use crate::sip_src::{SDP, SIPREC, Src, code, media, with_metadata};

fn info() -> CallInfo {
    CallInfo {
        name: "c1".into(),
        caller_number: "+4588888888".into(),
        called_number: "70102030".into(),
        caller_name: "Ida Lund".into(),
        codec: Codec::Pcma,
        keys: None,
        ip: "127.0.0.1".parse().unwrap(),
    }
}

#[test]
fn the_parties_of_every_makers_offer_are_found() {
    for shape in Shape::ALL {
        let mut src = Src::new();
        let made = offer(shape, &info());
        let fields = format!("Contact: <sip:src@127.0.0.1:5070>;+sip.src\r\n{}", made.fields);
        let (answer, _) = src.invite(&fields, &made.body);
        assert_eq!(code(&answer), 200, "{shape:?}: {answer}");
        assert_eq!(media(&answer).len(), 2, "{shape:?}: {answer}");
        let call = src.call().new;
        assert_eq!(call.caller_number.reveal(), "+4588888888", "{shape:?}");
        assert_eq!(call.called_number.reveal(), "70102030", "{shape:?}");
        let name = call.caller_name.as_ref().map(|name| name.reveal().as_str());
        assert_eq!(name, (shape != Shape::CubeHeaders).then_some("Ida Lund"), "{shape:?}");
        let roles: Vec<StreamRole> = call.streams.iter().map(|stream| stream.role).collect();
        assert_eq!(roles, [StreamRole::Caller, StreamRole::Employee], "{shape:?}");
    }
}

#[test]
fn identifiers_of_contact_centre_equipment_become_links_of_the_call() {
    let mut src = Src::new();
    let xml = "<recording xmlns='urn:ietf:params:xml:ns:recording:1' xmlns:ac='AudioCodes'><session session_id='s'>\
        <ac:AvayaUCID xmlns='urn:ietf:params:xml:ns:Avaya'> FA080019001038F725B3</ac:AvayaUCID>\
        <ac:GenesysUUID xmlns='urn:ietf:params:xml:ns:Genesys'>4BOKLLA3VH66JF112M1CC9VHKS14F0KP</ac:GenesysUUID>\
        </session></recording>";
    let fields = format!("{SIPREC}X-Genesys-CallUUID: 5CPLMMB4\r\nCisco-Guid: 1-2-3-4\r\n");
    src.invite(&fields, &with_metadata(SDP, xml));
    let links = src.call().new.context.links;
    let of = |kind| -> Vec<String> {
        links.iter().filter(|link| link.kind == kind).map(|link| link.value.reveal().clone()).collect()
    };
    assert_eq!(of(LinkKind::CiscoGuid), ["1-2-3-4"]);
    let ucids = of(LinkKind::Ucid);
    for expect in ["FA080019001038F725B3", "4BOKLLA3VH66JF112M1CC9VHKS14F0KP", "5CPLMMB4"] {
        assert!(ucids.iter().any(|ucid| ucid == expect), "{expect}: {ucids:?}");
    }
}

#[test]
fn bodies_that_are_wrapped_encoded_or_in_another_character_set_are_read() {
    let xml = "<recording xmlns='urn:ietf:params:xml:ns:recording:1'>\
        <participant participant_id='a'><nameID aor='sip:+4588888888@h'><name>S\u{f8}ren</name></nameID></participant>\
        </recording>";
    let latin: String = xml.chars().collect();
    let latin: Vec<u8> = latin.chars().map(|c| c as u8).collect();
    let mut wrapped = format!(
        "--b\r\nContent-Type: multipart/related;boundary=inner\r\n\r\n--inner\r\nContent-Type: application/sdp;charset=utf-8\r\n\r\n{SDP}\r\n\
         --inner--\r\n--b\r\nContent-Type: application/rs-metadata+xml\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    .into_bytes();
    wrapped.extend(latin);
    wrapped.extend(b"\r\n--b--\r\n");
    let mut src = Src::new();
    let mut dialog = crate::sip_src::Dialog { call_id: "w".into(), to: "<sip:srs@h>".into(), cseq: 0 };
    let kind = format!("{SIPREC}Content-Type: multipart/mixed;boundary=b\r\n");
    let head = src.request(&mut dialog, "INVITE", &kind, "");
    let head = head.replace("Content-Length: 0", &format!("Content-Length: {}", wrapped.len()));
    let answer = src.raw(&[head.as_bytes(), &wrapped].concat()).pop().unwrap();
    assert_eq!(code(&answer), 200, "{answer}");
    let call = src.call().new;
    assert_eq!(call.caller_name.unwrap().reveal(), "S\u{f8}ren");
    assert_eq!(call.streams.len(), 2);
}

#[test]
fn the_owners_order_of_places_decides_who_calls_and_what_the_caller_is_called() {
    let mut src = Src::with(|config| {
        let read = |text: &str| text.split(", ").map(|one| one.parse().unwrap()).collect();
        config.rules.caller = read("header:x-original-caller, participants");
        config.rules.called = read("header:x-trunk;ddi, header:to");
        config.rules.name = read("header:x-trunk;name, caller");
    });
    let xml = "<recording><participant participant_id='a'><nameID aor='sip:1@h'><name>Wrong</name></nameID></participant></recording>";
    let fields = format!(
        "{SIPREC}X-Original-Caller: \"Somebody\" <sip:+4577777777@h>\r\nX-Trunk: t1;ddi=70102030;name=Bo\r\n"
    );
    src.invite(&fields, &with_metadata(SDP, xml));
    let call = src.call().new;
    assert_eq!(call.caller_number.reveal(), "+4577777777");
    assert_eq!(call.called_number.reveal(), "70102030");
    assert_eq!(call.caller_name.unwrap().reveal(), "Bo");
    assert!("header:".parse::<optag_sip::siprec::parties::Source>().is_err());
}

#[test]
fn requests_that_equipment_sends_inside_and_outside_of_dialogs_are_tolerated() {
    let mut src = Src::new();
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    for (method, headers, body, expect) in [
        ("OPTIONS", "", "", 200),
        ("NOTIFY", "Event: keep-alive\r\n", "", 200),
        ("INFO", "Content-Type: application/media_control+xml\r\n", "<media_control/>", 200),
        ("UPDATE", "", "", 200),
        ("PRACK", "RAck: 1 1 INVITE\r\n", "", 481),
        ("MESSAGE", "Content-Type: text/plain\r\n", "hi", 405),
        ("REFER", "Refer-To: <sip:x@y>\r\n", "", 405),
        ("SUBSCRIBE", "Event: dialog\r\n", "", 405),
        ("PUBLISH", "Event: dialog\r\n", "", 405),
        ("FOO", "", "", 501),
    ] {
        assert_eq!(code(&src.ask(&mut dialog, method, headers, body)), expect, "{method}");
    }
    let mut alone = crate::sip_src::Dialog { call_id: "alone".into(), to: "<sip:srs@h>".into(), cseq: 0 };
    for (method, expect) in
        [("OPTIONS", 200), ("NOTIFY", 481), ("INFO", 481), ("UPDATE", 481), ("BYE", 481), ("CANCEL", 481)]
    {
        assert_eq!(code(&src.ask(&mut alone, method, "", "")), expect, "{method}");
    }
    assert_eq!(code(&src.ask(&mut dialog, "BYE", "", "")), 200, "the session is none the worse");
    assert_eq!(src.controls(), ["describe", "end"], "what INFO brought is kept as it came");
}
