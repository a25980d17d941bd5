//! Calls processed side by side, as a worker does within a tick.

use opus_lanes::{Lanes, Path};

use super::super::call::fault::inject::arm;
use super::super::call::fault::{self, Step};
use super::*;

const CALLS: u32 = 20;

/// A test call encoded at complexity 5, at 8 or 16 kHz.
fn call(test: u8, n: u32) -> Bench {
    let coding = if n % 3 == 1 { (9, Encoding::G722) } else { (8, Encoding::Pcma) };
    let mut bench = Bench::of(true, coding, |_, rules, settings| {
        rules.id = CallId::from_bytes([0x5b, n as u8, test, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        settings.capture.opus.complexity = 5;
    });
    bench.yes();
    bench
}

/// A stream's audio: louder and softer, never the same, with pauses; some packets are lost.
fn said(n: u32, stream: u32, frame: u32) -> Option<Vec<u8>> {
    let seed = n * 7 + stream * 3 + 1;
    let pause = (frame / 20 + seed).is_multiple_of(4);
    let lost = frame % (13 + seed % 5) == 3;
    let step = 0.02 + f64::from(seed % 11) * 0.05;
    let sample = |i: u32| {
        let t = f64::from(frame * 160 + i);
        let wave = (t * step).sin() + (t * step * 3.1 + f64::from(frame)).sin() * 0.5;
        // Sign and magnitude: a coarse A-law.
        let loud = ((wave.abs() * 60.0) as u8).min(0x7f);
        (if wave > 0.0 { 0x80 | loud } else { loud }) ^ 0x55
    };
    (!lost).then(|| (0..160).map(|i| if pause { 0xd5 } else { sample(i) }).collect())
}

/// A second of a call, ten ticks.
fn second(bench: &mut Bench, n: u32, from: u32) {
    for frame in from..from + 50 {
        let ms = u64::from(frame) * 20 + 20;
        bench.now_ms = bench.now_ms.max(ms);
        for stream in 0..2u32 {
            if let Some(payload) = said(n, stream, frame) {
                let payload_type = if n % 3 == 1 { 9 } else { 8 };
                let datagram = packet(stream as u8, frame as u16, frame * 160, payload_type, &payload);
                bench.hear(stream as usize, ms, &datagram);
            }
        }
        if ms.is_multiple_of(100) {
            bench.call.set_complexity([5, 3, 5, 0, 5][(frame / 5 % 5) as usize]);
            bench.call.tick(at(bench.now_ms), &mut bench.stats);
            bench.call.take_facts(&mut bench.out);
        }
    }
}

fn calls(test: u8) -> Vec<(u32, Bench)> {
    (0..CALLS).map(|n| (n, call(test, n))).collect()
}

#[test]
fn calls_side_by_side_make_what_each_makes_alone() {
    let mut alone = calls(1);
    for from in [0, 50] {
        alone.iter_mut().for_each(|(n, bench)| second(bench, *n, from));
    }
    for &path in Path::available() {
        let (mut lanes, mut together) = (Lanes::new(path), calls(1));
        for from in [0, 50] {
            let results = lanes.run(&mut together, |(n, bench)| second(bench, *n, from));
            assert!(results.iter().all(Result::is_ok), "{path:?}: a call failed");
        }
        for ((n, alone), (_, bench)) in alone.iter().zip(&together) {
            assert!(bench.frames() > 70, "{path:?}, call {n}");
            assert!(alone.blocks() == bench.blocks(), "{path:?}, call {n} makes other packets");
            assert_eq!(alone.stats.frames_coded, bench.stats.frames_coded);
            assert!(bench.stats.coding_ns > 0);
        }
    }
}

/// What is encoded while packets are read, calls do not encode together.
#[test]
fn frames_are_made_by_the_tick_while_ticks_are_on_time() {
    let mut bench = call(3, 0);
    for tick in 0..20 {
        let made = bench.stats.frames_coded;
        for frame in tick * 5..tick * 5 + 5 {
            let payload = tone(frame);
            bench.hear(0, u64::from(frame) * 20 + 20, &packet(0, frame as u16, frame * 160, 8, &payload));
        }
        assert_eq!(bench.stats.frames_coded, made, "tick {tick}: encoded while packets were read");
        bench.now_ms = u64::from(tick) * 100 + 100;
        bench.call.tick(at(bench.now_ms), &mut bench.stats);
    }
    assert!(bench.stats.frames_coded > 70, "{}", bench.stats.frames_coded);
}

#[test]
fn a_call_that_fails_ends_alone_among_calls_under_way() {
    let mut alone = calls(2);
    for from in [0, 50] {
        alone.iter_mut().for_each(|(n, bench)| second(bench, *n, from));
    }
    for &path in Path::available() {
        let (mut lanes, mut together) = (Lanes::new(path), calls(2));
        lanes.run(&mut together, |(n, bench)| second(bench, *n, 0));
        let fails = |n: u32| n % 4 == 2;
        together.iter().filter(|(n, _)| fails(*n)).for_each(|(_, bench)| arm(bench.call.id(), Step::Frames));
        let results = lanes.run(&mut together, |(n, bench)| {
            let worked = fault::caught(|| second(bench, *n, 50)).is_some();
            if !worked {
                bench.call.fail(at(bench.now_ms));
                bench.call.take_facts(&mut bench.out);
            }
            worked
        });
        for ((n, alone), ((_, bench), worked)) in alone.iter().zip(together.iter().zip(results)) {
            assert_eq!(worked.expect("caught inside"), !fails(*n), "{path:?}, call {n}");
            let ended = matches!(bench.out.last().map(|output| &output.fact), Some(Fact::Ended(_)));
            assert_eq!(ended, fails(*n), "{path:?}, call {n}");
            assert!(fails(*n) || alone.blocks() == bench.blocks(), "{path:?}, call {n} makes other packets");
        }
    }
}
