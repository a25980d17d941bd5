//! What gives way under load, and in which order: first the encoders' complexity, then the encoding of
//! new calls, which is put off, then that of calls in progress, then new calls; a call in progress loses nothing. In: how long each tick took. Out:
//! the complexity of the next one, and how calls are taken in.
//!
//! All have hysteresis: a step down comes quickly, a step up only after a long calm in which
//! the dearer step would fit.

use std::time::Duration;

/// Complexities, dearest first; those above the configured one are left out.
const STEPS: [u8; 3] = [10, 5, 3];
/// Share of the time between ticks that a tick may take before the complexity goes down.
const BUSY: f64 = 0.60;
/// Share below which it may go up: a step costs at most twice the one below it.
const CALM: f64 = 0.25;
/// Share above which, at the lowest complexity, new calls are encoded later, and below which at once again.
const SPILL: (f64, f64) = (0.70, 0.60);
/// Share above which, at the lowest complexity, no new call is taken in, and below which they are again.
const FULL: (f64, f64) = (0.85, 0.75);
/// What a call that is encoded later costs of one that is encoded at the lowest complexity.
const LATER_SHARE: f64 = 0.35;
/// What a complexity costs at least, of the lowest one, from it on: calls that are taken in by trusting that
/// the complexity will fall are held to it. Measured side by side 1.9 and 1.1, one after the other 1.5 and 1.2
/// (`docs/design/performance.md`).
const COSTS: [(u8, f64); 2] = [(10, 1.5), (5, 1.1)];
/// Ticks over which the share is averaged.
const AVERAGED: f64 = 5.0;
/// Ticks over which the cost of a call is averaged: what else the machine does, and gates that
/// open, make single ticks dear.
const CALL_AVERAGED: f64 = 30.0;
/// Ticks from which such an average is believed, where there was another one before.
const CALL_BELIEVED: f64 = 10.0;
/// Busy ticks in a row before a step down.
const DOWN_TICKS: u32 = 3;
/// Calm ticks in a row before a step up.
const UP_TICKS: u32 = 100;
/// Calls from which a cost per call is believed.
const CALLS: f64 = 50.0;

/// A mean of the last values, nearly.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    value: f64,
    of: f64,
}

impl Mean {
    fn add(&mut self, value: f64, most: f64) {
        self.of = (self.of + 1.0).min(most);
        self.value += (value - self.value) / self.of;
    }
}

/// The machine.
#[derive(Clone, Debug)]
pub struct LoadShedding {
    steps: Vec<u8>,
    step: usize,
    tick: Duration,
    /// Share of a tick, since the complexity last changed.
    load: Mean,
    /// Share that a call takes, since then.
    per_call: Mean,
    /// What a call takes at the lowest complexity, as it is believed.
    believed: f64,
    busy_ticks: u32,
    calm_ticks: u32,
    spills: bool,
    is_full: bool,
}

/// How a new call is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is encoded at once.
    Now,
    /// It is encoded later.
    Later,
    /// It is refused.
    Refused,
}

/// Calls, by when they are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// At once.
    pub now: usize,
    /// Later.
    pub later: usize,
}

impl Calls {
    /// What they cost, in calls that are encoded at once. `lowest`: what the lowest complexity costs of theirs.
    fn weight(self, lowest: f64) -> f64 {
        self.now as f64 + self.later as f64 * LATER_SHARE * lowest
    }
}

impl LoadShedding {
    /// Load shedding for ticks that are `tick` apart. `top` is the complexity to use while there is
    /// time; with `adaptive` unset, it is always used.
    pub fn new(top: u8, adaptive: bool, tick: Duration) -> Self {
        let lower = STEPS.into_iter().filter(|&step| adaptive && step < top);
        Self {
            steps: std::iter::once(top).chain(lower).collect(),
            step: 0,
            tick,
            load: Mean { value: 0.0, of: AVERAGED },
            per_call: Mean::default(),
            believed: 0.0,
            busy_ticks: 0,
            calm_ticks: 0,
            spills: false,
            is_full: false,
        }
    }

