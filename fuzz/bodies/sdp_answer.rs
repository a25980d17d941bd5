//! What must hold for any bytes that a client sends as its answer to an offer of ours: to the one of a 200
//! to an INVITE without a description, and to the one of our re-INVITE after consent.

use std::time::Duration;

use optag_core::call::ConsentState;
use optag_sip::sdp::parse as read;
use optag_sip::sip::flow::{Flow, Transport};

use super::srs::Srs;

const HEAD: &str = "From: <sip:88888888@192.0.2.1>;tag=src\r\nCall-ID: c\r\nMax-Forwards: 70\r\n\
    Contact: <sip:src@192.0.2.1:5060>;+sip.src\r\nRequire: siprec\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n";
const OFFER: &str = "v=0\r\no=src 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=label:1\r\na=sendonly\r\n\
    m=audio 40002 RTP/AVP 8 0 101\r\na=label:2\r\na=sendonly\r\n";

/// An answer between two texts of the server: a bit of the first byte chooses whose offer it answers.
pub(super) fn run(data: &[u8]) {
    let Some((&mode, answer)) = data.split_first() else { return };
    let flow = Flow {
        transport: Transport::Tcp,
        link: 7,
        local: "192.0.2.200:5060".parse().expect("an address"),
        peer: "192.0.2.1:40000".parse().expect("an address"),
    };
    let ours = mode & 1 == 1;
    // The streams wait for consent where the second offer is ours.
    let mut srs = Srs::new(u8::from(ours) << 1 | mode & 0b1001_0000);
    let send = |srs: &mut Srs, method: &str, number: u32, to: &str, body: &[u8]| -> String {
        let mut text = format!(
            "{method} sip:70102030@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK{number}{method}\r\n\
             To: {to}\r\nCSeq: {number} {method}\r\n{HEAD}{}Content-Length: {}\r\n\r\n",
            if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" },
            body.len()
        )
        .into_bytes();
        text.extend_from_slice(body);
        srs.receive(flow, &text, true);
        taken(srs)
    };
    let first: &[u8] = if ours { OFFER.as_bytes() } else { b"" };
    let accepted = send(&mut srs, "INVITE", 1, "<sip:70102030@h>", first);
    assert!(accepted.starts_with("SIP/2.0 200"), "{accepted}");
    let to = value(&accepted, "To").expect("a To field");
    let lines = media(&accepted);
    if ours {
        send(&mut srs, "ACK", 1, &to, b"");
        srs.says(0, ConsentState::Granted);
        srs.wait(Duration::from_secs(5));
        let offer = taken(&mut srs);
        if offer.starts_with("INVITE") {
            let fields: String = ["Via", "From", "To", "Call-ID", "CSeq"]
                .map(|name| format!("{name}: {}\r\n", value(&offer, name).unwrap_or_default()))
                .concat();
            let mut text = format!(
                "SIP/2.0 200 OK\r\n{fields}Contact: <sip:src@192.0.2.1>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            )
            .into_bytes();
            text.extend_from_slice(answer);
            srs.receive(flow, &text, true);
            assert!(taken(&mut srs).starts_with("ACK"), "an answer to our INVITE is acknowledged");
        }
    } else {
        send(&mut srs, "ACK", 1, &to, answer);
    }
    // Whatever the answer was, the next offer is answered line by line.
    let again = send(&mut srs, "INVITE", 2, &to, OFFER.as_bytes());
    assert!(again.starts_with("SIP/2.0 200"), "{again}");
    assert!(media(&again) >= 2, "an answer to each line");
    assert!(lines <= 8);
    send(&mut srs, "ACK", 2, &to, b"");
    let bye = send(&mut srs, "BYE", 3, &to, b"");
    assert!(bye.starts_with("SIP/2.0 200"), "{bye}");
    srs.finish();
}

/// The last message that the server sent.
fn taken(srs: &mut Srs) -> String {
    let last = std::mem::take(&mut srs.sent).pop();
    last.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn value(message: &str, name: &str) -> Option<String> {
    message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
}

/// Lines of media in the description of a message.
fn media(message: &str) -> usize {
    let body = message.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    read(body.as_bytes()).map_or(0, |offer| offer.media.len())
}
