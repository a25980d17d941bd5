//! Calls with SRTP streams.

use super::*;
use crate::rtp::srtp::{SrtpKey, SrtpPlan, SrtpSender, Suite};

fn key(seed: u8) -> SrtpKey {
    let suite = Suite::AesCm128Sha1Tag80;
    SrtpKey::new(suite, vec![seed; suite.secret_bytes()], vec![]).unwrap()
}

fn plan(keys: &[SrtpKey]) -> SrtpPlan {
    SrtpPlan { receive: keys.to_vec(), send: None, required: true, roc: 0 }
}

fn protected_call(keys: &[SrtpKey]) -> Bench {
    Bench::with(true, |mut stream| {
        stream.media.srtp = Some(plan(keys));
        stream
    })
}

/// A telephone that sends one stream.
struct Phone {
    stream: u8,
    sender: SrtpSender,
}

impl Phone {
    fn new(stream: u8, key: &SrtpKey) -> Self {
        Self { stream, sender: SrtpSender::new(key) }
    }

    fn frame(&mut self, n: u32) -> Vec<u8> {
        let mut out = [0; 512];
        let clear = packet(self.stream, n as u16, n * 160, 8, &tone(n));
        let length = self.sender.protect(&clear, &mut out).unwrap();
        out[..length].to_vec()
    }

    fn talk(&mut self, bench: &mut Bench, frames: std::ops::Range<u32>, change: impl Fn(&mut Vec<u8>)) {
        for n in frames {
            let ms = u64::from(n) * 20 + 20;
            bench.tick_to(ms.max(bench.now_ms));
            let mut datagram = self.frame(n);
            change(&mut datagram);
            bench.hear(self.stream.into(), ms, &datagram);
        }
    }
}

#[test]
fn a_protected_call_is_recorded_like_one_in_the_clear() {
    let mut bench = protected_call(&[key(1)]);
    bench.yes();
    Phone::new(0, &key(1)).talk(&mut bench, 0..100, |_| {});
    assert_eq!(bench.end(2_000), Outcome::Recorded);
    let mut plain = Bench::new(true);
    plain.yes();
    plain.talk(0..100, |_| true);
    plain.end(2_000);
    assert_eq!(bench.peaks(0), plain.peaks(0));
    assert_eq!((bench.stats.auth_failed, bench.stats.received), (0, 100));
}

#[test]
fn invariant_11_unproved_srtp_changes_nothing_and_reaches_no_recording() {
    let (tampered, strange, plain) = (0, 1, 2);
    for kind in [tampered, strange, plain] {
        let mut bench = protected_call(&[key(1)]);
        bench.yes();
        if kind == plain {
            bench.talk(0..100, |_| true);
        } else {
            let known = if kind == strange { key(9) } else { key(1) };
            Phone::new(0, &known).talk(&mut bench, 0..100, |datagram| {
                if kind == tampered {
                    datagram[60] ^= 1;
                }
            });
        }
        let counts = bench.call.state().streams[0];
        assert_eq!((counts.received, counts.refused), (0, 100));
        assert_eq!(bench.end(2_000), Outcome::NoAudio(NoAudio::NothingAccepted));
        assert!(bench.peaks(0).iter().all(|&peak| peak == 0));
    }
}

#[test]
fn invariant_11_forged_packets_do_not_disturb_the_true_ones() {
    let mut bench = protected_call(&[key(1)]);
    bench.yes();
    let mut phone = Phone::new(0, &key(1));
    let mut forger = Phone::new(0, &key(9));
    for n in 0..200u32 {
        let ms = u64::from(n) * 20;
        bench.tick_to(ms);
        // Every forged packet has a later sequence number, and arrives first.
        let forged = forger.frame(n + 300);
        bench.hear(0, ms, &forged);
        let true_one = phone.frame(n);
        bench.hear(0, ms, &true_one);
        bench.hear(0, ms, &true_one);
    }
    assert_eq!((bench.stats.auth_failed, bench.stats.replayed, bench.stats.lost), (200, 200, 0));
    assert_eq!(bench.end(4_000), Outcome::Recorded);
    assert!(bench.peaks(0)[2..199].iter().all(|&peak| peak > 100));
}

