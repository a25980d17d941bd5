//! Durations counted by class, passed from the thread that measures to the one that publishes.
//!
//! In: durations. Out: count and sum of each class, so that a histogram made from them has the correct
//! buckets and total. Adding takes no lock and allocates nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the classes; the last class has none. Units: s.
pub const BOUNDS_S: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
const CLASSES: usize = BOUNDS_S.len() + 1;

/// The counts so far.
#[derive(Debug, Default)]
pub struct Latency {
    classes: [Class; CLASSES],
}

#[derive(Debug, Default)]
struct Class {
    count: AtomicU64,
    sum_ns: AtomicU64,
}

/// A reading of a [`Latency`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Count and sum of each class. Units: ns.
    classes: [(u64, u64); CLASSES],
}

impl Latency {
    /// Adds a duration.
    pub fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let class = &self.classes[BOUNDS_S.partition_point(|bound| *bound < seconds)];
        class.sum_ns.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        class.count.fetch_add(1, Ordering::Release);
    }

    /// The counts so far.
    pub fn read(&self) -> Counted {
        let one = |class: &Class| {
            let count = class.count.load(Ordering::Acquire);
            (count, class.sum_ns.load(Ordering::Relaxed))
        };
        Counted { classes: self.classes.each_ref().map(one) }
    }
}

impl Counted {
    /// The difference from an earlier reading: for each class with entries, their mean and number.
    pub fn since(&self, before: &Self) -> impl Iterator<Item = (Duration, usize)> {
        let pairs = std::iter::zip(self.classes, before.classes);
        pairs.filter_map(|((count, sum_ns), (count_before, sum_before))| {
            let count = count - count_before;
            let mean_ns = (sum_ns - sum_before).checked_div(count)?;
            Some((Duration::from_nanos(mean_ns), count as usize))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_duration_among_many_short_ones_keeps_its_class() {
        let latency = Latency::default();
        (0..99).for_each(|_| latency.add(Duration::from_millis(3)));
        latency.add(Duration::from_millis(300));
        let first = latency.read();
        let counted: Vec<_> = first.since(&Counted::default()).collect();
        assert_eq!(counted, [(Duration::from_millis(3), 99), (Duration::from_millis(300), 1)]);
        latency.add(Duration::from_secs(5));
        assert_eq!(latency.read().since(&first).collect::<Vec<_>>(), [(Duration::from_secs(5), 1)]);
    }

    #[test]
    fn a_duration_on_a_bound_is_in_the_class_below_it() {
        let latency = Latency::default();
        latency.add(Duration::from_millis(1));
        assert_eq!(latency.read().classes[0].0, 1);
    }
}
