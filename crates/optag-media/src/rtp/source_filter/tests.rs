//! The rule with realistic legitimate senders, and with unknown ones.

use super::*;

fn at(ms: u64) -> MonoTime {
    MonoTime::from_nanos(ms * 1_000_000)
}

fn from(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], port))
}

fn step(ms: u64, sequence: u16, audio: bool) -> Step {
    Step { at: at(ms), sequence, timestamp: ms as u32 * 8, clock_hz: 8_000, audio }
}

fn judge(rule: &mut SourceRule, ms: u64, address: SocketAddr, ssrc: u32, sequence: u16) -> Verdict {
    rule.judge(Origin { address, ssrc, proved: false }, step(ms, sequence, true))
}

fn event(rule: &mut SourceRule, ms: u64, address: SocketAddr, ssrc: u32, sequence: u16) -> Verdict {
    rule.judge(Origin { address, ssrc, proved: false }, step(ms, sequence, false))
}

fn is_taken(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Accept | Verdict::AcceptNew { .. })
}

fn at_ip(last: u8) -> ExpectedSource {
    ExpectedSource { ip: Some(from(last, 0).ip()), ..ExpectedSource::default() }
}

/// Packets in sequence from one sender, one every 20 ms; returns how many were accepted.
fn talk(rule: &mut SourceRule, ms: std::ops::Range<u64>, address: SocketAddr, ssrc: u32) -> usize {
    let sent = ms.step_by(20).map(|ms| judge(rule, ms, address, ssrc, (ms / 20) as u16));
    sent.filter(|&verdict| is_taken(verdict)).count()
}

/// A sender received for two seconds, until `at(1_980)`.
fn established(expected: ExpectedSource) -> SourceRule {
    let mut rule = SourceRule::new(expected);
    assert_eq!(talk(&mut rule, 0..2_000, from(1, 9), 7), 99);
    rule
}

#[test]
fn the_first_source_proves_itself_with_two_packets() {
    let mut rule = SourceRule::new(ExpectedSource::default());
    assert_eq!(judge(&mut rule, 0, from(1, 9), 7, 65_535), Verdict::Probation);
    assert_eq!(judge(&mut rule, 20, from(1, 9), 7, 0), Verdict::AcceptNew { waited: 1 });
    assert_eq!(judge(&mut rule, 40, from(1, 9), 7, 1), Verdict::Accept);
}

#[test]
fn order_repetition_and_loss_at_the_start_do_not_defeat_a_sender() {
    for numbers in [[2, 1, 3, 4], [1, 1, 2, 3], [1, 3, 2, 4], [1, 9, 3, 10], [5, 4, 3, 2]] {
        let mut rule = SourceRule::new(ExpectedSource::default());
        let verdicts: Vec<_> = (0..)
            .zip(numbers)
            .map(|(n, sequence)| judge(&mut rule, n * 20, from(1, 9), 7, sequence))
            .collect();
        assert!(is_taken(verdicts[2]) && is_taken(verdicts[3]), "{numbers:?}: {verdicts:?}");
    }
}

#[test]
fn a_stranger_is_refused_while_the_source_speaks_and_after() {
    let mut rule = established(ExpectedSource::default());
    for n in 0..100u16 {
        let ms = 2_000 + u64::from(n) * 20;
        assert_eq!(judge(&mut rule, ms, from(1, 9), 7, 100 + n), Verdict::Accept);
        assert_eq!(judge(&mut rule, ms, from(2, 9), 7, 100 + n), Verdict::ForeignAddress, "numbers copied");
        assert_eq!(judge(&mut rule, ms, from(1, 10), 7, n), Verdict::ForeignAddress, "the right SSRC");
        assert_eq!(judge(&mut rule, ms, from(1, 9), 8, n), Verdict::ForeignSsrc);
    }
}

#[test]
fn a_new_ssrc_takes_over_once_the_old_one_is_silent() {
    let mut rule = established(at_ip(1));
    let verdicts: Vec<_> =
        (0..5).map(|n| judge(&mut rule, 2_600 + n * 20, from(1, 9), 8, n as u16)).collect();
    assert_eq!(verdicts[3..], [Verdict::ForeignSsrc, Verdict::AcceptNew { waited: 0 }]);
    assert_eq!(rule.sender(), Some((from(1, 9), 8)));
    assert_eq!(judge(&mut rule, 4_000, from(2, 9), 8, 5), Verdict::ForeignAddress);
}

