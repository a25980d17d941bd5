//! What gives way under load, and in which order: first the encoders' complexity, then new
//! calls, never a call in progress. In: how long each tick took. Out: the complexity of the
//! next one, and whether calls are taken in.
//!
//! Both have hysteresis: a step down comes quickly, a step up only after a long calm in which
//! the dearer step would fit.

use std::time::Duration;

/// Complexities, dearest first; those above the configured one are left out.
const STEPS: [u8; 3] = [10, 5, 1];
/// Share of the time between ticks that a tick may take before the complexity goes down.
const BUSY: f64 = 0.60;
/// Share below which it may go up: a step costs at most twice the one below it.
const CALM: f64 = 0.25;
/// Share above which, at the lowest complexity, no new call is taken in, and below which they are again.
const FULL: (f64, f64) = (0.85, 0.75);
/// What the lowest complexity costs of the one in use, at most: calls that are taken in by
/// trusting that the complexity will fall are held to it.
const LOWEST_SHARE: f64 = 0.5;
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
const CALLS: usize = 50;

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
    /// The same as it is believed, and whether it was measured at the lowest complexity.
    believed: (f64, bool),
    busy_ticks: u32,
    calm_ticks: u32,
    is_full: bool,
}

impl LoadShedding {
    /// A governor for ticks that are `tick` apart. `top` is the complexity to use while there is
    /// time; with `adaptive` unset, it is always used.
    pub fn new(top: u8, adaptive: bool, tick: Duration) -> Self {
        let lower = STEPS.into_iter().filter(|&step| adaptive && step < top);
        Self {
            steps: std::iter::once(top).chain(lower).collect(),
            step: 0,
            tick,
            load: Mean { value: 0.0, of: AVERAGED },
            per_call: Mean::default(),
            believed: (0.0, false),
            busy_ticks: 0,
            calm_ticks: 0,
            is_full: false,
        }
    }

    /// A tick over `recording` calls with an open gate took so long.
    pub fn ticked(&mut self, took: Duration, recording: usize) {
        let share = took.as_secs_f64() / self.tick.as_secs_f64();
        self.load.add(share, AVERAGED);
        if recording >= CALLS {
            self.per_call.add(share / recording as f64, CALL_AVERAGED);
            if self.per_call.of >= CALL_BELIEVED || self.believed.0 == 0.0 {
                self.believed = (self.per_call.value, self.is_lowest());
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
        let limit = if self.is_full { FULL.1 } else { FULL.0 };
        // A step down has its time to show what it saves.
        self.is_full = self.is_lowest() && self.load.of >= AVERAGED && self.load() > limit;
    }

    /// Complexity for the next tick, 0 to 10.
    pub fn complexity(&self) -> u8 {
        self.steps[self.step]
    }

    /// Share of the time between ticks that ticks take.
    pub fn load(&self) -> f64 {
        self.load.value
    }

    /// Whether another call is taken in beside `calls` that are there, though many of them may
    /// not have begun to cost anything.
    pub fn admits(&self, calls: usize) -> bool {
        let (per_call, at_lowest) = self.believed;
        let share = if at_lowest { 1.0 } else { LOWEST_SHARE };
        let expected = per_call * share * (calls + 1) as f64;
        !self.is_full && expected <= FULL.0
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

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    fn run(governor: &mut LoadShedding, share: f64, ticks: usize) {
        for _ in 0..ticks {
            governor.ticked(TICK.mul_f64(share), 200);
        }
    }

    #[test]
    fn complexity_goes_down_before_calls_are_refused() {
        let mut governor = LoadShedding::new(10, true, TICK);
        assert!(governor.complexity() == 10 && governor.admits(0));
        let mut seen = vec![10];
        for _ in 0..60 {
            governor.ticked(TICK.mul_f64(0.9), 200);
            if *seen.last().unwrap() != governor.complexity() {
                seen.push(governor.complexity());
            }
            assert!(governor.admits(0) || governor.complexity() == 1);
        }
        assert_eq!(seen, [10, 5, 1]);
        assert!(!governor.admits(0));
        run(&mut governor, 0.5, 30);
        assert!(governor.admits(0) && governor.complexity() == 1);
    }

    #[test]
    fn it_goes_up_only_after_a_long_calm_and_does_not_swing() {
        let mut governor = LoadShedding::new(5, true, TICK);
        run(&mut governor, 0.8, 20);
        assert_eq!(governor.complexity(), 1);
        run(&mut governor, 0.3, 1_000);
        assert_eq!(governor.complexity(), 1, "half the load of a step that costs twice as much");
        run(&mut governor, 0.2, 99);
        assert_eq!(governor.complexity(), 1);
        run(&mut governor, 0.2, 10);
        assert_eq!(governor.complexity(), 5);
    }

    #[test]
    fn one_stalled_tick_changes_nothing() {
        let mut governor = LoadShedding::new(10, true, TICK);
        run(&mut governor, 0.2, 10);
        run(&mut governor, 2.0, 1);
        run(&mut governor, 0.2, 10);
        assert!(governor.complexity() == 10 && governor.admits(0));
    }

    #[test]
    fn calls_that_have_not_begun_to_cost_are_counted() {
        let mut governor = LoadShedding::new(1, true, TICK);
        run(&mut governor, 0.3, 50);
        assert!(governor.admits(400));
        assert!(!governor.admits(600));
    }

    #[test]
    fn a_rush_is_held_to_what_the_lowest_complexity_can_do() {
        let mut governor = LoadShedding::new(5, true, TICK);
        run(&mut governor, 0.3, 50);
        assert!(governor.complexity() == 5 && governor.admits(900));
        assert!(!governor.admits(1_200));
    }

    #[test]
    fn dear_ticks_here_and_there_turn_nobody_away() {
        let mut governor = LoadShedding::new(10, true, TICK);
        for tick in 0..100 {
            governor.ticked(TICK.mul_f64(if tick % 5 == 4 { 0.6 } else { 0.2 }), 200);
            assert!(governor.admits(700), "tick {tick}");
        }
        assert_eq!(governor.complexity(), 10);
    }

    #[test]
    fn after_a_step_down_what_a_call_costs_is_measured_anew() {
        let mut governor = LoadShedding::new(5, true, TICK);
        while governor.complexity() == 5 {
            run(&mut governor, 0.7, 1);
        }
        run(&mut governor, 0.35, 10);
        assert!(governor.complexity() == 1 && governor.admits(400));
    }

    #[test]
    fn the_load_of_a_dearer_complexity_turns_nobody_away() {
        let mut governor = LoadShedding::new(10, true, TICK);
        for (complexity, share) in [(10, 0.8), (5, 0.7), (1, 0.4)] {
            for _ in 0..20 {
                if governor.complexity() == complexity {
                    governor.ticked(TICK.mul_f64(share), 400);
                    assert!(governor.admits(600), "{complexity}");
                }
            }
        }
        assert_eq!(governor.complexity(), 1);
        assert!(!governor.admits(900));
    }

    #[test]
    fn without_adapting_the_complexity_stays() {
        let mut governor = LoadShedding::new(10, false, TICK);
        run(&mut governor, 0.9, 100);
        assert_eq!(governor.complexity(), 10);
        assert!(!governor.admits(0));
    }
}
