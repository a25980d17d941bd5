//! What must hold for any bytes that claim to be SIP.

use optag_sip::sip::framing::Framer;
use optag_sip::sip::multipart::parts;
use optag_sip::sip::parse::{Framing, Parsed, parse};
use optag_sip::sip::response::Answer;

/// Reads the bytes in both framings, answers what can be answered, reads the answer back.
pub(super) fn run(data: &[u8]) {
    for framing in [Framing::Datagram, Framing::Stream] {
        let Ok(Parsed::Request(request)) = parse(data, framing) else { continue };
        assert!(request.body.len() <= data.len());
        let (_, kind) = request.content_type().unwrap_or_default();
        for part in parts(&kind, &request.body) {
            assert!(part.content.len() <= request.body.len());
        }
        let source = "192.0.2.1:5060".parse().expect("an address");
        let answer = Answer::new(200, "tag").to_bytes(&request.headers, source);
        match parse(&answer, Framing::Stream) {
            Ok(Parsed::Response(back)) => {
                assert_eq!(back.answers().map(|(_, cseq)| cseq), request.cseq());
            }
            other => panic!("an answer that cannot be read: {other:?}"),
        }
    }
    let mut framer = Framer::default();
    for chunk in data.chunks(7) {
        framer.push(chunk);
        while let Some(piece) = framer.cut() {
            assert!(piece.bytes <= data.len());
        }
    }
}