#[test]
fn a_sender_that_signalling_moved_takes_over_at_once() {
    let at_port = |port| ExpectedSource { port: Some(port), ..ExpectedSource::default() };
    let mut rule = established(at_port(9));
    rule.expect(at_port(9));
    assert_eq!(judge(&mut rule, 2_000, from(1, 9), 7, 100), Verdict::Accept, "the same sender still fits");
    rule.expect(at_port(11));
    assert_eq!(judge(&mut rule, 2_020, from(1, 9), 7, 101), Verdict::ForeignAddress);
    assert_eq!(judge(&mut rule, 2_020, from(2, 11), 8, 1), Verdict::Probation);
    assert_eq!(judge(&mut rule, 2_040, from(2, 11), 8, 2), Verdict::AcceptNew { waited: 1 });
}

#[test]
fn trap_t16_an_ssrc_that_changes_without_a_word_costs_five_packets() {
    let mut rule = established(ExpectedSource::default());
    let verdicts: Vec<_> =
        (0..6).map(|n| judge(&mut rule, 2_000 + n * 20, from(1, 9), 8, 900 + n as u16)).collect();
    assert_eq!(verdicts[3..], [Verdict::ForeignSsrc, Verdict::AcceptNew { waited: 0 }, Verdict::Accept]);
}

#[test]
fn trap_t16_another_address_waits_until_the_old_one_is_silent() {
    let mut rule = established(ExpectedSource::default());
    let moved = |rule: &mut SourceRule, n: u64| judge(rule, 2_000 + n * 20, from(1, 11), 7, 100 + n as u16);
    for n in 0..24 {
        assert_eq!(moved(&mut rule, n), Verdict::ForeignAddress, "{n}");
    }
    assert!(is_taken(moved(&mut rule, 24)));
    assert_eq!(rule.keys_since(), None, "it has to carry audio itself first");
    // One packet of the old one restarts the silence.
    let mut rule = established(ExpectedSource::default());
    for n in 0..24 {
        moved(&mut rule, n);
    }
    judge(&mut rule, 2_470, from(1, 9), 7, 100);
    assert_eq!(moved(&mut rule, 24), Verdict::ForeignAddress);
}

#[test]
fn trap_t16_a_flood_under_another_ssrc_does_not_displace_the_source() {
    let mut rule = established(ExpectedSource::default());
    for n in 0..50u16 {
        let ms = 2_000 + u64::from(n) * 20;
        assert_eq!(judge(&mut rule, ms, from(1, 9), 7, 100 + n), Verdict::Accept);
        for k in 0..20 {
            assert_eq!(judge(&mut rule, ms, from(1, 9), 8, n * 20 + k), Verdict::ForeignSsrc);
        }
    }
}

#[test]
fn a_flood_in_the_gap_of_a_silence_needs_time_as_well_as_packets() {
    let mut rule = established(ExpectedSource::default());
    for n in 0..30u16 {
        let verdict = judge(&mut rule, 2_500 + u64::from(n), from(2, 9), 9, n);
        assert_eq!(verdict, Verdict::ForeignAddress, "{n} ms");
    }
    assert_eq!(judge(&mut rule, 2_531, from(1, 9), 7, 100), Verdict::Accept, "back from its silence");
}

#[test]
fn trap_t16_stale_packets_on_a_reused_port_are_not_this_calls() {
    let mut rule = SourceRule::new(ExpectedSource::default());
    rule.reject_stale((from(1, 9), 7));
    for n in 0..50 {
        assert_eq!(judge(&mut rule, u64::from(n) * 20, from(1, 9), 7, n), Verdict::Stale);
    }
    assert_eq!(judge(&mut rule, 2_000, from(1, 9), 8, 1), Verdict::Probation);
    assert!(is_taken(judge(&mut rule, 2_020, from(1, 9), 8, 2)));
    let mut named = SourceRule::new(ExpectedSource { port: Some(9), ..ExpectedSource::default() });
    named.reject_stale((from(1, 9), 7));
    assert_eq!(judge(&mut named, 0, from(1, 9), 7, 1), Verdict::Probation, "signalling names it");
}

