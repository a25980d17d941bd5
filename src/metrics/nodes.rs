//! The functions by which a node among others records.

use ::metrics::{counter, gauge};

use super::catalog as c;
use super::record::flag;

/// What became of a request that was sent on to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// It answered, whatever it said.
    Answered,
    /// It does not have the call.
    NotThere,
    /// It cannot be reached.
    Unreachable,
}

/// A request was sent on to another node.
pub fn forwarded(result: Forwarded) {
    let result = match result {
        Forwarded::Answered => "answered",
        Forwarded::NotThere => "not_there",
        Forwarded::Unreachable => "unreachable",
    };
    counter!(c::CONTROL_FORWARDED_TOTAL.name, "result" => result).increment(1);
}

/// The state of each node of the registry.
pub fn nodes(states: impl Iterator<Item = &'static str>) {
    let states: Vec<_> = states.collect();
    for (_, names) in c::NODES.labels {
        for &name in *names {
            let count = states.iter().filter(|state| **state == name).count();
            gauge!(c::NODES.name, "state" => name).set(count as f64);
        }
    }
}

/// Whether what nodes share can be relied on.
pub fn registry_up(up: bool) {
    gauge!(c::REGISTRY_UP.name).set(flag(up));
}

/// Answers that wait for their call, and those whose time ended since the last time.
pub fn early_answers(waiting: u64, expired: u64) {
    gauge!(c::EARLY_ANSWERS.name).set(waiting as f64);
    counter!(c::EARLY_ANSWERS_EXPIRED_TOTAL.name).increment(expired);
}
