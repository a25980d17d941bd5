//! Calls whose processing panics.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::super::stats::CallGauges;
use super::*;
use crate::call::fault::Step;
use crate::call::fault::inject::arm;
use crate::engine::slot::Slot;
use crate::fact::Ended;
use crate::net::port_pool::PortPool;
use optag_core::call::outcome::LossCause;
use optag_core::call::{CutShort, StreamFacts};
use optag_core::clock::OsClock;

/// A call in its slot, in simulated time, with sockets that receive nothing.
struct Harness {
    slot: Slot,
    pool: PortPool,
    id: CallId,
}

impl Harness {
    /// Both streams talked for this many frames, after a yes if one was given.
    fn after(selected: bool, yes: bool, frames: u32) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let id = CallId::from_bytes(
            [0xfa; 15]
                .into_iter()
                .chain([NEXT.fetch_add(1, Ordering::Relaxed)])
                .collect::<Vec<_>>()
                .try_into()
                .unwrap(),
        );
        let mut bench = Bench::of(selected, (8, Encoding::Pcma), |_, rules, _| rules.id = id);
        if yes {
            bench.yes();
        }
        bench.talk(0..frames, |_| true);
        bench.tick_to(u64::from(frames) * 20);
        let pool = PortPool::new(Ipv4Addr::LOCALHOST.into(), 47_100, 47_900, 65_536);
        let sockets = pool.bind([true, true], at(0).mono).unwrap();
        let mut slot = Slot::new(bench.call, sockets, Arc::new(CallGauges::new(2)), None);
        slot.out = bench.out;
        Self { slot, pool, id }
    }

    fn tick(&mut self, ms: u64) {
        self.slot.tick(&OsClock, at(ms), 0);
    }

    fn ends(&self) -> Vec<&Ended> {
        let end = |output: &'_ Output| matches!(output.fact, Fact::Ended(_));
        assert!(
            self.slot.out.iter().position(end).is_none_or(|n| n + 1 == self.slot.out.len()),
            "facts after the end"
        );
        self.slot
            .out
            .iter()
            .filter_map(|output| if let Fact::Ended(ended) = &output.fact { Some(ended) } else { None })
            .collect()
    }

    fn frames(&self) -> u32 {
        self.slot
            .out
            .iter()
            .map(|output| if let Fact::Media(block) = &output.fact { block.frames() } else { 0 })
            .sum()
    }

    fn gaps(&self, reason: GapReason) -> Vec<Gap> {
        let gaps = self
            .slot
            .out
            .iter()
            .filter_map(|output| if let Fact::Gap(gap) = output.fact { Some(gap) } else { None });
        gaps.filter(|gap| gap.reason == reason).collect()
    }
}

fn withdraw() -> Command {
    Command::Withdraw { how: ConsentHow::System, evidence: Evidence::Clock }
}

#[test]
fn what_was_recorded_before_a_fault_is_kept_and_what_is_missing_is_marked() {
    let mut harness = Harness::after(true, true, 100);
    let made = harness.frames();
    assert!(made > 80, "{made}");
    arm(harness.id, Step::Frames);
    harness.tick(2_100);
    let ends = harness.ends();
    let [ended] = ends.as_slice() else { panic!("{ends:?}") };
    assert_eq!(ended.outcome, Outcome::RecordedPartly(CutShort::Fault));
    assert_eq!((ended.by, ended.frames), (EndedBy::Fault, 105));
    assert!(ended.streams.iter().all(|counts| counts.received == 100), "{ended:?}");
    assert_eq!(harness.frames(), made, "nothing that was made before is taken back");
    let gap = |stream| Gap { stream, from_frame: made, to_frame: 105, reason: GapReason::Fault };
    assert_eq!(harness.gaps(GapReason::Fault), [gap(StreamIndex(0)), gap(StreamIndex(1))]);
    assert_eq!(harness.slot.stats.call_faults, 1);
}

