//! A call resumed by a later process, in simulated time.

use super::*;
use crate::call::snapshot::CallSnapshot;
use crate::call::snapshot::Resumption;

/// The last snapshot, serialised and parsed.
fn saved(bench: &Bench) -> CallSnapshot {
    let mut states = bench.out.iter().filter_map(|output| match &output.fact {
        Fact::State(saved) => Some(saved.to_text()),
        _ => None,
    });
    CallSnapshot::from_text(&states.next_back().expect("something was saved")).unwrap()
}

/// Another process resumes the call at `ms`; what was not handed out is lost.
fn restart(bench: &mut Bench, ms: u64, sockets_kept: bool) {
    let frames = bench.blocks().last().map_or(0, |block| block.first_frame + block.frames());
    let resumption = Resumption { saved: saved(bench), frames, sockets_kept };
    bench.call = Call::resume(resumption, Bench::settings(), at(ms).mono);
    bench.now_ms = ms;
}

fn gaps(bench: &Bench, reason: GapReason) -> Vec<Gap> {
    let gap = |output: &Output| match output.fact {
        Fact::Gap(gap) if gap.reason == reason && gap.stream == StreamIndex(0) => Some(gap),
        _ => None,
    };
    bench.out.iter().filter_map(gap).collect()
}

#[test]
fn the_axis_goes_on_in_real_length_and_the_time_between_is_a_restart_gap() {
    let mut bench = Bench::new(true);
    bench.yes();
    bench.talk(0..200, |_| true);
    bench.tick_to(4_000);
    let before = bench.frames();
    restart(&mut bench, 7_000, false);
    bench.talk(350..600, |_| true);
    assert_eq!(bench.end(12_000), Outcome::Recorded);
    let blocks = bench.blocks();
    assert_eq!(blocks.iter().find(|block| block.first_frame >= before).unwrap().first_frame, 350);
    assert_eq!(blocks.last().map(|block| block.first_frame + block.frames()), Some(600));
    assert_eq!(
        gaps(&bench, GapReason::Restart),
        [Gap { stream: StreamIndex(0), from_frame: before, to_frame: 350, reason: GapReason::Restart }]
    );
    let others = [gaps(&bench, GapReason::Held), gaps(&bench, GapReason::Lost)].concat();
    assert!(others.iter().all(|gap| gap.to_frame == 1), "beyond the first packet's probation: {others:?}");
    // The sender was known: not even its first packet was lost to probation.
    assert_eq!((bench.stats.lost, bench.stats.late, bench.stats.foreign_ssrc), (0, 0, 0));
}

#[test]
fn what_sockets_held_that_stayed_open_leaves_no_gap() {
    let mut bench = Bench::new(true);
    bench.yes();
    bench.talk(0..200, |_| true);
    bench.tick_to(4_000);
    let before = bench.frames();
    restart(&mut bench, 5_500, true);
    // The backlog of a second and a half arrives with its true arrival times.
    for n in before..275 {
        for stream in 0..2u8 {
            let datagram = packet(stream, n as u16, n * 160, 8, &tone(n));
            bench.hear(stream.into(), u64::from(n) * 20 + 20, &datagram);
        }
    }
    bench.talk(275..400, |_| true);
    bench.end(8_000);
    assert!(gaps(&bench, GapReason::Restart).is_empty());
    assert_eq!(bench.frames(), 400, "no frame is missing and none is there twice");
    assert_eq!((bench.stats.lost, bench.stats.late), (0, 0));
}

#[test]
fn a_call_that_was_not_answered_is_asked_still_and_only_until_its_time_is_up() {
    for (answer_at, expected) in [(9_000, ConsentState::Granted), (31_000, ConsentState::Refused)] {
        let mut bench = Bench::new(true);
        bench.talk(0..100, |_| true);
        bench.tick_to(12_000);
        restart(&mut bench, answer_at.min(15_000), false);
        assert_eq!(bench.call.state().consent, ConsentState::Asked);
        bench.tick_to(answer_at.max(15_000));
        bench.press(0, answer_at.max(15_000) + 50, 900, 1);
        bench.tick_to(answer_at.max(15_000) + 200);
        assert_eq!(bench.call.state().consent, expected);
        assert_eq!(bench.frames(), 0, "nothing of before is kept");
    }
}

#[test]
fn refusal_pause_half_typed_keys_and_the_sender_survive() {
    let mut bench = Bench::new(true);
    bench.yes();
    bench.talk(0..100, |_| true);
    bench.press(0, 2_000, 100, 10);
    bench.call.command(at(2_050), Command::Pause, &mut TickStats::default()).unwrap();
    bench.tick_to(2_200);
    restart(&mut bench, 3_000, false);
    assert!(bench.call.state().paused);
    // An unknown sender does not replace one that is slow to return.
    let stranger = SocketAddr::from(([127, 0, 0, 9], 9));
    for n in 0..4u16 {
        let datagram = packet(9, n, 0, 8, &tone(0));
        bench.call.handle(at(3_000), 0, at(3_000).mono, stranger, &datagram, &mut bench.stats);
    }
    assert!(bench.stats.foreign_address == 4);
    // The second half of the withdrawal.
    bench.press(0, 3_050, 101, 9);
    bench.tick_to(3_200);
    assert_eq!(bench.call.state().consent, ConsentState::Withdrawn);
    assert_eq!(bench.end(3_300), Outcome::Withdrawn);

    let mut bench = Bench::new(true);
    bench.talk(0..10, |_| true);
    bench.press(0, 300, 10, 2);
    bench.tick_to(500);
    restart(&mut bench, 1_000, false);
    bench.press(0, 1_050, 11, 1);
    assert_eq!(bench.end(2_000), Outcome::Refused);
    assert_eq!(bench.frames(), 0);
}

