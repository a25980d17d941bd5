//! Two kinds of time that must not be mixed: [`MonoTime`] measures, [`WallTime`] dates.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on the machine's monotonic clock. Only differences are meaningful. A stored point is valid for a
/// later process as long as [`BootId`] is the same.
///
/// Units: nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MonoTime(u64);

impl MonoTime {
    /// The point `nanos` after the arbitrary start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the arbitrary start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero if it is in the future.
    pub const fn since(self, earlier: MonoTime) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for MonoTime {
    type Output = MonoTime;

    fn add(self, span: Duration) -> MonoTime {
        MonoTime(self.0.saturating_add(span.as_nanos() as u64))
    }
}

impl Sub<Duration> for MonoTime {
    type Output = MonoTime;

    fn sub(self, span: Duration) -> MonoTime {
        MonoTime(self.0.saturating_sub(span.as_nanos() as u64))
    }
}

/// A date and time of day, UTC. It may jump: never measure durations with it.
///
/// Units: microseconds since 1970-01-01T00:00:00Z. Serialised as RFC 3339 text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct WallTime(i64);

impl WallTime {
    /// The time `micros` after the Unix epoch.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_unix_micros(self) -> i64 {
        self.0
    }

    /// The time shifted by this many microseconds, which may be negative.
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// The time this many days later (24-hour days, UTC).
    pub const fn plus_days(self, days: i64) -> Self {
        self.plus_micros(days.saturating_mul(86_400_000_000))
    }

    /// `self - earlier` in microseconds; negative if `earlier` is later.
    pub const fn micros_since(self, earlier: WallTime) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time as jiff's type; times outside its range are clamped.
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    /// From jiff's type.
    pub fn from_timestamp(at: jiff::Timestamp) -> Self {
        Self(at.as_microsecond())
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timestamp().fmt(f)
    }
}

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timestamp().fmt(f)
    }
}

impl Serialize for WallTime {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.timestamp().serialize(to)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        jiff::Timestamp::deserialize(from).map(Self::from_timestamp)
    }
}

/// A source of time: the machine, or a test.
pub trait Clock: Send + Sync {
    /// The current time, for measuring.
    fn mono(&self) -> MonoTime;
    /// The current time, for dating.
    fn wall(&self) -> WallTime;

    /// The current time on both clocks. If the thread is preempted between two readings, they would not
    /// match, so the closest of a few pairs is used.
    fn both(&self) -> (MonoTime, WallTime) {
        let mut best = (Duration::MAX, MonoTime::default(), WallTime::default());
        for _ in 0..PAIRS {
            let before = self.mono();
            let wall = self.wall();
            let apart = self.mono().since(before);
            if apart < best.0 {
                best = (apart, before + apart / 2, wall);
            }
            if apart < CLOSE {
                break;
            }
        }
        (best.1, best.2)
    }
}

/// Readings this close count as simultaneous.
const CLOSE: Duration = Duration::from_micros(5);
/// Maximum number of pairs tried.
const PAIRS: usize = 16;

/// Identifies one boot of the machine's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(uuid::Uuid);

impl BootId {
    /// The current boot; `None` if the kernel does not provide it.
    pub fn current() -> Option<Self> {
        static CURRENT: OnceLock<Option<BootId>> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
            text.trim().parse().ok().map(Self)
        })
    }

    /// From its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }
}

/// The operating system's clocks: `CLOCK_BOOTTIME`, which includes the time that the machine is suspended and
/// is the same for all processes of a boot; and `CLOCK_REALTIME`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsClock;

impl Clock for OsClock {
    fn mono(&self) -> MonoTime {
        MonoTime(read(libc::CLOCK_BOOTTIME) as u64)
    }

    fn wall(&self) -> WallTime {
        WallTime(read(libc::CLOCK_REALTIME) / 1_000)
    }
}

/// The time of a kernel clock in nanoseconds.
fn read(clock: libc::clockid_t) -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for writes, and both clocks exist on every Linux.
    let status = unsafe { libc::clock_gettime(clock, &mut now) };
    assert_eq!(status, 0, "the kernel has no clock {clock}");
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_time_survives_json_to_the_microsecond() {
        let at = WallTime::from_unix_micros(1_732_442_400_123_456);
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(text, "\"2024-11-24T10:00:00.123456Z\"");
        assert_eq!(serde_json::from_str::<WallTime>(&text).unwrap(), at);
    }

    #[test]
    fn the_boot_has_a_name_that_survives_json() {
        let boot = BootId::current().unwrap();
        assert_eq!(BootId::current(), Some(boot));
        assert_eq!(serde_json::from_str::<BootId>(&serde_json::to_string(&boot).unwrap()).unwrap(), boot);
        assert_ne!(boot, BootId::from_bytes([1; 16]));
    }

    #[test]
    fn monotonic_differences_never_underflow() {
        let start = MonoTime::from_nanos(5);
        assert_eq!(start.since(start + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!((start + Duration::from_secs(1)).since(start), Duration::from_secs(1));
    }
}
