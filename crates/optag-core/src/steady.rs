//! A wall clock that is immune to jumps: it follows the machine's clock while that agrees with the time since
//! boot, and otherwise the time since boot, until the correct time is confirmed. Everything that dates
//! recordings and evaluates their expiry uses it.

use std::sync::atomic::{AtomicI64, Ordering};

use super::clock::{Clock, MonoTime, OsClock, WallTime};

/// Maximum difference between the clocks that counts as ordinary correction. Units: µs.
pub const SLEW_US: i64 = 5 * 60 * 1_000_000;

/// The clock.
#[derive(Debug)]
pub struct SteadyClock {
    /// Wall time minus time since boot, as last trusted. Units: µs.
    apart_us: AtomicI64,
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new()
    }
}

impl SteadyClock {
    /// Trusts the current wall clock of the machine.
    pub fn new() -> Self {
        Self { apart_us: AtomicI64::new(OsClock.wall().as_unix_micros() - since_boot_us()) }
    }

    /// Sets the time to `now`, whatever the machine's wall clock says. Nothing else moves the trusted time,
    /// so many small jumps cannot add up unnoticed.
    pub fn set(&self, now: WallTime) {
        self.apart_us.store(now.as_unix_micros() - since_boot_us(), Ordering::Release);
    }

    /// The machine's wall clock.
    pub fn machine_wall(&self) -> WallTime {
        OsClock.wall()
    }
}

impl Clock for SteadyClock {
    fn mono(&self) -> MonoTime {
        OsClock.mono()
    }

    fn wall(&self) -> WallTime {
        judge(OsClock.wall().as_unix_micros(), since_boot_us(), self.apart_us.load(Ordering::Acquire))
    }
}

fn judge(wall_us: i64, boot_us: i64, apart_us: i64) -> WallTime {
    let steady = boot_us.saturating_add(apart_us);
    match wall_us.saturating_sub(steady).abs() <= SLEW_US {
        true => WallTime::from_unix_micros(wall_us),
        false => WallTime::from_unix_micros(steady),
    }
}

/// Time since boot, including suspension. Units: µs.
pub fn since_boot_us() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for writes, and the clock exists since Linux 2.6.39.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut now) };
    assert_eq!(status, 0, "the kernel has no clock of the time since boot");
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// Whether the kernel reports that its wall clock is synchronised by NTP. Setting the clock by hand clears
/// this. Source: adjtimex(2), `STA_UNSYNC`.
pub fn kept_by_a_time_server() -> bool {
    // SAFETY: all zeroes is a valid `timex`, and with no mode set nothing is changed.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` is valid for writes.
    let status = unsafe { libc::adjtimex(&mut state) };
    status >= 0 && status != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn invariant_15_a_jump_of_the_machines_clock_does_not_date_anything() {
        let apart = 1_000 * DAY;
        for jump in [91 * DAY, -91 * DAY, DAY, -DAY, SLEW_US + 1] {
            for passed in [0, 1, DAY, 200 * DAY] {
                let boot = 5 * DAY + passed;
                assert_eq!(judge(boot + apart + jump, boot, apart).as_unix_micros(), boot + apart);
            }
        }
        let corrected = 5 * DAY + apart + 1_000_000;
        assert_eq!(judge(corrected, 5 * DAY, apart).as_unix_micros(), corrected);
    }

    #[test]
    fn what_is_set_goes_on_with_the_time_since_boot() {
        let clock = SteadyClock::new();
        let far = clock.machine_wall().plus_days(91);
        clock.set(far);
        assert!(clock.wall() >= far && clock.wall().micros_since(far) < DAY);
        assert!(clock.machine_wall() < far);
    }
}