#[test]
fn a_call_is_saved_when_something_changes_and_seldom_otherwise() {
    let mut bench = Bench::new(true);
    bench.yes();
    for second in 0..60 {
        bench.talk(second * 50..(second + 1) * 50, |_| true);
        bench.tick_to(u64::from(second + 1) * 1_000);
    }
    let states = bench.out.iter().filter(|output| matches!(output.fact, Fact::State(_))).count();
    assert!((6..=9).contains(&states), "{states} in a minute");
    let text = saved(&bench).to_text();
    assert!(text.len() < 3_000, "{} bytes", text.len());
    let mut unselected = Bench::new(false);
    unselected.talk(0..1_000, |_| true);
    assert!(unselected.out.is_empty(), "of a call that is not recorded nothing is written");
}

#[test]
fn a_silent_call_lives_after_a_restart_for_as_long_as_signalling_vouched_for_it() {
    let mut bench = Bench::new(true);
    bench.yes();
    bench.talk(0..100, |_| true);
    bench.tick_to(2_000);
    // As for a session timer of half an hour; the sender is silent, like an SRC on hold.
    let command = Command::Alive { vouched: Duration::from_secs(1_800) };
    bench.call.command(at(2_000), command, &mut bench.stats).unwrap();
    bench.tick_to(15_000);
    restart(&mut bench, 18_000, false);
    bench.tick_to(1_801_000);
    assert!(!bench.call.is_ended());
    bench.tick_to(1_803_000);
    assert!(bench.call.is_ended());
}

/// Both streams in real time, with packets from `datagram` by stream and frame.
fn talk_as(bench: &mut Bench, frames: std::ops::Range<u32>, datagram: impl Fn(u8, u32) -> Option<Vec<u8>>) {
    for n in frames {
        let ms = u64::from(n) * 20 + 20;
        bench.tick_to(ms.max(bench.now_ms));
        for stream in 0..2u8 {
            if let Some(datagram) = datagram(stream, n) {
                bench.hear(stream.into(), ms, &datagram);
            }
        }
    }
}

#[test]
fn a_sender_that_restarts_beside_the_recorder_is_heard_where_it_arrives() {
    // The same sender with new sequence numbers, and another one at the same address.
    for other in [0, 5] {
        let mut bench = Bench::new(true);
        bench.yes();
        bench.talk(0..200, |_| true);
        bench.tick_to(4_000);
        let before = bench.frames() as usize;
        restart(&mut bench, 7_000, false);
        talk_as(&mut bench, 350..600, |stream, n| {
            Some(packet(stream + other, 30_000 + n as u16, 77_000_000 + n * 160, 8, &tone(n)))
        });
        assert_eq!(bench.end(12_000), Outcome::Recorded);
        let blocks = bench.blocks();
        assert_eq!(blocks.last().map(|block| block.first_frame + block.frames()), Some(600), "{other}");
        for stream in 0..2 {
            let peaks = &bench.peaks(stream)[before..];
            let silent: Vec<usize> = (0..249).filter(|&n| peaks[n] <= 100).collect();
            // It needs a new probation, and nothing else is missing.
            assert!(silent.iter().all(|&n| n < 6), "SSRC + {other}, stream {stream}: {silent:?}");
        }
    }
}

#[test]
fn a_restart_while_the_sender_says_nothing_moves_nothing_that_it_says_later() {
    // Comfort noise at the beginning of the silence only, and repeatedly.
    for every in [1_000, 10] {
        let mut bench = Bench::new(true);
        bench.yes();
        let line = |stream: u8, n: u32| {
            let (sequence, timestamp) = (n as u16, n * 160);
            match n {
                0..100 | 400.. => Some(packet(stream, sequence, timestamp, 8, &tone(n))),
                // Sequence numbers advance with the packets sent.
                _ if (n - 100).is_multiple_of(every) => {
                    Some(packet(stream, (100 + (n - 100) / every) as u16, timestamp, 13, &[70]))
                }
                _ => None,
            }
        };
        let later = |stream: u8, n: u32| {
            let sent = 100 + 300_u32.div_ceil(every);
            line(stream, n).map(|datagram| match n {
                400.. => packet(stream, (sent + n - 400) as u16, n * 160, 8, &tone(n)),
                _ => datagram,
            })
        };
        talk_as(&mut bench, 0..200, line);
        bench.tick_to(4_000);
        let before = bench.frames() as usize;
        restart(&mut bench, 5_000, false);
        talk_as(&mut bench, 250..500, later);
        assert_eq!(bench.end(10_000), Outcome::Recorded);
        for stream in 0..2 {
            // From frame 250 on.
            let peaks = &bench.peaks(stream)[before..];
            assert!(peaks[..149].iter().all(|&peak| peak < 20), "every {every}: {:?}", &peaks[..149]);
            assert!(peaks[152..249].iter().all(|&peak| peak > 100), "every {every}: {:?}", &peaks[149..]);
        }
        assert_eq!((bench.stats.lost, bench.stats.late), (0, 0), "every {every}");
    }
}
