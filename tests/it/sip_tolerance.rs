//! What equipment writes beside the grammar, where nothing is gained by refusing it.

use optag_sip::sip::flow::Transport;

use crate::sip_src::{Dialog, SDP, SIPREC, Src, code, header};

/// The answer to an INVITE of which `edit` has changed the text, and whether a call came of it that
/// its BYE ends.
fn taken(transport: Transport, edit: impl Fn(String) -> Vec<u8>) -> (u16, bool, Src) {
    let mut src = Src::new();
    src.transport = transport;
    let mut dialog = Dialog { call_id: "odd".into(), to: "<sip:srs@127.0.0.1>".into(), cseq: 0 };
    let text = src.request(
        &mut dialog,
        "INVITE",
        &format!("{SIPREC}P-Asserted-Identity: <tel:+4588888888>\r\n"),
        SDP,
    );
    let answer = src.raw(&edit(text)).pop().unwrap_or_default();
    let ended = header(&answer, "To").is_some_and(|to| {
        dialog.to = to;
        src.ask(&mut dialog, "BYE", "", "");
        src.feed.seen().len() == 1 && src.controls() == ["end"]
    });
    (code(&answer), ended, src)
}

#[test]
fn names_of_every_kind_in_from_and_to_are_taken() {
    for name in [
        "\"Bo\" ",
        "Hansen, Bo ",
        "Holm & Co ",
        "Bo Holm (Skat) ",
        "Bo Holm (Skat ",
        "Vagt 1/2 #3 ",
        "bo@kommune.example ",
        "Tlf: Bo ",
        "H\u{f8}jgaard, \u{c5}se ",
        "\"\"unknown\"\" ",
        "\"Bo ",
        "Bo\" ",
        "\"\" ",
        "'Bo' ",
        "\"Bo \\\" ",
        "Bo; x=y ",
        "\u{202e}Bo ",
        "=?utf-8?Q?Bo?= ",
        "\tBo\t",
        "Bo <3 ",
    ] {
        let from = format!("From: {name}<sip:+4520000001@pbx.example>;tag=src");
        let to = format!("To: {name}<sip:srs@127.0.0.1>");
        let (answer, ended, _) = taken(Transport::Udp, |text| {
            text.replace("From: <sip:src@127.0.0.1>;tag=src", &from).into_bytes()
        });
        assert_eq!((answer, ended), (200, true), "{from}");
        let (answer, ended, src) =
            taken(Transport::Udp, |text| text.replace("To: <sip:srs@127.0.0.1>", &to).into_bytes());
        assert_eq!((answer, ended), (200, true), "{to}");
        assert_eq!(src.call().new.caller_number.reveal(), "+4588888888");
    }
}

#[test]
fn contacts_of_every_kind_are_taken() {
    for contact in [
        "<sip:+4520000001;postd=pp22@127.0.0.1:5070;user=phone>;+sip.src",
        "sip:src@127.0.0.1:5070;+sip.src;+sip.instance=\"<urn:uuid:0f>\";+g.3gpp.icsi-ref=\"urn%3Aurn-7\";audio",
        "<sip:src@127.0.0.1:5070>;;+sip.src",
        "Holm & Co <sip:src@127.0.0.1:5070>;+sip.src",
        "Hansen, Bo <sip:src@127.0.0.1:5070>;+sip.src",
        "\"Bo <sip:src@127.0.0.1:5070>;+sip.src",
        "<sip:src@127.0.0.1:5070>;+sip.src;methods=\"INVITE, ACK, BYE\"",
        "<sip:src@192.0.2.9:5060;maddr=127.0.0.1>;+sip.src",
        "sip:src@127.0.0.1:5070?Route=%3Csip:a%3E;+sip.src",
        "< sip:src@127.0.0.1:5070 > ;+sip.src",
        "<sip:src@127.0.0.1:5070;+sip.src",
        "src@127.0.0.1:5070;+sip.src",
        "",
        "*",
    ] {
        let (answer, ended, mut src) = taken(Transport::Udp, |text| {
            text.replace("<sip:src@127.0.0.1:5070>;+sip.src", contact).into_bytes()
        });
        assert_eq!((answer, ended), (200, true), "{contact}");
        // Whatever it says, the client is reached.
        let (_, _) = src.invite(&SIPREC.replace("<sip:src@127.0.0.1:5070>;+sip.src", contact), SDP);
        let sent = src.play(optag_sip::siprec::server::Input::EndAll);
        let bye = sent.iter().find(|m| m.starts_with("BYE ")).unwrap();
        assert!(bye.starts_with("BYE sip:"), "{contact}: {bye}");
    }
}