#[test]
fn keys_pressed_in_a_protected_stream_open_the_gate() {
    let mut bench = protected_call(&[key(1)]);
    let mut phone = Phone::new(0, &key(1));
    phone.talk(&mut bench, 0..10, |_| {});
    let press = packet(0, 10, 1_600, 101, &[1, 0x8a, 3, 0x20]);
    let mut out = [0; 256];
    let length = phone.sender.protect(&press, &mut out).unwrap();
    bench.hear(0, 210, &out[..length]);
    bench.tick_to(300);
    assert_eq!(bench.call.state().consent, ConsentState::Granted);
}

#[test]
fn trap_m1_a_key_that_changes_in_mid_call_loses_nothing() {
    let mut bench = protected_call(&[key(1)]);
    bench.yes();
    let mut old = Phone::new(0, &key(1));
    old.talk(&mut bench, 0..100, |_| {});
    let renegotiate =
        Command::Renegotiate { stream: StreamIndex(0), media: Box::new(leg_with(&[key(2)]).media) };
    bench.call.command(at(2_000), renegotiate, &mut bench.stats).unwrap();
    // The client continues with the old key until our answer reaches it.
    old.talk(&mut bench, 100..110, |_| {});
    Phone::new(0, &key(2)).talk(&mut bench, 110..200, |_| {});
    assert_eq!(bench.end(4_000), Outcome::Recorded);
    assert_eq!((bench.stats.auth_failed, bench.stats.lost, bench.stats.received), (0, 0, 200));
    assert!(bench.peaks(0)[2..199].iter().all(|&peak| peak > 100));
}

#[test]
fn a_new_key_with_new_numbers_is_placed_where_it_arrives() {
    for ssrc in [0, 7] {
        let mut bench = protected_call(&[key(1)]);
        bench.yes();
        Phone::new(0, &key(1)).talk(&mut bench, 0..100, |_| {});
        let renegotiate =
            Command::Renegotiate { stream: StreamIndex(0), media: Box::new(leg_with(&[key(2)]).media) };
        bench.call.command(at(2_000), renegotiate, &mut bench.stats).unwrap();
        // Like a client that moves the call to another media server: key, sequence numbers and clock restart.
        let mut sender = SrtpSender::new(&key(2));
        for n in 100..200u32 {
            let ms = u64::from(n) * 20 + 20;
            bench.tick_to(ms.max(bench.now_ms));
            let clear = packet(ssrc, 40_000 + n as u16, 9_000_000 + n * 160, 8, &tone(n));
            let mut out = [0; 512];
            let length = sender.protect(&clear, &mut out).unwrap();
            bench.hear(0, ms, &out[..length]);
        }
        assert_eq!(bench.end(4_000), Outcome::Recorded);
        assert_eq!(bench.stats.auth_failed, 0, "SSRC {ssrc}");
        let peaks = bench.peaks(0);
        let silent: Vec<usize> = (2..199).filter(|&n| peaks[n] <= 100).collect();
        assert!(silent.len() <= 3 && silent.iter().all(|n| (99..105).contains(n)), "SSRC {ssrc}: {silent:?}");
    }
}

/// The renegotiated stream: the same, with these keys.
fn leg_with(keys: &[SrtpKey]) -> StreamPlan {
    StreamPlan {
        withheld: false,
        role: StreamRole::Other,
        media: StreamMedia {
            formats: vec![PayloadFormat { payload_type: 8, encoding: Encoding::Pcma }],
            telephone_event: vec![EventFormat { payload_type: 101, clock_hz: 8_000 }],
            srtp: Some(plan(keys)),
            ..StreamMedia::default()
        },
    }
}
