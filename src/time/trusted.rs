//! A wall time that is immune to jumps of the clock. In: both clocks, and the last reading. Out: a time by
//! which to evaluate expiry, or that it must be confirmed.
//!
//! While the machine runs, the time since boot measures elapsed time; the wall clock only has to agree.
//! Across a boot there is only the wall clock: a step explained by the downtime is accepted, a large one is
//! not until confirmed.

use serde::{Deserialize, Serialize};

use optag_core::clock::WallTime;
use optag_core::steady::SLEW_US;

/// Longest downtime accepted without confirmation. Units: µs.
const OFF_US: i64 = 2 * 86_400 * 1_000_000;

/// A reading of the machine's clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// The wall clock.
    pub wall: WallTime,
    /// Time since boot, including suspension. Units: µs.
    pub since_boot_us: i64,
    /// Identifies the boot.
    pub boot_id: String,
}

/// Result of comparing the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// The time is trusted.
    Is(WallTime),
    /// Only a lower bound is certain; the wall clock differs and nobody has confirmed it.
    Unconfirmed {
        /// The lower bound.
        at_least: WallTime,
        /// The wall clock.
        wall: WallTime,
    },
}

impl Trusted {
    /// The time by which expiry is evaluated.
    pub const fn time(self) -> WallTime {
        match self {
            Trusted::Is(time) => time,
            Trusted::Unconfirmed { at_least, .. } => at_least,
        }
    }
}

/// Compares a reading with the last trusted one.
///
/// `confirmed` is a time from elsewhere (the store's clock, the owner), which takes precedence.
pub fn judge(last: Option<&Look>, now: &Look, confirmed: Option<WallTime>) -> Trusted {
    if let Some(time) = confirmed {
        return Trusted::Is(time);
    }
    let Some(last) = last else { return Trusted::Is(now.wall) };
    if last.boot_id == now.boot_id {
        let expected = last.wall.plus_micros(now.since_boot_us - last.since_boot_us);
        return match now.wall.micros_since(expected).abs() <= SLEW_US {
            true => Trusted::Is(now.wall),
            false => Trusted::Unconfirmed { at_least: expected, wall: now.wall },
        };
    }
    let at_least = last.wall.plus_micros(now.since_boot_us);
    let step = now.wall.micros_since(at_least);
    match (-SLEW_US..=OFF_US).contains(&step) {
        true => Trusted::Is(now.wall),
        false => Trusted::Unconfirmed { at_least, wall: now.wall },
    }
}

/// Evaluates a second source: it must agree with one of the two times, which is then used. A source that
/// agrees with neither confirms nothing.
pub fn confirm(at_least: WallTime, wall: WallTime, other: WallTime) -> Option<WallTime> {
    let agree = |time: WallTime| other.micros_since(time).abs() <= SLEW_US;
    match (agree(wall), agree(at_least)) {
        (true, _) => Some(wall),
        (false, true) => Some(at_least),
        (false, false) => None,
    }
}

/// The reading to store: an unconfirmed wall time is replaced by the lower bound.
pub fn remember(now: &Look, trusted: Trusted) -> Look {
    Look { wall: trusted.time(), ..now.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400 * 1_000_000;

    fn look(wall_us: i64, since_boot_us: i64, boot: &str) -> Look {
        Look { wall: WallTime::from_unix_micros(wall_us), since_boot_us, boot_id: boot.into() }
    }

    #[test]
    fn invariant_15_a_jump_of_the_wall_clock_alone_moves_nothing() {
        for jump in [91 * DAY, -91 * DAY, DAY, -DAY] {
            let mut last = look(1_000 * DAY, 5 * DAY, "a");
            for hour in 1..100 {
                let passed = hour * DAY / 24;
                let now = look(1_000 * DAY + passed + jump, 5 * DAY + passed, "a");
                let trusted = judge(Some(&last), &now, None);
                assert!(matches!(trusted, Trusted::Unconfirmed { .. }));
                assert_eq!(trusted.time(), WallTime::from_unix_micros(1_000 * DAY + passed));
                last = remember(&now, trusted);
            }
        }
    }

    #[test]
    fn small_corrections_and_nights_off_are_taken() {
        let last = look(1_000 * DAY, 5 * DAY, "a");
        let now = look(1_000 * DAY + DAY + 1_000_000, 6 * DAY, "a");
        assert_eq!(judge(Some(&last), &now, None), Trusted::Is(now.wall));
        let morning = look(1_001 * DAY, 60_000_000, "b");
        assert_eq!(judge(Some(&last), &morning, None), Trusted::Is(morning.wall));
    }

    #[test]
    fn a_second_source_settles_only_what_it_agrees_with() {
        let at = |days: i64| WallTime::from_unix_micros(days * DAY);
        assert_eq!(confirm(at(10), at(101), at(101).plus_micros(1_000_000)), Some(at(101)));
        assert_eq!(confirm(at(10), at(101), at(10)), Some(at(10)));
        assert_eq!(confirm(at(10), at(101), at(50)), None);
    }

    #[test]
    fn a_long_time_off_waits_for_confirmation() {
        let last = look(1_000 * DAY, 5 * DAY, "a");
        let spring = look(1_100 * DAY, 60_000_000, "b");
        assert!(matches!(judge(Some(&last), &spring, None), Trusted::Unconfirmed { .. }));
        assert_eq!(judge(Some(&last), &spring, Some(spring.wall)), Trusted::Is(spring.wall));
        let earlier = look(900 * DAY, 60_000_000, "b");
        assert!(matches!(judge(Some(&last), &earlier, None), Trusted::Unconfirmed { .. }));
    }
}
