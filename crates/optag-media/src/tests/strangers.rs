//! Calls whose ports unknown senders reach: they have no effect and keep nobody out.

use super::*;

const RIGHT: [u8; 4] = [127, 0, 0, 1];
const STRANGER: [u8; 4] = [127, 0, 0, 9];

fn place(ip: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::from((ip, port))
}

fn rtp(ssrc: u32, sequence: u16, timestamp: u32, payload_type: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = packet(0, sequence, timestamp, payload_type, payload);
    bytes[8..12].copy_from_slice(&ssrc.to_be_bytes());
    bytes
}

impl Bench {
    fn hear_from(&mut self, from: SocketAddr, stream: usize, ms: u64, datagram: &[u8]) {
        self.now_ms = self.now_ms.max(ms);
        self.call.handle(at(self.now_ms), stream, at(ms).mono, from, datagram, &mut self.stats);
    }

    /// A key press from an unknown sender: a complete press, its packets in order.
    fn key_from(&mut self, from: SocketAddr, ms: u64, ssrc: u32, sequence: u16, key: u8) {
        for n in 0..6u16 {
            let ended = if n > 3 { 0x80 } else { 0 };
            let [high, low] = ((n + 1) * 160).to_be_bytes();
            let payload = [key, ended | 10, high, low];
            let bytes = rtp(ssrc, sequence + n, ms as u32 * 8, 101, &payload);
            self.hear_from(from, 0, ms + u64::from(n), &bytes);
        }
    }

    fn consent(&self) -> ConsentState {
        self.call.state().consent
    }
}

fn open() -> Bench {
    Bench::with(true, |mut plan| {
        plan.media.source = ExpectedSource::default();
        plan
    })
}

#[test]
fn invariant_11_keys_of_strangers_are_no_yes_and_withdraw_nothing() {
    for (name, mut bench) in [("named", Bench::new(true)), ("open", open())] {
        // Before the caller sends anything.
        for n in 0..500u16 {
            bench.key_from(place(STRANGER, 5_000 + n % 7), u64::from(n), 3, n * 6, 1);
        }
        assert_eq!(bench.consent(), ConsentState::Asked, "{name}: before the caller");
        bench.now_ms = 1_000;
        bench.talk(50..150, |_| true);
        for n in 0..50u16 {
            bench.key_from(place(STRANGER, 5_000), 3_000 + u64::from(n), 0, 150 + n, 1);
            bench.key_from(place(RIGHT, 5_000), 3_000 + u64::from(n), 0, 150 + n, 1);
        }
        assert_eq!(bench.consent(), ConsentState::Asked, "{name}: beside the caller");
        bench.press(0, 3_100, 155, 1);
        bench.press(0, 3_120, 156, 1);
        assert_eq!(bench.consent(), ConsentState::Granted, "{name}: the caller's own key");
        bench.talk(160..260, |_| true);
        for ms in [5_300, 5_900] {
            bench.key_from(place(STRANGER, 5_000), ms, 0, 260, 10);
            bench.key_from(place(STRANGER, 5_000), ms + 200, 0, 270, 9);
            bench.key_from(place(RIGHT, 5_000), ms, 0, 260, 10);
            bench.key_from(place(RIGHT, 5_000), ms + 200, 0, 270, 9);
        }
        assert_eq!(bench.consent(), ConsentState::Granted, "{name}: withdrawn by a stranger");
        bench.talk(310..400, |_| true);
        bench.press(0, 8_020, 401, 10);
        bench.press(0, 8_220, 411, 9);
        assert_eq!(bench.consent(), ConsentState::Withdrawn, "{name}: withdrawn by the caller");
    }
}

#[test]
fn a_yes_that_is_keyed_before_its_sender_is_established_waits_until_it_is() {
    let mut bench = open();
    bench.talk(0..10, |_| true);
    bench.press(0, 210, 10, 1);
    bench.tick_to(220);
    assert_eq!(bench.consent(), ConsentState::Asked, "anybody may have sent that");
    bench.talk(11..60, |_| true);
    bench.tick_to(1_300);
    assert_eq!(bench.consent(), ConsentState::Granted);
    let granted = bench.out.iter().find_map(|output| match &output.fact {
        Fact::Consent(record) if record.state == ConsentState::Granted => Some(record.clone()),
        _ => None,
    });
    let after = granted.unwrap().at.micros_since(at(0).wall) / 1_000;
    assert!((1_000..1_200).contains(&after), "{after} ms: consent begins where it is known whose it is");
}