#[test]
fn what_signalling_fixed_is_kept() {
    let expected = ExpectedSource { port: Some(9), ssrc: Some(7), ..at_ip(1) };
    let mut rule = SourceRule::new(expected);
    for n in 0..9 {
        assert_eq!(judge(&mut rule, u64::from(n), from(1, 10), 7, n), Verdict::ForeignAddress);
        assert_eq!(judge(&mut rule, u64::from(n), from(1, 9), 6, n), Verdict::ForeignSsrc);
    }
}

#[test]
fn junk_neither_resets_nor_starves_the_right_sender() {
    // Every kind of junk, as much as fits between two legitimate packets, before the sender begins and
    // afterwards.
    type Junk = fn(u64) -> (SocketAddr, u32, u16);
    let kinds: [(&str, Junk); 5] = [
        ("one stranger, numbers at random", |n| (from(2, 9), 5, (n * 9_973) as u16)),
        ("an SSRC a packet", |n| (from(2, 9), n as u32, n as u16)),
        ("a port a packet", |n| (from(2, 10_000 + (n % 40_000) as u16), 5, n as u16)),
        ("an address a packet", |n| (from((n % 250) as u8 + 2, n as u16), n as u32, 0)),
        ("a port a packet on the right machine", |n| (from(1, 10_000 + (n % 40_000) as u16), 7, n as u16)),
    ];
    for (name, junk) in kinds {
        for every_us in [20_000, 1_000, 250] {
            let mut rule = SourceRule::new(ExpectedSource::default());
            let mut taken = 0;
            for us in (0..5_000_000u64).step_by(250) {
                if us % every_us == 0 {
                    let (address, ssrc, sequence) = junk(us / every_us);
                    let moment = Step { at: MonoTime::from_nanos(us * 1_000), ..step(0, sequence, true) };
                    rule.judge(Origin { address, ssrc, proved: false }, moment);
                }
                if us >= 1_000_000 && us % 20_000 == 0 {
                    let verdict = judge(&mut rule, us / 1_000, from(1, 9), 7, (us / 20_000) as u16);
                    taken += usize::from(is_taken(verdict));
                }
            }
            // 200 packets were sent. One port per packet, 4,000 a second, occasionally leaves a slot.
            let least = if every_us == 20_000 { 190 } else { 100 };
            assert!(taken >= least, "{name}, one each {every_us} µs: {taken} of 200");
            assert_eq!(rule.sender(), Some((from(1, 9), 7)), "{name}");
            assert!(rule.candidates.count() <= 32, "{name}");
        }
    }
}

#[test]
fn pairs_in_order_keep_no_caller_out() {
    for before_ms in [5, 200, 10_000] {
        let mut rule = SourceRule::new(ExpectedSource::default());
        for ms in (0..before_ms + 3_000).step_by(5) {
            // A pair every 400 ms, so that the current sender is never silent for long.
            if ms % 400 < 10 {
                judge(&mut rule, ms, from(2, 9), 1, (ms / 400 * 2 + ms % 400 / 5) as u16);
            }
            if ms >= before_ms && (ms - before_ms) % 20 == 0 {
                judge(&mut rule, ms, from(1, 9), 7, (ms / 20) as u16);
            }
        }
        assert_eq!(rule.sender(), Some((from(1, 9), 7)), "{before_ms}");
    }
}

#[test]
fn keys_count_from_whom_signalling_named_and_otherwise_from_whom_carried_the_audio() {
    let offered = ExpectedSource { offered_ssrc: Some(7), ..ExpectedSource::default() };
    let likely = ExpectedSource { likely_port: Some(9), ..at_ip(1) };
    let port = ExpectedSource { port: Some(9), ..at_ip(1) };
    let ssrc = ExpectedSource { ssrc: Some(7), ..ExpectedSource::default() };
    for (expected, counts_at) in [
        (ExpectedSource::default(), 1_000),
        (at_ip(1), 20),
        (offered, 20),
        (likely, 20),
        (port, 20),
        (ssrc, 20),
    ] {
        let mut rule = SourceRule::new(expected);
        let first = (0..2_000).step_by(20).find(|&ms| {
            judge(&mut rule, ms, from(1, 9), 7, (ms / 20) as u16);
            rule.keys_since().is_some()
        });
        assert_eq!(first, Some(counts_at), "{expected:?}");
        assert_eq!(rule.keys_since(), Some(at(counts_at)));
    }
    let mut events = SourceRule::new(ExpectedSource::default());
    (0..2_000u16).for_each(|n| {
        event(&mut events, u64::from(n), from(2, 9), 7, n);
    });
    assert_eq!(events.keys_since(), None, "events carry no audio");
}

