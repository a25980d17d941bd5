//! Limits of a single sweep, as protection against a wrong clock. In: the time up to which expiry was last permitted, and
//! what became due since. Out: permission, or the limit exceeded: with a wrong clock more is due than a recorder that runs
//! continuously ever finds.

use optag_core::clock::WallTime;

/// Number of recordings that may always be erased at once.
const LEAST: u64 = 100;

/// Limits of one unattended sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepLimits {
    /// Share of the existing recordings. Units: %.
    pub percent: u8,
    /// How long the first of them may have been due. Units: days.
    pub days: u8,
}

/// What has become due since expiry was last permitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewlyDue {
    /// Number of recordings.
    pub count: u64,
    /// Expiry of the first.
    pub first: Option<WallTime>,
    /// Number of existing recordings.
    pub live: u64,
}

/// The limit that stops a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Some have been due for too long.
    Days,
    /// They are too large a share of all recordings.
    Share,
}

impl Stopped {
    /// Name in log lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Days => "retention.sweep_limit_days",
            Self::Share => "retention.sweep_limit_percent",
        }
    }
}

/// Whether recordings due at `now` may be erased.
///
/// Errors: the limit exceeded.
pub fn may_sweep(now: WallTime, due: NewlyDue, limits: SweepLimits) -> Result<(), Stopped> {
    let too_long = |first: WallTime| first.plus_days(i64::from(limits.days)) < now;
    if due.first.is_some_and(too_long) {
        return Err(Stopped::Days);
    }
    let share = due.count.saturating_mul(100) > due.live.saturating_mul(u64::from(limits.percent));
    if due.count > LEAST && share { Err(Stopped::Share) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SweepLimits = SweepLimits { percent: 10, days: 1 };

    fn at(hours: i64) -> WallTime {
        WallTime::from_unix_micros(hours * 3_600_000_000)
    }

    #[test]
    fn invariant_15_what_a_wrong_clock_makes_due_waits_for_a_person() {
        let due = |count, first| NewlyDue { count, first: Some(at(first)), live: 1_000 };
        assert_eq!(may_sweep(at(2_000), NewlyDue::default(), LIMITS), Ok(()));
        assert_eq!(may_sweep(at(2_000), due(1, 2_000 - 25), LIMITS), Err(Stopped::Days));
        assert_eq!(may_sweep(at(2_000), due(90, 2_000 - 23), LIMITS), Ok(()));
        assert_eq!(may_sweep(at(2_000), due(101, 2_000), LIMITS), Err(Stopped::Share));
        assert_eq!(may_sweep(at(2_000), NewlyDue { live: 2_000, ..due(101, 2_000) }, LIMITS), Ok(()));
        let few = NewlyDue { count: 3, first: Some(at(2_000)), live: 3 };
        assert_eq!(may_sweep(at(2_000), few, LIMITS), Ok(()), "the last of a small installation");
    }
}