#[test]
fn pairs_over_all_ports_cost_no_call_its_recording() {
    let mut bench = open();
    for n in 0..2u16 {
        for stream in 0..2 {
            let junk = rtp(5, n, 160 * u32::from(n), 8, &tone(1));
            bench.hear_from(place(STRANGER, 5_000), stream, 10 + u64::from(n), &junk);
        }
    }
    bench.now_ms = 20;
    bench.talk(1..100, |_| true);
    bench.press(0, 2_010, 100, 1);
    bench.tick_to(2_050);
    assert_eq!(bench.consent(), ConsentState::Granted);
    bench.talk(105..200, |_| true);
    assert_eq!(bench.end(4_000), Outcome::Recorded);
    assert!(bench.peaks(0)[10..90].iter().all(|&peak| peak > 100));
}

#[test]
fn junk_at_any_rate_costs_no_audio_and_is_counted() {
    for per_s in [50u64, 1_000] {
        for (name, mut bench) in [("named", Bench::new(true)), ("open", open())] {
            let mut sent = 0;
            for n in 0..200u32 {
                for k in 0..per_s / 50 {
                    let number = u64::from(n) * 20 + k;
                    let junk = rtp(number as u32, (number * 977) as u16, number as u32, 8, &[0xaa; 160]);
                    let from = place(STRANGER, 5_000 + (number % 50) as u16);
                    bench.hear_from(from, 0, u64::from(n) * 20 + k * 20 / (per_s / 50), &junk);
                    sent += 1;
                }
                if n == 100 {
                    bench.yes();
                }
                // The caller begins a second after the junk.
                if n >= 50 {
                    bench.talk(n..n + 1, |_| true);
                }
            }
            assert_eq!(bench.end(4_000), Outcome::Recorded, "{name}, {per_s} a second");
            let counts = *bench.call.counts(0).unwrap();
            assert_eq!((counts.received, counts.refused), (150, sent), "{name}, {per_s} a second");
            assert!(bench.peaks(0)[2..95].iter().all(|&peak| peak > 100), "{name}, {per_s} a second");
        }
    }
}

#[test]
fn events_under_an_ssrc_of_their_own_are_the_streams_keys() {
    for audio_goes_on in [true, false] {
        let mut bench = Bench::new(true);
        bench.talk(0..50, |_| true);
        let key = |bench: &mut Bench, ms: u64, sequence: u16, key: u8| {
            bench.key_from(place(RIGHT, 4_000), ms, 0x0bad_cafe, sequence, key);
            if audio_goes_on {
                bench.talk(ms as u32 / 20..ms as u32 / 20 + 10, |_| true);
            }
        };
        key(&mut bench, 1_000, 100, 1);
        assert_eq!(bench.consent(), ConsentState::Granted, "audio goes on: {audio_goes_on}");
        bench.talk(60..150, |_| true);
        key(&mut bench, 3_000, 106, 10);
        key(&mut bench, 3_400, 112, 9);
        assert_eq!(bench.consent(), ConsentState::Withdrawn, "audio goes on: {audio_goes_on}");
        assert_eq!((bench.stats.foreign_ssrc, bench.stats.lost), (0, 0));
    }
}

#[test]
fn events_that_come_under_two_ssrcs_are_one_press_each() {
    let mut bench = Bench::of(true, (8, Encoding::Pcma), |_, rules, _| rules.question.keys.yes = "11".into());
    bench.talk(0..50, |_| true);
    bench.key_from(place(RIGHT, 4_000), 1_000, 0, 50, 1);
    bench.key_from(place(RIGHT, 4_000), 1_002, 0x0bad_cafe, 9, 1);
    assert_eq!(bench.consent(), ConsentState::Asked, "one press of two");
    bench.key_from(place(RIGHT, 4_000), 1_400, 0x0bad_cafe, 15, 1);
    assert_eq!(bench.consent(), ConsentState::Granted);
}

#[test]
fn goodbyes_of_strangers_end_nothing_and_are_counted() {
    let mut bench = Bench::new(true);
    bench.yes();
    bench.talk(0..50, |_| true);
    let bye = [0x81, 203, 0, 1, 0, 0, 0, 0];
    for (from, datagrams) in [(place(STRANGER, 5_000), 1), (place(RIGHT, 5_000), 2)] {
        bench.hear_from(from, 0, 1_010, &bye);
        assert_eq!(bench.stats.rtcp_foreign, datagrams, "on the port of RTP");
    }
    bench.call.handle_rtcp(0, at(1_010).mono, place(STRANGER, 5_001), &bye, &mut bench.stats);
    assert_eq!((bench.stats.rtcp_foreign, bench.stats.rtcp_byes), (3, 0));
    bench.talk(51..100, |_| true);
    assert_eq!(bench.end(2_000), Outcome::Recorded);
    assert!(bench.peaks(0)[55..95].iter().all(|&peak| peak > 100));
}