    /// A tick over `recording` calls with an open gate took so long.
    pub fn ticked(&mut self, took: Duration, recording: Calls) {
        let share = injected().unwrap_or(took.as_secs_f64() / self.tick.as_secs_f64());
        self.load.add(share, AVERAGED);
        let lowest = self.lowest_share();
        let weight = recording.weight(lowest);
        if weight >= CALLS {
            self.per_call.add(share / weight, CALL_AVERAGED);
            if self.per_call.of >= CALL_BELIEVED || self.believed == 0.0 {
                self.believed = self.per_call.value * lowest;
            }
        }
        let load = self.load();
        self.busy_ticks = if load > BUSY { self.busy_ticks + 1 } else { 0 };
        self.calm_ticks = if load < CALM { self.calm_ticks + 1 } else { 0 };
        if self.busy_ticks >= DOWN_TICKS && self.step + 1 < self.steps.len() {
            self.move_to(self.step + 1);
        } else if self.calm_ticks >= UP_TICKS && self.step > 0 {
            self.move_to(self.step - 1);
        }
        let is_over = |(above, again): (f64, f64), before| load > if before { again } else { above };
        if !self.is_lowest() {
            (self.spills, self.is_full) = (false, false);
        } else if self.load.of >= AVERAGED {
            // What gave way has had its time to show what it saves.
            (self.spills, self.is_full) = (is_over(SPILL, self.spills), is_over(FULL, self.is_full));
        }
    }

    /// Complexity for the next tick, 0 to 10.
    pub fn complexity(&self) -> u8 {
        self.steps[self.step]
    }

    /// Share of the time between ticks that ticks take.
    pub fn load(&self) -> f64 {
        self.load.value
    }

    /// How another call is taken in beside `calls` that are there, though many of them may
    /// not have begun to cost anything. `may_spill`: it may be encoded later.
    pub fn admits(&self, calls: Calls, may_spill: bool) -> Admission {
        let with_it = self.expected(Calls { now: calls.now + 1, ..calls });
        if may_spill && (self.spills || self.is_full || with_it > SPILL.0) {
            // Calls that are encoded at once can give way.
            let can_give_way = !self.is_full || calls.now > 0;
            let all_later = Calls { now: 0, later: calls.now + calls.later + 1 };
            return match can_give_way && self.expected(all_later) <= FULL.0 {
                true => Admission::Later,
                false => Admission::Refused,
            };
        }
        match !self.is_full && with_it <= FULL.0 {
            true => Admission::Now,
            false => Admission::Refused,
        }
    }

    /// How many of these calls, which record and are encoded at once, are to be encoded later from now on.
    pub fn gives_way(&self, calls: Calls) -> usize {
        let measured = if self.spills && self.load.of >= AVERAGED { self.load() } else { 0.0 };
        let share = self.expected(calls).max(measured);
        if share <= SPILL.0 {
            return 0;
        }
        // Of few calls the share itself has to do.
        let cost = if self.believed > 0.0 { self.believed } else { share / calls.weight(1.0) };
        let each = cost * (1.0 - LATER_SHARE);
        (((share - SPILL.1) / each).ceil() as usize).min(calls.now)
    }

    /// So many have given way; what that saves shows in the next ticks.
    pub fn gave_way(&mut self, calls: usize) {
        if calls > 0 {
            tracing::info!(calls, load = self.load(), "calls in progress are encoded later");
            self.load = Mean::default();
        }
    }

    /// The share of a tick that these calls take at the lowest complexity, once all of them talk.
    fn expected(&self, calls: Calls) -> f64 {
        self.believed * calls.weight(1.0)
    }

    /// How many more calls fit beside `calls`, as [`LoadShedding::admits`] admits them; `usize::MAX` while the cost of a
    /// call is not known.
    pub fn room(&self, calls: Calls, may_spill: bool) -> usize {
        if self.is_full && !(may_spill && calls.now > 0) {
            return 0;
        }
        if self.believed <= 0.0 {
            return usize::MAX;
        }
        let up_to = |taken: f64, each: f64| ((FULL.0 - taken) / each).max(0.0) as usize;
        match may_spill {
            false => up_to(self.expected(calls), self.believed),
            true => up_to(
                self.expected(Calls { now: 0, later: calls.now + calls.later }),
                self.believed * LATER_SHARE,
            ),
        }
    }