#[test]
fn beside_another_at_the_named_address_keys_count_from_whom_carried_the_audio() {
    let mut rule = SourceRule::new(at_ip(1));
    for n in 0..20u16 {
        judge(&mut rule, u64::from(n) * 20, from(1, 9), 7, n);
        event(&mut rule, u64::from(n) * 20 + 1, from(1, 11), 7, n);
    }
    assert_eq!((rule.sender(), rule.keys_since()), (Some((from(1, 9), 7)), None));
    talk(&mut rule, 400..1_200, from(1, 9), 7);
    assert!(rule.keys_since().is_some());
    // An earlier unknown sender with only events is replaced by one with audio.
    let mut rule = SourceRule::new(at_ip(1));
    (0..100u16).for_each(|n| {
        event(&mut rule, u64::from(n), from(1, 11), 7, n);
    });
    assert_eq!(rule.sender(), Some((from(1, 11), 7)));
    talk(&mut rule, 200..400, from(1, 9), 7);
    assert_eq!(rule.sender(), Some((from(1, 9), 7)));
}

#[test]
fn events_alone_never_take_over_from_a_source_that_is_silent() {
    let mut rule = established(at_ip(1));
    for n in 0..500u16 {
        assert_eq!(event(&mut rule, 3_000 + u64::from(n) * 20, from(1, 11), 7, n), Verdict::ForeignAddress);
    }
}

#[test]
fn events_from_the_streams_address_are_heard_whatever_their_ssrc_and_others_are_not() {
    let mut rule = established(at_ip(1));
    assert_eq!(event(&mut rule, 2_000, from(1, 9), 0xbad, 40_000), Verdict::Beside);
    assert_eq!(event(&mut rule, 2_000, from(1, 11), 7, 100), Verdict::ForeignAddress);
    assert_eq!(judge(&mut rule, 2_020, from(1, 9), 7, 100), Verdict::Accept, "the audio goes on");
    // Events instead of audio, for longer than another address would have to wait.
    for n in 0..50u16 {
        let ms = 2_040 + u64::from(n) * 20;
        assert_eq!(event(&mut rule, ms, from(1, 9), 0xbad, n), Verdict::Beside);
        assert_eq!(judge(&mut rule, ms, from(1, 12), 5, n), Verdict::ForeignAddress);
    }
    // If events came first, audio from the same address is accepted at once.
    let mut rule = SourceRule::new(at_ip(1));
    event(&mut rule, 0, from(1, 9), 0xbad, 1);
    event(&mut rule, 20, from(1, 9), 0xbad, 2);
    judge(&mut rule, 40, from(1, 9), 7, 900);
    assert!(is_taken(judge(&mut rule, 60, from(1, 9), 7, 901)));
}

#[test]
fn whom_signalling_points_at_or_a_key_proves_goes_before_whoever_was_there() {
    let mut rule = SourceRule::new(ExpectedSource { offered_ssrc: Some(7), ..ExpectedSource::default() });
    talk(&mut rule, 0..5_000, from(2, 9), 1);
    assert_eq!(talk(&mut rule, 5_000..5_100, from(1, 9), 7), 4, "by the number that it was told");
    let mut rule = SourceRule::new(ExpectedSource::default());
    talk(&mut rule, 0..5_000, from(2, 9), 1);
    let proved = |rule: &mut SourceRule, n: u16| {
        let origin = Origin { address: from(1, 9), ssrc: 7, proved: true };
        rule.judge(origin, step(5_000 + u64::from(n) * 20, n, true))
    };
    proved(&mut rule, 0);
    assert!(is_taken(proved(&mut rule, 1)));
    assert!(rule.keys_since().is_some());
    for n in 0..100u16 {
        assert!(!is_taken(judge(&mut rule, 5_040 + u64::from(n), from(2, 9), 1, n)));
    }
}

