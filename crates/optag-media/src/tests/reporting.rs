//! Reports to the senders of a call.

use super::*;
use crate::rtp::rtcp::feedback::Port;
use crate::rtp::rtcp::{RtcpPacket, packets};
use crate::rtp::srtp::{SrtpKey, SrtpPlan, SrtpReceiver, SrtpSender, Suite};

/// A report as sent: time, stream, source port, destination, bytes.
type Sent = (u64, usize, Port, SocketAddr, Vec<u8>);

fn reporting(rtcp: RtcpPlan, srtp: Option<SrtpPlan>) -> Bench {
    Bench::of(true, (8, Encoding::Pcma), |stream, _, settings| {
        (stream.media.rtcp, stream.media.srtp) = (rtcp, srtp.clone());
        settings.reports = true;
    })
}

/// Twenty seconds of both streams; returns what was sent back.
fn run(bench: &mut Bench, mut change: impl FnMut(u32, u8, Vec<u8>) -> Option<Vec<u8>>) -> Vec<Sent> {
    let mut sent = Vec::new();
    for n in 0..1_000u32 {
        let ms = u64::from(n) * 20;
        bench.tick_to(ms.max(bench.now_ms));
        for stream in 0..2u8 {
            let datagram = packet(stream, n as u16, n * 160, 8, &tone(n));
            if let Some(datagram) = change(n, stream, datagram) {
                bench.hear(stream.into(), ms, &datagram);
            }
        }
        if n % 5 == 0 {
            bench.call.report(at(ms).mono, &mut bench.stats, |stream, out| {
                sent.push((ms, stream, out.port, out.to, out.bytes.to_vec()));
            });
        }
    }
    sent
}

fn sender_report(ssrc: u8) -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6, 0, 0, 0, ssrc];
    report.extend([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
    report.extend([0; 12]);
    report
}

fn from(stream: u16, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4_000 + stream + port))
}

#[test]
fn each_sender_is_told_every_few_seconds_what_was_lost() {
    let mut bench = reporting(RtcpPlan::default(), None);
    let sent = run(&mut bench, |n, stream, datagram| (stream == 0 || n % 10 != 3).then_some(datagram));
    assert!((6..=16).contains(&sent.len()), "{}", sent.len());
    for (_, stream, port, to, bytes) in &sent {
        assert_eq!((*port, *to), (Port::Rtcp, from(*stream as u16, 1)), "the port after that of its packets");
        assert!(packets(bytes).unwrap().any(|one| matches!(one, RtcpPacket::ReceiverReport { .. })));
        let fraction = bytes[12];
        assert!(if *stream == 0 { fraction == 0 } else { (20..32).contains(&fraction) }, "{fraction}");
    }
    let (none, more) = (bench.stats.reports_lost_nothing, bench.stats.reports_lost_more);
    assert!(none > 2 && more > 2 && none + more == bench.stats.reports_sent, "{:?}", bench.stats);
    assert_eq!(bench.stats.reports_jitter_below_5, bench.stats.reports_sent);
}

#[test]
fn reports_go_where_the_senders_own_came_from_and_tell_how_long_ago() {
    let mut bench = reporting(RtcpPlan::default(), None);
    for n in 0..3u32 {
        bench.hear(0, u64::from(n) * 20, &packet(0, n as u16, n * 160, 8, &tone(n)));
    }
    let rtcp = from(0, 77);
    bench.call.handle_rtcp(0, at(60).mono, rtcp, &sender_report(0), &mut bench.stats);
    let sent = run(&mut bench, |n, stream, datagram| (stream == 0 && n > 3).then_some(datagram));
    assert!(!sent.is_empty());
    for (ms, _, port, to, bytes) in &sent {
        assert_eq!((*port, *to), (Port::Rtcp, rtcp));
        let word = |at: usize| u32::from_be_bytes(bytes[at * 4..][..4].try_into().unwrap());
        assert_eq!(word(6), 0x3344_5566);
        let ago_ms = u64::from(word(7)) * 1_000 / 65_536;
        assert!((ms - 62..=ms - 58).contains(&ago_ms), "{ago_ms} at {ms}");
    }
    assert_eq!(bench.stats.rtcp_received, 1);
}

#[test]
fn one_port_may_serve_both() {
    let mut bench = reporting(RtcpPlan { mux: true, ..RtcpPlan::default() }, None);
    let sent = run(&mut bench, |n, stream, datagram| match (n, stream) {
        (500, 0) => Some(sender_report(0)),
        _ => Some(datagram),
    });
    assert!(sent.iter().all(|(_, stream, port, to, _)| (*port, *to) == (Port::Rtp, from(*stream as u16, 0))));
    assert_eq!((bench.stats.rtcp_received, bench.stats.malformed), (1, 0));
}

#[test]
fn invariant_13_reports_go_to_nobody_who_was_not_heard() {
    // Signalling names another host for reports: it gets none without having sent anything.
    let victim = "192.0.2.9".parse().unwrap();
    let mut bench = reporting(RtcpPlan { ip: Some(victim), port: Some(5_005), mux: false }, None);
    assert_eq!(run(&mut bench, |_, _, datagram| Some(datagram)), []);
    // RTCP of unknown senders changes nothing.
    let mut bench = reporting(RtcpPlan::default(), None);
    for n in 0..3u32 {
        bench.hear(0, u64::from(n) * 20, &packet(0, n as u16, n * 160, 8, &tone(n)));
    }
    let stranger = SocketAddr::from(([192, 0, 2, 9], 5_005));
    bench.call.handle_rtcp(0, at(60).mono, stranger, &sender_report(0), &mut bench.stats);
    let sent = run(&mut bench, |n, stream, datagram| (stream == 0 && n > 3).then_some(datagram));
    assert!(sent.iter().all(|(_, _, _, to, _)| *to == from(0, 1)) && !sent.is_empty());
    assert_eq!((bench.stats.rtcp_foreign, bench.stats.rtcp_received), (1, 0));
    // Without packets from the sender there are no reports.
    let mut silent = reporting(RtcpPlan::default(), None);
    assert_eq!(run(&mut silent, |_, _, _| None), []);
    // Reports never exceed the bytes received.
    let (out, came) = (sent.iter().map(|sent| sent.4.len()).sum::<usize>(), 172 * 996);
    assert!(out < came / 100, "{out} of {came} bytes");
}

