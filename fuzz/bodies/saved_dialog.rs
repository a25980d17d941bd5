//! What must hold for any text that claims to be a recording session as an earlier process kept it: it is
//! refused or taken up, and what is taken up is kept as it was, answers its client and ends.

use std::time::Duration;

use optag_core::clock::MonoTime;
use optag_sip::sip::flow::{Flow, Transport};
use optag_sip::sip::parse::{Framing, parse};
use optag_sip::siprec::server::{Input, Output, Server};
use optag_sip::siprec::session::snapshot::SessionSnapshot;

use super::srs::config;

/// Times that the server may want to be called.
const CALLS: usize = 100_000;

/// Takes up a session, asks about it, lets hours pass, ends it.
pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(kept) = SessionSnapshot::from_text(text) else { return };
    let again = SessionSnapshot::from_text(&kept.to_text()).expect("what is kept can be read");
    assert_eq!(again.to_text(), kept.to_text(), "what is kept is read as it was");
    let local = "192.0.2.200:5060".parse().expect("an address");
    let peer = "192.0.2.1:5060".parse().expect("an address");
    let flow = Flow { transport: Transport::Udp, link: 1, local, peer };
    for reached in [true, false] {
        let mut now = MonoTime::from_nanos(1_000_000_000);
        let mut server = Server::new(config(0), now);
        let dialog = (kept.saved.dialog.call_id.clone(), kept.saved.dialog.local_tag.clone());
        server.resume(now, kept.clone(), reached.then_some(flow));
        let mut out = Vec::new();
        for method in ["OPTIONS", "UPDATE", "INVITE", "ACK", "INFO"] {
            let text = format!(
                "{method} sip:srs@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{method};rport\r\n\
                 From: <sip:src@h>;tag={}\r\nTo: <sip:srs@h>;tag={}\r\nCall-ID: {}\r\nCSeq: 4000000 {method}\r\n\r\n",
                kept.saved.dialog.remote_tag, dialog.1, dialog.0,
            );
            let message = parse(text.as_bytes(), Framing::Datagram);
            let at = kept.saved.began_at;
            server.handle(now, Input::Received { flow, message, bytes: text.len(), at }, &mut out);
        }
        for saved in server.save() {
            let text = saved.to_text();
            assert_eq!(SessionSnapshot::from_text(&text).map(|again| again.to_text()), Some(text));
        }
        let until = now + Duration::from_secs(3 * 3_600);
        let mut calls = 0;
        while let Some(next) = server.next_timeout().filter(|next| *next <= until) {
            calls += 1;
            assert!(calls < CALLS, "it wants to be called again and again");
            now = now.max(next);
            server.handle_timeout(now, &mut out);
        }
        server.handle(now, Input::EndAll, &mut out);
        let own = &kept.saved.account;
        let ended = out.iter().filter(
            |output| matches!(output, Output::AnnouncedCall(a) if a.id == *own && a.ended_at.is_some()),
        );
        assert!(ended.count() <= 1, "accounted for twice");
    }
}
