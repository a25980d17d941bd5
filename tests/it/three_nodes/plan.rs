//! What is to go wrong, and when: all of it drawn from a seed.

use std::time::Duration;

use super::site::NODES;
use crate::kill_loop::Dice;

/// How a caller says yes, or that nobody asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// In the INVITE.
    Yes,
    /// A key that signalling passes on.
    Key,
    /// Through the API of some node, by the call's id.
    ById,
    /// The same by its name.
    ByName,
    /// By its name before the call.
    EarlyYes,
    /// No in the INVITE.
    No,
    /// No by its name before the call.
    EarlyNo,
    /// Nothing.
    Nothing,
}

/// How a yes is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A no through the API of some node, by the call's name.
    NoByName,
    /// The same by its id.
    NoById,
    /// A withdrawal through the API.
    Withdrawal,
    /// Keys that signalling passes on.
    Keys,
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallPlan {
    /// From the beginning of the run.
    pub begins: Duration,
    pub lasts: Duration,
    pub answer: Answer,
    /// After which part of the call.
    pub refusal: Option<(Duration, Refusal)>,
}

/// What happens to a node's program.
#[derive(Clone, Copy, Debug)]
pub(super) enum NodeFault {
    /// `kill -9`, and a start after this time.
    Killed(Duration),
    /// `kill -9`; its spool is delivered by another machine before it comes back.
    Recovered,
    /// SIGTERM, and a start.
    Drained,
    /// SIGUSR2 of each node in turn.
    Upgraded,
}

/// What happens around the nodes.
#[derive(Clone, Copy, Debug)]
pub(super) enum WorldFault {
    /// PostgreSQL crashes, and is back after this time.
    Database(Duration),
    /// The store answers 503.
    Store(Duration),
    /// A node is cut off from everything.
    CutOff(usize, Duration),
    /// A node does not reach PostgreSQL.
    NoDatabase(usize, Duration),
    /// Two nodes do not reach each other.
    Apart(usize, usize, Duration),
    /// A node's wall clock jumps.
    Clock(usize, &'static str, Duration),
}

/// A number of ms below the two.
pub(super) fn ms(dice: &mut Dice, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + dice.below(most - least))
}

/// A node.
pub(super) fn node(dice: &mut Dice) -> usize {
    dice.below(NODES as u64) as usize
}

/// Calls that begin within a time.
pub(super) fn calls(dice: &mut Dice, count: u64, within: Duration) -> Vec<CallPlan> {
    let all = (0..count).map(|n| {
        let begins = within.mul_f64(n as f64 / count as f64) + ms(dice, 0, 500);
        let lasts = ms(dice, 4_000, 14_000);
        let answer = match dice.below(20) {
            0..6 => Answer::Yes,
            6..9 => Answer::Key,
            9..12 => Answer::ById,
            12..15 => Answer::ByName,
            15..17 => Answer::EarlyYes,
            17 => Answer::No,
            18 => Answer::EarlyNo,
            _ => Answer::Nothing,
        };
        let refusal = match dice.below(12) {
            0 => Some(Refusal::NoByName),
            1 => Some(Refusal::NoById),
            2 => Some(Refusal::Withdrawal),
            3 => Some(Refusal::Keys),
            _ => None,
        };
        let after = lasts.mul_f64(0.3 + dice.below(60) as f64 / 100.0);
        CallPlan { begins, lasts, answer, refusal: refusal.map(|refusal| (after, refusal)) }
    });
    all.collect()
}

/// Each fault of a node's program once, in some order, with the node that it happens to.
pub(super) fn node_faults(dice: &mut Dice) -> Vec<(usize, NodeFault)> {
    let all = [
        NodeFault::Killed(ms(dice, 200, 2_000)),
        NodeFault::Killed(ms(dice, 2_000, 5_000)),
        NodeFault::Recovered,
        NodeFault::Drained,
        NodeFault::Upgraded,
    ];
    let placed = all.map(|fault| (node(dice), fault));
    shuffled(dice, placed.to_vec())
}

/// Each fault around the nodes once, in some order. Without `clocks`, none of those.
pub(super) fn world_faults(dice: &mut Dice, clocks: bool) -> Vec<WorldFault> {
    let one = node(dice);
    let mut all = vec![
        WorldFault::Database(ms(dice, 500, 3_000)),
        WorldFault::Store(ms(dice, 2_000, 5_000)),
        WorldFault::CutOff(node(dice), ms(dice, 2_000, 5_000)),
        WorldFault::NoDatabase(node(dice), ms(dice, 2_000, 5_000)),
        WorldFault::Apart(one, (one + 1) % NODES, ms(dice, 2_000, 5_000)),
    ];
    if clocks {
        all.push(WorldFault::Clock(node(dice), "+91d", ms(dice, 3_000, 5_000)));
        all.push(WorldFault::Clock(node(dice), "-91d", ms(dice, 3_000, 5_000)));
    }
    shuffled(dice, all)
}

fn shuffled<T>(dice: &mut Dice, mut all: Vec<T>) -> Vec<T> {
    for last in (1..all.len()).rev() {
        all.swap(last, dice.below(last as u64 + 1) as usize);
    }
    all
}