#[test]
fn a_call_whose_processing_fails_ends_once_wherever_that_happens() {
    type Act = fn(&mut Harness);
    let acts: [(&str, Step, Act); 8] = [
        ("a tick that reads", Step::Read, |harness| harness.tick(2_100)),
        ("a tick that codes", Step::Frames, |harness| harness.tick(2_100)),
        ("a command", Step::Command, |harness| {
            assert!(harness.slot.command(&OsClock, at(2_010), Command::Pause).is_err());
        }),
        ("a command to end", Step::Command, |harness| {
            assert!(harness.slot.command(&OsClock, at(2_010), Command::End).unwrap().ended.is_some());
        }),
        ("reading before a command", Step::Read, |harness| {
            assert!(harness.slot.command(&OsClock, at(2_010), withdraw()).is_err());
        }),
        ("the end", Step::Frames, |harness| harness.slot.finish(&OsClock, at(2_010), EndedBy::Shutdown)),
        ("leaving", Step::Frames, |harness| harness.slot.leave(&OsClock, at(2_010))),
        ("joining", Step::Read, |harness| {
            let sockets = harness.pool.bind([false], at(0).mono).unwrap().pop().unwrap();
            let facts = StreamFacts { label: "third".into(), role: StreamRole::Other };
            let plan = harness.slot.call.streams[0].save().plan;
            assert!(!harness.slot.join(&OsClock, at(2_010), facts, plan, sockets));
        }),
    ];
    for (name, step, act) in acts {
        let mut harness = Harness::after(true, true, 100);
        arm(harness.id, step);
        act(&mut harness);
        // Later ticks of the process change nothing any more.
        harness.tick(2_200);
        let _ = harness.slot.command(&OsClock, at(2_300), Command::End);
        harness.slot.finish(&OsClock, at(2_400), EndedBy::Shutdown);
        let ends = harness.ends();
        assert_eq!(ends.len(), 1, "{name}: {ends:?}");
        assert_eq!(ends[0].outcome, Outcome::RecordedPartly(CutShort::Fault), "{name}");
        assert!(harness.slot.call.is_ended(), "{name}");
    }
}

#[test]
fn a_fault_without_audio_is_a_counted_loss_and_of_a_call_that_is_not_recorded_nothing() {
    let cases = [
        ((true, true, 5), Outcome::Lost(LossCause::Fault)),
        ((true, false, 100), Outcome::Lost(LossCause::Fault)),
        ((false, false, 100), Outcome::NotSelected),
    ];
    for ((selected, yes, frames), outcome) in cases {
        let mut harness = Harness::after(selected, yes, frames);
        arm(harness.id, Step::Read);
        harness.tick(2_100);
        let outcomes: Vec<_> = harness.ends().iter().map(|ended| ended.outcome).collect();
        assert_eq!(outcomes, [outcome], "{selected} {yes}");
    }
}

#[test]
fn invariant_07_a_withdrawal_during_which_processing_fails_is_known_and_no_audio_follows() {
    let mut harness = Harness::after(true, true, 100);
    let made = harness.frames();
    arm(harness.id, Step::Wipe);
    assert!(harness.slot.command(&OsClock, at(2_010), withdraw()).is_err());
    harness.tick(2_100);
    let withdrawn = harness.slot.out.iter().filter(
        |output| matches!(&output.fact, Fact::Consent(record) if record.state == ConsentState::Withdrawn),
    );
    assert_eq!(withdrawn.count(), 1);
    assert_eq!(harness.ends()[0].outcome, Outcome::Withdrawn);
    assert_eq!((harness.frames(), harness.gaps(GapReason::Fault).len()), (made, 0));
}

#[test]
fn what_was_paused_when_processing_failed_is_marked_as_paused() {
    let mut harness = Harness::after(true, true, 100);
    harness.slot.command(&OsClock, at(2_000), Command::Pause).unwrap();
    harness.tick(3_000);
    let made = harness.frames();
    arm(harness.id, Step::Frames);
    harness.tick(4_000);
    assert!(harness.gaps(GapReason::Fault).is_empty());
    let paused = harness.gaps(GapReason::Paused);
    let to = paused.iter().filter(|gap| gap.stream == StreamIndex(1)).map(|gap| gap.to_frame).max();
    assert!(made < 200 && to == Some(200), "{made} {paused:?}");
}
