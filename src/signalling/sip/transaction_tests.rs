use super::*;
use crate::signalling::sip::flow::Transport;
use crate::signalling::sip::parse::{Framing, Parsed, parse};

fn at(ms: u64) -> MonoTime {
    MonoTime::from_nanos(ms * 1_000_000)
}

fn flow(transport: Transport) -> Flow {
    let address = "127.0.0.1:5060".parse().unwrap();
    Flow { transport, link: 0, local: address, peer: address }
}

fn request(method: &str, branch: &str) -> Request {
    let text = format!(
        "{method} sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch={branch}\r\nFrom: <sip:x@y>;tag=1\r\n\
         To: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 1 {method}\r\n\r\n"
    );
    match parse(text.as_bytes(), Framing::Datagram) {
        Ok(Parsed::Request(request)) => *request,
        other => panic!("{other:?}"),
    }
}

/// Answers an INVITE with `code` and plays `seconds`; the times at which the answer went out.
fn answer_times(transport: Transport, method: &str, code: u16, seconds: u64) -> (Vec<u64>, bool) {
    let mut table = Transactions::new();
    let mut out = Vec::new();
    let Received::New(key) = table.receive(at(0), flow(transport), &request(method, "z9hG4bK1"), &mut out)
    else {
        panic!("not new")
    };
    table.respond(at(0), &key, code, b"answer".to_vec(), &mut out);
    let mut times: Vec<u64> = out.drain(..).map(|_| 0).collect();
    let mut unacknowledged = false;
    while let Some(next) = table.next_timeout().filter(|next| *next <= at(seconds * 1000)) {
        table.handle_timeout(next, &mut out);
        for output in out.drain(..) {
            match output {
                Output::Send(..) => times.push(next.as_nanos() / 1_000_000),
                Output::Unacknowledged(_) => unacknowledged = true,
            }
        }
    }
    assert!(table.table.is_empty() || seconds < 32);
    (times, unacknowledged)
}

#[test]
fn a_refused_invite_is_repeated_by_timer_g_until_timer_h() {
    let (times, unacknowledged) = answer_times(Transport::Udp, "INVITE", 487, 60);
    assert_eq!(times, [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
    assert!(!unacknowledged);
    assert_eq!(answer_times(Transport::Tcp, "INVITE", 487, 60).0, [0]);
}

#[test]
fn an_accepted_invite_is_repeated_over_every_transport_and_then_reported() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let (times, unacknowledged) = answer_times(transport, "INVITE", 200, 60);
        assert_eq!(times.len(), 11);
        assert!(unacknowledged);
    }
}

#[test]
fn another_request_is_answered_once_and_again_when_it_comes_again() {
    assert_eq!(answer_times(Transport::Udp, "BYE", 200, 60).0, [0]);
    let mut table = Transactions::new();
    let mut out = Vec::new();
    let bye = request("BYE", "z9hG4bK2");
    let Received::New(key) = table.receive(at(0), flow(Transport::Udp), &bye, &mut out) else { panic!() };
    assert_eq!(table.receive(at(1), flow(Transport::Udp), &bye, &mut out), Received::Absorbed);
    assert!(out.is_empty(), "nothing to repeat yet");
    table.respond(at(2), &key, 200, b"once".to_vec(), &mut out);
    for ms in [3, 4000, 31_000] {
        assert_eq!(table.receive(at(ms), flow(Transport::Udp), &bye, &mut out), Received::Absorbed);
    }
    assert_eq!(out.len(), 4);
    table.handle_timeout(at(32_002), &mut out);
    assert_eq!(table.next_timeout(), None);
}

#[test]
fn an_ack_ends_the_repetitions() {
    for (code, expect) in [(486, Received::Absorbed), (200, Received::Ack)] {
        let mut table = Transactions::new();
        let mut out = Vec::new();
        let Received::New(key) =
            table.receive(at(0), flow(Transport::Udp), &request("INVITE", "z9hG4bK3"), &mut out)
        else {
            panic!()
        };
        table.respond(at(0), &key, code, b"x".to_vec(), &mut out);
        assert_eq!(
            table.receive(at(100), flow(Transport::Udp), &request("ACK", "z9hG4bK3"), &mut out),
            expect
        );
        table.acknowledged(&key);
        out.clear();
        for ms in (500..33_000).step_by(100) {
            table.handle_timeout(at(ms), &mut out);
        }
        assert!(out.is_empty(), "{code}: {out:?}");
        assert_eq!(table.next_timeout(), None);
    }
}

#[test]
fn clients_without_a_branch_are_told_apart_by_their_other_fields() {
    let mut table = Transactions::new();
    let mut out = Vec::new();
    let old = request("INVITE", "z9hG4bK");
    let Received::New(key) = table.receive(at(0), flow(Transport::Udp), &old, &mut out) else { panic!() };
    assert_eq!(table.receive(at(1), flow(Transport::Udp), &old, &mut out), Received::Absorbed);
    assert_eq!(table.cancelled_by(&request("CANCEL", "z9hG4bK")), Some(key));
    assert_eq!(table.cancelled_by(&request("CANCEL", "z9hG4bKother")), None);
}

#[test]
fn a_full_table_drops_new_requests_and_keeps_the_old() {
    let mut table = Transactions::new();
    let mut out = Vec::new();
    for n in 0..TRANSACTIONS {
        table.receive(at(0), flow(Transport::Udp), &request("BYE", &format!("z9hG4bK-{n}")), &mut out);
    }
    let one_more = request("BYE", "z9hG4bK-more");
    assert_eq!(table.receive(at(0), flow(Transport::Udp), &one_more, &mut out), Received::Full);
    assert_eq!(table.stats().refused_full, 1);
}