#[test]
fn odd_blanks_line_ends_and_spellings_are_taken() {
    for (name, was, is) in [
        (
            "blanks in the start line",
            "INVITE sip:srs@127.0.0.1 SIP/2.0",
            "INVITE  sip:srs@127.0.0.1  SIP/2.0 ",
        ),
        ("tabs in the start line", "INVITE sip:srs@127.0.0.1 SIP/2.0", "INVITE\tsip:srs@127.0.0.1\tSIP/2.0"),
        ("a small version", "127.0.0.1 SIP/2.0\r\n", "127.0.0.1 sip/2.0\r\n"),
        ("header fields in the URI", "INVITE sip:srs@127.0.0.1 ", "INVITE sip:srs@127.0.0.1?X=%3Cy%3E "),
        ("brackets around the URI", "INVITE sip:srs@127.0.0.1 ", "INVITE <sip:srs@127.0.0.1> "),
        (
            "escapes and parameters",
            "INVITE sip:srs@127.0.0.1 ",
            "INVITE sip:%73rs;a=b:p%20w@127.0.0.1;x=%zz;;y ",
        ),
        ("a host alone", "INVITE sip:srs@127.0.0.1 ", "INVITE sip:127.0.0.1:5060;transport=udp "),
        ("no Max-Forwards", "Max-Forwards: 70\r\n", ""),
        ("a Max-Forwards that is none", "Max-Forwards: 70", "Max-Forwards: many"),
        ("two of them", "Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 69"),
        ("the same From twice", "To: ", "From: <sip:src@127.0.0.1>;tag=src\r\nTo: "),
        ("blanks around CSeq", "CSeq: 1 INVITE", "CSeq:\t 1 \t  INVITE \t"),
        ("no blank in CSeq", "CSeq: 1 INVITE", "CSeq: 1INVITE"),
        ("zeros before it", "CSeq: 1 INVITE", "CSeq: 0001 INVITE"),
        ("a folded CSeq", "CSeq: 1 INVITE", "CSeq: 1\r\n\t INVITE"),
        ("blanks before colons", "Call-ID:", "Call-ID \t :"),
        ("blanks behind lines", "Call-ID: odd\r\n", "Call-ID: odd \t \r\n"),
        ("compact names", "Via: ", "V: "),
        ("compact names", "Content-Type: ", "c:"),
        ("a line that is no field", "To: ", "this is no field\r\nTo: "),
        ("empty fields", "To: ", "Subject:\r\nSupported: ,,\r\nTo: "),
        (
            "blanks in Via",
            "SIP/2.0/UDP 127.0.0.1:5070;branch=",
            "SIP / 2.0 / UDP  127.0.0.1 : 5070 ; branch = ",
        ),
        ("separators in Via", ";rport\r\n", ";rport;;,;,,\r\n"),
        ("a comment in Via that never ends", ";rport\r\n", ";rport;x=(y\r\n"),
        ("a small transport", "SIP/2.0/UDP", "sip/2.0/udp"),
        ("no branch", ";branch=z9hG4bK1", ""),
        ("no tag", ";tag=src", ""),
        ("quotes around the tag", ";tag=src", ";tag=\"src\""),
        ("a From that is no address", "From: <sip:src@127.0.0.1>;tag=src", "From: Anonymous;tag=src"),
        ("an unknown scheme in From", "From: <sip:src@127.0.0.1>", "From: <unknown:x>"),
        ("capitals", "Content-Type: application/sdp", "CONTENT-TYPE: Application/SDP ; charset=x"),
        ("no Content-Length", "Content-Length: ", "X-Length: "),
        ("identity encoding", "Content-Type:", "Content-Encoding: Identity\r\nContent-Type:"),
    ] {
        let (answer, _, src) = taken(Transport::Udp, |text| {
            assert!(text.contains(was), "{name}: {text}");
            text.replacen(was, is, 1).into_bytes()
        });
        assert_eq!((answer, src.feed.seen().len()), (200, 1), "{name}");
    }
    let whole = |edit: &dyn Fn(String) -> Vec<u8>| taken(Transport::Udp, edit).0;
    assert_eq!(whole(&|text| text.replace('\r', "").into_bytes()), 200, "bare line feeds");
    assert_eq!(whole(&|text| format!("\r\n\r\n\0{text}").into_bytes()), 200, "blank lines before it");
    let latin = |text: String| text.replace("From: <", "From: J\u{f8}rgen \u{c5}r\u{f8} <");
    assert_eq!(whole(&|text| latin(text).chars().map(|c| c as u8).collect()), 200, "Latin-1");
    assert_eq!(whole(&|text| latin(text).into_bytes()), 200, "UTF-8");
}

#[test]
fn a_name_is_shown_as_it_was_meant() {
    for (from, expect) in [
        ("Hansen, Bo <sip:+4520000001@h>;tag=src", "Hansen, Bo"),
        ("\"\"Bo\"\" <sip:+4520000001@h>;tag=src", "Bo"),
        ("\"Bo <sip:+4520000001@h>;tag=src", "Bo"),
        ("Holm & Co (Skat) <sip:+4520000001@h>;tag=src", "Holm & Co (Skat)"),
    ] {
        for field in ["From", "P-Asserted-Identity"] {
            let mut src = Src::new();
            let mut dialog = Dialog { call_id: "n".into(), to: "<sip:srs@h>".into(), cseq: 0 };
            let text = src.request(&mut dialog, "INVITE", SIPREC, SDP);
            let text = match field {
                "From" => text.replace("From: <sip:src@127.0.0.1>;tag=src", &format!("From: {from}")),
                _ => text.replace(
                    "Contact:",
                    &format!("P-Asserted-Identity: {}\r\nContact:", from.replace(";tag=src", "")),
                ),
            };
            src.raw(text.as_bytes());
            let new = src.call().new;
            assert_eq!(new.caller_number.reveal(), "+4520000001", "{field}: {from}");
            assert_eq!(
                new.caller_name.map(|n| n.reveal().clone()).as_deref(),
                Some(expect),
                "{field}: {from}"
            );
        }
    }
}
