use super::*;
use crate::sip::flow::Transport;
use crate::sip::parse::{Framing, Parsed, parse};

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
        table.acknowledged(at(0), &key);
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

/// A request that differs from all others in call and branch.
fn one_of_many(n: usize) -> Request {
    let mut one = request("INVITE", &format!("z9hG4bK-{n}"));
    let mut headers = crate::sip::header::Headers::default();
    for (name, value) in one.headers.iter().filter(|(name, _)| *name != "call-id") {
        headers.push(name, value);
    }
    headers.push("call-id", format!("call {n}"));
    one.headers = headers;
    one
}

fn from(address: u8, dialog: Option<u64>) -> Origin {
    let mut flow = flow(Transport::Udp);
    flow.peer.set_ip([10, 0, 0, address].into());
    Origin { flow, weighs: None, dialog }
}

#[test]
fn invariant_12_what_is_outside_of_dialogs_takes_no_place_of_what_is_inside() {
    let mut table = Transactions::new();
    let mut out = Vec::new();
    let mut n = 0;
    for address in 1..10 {
        for _ in 0..2 * PER_ADDRESS {
            n += 1;
            table.receive(at(0), from(address, None), &one_of_many(n), &mut out);
        }
    }
    assert!(table.table.len() < OUTSIDE, "{}", table.table.len());
    for (address, dialog) in [(200, None), (1, Some(7)), (9, Some(8))] {
        n += 1;
        let taken = table.receive(at(0), from(address, dialog), &one_of_many(n), &mut out);
        assert!(matches!(taken, Received::New(_)), "{address}");
    }
    for _ in 0..PER_DIALOG - 1 {
        n += 1;
        assert!(matches!(
            table.receive(at(0), from(1, Some(7)), &one_of_many(n), &mut out),
            Received::New(_)
        ));
    }
    n += 1;
    assert_eq!(table.receive(at(0), from(1, Some(7)), &one_of_many(n), &mut out), Received::Full);
    let keys: Vec<Key> = table.table.keys().cloned().collect();
    keys.iter().for_each(|key| table.forget(key));
    let left = (table.outside.len(), table.inside.len(), table.merging.len(), table.all_inside);
    assert_eq!(left, (0, 0, 0, 0), "nothing is counted that is not there");
}

#[test]
fn invariant_13_a_peer_that_proved_nothing_gets_no_more_than_it_sent() {
    for code in [200, 487] {
        let mut table = Transactions::new();
        let mut out = Vec::new();
        let invite = request("INVITE", "z9hG4bK1");
        let origin = Origin { weighs: Some(100), ..flow(Transport::Udp).into() };
        let Received::New(key) = table.receive(at(0), origin, &invite, &mut out) else { panic!() };
        table.respond(at(0), &key, 100, vec![b'x'; 30], &mut out);
        table.respond(at(0), &key, code, vec![b'x'; 90], &mut out);
        assert_eq!(out.len(), 1, "the final answer would be too much");
        assert_eq!(table.receive(at(500), origin, &invite, &mut out), Received::Absorbed);
        assert_eq!(out.len(), 2, "the second copy of the request pays for it");
        for ms in (1_000..31_000).step_by(100) {
            table.handle_timeout(at(ms), &mut out);
        }
        assert_eq!(out.len(), 2);
        let proved = Origin { weighs: None, ..origin };
        table.receive(at(31_000), proved, &invite, &mut out);
        assert_eq!(out.len(), 3, "and one that has proved itself is answered each time");
    }
}

#[test]
fn a_request_that_comes_by_two_ways_is_merged() {
    let mut table = Transactions::new();
    let mut out = Vec::new();
    let way = flow(Transport::Udp);
    let Received::New(first) = table.receive(at(0), way, &request("INVITE", "z9hG4bK1"), &mut out) else {
        panic!()
    };
    assert!(matches!(
        table.receive(at(1), way, &request("INVITE", "z9hG4bK2"), &mut out),
        Received::Merged(_)
    ));
    assert_eq!(table.receive(at(2), way, &request("INVITE", "z9hG4bK2"), &mut out), Received::Absorbed);
    assert!(matches!(table.receive(at(3), way, &request("UPDATE", "z9hG4bK3"), &mut out), Received::New(_)));
    assert!(matches!(table.receive(at(4), way, &request("CANCEL", "z9hG4bK1"), &mut out), Received::New(_)));
    table.forget(&first);
    assert!(matches!(table.receive(at(5), way, &request("INVITE", "z9hG4bK4"), &mut out), Received::New(_)));
}
