//! A call's time axis: every sampling rate of telephony divides 48 kHz, so positions count samples at that
//! rate (like the granule positions of Ogg Opus), from the moment of consent.

use std::time::Duration;

/// Duration of every encoded frame. Units: ms.
pub const FRAME_MS: u32 = 20;
/// Units of the axis. Units: Hz.
pub const AXIS_HZ: u32 = 48_000;
/// Length of a frame on the axis.
pub const FRAME_AXIS: i64 = FRAME_MS as i64 * AXIS_HZ as i64 / 1_000;

/// A duration on the axis.
pub const fn length(span: Duration) -> i64 {
    (span.as_nanos() * AXIS_HZ as u128 / 1_000_000_000) as i64
}

/// The duration of an axis length; zero if negative.
pub const fn span(length: i64) -> Duration {
    Duration::from_nanos(if length > 0 { (length as u64).saturating_mul(62_500) / 3 } else { 0 })
}

/// Axis units per sample at `rate_hz`, which divides [`AXIS_HZ`].
pub const fn per_sample(rate_hz: u32) -> i64 {
    (AXIS_HZ / rate_hz) as i64
}

/// Samples of a frame at `rate_hz`.
pub const fn frame_samples(rate_hz: u32) -> usize {
    (rate_hz / 1_000 * FRAME_MS) as usize
}

/// Samples of the longest frame, at 48 kHz.
pub const LONGEST_FRAME: usize = frame_samples(AXIS_HZ);
