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
struct Seated {
    seat: Slot,
    pool: PortPool,
    id: CallId,
}

impl Seated {
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
        let mut seat = Slot::new(bench.call, sockets, Arc::new(CallGauges::new(2)), None);
        seat.out = bench.out;
        Self { seat, pool, id }
    }

    fn tick(&mut self, ms: u64) {
        self.seat.tick(&OsClock, at(ms), 0);
    }

    fn ends(&self) -> Vec<&Ended> {
        let end = |output: &'_ Output| matches!(output.fact, Fact::Ended(_));
        assert!(
            self.seat.out.iter().position(end).is_none_or(|n| n + 1 == self.seat.out.len()),
            "facts after the end"
        );
        self.seat
            .out
            .iter()
            .filter_map(|output| if let Fact::Ended(ended) = &output.fact { Some(ended) } else { None })
            .collect()
    }

    fn frames(&self) -> u32 {
        self.seat
            .out
            .iter()
            .map(|output| if let Fact::Media(block) = &output.fact { block.frames() } else { 0 })
            .sum()
    }

    fn gaps(&self, reason: GapReason) -> Vec<Gap> {
        let gaps = self
            .seat
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
    let mut seated = Seated::after(true, true, 100);
    let made = seated.frames();
    assert!(made > 80, "{made}");
    arm(seated.id, Step::Frames);
    seated.tick(2_100);
    let ends = seated.ends();
    let [ended] = ends.as_slice() else { panic!("{ends:?}") };
    assert_eq!(ended.outcome, Outcome::RecordedPartly(CutShort::Fault));
    assert_eq!((ended.by, ended.frames), (EndedBy::Fault, 105));
    assert!(ended.streams.iter().all(|counts| counts.received == 100), "{ended:?}");
    assert_eq!(seated.frames(), made, "nothing that was made before is taken back");
    let gap = |stream| Gap { stream, from_frame: made, to_frame: 105, reason: GapReason::Fault };
    assert_eq!(seated.gaps(GapReason::Fault), [gap(0), gap(1)]);
    assert_eq!(seated.seat.stats.call_faults, 1);
}

#[test]
fn a_call_whose_processing_fails_ends_once_wherever_that_happens() {
    type Act = fn(&mut Seated);
    let acts: [(&str, Step, Act); 8] = [
        ("a tick that reads", Step::Read, |seated| seated.tick(2_100)),
        ("a tick that codes", Step::Frames, |seated| seated.tick(2_100)),
        ("a command", Step::Command, |seated| {
            assert!(seated.seat.command(&OsClock, at(2_010), Command::Pause).is_err());
        }),
        ("a command to end", Step::Command, |seated| {
            assert!(seated.seat.command(&OsClock, at(2_010), Command::End).unwrap().ended.is_some());
        }),
        ("reading before a command", Step::Read, |seated| {
            assert!(seated.seat.command(&OsClock, at(2_010), withdraw()).is_err());
        }),
        ("the end", Step::Frames, |seated| seated.seat.finish(&OsClock, at(2_010), EndedBy::Shutdown)),
        ("leaving", Step::Frames, |seated| seated.seat.leave(&OsClock, at(2_010))),
        ("joining", Step::Read, |seated| {
            let sockets = seated.pool.bind([false], at(0).mono).unwrap().pop().unwrap();
            let facts = StreamFacts { label: "third".into(), role: StreamRole::Other };
            let plan = seated.seat.call.streams[0].save().plan;
            assert!(!seated.seat.join(&OsClock, at(2_010), facts, plan, sockets));
        }),
    ];
    for (name, step, act) in acts {
        let mut seated = Seated::after(true, true, 100);
        arm(seated.id, step);
        act(&mut seated);
        // Later ticks of the process change nothing any more.
        seated.tick(2_200);
        let _ = seated.seat.command(&OsClock, at(2_300), Command::End);
        seated.seat.finish(&OsClock, at(2_400), EndedBy::Shutdown);
        let ends = seated.ends();
        assert_eq!(ends.len(), 1, "{name}: {ends:?}");
        assert_eq!(ends[0].outcome, Outcome::RecordedPartly(CutShort::Fault), "{name}");
        assert!(seated.seat.call.is_ended(), "{name}");
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
        let mut seated = Seated::after(selected, yes, frames);
        arm(seated.id, Step::Read);
        seated.tick(2_100);
        let outcomes: Vec<_> = seated.ends().iter().map(|ended| ended.outcome).collect();
        assert_eq!(outcomes, [outcome], "{selected} {yes}");
    }
}

#[test]
fn invariant_07_a_withdrawal_during_which_processing_fails_is_known_and_no_audio_follows() {
    let mut seated = Seated::after(true, true, 100);
    let made = seated.frames();
    arm(seated.id, Step::Wipe);
    assert!(seated.seat.command(&OsClock, at(2_010), withdraw()).is_err());
    seated.tick(2_100);
    let withdrawn = seated.seat.out.iter().filter(
        |output| matches!(&output.fact, Fact::Consent(record) if record.state == ConsentState::Withdrawn),
    );
    assert_eq!(withdrawn.count(), 1);
    assert_eq!(seated.ends()[0].outcome, Outcome::Withdrawn);
    assert_eq!((seated.frames(), seated.gaps(GapReason::Fault).len()), (made, 0));
}

#[test]
fn what_was_paused_when_processing_failed_is_marked_as_paused() {
    let mut seated = Seated::after(true, true, 100);
    seated.seat.command(&OsClock, at(2_000), Command::Pause).unwrap();
    seated.tick(3_000);
    let made = seated.frames();
    arm(seated.id, Step::Frames);
    seated.tick(4_000);
    assert!(seated.gaps(GapReason::Fault).is_empty());
    let paused = seated.gaps(GapReason::Paused);
    let to = paused.iter().filter(|gap| gap.stream == 1).map(|gap| gap.to_frame).max();
    assert!(made < 200 && to == Some(200), "{made} {paused:?}");
}
