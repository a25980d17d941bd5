//! Streams that join or leave during a call.

use super::*;
use optag_core::call::StreamFacts;

fn stream() -> StreamPlan {
    StreamPlan {
        withheld: false,
        role: StreamRole::Other,
        media: StreamMedia {
            formats: vec![PayloadFormat { payload_type: 8, encoding: Encoding::Pcma }],
            telephone_event: vec![EventFormat { payload_type: 101, clock_hz: 8_000 }],
            ..StreamMedia::default()
        },
    }
}

fn facts() -> StreamFacts {
    StreamFacts { label: "third".into(), role: StreamRole::Other }
}

/// This many streams talk, frame by frame, while ticks run.
fn talk(bench: &mut Bench, streams: u8, frames: std::ops::Range<u32>) {
    for n in frames {
        let ms = u64::from(n) * 20;
        bench.tick_to(ms.max(bench.now_ms));
        for stream in 0..streams {
            bench.hear(stream.into(), ms, &packet(stream, n as u16, n * 160, 8, &tone(n)));
        }
    }
}

#[test]
fn a_stream_that_joins_while_recording_begins_where_the_others_are() {
    let mut bench = Bench::new(true);
    bench.yes();
    bench.talk(0..100, |_| true);
    bench.tick_to(2_000);
    assert!(bench.call.join(at(2_000), facts(), stream()));
    talk(&mut bench, 3, 100..200);
    assert_eq!(bench.end(4_000), Outcome::Recorded);
    assert_eq!(bench.frames(), 200);
    let joined_at = bench.out.iter().position(|output| matches!(output.fact, Fact::Joined(_))).unwrap();
    let mut next = 0;
    for (n, output) in bench.out.iter().enumerate() {
        if let Fact::Media(block) = &output.fact {
            assert_eq!((block.first_frame, block.streams), (next, if n < joined_at { 2 } else { 3 }));
            next += block.frames();
        }
    }
    let last = bench.blocks().pop().unwrap();
    assert!(last.peaks.iter().all(|&peak| peak > 100), "all three are heard: {:?}", last.peaks);
    assert_eq!((bench.stats.lost, bench.stats.late), (0, 0));
}

#[test]
fn a_stream_that_joins_before_the_answer_is_there_from_the_first_frame() {
    let mut bench = Bench::new(true);
    assert!(bench.call.join(at(0), facts(), stream()));
    talk(&mut bench, 3, 0..50);
    bench.tick_to(1_000);
    bench.yes();
    talk(&mut bench, 3, 50..100);
    assert_eq!(bench.end(2_000), Outcome::Recorded);
    assert!(bench.blocks().iter().all(|block| block.streams == 3));
}

#[test]
fn nothing_is_written_of_a_stream_that_joins_a_call_that_is_not_recorded() {
    let mut bench = Bench::new(false);
    assert!(bench.call.join(at(0), facts(), stream()));
    talk(&mut bench, 3, 0..50);
    assert_eq!(bench.end(1_000), Outcome::NotSelected);
    assert!(!bench.out.iter().any(|output| matches!(output.fact, Fact::Joined(_))));
}

#[test]
fn a_call_takes_eight_streams_and_none_after_its_end() {
    let mut bench = Bench::new(true);
    for n in 2..10 {
        assert_eq!(bench.call.join(at(0), facts(), stream()), n < 8, "{n}");
    }
    bench.end(100);
    let mut bench = Bench::new(true);
    bench.end(100);
    assert!(!bench.call.join(at(200), facts(), stream()));
}

#[test]
fn a_dropped_stream_is_refused_and_marked_until_it_comes_back() {
    let mut bench = Bench::new(true);
    bench.yes();
    talk(&mut bench, 2, 0..100);
    bench.call.command(at(2_000), Command::DropStream { stream: StreamIndex(1) }, &mut bench.stats).unwrap();
    talk(&mut bench, 2, 100..200);
    let media = Box::new(stream().media);
    bench
        .call
        .command(at(4_000), Command::Renegotiate { stream: StreamIndex(1), media }, &mut bench.stats)
        .unwrap();
    talk(&mut bench, 2, 200..300);
    assert_eq!(bench.end(6_000), Outcome::Recorded);
    assert_eq!((bench.frames(), bench.stats.unwanted), (300, 100));
    let gone: u32 = bench.gaps(GapReason::NoMedia).iter().map(|gap| gap.to_frame - gap.from_frame).sum();
    assert!((80..=110).contains(&gone), "{:?}", bench.gaps(GapReason::NoMedia));
    assert!(bench.gaps(GapReason::NoMedia).iter().all(|gap| gap.stream == StreamIndex(1)));
    let peaks = bench.peaks(1);
    assert!(peaks[120..190].iter().all(|&peak| peak == 0) && peaks[250] > 100);
}