#[test]
fn invariant_11_a_silence_of_an_identified_sender_lets_no_stranger_in() {
    let mut rule = SourceRule::new(ExpectedSource { offered_ssrc: Some(7), ..ExpectedSource::default() });
    talk(&mut rule, 0..2_000, from(1, 9), 7);
    assert_eq!(talk(&mut rule, 2_000..60_000, from(2, 9), 1), 0, "a caller on hold sends nothing");
    assert_eq!(judge(&mut rule, 60_000, from(1, 9), 7, 100), Verdict::Accept);
    // It moves to another host: the number that was offered goes with it.
    assert_eq!(talk(&mut rule, 61_000..61_200, from(3, 9), 7), 6);
    // The client restarts under another number where it was.
    assert!(talk(&mut rule, 62_000..63_000, from(3, 9), 8) > 40);
}

#[test]
fn an_established_source_that_was_displaced_in_a_silence_comes_back() {
    let mut rule = established(ExpectedSource::default());
    talk(&mut rule, 2_500..2_800, from(2, 9), 1);
    assert_eq!(rule.sender(), Some((from(2, 9), 1)), "as behind a NAT that chose another port");
    for ms in (2_800..2_860).step_by(20) {
        judge(&mut rule, ms, from(2, 9), 1, (ms / 20) as u16);
        judge(&mut rule, ms + 5, from(1, 9), 7, (ms / 20) as u16);
    }
    assert_eq!(rule.sender(), Some((from(1, 9), 7)));
}

#[test]
fn what_is_saved_keeps_the_door_shut_after_a_restart() {
    let mut rule = established(ExpectedSource::default());
    rule.reject_stale((from(3, 9), 3));
    let text = serde_json::to_string(&rule).unwrap();
    let mut again: SourceRule = serde_json::from_str(&text).unwrap();
    again.resume(at(60_000));
    assert!(again.keys_since().is_some());
    // A burst before the legitimate sender's next packet.
    for n in 0..400u16 {
        assert_eq!(judge(&mut again, 60_000 + u64::from(n), from(2, 9), 1, n), Verdict::ForeignAddress);
    }
    assert_eq!(judge(&mut again, 60_400, from(1, 9), 7, 100), Verdict::Accept);
    assert_eq!(judge(&mut again, 60_400, from(3, 9), 3, 100), Verdict::Stale);
    // One that was not established is not established after the restart either.
    let mut rule = SourceRule::new(ExpectedSource::default());
    talk(&mut rule, 0..200, from(2, 9), 1);
    let again: SourceRule = serde_json::from_str(&serde_json::to_string(&rule).unwrap()).unwrap();
    assert_eq!((again.sender(), again.keys_since()), (rule.sender(), None));
}

#[test]
fn what_an_older_program_saved_is_read_and_its_sender_stays() {
    let text = r#"{"expected": {"ip": null, "port": null, "ssrc": null},
        "current": [{"address": "127.0.0.1:9", "ssrc": 7}, 5000000],
        "candidate": null, "stale": null}"#;
    let mut rule: SourceRule = serde_json::from_str(text).unwrap();
    rule.resume(at(100));
    assert!(rule.keys_since().is_some());
    assert_eq!(judge(&mut rule, 120, from(2, 9), 1, 1), Verdict::ForeignAddress);
    assert_eq!(judge(&mut rule, 120, from(1, 9), 7, 1), Verdict::Accept);
}

#[test]
fn a_former_sender_does_not_take_the_stream_back_from_one_that_is_established() {
    let mut rule = established(ExpectedSource::default());
    // The first falls silent, and another continues.
    let silence = 2_000 + SILENT.as_millis() as u64;
    assert!(talk(&mut rule, silence..silence + 3_000, from(2, 9), 8) > 100);
    assert_eq!(rule.sender(), Some((from(2, 9), 8)));
    // Both send: the current sender is kept, packet for packet.
    for ms in (silence + 3_000..silence + 6_000).step_by(20) {
        let sequence = (ms / 20) as u16;
        assert!(is_taken(judge(&mut rule, ms, from(2, 9), 8, sequence)), "{ms}");
        assert_eq!(judge(&mut rule, ms + 5, from(1, 9), 7, sequence), Verdict::ForeignAddress, "{ms}");
    }
}
