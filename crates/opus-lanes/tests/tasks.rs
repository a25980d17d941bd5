//! What tasks may do, and what they do to each other: nothing.

mod common;

use std::cell::{Cell, RefCell};
use std::time::Instant;

use common::{Encoder, Frame, synthetic_voice};
use opus_lanes::{Lanes, Path, hold, own_time_ns};

const FRAME: Frame = Frame { complexity: 5, bitrate: 16_000, vbr: true, reset: false };

fn plain(pcm: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(false, 8_000);
    pcm.chunks_exact(160).map(|pcm| encoder.encode(pcm, FRAME)).collect()
}

fn encoded(pcm: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(true, 8_000);
    pcm.chunks_exact(160).map(|pcm| encoder.encode(pcm, FRAME)).collect()
}

fn voices(count: u64) -> Vec<Vec<i16>> {
    (0..count).map(|n| synthetic_voice(160 * 40, 8_000, n)).collect()
}

#[test]
fn results_come_in_the_order_of_the_tasks() {
    for &path in Path::available() {
        let mut lanes = Lanes::new(path);
        let results = lanes.run(0..500, |n| n * 3);
        assert!(results.into_iter().map(Result::unwrap).eq((0..500).map(|n| n * 3)));
        assert!(lanes.run(std::iter::empty(), |(): ()| ()).is_empty());
    }
}

#[test]
fn a_panic_ends_its_own_task_alone() {
    let voices = voices(40);
    for &path in Path::available() {
        let results = Lanes::new(path).run(voices.iter().enumerate(), |(n, pcm)| {
            let mut encoder = Encoder::new(true, 8_000);
            let frames = pcm.chunks_exact(160).enumerate();
            frames
                .map(|(at, pcm)| {
                    assert!(n % 3 != 1 || at < n % 20, "task {n} gives up");
                    encoder.encode(pcm, FRAME)
                })
                .collect::<Vec<_>>()
        });
        for (n, (result, pcm)) in results.into_iter().zip(&voices).enumerate() {
            match result {
                Ok(packets) => assert!(n % 3 != 1 && packets == plain(pcm), "task {n}"),
                Err(panic) => {
                    assert_eq!(*panic.downcast_ref::<String>().unwrap(), format!("task {n} gives up"));
                    assert_eq!(n % 3, 1);
                }
            }
        }
        assert!(!std::thread::panicking());
    }
}

/// Encodes when it is dropped.
struct Last<'a>(&'a [i16], &'a Cell<usize>);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        assert_eq!(encoded(self.0), plain(self.0));
        self.1.set(self.1.get() + 1);
    }
}

#[test]
fn what_is_dropped_by_a_panic_may_encode() {
    let voices = voices(30);
    for &path in Path::available() {
        let done = Cell::new(0);
        let results = Lanes::new(path).run(&voices, |pcm| {
            let _last = Last(&pcm[..1_600], &done);
            let packets = encoded(pcm);
            assert!(packets.is_empty(), "gives up");
        });
        assert!(results.iter().all(Result::is_err));
        assert_eq!(done.get(), voices.len());
    }
}

#[test]
fn a_task_that_is_held_lets_no_other_go_on() {
    let voices = voices(30);
    for &path in Path::available() {
        let (cell, turns, last) = (RefCell::new(0), Cell::new(0), Cell::new(usize::MAX));
        let results = Lanes::new(path).run(voices.iter().enumerate(), |(n, pcm)| {
            let mut packets = encoded(pcm);
            let held = hold();
            let mut borrowed = cell.borrow_mut();
            packets.extend(encoded(pcm));
            *borrowed += 1;
            drop((borrowed, held));
            turns.set(turns.get() + usize::from(last.replace(n) != n));
            packets.extend(encoded(pcm));
            turns.set(turns.get() + usize::from(last.replace(n) != n));
            packets
        });
        for (packets, pcm) in results.into_iter().zip(&voices) {
            assert_eq!(packets.unwrap(), vec![plain(pcm); 3].concat());
        }
        assert_eq!(*cell.borrow(), voices.len());
        // Otherwise the tasks do take turns.
        assert_eq!(turns.get() > voices.len(), path != Path::Plain, "{path:?}: {turns:?}");
    }
}

#[test]
fn lanes_may_be_run_within_a_task() {
    let voices = voices(6);
    for &path in Path::available() {
        let results = Lanes::new(path).run(&voices, |pcm| {
            let before = encoded(pcm);
            let inner = Lanes::new(path).run(&voices, |pcm| encoded(pcm));
            (before, inner.into_iter().map(Result::unwrap).collect::<Vec<_>>(), encoded(pcm))
        });
        let expected: Vec<_> = voices.iter().map(|pcm| plain(pcm)).collect();
        for (result, expected_here) in results.into_iter().zip(&expected) {
            let (before, inner, after) = result.unwrap();
            assert!(before == *expected_here && after == *expected_here && inner == expected);
        }
    }
}

#[test]
fn threads_have_lanes_of_their_own() {
    let voices = voices(20);
    let expected: Vec<_> = voices.iter().map(|pcm| plain(pcm)).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut lanes = Lanes::default();
                for _ in 0..3 {
                    let results = lanes.run(&voices, |pcm| encoded(pcm));
                    assert!(results.into_iter().map(Result::unwrap).eq(expected.iter().cloned()));
                }
            });
        }
    });
}

#[test]
fn lanes_may_go_on_another_thread() {
    let voices = voices(10);
    let mut lanes = Lanes::default();
    for _ in 0..3 {
        let (back, packets) = std::thread::scope(|scope| {
            let voices = &voices;
            let run = move || {
                let packets = lanes.run(voices, |pcm| encoded(pcm));
                (lanes, packets.into_iter().map(Result::unwrap).collect::<Vec<_>>())
            };
            scope.spawn(run).join().unwrap()
        });
        lanes = back;
        assert!(packets.into_iter().eq(voices.iter().map(|pcm| plain(pcm))));
    }
}

#[test]
fn time_of_a_task_does_not_count_while_it_waits() {
    let voices = voices(40);
    for &path in Path::available() {
        let started = Instant::now();
        let results = Lanes::new(path).run(&voices, |pcm| {
            let before = own_time_ns();
            let packets = encoded(pcm);
            assert!(!packets.is_empty());
            own_time_ns() - before
        });
        let whole = started.elapsed().as_nanos() as u64;
        let own: Vec<_> = results.into_iter().map(Result::unwrap).collect();
        assert!(own.iter().all(|&ns| ns > 0));
        // Each would count the time of all others otherwise.
        assert!(own.iter().sum::<u64>() <= whole, "{path:?}: {own:?} in {whole}");
    }
}

#[test]
fn most_calls_share_a_batch_and_none_is_done_twice() {
    let voices = voices(64);
    for &path in Path::available().iter().filter(|&&path| path != Path::Plain) {
        let mut lanes = Lanes::new(path);
        lanes.run(&voices, |pcm| encoded(pcm));
        let counts = lanes.counts();
        assert!(counts.calls > 64 * 40, "{counts:?}");
        assert!(counts.batches * 5 < counts.calls, "{counts:?}");
        assert_eq!(counts.redone, 0, "{counts:?}");
    }
}