#[test]
fn a_bye_ends_nothing() {
    let mut bench = reporting(RtcpPlan::default(), None);
    bench.yes();
    let bye = [0x81, 203, 0, 1, 0, 0, 0, 0];
    run(&mut bench, |n, _, datagram| if n == 500 { Some(bye.to_vec()) } else { Some(datagram) });
    assert_eq!(bench.stats.rtcp_byes, 2);
    assert_eq!(bench.end(20_000), Outcome::Recorded);
    assert_eq!(bench.frames(), 1_000);
}

#[test]
fn reports_on_encrypted_streams_are_encrypted_under_our_own_key() {
    for suite in Suite::ALL {
        let key = |seed| SrtpKey::new(suite, vec![seed; suite.secret_bytes()], vec![]).unwrap();
        let plan = SrtpPlan { receive: vec![key(1)], send: Some(key(2)), required: true, roc: 0 };
        let mut bench = reporting(RtcpPlan::default(), Some(plan));
        let mut senders = [SrtpSender::new(&key(1)), SrtpSender::new(&key(1))];
        let sent = run(&mut bench, |_, stream, datagram| {
            let mut out = [0; 512];
            let length = senders[usize::from(stream)].protect(&datagram, &mut out).unwrap();
            Some(out[..length].to_vec())
        });
        assert!(sent.len() >= 6);
        let theirs = SrtpPlan { receive: vec![key(2)], send: None, required: true, roc: 0 };
        let mut receivers = [SrtpReceiver::new(theirs.clone()), SrtpReceiver::new(theirs)];
        for (_, stream, _, _, bytes) in &sent {
            let mut clear = [0; 256];
            let length = receivers[*stream].unprotect_rtcp(bytes, &mut clear).unwrap();
            assert!(packets(&clear[..length]).is_ok() && packets(bytes).is_err());
        }
        // A plain sender report is not trusted.
        let rtcp = from(0, 1);
        bench.call.handle_rtcp(0, at(20_000).mono, rtcp, &sender_report(0), &mut bench.stats);
        assert_eq!((bench.stats.rtcp_auth_failed, bench.stats.rtcp_received), (1, 0));
        let mut out = [0; 256];
        let length = senders[0].protect_rtcp(&sender_report(0), &mut out).unwrap();
        bench.call.handle_rtcp(0, at(20_000).mono, rtcp, &out[..length], &mut bench.stats);
        assert_eq!(bench.stats.rtcp_received, 1);
    }
}

/// Packets for a fifth of a second, then what `sign` sends every five seconds; returns when the call ended.
fn silent(mut sign: impl FnMut(&mut Bench, u64)) -> Option<u64> {
    let mut bench = reporting(RtcpPlan::default(), None);
    for n in 0..10u32 {
        bench.hear(0, u64::from(n) * 20, &packet(0, n as u16, n * 160, 8, &tone(n)));
    }
    for ms in (1_000..200_000).step_by(1_000) {
        bench.tick_to(ms);
        if bench.call.is_ended() {
            return Some(ms / 1_000);
        }
        if ms % 5_000 == 0 {
            sign(&mut bench, ms);
        }
    }
    None
}

#[test]
fn a_silent_call_lives_while_its_senders_rtcp_comes_and_no_other() {
    let rtcp = |ssrc: u8, from: SocketAddr, kind: u8| {
        silent(move |bench, ms| {
            let mut report = sender_report(ssrc);
            if kind == 201 {
                report = vec![0x80, 201, 0, 1, 0, 0, 0, ssrc];
            }
            bench.call.handle_rtcp(0, at(ms).mono, from, &report, &mut bench.stats);
        })
    };
    assert_eq!(silent(|_, _| {}), Some(61));
    assert_eq!(rtcp(0, from(0, 1), 200), None, "sender reports");
    assert_eq!(rtcp(0, from(0, 77), 201), None, "receiver reports, as a muted sender sends them");
    assert_eq!(rtcp(9, from(0, 1), 200), Some(61), "another sender's");
    assert_eq!(rtcp(0, SocketAddr::from(([192, 0, 2, 9], 5_005)), 200), Some(61), "a stranger's");
}

#[test]
fn a_silent_call_lives_for_as_long_as_signalling_vouches_for_it() {
    let alive = |until_ms: u64, vouched: u64| {
        silent(move |bench, ms| {
            if ms <= until_ms {
                let command = Command::Alive { vouched: Duration::from_secs(vouched) };
                bench.call.command(at(ms), command, &mut bench.stats).unwrap();
            }
        })
    };
    assert_eq!(alive(30_000, 0), Some(90), "the usual time from the last sign");
    assert_eq!(alive(5_000, 120), Some(125), "or as long as the session timer says");
    assert_eq!(alive(200_000, 0), None);
}
