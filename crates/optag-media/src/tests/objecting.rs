//! Streams whose speaker objects to being recorded.

use optag_core::call::NoAudio;

use super::*;
use crate::call::snapshot::{CallSnapshot, Resumption};

/// A call with consent in which the employee objects from the beginning, or nobody does.
fn call(objects: bool) -> Bench {
    let mut bench = Bench::of(true, (8, Encoding::Pcma), |plan, _, _| {
        plan.withheld = objects && plan.role == StreamRole::Employee;
    });
    bench.yes();
    bench
}

fn withhold(bench: &mut Bench, streams: [bool; 2]) {
    let command = Command::Withhold { streams: streams.to_vec() };
    bench.call.command(at(bench.now_ms), command, &mut bench.stats).unwrap();
}

/// First and last frame of a stream that has sound.
fn sound(bench: &Bench, stream: usize) -> Option<(usize, usize)> {
    let peaks = bench.peaks(stream);
    let first = peaks.iter().position(|&peak| peak > 0)?;
    Some((first, peaks.iter().rposition(|&peak| peak > 0)?))
}

fn objected(bench: &Bench) -> Vec<(StreamIndex, u32, u32)> {
    let gaps = bench.gaps(GapReason::Objected);
    gaps.into_iter().map(|gap| (gap.stream, gap.from_frame, gap.to_frame)).collect()
}

#[test]
fn nothing_is_kept_of_an_employee_who_objects_and_all_of_the_caller() {
    let mut bench = call(true);
    bench.talk(0..200, |_| true);
    assert_eq!(bench.end(4_000), Outcome::Recorded);
    let kept = sound(&bench, 0).expect("the caller is kept");
    assert!(kept.0 <= 1 && kept.1 >= 198, "{kept:?}");
    assert_eq!(sound(&bench, 1), None, "something of the employee is kept");
    assert_eq!(objected(&bench), [(StreamIndex(1), 0, 200)]);
}

#[test]
fn another_employee_is_kept_from_when_the_first_has_left_and_nothing_after_one_who_objects_has_come() {
    let mut bench = call(false);
    bench.talk(0..100, |_| true);
    withhold(&mut bench, [false, true]);
    bench.talk(100..200, |_| true);
    withhold(&mut bench, [false, false]);
    bench.talk(200..300, |_| true);
    assert_eq!(bench.end(6_000), Outcome::Recorded);
    let peaks = bench.peaks(1);
    assert!(peaks[2..99].iter().all(|&peak| peak > 0), "{:?}", &peaks[..100]);
    assert!(peaks[100..200].iter().all(|&peak| peak == 0), "{:?}", &peaks[100..200]);
    assert!(peaks[202..298].iter().all(|&peak| peak > 0), "{:?}", &peaks[200..]);
    assert!(bench.peaks(0)[2..298].iter().all(|&peak| peak > 0));
    let gaps = objected(&bench);
    assert!(matches!(gaps[..], [(StreamIndex(1), 100, 200..=201)]), "{gaps:?}");
}

#[test]
fn a_pause_and_an_objection_hold_each_for_itself() {
    let mut bench = call(false);
    bench.talk(0..50, |_| true);
    withhold(&mut bench, [false, true]);
    bench.call.command(at(bench.now_ms), Command::Pause, &mut bench.stats).unwrap();
    bench.talk(50..100, |_| true);
    bench.call.command(at(bench.now_ms), Command::Resume, &mut bench.stats).unwrap();
    bench.talk(100..150, |_| true);
    assert_eq!(bench.end(3_000), Outcome::Recorded);
    assert_eq!(sound(&bench, 1).map(|(_, last)| last < 50), Some(true), "the resumption let the employee in");
    assert!(bench.peaks(0)[102..148].iter().all(|&peak| peak > 0));
    assert!(bench.peaks(0)[50..100].iter().all(|&peak| peak == 0));
}

#[test]
fn an_objection_outlives_the_process() {
    let mut bench = call(false);
    bench.talk(0..50, |_| true);
    withhold(&mut bench, [false, true]);
    bench.talk(50..100, |_| true);
    let saved = bench.out.iter().rev().find_map(|output| match &output.fact {
        Fact::State(saved) => Some(saved.to_text()),
        _ => None,
    });
    let frames = bench.blocks().last().map_or(0, |block| block.first_frame + block.frames());
    let saved = CallSnapshot::from_text(&saved.expect("saved")).unwrap();
    bench.call =
        Call::resume(Resumption { saved, frames, sockets_kept: false }, Bench::settings(), at(2_500).mono);
    bench.now_ms = 2_500;
    bench.out.clear();
    bench.talk(125..200, |_| true);
    assert_eq!(bench.end(4_000), Outcome::Recorded);
    assert!(sound(&bench, 0).is_some());
    assert_eq!(sound(&bench, 1), None);
}

#[test]
fn where_all_object_nothing_is_recorded_and_the_call_is_accounted() {
    let mut bench = Bench::of(true, (8, Encoding::Pcma), |plan, _, _| plan.withheld = true);
    bench.yes();
    bench.talk(0..100, |_| true);
    assert_eq!(bench.end(2_000), Outcome::NoAudio(NoAudio::OnlyWhileClosed));
    assert!(sound(&bench, 0).is_none() && sound(&bench, 1).is_none());
}