    /// What the lowest complexity costs of the one in use, at most.
    fn lowest_share(&self) -> f64 {
        let cost = COSTS.into_iter().find(|&(step, _)| step <= self.complexity());
        if self.is_lowest() { 1.0 } else { cost.map_or(1.0, |(_, cost)| 1.0 / cost) }
    }

    fn is_lowest(&self) -> bool {
        self.step + 1 == self.steps.len()
    }

    fn move_to(&mut self, step: usize) {
        tracing::info!(complexity = self.steps[step], load = self.load(), "the encoders' complexity changes");
        (self.step, self.busy_ticks, self.calm_ticks) = (step, 0, 0);
        (self.load, self.per_call) = (Mean::default(), Mean::default());
    }
}

/// The share that a test of the whole program pretends, by the variable `INJECT_LOAD`.
fn injected() -> Option<f64> {
    #[cfg(feature = "fault-injection")]
    {
        static LOAD: std::sync::OnceLock<Option<f64>> = std::sync::OnceLock::new();
        *LOAD.get_or_init(|| std::env::var("INJECT_LOAD").ok()?.parse().ok())
    }
    #[cfg(not(feature = "fault-injection"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    fn now(now: usize) -> Calls {
        Calls { now, later: 0 }
    }

    fn admits(load_shedding: &LoadShedding, calls: usize) -> bool {
        load_shedding.admits(now(calls), false) == Admission::Now
    }

    fn run(load_shedding: &mut LoadShedding, share: f64, ticks: usize) {
        for _ in 0..ticks {
            load_shedding.ticked(TICK.mul_f64(share), now(200));
        }
    }

    #[test]
    fn complexity_goes_down_before_calls_are_refused() {
        let mut load_shedding = LoadShedding::new(10, true, TICK);
        assert!(load_shedding.complexity() == 10 && admits(&load_shedding, 0));
        let mut seen = vec![10];
        for _ in 0..60 {
            load_shedding.ticked(TICK.mul_f64(0.9), now(200));
            if *seen.last().unwrap() != load_shedding.complexity() {
                seen.push(load_shedding.complexity());
            }
            assert!(admits(&load_shedding, 0) || load_shedding.complexity() == 3);
        }
        assert_eq!(seen, [10, 5, 3]);
        assert!(!admits(&load_shedding, 0));
        run(&mut load_shedding, 0.5, 30);
        assert!(admits(&load_shedding, 0) && load_shedding.complexity() == 3);
    }

    #[test]
    fn it_goes_up_only_after_a_long_calm_and_does_not_swing() {
        let mut load_shedding = LoadShedding::new(5, true, TICK);
        run(&mut load_shedding, 0.8, 20);
        assert_eq!(load_shedding.complexity(), 3);
        run(&mut load_shedding, 0.3, 1_000);
        assert_eq!(load_shedding.complexity(), 3, "half the load of a step that costs twice as much");
        run(&mut load_shedding, 0.2, 99);
        assert_eq!(load_shedding.complexity(), 3);
        run(&mut load_shedding, 0.2, 10);
        assert_eq!(load_shedding.complexity(), 5);
    }

    #[test]
    fn one_stalled_tick_changes_nothing() {
        let mut load_shedding = LoadShedding::new(10, true, TICK);
        run(&mut load_shedding, 0.2, 10);
        run(&mut load_shedding, 2.0, 1);
        run(&mut load_shedding, 0.2, 10);
        assert!(load_shedding.complexity() == 10 && admits(&load_shedding, 0));
    }

    #[test]
    fn calls_that_have_not_begun_to_cost_are_counted() {
        let mut load_shedding = LoadShedding::new(3, true, TICK);
        run(&mut load_shedding, 0.3, 50);
        assert!(admits(&load_shedding, 400));
        assert!(!admits(&load_shedding, 600));
    }

    #[test]
    fn a_rush_is_held_to_what_the_lowest_complexity_can_do() {
        let mut load_shedding = LoadShedding::new(5, true, TICK);
        run(&mut load_shedding, 0.3, 50);
        assert!(load_shedding.complexity() == 5 && admits(&load_shedding, 600));
        assert!(!admits(&load_shedding, 700));
    }

    #[test]
    fn dear_ticks_here_and_there_turn_nobody_away() {
        let mut load_shedding = LoadShedding::new(10, true, TICK);
        for tick in 0..100 {
            load_shedding.ticked(TICK.mul_f64(if tick % 5 == 4 { 0.6 } else { 0.2 }), now(200));
            assert!(admits(&load_shedding, 700), "tick {tick}");
        }
        assert_eq!(load_shedding.complexity(), 10);
    }

    #[test]
    fn after_a_step_down_what_a_call_costs_is_measured_anew() {
        let mut load_shedding = LoadShedding::new(5, true, TICK);
        while load_shedding.complexity() == 5 {
            run(&mut load_shedding, 0.7, 1);
        }
        run(&mut load_shedding, 0.35, 10);
        assert!(load_shedding.complexity() == 3 && admits(&load_shedding, 400));
    }

    #[test]
    fn the_load_of_a_dearer_complexity_turns_nobody_away() {
        let mut load_shedding = LoadShedding::new(10, true, TICK);
        for (complexity, share) in [(10, 0.8), (5, 0.65), (3, 0.4)] {
            for _ in 0..20 {
                if load_shedding.complexity() == complexity {
                    load_shedding.ticked(TICK.mul_f64(share), now(400));
                    assert!(admits(&load_shedding, 550), "{complexity}");
                }
            }
        }
        assert_eq!(load_shedding.complexity(), 3);
        assert!(!admits(&load_shedding, 900));
    }

    #[test]
    fn without_adapting_the_complexity_stays() {
        let mut load_shedding = LoadShedding::new(10, false, TICK);
        run(&mut load_shedding, 0.9, 100);
        assert_eq!(load_shedding.complexity(), 10);
        assert!(!admits(&load_shedding, 0));
    }

    #[test]
    fn at_the_lowest_complexity_new_calls_are_encoded_later_before_any_is_refused() {
        let mut load_shedding = LoadShedding::new(10, true, TICK);
        let mut seen = vec![(10, Admission::Now)];
        for share in [0.65, 0.65, 0.66, 0.72, 0.8, 0.9] {
            for _ in 0..30 {
                load_shedding.ticked(TICK.mul_f64(share), now(60));
                let next = (load_shedding.complexity(), load_shedding.admits(now(0), true));
                if *seen.last().unwrap() != next {
                    seen.push(next);
                }
            }
        }
        let expected = [
            (10, Admission::Now),
            (5, Admission::Now),
            (3, Admission::Now),
            (3, Admission::Later),
            (3, Admission::Refused),
        ];
        assert_eq!(seen, expected);
        assert_eq!(load_shedding.admits(now(0), false), Admission::Refused);
    }

    #[test]
    fn what_spills_or_refuses_does_so_until_the_load_is_well_below() {
        let mut load_shedding = LoadShedding::new(3, true, TICK);
        let mut after = |share: f64| {
            run(&mut load_shedding, share, 30);
            [true, false].map(|may_spill| load_shedding.admits(now(0), may_spill))
        };
        use Admission::{Later, Now, Refused};
        assert_eq!(after(0.69), [Now, Now]);
        assert_eq!(after(0.72), [Later, Now], "whoever must not spill has the room to the end");
        assert_eq!(after(0.62), [Later, Now]);
        assert_eq!(after(0.59), [Now, Now]);
        assert_eq!(after(0.69), [Now, Now]);
        assert_eq!(after(0.86), [Refused, Refused]);
        assert_eq!(after(0.77), [Refused, Refused]);
        assert_eq!(after(0.74), [Later, Now]);
        assert_eq!(after(0.55), [Now, Now]);
    }

    #[test]
    fn the_room_is_what_would_be_admitted() {
        let mut load_shedding = LoadShedding::new(3, true, TICK);
        assert_eq!(load_shedding.room(now(10), true), usize::MAX, "nothing is known of a call's cost");
        for share in [0.3, 0.72, 0.8, 0.9, 0.78, 0.5] {
            run(&mut load_shedding, share, 30);
            for may_spill in [false, true] {
                let mut calls = now(200);
                let room = load_shedding.room(calls, may_spill);
                let mut admitted = 0;
                loop {
                    match load_shedding.admits(calls, may_spill) {
                        Admission::Now => calls.now += 1,
                        Admission::Later => calls.later += 1,
                        Admission::Refused => break,
                    }
                    admitted += 1;
                }
                assert!(room.abs_diff(admitted) <= 2, "{share} {may_spill}: {room}, admitted {admitted}");
                assert_eq!(room == 0, admitted == 0, "{share} {may_spill}");
            }
        }
    }

    #[test]
    fn one_dear_tick_spills_nothing() {
        let mut load_shedding = LoadShedding::new(3, true, TICK);
        run(&mut load_shedding, 0.4, 20);
        run(&mut load_shedding, 1.0, 1);
        assert_eq!(load_shedding.admits(now(0), true), Admission::Now);
    }

    #[test]
    fn a_rush_is_split_by_what_calls_will_cost() {
        let mut load_shedding = LoadShedding::new(3, true, TICK);
        run(&mut load_shedding, 0.3, 50);
        // 0.0015 of a tick each: 466 at once reach the share from which calls spill.
        let mut calls = Calls::default();
        let refused = loop {
            match load_shedding.admits(calls, true) {
                Admission::Now => calls.now += 1,
                Admission::Later => calls.later += 1,
                Admission::Refused => break calls,
            }
            assert!(calls.later == 0 || load_shedding.admits(calls, true) != Admission::Now, "{calls:?}");
        };
        assert_eq!(refused.now, 466);
        // Those will give way, so that there is room for what all cost that are encoded later.
        assert!((1_140..1_160).contains(&refused.later), "{refused:?}");
        // Their cost is told apart once they are there: what a call costs stays what it was.
        let share = 0.0015 * (466.0 + 200.0 * LATER_SHARE);
        for _ in 0..100 {
            load_shedding.ticked(TICK.mul_f64(share), Calls { now: 466, later: 200 });
        }
        assert_eq!(load_shedding.admits(Calls { now: 466, later: 200 }, true), Admission::Later);
        assert_eq!(load_shedding.admits(Calls { now: 466, later: 400 }, true), Admission::Later);
        assert_eq!(load_shedding.admits(Calls { now: 466, later: 400 }, false), Admission::Refused);
        assert_eq!(load_shedding.admits(Calls { now: 466, later: 1_200 }, true), Admission::Refused);
    }

    #[test]
    fn calls_in_progress_give_way_to_a_rush_and_no_further_than_they_must() {
        let mut load_shedding = LoadShedding::new(3, true, TICK);
        run(&mut load_shedding, 0.3, 50);
        assert_eq!(load_shedding.gives_way(now(400)), 0);
        // 0.0015 of a tick each: 600 take 0.9 of it, and each that gives way saves 0.65 of its own.
        let wanted = load_shedding.gives_way(now(600));
        assert_eq!(wanted, 308);
        load_shedding.gave_way(wanted);
        assert_eq!(load_shedding.gives_way(Calls { now: 600 - wanted, later: wanted }), 0);
        assert_eq!(load_shedding.gives_way(Calls { now: 100, later: 2_000 }), 100, "no more than there are");
    }

    #[test]
    fn what_calls_cost_more_than_was_believed_shows_in_the_load_and_again_only_after_a_while() {
        let mut load_shedding = LoadShedding::new(3, true, TICK);
        run(&mut load_shedding, 0.3, 50);
        run(&mut load_shedding, 0.8, 10);
        let wanted = load_shedding.gives_way(now(200));
        assert!(wanted > 50, "{wanted}");
        load_shedding.gave_way(wanted);
        run(&mut load_shedding, 0.8, 4);
        assert_eq!(load_shedding.gives_way(now(200 - wanted)), 0, "what gave way has not shown yet");
        run(&mut load_shedding, 0.8, 1);
        assert!(load_shedding.gives_way(now(200 - wanted)) > 0);
    }

    #[test]
    fn while_calls_can_give_way_a_full_tick_refuses_nobody() {
        let mut load_shedding = LoadShedding::new(3, true, TICK);
        for _ in 0..50 {
            load_shedding.ticked(TICK.mul_f64(0.9), now(800));
        }
        assert_eq!(load_shedding.admits(now(800), true), Admission::Later);
        assert_eq!(load_shedding.admits(now(800), false), Admission::Refused);
        assert_eq!(load_shedding.admits(Calls { now: 0, later: 2_400 }, true), Admission::Refused);
    }
}
